//! [`assert_schema!`](crate::assert_schema!): what stored values depend on changes by no accident.

use std::path::Path;
use std::{env, fs};

/// Compares what the stored values of all these record types depend on ([`record::describe`](fieldseal::record::describe): schemas,
/// kinds of subjects, ids, fields with their types, purposes and padding) with what a file beside the code says, which is named
/// from the crate's folder. So a field that is renamed fails this test, before a value that is stored doesn't open. In a test of
/// the application:
///
/// ```no_run
/// # use fieldseal::{Record, Sealed};
/// # #[derive(Record)]
/// # #[record(schema = "customer")]
/// # struct Customer { #[record(id, subject = "customer")] id: i64, email: Sealed<String> }
/// fieldseal_testkit::assert_schema!("tests/schema.txt", Customer);
/// ```
///
/// `FIELDSEAL_SCHEMA=write cargo test` writes the file: for the first time, and after a change that is meant. Keep it under version
/// control, so that whoever reviews a change sees it there.
#[macro_export]
macro_rules! assert_schema {
    ($file:expr, $($record:ty),+ $(,)?) => {
        $crate::schema::check(
            ::std::path::Path::new(::core::env!("CARGO_MANIFEST_DIR")).join($file).as_path(),
            &[$($crate::schema::describe::<$record>()),+],
        )
    };
}

#[doc(hidden)]
pub use fieldseal::record::describe;

/// What the macro calls.
#[doc(hidden)]
pub fn check(file: &Path, records: &[String]) {
    let now = in_order(records);
    if env::var("FIELDSEAL_SCHEMA").is_ok_and(|what| what == "write") {
        fs::write(file, &now).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        return;
    }
    let kept = fs::read_to_string(file)
        .unwrap_or_else(|e| panic!("{}: {e}\nFIELDSEAL_SCHEMA=write makes the file", file.display()));
    if let Some(differences) = differences(&kept.replace("\r\n", "\n"), &now) {
        panic!(
            "records are no longer what {} says:\n{differences}\
             Where a line is gone, values that are stored open no more, or their people are found no more: keep the name \
             with `#[record(rename = \"..\")]` (or `schema`, `subject`, `purpose` as it was), or the type. If that is meant, or \
             nothing is stored yet, FIELDSEAL_SCHEMA=write writes the file anew.",
            file.display()
        );
    }
}

/// The records by their schemas: in which order a test names them is no part of what is stored.
fn in_order(records: &[String]) -> String {
    let mut records: Vec<_> = records.iter().map(String::as_str).collect();
    records.sort_unstable();
    records.concat()
}

/// The lines that are gone and those that are new, each under its record; none where both are the same.
fn differences(kept: &str, now: &str) -> Option<String> {
    if kept == now {
        return None;
    }
    let (kept_lines, now_lines) = (under_records(kept), under_records(now));
    let gone = kept_lines.iter().filter(|line| !now_lines.contains(line)).map(|line| format!("  gone: {line}\n"));
    let new = now_lines.iter().filter(|line| !kept_lines.contains(line)).map(|line| format!("  new:  {line}\n"));
    let all = gone.chain(new).collect::<String>();
    Some(if all.is_empty() { "  the same lines in another order, or twice\n".to_owned() } else { all })
}

/// Each line, with the record that it is of.
fn under_records(text: &str) -> Vec<String> {
    let mut record = "";
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.starts_with("record ") {
            record = line;
            lines.push(line.to_owned());
        } else {
            lines.push(format!("{record}:{}", line.trim_end()));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEPT: &str = "record \"customer\", of a \"customer\"\n  id: integer\n  \"email\": text, for \"default\"\n";

    fn refusal(now: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("schema.txt");
        fs::write(&file, KEPT).unwrap();
        let checked = std::panic::catch_unwind(|| check(&file, &[now.to_owned()]));
        checked.map_or_else(|panic| panic.downcast_ref::<String>().unwrap().clone(), |()| String::new())
    }

    #[test]
    fn what_is_as_it_was_passes() {
        assert_eq!(refusal(KEPT), "");
    }

    #[test]
    fn what_is_gone_and_what_is_new_is_named() {
        let renamed = refusal(&KEPT.replace("email", "mail"));
        assert!(
            renamed.contains(r#"gone: record "customer", of a "customer":  "email": text, for "default""#),
            "{renamed}"
        );
        assert!(renamed.contains(r#"new:  record "customer", of a "customer":  "mail": text"#), "{renamed}");
        assert!(renamed.contains("FIELDSEAL_SCHEMA=write"));
    }

    #[test]
    fn another_order_is_another_schema() {
        let (ids, swapped) = ("  id: integer\n  id: text\n", "  id: text\n  id: integer\n");
        assert!(differences(ids, swapped).unwrap().contains("order"));
        assert_ne!(refusal(&KEPT.replace("  id: integer\n", ids)), "");
    }

    #[test]
    fn records_are_compared_in_no_order() {
        let other = KEPT.replace("customer", "order");
        assert_eq!(in_order(&[KEPT.to_owned(), other.clone()]), in_order(&[other, KEPT.to_owned()]));
    }

    #[test]
    fn a_file_that_is_missing_is_no_file_that_fits() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("missing.txt");
        assert!(std::panic::catch_unwind(|| check(&file, &[KEPT.to_owned()])).is_err());
        assert!(!file.exists());
    }
}

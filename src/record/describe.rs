//! [`describe`]: what of a record type is part of what is stored.

use std::fmt::Write as _;

use super::private::FieldVisitor;
use super::{Column, Field, Record};

/// What of a record type its stored values depend on, in lines of text: its schema; its ids, in their order; which field names
/// the subject, and the subject's kind; and of each sealed field its name, type, purpose and padding. Where a line changes,
/// values that are stored open no more, or their people are found no more; but padding may change, fields may be added, and a
/// type may become one that holds more.
///
/// Neither the order of fields nor the names of ids are part of what is stored, and so not of this. The name of a field that names
/// the subject is here because another column may be another person: `rename` keeps it. What is inside of JSON, and
/// what a `Plaintext` written by hand refuses, it can't tell.
///
/// `fieldseal_testkit::assert_schema!` compares it with what an application keeps beside its code.
///
/// ```
/// use fieldseal::{Record, Sealed, record};
///
/// #[derive(Record)]
/// #[record(schema = "order")]
/// struct Order {
///     #[record(id)]
///     number: i64,
///     #[record(subject = "customer")]
///     customer_id: i64,
///     note: Sealed<Option<String>>,
///     #[record(purpose = "billing", rename = "iban", pad = 64)]
///     account: Option<Sealed<String>>,
/// }
///
/// let text = "\
/// record \"order\", of a \"customer\"
///   id: integer
///   subject \"customer_id\": integer
///   \"iban\": text or NULL, for \"billing\", padded to 64
///   \"note\": Option<text>, for \"default\"
/// ";
/// assert_eq!(record::describe::<Order>(), text);
/// ```
pub fn describe<R: Record>() -> String {
    let mut text = String::new();
    // Writing to a string can't fail.
    let _ = match R::SUBJECT_KIND {
        Some(kind) => writeln!(text, "record {:?}, of a {kind:?}", R::SCHEMA),
        None => writeln!(text, "record {:?}, of any subject", R::SCHEMA),
    };
    for id in R::IDS {
        let subject = if id.subject { ", the subject" } else { "" };
        let zero = if id.zero { ", which may be 0" } else { "" };
        let _ = writeln!(text, "  id{subject}: {}{zero}", id.form);
    }
    if R::IDS.is_empty() {
        let _ = writeln!(text, "  unbound");
    }
    if let Some(subject) = R::SUBJECT_FIELD {
        let null = if subject.nullable { " or NULL" } else { "" };
        let _ = writeln!(text, "  subject {:?}: {}{null}", subject.name, subject.form);
    }
    let mut fields = Fields(Vec::new());
    R::each_field(&mut fields);
    fields.0.sort_unstable();
    text.extend(fields.0);
    text
}

/// A line for each.
struct Fields(Vec<String>);

impl<R> FieldVisitor<R> for Fields {
    fn visit<C: Column>(&mut self, field: Field<R, C>) {
        let spec = field.spec();
        let pad = if spec.pad() == 0 { String::new() } else { format!(", padded to {}", spec.pad()) };
        self.0.push(format!("  {:?}: {}, for {:?}{pad}\n", spec.name(), C::shape(), spec.purpose()));
    }
}

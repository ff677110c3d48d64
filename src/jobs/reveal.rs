//! Revealing what is held of a person, or a whole table, as JSON: for an access request (GDPR article 15), and for the way
//! back out of sealed columns.

use std::fmt;

use base64ct::{Base64, Encoding as _};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::bound::{Bound, BoundField, cell};
use super::form::ValueType;
use super::map::TableMap;
use super::options::JobOptions;
use super::page::{PageWorker, RowJob, RowOwner, RowVerdict, is_nobodys, must_be_held};
use super::run::{Observer, run};
use super::tally::{Tally, TroubleKind};
use super::uuid::uuid_text;
use crate::envelope::frame;
use crate::envelope::header::Envelope;
use crate::error::{Error, Result};
use crate::id::{HasSubject, RecordIds as _, TenantId};
use crate::rows::{Cell, Page, Row, RowSource};
use crate::subject::Opener;
use crate::vault::Vault;

/// What was revealed, as JSON in one line: a row (`table`, `tenant`, `subject`, `record` with its ids, `fields`, `clear`, and
/// where there are any `unreadable` with field and reason), or a person. Wiped when it is dropped; it is neither printed nor
/// copied by accident.
pub struct Revealed(Zeroizing<String>);

impl Revealed {
    /// The JSON: the way out, and it greps.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Redacted.
impl fmt::Debug for Revealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Revealed(..)")
    }
}

/// All that is held of a person in the mapped tables, as JSON: `tenant`, `subject`, `made_at`, and `rows`, each as a [`Revealed`]
/// has it. Fields that can't be opened (a purpose that was erased) are named with the reason.
///
/// An index on each table's subject column makes it quick. A table whose ids are of another type has nothing of the subject.
///
/// # Errors
/// [`Error::InvalidInput`] if a map contradicts itself or its source, or if the ids of all tables are of another type than the
/// subject's; those of the ports. A subject that was erased or never
/// seen is no error: its rows are there without what can't be opened.
///
/// # Cancel safety
/// Reads only.
///
/// # Security
/// The answer is plaintext. What `serde_json` writes on the way to it is not wiped.
pub async fn reveal_subject(
    vault: &Vault,
    tenant: &TenantId,
    subject: &(impl HasSubject + Sync + ?Sized),
    tables: &[(&TableMap, &dyn RowSource)],
) -> Result<Revealed> {
    let subject = subject.subject()?;
    let mut lines = Vec::new();
    // Whether the subject's id is one in any table; if not, why.
    let mut is_id = Ok(());
    let mut of_some = false;
    for (map, rows) in tables {
        if map.only_tenant().is_some_and(|only| only != tenant) {
            continue;
        }
        let bound = Bound::new(map, rows.columns())?;
        let job = Reveal { only: Some(tenant) };
        let worker = PageWorker { vault, bound: &bound, rows: *rows, job: &job };
        let column = map.subject_column();
        let cells = match column.cells_of(&subject) {
            Ok(cells) => cells,
            Err(e) => {
                is_id = Err(e);
                continue;
            }
        };
        of_some = true;
        for held in cells {
            let mut page = Page::first(PAGE).only(column.name(), held);
            loop {
                let found = rows.page(&page).await?;
                let last = found.last().filter(|_| found.len() >= PAGE).map(|row| row.key.clone());
                lines.append(&mut worker.page(found).await?.out);
                match last {
                    Some(last) => page = page.starting_after(last),
                    None => break,
                }
            }
        }
    }
    if !of_some {
        is_id?;
    }
    let head = json!({
        "tenant": tenant.as_str(),
        "subject": subject.as_str(),
        "made_at": vault.now().to_string(),
    });
    let head = Zeroizing::new(head.to_string());
    let head = head.strip_suffix('}').unwrap_or_default();
    let len = head.len() + lines.iter().map(|line| line.expose().len() + 1).sum::<usize>() + 16;
    let mut whole = Zeroizing::new(String::with_capacity(len));
    whole.push_str(head);
    whole.push_str(",\"rows\":[");
    for (at, line) in lines.iter().enumerate() {
        whole.push_str(if at == 0 { "" } else { "," });
        whole.push_str(line.expose());
    }
    whole.push_str("]}");
    Ok(Revealed(whole))
}

/// Goes through a table, and hands its rows to the observer in the clear.
///
/// # Errors
/// Those of [`reseal`](super::reseal()). Fields that can't be opened don't end the job.
///
/// # Cancel safety
/// Reads only.
///
/// # Security
/// As of [`reveal_subject`]. Who has the file that this fills has everything.
pub async fn reveal_table(
    vault: &Vault,
    map: &TableMap,
    rows: &dyn RowSource,
    options: &JobOptions,
    observer: &mut dyn Observer<Vec<Revealed>>,
) -> Result<Tally> {
    run(vault, map, rows, &Reveal { only: None }, options, observer).await
}

struct Reveal<'a> {
    /// Rows of other tenants are left out.
    only: Option<&'a TenantId>,
}

impl RowJob for Reveal<'_> {
    type Out = Vec<Revealed>;
    type Item = Revealed;

    fn name(&self) -> &'static str {
        "reveal"
    }

    fn judge(&self, row: &Row, bound: &Bound<'_>, owner: RowOwner<'_>, verdict: &mut RowVerdict<Revealed>) {
        let place = owner.place;
        if self.only.is_some_and(|only| *only != place.tenant) {
            return;
        }
        let opener = |keys| Ok((keys, Opener::new(keys, bound.map.schema(), &place.ids)?));
        let mut opener = owner.keys.and_then(opener);
        let (mut fields, mut unreadable) = (Map::new(), Map::new());
        for field in &bound.fields {
            let mut open = || -> Result<Option<Value>> {
                if let Some(plain) = still_in_clear(row, field)? {
                    return Ok(Some(clear_value(plain)));
                }
                let sealed = cell(row, field.column)?;
                if sealed.is_null() {
                    return Ok(None);
                }
                let (keys, opener) = opener.as_mut().map_err(|e| e.clone())?;
                let envelope = field.spec.form.read(sealed)?;
                let standing = keys.standing(&field.spec.purpose, &Envelope::parse(&envelope)?)?;
                if field.spec.is_in_place() && is_nobodys(standing) {
                    return Ok(Some(clear_value(sealed)));
                }
                must_be_held(standing)?;
                let opened = opener.open(&field.spec.purpose, &field.spec.field, &envelope)?.as_slice();
                let value = frame::value_len(opened)?.map(|len| opened.get(..len).unwrap_or_default());
                value.map_or(Ok(Value::Null), |bytes| value_of(field.spec.ty, bytes)).map(Some)
            };
            match open() {
                Ok(Some(value)) => {
                    verdict.tally.current += 1;
                    fields.insert(field.spec.field.clone(), value);
                }
                Ok(None) => {
                    verdict.tally.empty += 1;
                    fields.insert(field.spec.field.clone(), Value::Null);
                }
                Err(e) => {
                    unreadable.insert(field.spec.field.clone(), reason(&e).into());
                    verdict.error(field, &e);
                }
            }
        }
        let mut ids = Vec::new();
        // It only clones what was read before.
        let _ = place.ids.each_id(&mut |id| {
            ids.push(Value::from(id.as_str()));
            Ok(())
        });
        let clear = bound.clear.iter().map(|(name, at)| {
            let value = cell(row, *at).map_or(Value::Null, clear_value);
            ((*name).to_owned(), value)
        });
        let mut line = json!({
            "table": bound.map.name(),
            "tenant": place.tenant.as_str(),
            "subject": place.subject.as_str(),
            "record": ids,
            "fields": fields,
            "clear": clear.collect::<Map<_, _>>(),
        });
        if let (false, Some(line)) = (unreadable.is_empty(), line.as_object_mut()) {
            line.insert("unreadable".to_owned(), unreadable.into());
        }
        verdict.found.push(Revealed(Zeroizing::new(line.to_string())));
    }
}

/// The plaintext of a field that is being adopted: while there is one, it is what counts.
fn still_in_clear<'r>(row: &'r Row, field: &BoundField<'_>) -> Result<Option<&'r Cell>> {
    let Some(from) = field.from else { return Ok(None) };
    let plain = cell(row, from)?;
    let is_sealed =
        field.spec.is_in_place() && field.spec.form.read(plain).and_then(|e| Envelope::parse(&e).map(drop)).is_ok();
    Ok(Some(plain).filter(|plain| !plain.is_null() && !is_sealed))
}

fn reason(e: &Error) -> String {
    match e {
        Error::KeyNotHeld | Error::SubjectUnknown | Error::PurposeUnknown => TroubleKind::NotHeld.to_string(),
        e => e.to_string(),
    }
}

/// An opened value as JSON: bytes in base64, integers that JSON's readers may round as text.
fn value_of(ty: ValueType, bytes: &[u8]) -> Result<Value> {
    let text = || std::str::from_utf8(bytes).map_err(|_| Error::Malformed);
    Ok(match ty {
        ValueType::Text | ValueType::Date | ValueType::Instant | ValueType::Decimal => text()?.into(),
        ValueType::Bytes => Base64::encode_string(bytes).into(),
        ValueType::Bool => match bytes {
            [0] => false.into(),
            [1] => true.into(),
            _ => return Err(Error::Malformed),
        },
        ValueType::Integer => {
            let n = i128::from_be_bytes(bytes.try_into().map_err(|_| Error::Malformed)?);
            i64::try_from(n).map_or_else(|_| n.to_string().into(), integer)
        }
        ValueType::Float => float(f64::from_bits(u64::from_be_bytes(bytes.try_into().map_err(|_| Error::Malformed)?))),
        ValueType::Uuid => uuid_text(bytes.try_into().map_err(|_| Error::Malformed)?).into(),
        ValueType::Json => serde_json::from_str(text()?).map_err(|_| Error::Malformed)?,
    })
}

fn clear_value(cell: &Cell) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Bool(b) => (*b).into(),
        Cell::Integer(n) => integer(*n),
        Cell::Real(n) => float(*n),
        Cell::Text(text) => text.as_str().into(),
        Cell::Bytes(bytes) => Base64::encode_string(bytes).into(),
    }
}

fn integer(n: i64) -> Value {
    if n.unsigned_abs() <= EXACT { n.into() } else { n.to_string().into() }
}

fn float(n: f64) -> Value {
    serde_json::Number::from_f64(n).map_or_else(|| n.to_string().into(), Value::Number)
}

/// 2^53: up to here every reader of JSON keeps an integer as it is.
const EXACT: u64 = 1 << 53;

/// Rows that are read of one person at a time.
const PAGE: usize = 500;

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
use super::tally::{Tally, Trouble, TroubleKind};
use super::uuid::uuid_text;
use crate::caught::Caught;
use crate::envelope::frame::{self, Marker};
use crate::envelope::header::Envelope;
use crate::error::{Error, Result};
use crate::id::{HasSubject, RecordIds as _, TenantId};
use crate::kind::Kind;
use crate::rows::{Cell, Page, Row, RowSource};
use crate::subject::Opener;
use crate::value::list::Items;
use crate::vault::Vault;

/// What was revealed, as JSON in one line: a row (`table`, `tenant`, `kind`, `subject`, `record` with its ids, `fields`,
/// `clear`, and where there are any `unreadable` with field and reason), or a person. Wiped when it is dropped; it is neither
/// printed nor copied by accident.
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

/// All that is held of a person in the mapped tables, as JSON: `tenant`, `kind`, `subject`, `made_at`, and `rows`, each as a
/// [`Revealed`] has it. Fields that can't be opened (a purpose that was erased) are named with the reason; of a row that can't be
/// read there is the table, and the reason as `row`.
///
/// An index on each table's subject column makes it quick. A table of another kind of subjects has nothing of the subject, and
/// neither has one whose ids are of another type. A row whose subject column is NULL is nobody's, and not found.
///
/// # Errors
/// [`Error::InvalidInput`] if a map contradicts itself or its source, for a kind that isn't declared or that no table has, or if
/// the ids of all its tables are of another type than the subject's; [`Error::WrongTenant`] for keys of another tenant; those
/// of the ports. A subject that was erased or never seen is no error: its rows are there without what can't be opened.
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
    let subject = vault.tenant(tenant).subject_of(subject)?;
    if tables.iter().all(|(map, _)| map.subject.kind != subject.kind()) {
        return Err(Error::invalid("no table is mapped that has subjects of this kind"));
    }
    let mut lines = Vec::new();
    // Whether the subject's id is one in any table; if not, why.
    let mut is_id = Ok(());
    let mut of_some = false;
    for (map, rows) in tables {
        if map.only_tenant().is_some_and(|only| only != tenant) {
            continue;
        }
        let rows = &Caught::new(*rows);
        let bound = Bound::new(map, rows.columns())?;
        let job = Reveal { only: Some(tenant) };
        let worker = PageWorker { vault, bound: &bound, rows, job: &job };
        if map.subject.kind != subject.kind() {
            continue;
        }
        let column = &map.subject.id;
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
                let mut worked = worker.page(found).await?;
                lines.append(&mut worked.out);
                let is_unreadable = |trouble: &&Trouble| matches!(trouble.kind, TroubleKind::Unreadable);
                for trouble in worked.troubles.iter().filter(is_unreadable) {
                    let line = json!({ "table": bound.map.name(), "unreadable": { "row": trouble.kind.to_string() } });
                    lines.push(Revealed(Zeroizing::new(line.to_string())));
                }
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
        "kind": subject.kind(),
        "subject": subject.id(),
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
                let (marker, len) = frame::parse(opened)?;
                let (kind, value) = (marker.kind()?, opened.get(..len).unwrap_or_default());
                match (kind, field.spec.ty) {
                    (Kind::Bytes, ValueType::List) => list_of(value).map(Some),
                    _ => value_of(kind, value).map(Some),
                }
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
            "kind": place.subject.kind(),
            "subject": place.subject.id(),
            "record": ids,
            "fields": fields,
            "clear": clear.collect::<Map<_, _>>(),
        });
        if let (false, Some(line)) = (unreadable.is_empty(), line.as_object_mut()) {
            line.insert("unreadable".to_owned(), unreadable.into());
        }
        verdict.found.push(Revealed(Zeroizing::new(line.to_string())));
    }
    /// It is of no person, and what is sealed in it opens with nobody's keys that the job could name.
    fn judge_of_nobody(&self, _: &Row, _: &Bound<'_>, verdict: &mut RowVerdict<Revealed>) {
        verdict.fail_row(TroubleKind::OfNobody);
    }
}

/// The plaintext of a field that is being adopted: while there is one, it is what counts.
fn still_in_clear<'r>(row: &'r Row, field: &BoundField<'_>) -> Result<Option<&'r Cell>> {
    let Some(from) = field.from else { return Ok(None) };
    let plain = cell(row, from)?;
    let is_sealed = field.spec.is_in_place() && field.spec.holds_envelope(plain);
    Ok(Some(plain).filter(|plain| !plain.is_null() && !is_sealed))
}

fn reason(e: &Error) -> String {
    match e {
        Error::KeyNotHeld | Error::SubjectUnknown | Error::PurposeUnknown => TroubleKind::NotHeld.to_string(),
        e => e.to_string(),
    }
}

/// An opened value as JSON, by what it was sealed as: bytes in base64, integers that JSON's readers may round as text.
fn value_of(kind: Kind, bytes: &[u8]) -> Result<Value> {
    let text = || std::str::from_utf8(bytes).map_err(|_| Error::Malformed);
    Ok(match kind {
        Kind::None => Value::Null,
        Kind::Bytes => Base64::encode_string(bytes).into(),
        Kind::Text | Kind::Date | Kind::Instant | Kind::LocalDatetime | Kind::Time | Kind::Decimal => text()?.into(),
        Kind::Bool => match bytes {
            [0] => false.into(),
            [1] => true.into(),
            _ => return Err(Error::Malformed),
        },
        Kind::Int => {
            let n = i128::from_be_bytes(bytes.try_into().map_err(|_| Error::Malformed)?);
            i64::try_from(n).map_or_else(|_| n.to_string().into(), integer)
        }
        Kind::F64 => float(f64::from_bits(u64::from_be_bytes(bytes.try_into().map_err(|_| Error::Malformed)?))),
        Kind::Uuid => uuid_text(bytes.try_into().map_err(|_| Error::Malformed)?).into(),
        Kind::Json => serde_json::from_str(text()?).map_err(|_| Error::Malformed)?,
    })
}

/// A list, item by item, each as what it was sealed as. One within a list is shown as bytes.
fn list_of(bytes: &[u8]) -> Result<Value> {
    let value = |item: Result<(Marker, &[u8])>| item.and_then(|(marker, bytes)| value_of(marker.kind()?, bytes));
    Items(bytes).map(value).collect::<Result<Vec<_>>>().map(Value::from)
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

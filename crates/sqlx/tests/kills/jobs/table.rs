//! The application's table: what its columns mean, what stands in each of its rows, and how the application seals and opens
//! it.

use fieldseal::jobs::{FieldMap, Form, IdColumn, SubjectColumn, TableMap};
use fieldseal::rows::{Cell, Page, Row, RowSource as _, Table};
use fieldseal::{Error, FieldContext, Sealed, SubjectKeys};
use fieldseal_sqlx::SqliteRows;
use sqlx::SqlitePool;

use super::*;

pub(super) const ROWS: i64 = 200;
pub(super) const SUBJECTS: i64 = 67;

/// A field of the table, and where its plaintext stands before it is adopted.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) purpose: &'static str,
    pub(super) form: Form,
    /// Its column among those that [`all`] reads.
    pub(super) at: usize,
    pub(super) plain: &'static str,
    pub(super) plain_at: usize,
}

pub(super) const FIELDS: [Field; 4] = [
    field("email", "default", Form::Bytes, 1, "email_plain", 5),
    field("phone", "billing", Form::Bytes, 2, "phone_plain", 6),
    field("note", "default", Form::Bytes, 3, "note_plain", 7),
    field("iban", "billing", Form::Text, 4, "iban", 4),
];

const fn field(
    name: &'static str,
    purpose: &'static str,
    form: Form,
    at: usize,
    plain: &'static str,
    plain_at: usize,
) -> Field {
    Field { name, purpose, form, at, plain, plain_at }
}

impl Field {
    pub(super) fn is_in_place(&self) -> bool {
        self.at == self.plain_at
    }
}

/// The table, and a switch of the application: whether it still writes the plaintext, too.
pub(super) const SCHEMA: [&str; 3] = [
    "CREATE TABLE customer (id INTEGER PRIMARY KEY, subject INTEGER NOT NULL, email BLOB, phone BLOB, note BLOB, iban TEXT, \
     email_plain TEXT, phone_plain TEXT, note_plain TEXT)",
    "CREATE TABLE application (writes_plaintext INTEGER NOT NULL)",
    "INSERT INTO application VALUES (0)",
];

/// Puts a row's cells, in the order in which [`all`] reads them; where the plaintext isn't written any more, NULL for it.
pub(super) const PUT: &str = "INSERT INTO customer VALUES (?9, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO UPDATE SET \
     email = ?2, phone = ?3, note = ?4, iban = ?5, \
     email_plain = CASE (SELECT writes_plaintext FROM application) WHEN 1 THEN ?6 END, \
     phone_plain = CASE (SELECT writes_plaintext FROM application) WHEN 1 THEN ?7 END, \
     note_plain = CASE (SELECT writes_plaintext FROM application) WHEN 1 THEN ?8 END";

pub(super) fn map(job: Job) -> TableMap {
    let map =
        TableMap::new("customer", ["id"], "customer", SubjectColumn::new("customer", IdColumn::integer("subject")))
            .ids([IdColumn::integer("id")]);
    FIELDS.iter().fold(map, |map, field| {
        let spec = FieldMap::new(field.name).purpose(field.purpose).form(field.form);
        map.field(if job == Job::Adopt { spec.from(field.plain).pad(32) } else { spec })
    })
}

/// Each subject has three rows, one after the other, some of them on two pages.
pub(super) fn subject_of(row: i64) -> i64 {
    (row + 2) / 3
}

/// What stands in a field of a row once the application has written it for the `version`-th time in all.
pub(super) fn value(field: &Field, row: i64, version: u64) -> Option<String> {
    Some(match field.name {
        "email" => format!("{row}.{version}@example.com"),
        "phone" => format!("+44 {row} {version}"),
        "note" if row % 4 == 0 => return None,
        "note" => format!("note {version} of {row}"),
        _ => format!("DE{row}X{version}"),
    })
}

/// What nobody opens any more, and nobody writes: the fields of a person who was erased, or one of a purpose that was; and a
/// value whose key a restore lost.
pub(super) fn is_out_of_reach(field: &Field, row: i64) -> bool {
    ERASED.contains(&subject_of(row)) || (subject_of(row) == ERASED_FOR_BILLING && field.purpose == "billing")
}

/// All of these rows' fields are in reach.
pub(super) fn is_written(job: Job, row: i64) -> bool {
    !FIELDS.iter().any(|field| is_out_of_reach(field, row)) && (job == Job::Adopt || row != LOST)
}

pub(super) const ERASED: [i64; 2] = [5, 46];
pub(super) const ERASED_FOR_BILLING: i64 = 7;
/// The row whose e-mail address is sealed under a key that nobody has (but not where the table is adopted).
pub(super) const LOST: i64 = 100;

pub(super) fn seal(keys: &SubjectKeys, field: &Field, row: i64, version: u64) -> fieldseal::Result<Cell> {
    let Some(value) = value(field, row, version) else { return Ok(Cell::Null) };
    let context = FieldContext::new("customer", field.name, &row)?.purpose(field.purpose);
    let sealed = keys.seal_value(&value.into(), &context)?;
    Ok(match field.form {
        Form::Text => Cell::text(sealed.to_string()),
        _ => Cell::bytes(sealed.into_bytes()),
    })
}

/// The envelope in a cell; none where there is something else.
pub(super) fn envelope(field: &Field, cell: &Cell) -> Option<Sealed<String>> {
    match (field.form, cell) {
        (Form::Bytes, Cell::Bytes(bytes)) => Sealed::from_bytes(bytes.to_vec()).ok(),
        (Form::Text, Cell::Text(text)) => text.parse().ok(),
        _ => None,
    }
}

pub(super) fn open(keys: &SubjectKeys, field: &Field, row: i64, cell: &Cell) -> fieldseal::Result<Option<String>> {
    if cell.is_null() {
        return Ok(None);
    }
    let sealed = envelope(field, cell).ok_or(Error::Malformed)?;
    let context = FieldContext::new("customer", field.name, &row)?.purpose(field.purpose);
    keys.open_value(&sealed, &context).map(|opened| Some(opened.into_inner()))
}

pub(super) async fn put(database: &SqlitePool, row: i64, cells: &[Cell]) -> Result {
    let mut query = sqlx::query(PUT);
    for cell in cells {
        query = match cell {
            Cell::Null => query.bind(None::<i64>),
            Cell::Integer(n) => query.bind(*n),
            Cell::Text(text) => query.bind(text.to_string()),
            Cell::Bytes(bytes) => query.bind(bytes.to_vec()),
            _ => return Err("a cell of a type that no column has".into()),
        };
    }
    query.bind(row).execute(database).await?;
    Ok(())
}

/// Every row with every column, in the order of the rows.
pub(super) async fn all(place: &SharedFiles) -> Result<Vec<Row>> {
    let database = place.database().await?;
    let columns = ["subject", "email", "phone", "note", "iban", "email_plain", "phone_plain", "note_plain"];
    let rows = SqliteRows::new(database.clone(), Table::new("customer", ["id"], columns)).await?;
    let all = rows.page(&Page::first(Page::MAX_LIMIT)).await?;
    database.close().await;
    assert_eq!(all.len(), usize::try_from(ROWS)?, "rows came or went");
    Ok(all)
}

/// The number of a row.
pub(super) fn number(row: &Row) -> i64 {
    match row.key.cells() {
        [Cell::Integer(n)] => *n,
        _ => panic!("a row of another table"),
    }
}

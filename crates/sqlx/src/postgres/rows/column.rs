//! [`Column`]: a column of a PostgreSQL table, and as which [`Cell`] it is read, compared and written.

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use zeroize::Zeroizing;

use crate::postgres::PgQuery;
use crate::sql::of_table;
use fieldseal::rows::Cell;

/// A column. The table is `t` in every statement.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    /// Its type, with its schema and in quotes; that which a domain is made of.
    ty: String,
    kind: Kind,
    /// See [`is_equal_too`](Self::is_equal_too).
    compares: Compares,
    /// Nothing keeps NULL out of it: where it is of a key, that row has no name.
    pub(super) may_be_null: bool,
    /// What is read, and what an expected cell is compared with: one expression, so that a cell that was read is found.
    read: String,
}

/// What a column's cells are here, where they aren't NULL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Bool,
    Integer,
    Real,
    Text,
    Bytes,
}

/// For which cells the type's own `=` can be asked, without an error, and finds whatever is the same bit by bit.
#[derive(Clone, Copy, Debug)]
enum Compares {
    All,
    Uuids,
    None,
}

impl Column {
    /// A column of the type `ty` of the schema `schema`; `quoted_type` is both, in quotes.
    pub(super) fn new(name: String, schema: &str, ty: &str, quoted_type: String, may_be_null: bool) -> Self {
        let raw = of_table(&name);
        let builtin = if schema == "pg_catalog" { ty } else { "" };
        let kind = match builtin {
            "bool" => Kind::Bool,
            "int2" | "int4" | "int8" => Kind::Integer,
            "float4" | "float8" => Kind::Real,
            "bytea" => Kind::Bytes,
            _ => Kind::Text,
        };
        let plain = format!("{raw}::{}", kind.ty());
        let read = match builtin {
            "timestamptz" => rfc3339(&raw, "timestamptz", &format!("{raw} AT TIME ZONE 'UTC'"), "Z", &plain),
            "timestamp" => rfc3339(&raw, "timestamp", &raw, "", &plain),
            _ => plain,
        };
        let compares = match builtin {
            "text" | "varchar" | "bpchar" => Compares::All,
            "uuid" => Compares::Uuids,
            _ if kind == Kind::Text => Compares::None,
            _ => Compares::All,
        };
        Self { name, ty: quoted_type, kind, compares, may_be_null, read }
    }

    /// The column itself, as the table's indexes have it.
    pub(super) fn raw(&self) -> String {
        of_table(&self.name)
    }

    /// What is read of it.
    pub(super) fn read(&self) -> &str {
        &self.read
    }

    /// The type in which its cells are handed over.
    pub(super) fn handed(&self) -> &'static str {
        self.kind.ty()
    }

    /// A value that was handed over, in the column's own type.
    pub(super) fn own(&self, value: &str) -> String {
        format!("{value}::{}", self.ty)
    }

    /// Whether it holds, in the database's eyes, what was handed over: for a key, through an index.
    pub(super) fn equals(&self, value: &str) -> String {
        match self.kind {
            // Of any width: a number that is too great for the column is in no row, and no error.
            Kind::Integer | Kind::Real => format!("{} = {value}", self.raw()),
            _ => format!("{} = {}", self.raw(), self.own(value)),
        }
    }

    /// Whether it holds exactly what was handed over: text and numbers bit by bit, whatever the collation holds to be equal.
    pub(super) fn is(&self, value: &str) -> String {
        let read = &self.read;
        match self.kind {
            Kind::Text => format!("({read}) COLLATE \"C\" IS NOT DISTINCT FROM {value} COLLATE \"C\""),
            Kind::Real => format!("float8send({read}) IS NOT DISTINCT FROM float8send({value})"),
            _ => format!("{read} IS NOT DISTINCT FROM {value}"),
        }
    }

    /// Whether what [`is`](Self::is) this cell [`equals`](Self::equals) it too, so that both can be asked.
    pub(super) fn is_equal_too(&self, cell: &Cell) -> bool {
        match (self.compares, cell) {
            (Compares::Uuids, Cell::Text(text)) => is_uuid(text),
            (compares, _) => matches!(compares, Compares::All),
        }
    }

    /// Whether it can hold such a cell.
    pub(super) fn takes(&self, cell: &Cell) -> bool {
        match cell {
            Cell::Null => true,
            Cell::Bool(_) => self.kind == Kind::Bool,
            Cell::Integer(_) => self.kind == Kind::Integer,
            Cell::Real(_) => self.kind == Kind::Real,
            Cell::Text(text) => self.kind == Kind::Text && !text.contains('\0'), // which PostgreSQL's text can't hold
            Cell::Bytes(_) => self.kind == Kind::Bytes,
        }
    }

    /// Hands over the cells of many rows, as an array. Each is one that the column [`takes`](Self::takes).
    pub(super) fn bind_all<'q>(&self, query: PgQuery<'q>, cells: impl Iterator<Item = &'q Cell>) -> PgQuery<'q> {
        macro_rules! array {
            ($variant:ident, $value:ident => $bound:expr) => {
                query.bind(
                    cells
                        .map(|cell| match cell {
                            Cell::$variant($value) => Some($bound),
                            _ => None,
                        })
                        .collect::<Vec<_>>(),
                )
            };
        }
        match self.kind {
            Kind::Bool => array!(Bool, b => *b),
            Kind::Integer => array!(Integer, n => *n),
            Kind::Real => array!(Real, n => *n),
            Kind::Text => array!(Text, text => text.as_str()),
            Kind::Bytes => array!(Bytes, bytes => bytes.as_slice()),
        }
    }

    /// The cell that stands at this place of what was read.
    pub(super) fn cell(&self, row: &PgRow, at: usize) -> Result<Cell, sqlx::Error> {
        Ok(match self.kind {
            Kind::Bool => row.try_get::<Option<_>, _>(at)?.map(Cell::Bool),
            Kind::Integer => row.try_get::<Option<_>, _>(at)?.map(Cell::Integer),
            Kind::Real => row.try_get::<Option<_>, _>(at)?.map(Cell::Real),
            Kind::Text => row.try_get::<Option<_>, _>(at)?.map(|text| Cell::Text(Zeroizing::new(text))),
            Kind::Bytes => row.try_get::<Option<_>, _>(at)?.map(|bytes| Cell::Bytes(Zeroizing::new(bytes))),
        }
        .unwrap_or(Cell::Null))
    }
}

impl Kind {
    fn ty(self) -> &'static str {
        match self {
            Self::Bool => "pg_catalog.bool",
            Self::Integer => "pg_catalog.int8",
            Self::Real => "pg_catalog.float8",
            Self::Text => "pg_catalog.text",
            Self::Bytes => "pg_catalog.bytea",
        }
    }
}

/// An instant, or a time in no zone, as fieldseal writes one: RFC 3339 with nine decimals, an instant in UTC. Years before 1 and
/// after 9999, and the infinities, have no such form and stay as PostgreSQL has them: no two instants read the same.
fn rfc3339(raw: &str, ty: &str, shown: &str, zone: &str, plain: &str) -> String {
    format!(
        "CASE WHEN {raw} >= {ty} '0001-01-01 00:00:00+00' AND {raw} < {ty} '10000-01-01 00:00:00+00' \
         THEN to_char({shown}, 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"000{zone}\"') ELSE {plain} END"
    )
}

/// As PostgreSQL writes one.
fn is_uuid(text: &str) -> bool {
    let is_right = |(at, b): (usize, u8)| match at {
        8 | 13 | 18 | 23 => b == b'-',
        _ => matches!(b, b'0'..=b'9' | b'a'..=b'f'),
    };
    text.len() == 36 && text.bytes().enumerate().all(is_right)
}

//! [`TableMap`]: what the columns of an application's table mean, so that bulk work finds each sealed value's place.
//!
//! It says again what `#[derive(Record)]` says of the same table: where the two differ, nothing opens.

use std::fmt::Write as _;

use super::form::{Form, ValueType};
#[cfg(feature = "serde")]
use super::uuid::uuid_text;
use super::uuid::{uuid_bytes, uuid_id};
use crate::crypto::mac;
use crate::envelope::header::Envelope;
use crate::error::{Error, Result};
use crate::id::{Id, Purpose, TenantId, ToId as _, ToIdOrZero as _};
use crate::rows::{Cell, Table};

/// What the columns of a table mean.
///
/// ```
/// use fieldseal::jobs::{FieldMap, IdColumn, SubjectColumn, TableMap};
///
/// // #[derive(Record)] #[record(schema = "customer")]
/// // struct Customer { #[record(id, subject = "customer")] id: Uuid, email: .., iban: .. }
/// let customers = TableMap::new("customer", ["id"], "customer", SubjectColumn::new("customer", IdColumn::uuid("id")))
///     .ids([IdColumn::uuid("id")])
///     .field(FieldMap::new("email"))
///     .field(FieldMap::new("iban").purpose("billing"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct TableMap {
    pub(super) table: String,
    pub(super) key: Vec<String>,
    pub(super) schema: String,
    pub(super) tenant: TenantOf,
    pub(super) subject: SubjectColumn,
    /// None while it isn't said.
    pub(super) ids: Option<Vec<IdColumn>>,
    pub(super) clear: Vec<String>,
    pub(super) fields: Vec<FieldMap>,
}

/// Whose rows they are, among tenants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TenantOf {
    One(TenantId),
    Column(String),
}

/// A column that holds an id: a subject's, or a record's.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct IdColumn {
    pub(super) name: String,
    ty: IdType,
    /// The integer 0 is an id like any other.
    zero: bool,
}

/// The column that names the person whose row it is, and what they are.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct SubjectColumn {
    pub(super) kind: String,
    pub(super) id: IdColumn,
}

/// What a column's ids are, so that they become the text that the application's own types become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum IdType {
    Integer,
    Text,
    Uuid,
}

/// A column that holds a sealed value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct FieldMap {
    pub(super) column: String,
    pub(super) field: String,
    pub(super) purpose: String,
    pub(super) form: Form,
    pub(super) ty: ValueType,
    pub(super) pad: usize,
    /// The column that holds the plaintext, while it is adopted.
    pub(super) from: Option<String>,
}

impl TableMap {
    /// A table, the columns that name a row in it (its primary key), the schema name of its records, and whose they are.
    pub fn new<K: IntoIterator<Item: Into<String>>>(
        table: impl Into<String>,
        key: K,
        schema: impl Into<String>,
        subject: SubjectColumn,
    ) -> Self {
        Self {
            table: table.into(),
            key: key.into_iter().map(Into::into).collect(),
            schema: schema.into(),
            tenant: TenantOf::One(TenantId::default_tenant()),
            subject,
            ids: None,
            clear: Vec::new(),
            fields: Vec::new(),
        }
    }

    /// The records' ids, in the order in which they are declared.
    pub fn ids(mut self, ids: impl IntoIterator<Item = IdColumn>) -> Self {
        self.ids = Some(ids.into_iter().collect());
        self
    }

    /// The records are bound to no id (`#[record(unbound)]`).
    pub fn unbound(self) -> Self {
        self.ids([])
    }

    /// All rows are this tenant's. Without it, the default tenant's.
    pub fn tenant(mut self, tenant: TenantId) -> Self {
        self.tenant = TenantOf::One(tenant);
        self
    }

    /// This column says whose row it is among tenants.
    pub fn tenant_column(mut self, column: impl Into<String>) -> Self {
        self.tenant = TenantOf::Column(column.into());
        self
    }

    /// A column in the clear that belongs to what is held of a person: it is revealed with the rest.
    pub fn clear(mut self, column: impl Into<String>) -> Self {
        self.clear.push(column.into());
        self
    }

    /// A column that holds a sealed value.
    pub fn field(mut self, field: FieldMap) -> Self {
        self.fields.push(field);
        self
    }

    /// The table and the columns that bulk work needs of it: what a [`RowSource`](crate::rows::RowSource) is made for.
    pub fn table(&self) -> Table {
        let mut columns: Vec<&str> = Vec::new();
        let mut want = |name| {
            if !columns.contains(&name) {
                columns.push(name);
            }
        };
        if let TenantOf::Column(name) = &self.tenant {
            want(name);
        }
        want(&self.subject.id.name);
        self.ids.iter().flatten().for_each(|id| want(&id.name));
        for field in &self.fields {
            want(&field.column);
            field.from.iter().for_each(|from| want(from));
        }
        self.clear.iter().for_each(|name| want(name));
        Table::new(&self.table, &self.key, columns)
    }

    /// The columns into which plaintext is to be sealed, and the form of each: what a table needs before it is
    /// adopted.
    pub fn sealed_columns(&self) -> Vec<(String, Form)> {
        let adopting = self.fields.iter().filter(|field| field.from.is_some());
        adopting.map(|field| (field.column.clone(), field.form)).collect()
    }

    /// The table's name.
    pub fn name(&self) -> &str {
        &self.table
    }

    pub(super) fn schema(&self) -> &str {
        &self.schema
    }

    /// The tenant of all rows; none where a column says it.
    #[cfg(feature = "serde")]
    pub(super) fn only_tenant(&self) -> Option<&TenantId> {
        match &self.tenant {
            TenantOf::One(tenant) => Some(tenant),
            TenantOf::Column(_) => None,
        }
    }

    /// Stands for the whole map: work that goes on under another one would leave cells out.
    pub(super) fn fingerprint(&self) -> String {
        let mut text = String::new();
        // What derived Debug writes names every part, and quotes every name.
        let _ = write!(text, "{self:?}");
        mac::sha256(&[text.as_bytes()]).iter().take(8).fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}

impl IdColumn {
    /// Ids that are integers.
    pub fn integer(column: impl Into<String>) -> Self {
        Self::of(column.into(), IdType::Integer)
    }

    /// Ids that are text, taken as it is.
    pub fn text(column: impl Into<String>) -> Self {
        Self::of(column.into(), IdType::Text)
    }

    /// Ids that are UUIDs, as 16 bytes or as text.
    pub fn uuid(column: impl Into<String>) -> Self {
        Self::of(column.into(), IdType::Uuid)
    }

    fn of(name: String, ty: IdType) -> Self {
        Self { name, ty, zero: false }
    }

    /// An integer 0 in it is an id like any other: it is the one of several record ids that is `#[record(id, zero)]`.
    pub fn zero(mut self) -> Self {
        self.zero = true;
        self
    }

    #[cfg(feature = "serde")]
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The cells that this column may hold for an id.
    #[cfg(feature = "serde")]
    pub(super) fn cells_of(&self, id: &crate::id::SubjectId) -> Result<Vec<Cell>> {
        let text = || Cell::text(id.id());
        // One way to write an id alone: `017` is another subject than `17`, and has no row here.
        let integer = || id.id().parse().ok().filter(|n: &i64| n.to_string() == id.id());
        Ok(match self.ty {
            IdType::Integer => vec![Cell::Integer(integer().ok_or_else(|| {
                Error::invalid("the subject ids of this table are integers, written as `17` and in no other way")
            })?)],
            IdType::Text => vec![text()],
            IdType::Uuid => {
                let bytes = uuid_bytes(id.id()).filter(|bytes| uuid_text(bytes) == id.id());
                let bytes = bytes.ok_or_else(|| {
                    Error::invalid("the subject ids of this table are UUIDs, written with hyphens and in lower case")
                })?;
                vec![Cell::bytes(bytes), text()]
            }
        })
    }

    pub(super) fn id<'c>(&self, cell: &'c Cell) -> Result<Id<'c>> {
        match (self.ty, cell) {
            (_, Cell::Null) => Err(Error::invalid(format!("the column {:?} is NULL: it names nobody yet", self.name))),
            (IdType::Integer, Cell::Integer(n)) if self.zero => n.to_id_or_zero(),
            (IdType::Integer, Cell::Integer(0)) => Err(Error::invalid(format!(
                "the column {:?} holds 0, a placeholder: give the row its id, or say `zero` of the column if the record does",
                self.name
            ))),
            (IdType::Integer, Cell::Integer(n)) => n.to_id(),
            (IdType::Text, Cell::Text(text)) => Id::text(text.as_str()),
            (IdType::Uuid, Cell::Bytes(bytes)) => uuid_id(bytes.as_slice().try_into().map_err(|_| self.other_type())?),
            (IdType::Uuid, Cell::Text(text)) => uuid_id(&uuid_bytes(text).ok_or_else(|| self.other_type())?),
            _ => Err(self.other_type()),
        }
    }

    fn other_type(&self) -> Error {
        let ty = match self.ty {
            IdType::Integer => "an integer",
            IdType::Text => "text",
            IdType::Uuid => "a UUID",
        };
        Error::invalid(format!("the column {:?} holds something else than {ty}", self.name))
    }
}

/// Refuses `zero` where the derive macro does.
pub(super) fn check_zeros(subject: &IdColumn, ids: &[IdColumn]) -> Result<()> {
    let zeros: Vec<_> = ids.iter().filter(|id| id.zero).collect();
    let fits = match zeros.as_slice() {
        [] => true,
        [zero] => zero.ty == IdType::Integer && ids.len() > 1,
        _ => false,
    };
    if fits && !subject.zero {
        Ok(())
    } else {
        Err(Error::invalid("`zero` is for one integer among several record ids"))
    }
}

impl SubjectColumn {
    /// A column of ids of subjects of this kind.
    ///
    /// A row in which it is NULL is nobody's, and no job knows whose keys it is under: what is sealed in it stays as it is,
    /// and is counted as [`of_nobody`](super::Tally::of_nobody).
    pub fn new(kind: impl Into<String>, id: IdColumn) -> Self {
        Self { kind: kind.into(), id }
    }
}

impl FieldMap {
    /// A column of this name that holds the field of the same name: text, as an envelope's bytes, for the purpose `default`.
    pub fn new(column: impl Into<String>) -> Self {
        let column = column.into();
        Self {
            field: column.clone(),
            column,
            purpose: Purpose::DEFAULT.to_owned(),
            form: Form::Bytes,
            ty: ValueType::Text,
            pad: 0,
            from: None,
        }
    }

    /// The field has another name than its column.
    pub fn named(mut self, field: impl Into<String>) -> Self {
        self.field = field.into();
        self
    }

    /// What its values are held for.
    pub fn purpose(mut self, purpose: impl Into<String>) -> Self {
        self.purpose = purpose.into();
        self
    }

    /// How the column holds envelopes.
    pub fn form(mut self, form: Form) -> Self {
        self.form = form;
        self
    }

    /// What its values are: needed to adopt them, and to reveal a list as one.
    pub fn of(mut self, ty: ValueType) -> Self {
        self.ty = ty;
        self
    }

    /// Values that are adopted are padded to a multiple of so many bytes. What is resealed keeps its padding.
    pub fn pad(mut self, pad: usize) -> Self {
        self.pad = pad;
        self
    }

    /// The column that holds the plaintext until it is adopted. It may be the sealed column itself, where that holds text.
    pub fn from(mut self, column: impl Into<String>) -> Self {
        self.from = Some(column.into());
        self
    }

    /// Whether a cell looks like a sealed value.
    pub(super) fn holds_envelope(&self, cell: &Cell) -> bool {
        self.form.read(cell).is_ok_and(|envelope| Envelope::parse(&envelope).is_ok())
    }

    /// Whether the plaintext is in the column of the sealed value.
    pub(super) fn is_in_place(&self) -> bool {
        self.from.as_ref() == Some(&self.column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_map_has_another_fingerprint() {
        let of = |kind: &str, id| {
            TableMap::new("customer", ["id"], "customer", SubjectColumn::new(kind, id))
                .unbound()
                .field(FieldMap::new("email"))
        };
        let one = of("customer", IdColumn::integer("id"));
        assert_eq!(one.fingerprint(), one.clone().fingerprint());
        for other in [
            one.clone().field(FieldMap::new("a")),
            one.clone().clear("plan"),
            one.clone().tenant_column("t"),
            of("employee", IdColumn::integer("id")),
            one.clone().ids([IdColumn::integer("id").zero()]),
        ] {
            assert_ne!(one.fingerprint(), other.fingerprint());
        }
    }
}

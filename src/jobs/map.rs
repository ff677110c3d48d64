//! [`TableMap`]: what the columns of an application's table mean, so that bulk work finds each sealed value's place.
//!
//! It says again what `#[derive(Record)]` says of the same table: where the two differ, nothing opens.

use std::fmt::Write as _;

use super::form::{Form, ValueType};
use crate::crypto::mac;
use crate::envelope::MAX_PAD;
use crate::error::{Error, Result};
use crate::id::{Id, Purpose, RecordIds, SubjectId, TenantId, ToId as _};
use crate::rows::{Cell, Row, Table};

/// What the columns of a table mean.
///
/// ```
/// use fieldseal::jobs::{FieldMap, IdColumn, TableMap};
///
/// // #[derive(Record)] #[record(schema = "customer")] struct Customer { #[record(id, subject)] id: Uuid, email: .., iban: .. }
/// let customers = TableMap::new("customer", ["id"], "customer", IdColumn::uuid("id"))
///     .ids([IdColumn::uuid("id")])
///     .field(FieldMap::new("email"))
///     .field(FieldMap::new("iban").purpose("billing"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct TableMap {
    table: String,
    key: Vec<String>,
    schema: String,
    tenant: TenantOf,
    subject: IdColumn,
    /// None while it isn't said.
    ids: Option<Vec<IdColumn>>,
    clear: Vec<String>,
    fields: Vec<FieldMap>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum TenantOf {
    One(TenantId),
    Column(String),
}

/// A column that holds an id: a subject's, or a record's.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct IdColumn {
    name: String,
    ty: IdType,
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
        subject: IdColumn,
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
        want(&self.subject.name);
        self.ids.iter().flatten().for_each(|id| want(&id.name));
        for field in &self.fields {
            want(&field.column);
            field.from.iter().for_each(|from| want(from));
        }
        self.clear.iter().for_each(|name| want(name));
        Table::new(&self.table, &self.key, columns)
    }

    /// The columns into which plaintext is to be sealed, and whether each is to hold text: what a table needs before it is
    /// adopted.
    pub fn sealed_columns(&self) -> Vec<(String, bool)> {
        let adopting = self.fields.iter().filter(|field| field.from.is_some());
        adopting.map(|field| (field.column.clone(), field.form == Form::Text)).collect()
    }

    /// The table's name.
    pub fn name(&self) -> &str {
        &self.table
    }

    pub(super) fn schema(&self) -> &str {
        &self.schema
    }

    /// The column that names the subject.
    #[cfg(feature = "serde")]
    pub(super) fn subject_column(&self) -> &IdColumn {
        &self.subject
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
        Self { name: column.into(), ty: IdType::Integer }
    }

    /// Ids that are text, taken as it is.
    pub fn text(column: impl Into<String>) -> Self {
        Self { name: column.into(), ty: IdType::Text }
    }

    /// Ids that are UUIDs, as 16 bytes or as text.
    pub fn uuid(column: impl Into<String>) -> Self {
        Self { name: column.into(), ty: IdType::Uuid }
    }

    #[cfg(feature = "serde")]
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The cells that an id may stand as in this column.
    #[cfg(feature = "serde")]
    pub(super) fn cells_of(&self, id: &SubjectId) -> Result<Vec<Cell>> {
        let text = || Cell::text(id.as_str());
        Ok(match self.ty {
            IdType::Integer => vec![Cell::Integer(
                id.as_str().parse().map_err(|_| Error::invalid("the subject ids of this table are integers"))?,
            )],
            IdType::Text => vec![text()],
            IdType::Uuid => {
                let bytes =
                    uuid_bytes(id.as_str()).ok_or_else(|| Error::invalid("the subject ids of this table are UUIDs"))?;
                vec![Cell::bytes(bytes), text()]
            }
        })
    }

    fn id<'c>(&self, cell: &'c Cell) -> Result<Id<'c>> {
        match (self.ty, cell) {
            (IdType::Integer, Cell::Integer(n)) => n.to_id().and_then(|_| Id::display(n)),
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

    /// How envelopes stand in the column.
    pub fn form(mut self, form: Form) -> Self {
        self.form = form;
        self
    }

    /// What its values are: needed to adopt them, and to reveal them.
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

    /// Whether the plaintext stands in the column of the sealed value.
    pub(super) fn is_in_place(&self) -> bool {
        self.from.as_ref() == Some(&self.column)
    }
}

/// A map, held against the columns of a source.
#[derive(Debug)]
pub(super) struct Bound<'m> {
    pub(super) map: &'m TableMap,
    tenant: Option<usize>,
    subject: usize,
    ids: Vec<(&'m IdColumn, usize)>,
    pub(super) fields: Vec<BoundField<'m>>,
    #[cfg_attr(not(feature = "serde"), expect(dead_code, reason = "it is revealed, and nothing else"))]
    pub(super) clear: Vec<(&'m str, usize)>,
}

#[derive(Debug)]
pub(super) struct BoundField<'m> {
    pub(super) spec: &'m FieldMap,
    /// Where its column stands among the source's.
    pub(super) column: usize,
    pub(super) from: Option<usize>,
}

/// Where a row's values belong.
#[derive(Debug)]
pub(super) struct RowPlace<'r> {
    pub(super) tenant: TenantId,
    pub(super) subject: SubjectId,
    pub(super) ids: RowIds<'r>,
}

#[derive(Debug)]
pub(super) struct RowIds<'r>(Vec<Id<'r>>);

impl RecordIds for RowIds<'_> {
    fn each_id(&self, each: &mut dyn FnMut(Id<'_>) -> Result<()>) -> Result<()> {
        self.0.iter().try_for_each(|id| each(id.clone()))
    }
}

impl<'m> Bound<'m> {
    /// # Errors
    /// [`Error::InvalidInput`] if the map contradicts itself, or names a column that the source has not.
    pub(super) fn new(map: &'m TableMap, columns: &[String]) -> Result<Self> {
        let find = |name: &str| {
            let missing = || Error::invalid(format!("the source of rows was made without the column {name:?}"));
            columns.iter().position(|column| column == name).ok_or_else(missing)
        };
        let Some(ids) = &map.ids else {
            return Err(Error::invalid("name the record ids of the table, or say that its records are unbound"));
        };
        Id::text(map.table.as_str())?;
        Id::text(map.schema.as_str())?;
        if map.fields.is_empty() {
            return Err(Error::invalid("name a column that holds sealed values"));
        }
        for (at, field) in map.fields.iter().enumerate() {
            Id::text(field.field.as_str())?;
            Purpose::new(&field.purpose)?;
            if field.pad > MAX_PAD {
                return Err(Error::invalid("padding is to at most 65536 bytes"));
            }
            if field.is_in_place() && field.form != Form::Text {
                return Err(Error::invalid("a column that keeps its plaintext until it is sealed holds the text form"));
            }
            let twice = |other: &FieldMap| other.column == field.column || other.field == field.field;
            if map.fields.iter().take(at).any(twice) {
                return Err(Error::invalid("two fields have the same column or the same name"));
            }
        }
        let field = |spec: &'m FieldMap| {
            let from = spec.from.as_deref().map(find).transpose()?;
            Ok(BoundField { spec, column: find(&spec.column)?, from })
        };
        Ok(Self {
            map,
            tenant: match &map.tenant {
                TenantOf::One(_) => None,
                TenantOf::Column(name) => Some(find(name)?),
            },
            subject: find(&map.subject.name)?,
            ids: ids.iter().map(|id| Ok((id, find(&id.name)?))).collect::<Result<_>>()?,
            fields: map.fields.iter().map(field).collect::<Result<_>>()?,
            clear: map.clear.iter().map(|name| Ok((name.as_str(), find(name)?))).collect::<Result<_>>()?,
        })
    }

    /// Whose row it is, and what it is bound to.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if a column holds no id of its type, or a placeholder.
    pub(super) fn place<'r>(&self, row: &'r Row) -> Result<RowPlace<'r>> {
        let tenant = match (&self.map.tenant, self.tenant) {
            (TenantOf::Column(name), Some(at)) => match cell(row, at)? {
                Cell::Text(text) => TenantId::new(text.as_str())?,
                Cell::Integer(n) => TenantId::new(n.to_string())?,
                _ => return Err(Error::invalid(format!("the column {name:?} names no tenant"))),
            },
            (TenantOf::One(tenant), _) => tenant.clone(),
            (TenantOf::Column(_), None) => return Err(Error::Bug("a tenant's column that was not looked for")),
        };
        let subject = SubjectId::new(self.map.subject.id(cell(row, self.subject)?)?.as_str())?;
        let ids = self.ids.iter().map(|(id, at)| id.id(cell(row, *at)?)).collect::<Result<_>>()?;
        Ok(RowPlace { tenant, subject, ids: RowIds(ids) })
    }
}

/// One cell of a row.
///
/// # Errors
/// [`Error::Rows`] if the source gave fewer than it has columns.
pub(super) fn cell(row: &Row, at: usize) -> Result<&Cell> {
    row.cells
        .get(at)
        .ok_or_else(|| crate::error::RowsError::corrupt("a row has fewer cells than the source has columns").into())
}

fn uuid_id<'a>(bytes: &[u8; 16]) -> Result<Id<'a>> {
    if *bytes == [0; 16] {
        return Err(Error::invalid("the nil UUID is a placeholder: it names nobody"));
    }
    Id::display(uuid_text(bytes))
}

/// Hyphenated, in lower case.
pub(super) fn uuid_text(bytes: &[u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// What hyphenated text of a UUID stands for, in either case.
pub(super) fn uuid_bytes(text: &str) -> Option<[u8; 16]> {
    let digits: Vec<u8> = text.bytes().filter(|b| *b != b'-').map(hex).collect::<Option<_>>()?;
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    let bytes: [u8; 16] = pairs.iter().map(|[high, low]| high << 4 | low).collect::<Vec<_>>().try_into().ok()?;
    uuid_text(&bytes).eq_ignore_ascii_case(text).then_some(bytes)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|n| u8::try_from(n).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::RowKey;

    const UUID: [u8; 16] =
        [0x67, 0xe5, 0x50, 0x44, 0x10, 0xb1, 0x42, 0x6f, 0x92, 0x47, 0xbb, 0x68, 0x0e, 0x5f, 0xe0, 0xc8];
    const TEXT: &str = "67e55044-10b1-426f-9247-bb680e5fe0c8";

    fn map(subject: IdColumn) -> TableMap {
        TableMap::new("customer", ["id"], "customer", subject).field(FieldMap::new("email"))
    }

    fn row(cell: Cell) -> Row {
        Row { key: RowKey::new(vec![Cell::Integer(1)]), cells: vec![cell, Cell::Null] }
    }

    #[test]
    fn ids_become_the_text_that_the_applications_types_become() {
        for (id, cell, text) in [
            (IdColumn::integer("id"), Cell::Integer(-17), "-17"),
            (IdColumn::text("id"), Cell::text("Ada"), "Ada"),
            (IdColumn::uuid("id"), Cell::bytes(UUID), TEXT),
            (IdColumn::uuid("id"), Cell::text(TEXT.to_uppercase()), TEXT),
        ] {
            let map = map(id.clone()).ids([id]);
            let columns = map.table().columns;
            let (row, bound) = (row(cell), Bound::new(&map, &columns).unwrap());
            let place = bound.place(&row).unwrap();
            assert_eq!(place.subject.as_str(), text);
            assert_eq!(place.ids.0[0].as_str(), text);
        }
    }

    #[test]
    fn placeholders_and_other_types_name_nobody() {
        for (id, cell) in [
            (IdColumn::integer("id"), Cell::Integer(0)),
            (IdColumn::integer("id"), Cell::text("17")),
            (IdColumn::text("id"), Cell::text("")),
            (IdColumn::text("id"), Cell::Integer(17)),
            (IdColumn::uuid("id"), Cell::bytes([0; 16])),
            (IdColumn::uuid("id"), Cell::bytes([1; 15])),
            (IdColumn::uuid("id"), Cell::text("67e5504410b1426f9247bb680e5fe0c8")),
            (IdColumn::uuid("id"), Cell::text("67e5504-410b1-426f-9247-bb680e5fe0c8")),
            (IdColumn::text("id"), Cell::Null),
        ] {
            let map = map(id).unbound();
            let columns = map.table().columns;
            assert!(Bound::new(&map, &columns).unwrap().place(&row(cell)).is_err());
        }
    }

    #[test]
    fn a_map_that_contradicts_itself_is_refused() {
        let ok = || map(IdColumn::integer("id"));
        let refused = |map: TableMap| Bound::new(&map, &map.table().columns).is_err();
        assert!(!refused(ok().unbound()));
        assert!(refused(ok()), "neither ids nor unbound");
        assert!(refused(ok().unbound().field(FieldMap::new("email"))), "a column twice");
        assert!(refused(ok().unbound().field(FieldMap::new("other").named("email"))), "a field twice");
        assert!(refused(ok().unbound().field(FieldMap::new("a").purpose(""))));
        assert!(refused(ok().unbound().field(FieldMap::new("a").pad(70_000))));
        assert!(refused(ok().unbound().field(FieldMap::new("a").from("a"))), "bytes can't be adopted in place");
        assert!(!refused(ok().unbound().field(FieldMap::new("a").from("a").form(Form::Text))));
        assert!(refused(TableMap::new("t", ["id"], "", IdColumn::integer("id")).unbound().field(FieldMap::new("a"))));
        assert!(refused(TableMap::new("t", ["id"], "s", IdColumn::integer("id")).unbound()), "no field");
        assert!(Bound::new(&ok().unbound(), &["id".to_owned()]).is_err(), "a column that the source has not");
    }

    #[test]
    fn another_map_has_another_fingerprint() {
        let one = map(IdColumn::integer("id")).unbound();
        assert_eq!(one.fingerprint(), one.clone().fingerprint());
        for other in [one.clone().field(FieldMap::new("a")), one.clone().clear("plan"), one.clone().tenant_column("t")]
        {
            assert_ne!(one.fingerprint(), other.fingerprint());
        }
    }
}

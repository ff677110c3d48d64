//! [`Bound`]: a map, held against the columns of a source; and where each row's values belong.

use super::form::{Form, ValueType};
use super::map::{FieldMap, IdColumn, TableMap, TenantOf, check_zeros};
use crate::envelope::MAX_PAD;
use crate::error::{Error, Result, RowsError};
use crate::id::{Id, Purpose, RecordIds, SubjectId, SubjectKind, TenantId};
use crate::rows::{Cell, Row};

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
    /// Where its column is among the source's.
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
        SubjectKind::new(&map.subject.kind)?;
        check_zeros(&map.subject.id, ids)?;
        if map.fields.is_empty() {
            return Err(Error::invalid("name a column that holds sealed values"));
        }
        for (at, field) in map.fields.iter().enumerate() {
            Id::text(field.field.as_str())?;
            Purpose::new(&field.purpose)?;
            if field.pad > MAX_PAD {
                return Err(Error::invalid("padding is to at most 65536 bytes"));
            }
            if field.from.is_some() && field.ty == ValueType::List {
                return Err(Error::invalid("a list can't be adopted: no cell holds one in the clear"));
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
            subject: find(&map.subject.id.name)?,
            ids: ids.iter().map(|id| Ok((id, find(&id.name)?))).collect::<Result<_>>()?,
            fields: map.fields.iter().map(field).collect::<Result<_>>()?,
            clear: map.clear.iter().map(|name| Ok((name.as_str(), find(name)?))).collect::<Result<_>>()?,
        })
    }

    /// Whether the row is nobody's: its subject column is NULL.
    pub(super) fn is_of_nobody(&self, row: &Row) -> bool {
        cell(row, self.subject).is_ok_and(Cell::is_null)
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
        let id = self.map.subject.id.id(cell(row, self.subject)?)?;
        let subject = SubjectId::new(&self.map.subject.kind, id.as_str())?;
        let ids = self.ids.iter().map(|(id, at)| id.id(cell(row, *at)?)).collect::<Result<_>>()?;
        Ok(RowPlace { tenant, subject, ids: RowIds(ids) })
    }
}

/// One cell of a row.
///
/// # Errors
/// [`Error::Rows`] if the source gave fewer than it has columns.
pub(super) fn cell(row: &Row, at: usize) -> Result<&Cell> {
    row.cells.get(at).ok_or_else(|| RowsError::corrupt("a row has fewer cells than the source has columns").into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::SubjectColumn;
    use crate::rows::RowKey;

    const UUID: [u8; 16] =
        [0x67, 0xe5, 0x50, 0x44, 0x10, 0xb1, 0x42, 0x6f, 0x92, 0x47, 0xbb, 0x68, 0x0e, 0x5f, 0xe0, 0xc8];
    const TEXT: &str = "67e55044-10b1-426f-9247-bb680e5fe0c8";

    fn map(subject: IdColumn) -> TableMap {
        let subject = SubjectColumn::new("customer", subject);
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
            assert_eq!((place.subject.kind(), place.subject.id()), ("customer", text));
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
    fn zero_is_an_id_where_the_map_says_so() {
        let of = |line: IdColumn| map(IdColumn::integer("id")).ids([IdColumn::integer("id"), line]);
        let row = Row {
            key: RowKey::new(vec![Cell::Integer(1)]),
            cells: vec![Cell::Integer(17), Cell::Integer(0), Cell::Null],
        };
        let (zero, placeholder) = (of(IdColumn::integer("line").zero()), of(IdColumn::integer("line")));
        let columns = zero.table().columns;
        assert_eq!(columns, ["id", "line", "email"]);
        let bound = Bound::new(&zero, &columns).unwrap();
        let ids = bound.place(&row).unwrap().ids.0;
        assert_eq!(ids.iter().map(Id::as_str).collect::<Vec<_>>(), ["17", "0"]);
        assert!(Bound::new(&placeholder, &columns).unwrap().place(&row).is_err());
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
        assert!(!refused(ok().unbound().field(FieldMap::new("a").of(ValueType::List))));
        assert!(refused(ok().unbound().field(FieldMap::new("a").of(ValueType::List).from("b"))), "a list in the clear");
        let of = |schema: &str, kind: &str| {
            TableMap::new("t", ["id"], schema, SubjectColumn::new(kind, IdColumn::integer("id"))).unbound()
        };
        assert!(!refused(of("s", "customer").field(FieldMap::new("a"))));
        assert!(refused(of("", "customer").field(FieldMap::new("a"))), "no schema");
        assert!(refused(of("s", "Customer").field(FieldMap::new("a"))), "no kind");
        assert!(refused(of("s", "customer")), "no field");
        let ids = |ids: &[IdColumn]| ok().ids(ids.iter().cloned());
        let (line, other) = (IdColumn::integer("line").zero(), IdColumn::integer("other"));
        assert!(!refused(ids(&[other.clone(), line.clone()])));
        assert!(refused(ids(std::slice::from_ref(&line))), "a placeholder, where it stands alone");
        assert!(refused(ids(&[line.clone(), other.clone().zero()])), "two that may be 0");
        assert!(refused(ids(&[IdColumn::text("line").zero(), other])), "no integer");
        assert!(refused(map(IdColumn::integer("id").zero()).unbound()), "a subject");
        assert!(Bound::new(&ok().unbound(), &["id".to_owned()]).is_err(), "a column that the source has not");
    }
}

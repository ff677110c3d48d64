//! The application's tables, as `keytool.toml` maps them: [`MappedTable`].

use std::sync::Arc;

use fieldseal::TenantId;
use fieldseal::jobs::{FieldMap, Form, IdColumn, SubjectColumn, TableMap, ValueType};
use fieldseal::rows::RowSource;

use crate::bulk::Bulk;
use crate::config::{self, FieldConfig, FieldForm, FieldType, IdType, TableConfig, TenantSource};
use crate::exit::{Exit, Failure};
use crate::open::Tool;

/// A table of the application, and how its rows are reached.
pub(crate) struct MappedTable {
    pub(crate) map: TableMap,
    pub(crate) rows: Arc<dyn RowSource>,
}

impl Tool {
    /// The tables that a job is to go through, each held against the database.
    pub(crate) async fn tables(&self, bulk: &Bulk) -> Result<Vec<MappedTable>, Failure> {
        self.reached(&self.mapped(&bulk.tables)?, bulk).await
    }

    /// Of these, those that have a field that is to be sealed.
    pub(crate) async fn adopting_tables(&self, bulk: &Bulk) -> Result<Vec<MappedTable>, Failure> {
        self.reached(&self.adopting(&bulk.tables)?, bulk).await
    }

    async fn reached(&self, configs: &[&TableConfig], bulk: &Bulk) -> Result<Vec<MappedTable>, Failure> {
        let maps: Vec<_> = configs.iter().map(|config| map_of(config)).collect::<Result<_, _>>()?;
        let database = self.database(bulk.connections()).await?;
        let mut tables = Vec::new();
        for map in maps {
            let rows = database.rows(&map).await?;
            tables.push(MappedTable { map, rows });
        }
        Ok(tables)
    }

    /// The tables of these names, in the configuration's order; all that are mapped if none is named.
    fn mapped(&self, named: &[String]) -> Result<Vec<&TableConfig>, Failure> {
        let tables = self.config.tables();
        if tables.is_empty() {
            let what = "the configuration maps no table: write a [[table]] for each that holds sealed fields \
                        (docs/keytool.md)";
            return Err(Failure::new(Exit::Usage, "configuration", what));
        }
        if let Some(name) = named.iter().find(|name| !tables.iter().any(|table| table.name() == *name)) {
            return Err(Failure::usage(format!("the configuration maps no table {name:?}")));
        }
        let is_named = |table: &&TableConfig| named.is_empty() || named.iter().any(|name| name == table.name());
        Ok(tables.iter().filter(is_named).collect())
    }

    /// Of these, those that have a field with `from`; each that is named must have one.
    pub(crate) fn adopting(&self, named: &[String]) -> Result<Vec<&TableConfig>, Failure> {
        let mapped = self.mapped(named)?;
        let adopts = |table: &&TableConfig| table.fields().iter().any(|field| field.from().is_some());
        let none = |of: &str| {
            let what = format!("no field of {of} has a `from`: name the column of its plaintext in the configuration");
            Failure::new(Exit::Usage, "configuration", what)
        };
        match mapped.iter().find(|table| !adopts(table)) {
            Some(table) if !named.is_empty() => return Err(none(&format!("the table {:?}", table.name()))),
            _ => {}
        }
        let adopting: Vec<_> = mapped.into_iter().filter(adopts).collect();
        if adopting.is_empty() { Err(none("these tables")) } else { Ok(adopting) }
    }
}

/// A table's configuration, as the library takes it.
pub(crate) fn map_of(config: &TableConfig) -> Result<TableMap, Failure> {
    let config::SubjectColumn { kind, column, ty } = config.subject();
    let subject = SubjectColumn::new(kind, id_column(column, *ty));
    let map = TableMap::new(config.name(), config.key(), config.schema(), subject);
    let id = |id: &config::IdColumn| {
        let column = id_column(&id.column, id.ty);
        if id.zero { column.zero() } else { column }
    };
    let map = map.ids(config.ids().iter().map(id));
    let map = match config.tenant() {
        TenantSource::Name(name) => map.tenant(TenantId::new(name)?),
        TenantSource::Column(tenant) => map.tenant_column(&tenant.column),
    };
    let map = config.clear().iter().fold(map, |map, column| map.clear(column));
    Ok(config.fields().iter().fold(map, |map, field| map.field(field_of(field))))
}

fn id_column(column: &str, ty: IdType) -> IdColumn {
    match ty {
        IdType::Integer => IdColumn::integer(column),
        IdType::Text => IdColumn::text(column),
        IdType::Uuid => IdColumn::uuid(column),
    }
}

fn field_of(config: &FieldConfig) -> FieldMap {
    let form = match config.form() {
        FieldForm::Bytes => Form::Bytes,
        FieldForm::Text => Form::Text,
    };
    let ty = match config.kind() {
        FieldType::Text => ValueType::Text,
        FieldType::Bytes => ValueType::Bytes,
        FieldType::Bool => ValueType::Bool,
        FieldType::Integer => ValueType::Integer,
        FieldType::Float => ValueType::Float,
        FieldType::Date => ValueType::Date,
        FieldType::Instant => ValueType::Instant,
        FieldType::LocalDatetime => ValueType::LocalDateTime,
        FieldType::Time => ValueType::Time,
        FieldType::Uuid => ValueType::Uuid,
        FieldType::Decimal => ValueType::Decimal,
        FieldType::Json => ValueType::Json,
        FieldType::Ip => ValueType::Ip,
        FieldType::List => ValueType::List,
    };
    let field = FieldMap::new(config.column()).named(config.field()).purpose(config.purpose());
    let field = field.form(form).of(ty).pad(config.pad());
    match config.from() {
        Some(from) => field.from(from),
        None => field,
    }
}

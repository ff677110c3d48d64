//! `[[table]]`: which columns of the application's database hold sealed fields, and what their envelopes are bound to.

use fieldseal::envelope::MAX_PAD;
use serde::Deserialize;

use super::parts;

/// A table with sealed fields.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "RawTable")]
pub(crate) struct TableConfig(RawTable);

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTable {
    name: String,
    schema: String,
    #[serde(default)]
    tenant: TenantSource,
    key: Vec<String>,
    subject: SubjectColumn,
    ids: Option<Vec<IdColumn>>,
    #[serde(default)]
    unbound: bool,
    #[serde(default)]
    clear: Vec<String>,
    #[serde(default, rename = "field")]
    fields: Vec<FieldConfig>,
}

/// Which tenant a row is of.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "a tenant is \"NAME\" or { column = \"COLUMN\" }")]
pub(crate) enum TenantSource {
    /// All rows are of this one.
    Name(String),
    /// The column says.
    Column(TenantColumn),
}

/// The column that names a row's tenant.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TenantColumn {
    pub(crate) column: String,
}

impl Default for TenantSource {
    fn default() -> Self {
        Self::Name("default".to_owned())
    }
}

/// The column that names the person, and what they are.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubjectColumn {
    #[serde(deserialize_with = "parts::kind")]
    pub(crate) kind: String,
    pub(crate) column: String,
    #[serde(rename = "type")]
    pub(crate) ty: IdType,
}

/// A column that holds an id of the record.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IdColumn {
    pub(crate) column: String,
    #[serde(rename = "type")]
    pub(crate) ty: IdType,
    /// 0 is an id like any other.
    #[serde(default)]
    pub(crate) zero: bool,
}

/// What an id column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum IdType {
    Integer,
    Text,
    Uuid,
}

/// A sealed field, and the column that it is in.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "RawField")]
pub(crate) struct FieldConfig(RawField);

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawField {
    column: String,
    field: Option<String>,
    #[serde(default = "default_purpose")]
    purpose: String,
    #[serde(default)]
    form: FieldForm,
    #[serde(rename = "type")]
    kind: FieldType,
    #[serde(default)]
    pad: usize,
    from: Option<String>,
}

/// How the column holds an envelope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FieldForm {
    /// BLOB or BYTEA.
    #[default]
    Bytes,
    /// `fs1..`
    Text,
}

/// The type of the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FieldType {
    Text,
    Bytes,
    Bool,
    Integer,
    Float,
    Date,
    Instant,
    LocalDatetime,
    Time,
    Uuid,
    Decimal,
    Json,
    Ip,
    List,
}

impl TableConfig {
    /// As SQL names it: `table` or `schema.table`.
    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }

    /// The record's schema name.
    pub(crate) fn schema(&self) -> &str {
        &self.0.schema
    }

    /// Which tenant a row is of.
    pub(crate) fn tenant(&self) -> &TenantSource {
        &self.0.tenant
    }

    /// The columns of the primary key: the order in which rows are gone through. At least one.
    pub(crate) fn key(&self) -> &[String] {
        &self.0.key
    }

    /// The column that names the person.
    pub(crate) fn subject(&self) -> &SubjectColumn {
        &self.0.subject
    }

    /// The record's ids in the order of the declaration: at most four, none where the record is bound to none.
    pub(crate) fn ids(&self) -> &[IdColumn] {
        self.0.ids.as_deref().unwrap_or_default()
    }

    /// Columns in the clear that belong to the person.
    pub(crate) fn clear(&self) -> &[String] {
        &self.0.clear
    }

    /// The sealed fields: at least one, of different columns.
    pub(crate) fn fields(&self) -> &[FieldConfig] {
        &self.0.fields
    }
}

impl FieldConfig {
    /// The column of the envelope.
    pub(crate) fn column(&self) -> &str {
        &self.0.column
    }

    /// The field's name in the record.
    pub(crate) fn field(&self) -> &str {
        self.0.field.as_deref().unwrap_or(&self.0.column)
    }

    /// The purpose whose key it is sealed under.
    pub(crate) fn purpose(&self) -> &str {
        &self.0.purpose
    }

    /// How the column holds the envelope.
    pub(crate) fn form(&self) -> FieldForm {
        self.0.form
    }

    /// The type of the value.
    pub(crate) fn kind(&self) -> FieldType {
        self.0.kind
    }

    /// Values are padded to a multiple of so many bytes; 0 where they aren't.
    pub(crate) fn pad(&self) -> usize {
        self.0.pad
    }

    /// The column that holds the plaintext, for a field that is yet to be sealed.
    pub(crate) fn from(&self) -> Option<&str> {
        self.0.from.as_deref()
    }
}

impl TryFrom<RawTable> for TableConfig {
    type Error = String;

    fn try_from(raw: RawTable) -> Result<Self, String> {
        let of = |what: &str| format!("table {:?}: {what}", raw.name);
        let parts: Vec<&str> = raw.name.split('.').collect();
        if parts.len() > 2 || !parts.into_iter().all(is_name) {
            return Err("`name` is a table's: \"table\" or \"schema.table\", without quotes".to_owned());
        }
        if raw.schema.is_empty() {
            return Err(of("`schema` is the name of the record: it is not empty"));
        }
        if raw.key.is_empty() {
            return Err(of("`key` names the columns of the primary key: `key = [\"id\"]`"));
        }
        match (raw.ids.as_deref(), raw.unbound) {
            (None | Some([]), false) => {
                return Err(of("`ids` names the columns of the record's ids, as it declares them: \
                               `ids = [{ column = \"id\", type = \"integer\" }]`. For a record without any write \
                               `unbound = true`"));
            }
            (Some([_, ..]), true) => return Err(of("a record with `ids` is not `unbound`: leave one of the two out")),
            (Some(ids), _) if ids.len() > MAX_IDS => return Err(of("a record has at most 4 `ids`")),
            (Some(ids), _) if ids.iter().any(|id| id.zero && (ids.len() == 1 || id.ty != IdType::Integer)) => {
                return Err(of("`zero = true` is for an integer among several `ids`"));
            }
            (Some(ids), _) if ids.iter().filter(|id| id.zero).count() > 1 => {
                return Err(of("only one of the `ids` may be 0"));
            }
            _ => {}
        }
        if matches!(&raw.tenant, TenantSource::Name(name) if name.is_empty()) {
            return Err(of("a `tenant` has a name: leave the line out for \"default\""));
        }
        if raw.fields.is_empty() {
            return Err(of("it has no sealed field: write a [[table.field]] for each"));
        }
        let ids = raw.ids.iter().flatten().map(|id| &id.column).chain([&raw.subject.column]);
        let of_tenant = match &raw.tenant {
            TenantSource::Column(tenant) => Some(&tenant.column),
            TenantSource::Name(_) => None,
        };
        let clear: Vec<&String> = raw.key.iter().chain(&raw.clear).chain(ids).chain(of_tenant).collect();
        if let Some(wrong) = clear.iter().find(|column| !is_name(column)) {
            return Err(of(&format!("{wrong:?} is no column's name: write it without quotes")));
        }
        for (at, field) in raw.fields.iter().enumerate() {
            let (before, column) = (raw.fields.iter().take(at), field.column());
            if before.clone().any(|other| other.column() == column) {
                return Err(of(&format!("two fields have the column {column:?}")));
            }
            if before.clone().any(|other| other.field() == field.field()) {
                return Err(of(&format!("two fields are named {:?}: a record has a name once", field.field())));
            }
            if clear.iter().any(|other| *other == column) {
                return Err(of(&format!(
                    "{column:?} is a sealed field, and a column in the clear: it is one of the two"
                )));
            }
        }
        for (at, column) in raw.key.iter().enumerate() {
            if raw.key.iter().take(at).any(|other| other == column) {
                return Err(of(&format!("`key` names {column:?} twice")));
            }
        }
        Ok(Self(raw))
    }
}

impl TryFrom<RawField> for FieldConfig {
    type Error = String;

    fn try_from(raw: RawField) -> Result<Self, String> {
        let of = |what: &str| format!("column {:?}: {what}", raw.column);
        if ![Some(&raw.column), raw.from.as_ref()].into_iter().flatten().all(|column| is_name(column)) {
            return Err(of("`column` and `from` name columns, without quotes"));
        }
        if raw.field.as_deref() == Some("") || raw.purpose.is_empty() {
            return Err(of("`field` and `purpose` are not empty: leave the line out for the default"));
        }
        if raw.pad == 1 || raw.pad > MAX_PAD {
            return Err(of("`pad` is 0, or a number from 2 to 65536, to a multiple of which values are padded"));
        }
        if raw.from.is_some() && raw.kind == FieldType::List {
            return Err(of("a list is never in the clear: leave `from` out"));
        }
        if raw.from.as_ref() == Some(&raw.column) && raw.form == FieldForm::Bytes {
            return Err(of(
                "`from` may be the same column for `form = \"text\"` alone: bytes can't be told from plaintext",
            ));
        }
        Ok(Self(raw))
    }
}

/// What can be quoted in SQL as it is.
fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(['"', '\0', '`', '[', ']'])
}

fn default_purpose() -> String {
    fieldseal::id::Purpose::DEFAULT.to_owned()
}

const MAX_IDS: usize = 4;

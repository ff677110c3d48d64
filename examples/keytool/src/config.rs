//! `keytool.toml`: where keys, journal and tables are. Parsed, checked, and wrong in a line that is named. `docs/keytool.md`
//! has the reference.
//!
//! What one key may hold is checked by its type, so that the error has the line; what several keys mean together, by the
//! table that they stand in. Imports `config`'s own parts and `exit`.

mod masters;
mod parts;
mod table;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use fieldseal::TenantId;

pub(crate) use masters::{MemberConfig, ProviderConfig, SetConfig};
pub(crate) use parts::{DatabaseSpec, PassphraseSource, duration};
pub(crate) use table::{FieldConfig, FieldForm, FieldType, IdColumn, IdType, SubjectColumn, TableConfig, TenantSource};

use crate::exit::{Exit, Failure};
use crate::ports::{JournalUrl, StoreUrl};

/// Everything that `keytool.toml` says, checked.
pub(crate) struct Config {
    pub(crate) provider: ProviderConfig,
    /// Tenants with a master key of their own.
    pub(crate) tenants: HashMap<TenantId, ProviderConfig>,
    pub(crate) store: StoreUrl,
    pub(crate) journal: JournalUrl,
    pub(crate) kinds: Vec<String>,
    pub(crate) purposes: Vec<String>,
    max_age: Option<parts::Age>,
    database: Option<DatabaseSpec>,
    tables: Vec<TableConfig>,
    /// The folder of the file: relative paths begin there.
    folder: PathBuf,
}

/// As it stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    provider: SetConfig,
    passphrase: Option<PassphraseSource>,
    #[serde(default)]
    previous: Vec<SetConfig>,
    #[serde(default)]
    tenant_providers: BTreeMap<String, ProviderConfig>,
    #[serde(deserialize_with = "parts::url")]
    store: StoreUrl,
    #[serde(deserialize_with = "parts::url")]
    journal: JournalUrl,
    #[serde(default, deserialize_with = "parts::kinds")]
    kinds: Vec<String>,
    #[serde(default)]
    purposes: Vec<String>,
    max_age: Option<parts::Age>,
    database: Option<DatabaseSpec>,
    #[serde(default, rename = "table")]
    tables: Vec<TableConfig>,
}

impl Config {
    /// Reads the file.
    pub(crate) fn load(file: &Path) -> Result<Self, Failure> {
        let text = fs::read_to_string(file).map_err(|e| {
            let missing = e.kind() == std::io::ErrorKind::NotFound;
            let what = if missing {
                format!(
                    "there is no {}: `keytool init --write-config` makes one, `--config FILE` names another",
                    shown(file)
                )
            } else {
                format!("can't read {}", shown(file))
            };
            Failure::new(Exit::Usage, "configuration", what).because(&e)
        })?;
        let wrong = |what: String| Failure::new(Exit::Usage, "configuration", format!("{}{what}", shown(file)));
        let raw: Raw = toml::from_str(&text).map_err(|e| wrong(described(&text, &e)))?;
        let config = Self::of(raw, folder_of(file)).map_err(|what| wrong(format!(": {what}")))?;
        config.check().map_err(|what| wrong(format!(": {what}")))?;
        Ok(config)
    }

    fn of(raw: Raw, folder: PathBuf) -> Result<Self, String> {
        let Raw { provider, passphrase, previous, tenant_providers, store, journal, .. } = raw;
        let provider = ProviderConfig { set: provider.protected(passphrase.as_ref())?, previous };
        let mut tenants = HashMap::new();
        for (tenant, provider) in tenant_providers {
            let id = TenantId::new(&tenant).map_err(|e| format!("tenant_providers, {tenant:?}: {e}"))?;
            tenants.insert(id, provider);
        }
        let Raw { kinds, purposes, max_age, database, tables, .. } = raw;
        Ok(Self { provider, tenants, store, journal, kinds, purposes, max_age, database, tables, folder })
    }

    /// Where relative paths begin.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A path that stands in the file.
    pub(crate) fn path(&self, path: &Path) -> PathBuf {
        self.folder.join(path)
    }

    /// How long keys that were read may be used, if the file says it.
    pub(crate) fn max_age(&self) -> Option<Duration> {
        self.max_age.map(|age| age.0)
    }

    /// The application's database.
    pub(crate) fn database(&self) -> Result<&DatabaseSpec, Failure> {
        self.database.as_ref().ok_or_else(|| {
            let what = "the configuration names no `database`: write `database = \"sqlite:app.db\"` or \
                        `database = \"postgres://user@host/db\"`";
            Failure::new(Exit::Usage, "configuration", what)
        })
    }

    /// The tables that hold sealed fields.
    pub(crate) fn tables(&self) -> &[TableConfig] {
        &self.tables
    }

    /// What only the whole file tells.
    fn check(&self) -> Result<(), String> {
        if self.kinds.is_empty() {
            return Err(
                "`kinds` says what the subjects are, as the application declares it: `kinds = [\"customer\"]`".into()
            );
        }
        for (at, table) in self.tables.iter().enumerate() {
            if self.tables.iter().take(at).any(|other| other.name() == table.name()) {
                return Err(format!(
                    "there are two [[table]]s with `name = {:?}`: put their fields into one",
                    table.name()
                ));
            }
            let kind = &table.subject().kind;
            if !self.kinds.contains(kind) {
                return Err(format!(
                    "table {:?}: its subjects' `kind = {kind:?}` is not one of `kinds`: add it there",
                    table.name()
                ));
            }
            for field in table.fields() {
                let purpose = field.purpose();
                if purpose != fieldseal::id::Purpose::DEFAULT && !self.purposes.iter().any(|p| p == purpose) {
                    return Err(format!(
                        "table {:?}, column {:?}: its `purpose = {purpose:?}` is not one of `purposes`: add it there",
                        table.name(),
                        field.column()
                    ));
                }
            }
        }
        if !self.tables.is_empty() && self.database.is_none() {
            return Err(
                "there is a [[table]] and no `database` that it is in: write `database = \"sqlite:app.db\"`".into()
            );
        }
        Ok(())
    }
}

/// The folder that a file is in.
pub(crate) fn folder_of(file: &Path) -> PathBuf {
    file.parent().map_or_else(PathBuf::new, Path::to_owned)
}

/// A path as it is told.
pub(crate) fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// `, line 3 (store): what is wrong`. Without the text of the line, which may be a secret in the wrong place.
fn described(text: &str, e: &toml::de::Error) -> String {
    let what = e.message().trim_end();
    let Some(at) = e.span().map(|span| span.start) else { return format!(": {what}") };
    let before = text.get(..at).unwrap_or(text);
    let number = before.matches('\n').count() + 1;
    let line = text.lines().nth(number - 1).unwrap_or_default().trim();
    let key = line.split('=').next().unwrap_or_default().trim();
    let is_key =
        !key.is_empty() && key.len() < line.len() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if is_key || is_header(line) {
        return format!(", line {number} ({}): {what}", if is_key { key } else { line });
    }
    format!(", line {number}: {what}")
}

/// `[name]` and `[[name]]`. A list in a list begins so too, and what it holds may be a URL with a password.
fn is_header(line: &str) -> bool {
    let name = line.trim_start_matches('[').trim_end_matches(']');
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    line.starts_with('[') && !name.is_empty() && name.chars().all(is_name)
}

/// What `init --write-config` writes.
pub(crate) const TEMPLATE: &str = include_str!("../keytool.toml");

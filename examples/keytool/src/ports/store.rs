//! [`StoreUrl`]: where wrapped keys are.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use fieldseal::store::KeyStore;
use fieldseal_sqlx::SqliteStore;

use super::scheme::{Scheme, Schemes};
use super::{Trouble, exists, file, there};

/// Where wrapped keys are.
#[derive(Clone, Debug)]
pub(crate) enum StoreUrl {
    /// An SQLite file of the key store's own.
    Sqlite(PathBuf),
    #[cfg(feature = "postgres")]
    Postgres { url: super::postgres::PostgresUrl, notify: bool, scrub_full: bool },
    #[cfg(feature = "aws")]
    DynamoDb(super::dynamodb::DynamoDbUrl),
}

const SCHEMES: Schemes = Schemes {
    port: "store",
    known: &[
        Scheme { name: "sqlite", form: "sqlite:FILE", feature: None },
        Scheme { name: "postgres", form: "postgres://USER@HOST/DATABASE", feature: Some("postgres") },
        Scheme { name: "dynamodb", form: "dynamodb:TABLE?region=REGION", feature: Some("aws") },
    ],
};

impl StoreUrl {
    /// Where it is, for people.
    pub(crate) fn place(&self, folder: &Path) -> String {
        match self {
            Self::Sqlite(path) => file(folder, path).display().to_string(),
            #[cfg(any(feature = "aws", feature = "postgres"))]
            remote => remote.to_string(),
        }
    }

    /// The file that it is, if it is one.
    pub(crate) fn as_file(&self) -> Option<&Path> {
        match self {
            Self::Sqlite(path) => Some(path),
            #[cfg(any(feature = "aws", feature = "postgres"))]
            _ => None,
        }
    }

    /// Where its slots are, for whoever has to look at one by hand.
    pub(crate) fn table(&self) -> String {
        match self {
            Self::Sqlite(_) => "fieldseal_slots".to_owned(),
            #[cfg(feature = "postgres")]
            Self::Postgres { url, .. } => format!("{}.key_slots", url.schema()),
            #[cfg(feature = "aws")]
            Self::DynamoDb(url) => url.table().to_owned(),
        }
    }

    /// Whether it is there, and whole.
    pub(crate) async fn is_there(&self, folder: &Path) -> Result<bool, Trouble> {
        match self {
            Self::Sqlite(path) => exists(&file(folder, path)),
            #[cfg(feature = "postgres")]
            Self::Postgres { url, .. } => url.has_table(folder, "key_slots").await,
            #[cfg(feature = "aws")]
            Self::DynamoDb(url) => {
                if !url.is_there().await? {
                    return Ok(false);
                }
                let store = fieldseal_aws::DynamoDbStore::new(url.client().await?, url.table());
                match store.load(&[fieldseal::store::SlotId::Vault]).await {
                    Ok(_) => Ok(true),
                    // Made by half, or another's: making it tells.
                    Err(e) if e.kind() == fieldseal::store::StoreErrorKind::Misconfigured => Ok(false),
                    Err(e) => Err(e.into()),
                }
            }
        }
    }

    /// Makes it. What is there is left.
    pub(crate) async fn make(&self, folder: &Path) -> Result<(), Trouble> {
        match self {
            Self::Sqlite(path) => SqliteStore::open(file(folder, path)).await.map(drop)?,
            #[cfg(feature = "postgres")]
            Self::Postgres { url, .. } => {
                fieldseal_sqlx::PostgresStore::builder(url.pool(folder).await?).schema(url.schema()).migrate().await?;
            }
            #[cfg(feature = "aws")]
            Self::DynamoDb(url) => {
                fieldseal_aws::DynamoDbStore::new(url.client().await?, url.table()).create_table().await?;
            }
        }
        Ok(())
    }

    /// Opens it; one that isn't there is an error.
    pub(crate) async fn open(&self, folder: &Path) -> Result<Arc<dyn KeyStore>, Trouble> {
        Ok(match self {
            Self::Sqlite(path) => Arc::new(SqliteStore::open(there("key store", file(folder, path))?).await?),
            #[cfg(feature = "postgres")]
            Self::Postgres { url, notify, scrub_full } => {
                if !url.has_table(folder, "key_slots").await? {
                    return Err(Trouble::missing(format!("there is no key store at {self}")));
                }
                let store = fieldseal_sqlx::PostgresStore::builder(url.pool(folder).await?).schema(url.schema());
                let store = if *notify { store.with_notices() } else { store };
                let store = if *scrub_full { store.with_full_scrub() } else { store };
                Arc::new(super::guarded(store.open().await?))
            }
            #[cfg(feature = "aws")]
            Self::DynamoDb(url) => {
                if !url.is_there().await? {
                    return Err(Trouble::missing(format!("there is no key store at {self}")));
                }
                let store = fieldseal_aws::DynamoDbStore::new(url.client().await?, url.table());
                Arc::new(super::guarded(store))
            }
        })
    }
}

impl FromStr for StoreUrl {
    type Err = Trouble;

    fn from_str(text: &str) -> Result<Self, Trouble> {
        let (scheme, rest) = SCHEMES.split(text)?;
        match scheme {
            "sqlite" => SCHEMES.path(scheme, rest).map(|path| Self::Sqlite(path.into())),
            #[cfg(feature = "postgres")]
            "postgres" => {
                let ours = |query: &mut super::url::Query| {
                    let scrub = query.take("scrub")?;
                    if scrub.as_ref().is_some_and(|scrub| scrub != "full") {
                        return Err(Trouble::usage("`scrub` is `full`, or left out"));
                    }
                    Ok((query.take_switch("notify")?, scrub.is_some()))
                };
                let (url, (notify, scrub_full)) =
                    super::postgres::PostgresUrl::parse(rest, &["notify", "scrub"], ours)?;
                Ok(Self::Postgres { url, notify, scrub_full })
            }
            #[cfg(feature = "aws")]
            "dynamodb" => super::dynamodb::DynamoDbUrl::parse(rest).map(Self::DynamoDb),
            _ => Err(SCHEMES.refuse(scheme)),
        }
    }
}

/// As it was written, without user and password.
impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            #[cfg(feature = "postgres")]
            Self::Postgres { url, .. } => write!(f, "postgres:{url}"),
            #[cfg(feature = "aws")]
            Self::DynamoDb(url) => write!(f, "dynamodb:{url}"),
        }
    }
}

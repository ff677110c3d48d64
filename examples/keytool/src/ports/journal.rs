//! [`JournalUrl`]: where erasures are entered.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use fieldseal::journal::{ErasureJournal, FileJournal};

use super::scheme::{Scheme, Schemes};
use super::{Trouble, exists, file, there};

/// Where erasures are entered.
#[derive(Clone, Debug)]
pub(crate) enum JournalUrl {
    /// A journal file, for one host.
    File(PathBuf),
    #[cfg(feature = "postgres")]
    Postgres(super::postgres::PostgresUrl),
    #[cfg(feature = "aws")]
    DynamoDb(super::dynamodb::DynamoDbUrl),
}

const SCHEMES: Schemes = Schemes {
    port: "journal",
    known: &[
        Scheme { name: "file", form: "file:FILE", feature: None },
        Scheme { name: "postgres", form: "postgres://USER@HOST/DATABASE", feature: Some("postgres") },
        Scheme { name: "dynamodb", form: "dynamodb:TABLE?region=REGION", feature: Some("aws") },
    ],
};

impl JournalUrl {
    /// Where it is, for people.
    pub(crate) fn place(&self, folder: &Path) -> String {
        match self {
            Self::File(path) => file(folder, path).display().to_string(),
            #[cfg(any(feature = "aws", feature = "postgres"))]
            remote => remote.to_string(),
        }
    }

    /// The file that it is, if it is one.
    pub(crate) fn as_file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            #[cfg(any(feature = "aws", feature = "postgres"))]
            _ => None,
        }
    }

    /// Whether it is there, and whole.
    pub(crate) async fn is_there(&self, folder: &Path) -> Result<bool, Trouble> {
        match self {
            Self::File(path) => exists(&file(folder, path)),
            #[cfg(feature = "postgres")]
            Self::Postgres(url) => url.has_table(folder, "journal_entries").await,
            #[cfg(feature = "aws")]
            Self::DynamoDb(url) => {
                if !url.is_there().await? {
                    return Ok(false);
                }
                let journal = fieldseal_aws::DynamoDbJournal::new(url.client().await?, url.table());
                match journal.id().await {
                    Ok(_) => Ok(true),
                    // Made by half, or another's: making it tells.
                    Err(e) if e.kind() == fieldseal::journal::JournalErrorKind::Misconfigured => Ok(false),
                    Err(e) => Err(e.into()),
                }
            }
        }
    }

    /// Makes it. What is there is left.
    pub(crate) async fn make(&self, folder: &Path) -> Result<(), Trouble> {
        match self {
            Self::File(path) => FileJournal::open(file(folder, path)).await.map(drop)?,
            #[cfg(feature = "postgres")]
            Self::Postgres(url) => {
                fieldseal_sqlx::PostgresJournal::builder(url.pool(folder).await?)
                    .schema(url.schema())
                    .migrate()
                    .await?;
            }
            #[cfg(feature = "aws")]
            Self::DynamoDb(url) => {
                fieldseal_aws::DynamoDbJournal::new(url.client().await?, url.table()).create_table().await?;
            }
        }
        Ok(())
    }

    /// Opens it; one that isn't there is an error.
    pub(crate) async fn open(&self, folder: &Path) -> Result<Arc<dyn ErasureJournal>, Trouble> {
        Ok(match self {
            Self::File(path) => Arc::new(FileJournal::open(there("journal", file(folder, path))?).await?),
            #[cfg(feature = "postgres")]
            Self::Postgres(url) => {
                if !url.has_table(folder, "journal_entries").await? {
                    return Err(Trouble::missing(format!("there is no journal at {self}")));
                }
                let journal = fieldseal_sqlx::PostgresJournal::builder(url.pool(folder).await?).schema(url.schema());
                Arc::new(super::guarded(journal.open().await?))
            }
            #[cfg(feature = "aws")]
            Self::DynamoDb(url) => {
                if !url.is_there().await? {
                    return Err(Trouble::missing(format!("there is no journal at {self}")));
                }
                let journal = fieldseal_aws::DynamoDbJournal::new(url.client().await?, url.table());
                Arc::new(super::guarded(journal))
            }
        })
    }
}

impl FromStr for JournalUrl {
    type Err = Trouble;

    fn from_str(text: &str) -> Result<Self, Trouble> {
        let (scheme, rest) = SCHEMES.split(text)?;
        match scheme {
            "file" => SCHEMES.path(scheme, rest).map(|path| Self::File(path.into())),
            #[cfg(feature = "postgres")]
            "postgres" => {
                super::postgres::PostgresUrl::parse(rest, &[], |_| Ok(())).map(|(url, ())| Self::Postgres(url))
            }
            #[cfg(feature = "aws")]
            "dynamodb" => super::dynamodb::DynamoDbUrl::parse(rest).map(Self::DynamoDb),
            _ => Err(SCHEMES.refuse(scheme)),
        }
    }
}

/// As it was written, without user and password.
impl fmt::Display for JournalUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            #[cfg(feature = "postgres")]
            Self::Postgres(url) => write!(f, "postgres:{url}"),
            #[cfg(feature = "aws")]
            Self::DynamoDb(url) => write!(f, "dynamodb:{url}"),
        }
    }
}

//! Master keys, key store and journal by URL: what `keytool.toml` names, and the tool opens.
//!
//! [`ProviderUrl`], [`StoreUrl`] and [`JournalUrl`] are parsed first, so that an error is told before anything is reached;
//! each can then say whether what it names is there, make it, and open it. Behind each scheme of a server stands a feature of
//! this package; a URL of one that this build lacks is refused, with the feature's name. What is remote is given out
//! [`Guarded`].
//!
//! **No error repeats what was written**: it may be a password in the wrong place. Nor does any `Display` have a user, a
//! password or a PIN.
#![cfg_attr(
    not(feature = "default"),
    allow(dead_code, unused_imports, reason = "a build with few backends uses what it needs of this")
)]

#[cfg(feature = "aws")]
mod aws;
#[cfg(feature = "aws")]
mod dynamodb;
mod journal;
#[cfg(feature = "openbao")]
mod openbao;
#[cfg(feature = "pkcs11")]
mod pkcs11;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
mod provider;
mod scheme;
mod store;
#[cfg(any(feature = "aws", feature = "openbao", feature = "postgres"))]
mod tls;
mod trouble;
mod url;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use fieldseal::guard::{Guard, Guarded};

pub(crate) use journal::JournalUrl;
pub(crate) use provider::{Provider, ProviderUrl};
#[cfg(not(feature = "postgres"))]
pub(crate) use scheme::lacks;
pub(crate) use store::StoreUrl;
pub(crate) use trouble::{Kind, Trouble};

/// A port that is somewhere else: every call ends in time. Longer than a service should wait: nobody waits for these but an
/// operator, and one call may be hundreds of requests (a floor that is raised in DynamoDB).
fn guarded<P>(port: P) -> Guarded<P> {
    static GUARD: LazyLock<Guard> = LazyLock::new(|| Guard::new().attempt_deadline(ATTEMPT).deadline(CALL));
    Guarded::new(port, &GUARD)
}

const ATTEMPT: Duration = Duration::from_secs(20);
const CALL: Duration = Duration::from_secs(60);

/// The path of a file behind `scheme:`; a relative one begins in the folder.
fn file(folder: &Path, path: &Path) -> PathBuf {
    folder.join(path)
}

/// Whether something has this name.
fn exists(file: &Path) -> Result<bool, Trouble> {
    file.try_exists().map_err(|e| Trouble::unavailable(format!("can't look for {}", file.display())).because(e))
}

/// A file that must be there: to open it would make it, and an empty one in the place of one that was mistyped, or lost, helps
/// nobody.
fn there(what: &str, file: PathBuf) -> Result<PathBuf, Trouble> {
    match exists(&file)? {
        true => Ok(file),
        false => Err(Trouble::missing(format!("there is no {what} at {}", file.display()))),
    }
}

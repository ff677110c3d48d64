//! What providers that ask several others have in common. Imports `error`, `keys` and the port.

use std::sync::Arc;

use super::{Destruction, MasterKeyProvider};
use crate::error::{ProviderError, ProviderErrorKind, Retry};
use crate::keys::MasterKeyId;

/// The one provider that knows this master key. All are asked: if two know the id, nobody can say which key is to be destroyed.
///
/// A provider that answers [`Destruction::DestroyedHere`] doesn't count while another has the key: its copy is gone, the
/// other's is not.
pub(super) async fn only_keeper<'a>(
    providers: impl Iterator<Item = &'a Arc<dyn MasterKeyProvider>> + Send,
    id: &MasterKeyId,
) -> Result<&'a dyn MasterKeyProvider, ProviderError> {
    let (mut found, mut had) = (None, None);
    for provider in providers {
        match key_fate(&**provider, id).await? {
            KeyFate::Unknown => {}
            KeyFate::Ending(Destruction::DestroyedHere { .. }) => had = had.or(Some(&**provider)),
            KeyFate::Usable | KeyFate::Ending(_) if found.is_some() => return Err(ambiguous()),
            KeyFate::Usable | KeyFate::Ending(_) => found = Some(&**provider),
        }
    }
    found.or(had).ok_or_else(unknown_key)
}

/// What [`MasterKeyProvider::destruction`] answers of a key that one provider knows, or several: then the slowest.
pub(super) async fn slowest_destruction<'a>(
    providers: impl Iterator<Item = &'a Arc<dyn MasterKeyProvider>> + Send,
    id: &MasterKeyId,
) -> Result<Option<Destruction>, ProviderError> {
    let mut all = None;
    for provider in providers {
        let destruction = match key_fate(&**provider, id).await? {
            KeyFate::Unknown => continue,
            KeyFate::Usable => None,
            KeyFate::Ending(destruction) => Some(destruction),
        };
        all = Some(match all {
            None => destruction,
            Some(before) => slower_if_both_end(before, destruction),
        });
    }
    all.ok_or_else(unknown_key)
}

/// What has become of a master key at one provider.
enum KeyFate {
    /// The provider has no such key.
    Unknown,
    Usable,
    Ending(Destruction),
}

async fn key_fate(provider: &dyn MasterKeyProvider, id: &MasterKeyId) -> Result<KeyFate, ProviderError> {
    match provider.destruction(id).await {
        Ok(destruction) => Ok(destruction.map_or(KeyFate::Usable, KeyFate::Ending)),
        Err(e) if e.kind() == ProviderErrorKind::UnknownKey => Ok(KeyFate::Unknown),
        Err(e) if e.kind() == ProviderErrorKind::KeyDestroyed => Ok(KeyFate::Ending(Destruction::Destroyed)),
        Err(e) => Err(e),
    }
}

/// The slower of two destructions. None as long as one of the keys is usable.
pub(super) fn slower_if_both_end(one: Option<Destruction>, other: Option<Destruction>) -> Option<Destruction> {
    one.zip(other).map(|(one, other)| slower(one, other))
}

pub(super) fn slower(one: Destruction, other: Destruction) -> Destruction {
    use Destruction::{Destroyed, DestroyedHere, Scheduled};
    match (one, other) {
        (Destroyed, other) => other,
        (one, Destroyed) => one,
        (Scheduled { at }, Scheduled { at: other }) => Scheduled { at: at.max(other) },
        (scheduled @ Scheduled { .. }, _) | (_, scheduled @ Scheduled { .. }) => scheduled,
        (DestroyedHere { mut copies }, DestroyedHere { copies: others }) => {
            copies.extend(others);
            copies.sort_unstable();
            copies.dedup();
            DestroyedHere { copies }
        }
    }
}

/// Of two refusals to unwrap a key, the one to report: a provider that is only down may still unwrap it later.
pub(super) fn refusal_to_report(kept: Option<ProviderError>, e: ProviderError) -> ProviderError {
    match kept {
        Some(kept) if kept.retry() == Retry::Later || e.retry() != Retry::Later => kept,
        _ => e,
    }
}

pub(super) fn unknown_key() -> ProviderError {
    ProviderError::new(ProviderErrorKind::UnknownKey)
}

fn ambiguous() -> ProviderError {
    ProviderError::misconfigured(
        "more than one provider has a master key of this id (a copy of the same keyring, or a provider named twice?), so \
         nothing was destroyed: leave one of them out",
    )
}

//! What those have in common that ask several providers. Imports `error`, `keys` and the port.

use std::sync::Arc;

use super::{Destruction, MasterKeyProvider};
use crate::error::{ProviderError, ProviderErrorKind, Retry};
use crate::keys::MasterKeyId;

/// The one provider that knows this master key. All are asked: where two know the id, nobody can say which key is meant to be
/// destroyed.
///
/// But for those who say that it is destroyed as far as they are concerned, and may have been elsewhere
/// ([`Destruction::DestroyedHere`]): if one other has it, it is there.
pub(super) async fn keeper<'a>(
    providers: impl Iterator<Item = &'a Arc<dyn MasterKeyProvider>> + Send,
    id: &MasterKeyId,
) -> Result<&'a dyn MasterKeyProvider, ProviderError> {
    let (mut found, mut had) = (None, None);
    for provider in providers {
        match fate_at(&**provider, id).await? {
            None => {}
            Some(Some(Destruction::DestroyedHere { .. })) => had = had.or(Some(&**provider)),
            Some(_) if found.is_some() => return Err(ambiguous()),
            Some(_) => found = Some(&**provider),
        }
    }
    found.or(had).ok_or_else(unknown)
}

/// What [`MasterKeyProvider::destruction`] answers of a key that one provider knows, or several: then the slowest end of it.
pub(super) async fn fate<'a>(
    providers: impl Iterator<Item = &'a Arc<dyn MasterKeyProvider>> + Send,
    id: &MasterKeyId,
) -> Result<Option<Destruction>, ProviderError> {
    let mut all = None;
    for provider in providers {
        let Some(told) = fate_at(&**provider, id).await? else { continue };
        all = Some(match all {
            None => told,
            Some(before) => both(before, told),
        });
    }
    all.ok_or_else(unknown)
}

/// None if the provider has no such key.
async fn fate_at(
    provider: &dyn MasterKeyProvider,
    id: &MasterKeyId,
) -> Result<Option<Option<Destruction>>, ProviderError> {
    match provider.destruction(id).await {
        Err(e) if e.kind() == ProviderErrorKind::UnknownKey => Ok(None),
        Err(e) if e.kind() == ProviderErrorKind::KeyDestroyed => Ok(Some(Some(Destruction::Destroyed))),
        told => told.map(Some),
    }
}

/// What can be said of two together: nothing as long as one is usable.
pub(super) fn both(one: Option<Destruction>, other: Option<Destruction>) -> Option<Destruction> {
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

/// Of two that don't unwrap a key, the one to tell of: who is only down may know better later than who refuses.
pub(super) fn to_tell(kept: Option<ProviderError>, e: ProviderError) -> ProviderError {
    match kept {
        Some(kept) if kept.retry() == Retry::Later || e.retry() != Retry::Later => kept,
        _ => e,
    }
}

pub(super) fn unknown() -> ProviderError {
    ProviderError::new(ProviderErrorKind::UnknownKey)
}

fn ambiguous() -> ProviderError {
    ProviderError::misconfigured(
        "more than one provider has a master key of this id (a copy of the same keyring, or a provider named twice?), so \
         nothing was destroyed: leave one of them out",
    )
}

//! What those have in common that ask several providers. Imports `error`, `keys` and the port.

use std::sync::Arc;

use super::{Destruction, MasterKeyProvider};
use crate::error::{ProviderError, ProviderErrorKind};
use crate::keys::MasterKeyId;

/// What [`MasterKeyProvider::destruction`] answers.
pub(super) type Fate = Result<Option<Destruction>, ProviderError>;

/// The one provider that knows this master key, and what it says has become of the key. All are asked: where two know the
/// id, nobody can say which key is meant.
pub(super) async fn keeper<'a>(
    providers: impl Iterator<Item = &'a Arc<dyn MasterKeyProvider>> + Send,
    id: &MasterKeyId,
) -> Result<(&'a dyn MasterKeyProvider, Fate), ProviderError> {
    let mut found = None;
    for provider in providers {
        let fate = provider.destruction(id).await;
        match fate {
            Err(e) if e.kind() == ProviderErrorKind::UnknownKey => continue,
            Err(e) if e.kind() != ProviderErrorKind::KeyDestroyed => return Err(e),
            _ if found.is_some() => return Err(ambiguous()),
            fate => found = Some((&**provider, fate)),
        }
    }
    found.ok_or_else(unknown)
}

pub(super) fn unknown() -> ProviderError {
    ProviderError::new(ProviderErrorKind::UnknownKey)
}

fn ambiguous() -> ProviderError {
    ProviderError::misconfigured(
        "more than one provider has a master key of this id (a copy of the same keyring?), so nothing was destroyed: \
         leave one of them out",
    )
}

//! What every [`MasterKeyProvider`] must do: one async function a rule, and [`provider_suite!`](crate::provider_suite),
//! which makes one test of each.
//!
//! A function panics if the provider breaks its rule. Each wants a fixture of its own.

use std::pin::Pin;

use async_trait::async_trait;
use futures_util::future::join_all;

use fieldseal::error::{ProviderErrorKind, Retry};
use fieldseal::id::TenantId;
use fieldseal::provider::{Destruction, LocalKeyring, MasterKeyProvider};
use fieldseal::provider::{KeyMaterial, MasterKeyId, WrapContext, WrappedKey};
use fieldseal::store::Epoch;

/// A provider under test, and what the port leaves to the operator: making another master key the current one.
#[async_trait]
pub trait ProviderFixture: Send + Sync {
    /// The provider.
    fn provider(&self) -> &dyn MasterKeyProvider;

    /// Makes another master key, one that was never used, the current one. The old one stays.
    ///
    /// # Cancel safety
    /// The suite does not drop it.
    async fn rotate(&self);
}

#[async_trait]
impl ProviderFixture for LocalKeyring {
    fn provider(&self) -> &dyn MasterKeyProvider {
        self
    }

    async fn rotate(&self) {
        self.add_key().await.expect("the keyring takes another key");
    }
}

/// One test a rule of [`provider`](self), in a module of the name given.
///
/// The test attribute is the caller's, so the runtime is too. The last argument is an async function, or a closure that
/// captures nothing, which gives a fresh [`ProviderFixture`].
///
/// ```
/// use fieldseal::provider::LocalKeyring;
///
/// async fn keyring() -> LocalKeyring {
///     LocalKeyring::ephemeral().expect("random bytes")
/// }
///
/// fieldseal_testkit::provider_suite! { #[tokio::test] ephemeral_keyring, keyring }
/// ```
#[macro_export]
macro_rules! provider_suite {
    ($(#[$attribute:meta])+ $name:ident, $make:expr $(,)?) => {
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            $crate::__provider_rules! { [$crate::__provider_tests] [$(#[$attribute])+] $make; }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __provider_rules {
    ([$($list:tt)*] $($arguments:tt)*) => {
        $($list)*! {
            $($arguments)*
            what_is_wrapped_unwraps
            it_says_which_key_it_used
            another_role_does_not_unwrap
            another_tenant_does_not_unwrap
            another_epoch_does_not_unwrap
            another_index_epoch_does_not_unwrap
            another_key_id_does_not_unwrap
            a_flipped_bit_does_not_unwrap
            a_wrapped_key_of_another_length_does_not_unwrap
            a_relabeled_key_does_not_unwrap
            wrapped_forms_of_one_key_differ
            a_wrapped_form_does_not_show_the_key
            an_older_master_key_still_unwraps
            a_destroyed_master_key_unwraps_nothing
            destroying_one_master_key_leaves_the_others
            destroying_again_is_fine
            a_destruction_is_told_and_not_made
            the_current_master_key_is_not_destroyed
            an_unknown_master_key_is_unknown
            concurrent_calls_do_not_disturb_each_other
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __provider_tests {
    (@one [$($attributes:tt)+] $make:expr; $rule:ident) => {
        $($attributes)+
        async fn $rule() {
            let fixture = ($make)().await;
            $crate::provider::$rule(&fixture).await;
        }
    };
    ($attributes:tt $make:expr; $($rule:ident)*) => {
        $($crate::__provider_tests! { @one $attributes $make; $rule })*
    };
}

/// A rule, told a fixture of its own.
pub type Rule = for<'a> fn(&'a dyn ProviderFixture) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

__provider_rules! { [super::list] }

/// What is wrapped unwraps, in each role.
pub async fn what_is_wrapped_unwraps(fixture: &dyn ProviderFixture) {
    let provider = fixture.provider();
    let key = key();
    let [a, _] = tenants();
    for context in [
        WrapContext::vault_root(epoch(1), key.id()),
        WrapContext::epoch_key(a.clone(), epoch(1), key.id()),
        WrapContext::root(a.clone(), epoch(1), key.id()),
        WrapContext::index_key(a, epoch(1), 1, key.id()),
    ] {
        let wrapped = wrap(provider, &key, &context).await;
        assert_eq!(unwrap(provider, &wrapped, &context).await.expose(), key.expose());
    }
}

/// A wrapped key names the master key that was current.
pub async fn it_says_which_key_it_used(fixture: &dyn ProviderFixture) {
    let provider = fixture.provider();
    let (key, first) = (key(), current(provider).await);
    let context = context(&key);
    assert_eq!(wrap(provider, &key, &context).await.master(), &first);
    fixture.rotate().await;
    let second = current(provider).await;
    assert_ne!(first, second, "the fixture's `rotate` makes another key the current one");
    assert_eq!(wrap(provider, &key, &context).await.master(), &second);
}

/// A wrapped key does not unwrap in another role.
pub async fn another_role_does_not_unwrap(fixture: &dyn ProviderFixture) {
    let (key, [a, _]) = (key(), tenants());
    let right = WrapContext::epoch_key(a.clone(), epoch(1), key.id());
    let wrong = WrapContext::root(a.clone(), epoch(1), key.id());
    another_context(fixture, &key, &right, &wrong).await;
    let wrong = WrapContext::index_key(a, epoch(1), 1, key.id());
    another_context(fixture, &key, &right, &wrong).await;
    another_context(fixture, &key, &right, &WrapContext::vault_root(epoch(1), key.id())).await;
}

/// A wrapped key does not unwrap for another tenant.
pub async fn another_tenant_does_not_unwrap(fixture: &dyn ProviderFixture) {
    let (key, [a, b]) = (key(), tenants());
    let [right, wrong] = [a, b].map(|tenant| WrapContext::epoch_key(tenant, epoch(1), key.id()));
    another_context(fixture, &key, &right, &wrong).await;
}

/// A wrapped key does not unwrap for another epoch.
pub async fn another_epoch_does_not_unwrap(fixture: &dyn ProviderFixture) {
    let (key, [a, _]) = (key(), tenants());
    let [right, wrong] = [1, 2].map(|n| WrapContext::epoch_key(a.clone(), epoch(n), key.id()));
    another_context(fixture, &key, &right, &wrong).await;
    let [right, wrong] = [1, 256].map(|n| WrapContext::vault_root(epoch(n), key.id()));
    another_context(fixture, &key, &right, &wrong).await;
}

/// A wrapped index key does not unwrap for another index epoch.
pub async fn another_index_epoch_does_not_unwrap(fixture: &dyn ProviderFixture) {
    let (key, [a, _]) = (key(), tenants());
    let [right, wrong] = [1, 2].map(|n| WrapContext::index_key(a.clone(), epoch(1), n, key.id()));
    another_context(fixture, &key, &right, &wrong).await;
    // Epochs that change places are other epochs.
    let right = WrapContext::index_key(a.clone(), epoch(1), 2, key.id());
    let wrong = WrapContext::index_key(a, epoch(2), 1, key.id());
    another_context(fixture, &key, &right, &wrong).await;
}

/// A wrapped key does not unwrap as a key of another id.
pub async fn another_key_id_does_not_unwrap(fixture: &dyn ProviderFixture) {
    let (key, other, [a, _]) = (key(), self::key(), tenants());
    let [right, wrong] = [&key, &other].map(|k| WrapContext::epoch_key(a.clone(), epoch(1), k.id()));
    another_context(fixture, &key, &right, &wrong).await;
}

/// No bit of a wrapped key can change.
pub async fn a_flipped_bit_does_not_unwrap(fixture: &dyn ProviderFixture) {
    let provider = fixture.provider();
    let key = key();
    let context = context(&key);
    let wrapped = wrap(provider, &key, &context).await;
    for bit in 0..wrapped.as_bytes().len() * 8 {
        let flip = |(i, byte): (usize, &u8)| if i == bit / 8 { byte ^ (1 << (bit % 8)) } else { *byte };
        let bytes: Vec<u8> = wrapped.as_bytes().iter().enumerate().map(flip).collect();
        changed(provider, &wrapped, bytes, &context).await;
    }
}

/// A wrapped key can't be cut short or prolonged.
pub async fn a_wrapped_key_of_another_length_does_not_unwrap(fixture: &dyn ProviderFixture) {
    let provider = fixture.provider();
    let key = key();
    let context = context(&key);
    let wrapped = wrap(provider, &key, &context).await;
    for len in 1..wrapped.as_bytes().len() {
        changed(provider, &wrapped, wrapped.as_bytes().iter().take(len).copied().collect(), &context).await;
    }
    if wrapped.as_bytes().len() < WrappedKey::MAX_LEN {
        changed(provider, &wrapped, [wrapped.as_bytes(), &[0]].concat(), &context).await;
    }
}

/// A wrapped key does not unwrap under the name of another master key.
pub async fn a_relabeled_key_does_not_unwrap(fixture: &dyn ProviderFixture) {
    let provider = fixture.provider();
    let key = key();
    let context = context(&key);
    let wrapped = wrap(provider, &key, &context).await;
    fixture.rotate().await;
    let relabeled = relabel(&wrapped, current(provider).await);
    assert_eq!(refused(provider, &relabeled, &context).await, ProviderErrorKind::Authentication);
    assert_eq!(unwrap(provider, &wrapped, &context).await.expose(), key.expose());
}

/// Wrapping is randomized.
pub async fn wrapped_forms_of_one_key_differ(fixture: &dyn ProviderFixture) {
    let provider = fixture.provider();
    let key = key();
    let context = context(&key);
    let (one, two) = (wrap(provider, &key, &context).await, wrap(provider, &key, &context).await);
    assert!(one.as_bytes() != two.as_bytes(), "a key is wrapped twice in the same bytes");
}

/// The key does not stand in its wrapped form.
pub async fn a_wrapped_form_does_not_show_the_key(fixture: &dyn ProviderFixture) {
    let key = key();
    let wrapped = wrap(fixture.provider(), &key, &context(&key)).await;
    // Eight bytes in a row are no accident.
    let shown = key.expose().windows(8).any(|part| wrapped.as_bytes().windows(8).any(|bytes| bytes == part));
    assert!(!shown, "the wrapped form shows the key");
}

/// What is wrapped under an older master key still unwraps.
pub async fn an_older_master_key_still_unwraps(fixture: &dyn ProviderFixture) {
    let provider = fixture.provider();
    let key = key();
    let context = context(&key);
    let wrapped = wrap(provider, &key, &context).await;
    for _ in 0..3 {
        fixture.rotate().await;
        assert_eq!(unwrap(provider, &wrapped, &context).await.expose(), key.expose());
    }
}

/// A destroyed master key unwraps nothing.
pub async fn a_destroyed_master_key_unwraps_nothing(fixture: &dyn ProviderFixture) {
    let provider = fixture.provider();
    let key = key();
    let context = context(&key);
    let wrapped = wrap(provider, &key, &context).await;
    fixture.rotate().await;
    unwrap(provider, &wrapped, &context).await;
    destroy(provider, wrapped.master()).await;
    ended(provider, &wrapped, &context).await;
    assert_ne!(&current(provider).await, wrapped.master());
}

/// The other master keys outlive a destroyed one.
pub async fn destroying_one_master_key_leaves_the_others(fixture: &dyn ProviderFixture) {
    let provider = fixture.provider();
    let key = key();
    let context = context(&key);
    let mut wrapped = Vec::new();
    for _ in 0..3 {
        wrapped.push(wrap(provider, &key, &context).await);
        fixture.rotate().await;
    }
    let mut wrapped = wrapped.into_iter();
    let (Some(first), Some(second), Some(third)) = (wrapped.next(), wrapped.next(), wrapped.next()) else { return };
    destroy(provider, second.master()).await;
    ended(provider, &second, &context).await;
    for rest in [first, third, wrap(provider, &key, &context).await] {
        assert_eq!(unwrap(provider, &rest, &context).await.expose(), key.expose());
    }
}

/// Destroying is idempotent.
pub async fn destroying_again_is_fine(fixture: &dyn ProviderFixture) {
    let provider = fixture.provider();
    let first = current(provider).await;
    fixture.rotate().await;
    destroy(provider, &first).await;
    destroy(provider, &first).await;
}

/// Asking how far a destruction went destroys nothing; afterwards it tells what `destroy_key` told.
pub async fn a_destruction_is_told_and_not_made(fixture: &dyn ProviderFixture) {
    let provider = fixture.provider();
    let key = key();
    let context = context(&key);
    let wrapped = wrap(provider, &key, &context).await;
    fixture.rotate().await;
    for id in [wrapped.master(), &current(provider).await] {
        assert_eq!(provider.destruction(id).await.expect("it is there"), None);
    }
    unwrap(provider, &wrapped, &context).await;
    let destruction = provider.destroy_key(wrapped.master()).await.expect("it is not the current one");
    assert_eq!(provider.destruction(wrapped.master()).await.expect("it was there"), Some(destruction));
    let nobody = MasterKeyId::new("fieldseal-test-no-such-key").expect("an id");
    let error = provider.destruction(&nobody).await.expect_err("a key that never was");
    assert_eq!(error.kind(), ProviderErrorKind::UnknownKey);
}

/// The current master key can't be destroyed, and goes on working.
pub async fn the_current_master_key_is_not_destroyed(fixture: &dyn ProviderFixture) {
    let provider = fixture.provider();
    let key = key();
    let context = context(&key);
    let wrapped = wrap(provider, &key, &context).await;
    let error = provider.destroy_key(wrapped.master()).await.expect_err("the current master key was destroyed");
    assert_eq!(error.kind(), ProviderErrorKind::Misconfigured);
    assert_eq!(unwrap(provider, &wrapped, &context).await.expose(), key.expose());
}

/// A master key that never was is unknown, to unwrapping and to destroying.
pub async fn an_unknown_master_key_is_unknown(fixture: &dyn ProviderFixture) {
    let provider = fixture.provider();
    let key = key();
    let context = context(&key);
    let nobody = MasterKeyId::new("fieldseal-test-no-such-key").expect("an id");
    let wrapped = relabel(&wrap(provider, &key, &context).await, nobody.clone());
    assert_eq!(refused(provider, &wrapped, &context).await, ProviderErrorKind::UnknownKey);
    let error = provider.destroy_key(&nobody).await.expect_err("a key that never was is destroyed");
    assert_eq!(error.kind(), ProviderErrorKind::UnknownKey);
}

/// Calls at the same time give what they give one after the other.
pub async fn concurrent_calls_do_not_disturb_each_other(fixture: &dyn ProviderFixture) {
    let provider = fixture.provider();
    join_all((0..8).map(|n| async move {
        let (key, [a, _]) = (key(), tenants());
        let context = WrapContext::epoch_key(a, epoch(n + 1), key.id());
        if n == 4 {
            fixture.rotate().await;
        }
        let wrapped = wrap(provider, &key, &context).await;
        assert_eq!(unwrap(provider, &wrapped, &context).await.expose(), key.expose());
    }))
    .await;
}

async fn another_context(fixture: &dyn ProviderFixture, key: &KeyMaterial, right: &WrapContext, wrong: &WrapContext) {
    let provider = fixture.provider();
    let wrapped = wrap(provider, key, right).await;
    assert_eq!(refused(provider, &wrapped, wrong).await, ProviderErrorKind::Authentication);
    assert_eq!(unwrap(provider, &wrapped, right).await.expose(), key.expose());
}

async fn changed(provider: &dyn MasterKeyProvider, wrapped: &WrappedKey, bytes: Vec<u8>, context: &WrapContext) {
    let wrapped = WrappedKey::new(wrapped.master().clone(), bytes).expect("1 to 4096 bytes");
    let kind = refused(provider, &wrapped, context).await;
    // A provider's bytes may name a version of the master key, which is then another one.
    assert!(
        matches!(kind, ProviderErrorKind::Authentication | ProviderErrorKind::UnknownKey),
        "a changed wrapped key is {kind:?}"
    );
}

async fn wrap(provider: &dyn MasterKeyProvider, key: &KeyMaterial, context: &WrapContext) -> WrappedKey {
    provider.wrap_key(key, context).await.expect("the provider wraps")
}

async fn unwrap(provider: &dyn MasterKeyProvider, wrapped: &WrappedKey, context: &WrapContext) -> KeyMaterial {
    provider.unwrap_key(wrapped, context).await.expect("what was wrapped unwraps")
}

async fn refused(provider: &dyn MasterKeyProvider, wrapped: &WrappedKey, context: &WrapContext) -> ProviderErrorKind {
    let error = provider.unwrap_key(wrapped, context).await.expect_err("this must not unwrap");
    assert_eq!(error.retry(), Retry::Never, "nothing is gained by trying again");
    error.kind()
}

/// The master key was destroyed, or will be; until then it can't be used.
async fn ended(provider: &dyn MasterKeyProvider, wrapped: &WrappedKey, context: &WrapContext) {
    let kind = refused(provider, wrapped, context).await;
    let is_scheduled = kind == ProviderErrorKind::PendingDeletion;
    assert!(is_scheduled || kind == ProviderErrorKind::KeyDestroyed, "what a destroyed master key wrapped is {kind:?}");
    let told = provider.destruction(wrapped.master()).await.expect("it was there");
    assert_eq!(
        is_scheduled,
        matches!(told, Some(Destruction::Scheduled { .. })),
        "it says {kind:?} and tells {told:?}"
    );
}

async fn destroy(provider: &dyn MasterKeyProvider, id: &MasterKeyId) {
    provider.destroy_key(id).await.expect("a key that is not the current one can be destroyed");
}

async fn current(provider: &dyn MasterKeyProvider) -> MasterKeyId {
    provider.current().await.expect("there is a current master key")
}

fn relabel(wrapped: &WrappedKey, master: MasterKeyId) -> WrappedKey {
    WrappedKey::new(master, wrapped.as_bytes()).expect("1 to 4096 bytes")
}

fn key() -> KeyMaterial {
    KeyMaterial::generate().expect("random bytes")
}

fn context(key: &KeyMaterial) -> WrapContext {
    let [a, _] = tenants();
    WrapContext::epoch_key(a, epoch(1), key.id())
}

fn tenants() -> [TenantId; 2] {
    ["tenant-a", "tenant-b"].map(|name| TenantId::new(name).expect("a name"))
}

fn epoch(n: u32) -> Epoch {
    Epoch::new(n).expect("epochs start at 1")
}

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex};

use super::*;
use fieldseal::provider::{AnyOf, ByTenant, KeyringOptions, Passphrase, ProviderError, Succession, TenantProviders};

/// A keyring and the directory that it lives in.
struct OnDisk(LocalKeyring, #[expect(dead_code, reason = "removed when dropped")] tempfile::TempDir);

#[async_trait]
impl ProviderFixture for OnDisk {
    fn provider(&self) -> &dyn MasterKeyProvider {
        &self.0
    }

    async fn rotate(&self) {
        self.0.rotate().await;
    }
}

async fn ephemeral_keyring() -> LocalKeyring {
    LocalKeyring::ephemeral().unwrap()
}

async fn keyring_file() -> OnDisk {
    let dir = tempfile::tempdir().unwrap();
    OnDisk(LocalKeyring::generate(dir.path().join("keys")).await.unwrap(), dir)
}

async fn keyring_file_with_passphrase() -> OnDisk {
    let dir = tempfile::tempdir().unwrap();
    let options = KeyringOptions::new().passphrase(Passphrase::new("a passphrase").unwrap());
    let options = options.argon2_memory_kib(8192).argon2_passes(1);
    OnDisk(options.generate(dir.path().join("keys")).await.unwrap(), dir)
}

/// Each new master key is another provider's, which takes over from all before.
#[derive(Debug)]
struct Moving(Mutex<Vec<LocalKeyring>>);

impl Moving {
    fn keyrings(&self) -> Vec<LocalKeyring> {
        self.0.lock().unwrap().clone()
    }

    fn now(&self) -> Succession {
        let mut keyrings = self.keyrings().into_iter().rev();
        keyrings.next().map(|newest| keyrings.fold(Succession::to(newest), Succession::from)).unwrap()
    }
}

#[async_trait]
impl MasterKeyProvider for Moving {
    async fn current(&self) -> Result<MasterKeyId, ProviderError> {
        self.now().current().await
    }

    async fn wrap_key(&self, key: &KeyMaterial, context: &WrapContext) -> Result<WrappedKey, ProviderError> {
        self.now().wrap_key(key, context).await
    }

    async fn unwrap_key(&self, wrapped: &WrappedKey, context: &WrapContext) -> Result<KeyMaterial, ProviderError> {
        self.now().unwrap_key(wrapped, context).await
    }

    async fn destroy_key(&self, id: &MasterKeyId) -> Result<Destruction, ProviderError> {
        self.now().destroy_key(id).await
    }

    async fn destruction(&self, id: &MasterKeyId) -> Result<Option<Destruction>, ProviderError> {
        self.now().destruction(id).await
    }
}

#[async_trait]
impl ProviderFixture for Moving {
    fn provider(&self) -> &dyn MasterKeyProvider {
        self
    }

    async fn rotate(&self) {
        self.0.lock().unwrap().push(LocalKeyring::ephemeral().unwrap());
        // What a provider wraps with it doesn't destroy: those that wrap no more get another key to have.
        for earlier in self.keyrings().iter().rev().skip(1) {
            earlier.rotate().await;
        }
    }
}

async fn succession_that_moves() -> Moving {
    Moving(Mutex::new(vec![ephemeral_keyring().await]))
}

/// A provider that took over, and whose own key is rotated.
struct TookOver(Succession, LocalKeyring);

#[async_trait]
impl ProviderFixture for TookOver {
    fn provider(&self) -> &dyn MasterKeyProvider {
        &self.0
    }

    async fn rotate(&self) {
        self.1.rotate().await;
    }
}

async fn succession_that_took_over() -> TookOver {
    let new = ephemeral_keyring().await;
    TookOver(Succession::to(new.clone()).from(ephemeral_keyring().await), new)
}

/// Several keyrings that are one provider; a new master key is a new one in each.
struct Several(Box<dyn MasterKeyProvider>, [LocalKeyring; 2]);

#[async_trait]
impl ProviderFixture for Several {
    fn provider(&self) -> &dyn MasterKeyProvider {
        &self.0
    }

    async fn rotate(&self) {
        for keyring in &self.1 {
            keyring.rotate().await;
        }
    }
}

async fn any_of_two() -> Several {
    let [a, b] = [ephemeral_keyring().await, ephemeral_keyring().await];
    Several(Box::new(AnyOf::new(a.clone()).member(b.clone())), [a, b])
}

/// A directory in which every tenant has the same master key of its own.
#[derive(Debug)]
struct Everyone(Arc<LocalKeyring>);

#[async_trait]
impl TenantProviders for Everyone {
    async fn provider_of(&self, _: &TenantId) -> Result<Option<Arc<dyn MasterKeyProvider>>, ProviderError> {
        Ok(Some(self.0.clone()))
    }
}

async fn by_tenant() -> Several {
    let [common, own] = [ephemeral_keyring().await, ephemeral_keyring().await];
    Several(Box::new(ByTenant::new(common.clone(), Everyone(Arc::new(own.clone())))), [common, own])
}

provider_suite! { #[tokio::test] any_of, any_of_two }
provider_suite! { #[tokio::test] tenants, by_tenant }
provider_suite! { #[tokio::test] ephemeral, ephemeral_keyring }
provider_suite! { #[tokio::test] moving, succession_that_moves }
provider_suite! { #[tokio::test] took_over, succession_that_took_over }
provider_suite! { #[tokio::test] file, keyring_file }
provider_suite! { #[tokio::test] file_with_passphrase, keyring_file_with_passphrase }

/// Breaks one rule each.
#[derive(Debug)]
struct Broken(LocalKeyring, Fault);

#[derive(Debug, PartialEq)]
enum Fault {
    ForgetsContext,
    ShowsKey,
    KeepsDestroyed,
    DestroysCurrent,
    TrustsLabel,
    DestroysWhenAsked,
}

#[async_trait]
impl MasterKeyProvider for Broken {
    async fn current(&self) -> Result<MasterKeyId, ProviderError> {
        self.0.current().await
    }

    async fn wrap_key(&self, key: &KeyMaterial, context: &WrapContext) -> Result<WrappedKey, ProviderError> {
        match self.1 {
            Fault::ShowsKey => Ok(WrappedKey::new(self.0.current().await?, *key.expose()).unwrap()),
            Fault::ForgetsContext => self.0.wrap_key(key, &WrapContext::vault_root(epoch(1), key.id())).await,
            _ => self.0.wrap_key(key, context).await,
        }
    }

    async fn unwrap_key(&self, wrapped: &WrappedKey, context: &WrapContext) -> Result<KeyMaterial, ProviderError> {
        match self.1 {
            Fault::ShowsKey => Ok(KeyMaterial::from_slice(wrapped.as_bytes()).unwrap()),
            Fault::ForgetsContext => {
                self.0.unwrap_key(wrapped, &WrapContext::vault_root(epoch(1), *context.key_id())).await
            }
            Fault::TrustsLabel => {
                for key in self.0.keys().await? {
                    if let Ok(key) = self.0.unwrap_key(&relabel(wrapped, key.id().clone()), context).await {
                        return Ok(key);
                    }
                }
                self.0.unwrap_key(wrapped, context).await
            }
            _ => self.0.unwrap_key(wrapped, context).await,
        }
    }

    async fn destroy_key(&self, id: &MasterKeyId) -> Result<Destruction, ProviderError> {
        match self.1 {
            Fault::KeepsDestroyed => Ok(Destruction::Destroyed),
            Fault::DestroysCurrent => {
                self.0.rotate().await;
                self.0.destroy_key(id).await
            }
            _ => self.0.destroy_key(id).await,
        }
    }

    async fn destruction(&self, id: &MasterKeyId) -> Result<Option<Destruction>, ProviderError> {
        match self.1 {
            Fault::DestroysWhenAsked => self.0.destroy_key(id).await.map(Some),
            _ => self.0.destruction(id).await,
        }
    }
}

#[async_trait]
impl ProviderFixture for Broken {
    fn provider(&self) -> &dyn MasterKeyProvider {
        self
    }

    async fn rotate(&self) {
        self.0.rotate().await;
    }
}

fn broken(fault: Fault) -> Broken {
    Broken(LocalKeyring::ephemeral().unwrap(), fault)
}

#[tokio::test]
#[should_panic(expected = "this must not unwrap")]
async fn the_suite_finds_a_forgotten_context() {
    another_tenant_does_not_unwrap(&broken(Fault::ForgetsContext)).await;
}

#[tokio::test]
#[should_panic(expected = "shows the key")]
async fn the_suite_finds_a_key_in_the_clear() {
    a_wrapped_form_does_not_show_the_key(&broken(Fault::ShowsKey)).await;
}

#[tokio::test]
#[should_panic(expected = "this must not unwrap")]
async fn the_suite_finds_an_unauthenticated_wrapping() {
    a_flipped_bit_does_not_unwrap(&broken(Fault::ShowsKey)).await;
}

#[tokio::test]
#[should_panic(expected = "this must not unwrap")]
async fn the_suite_finds_a_key_that_outlives_its_destruction() {
    a_destroyed_master_key_unwraps_nothing(&broken(Fault::KeepsDestroyed)).await;
}

#[tokio::test]
#[should_panic(expected = "the current master key was destroyed")]
async fn the_suite_finds_a_destroyed_current_key() {
    the_current_master_key_is_not_destroyed(&broken(Fault::DestroysCurrent)).await;
}

#[tokio::test]
#[should_panic(expected = "this must not unwrap")]
async fn the_suite_finds_an_ignored_label() {
    a_relabeled_key_does_not_unwrap(&broken(Fault::TrustsLabel)).await;
}

#[tokio::test]
#[should_panic(expected = "left: Some(Destroyed)")]
async fn the_suite_finds_a_question_that_destroys() {
    a_destruction_is_told_and_not_made(&broken(Fault::DestroysWhenAsked)).await;
}

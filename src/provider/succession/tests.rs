use super::*;
use crate::id::TenantId;
use crate::keys::Epoch;
use crate::provider::LocalKeyring;

/// A provider that knows one master key, of a name that others may have too.
#[derive(Debug)]
struct Named {
    id: MasterKeyId,
    key: LocalKeyring,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Lives,
    Destroyed,
    /// As far as it knows: it may have been elsewhere.
    DestroyedHere,
    /// The one that is to be destroyed.
    ToGo,
    Out,
    Denies,
}

impl Named {
    fn new(id: &str, state: State) -> Arc<Self> {
        Arc::new(Self { id: MasterKeyId::new(id).unwrap(), key: LocalKeyring::ephemeral().unwrap(), state })
    }

    fn check(&self, id: &MasterKeyId) -> Result<(), ProviderError> {
        match self.state {
            State::Out => Err(ProviderError::new(ProviderErrorKind::Unavailable)),
            State::Denies => Err(ProviderError::new(ProviderErrorKind::Denied)),
            _ if *id != self.id => Err(ProviderError::new(ProviderErrorKind::UnknownKey)),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl MasterKeyProvider for Named {
    async fn current(&self) -> Result<MasterKeyId, ProviderError> {
        self.check(&self.id)?;
        Ok(self.id.clone())
    }

    async fn wrap_key(&self, key: &KeyMaterial, context: &WrapContext) -> Result<WrappedKey, ProviderError> {
        self.check(&self.id)?;
        let wrapped = self.key.wrap_key(key, context).await?;
        Ok(WrappedKey::new(self.id.clone(), wrapped.as_bytes()).unwrap())
    }

    async fn unwrap_key(&self, wrapped: &WrappedKey, context: &WrapContext) -> Result<KeyMaterial, ProviderError> {
        self.check(wrapped.master())?;
        let wrapped = WrappedKey::new(self.key.current().await?, wrapped.as_bytes()).unwrap();
        self.key.unwrap_key(&wrapped, context).await
    }

    async fn destroy_key(&self, id: &MasterKeyId) -> Result<Destruction, ProviderError> {
        self.check(id)?;
        assert_eq!(self.state, State::ToGo, "{id} is destroyed");
        Ok(Destruction::Destroyed)
    }

    async fn destruction(&self, id: &MasterKeyId) -> Result<Option<Destruction>, ProviderError> {
        self.check(id)?;
        match self.state {
            State::Destroyed => Err(ProviderError::new(ProviderErrorKind::KeyDestroyed)),
            State::DestroyedHere => Ok(Some(Destruction::DestroyedHere { copies: vec!["elsewhere"] })),
            _ => Ok(None),
        }
    }
}

fn key() -> (KeyMaterial, WrapContext) {
    let key = KeyMaterial::generate().unwrap();
    let context = WrapContext::root(TenantId::new("acme").unwrap(), Epoch::FIRST, key.id());
    (key, context)
}

fn kind<T>(answer: Result<T, ProviderError>) -> Option<ProviderErrorKind> {
    answer.err().map(|e| e.kind())
}

#[tokio::test]
async fn the_newest_wraps_and_whoever_wrapped_unwraps() {
    let [oldest, old, new] = [(); 3].map(|()| LocalKeyring::ephemeral().unwrap());
    let provider = Succession::to(new.clone()).from(old.clone()).from(oldest.clone());
    assert_eq!(provider.current().await.unwrap(), new.current().await.unwrap());
    let (key, context) = key();
    for wrapped in [&oldest, &old, &new].map(|from| from.wrap_key(&key, &context)) {
        let wrapped = wrapped.await.unwrap();
        assert_eq!(provider.unwrap_key(&wrapped, &context).await.unwrap().expose(), key.expose());
    }
    assert_eq!(provider.wrap_key(&key, &context).await.unwrap().master(), &new.current().await.unwrap());
    assert_eq!(
        kind(old.unwrap_key(&new.wrap_key(&key, &context).await.unwrap(), &context).await),
        Some(ProviderErrorKind::UnknownKey)
    );
}

#[tokio::test]
async fn a_master_key_is_destroyed_where_it_is() {
    let [old, new] = [(); 2].map(|()| LocalKeyring::ephemeral().unwrap());
    let provider = Succession::to(new.clone()).from(old.clone());
    let id = old.current().await.unwrap();
    assert_eq!(
        kind(provider.destroy_key(&id).await),
        Some(ProviderErrorKind::Misconfigured),
        "it is the earlier one's own"
    );
    assert_eq!(provider.destruction(&id).await.unwrap(), None);
    old.add_key().await.unwrap();
    assert_eq!(provider.destroy_key(&id).await.unwrap(), Destruction::Destroyed);
    assert_eq!(provider.destruction(&id).await.unwrap(), Some(Destruction::Destroyed));
    assert_eq!(old.destruction(&id).await.unwrap(), Some(Destruction::Destroyed));
}

#[tokio::test]
async fn one_that_is_out_of_reach_is_not_one_that_knows_nothing() {
    let (out, there) = (Named::new("one", State::Out), Named::new("two", State::Lives));
    let (key, context) = key();
    let wrapped = there.wrap_key(&key, &context).await.unwrap();
    let of_another = WrappedKey::new(MasterKeyId::new("one").unwrap(), wrapped.as_bytes()).unwrap();
    for provider in [Succession::to(out.clone()).from(there.clone()), Succession::to(there.clone()).from(out)] {
        assert_eq!(kind(provider.unwrap_key(&of_another, &context).await), Some(ProviderErrorKind::Unavailable));
        assert_eq!(
            kind(provider.destroy_key(&there.id).await),
            Some(ProviderErrorKind::Unavailable),
            "it may know it too"
        );
        assert_eq!(kind(provider.destruction(&there.id).await), Some(ProviderErrorKind::Unavailable));
        let unwrapped = provider.unwrap_key(&wrapped, &context).await.unwrap();
        assert_eq!(unwrapped.expose(), key.expose(), "and what the other one wrapped opens meanwhile");
    }
}

/// Who asks again later may get in.
#[tokio::test]
async fn one_that_refuses_does_not_hide_one_that_is_down() {
    let (out, denies) = (Named::new("one", State::Out), Named::new("two", State::Denies));
    let lives = Named::new("three", State::Lives);
    let (key, context) = key();
    let wrapped = lives.wrap_key(&key, &context).await.unwrap();
    for provider in [Succession::to(out.clone()).from(denies.clone()), Succession::to(denies).from(out)] {
        assert_eq!(kind(provider.unwrap_key(&wrapped, &context).await), Some(ProviderErrorKind::Unavailable));
        assert!(provider.from(lives.clone()).unwrap_key(&wrapped, &context).await.is_ok());
    }
}

#[tokio::test]
async fn two_keys_of_one_name_unwrap_their_own_and_none_is_destroyed() {
    for state in [State::Lives, State::Destroyed] {
        let (new, old) = (Named::new("one", State::Lives), Named::new("one", state));
        let (key, context) = key();
        let provider = Succession::to(new.clone()).from(old.clone());
        for from in [&new, &old] {
            let wrapped = from.wrap_key(&key, &context).await.unwrap();
            assert_eq!(provider.unwrap_key(&wrapped, &context).await.unwrap().expose(), key.expose());
        }
        assert_eq!(kind(provider.destroy_key(&new.id).await), Some(ProviderErrorKind::Misconfigured));
        assert_eq!(provider.destruction(&new.id).await.unwrap(), None, "one of them can still be used");
    }
}

/// Such as a KMS in a region that never had the key, or no more.
#[tokio::test]
async fn a_key_destroyed_at_one_provider_is_found_at_the_other() {
    let named = |state| Named::new("one", state);
    let here = || Some(Destruction::DestroyedHere { copies: vec!["elsewhere"] });
    for [new, old] in [[State::DestroyedHere, State::ToGo], [State::ToGo, State::DestroyedHere]] {
        let provider = Succession::to(named(new)).from(named(old));
        let id = MasterKeyId::new("one").unwrap();
        assert_eq!(provider.destruction(&id).await.unwrap(), None);
        assert_eq!(provider.destroy_key(&id).await.unwrap(), Destruction::Destroyed);
        let provider = provider.from(named(State::ToGo));
        assert_eq!(kind(provider.destroy_key(&id).await), Some(ProviderErrorKind::Misconfigured), "it is at two");
    }
    let gone = Succession::to(named(State::DestroyedHere)).from(named(State::DestroyedHere));
    assert_eq!(gone.destruction(&MasterKeyId::new("one").unwrap()).await.unwrap(), here());
}

//! Any of several providers opens; all of them are needed to wrap and to destroy.

use async_trait::async_trait;
use fieldseal::TenantId;
use fieldseal::error::{ProviderError, ProviderErrorKind};
use fieldseal::provider::{
    AnyOf, Destruction, KeyMaterial, LocalKeyring, MasterKeyId, MasterKeyProvider, Succession, WrapContext, WrappedKey,
};
use fieldseal::store::Epoch;
use fieldseal_testkit::faults::{Act, Tap, Tapped};

use super::kind;

fn key() -> (KeyMaterial, WrapContext) {
    let key = KeyMaterial::generate().unwrap();
    let context = WrapContext::root(TenantId::new("acme").unwrap(), Epoch::FIRST, key.id());
    (key, context)
}

fn keyrings<const N: usize>() -> [LocalKeyring; N] {
    [(); N].map(|()| LocalKeyring::ephemeral().unwrap())
}

/// A tap that lets nothing through.
fn out() -> Tap {
    Tap::new(|_| Act::Fail)
}

#[tokio::test]
async fn each_provider_alone_opens_what_the_set_wrapped() {
    let [a, b, c] = keyrings();
    let set = AnyOf::new(a.clone()).member(b.clone()).member(c.clone());
    let (key, context) = key();
    let wrapped = set.wrap_key(&key, &context).await.unwrap();
    assert_eq!(wrapped.master(), &set.current().await.unwrap());
    for alone in [a, b, c] {
        assert_eq!(AnyOf::new(alone).unwrap_key(&wrapped, &context).await.unwrap().expose(), key.expose());
    }
    assert_eq!(
        kind(AnyOf::new(keyrings::<1>()[0].clone()).unwrap_key(&wrapped, &context).await),
        Some(ProviderErrorKind::UnknownKey)
    );
}

/// Each application asks the nearest first.
#[tokio::test]
async fn the_order_in_which_they_are_asked_is_no_other_set() {
    let [a, b, c] = keyrings();
    let (one, other) =
        (AnyOf::new(a.clone()).member(b.clone()).member(c.clone()), AnyOf::new(c).member(a.clone()).member(b));
    assert_eq!(one.current().await.unwrap(), other.current().await.unwrap());
    let (key, context) = key();
    for (set, by) in [(&one, &other), (&other, &one)] {
        let wrapped = set.wrap_key(&key, &context).await.unwrap();
        assert_eq!(wrapped.master(), &by.current().await.unwrap());
        assert_eq!(by.unwrap_key(&wrapped, &context).await.unwrap().expose(), key.expose());
        assert_eq!(AnyOf::new(a.clone()).unwrap_key(&wrapped, &context).await.unwrap().expose(), key.expose());
    }
}

/// It may have been damaged on the way to that one alone.
#[tokio::test]
async fn one_that_can_not_open_its_part_is_passed_over() {
    let [a, b] = keyrings();
    let set = AnyOf::new(a.clone()).member(b.clone());
    let (key, context) = key();
    let wrapped = set.wrap_key(&key, &context).await.unwrap();
    let other = WrapContext::root(TenantId::new("globex").unwrap(), Epoch::FIRST, key.id());
    assert_eq!(kind(set.unwrap_key(&wrapped, &other).await), Some(ProviderErrorKind::Authentication));
    for first in [true, false] {
        let (wrong, right) = if first { (a.clone(), b.clone()) } else { (b.clone(), a.clone()) };
        let set = AnyOf::new(Damaged(wrong)).member(right);
        assert_eq!(set.unwrap_key(&wrapped, &context).await.unwrap().expose(), key.expose());
    }
}

/// A key that several may have is gone when all of them say so.
#[tokio::test]
async fn a_provider_that_stayed_is_asked_in_both_sets() {
    let [a, b, c] = keyrings();
    let id = a.current().await.unwrap();
    let provider = Succession::to(AnyOf::new(a.clone()).member(c)).from(AnyOf::new(a.clone()).member(b));
    assert_eq!(provider.destruction(&id).await.unwrap(), None);
    a.add_key().await.unwrap();
    a.destroy_key(&id).await.unwrap();
    assert_eq!(provider.destruction(&id).await.unwrap(), Some(Destruction::Destroyed));
}

/// A keyring to and from which wrapped keys are damaged.
#[derive(Debug)]
struct Damaged(LocalKeyring);

fn damaged(wrapped: &WrappedKey) -> WrappedKey {
    let mut bytes = wrapped.as_bytes().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    WrappedKey::new(wrapped.master().clone(), bytes).unwrap()
}

#[async_trait]
impl MasterKeyProvider for Damaged {
    async fn current(&self) -> Result<MasterKeyId, ProviderError> {
        self.0.current().await
    }

    async fn wrap_key(&self, key: &KeyMaterial, context: &WrapContext) -> Result<WrappedKey, ProviderError> {
        Ok(damaged(&self.0.wrap_key(key, context).await?))
    }

    async fn unwrap_key(&self, wrapped: &WrappedKey, context: &WrapContext) -> Result<KeyMaterial, ProviderError> {
        let key = self.0.unwrap_key(wrapped, context).await;
        if key.is_ok() { self.0.unwrap_key(&damaged(wrapped), context).await } else { key }
    }

    async fn destroy_key(&self, id: &MasterKeyId) -> Result<Destruction, ProviderError> {
        self.0.destroy_key(id).await
    }

    async fn destruction(&self, id: &MasterKeyId) -> Result<Option<Destruction>, ProviderError> {
        self.0.destruction(id).await
    }
}

/// It would be noticed on the day when it is needed.
#[tokio::test]
async fn a_part_that_does_not_open_is_refused_wherever_it_is() {
    for last in [false, true] {
        let [a, b] = keyrings();
        let set = if last { AnyOf::new(a).member(Damaged(b)) } else { AnyOf::new(Damaged(a)).member(b) };
        let (key, context) = key();
        assert_eq!(kind(set.wrap_key(&key, &context).await), Some(ProviderErrorKind::Corrupt), "{last}");
    }
}

#[tokio::test]
async fn one_that_is_down_is_passed_over_to_open_and_missed_to_wrap() {
    let [a, b] = keyrings();
    let tap = Tap::open();
    let set = AnyOf::new(Tapped::new(a.clone(), &tap)).member(b.clone());
    let (key, context) = key();
    let wrapped = set.wrap_key(&key, &context).await.unwrap();
    tap.set(|_| Act::Fail);
    assert_eq!(set.unwrap_key(&wrapped, &context).await.unwrap().expose(), key.expose());
    assert_eq!(kind(set.wrap_key(&key, &context).await), Some(ProviderErrorKind::Unavailable));
    assert_eq!(kind(set.current().await), Some(ProviderErrorKind::Unavailable));
    assert_eq!(kind(set.destroy_key(wrapped.master()).await), Some(ProviderErrorKind::Unavailable));
    let both_down = AnyOf::new(Tapped::new(a, &out())).member(Tapped::new(b, &out()));
    assert_eq!(kind(both_down.unwrap_key(&wrapped, &context).await), Some(ProviderErrorKind::Unavailable));
}

/// A provider that refuses every call.
async fn one_that_refuses_is_told_of_only_if_none_is_down(first_down: bool) -> Option<ProviderErrorKind> {
    let [a, b] = keyrings();
    let set = AnyOf::new(a.clone()).member(b.clone());
    let (key, context) = key();
    let wrapped = set.wrap_key(&key, &context).await.unwrap();
    let first = a.current().await.unwrap();
    a.add_key().await.unwrap();
    a.destroy_key(&first).await.unwrap();
    let down = Tapped::new(b, &out());
    let set = if first_down { AnyOf::new(down).member(a) } else { AnyOf::new(a).member(down) };
    kind(set.unwrap_key(&wrapped, &context).await)
}

#[tokio::test]
async fn a_destroyed_member_beside_one_that_is_down_is_no_end() {
    for first_down in [true, false] {
        assert_eq!(
            one_that_refuses_is_told_of_only_if_none_is_down(first_down).await,
            Some(ProviderErrorKind::Unavailable)
        );
    }
}

#[tokio::test]
async fn what_one_wrapped_before_the_set_opens_and_is_destroyed() {
    let [a, b] = keyrings();
    let (key, context) = key();
    let before = a.wrap_key(&key, &context).await.unwrap();
    let set = AnyOf::new(b).member(a.clone());
    assert_eq!(set.unwrap_key(&before, &context).await.unwrap().expose(), key.expose());
    assert_eq!(kind(set.destroy_key(before.master()).await), Some(ProviderErrorKind::Misconfigured), "it is current");
    a.add_key().await.unwrap();
    assert_eq!(set.destruction(before.master()).await.unwrap(), None);
    assert_eq!(set.destroy_key(before.master()).await.unwrap(), Destruction::Destroyed);
}

#[tokio::test]
async fn one_that_refuses_to_destroy_keeps_none_of_the_others() {
    for refuses in [0, 1] {
        let (rings, taps) = (keyrings::<2>(), [Tap::open(), Tap::open()]);
        let tapped = |n: usize| Tapped::new(rings[n].clone(), &taps[n]);
        let set = AnyOf::new(tapped(0)).member(tapped(1));
        let id = set.current().await.unwrap();
        let mut members = Vec::new();
        for ring in &rings {
            members.push(ring.current().await.unwrap());
            ring.add_key().await.unwrap();
        }
        taps[refuses].set(|call| if call.method == "destroy_key" { Act::Fail } else { Act::Go });
        assert_eq!(kind(set.destroy_key(&id).await), Some(ProviderErrorKind::Unavailable));
        let other = 1 - refuses;
        assert_eq!(rings[other].destruction(&members[other]).await.unwrap(), Some(Destruction::Destroyed));
        assert_eq!(set.destruction(&id).await.unwrap(), None, "one of them can still be used");
        taps[refuses].set(|_| Act::Go);
        assert_eq!(set.destroy_key(&id).await.unwrap(), Destruction::Destroyed);
    }
}

#[tokio::test]
async fn a_set_is_destroyed_whole_or_not_at_all() {
    let [a, b] = keyrings();
    let set = AnyOf::new(a.clone()).member(b.clone());
    let (id, first) = (set.current().await.unwrap(), a.current().await.unwrap());
    a.add_key().await.unwrap();
    assert_eq!(
        kind(set.destroy_key(&id).await),
        Some(ProviderErrorKind::Misconfigured),
        "the second's is current still"
    );
    assert_eq!(a.destruction(&first).await.unwrap(), None, "so the first's lives");
    assert_eq!(kind(AnyOf::new(a.clone()).destroy_key(&id).await), Some(ProviderErrorKind::UnknownKey));
    assert_eq!(a.destruction(&first).await.unwrap(), None, "nor by a set that lacks the second");
    b.add_key().await.unwrap();
    a.destroy_key(&first).await.unwrap();
    assert_eq!(set.destruction(&id).await.unwrap(), None, "one that opens is enough");
    assert_eq!(set.destroy_key(&id).await.unwrap(), Destruction::Destroyed);
    assert_eq!(set.destruction(&id).await.unwrap(), Some(Destruction::Destroyed));
}

#[tokio::test]
async fn a_set_takes_over_from_a_set_with_a_provider_in_common() {
    let [stays, goes, comes] = keyrings();
    let old = AnyOf::new(stays.clone()).member(goes.clone());
    let (key, context) = key();
    let wrapped = old.wrap_key(&key, &context).await.unwrap();
    for provider in [&stays, &goes] {
        provider.add_key().await.unwrap();
    }
    let new = Succession::to(AnyOf::new(stays.clone()).member(comes)).from(old);
    assert_eq!(new.unwrap_key(&wrapped, &context).await.unwrap().expose(), key.expose());
    assert_eq!(new.destroy_key(wrapped.master()).await.unwrap(), Destruction::Destroyed);
    assert_eq!(kind(new.unwrap_key(&wrapped, &context).await), Some(ProviderErrorKind::KeyDestroyed));
}

#[tokio::test]
async fn one_alone_is_itself() {
    let [alone] = keyrings();
    let set = AnyOf::new(alone.clone());
    let (key, context) = key();
    assert_eq!(set.current().await.unwrap(), alone.current().await.unwrap());
    let wrapped = set.wrap_key(&key, &context).await.unwrap();
    assert_eq!(alone.unwrap_key(&wrapped, &context).await.unwrap().expose(), key.expose());
}

#[tokio::test]
async fn the_same_provider_twice_is_refused() {
    let [alone] = keyrings();
    let set = AnyOf::new(alone.clone()).member(alone);
    assert_eq!(kind(set.current().await), Some(ProviderErrorKind::Misconfigured));
}

//! What needs parts that nobody wrapped; the rest is in `tests/it/providers`.

use super::*;
use crate::id::TenantId;
use crate::keys::Epoch;
use crate::provider::LocalKeyring;

#[tokio::test]
async fn no_part_can_be_exchanged_for_another_keys() {
    let [a, b] = [(); 2].map(|()| LocalKeyring::ephemeral().unwrap());
    let set = AnyOf::new(a.clone()).member(b.clone());
    let key = KeyMaterial::generate().unwrap();
    let context = WrapContext::root(TenantId::new("acme").unwrap(), Epoch::FIRST, key.id());
    let wrapped = set.wrap_key(&key, &context).await.unwrap();
    // The second part of another wrapping of the same key: genuine, and not of this one.
    let other = set.wrap_key(&key, &context).await.unwrap();
    let (own, foreign) = (Parts::read(wrapped.as_bytes(), 2).unwrap(), Parts::read(other.as_bytes(), 2).unwrap());
    let mixed = parts::join("any of", wrapped.master().as_str().as_bytes(), &[own.get(0), foreign.get(1)], &key);
    let tag = mixed.len() - 32;
    let mixed = [&mixed[..tag], &wrapped.as_bytes()[wrapped.as_bytes().len() - 32..]].concat();
    let mixed = WrappedKey::new(wrapped.master().clone(), mixed).unwrap();
    let refused = set.unwrap_key(&mixed, &context).await.unwrap_err();
    assert_eq!(refused.kind(), ProviderErrorKind::Authentication);
}

#[test]
fn the_slowest_end_is_told() {
    use Destruction::{Destroyed, DestroyedHere, Scheduled};
    let scheduled = |ms| Scheduled { at: crate::clock::Timestamp::from_millis(ms) };
    let here = |copies: &[&'static str]| DestroyedHere { copies: copies.to_vec() };
    for (one, other, both) in [
        (Destroyed, Destroyed, Destroyed),
        (Destroyed, scheduled(5), scheduled(5)),
        (scheduled(7), scheduled(5), scheduled(7)),
        (here(&["b"]), scheduled(5), scheduled(5)),
        (here(&["b", "a"]), here(&["a", "c"]), here(&["a", "b", "c"])),
        (here(&["a"]), Destroyed, here(&["a"])),
    ] {
        assert_eq!(slower(one.clone(), other.clone()), both);
        assert_eq!(slower(other, one), both);
    }
}

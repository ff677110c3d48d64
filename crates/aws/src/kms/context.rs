//! A [`WrapContext`] as KMS's encryption context: a map of strings that KMS authenticates, writes to CloudTrail in the clear,
//! and lets policies ask for. `docs/master-keys.md` lists it.

use std::collections::HashMap;

use base64ct::{Base64UrlUnpadded, Encoding as _};

use fieldseal::provider::WrapContext;

/// Every part of the context under a name of its own, so that two contexts never make one map. At most 1.2 KB, of the 8 KB
/// that KMS takes; a tenant is up to 1024 bytes of any text.
pub(super) fn pairs(context: &WrapContext) -> HashMap<String, String> {
    let key_id = Base64UrlUnpadded::encode_string(context.key_id().as_bytes());
    let parts = [
        ("fieldseal:role", Some(context.role().label().to_owned())),
        ("fieldseal:tenant", context.tenant().map(|tenant| tenant.as_str().to_owned())),
        ("fieldseal:epoch", Some(context.epoch().get().to_string())),
        ("fieldseal:index-epoch", context.index_epoch().map(|epoch| epoch.to_string())),
        ("fieldseal:key-id", Some(key_id)),
    ];
    parts.into_iter().filter_map(|(name, part)| Some((name.to_owned(), part?))).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use fieldseal::id::TenantId;
    use fieldseal::provider::KeyMaterial;
    use fieldseal::store::Epoch;

    #[test]
    fn contexts_that_differ_make_maps_that_differ_and_small_ones() {
        let tenants = ["a", "b", "ab", "1", "epoch key", "a\"\u{0}b", "\u{1f512}", &"x".repeat(1024)];
        let epochs = [1, 2, 12, u32::MAX].map(|n| Epoch::new(n).unwrap());
        let keys = [(); 2].map(|()| KeyMaterial::generate().unwrap().id());
        let mut contexts = Vec::new();
        for key in keys {
            for epoch in epochs {
                contexts.push(WrapContext::vault_root(epoch, key));
                for tenant in tenants {
                    let tenant = TenantId::new(tenant).unwrap();
                    contexts.push(WrapContext::epoch_key(tenant.clone(), epoch, key));
                    contexts.push(WrapContext::root(tenant.clone(), epoch, key));
                    contexts
                        .extend([0, 1, 2, 12].map(|index| WrapContext::index_key(tenant.clone(), epoch, index, key)));
                }
            }
        }
        let maps: BTreeMap<_, _> =
            contexts.iter().map(|c| (pairs(c).into_iter().collect::<BTreeMap<_, _>>(), c.encode())).collect();
        assert_eq!(maps.len(), contexts.len());
        for map in maps.keys() {
            let size: usize = map.iter().map(|(name, part)| name.len() + part.len()).sum();
            assert!(size <= 1200, "{size}");
            assert!(map.values().all(|part| !part.is_empty()));
        }
    }

    #[test]
    fn a_context_is_written_as_the_handbook_says() {
        let key = KeyMaterial::from_slice(&[7; 32]).unwrap();
        let tenant = TenantId::new("acme").unwrap();
        let map = pairs(&WrapContext::index_key(tenant, Epoch::new(3).unwrap(), 9, key.id()));
        let expected = [
            ("fieldseal:role", "index key"),
            ("fieldseal:tenant", "acme"),
            ("fieldseal:epoch", "3"),
            ("fieldseal:index-epoch", "9"),
            ("fieldseal:key-id", &Base64UrlUnpadded::encode_string(key.id().as_bytes())),
        ];
        assert_eq!(map, expected.map(|(name, part)| (name.to_owned(), part.to_owned())).into());
    }
}

//! Slots: what a key store gives back, in all three places.
#![no_main]

use fieldseal::TenantId;
use fieldseal::store::{SlotId, StoredSlot, Tag};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(id) = SlotId::from_bytes(bytes) {
        assert_eq!(id.to_bytes(), bytes, "one slot, one id");
    }
    let tenant = TenantId::default_tenant();
    let ids = [SlotId::Vault, SlotId::Tenant(tenant.clone()), SlotId::Subject(tenant, Tag::from_bytes([1; 16]))];
    let read = ids.map(|id| StoredSlot::from_bytes(id, bytes.to_vec()));
    for slot in read.iter().flatten() {
        assert_eq!(slot.as_bytes(), bytes);
    }
    assert!(read.iter().flatten().count() <= 1, "a slot is of one kind");
    fieldseal::fuzzing::slot(bytes);
});

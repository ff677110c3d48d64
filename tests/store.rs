//! The key stores: the conformance suite on each.

use fieldseal::store::MemoryStore;

async fn memory() -> MemoryStore {
    MemoryStore::new()
}

fieldseal::store_suite! {
    #[tokio::test]
    memory_store, memory
}

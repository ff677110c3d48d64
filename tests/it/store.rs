//! The key store in memory: the conformance suite.

use fieldseal::store::MemoryStore;

async fn memory() -> MemoryStore {
    MemoryStore::new()
}

fieldseal_testkit::store_suite! {
    #[tokio::test]
    memory_store, memory
}

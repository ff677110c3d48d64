//! The key stores: the conformance suite on each, and what SQLite adds.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

#[path = "store/sqlite.rs"]
mod sqlite;

use fieldseal::store::MemoryStore;

async fn memory() -> MemoryStore {
    MemoryStore::new()
}

fieldseal::store_suite! {
    #[tokio::test]
    memory_store, memory
}

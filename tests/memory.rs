//! What a cached subject takes of the heap. A binary of its own: the allocator that counts is the whole process's.

use std::alloc::System;
use std::sync::Arc;

use cap::Cap;
use fieldseal::Vault;
use fieldseal::provider::LocalKeyring;
use fieldseal::store::MemoryStore;
use fieldseal_testkit::customer;

#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, usize::MAX);

/// [`CacheLimits::subjects`](fieldseal::vault::CacheLimits::subjects) promises it.
const LIMIT: usize = 512;
/// As many as a cache holds where nothing is said.
const SUBJECTS: usize = 10_000;

#[test]
fn a_cached_subject_with_one_key_takes_less_than_512_bytes() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    // As long as UUIDs are.
    let subjects: Vec<_> = (0..SUBJECTS).map(|n| customer(format!("00000000-0000-4000-8000-{n:012}"))).collect();
    let provider = Arc::new(LocalKeyring::ephemeral().unwrap());
    let store = Arc::new(MemoryStore::new());
    let vault = || async {
        let vault =
            Vault::builder(Arc::clone(&provider), Arc::clone(&store)).kinds(["customer"]).without_journal().build();
        vault.await.unwrap()
    };
    runtime.block_on(async {
        vault().await.default_tenant().enroll_all(&subjects).await.unwrap();

        // The cold vault counts too: its cache may make room ahead.
        let before = HEAP.allocated();
        let cold = vault().await;
        let customers = cold.default_tenant();
        for page in subjects.chunks(100) {
            assert_eq!(customers.keys_of(page).await.unwrap().len(), page.len());
        }
        let after = HEAP.allocated();

        // A cache that is full to the last subject has dropped a few already.
        let cached = cold.cache_stats().subjects;
        assert!(cached > SUBJECTS * 9 / 10, "{cached}");
        let each = (after - before) / cached;
        println!("{each} bytes a cached subject");
        assert!(each < LIMIT, "{each} bytes a cached subject");
    });
}

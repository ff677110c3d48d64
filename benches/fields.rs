//! Sealing and opening, each beside plain `aes-gcm`; and reading keys of a page. `cargo bench --bench fields --all-features`
#![expect(clippy::unwrap_used, reason = "a benchmark fails by a panic")]

#[expect(dead_code, reason = "shared with another benchmark")]
mod common;

use common::{Customer, Raw, plain};
use divan::{Bencher, black_box};
use fieldseal::{FieldContext, Plain, Record as _, Suite};
use fieldseal_testkit::customer;

fn main() {
    divan::main();
}

#[divan::bench_group]
mod one_field_of_32_bytes {
    use super::*;

    fn context() -> FieldContext<'static> {
        FieldContext::new("customer", "email", &42i64).unwrap()
    }

    #[divan::bench]
    fn seal(bencher: Bencher) {
        let (keys, value) = (fieldseal_testkit::keys(&customer(42i64)), Plain::new("x".repeat(32)));
        bencher.bench(|| keys.seal_value(black_box(&value), &context()));
    }

    #[divan::bench]
    fn seal_raw(bencher: Bencher) {
        let mut raw = Raw::new();
        bencher.bench_local(|| raw.seal(black_box(&[b'x'; 32]), &[]));
    }

    #[divan::bench]
    fn open(bencher: Bencher) {
        let keys = fieldseal_testkit::keys(&customer(42i64));
        let sealed = keys.seal_value(&Plain::new("x".repeat(32)), &context()).unwrap();
        bencher.bench(|| keys.open_value(black_box(&sealed), &context()));
    }

    #[divan::bench]
    fn open_raw(bencher: Bencher) {
        let sealed = Raw::new().seal(&[b'x'; 32], &[]);
        let raw = Raw::new();
        bencher.bench_local(|| raw.open(black_box(&sealed), &[]));
    }
}

#[divan::bench_group]
mod record_of_8_fields {
    use super::*;

    #[divan::bench]
    fn seal(bencher: Bencher) {
        let keys = fieldseal_testkit::keys(&customer(42i64));
        bencher.with_inputs(plain).bench_values(|plain| Customer::seal(&plain, &keys));
    }

    #[divan::bench]
    fn seal_raw(bencher: Bencher) {
        let mut raw = Raw::new();
        let values = common::LENGTHS.map(|n| "x".repeat(n));
        bencher.bench_local(|| black_box(&values).each_ref().map(|value| raw.seal(value.as_bytes(), &[])));
    }

    #[divan::bench]
    fn open(bencher: Bencher) {
        let keys = fieldseal_testkit::keys(&customer(42i64));
        let row = Customer::seal(&plain(), &keys).unwrap();
        bencher.bench(|| black_box(&row).open(&keys));
    }

    #[divan::bench]
    fn open_raw(bencher: Bencher) {
        let mut raw = Raw::new();
        let sealed = common::LENGTHS.map(|n| raw.seal("x".repeat(n).as_bytes(), &[]));
        bencher.bench_local(|| black_box(&sealed).each_ref().map(|sealed| raw.open(sealed, &[])));
    }
}

/// The keys of 100 subjects that aren't cached, the tenant being warm, out of a store that takes no time.
#[divan::bench(args = [Suite::Xaes256Gcm, Suite::XChaCha20Poly1305])]
fn page_of_100_cold_subjects(bencher: Bencher, suite: Suite) {
    use fieldseal::Vault;
    use fieldseal::provider::LocalKeyring;
    use fieldseal::store::MemoryStore;
    use fieldseal::vault::CacheLimits;

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let subjects: Vec<_> = (1..=100).map(customer).collect();
    let customers = runtime.block_on(async {
        let builder = Vault::builder(LocalKeyring::ephemeral().unwrap(), MemoryStore::new())
            .kinds(["customer"])
            .without_journal()
            .suite(suite);
        let vault = builder.cache(CacheLimits::new().subjects(1)).build().await.unwrap(); // so that all stay cold
        vault.default_tenant().enroll_all(&subjects).await.unwrap();
        vault.default_tenant()
    });
    bencher.bench_local(|| runtime.block_on(customers.keys_of(&subjects)).unwrap());
}

//! A table that holds its customers in the clear is adopted, by the steps of `docs/jobs.md`: with the versions of the
//! application that are deployed in between, and two of them at work at the same time whenever one takes over.

use axum_example::adopting::Stage;
use axum_example::database::Customer;
use fieldseal::jobs::{Adoption, FieldMap, SubjectColumn, TableMap, Tally, adopt};
use fieldseal::journal::MemoryJournal;
use fieldseal::provider::LocalKeyring;
use fieldseal::rows::RowSource;
use fieldseal::store::MemoryStore;
use fieldseal::vault::ErasureRequest;
use fieldseal::{Record as _, Vault};
use fleet_tests::client::{Client, customer};
use reqwest::StatusCode;
use serde_json::Value;

use super::beside::Beside;
use super::engine::Engine;
use super::{CUSTOMERS, Site, Traffic, options};

pub(crate) async fn a_table_in_the_clear_is_adopted<E: Engine>(database: E) {
    let site = Site::new().await;
    in_the_clear(&database).await;
    let before = Client::of(database.before()).await;
    let traffic = Traffic::to(before.clone());
    traffic.create_all(CUSTOMERS).await;
    let (vault, map) = (site.vault().await, adoption::<E>());

    traffic
        .alongside(async {
            // Expand.
            traffic.more(30).await;
            assert_eq!(database.add_columns(&map).await, ["name_sealed", "email_sealed", "phone_sealed"]);
            let rows = database.rows(&map).await;
            let beside = || Beside::new(rows.clone(), &traffic, "phone");
            let step = async |step, source: &dyn RowSource| {
                adopt(&vault, &map, source, step, &options(), &mut ()).await.unwrap()
            };

            // The version that does both is deployed; an instance of the one before goes on for a while.
            let tenant = site.vault().await.default_tenant();
            let both = Client::of(database.connect().await.adopting(&tenant, Stage::Both)).await;
            traffic.deploy(&[&before, &both]).await;
            let source = beside();
            let tally = step(Adoption::Backfill, &source).await;
            assert!(tally.rows_changed >= CUSTOMERS as u64 && is_sound(&tally), "{tally:?}");
            assert!(source.check(true).refused > 0, "a row that was changed meanwhile is read again");
            traffic.deploy(&[&both]).await;
            let tally = step(Adoption::Backfill, &rows).await;
            assert!(is_sound(&tally), "what the version before wrote last: {tally:?}");
            assert_eq!(step(Adoption::Backfill, &rows).await.changed, 0);
            let source = beside();
            let tally = step(Adoption::Verify, &source).await;
            assert!(is_sound(&tally) && tally.current >= 3 * CUSTOMERS as u64, "{tally:?}");
            source.check(false);

            // The version that writes what is sealed alone is deployed; then what is left in the clear is removed.
            let tenant = site.vault().await.default_tenant();
            let sealed = Client::of(database.connect().await.adopting(&tenant, Stage::Sealed)).await;
            traffic.deploy(&[&both, &sealed]).await;
            traffic.more(50).await;
            traffic.deploy(&[&sealed]).await;
            let source = beside();
            let tally = step(Adoption::Contract, &source).await;
            assert!(is_sound(&tally), "{tally:?}");
            assert!(source.check(true).refused > 0, "a row that was changed meanwhile is read again");
            let in_clear = "SELECT count(*) FROM customer WHERE COALESCE(name, email, phone) IS NOT NULL";
            assert_eq!(database.count(in_clear).await, 0);
            traffic.more(50).await;
        })
        .await;
    traffic.check_all().await;

    // The plaintext columns are dropped: the table is that of the example.
    for column in ["name", "email", "phone"] {
        database.execute(&format!("ALTER TABLE customer DROP COLUMN {column}")).await;
        database.execute(&format!("ALTER TABLE customer RENAME COLUMN {column}_sealed TO {column}")).await;
    }
    traffic.deploy(&[&site.serve(database.connect().await).await]).await;
    traffic.alongside(traffic.more(100)).await;
    traffic.check_all().await;
}

/// The version that does both finds nobody in what is left of them in the clear.
pub(crate) async fn somebody_erased_is_gone_though_plaintext_is_left<E: Engine>(database: E) {
    let vault = Vault::builder(LocalKeyring::ephemeral().unwrap(), MemoryStore::new()).record::<Customer<i64>>();
    let tenant = vault.journal(MemoryJournal::new().unwrap()).build().await.unwrap().default_tenant();
    in_the_clear(&database).await;
    database.add_columns(&adoption::<E>()).await;
    let both = Client::of(database.adopting(&tenant, Stage::Both)).await;
    let (ada, ben) = (both.create(&customer(1)).await, both.create(&customer(2)).await);
    tenant.erase(&Customer::<E::Id>::subject_of(&E::id_of(&ada)).unwrap(), &ErasureRequest::new()).await.unwrap();
    for path in [format!("/customers/{ada}"), format!("/customers/{ada}/email")] {
        assert_eq!(both.get(&path).await.status(), StatusCode::GONE);
    }
    let phone = customer(1)["phone"].clone();
    assert_eq!(both.change_phone(&ada, &phone, &Value::Null).await, StatusCode::GONE);
    assert_eq!(both.list().await.iter().map(|row| &row.id).collect::<Vec<_>>(), [&ben]);
    assert_eq!(both.read(&ben).await, customer(2));
}

/// The table as it was before fieldseal.
async fn in_the_clear<E: Engine>(database: &E) {
    database.execute("DROP TABLE customer").await;
    let create = format!("CREATE TABLE customer (id {} PRIMARY KEY, name TEXT, email TEXT, phone TEXT)", E::ID);
    database.execute(&create).await;
}

fn adoption<E: Engine>() -> TableMap {
    let field = |name: &str| FieldMap::new(format!("{name}_sealed")).named(name).from(name);
    TableMap::new("customer", ["id"], "customer", SubjectColumn::new("customer", E::id()))
        .ids([E::id()])
        .field(field("name").pad(32))
        .field(field("email"))
        .field(field("phone"))
}

fn is_sound(tally: &Tally) -> bool {
    (tally.failed, tally.not_held, tally.erased) == (0, 0, 0)
}

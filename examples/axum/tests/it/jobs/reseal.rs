//! Every customer gets new keys, and what was sealed under the old ones moves, until these can be retired.

use std::time::Duration;

use axum_example::database::Customer;
use fieldseal::Record as _;
use fieldseal::jobs::{Census, KeyUse, census, reseal};

use super::beside::Beside;
use super::engine::Engine;
use super::{CUSTOMERS, Site, Traffic, map, options};

pub(crate) async fn customers_move_to_new_keys_and_the_old_ones_are_retired<E: Engine>(database: E) {
    let site = Site::new().await;
    let traffic = Traffic::to(site.serve(database.clone()).await);
    traffic.create_all(CUSTOMERS).await;
    let (vault, map, rows) = (site.vault().await, map::<E>(), database.rows(&map::<E>()).await);
    let beside = || Beside::new(rows.clone(), &traffic, "phone");
    let old: Vec<E::Id> = traffic.people().iter().map(|person| E::id_of(&person.id)).collect();

    traffic
        .alongside(async {
            for id in &old {
                vault.default_tenant().rotate_now(&Customer::<E::Id>::subject_of(id).unwrap()).await.unwrap();
            }
            let source = beside();
            let tally = reseal(&vault, &map, &source, &options(), &mut ()).await.unwrap();
            assert_eq!((tally.rows_changed, tally.not_held, tally.failed), (CUSTOMERS as u64, 0, 0));
            assert!(source.check(true).refused > 0, "a row that was changed meanwhile is read again");

            // Until max_age is over, an instance that has read no newer keys seals under the old ones.
            let age = vault.max_age() + Duration::from_secs(1);
            traffic.between(|| site.clock.advance(age)).await;
            let tally = reseal(&vault, &map, &rows, &options(), &mut ()).await.unwrap();
            assert_eq!((tally.not_held, tally.failed), (0, 0));

            let (mut counted, source) = (Census::begin(&vault), beside());
            let tally = census(&vault, &map, &source, &mut counted, &options(), &mut ()).await.unwrap();
            assert_eq!((tally.not_held, tally.failed), (0, 0));
            assert!(counted.versions().all(|version| version.usage == KeyUse::Current));
            source.check(false);

            let unnamed = counted.unnamed(&[&map], Duration::ZERO).unwrap();
            let (mut from, mut versions) = (None, 0);
            loop {
                let page = vault.retire_versions_page(&unnamed, from.as_ref(), 50).await.unwrap();
                assert!(page.failed.is_empty());
                versions += page.versions;
                traffic.more(10).await;
                from = page.next;
                if from.is_none() {
                    break;
                }
            }
            assert_eq!(versions, CUSTOMERS as u64);
            // From now on no instance has the old keys.
            traffic.between(|| site.clock.advance(age)).await;
            traffic.more(50).await;
        })
        .await;
    traffic.check_all().await;
}

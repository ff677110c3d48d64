//! What is held of a person, and of everybody, is written out in the clear.

use async_trait::async_trait;
use axum_example::database::Customer;
use fieldseal::jobs::{Observer, PageDone, Revealed, reveal_subject, reveal_table};
use fieldseal::{Record as _, TenantId};
use serde_json::{Value, json};

use super::beside::Beside;
use super::engine::Engine;
use super::{CUSTOMERS, Site, Traffic, map, options};

pub(crate) async fn a_person_and_a_table_are_revealed<E: Engine>(database: E) {
    let site = Site::new().await;
    let traffic = Traffic::to(site.serve(database.clone()).await);
    traffic.create_all(CUSTOMERS).await;
    let (vault, map) = (site.vault().await, map::<E>());
    let source = Beside::new(database.rows(&map).await, &traffic, "phone");

    traffic
        .alongside(async {
            let ada = &traffic.people()[17];
            let so_far = ada.phones_so_far().await;
            let id = Customer::<E::Id>::subject_of(&E::id_of(&ada.id)).unwrap();
            let told = reveal_subject(&vault, &TenantId::default_tenant(), &id, &[(&map, &source)]).await.unwrap();
            let told: Value = serde_json::from_str(told.expose()).unwrap();
            assert_eq!((&told["kind"], &told["subject"]), (&json!("customer"), &json!(ada.id)));
            let [row] = told["rows"].as_array().unwrap().as_slice() else { panic!("one row") };
            assert!(ada.had_since(&row["fields"], so_far).await, "as they were meanwhile");

            let mut before = Vec::new();
            for person in traffic.people() {
                before.push((person.phones_so_far().await, person));
            }
            let mut lines = Lines::default();
            let tally = reveal_table(&vault, &map, &source, &options(), &mut lines).await.unwrap();
            assert_eq!((tally.not_held, tally.failed, tally.rows), (0, 0, lines.0.len() as u64));
            for (so_far, person) in before {
                let mut own = lines.0.iter().filter(|line| line["record"] == json!([person.id]));
                let (Some(line), None) = (own.next(), own.next()) else { panic!("who was there has one line") };
                assert!(person.had_since(&line["fields"], so_far).await, "as they were meanwhile");
            }
        })
        .await;
    source.check(false);
    traffic.check_all().await;
}

#[derive(Default)]
struct Lines(Vec<Value>);

#[async_trait]
impl Observer<Vec<Revealed>> for Lines {
    async fn page(&mut self, _: &PageDone, lines: &Vec<Revealed>) -> fieldseal::Result<()> {
        self.0.extend(lines.iter().map(|line| serde_json::from_str::<Value>(line.expose()).unwrap()));
        Ok(())
    }
}

//! Adopting columns that are in the clear: beside the plaintext, and in its place.

use std::collections::HashMap;
use std::sync::Arc;

use fieldseal::TenantId;
use fieldseal::jobs::{Adoption, Form, JobOptions, TroubleKind, ValueType, adopt};
use fieldseal::provider::{ByTenant, MasterKeyProvider};
use fieldseal::rows::Cell;
use fieldseal::store::{Expected, KeyStore as _, SlotId, StoredSlot};
use fieldseal::value::{Decoder, Encoder, Kind, Plaintext};
use fieldseal_testkit::faults::{Act, Tap, Tapped};

use super::*;

/// Columns: subject and id in one, email (sealed), email_plain, name (in place), born (sealed), born_plain.
fn people() -> TableMap {
    TableMap::new("person", ["id"], "person", SubjectColumn::new("customer", IdColumn::integer("id")))
        .ids([IdColumn::integer("id")])
        .field(FieldMap::new("email").from("email_plain").pad(32))
        .field(FieldMap::new("name").form(Form::Text).from("name"))
        .field(FieldMap::new("born").from("born_plain").of(ValueType::Date).purpose("billing"))
}

const MAIL: usize = 1;
const MAIL_PLAIN: usize = 2;
const NAME: usize = 3;
const BORN: usize = 4;
const BORN_PLAIN: usize = 5;

async fn in_clear(n: i64) -> Shop {
    let shop = Shop { rows: MemoryRows::new(people().table().columns), ..Shop::new().await };
    for id in 1..=n {
        shop.rows.put(key(id), plain(id)).unwrap();
    }
    shop
}

fn plain(id: i64) -> Vec<Cell> {
    let mail = Cell::text(format!("{id}@example.com"));
    let name = Cell::text(format!("Ada {id}"));
    vec![Cell::Integer(id), Cell::Null, mail, name, Cell::Null, Cell::text("1815-12-10")]
}

async fn step(shop: &Shop, step: Adoption) -> (fieldseal::jobs::Tally, Vec<Trouble>) {
    let mut heard = Heard::default();
    let tally = adopt(&shop.vault, &people(), &shop.rows, step, &small(), &mut heard).await.unwrap();
    (tally, heard.troubles)
}

async fn opened(shop: &Shop, id: i64, at: usize) -> Result<String> {
    let keys = shop.customers.keys(&customer(id)).await?;
    let envelope = match &shop.row(id).await.cells[at] {
        Cell::Bytes(bytes) => bytes.to_vec(),
        Cell::Text(text) => text.parse::<Sealed<String>>()?.into_bytes(),
        other => panic!("{other:?} is not sealed"),
    };
    let text = |field| {
        let sealed = Sealed::<String>::from_bytes(envelope.as_slice())?;
        keys.open_value(&sealed, &FieldContext::new("person", field, &id)?).map(Plain::into_inner)
    };
    match at {
        MAIL => text("email"),
        NAME => text("name"),
        _ => {
            let context = FieldContext::new("person", "born", &id)?.purpose("billing");
            let Day(day) = keys.open_value(&Sealed::from_bytes(envelope)?, &context)?.into_inner();
            Ok(day)
        }
    }
}

/// The text of a date, as it is sealed.
struct Day(String);

impl Plaintext for Day {
    const KIND: Kind = Kind::Date;

    fn encoded_len(&self) -> Result<usize> {
        self.0.encoded_len()
    }

    fn encode(&self, out: &mut Encoder<'_>) -> Result<()> {
        self.0.encode(out)
    }

    fn decode(value: Decoder<'_>) -> Result<Self> {
        String::decode(value).map(Self)
    }

    fn wipe(&mut self) {
        self.0.wipe();
    }
}

#[tokio::test]
async fn a_table_is_adopted_in_three_repeatable_steps() {
    let shop = in_clear(20).await;
    let (tally, troubles) = step(&shop, Adoption::Verify).await;
    assert_eq!((tally.current, tally.failed), (0, 60));
    assert!(troubles.iter().all(|trouble| matches!(trouble.kind, TroubleKind::InClear)));
    let (tally, troubles) = step(&shop, Adoption::Contract).await;
    assert_eq!((tally.changed, tally.failed), (0, 60), "nothing is removed that is not sealed");
    assert_eq!(troubles.len(), 60);

    let (tally, troubles) = step(&shop, Adoption::Backfill).await;
    assert_eq!((tally.rows_changed, tally.changed, tally.failed, troubles.len()), (20, 60, 0, 0));
    let (tally, _) = step(&shop, Adoption::Backfill).await;
    assert_eq!((tally.changed, tally.current), (0, 60));
    assert_eq!(step(&shop, Adoption::Verify).await.0.current, 60);
    for id in 1..=20 {
        let cells = shop.row(id).await.cells;
        assert_eq!(
            (cells[MAIL_PLAIN].clone(), cells[BORN_PLAIN].clone()),
            (plain(id)[MAIL_PLAIN].clone(), plain(id)[BORN_PLAIN].clone())
        );
        assert_eq!(opened(&shop, id, MAIL).await.unwrap(), format!("{id}@example.com"));
        assert_eq!(opened(&shop, id, NAME).await.unwrap(), format!("Ada {id}"));
        assert_eq!(opened(&shop, id, BORN).await.unwrap(), "1815-12-10");
        let Cell::Bytes(mail) = &cells[MAIL] else { panic!() };
        assert_eq!(mail.len(), 65 + 32, "padded");
    }
    let (tally, _) = step(&shop, Adoption::Contract).await;
    assert_eq!((tally.changed, tally.failed), (40, 0));
    for id in 1..=20 {
        let cells = shop.row(id).await.cells;
        assert!(cells[MAIL_PLAIN].is_null() && cells[BORN_PLAIN].is_null());
        assert_eq!(opened(&shop, id, MAIL).await.unwrap(), format!("{id}@example.com"));
    }
    let (tally, _) = step(&shop, Adoption::Contract).await;
    assert_eq!((tally.changed, tally.current, tally.empty), (0, 20, 40));
}

#[tokio::test]
async fn while_there_is_a_plaintext_it_is_what_counts() {
    let shop = in_clear(3).await;
    step(&shop, Adoption::Backfill).await;
    // An older version of the application changes the plaintext alone; another damages what is sealed.
    let mut cells = shop.row(1).await.cells;
    cells[MAIL_PLAIN] = Cell::text("new@example.com");
    shop.rows.put(key(1), cells).unwrap();
    let mut cells = shop.row(2).await.cells;
    cells[MAIL] = shop.row(3).await.cells[MAIL].clone();
    cells[BORN] = Cell::bytes(*b"no envelope");
    shop.rows.put(key(2), cells).unwrap();
    let (tally, troubles) = step(&shop, Adoption::Verify).await;
    assert_eq!((tally.current, tally.failed), (6, 3));
    assert!(troubles.iter().all(|trouble| matches!(trouble.kind, TroubleKind::Differs)));
    let (tally, _) = step(&shop, Adoption::Contract).await;
    assert_eq!((tally.changed, tally.failed), (3, 3), "what differs is not removed");
    let (tally, _) = step(&shop, Adoption::Backfill).await;
    assert_eq!((tally.changed, tally.failed), (3, 0));
    assert_eq!(opened(&shop, 1, MAIL).await.unwrap(), "new@example.com");
    assert_eq!(opened(&shop, 2, MAIL).await.unwrap(), "2@example.com");
    assert_eq!(opened(&shop, 2, BORN).await.unwrap(), "1815-12-10");
}

#[tokio::test]
async fn what_is_sealed_as_another_kind_differs_and_is_sealed_anew() {
    let shop = in_clear(1).await;
    step(&shop, Adoption::Backfill).await;
    // The same bytes, as the map said before that they are text.
    let context = FieldContext::new("person", "born", &1).unwrap().purpose("billing");
    let keys = shop.customers.keys(&customer(1)).await.unwrap();
    let as_text = keys.seal_value(&"1815-12-10".into(), &context).unwrap();
    let mut cells = shop.row(1).await.cells;
    cells[BORN] = Cell::bytes(as_text.into_bytes());
    shop.rows.put(key(1), cells).unwrap();
    assert!(matches!(opened(&shop, 1, BORN).await, Err(fieldseal::Error::WrongType { found: Kind::Text, .. })));
    let (tally, troubles) = step(&shop, Adoption::Contract).await;
    assert_eq!((tally.changed, tally.failed), (1, 1), "the address alone");
    assert!(matches!(troubles[0].kind, TroubleKind::Differs));
    let (tally, _) = step(&shop, Adoption::Backfill).await;
    assert_eq!((tally.changed, tally.failed), (1, 0));
    assert_eq!(opened(&shop, 1, BORN).await.unwrap(), "1815-12-10");
}

#[tokio::test]
async fn whether_a_cell_is_sealed_is_decided_by_opening_it() {
    let shop = in_clear(4).await;
    let elsewhere = Shop::new().await.customers.enroll(&customer(1)).await.unwrap();
    let strange = text_form(&elsewhere.seal_bytes(b"x", &FieldContext::new("person", "name", &1).unwrap()).unwrap());
    for (id, name) in [(1, strange.as_str()), (2, "fs1."), (3, "fs2.abc"), (4, "")] {
        let mut cells = plain(id);
        cells[NAME] = Cell::text(name);
        shop.rows.put(key(id), cells).unwrap();
    }
    let (tally, _) = step(&shop, Adoption::Backfill).await;
    assert_eq!((tally.changed, tally.failed), (12, 0));
    for (id, name) in [(1, strange.as_str()), (2, "fs1."), (3, "fs2.abc"), (4, "")] {
        assert_eq!(opened(&shop, id, NAME).await.unwrap(), name, "row {id}");
    }
    // Sealed, but for another row: neither sealed again nor passed over.
    let mut cells = shop.row(1).await.cells;
    let keys = shop.customers.keys(&customer(1)).await.unwrap();
    cells[NAME] =
        Cell::text(text_form(&keys.seal_bytes(b"x", &FieldContext::new("person", "name", &2).unwrap()).unwrap()));
    shop.rows.put(key(1), cells.clone()).unwrap();
    let (tally, troubles) = step(&shop, Adoption::Backfill).await;
    assert_eq!((tally.changed, tally.failed), (0, 1));
    assert!(matches!(&troubles[0].kind, TroubleKind::Failed(fieldseal::Error::Authentication)));
    assert_eq!(shop.row(1).await.cells, cells);
}

#[tokio::test]
async fn the_plaintext_of_somebody_erased_is_told_of_and_not_sealed() {
    let shop = in_clear(4).await;
    step(&shop, Adoption::Backfill).await;
    shop.erase(1, None).await;
    shop.erase(2, Some("billing")).await;
    let before = shop.all().await;
    for which in [Adoption::Backfill, Adoption::Verify] {
        let (tally, troubles) = step(&shop, which).await;
        // Row 1: two plaintexts, and a name that is sealed in place; row 2: a date of birth.
        assert_eq!((tally.changed, tally.failed, tally.erased), (0, 3, 1));
        assert!(troubles.iter().all(|trouble| matches!(trouble.kind, TroubleKind::ErasedInClear)));
    }
    assert_eq!(shop.all().await, before);
    let (tally, _) = step(&shop, Adoption::Contract).await;
    assert_eq!((tally.changed, tally.failed), (5, 3), "rows 3 and 4, and the address of row 2");
}

#[tokio::test]
async fn unsealed_values_of_an_erased_purpose_are_reported_each_step() {
    let shop = in_clear(2).await;
    shop.customers.enroll_all(&[1, 2].map(customer)).await.unwrap();
    shop.erase(1, Some("billing")).await;
    let mut cells = plain(1);
    for sealed in [Cell::Null, Cell::bytes(*b"no envelope")] {
        cells[BORN] = sealed;
        shop.rows.put(key(1), cells.clone()).unwrap();
        for which in [Adoption::Backfill, Adoption::Verify, Adoption::Contract] {
            let (tally, troubles) = step(&shop, which).await;
            assert_eq!(tally.failed, 1, "{which:?}");
            assert!(matches!(troubles[0].kind, TroubleKind::ErasedInClear), "{which:?}: {}", troubles[0].kind);
        }
    }
    assert_eq!(shop.row(1).await.cells[BORN_PLAIN], plain(1)[BORN_PLAIN]);
}

#[tokio::test]
async fn what_is_not_of_the_type_is_told_of_and_stays() {
    let shop = in_clear(2).await;
    let mut cells = plain(1);
    cells[BORN_PLAIN] = Cell::text("10 December 1815");
    cells[MAIL_PLAIN] = Cell::Integer(7);
    shop.rows.put(key(1), cells.clone()).unwrap();
    let mut cells = plain(2);
    (cells[MAIL_PLAIN], cells[BORN_PLAIN], cells[NAME]) = (Cell::Null, Cell::Null, Cell::Null);
    shop.rows.put(key(2), cells).unwrap();
    let (tally, troubles) = step(&shop, Adoption::Backfill).await;
    assert_eq!((tally.changed, tally.failed, tally.empty), (1, 2, 3));
    assert!(!format!("{troubles:?}").contains("1815"));
    assert_eq!(shop.row(1).await.cells[BORN_PLAIN], Cell::text("10 December 1815"));
    assert!(adopt(&shop.vault, &people(), &shop.rows, Adoption::Contract, &JobOptions::new(), &mut ()).await.is_ok());
    assert_eq!(shop.row(1).await.cells[BORN_PLAIN], Cell::text("10 December 1815"));
}

#[tokio::test]
async fn a_value_whose_key_was_retired_is_not_sealed_once_more() {
    let shop = in_clear(2).await;
    step(&shop, Adoption::Backfill).await;
    let old = shop.row(1).await.cells[NAME].clone();
    shop.customers.rotate_now(&customer(1)).await.unwrap();
    fieldseal::jobs::reseal(&shop.vault, &people(), &shop.rows, &small(), &mut ()).await.unwrap();
    let hour = std::time::Duration::from_secs(3600);
    shop.clock.advance(hour);
    let mut census = fieldseal::jobs::Census::begin(&shop.vault);
    fieldseal::jobs::census(&shop.vault, &people(), &shop.rows, &mut census, &small(), &mut ()).await.unwrap();
    let unnamed = census.unnamed(&[&people()], std::time::Duration::ZERO).unwrap();
    assert_eq!(shop.vault.retire_versions_page(&unnamed, None, 100).await.unwrap().versions, 2);
    let mut cells = shop.row(1).await.cells;
    cells[NAME] = old.clone(); // out of a backup of the table
    shop.rows.put(key(1), cells).unwrap();
    let (tally, _) = step(&shop, Adoption::Backfill).await;
    assert_eq!((tally.changed, tally.not_held), (0, 1));
    assert_eq!(shop.row(1).await.cells[NAME], old);
}

/// Acme's own master key is away, and globex's slot is damaged.
#[tokio::test]
async fn one_tenant_whose_keys_are_refused_is_the_trouble_of_its_rows() {
    let world = World::in_memory().unwrap();
    let tap = Tap::open();
    let own = Arc::new(Tapped::new(LocalKeyring::ephemeral().unwrap(), &tap));
    let [acme, globex] = ["acme", "globex"].map(|name| TenantId::new(name).unwrap());
    let directory: HashMap<TenantId, Arc<dyn MasterKeyProvider>> = HashMap::from([(acme, own as _)]);
    let vault = world.vault_with(ByTenant::new(world.provider.clone(), directory)).await.unwrap();
    vault.tenant(&globex).enroll(&customer(1)).await.unwrap();
    let slot = world.store.load(&[SlotId::Tenant(globex)]).await.unwrap().remove(0).into_slot().unwrap().unwrap();
    let mut bytes = slot.as_bytes().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    let damaged = StoredSlot::from_bytes(slot.id().clone(), bytes).unwrap();
    world.store.put(&damaged, Expected::Revision(slot.revision())).await.unwrap();
    tap.set(|_| Act::Fail);
    world.pass_max_age();

    let subject = SubjectColumn::new("customer", IdColumn::integer("id"));
    let map = TableMap::new("person", ["id"], "person", subject)
        .tenant_column("tenant")
        .ids([IdColumn::integer("id")])
        .field(FieldMap::new("email").from("email_plain"));
    let rows = MemoryRows::new(map.table().columns);
    let at = |name: &str| map.table().columns.iter().position(|column| column == name).unwrap();
    for (id, tenant) in (1..).zip(["acme", "globex", "initech", "acme", "globex", "initech"]) {
        let mut cells = vec![Cell::Null; map.table().columns.len()];
        (cells[at("id")], cells[at("tenant")]) = (Cell::Integer(id), Cell::text(tenant));
        cells[at("email_plain")] = Cell::text("a@example.com");
        rows.put(key(id), cells).unwrap();
    }
    let mut heard = Heard::default();
    let tally = adopt(&vault, &map, &rows, Adoption::Backfill, &small(), &mut heard).await.unwrap();
    assert_eq!((tally.rows, tally.changed, tally.failed), (6, 2, 4));
    let whose: Vec<_> = heard.troubles.iter().map(|trouble| trouble.key.clone()).collect();
    assert_eq!(whose, [1, 2, 4, 5].map(key));
}

/// Nobody knows under whose keys to seal it, and until somebody does it is in the clear.
#[tokio::test]
async fn the_plaintext_of_nobody_is_told_of_and_stays() {
    let shop = in_clear(2).await;
    let mut cells = plain(1);
    cells[0] = Cell::Null;
    shop.rows.put(key(1), cells.clone()).unwrap();
    for which in [Adoption::Backfill, Adoption::Verify, Adoption::Contract] {
        let (tally, troubles) = step(&shop, which).await;
        assert_eq!((tally.failed, tally.of_nobody), (3, 0), "{which:?}");
        let mut columns: Vec<_> = troubles.iter().map(|trouble| trouble.column.as_deref().unwrap()).collect();
        columns.sort_unstable();
        assert_eq!(columns, ["born", "email", "name"]);
        assert!(troubles.iter().all(|trouble| matches!(trouble.kind, TroubleKind::OfNobody)));
        assert_eq!(shop.row(1).await.cells, cells);
    }
    // What was sealed in place for somebody is no plaintext.
    let keys = shop.customers.enroll(&customer(9)).await.unwrap();
    let name = keys.seal_bytes(b"Ada", &FieldContext::new("person", "name", &1).unwrap()).unwrap();
    (cells[MAIL_PLAIN], cells[NAME], cells[BORN_PLAIN]) = (Cell::Null, Cell::text(text_form(&name)), Cell::Null);
    shop.rows.put(key(1), cells).unwrap();
    let (tally, troubles) = step(&shop, Adoption::Verify).await;
    assert_eq!((tally.of_nobody, tally.current, tally.failed, troubles.len()), (1, 1, 0, 0));
}

/// What is sealed as JSON opens as JSON, or the plaintext is lost when it is removed.
#[cfg(feature = "serde")]
#[tokio::test]
async fn a_text_that_is_no_json_is_not_sealed_as_json() {
    let map = TableMap::new("t", ["id"], "t", SubjectColumn::new("customer", IdColumn::integer("id")))
        .ids([IdColumn::integer("id")])
        .field(FieldMap::new("likes").of(ValueType::Json).from("likes_plain"));
    let shop = Shop { rows: MemoryRows::new(map.table().columns), ..Shop::new().await };
    let texts = ["{\"tea\": [1, 2.5, \"\\u00e9\"]}", "{tea: 1}", "tea", "", "[1,]", "1e999", "\"\\ud800\""];
    for (id, text) in (1..).zip(texts) {
        shop.rows.put(key(id), vec![Cell::Integer(id), Cell::Null, Cell::text(text)]).unwrap();
    }
    for which in [Adoption::Backfill, Adoption::Contract] {
        let mut heard = Heard::default();
        let tally = adopt(&shop.vault, &map, &shop.rows, which, &small(), &mut heard).await.unwrap();
        assert_eq!((tally.changed, tally.failed), (1, 6), "{which:?}");
        assert!(!format!("{:?}", heard.troubles).contains("tea"));
    }
    for (id, text) in (1..).zip(texts) {
        let cells = shop.row(id).await.cells;
        assert_eq!(cells[1].is_null(), id > 1, "row {id}");
        assert_eq!(cells[2], if id > 1 { Cell::text(text) } else { Cell::Null }, "row {id}");
    }
}

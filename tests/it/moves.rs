//! Moving values: from field to field, to another id, from another schema. Each way with what a plain assignment does instead,
//! and how `verify` finds that.

use std::time::Duration;

use fieldseal::error::Retry;
use fieldseal::provider::LocalKeyring;
use fieldseal::store::MemoryStore;
use fieldseal::{Error, Record, Sealed, Vault};
use fieldseal_testkit::clock::ManualClock;
use fieldseal_testkit::{customer, keys, keys_for};

#[derive(Clone, Debug, Record)]
#[record(schema = "order", purpose = "contract")]
struct Order {
    #[record(id)]
    id: i64,
    #[record(subject = "customer")]
    customer: i64,
    #[record(pad = 64)]
    billing: Sealed<String>,
    delivery: Option<Sealed<String>>,
    #[record(purpose = "marketing")]
    note: Option<Sealed<String>>,
    #[record(pad = 64)]
    pickup: Sealed<String>,
}

const ADDRESS: &str = "12 St James's Square";

fn order(id: i64) -> OrderPlain {
    OrderPlain {
        id,
        customer: 7,
        billing: ADDRESS.into(),
        delivery: None,
        note: Some("ring twice".into()),
        pickup: "Dover".into(),
    }
}

fn all_keys() -> fieldseal::SubjectKeys {
    keys_for(&customer(7), &["contract", "marketing"], &[])
}

/// The field that a call failed on, and why.
fn failed<T: std::fmt::Debug>(result: Result<T, Error>) -> (&'static str, &'static str, Error) {
    match result.unwrap_err() {
        Error::Field { schema, field, error } => (schema, field, *error),
        other => panic!("no field: {other:?}"),
    }
}

#[test]
fn an_error_of_a_row_names_the_field_and_no_value() {
    let keys = all_keys();
    let mut row = Order::seal(&order(1), &keys).unwrap();
    row.billing = row.pickup.clone();
    assert!(matches!(failed(row.open(&keys)), ("order", "billing", Error::Authentication)));
    assert!(matches!(failed(keys.open(&row, Order::BILLING)), ("order", "billing", Error::Authentication)));
    let place = keys.record_ref::<Order>(&1).unwrap().open(Order::PICKUP, &row.billing.clone());
    assert_eq!(place.unwrap().expose(), "Dover");
    let error = row.open(&keys).unwrap_err();
    assert_eq!(error.to_string(), "order.billing: the envelope does not open here");
    assert_eq!(error.retry(), Retry::Never);
}

#[test]
fn a_copied_value_opens_in_its_new_field_and_an_assigned_one_does_not() {
    let keys = all_keys();
    let row = Order::seal(&order(1), &keys).unwrap();

    let assigned = Order { pickup: row.billing.clone(), ..row.clone() };
    assert!(matches!(failed(assigned.verify(&keys)), ("order", "pickup", Error::Authentication)));

    let copied = Order { pickup: keys.copy(&row, Order::BILLING, Order::PICKUP).unwrap(), ..row.clone() };
    copied.verify(&keys).unwrap();
    assert_eq!(copied.open(&keys).unwrap().pickup.expose(), ADDRESS);
    // Of another purpose, and NULL.
    let delivery = keys.copy(&row, Order::NOTE, Order::DELIVERY).unwrap();
    let copied = Order { delivery, ..row.clone() };
    assert_eq!(copied.open(&keys).unwrap().delivery.unwrap().expose(), "ring twice");
    assert!(keys.copy(&row, Order::DELIVERY, Order::NOTE).unwrap().is_none());

    let others = keys_for(&customer(8), &["contract", "marketing"], &[]);
    assert!(matches!(others.copy(&row, Order::BILLING, Order::PICKUP), Err(Error::WrongSubject)));
    let damaged = Order { billing: row.pickup.clone(), ..row };
    let copied = keys.copy(&damaged, Order::BILLING, Order::PICKUP);
    assert!(matches!(failed(copied), ("order", "billing", Error::Authentication)));
}

#[test]
fn a_row_that_is_rebound_opens_under_its_new_id_alone() {
    let keys = all_keys();
    let mut row = Order::seal(&order(1), &keys).unwrap();
    let careless = Order { id: 2, ..row.clone() };
    assert!(matches!(failed(careless.verify(&keys)), ("order", "billing", Error::Authentication)));

    let before = row.clone();
    row.rebind(2, &keys).unwrap();
    row.verify(&keys).unwrap();
    assert_eq!((row.id, row.customer), (2, 7));
    assert!(row.delivery.is_none());
    assert_eq!(row.billing.as_bytes().len(), before.billing.as_bytes().len(), "as padded as it was");
    assert_eq!(row.open(&keys).unwrap().note.unwrap().expose(), "ring twice");
    let back = Order { id: 1, ..row.clone() };
    assert!(matches!(failed(back.verify(&keys)), ("order", "billing", Error::Authentication)));

    // Nothing is moved of a row of which something can't be.
    let mut damaged = Order { pickup: row.billing.clone(), ..row.clone() };
    assert!(matches!(failed(damaged.rebind(3, &keys)), ("order", "pickup", Error::Authentication)));
    assert!(damaged.id == 2 && damaged.billing.same_bytes(&row.billing));
    assert!(matches!(row.rebind(0, &keys), Err(Error::InvalidInput(_))));
    assert!(matches!(row.rebind(3, &fieldseal_testkit::keys(&customer(8))), Err(Error::WrongSubject)));
    row.verify(&keys).unwrap();
}

#[test]
fn a_row_is_not_rebound_to_another_person() {
    #[derive(Debug, Record)]
    #[record(schema = "customer")]
    struct Customer {
        #[record(id, subject = "customer")]
        id: i64,
        email: Sealed<String>,
    }
    let adas = keys(&customer(7));
    let mut row = Customer::seal(&CustomerPlain { id: 7, email: "ada@example.com".into() }, &adas).unwrap();
    assert!(matches!(row.rebind(8, &adas), Err(Error::WrongSubject)));
    assert_eq!(row.id, 7);
    row.verify(&adas).unwrap();

    // The twin is given, under the keys of each.
    let twin = CustomerPlain { id: 8, ..row.open(&adas).unwrap() };
    let bens = keys(&customer(8));
    Customer::seal(&twin, &bens).unwrap().verify(&bens).unwrap();
}

#[test]
fn what_was_erased_of_a_row_stays_so_when_it_is_rebound() {
    let [before, after] = fieldseal_testkit::rotated_keys(&customer(7), &["contract", "marketing"], &["marketing"]);
    let mut row = Order::seal(&order(1), &before).unwrap();
    let note = row.note.clone().unwrap();
    row.rebind(2, &after).unwrap();
    row.verify(&after).unwrap();
    assert!(row.note.as_ref().unwrap().same_bytes(&note));
    assert!(row.open(&after).unwrap().note.is_none());
}

#[test]
fn a_renamed_schema_takes_its_rows_over() {
    #[derive(Clone, Debug, Record)]
    #[record(schema = "purchase", purpose = "contract")]
    struct Purchase {
        #[record(id)]
        id: i64,
        #[record(subject = "customer")]
        customer: i64,
        billing: Sealed<String>,
        delivery: Option<Sealed<String>>,
    }
    let keys = all_keys();
    let Order { id, customer, billing, delivery, .. } = Order::seal(&order(1), &keys).unwrap();
    let mut row = Purchase { id, customer, billing, delivery };
    assert!(matches!(failed(row.verify(&keys)), ("purchase", "billing", Error::Authentication)));
    assert!(matches!(failed(row.rebind_from("cart", &keys)), ("purchase", "billing", Error::Authentication)));
    row.rebind_from("order", &keys).unwrap();
    row.verify(&keys).unwrap();
    assert_eq!(row.open(&keys).unwrap().billing.expose(), ADDRESS);
    assert!(matches!(failed(row.rebind_from("order", &keys)), ("purchase", "billing", Error::Authentication)));
}

#[tokio::test]
async fn a_twin_is_sealed_again_with_fresh_keys_after_its_keys_expired() {
    let clock = ManualClock::new();
    let vault = Vault::builder(LocalKeyring::ephemeral().unwrap(), MemoryStore::new())
        .without_journal()
        .record::<Order>()
        .clock(clock.clone())
        .max_age(Duration::from_secs(60))
        .build()
        .await
        .unwrap();
    let customers = vault.default_tenant();
    let keys = customers.enroll(&customer(7)).await.unwrap();
    let plain = order(1);
    clock.advance(Duration::from_secs(61));
    assert!(matches!(Order::seal(&plain, &keys), Err(Error::KeysExpired)));
    let keys = customers.refresh(&keys).await.unwrap();
    Order::seal(&plain, &keys).unwrap().verify(&keys).unwrap();
}

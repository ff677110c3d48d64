//! Records that the derive macro made, as rows of sqlx: several in one row, and ids that are UUIDs.

use fieldseal::{Error, HasSubject as _, Record, Sealed, SubjectKeys};
use fieldseal_testkit::{customer, keys, rotated_keys};
use fleet_tests::harness::{Alone, Trial};
use fleet_tests::tests;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection as _, FromRow};
use uuid::Uuid;

pub(super) fn trials() -> Vec<Trial> {
    tests![Alone::new() =>
        two_records_of_one_row_open_each_with_its_own_subjects_keys
        each_record_of_a_joined_row_is_resealed_under_its_own_keys
        a_value_in_the_other_records_column_does_not_open
        a_record_is_bound_to_its_uuid
        an_upsert_by_a_natural_key_loses_both_values_and_the_recipe_none
    ]
}

#[derive(Clone, Debug, Record, FromRow)]
#[record(schema = "customer")]
struct Customer {
    #[record(id, subject = "customer")]
    #[sqlx(rename = "customer_id")]
    id: Uuid,
    #[sqlx(rename = "customer_email")]
    email: Sealed<String>,
    #[sqlx(rename = "customer_phone")]
    phone: Option<Sealed<String>>,
}

#[derive(Clone, Debug, Record, FromRow)]
#[record(schema = "seller")]
struct Seller {
    #[record(id, subject = "customer")]
    #[sqlx(rename = "seller_id")]
    id: i64,
    #[sqlx(rename = "seller_email")]
    email: Sealed<String>,
}

impl Customer {
    fn is(&self, other: &Self) -> bool {
        let phone = match (&self.phone, &other.phone) {
            (Some(a), Some(b)) => a.same_bytes(b),
            (a, b) => a.is_none() && b.is_none(),
        };
        phone && self.id == other.id && self.email.same_bytes(&other.email)
    }
}

impl Seller {
    fn is(&self, other: &Self) -> bool {
        self.id == other.id && self.email.same_bytes(&other.email)
    }
}

/// What a join gives: an order, and the two people whom it concerns.
#[derive(Debug, FromRow)]
struct OrderRow {
    id: i64,
    #[sqlx(flatten)]
    customer: Customer,
    #[sqlx(flatten)]
    seller: Seller,
}

const JOIN: &str = r#"
    SELECT "order".id, customer.id AS customer_id, customer.email AS customer_email, customer.phone AS customer_phone,
           seller.id AS seller_id, seller.email AS seller_email
    FROM "order" JOIN customer ON customer.id = customer JOIN seller ON seller.id = seller"#;

async fn database(customer: &Customer, seller: &Seller) -> SqliteConnection {
    let mut db = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    sqlx::raw_sql(
        r#"CREATE TABLE customer (id BLOB PRIMARY KEY, email BLOB NOT NULL, phone BLOB);
           CREATE TABLE seller (id INTEGER PRIMARY KEY, email BLOB NOT NULL);
           CREATE TABLE "order" (id INTEGER PRIMARY KEY, customer BLOB NOT NULL, seller INTEGER NOT NULL);"#,
    )
    .execute(&mut db)
    .await
    .unwrap();
    sqlx::query("INSERT INTO customer VALUES ($1, $2, $3)")
        .bind(customer.id)
        .bind(&customer.email)
        .bind(&customer.phone)
        .execute(&mut db)
        .await
        .unwrap();
    sqlx::query("INSERT INTO seller VALUES ($1, $2)")
        .bind(seller.id)
        .bind(&seller.email)
        .execute(&mut db)
        .await
        .unwrap();
    sqlx::query(r#"INSERT INTO "order" VALUES (1, $1, $2)"#)
        .bind(customer.id)
        .bind(seller.id)
        .execute(&mut db)
        .await
        .unwrap();
    db
}

/// A customer and a seller, with the keys of each, and a database that holds an order of the two.
async fn order() -> (Customer, SubjectKeys, Seller, SubjectKeys, SqliteConnection) {
    let id = Uuid::new_v4();
    let (adas, bens) = (keys(&customer(id)), keys(&customer(7)));
    let ada = CustomerPlain { id, email: "ada@example.com".into(), phone: Some("+44 20".into()) };
    let ada = Customer::seal(&ada, &adas).unwrap();
    let ben = Seller::seal(&SellerPlain { id: 7, email: "ben@example.com".into() }, &bens).unwrap();
    let db = database(&ada, &ben).await;
    (ada, adas, ben, bens, db)
}

async fn two_records_of_one_row_open_each_with_its_own_subjects_keys() {
    let (ada, adas, ben, bens, mut db) = order().await;
    let order: OrderRow = sqlx::query_as(JOIN).fetch_one(&mut db).await.unwrap();
    assert!(order.id == 1 && order.customer.is(&ada) && order.seller.is(&ben));
    let opened = order.customer.open(&adas).unwrap();
    assert_eq!((opened.id, opened.email.expose().as_str()), (ada.id, "ada@example.com"));
    assert_eq!(opened.phone.unwrap().expose(), "+44 20");
    assert_eq!(order.seller.open(&bens).unwrap().email.expose(), "ben@example.com");

    assert!(matches!(order.customer.open(&bens), Err(Error::WrongSubject)));
    assert!(matches!(order.seller.open(&adas), Err(Error::WrongSubject)));
    assert!(matches!(bens.open(&order.customer, Customer::EMAIL), Err(Error::WrongSubject)));
}

async fn each_record_of_a_joined_row_is_resealed_under_its_own_keys() {
    let id = Uuid::new_v4();
    let ([adas_old, adas], [bens_old, bens]) =
        (rotated_keys(&customer(id), &["default"], &[]), rotated_keys(&customer(7), &["default"], &[]));
    let ada = CustomerPlain { id, email: "ada@example.com".into(), phone: None };
    let ada = Customer::seal(&ada, &adas_old).unwrap();
    let ben = Seller::seal(&SellerPlain { id: 7, email: "ben@example.com".into() }, &bens_old).unwrap();
    let mut db = database(&ada, &ben).await;
    let mut order: OrderRow = sqlx::query_as(JOIN).fetch_one(&mut db).await.unwrap();

    assert!(matches!(order.customer.reseal(&bens), Err(Error::WrongSubject)));
    assert_eq!((order.customer.reseal(&adas).unwrap(), order.seller.reseal(&bens).unwrap()), (1, 1));
    // Only where the old one still stands.
    let update = "UPDATE seller SET email = $1 WHERE id = $2 AND email = $3";
    for (updated, old) in [(1, &ben.email), (0, &ben.email), (0, &ada.email)] {
        let update = sqlx::query(update).bind(&order.seller.email).bind(7).bind(old).execute(&mut db);
        assert_eq!(update.await.unwrap().rows_affected(), updated);
    }
    let read: OrderRow = sqlx::query_as(JOIN).fetch_one(&mut db).await.unwrap();
    assert!(read.customer.is(&ada) && read.seller.is(&order.seller));
    assert_eq!(read.seller.open(&bens).unwrap().email.expose(), "ben@example.com");
    assert!(read.customer.needs_reseal(&adas).unwrap() && !read.seller.needs_reseal(&bens).unwrap());
}

/// The two e-mails are of one type, so a query that confuses them compiles.
async fn a_value_in_the_other_records_column_does_not_open() {
    let (_, adas, _, bens, mut db) = order().await;
    let confused = JOIN.replace("seller.email AS", "customer.email AS");
    let order: OrderRow = sqlx::query_as(AssertSqlSafe(confused)).fetch_one(&mut db).await.unwrap();
    assert!(order.customer.open(&adas).is_ok());
    assert!(matches!(order.seller.open(&bens).map_err(Error::without_field), Err(Error::KeyNotHeld)));
}

async fn a_record_is_bound_to_its_uuid() {
    let (ada, adas, .., mut db) = order().await;
    let select =
        "SELECT id AS customer_id, email AS customer_email, phone AS customer_phone FROM customer WHERE id = $1";
    let read: Customer = sqlx::query_as(select).bind(ada.id).fetch_one(&mut db).await.unwrap();
    assert_eq!(read.subject().unwrap().id(), ada.id.hyphenated().to_string());
    assert_eq!(read.open(&adas).unwrap().email.expose(), "ada@example.com");
    let mut place = adas.record_ref::<Customer>(&ada.id).unwrap();
    assert_eq!(place.open(Customer::EMAIL, &read.email).unwrap().expose(), "ada@example.com");

    let other = Uuid::new_v4();
    assert!(matches!(adas.record_ref::<Customer>(&other), Err(Error::WrongSubject)));
    assert!(matches!(Customer { id: other, ..read }.open(&adas), Err(Error::WrongSubject)));
    let nil = CustomerPlain { id: Uuid::nil(), email: "ada@example.com".into(), phone: None };
    assert!(matches!(Customer::seal(&nil, &adas), Err(Error::InvalidInput(_))));
}

/// The ids must be there before sealing: docs/production.md has the recipe.
async fn an_upsert_by_a_natural_key_loses_both_values_and_the_recipe_none() {
    #[derive(Debug, Record, FromRow)]
    #[record(schema = "account")]
    struct Account {
        #[record(id, subject = "customer")]
        id: i64,
        #[record(clear)]
        login: String,
        email: Sealed<String>,
    }
    let sealed = |id: i64, email: &str| {
        let plain = AccountPlain { id, login: "ada".to_owned(), email: email.into() };
        let keys = keys(&Account::subject_of(&id).unwrap());
        (Account::seal(&plain, &keys).unwrap(), keys)
    };
    let mut db = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    sqlx::raw_sql("CREATE TABLE account (id INTEGER PRIMARY KEY, login TEXT UNIQUE NOT NULL, email BLOB)")
        .execute(&mut db)
        .await
        .unwrap();
    let (old, olds) = sealed(17, "ada@example.com");
    let insert = "INSERT INTO account VALUES ($1, $2, $3)";
    sqlx::query(insert).bind(old.id).bind(&old.login).bind(&old.email).execute(&mut db).await.unwrap();

    // Sealed for a new id, and stored in the old row.
    let (new, news) = sealed(18, "ada@example.org");
    let upsert = format!("{insert} ON CONFLICT (login) DO UPDATE SET email = EXCLUDED.email");
    let upsert = sqlx::query(AssertSqlSafe(upsert)).bind(new.id).bind(&new.login).bind(&new.email);
    upsert.execute(&mut db).await.unwrap();
    let read: Account = sqlx::query_as("SELECT * FROM account").fetch_one(&mut db).await.unwrap();
    assert_eq!((read.id, read.login.as_str()), (17, "ada"));
    assert!(matches!(read.open(&olds).map_err(Error::without_field), Err(Error::KeyNotHeld)));
    assert!(matches!(read.open(&news), Err(Error::WrongSubject)));

    // The recipe: the id first, and then what is sealed for it.
    let ask = sqlx::query("INSERT INTO account (id, login) VALUES ($1, $2) ON CONFLICT (login) DO NOTHING");
    ask.bind(18).bind("ada").execute(&mut db).await.unwrap();
    let id: i64 =
        sqlx::query_scalar("SELECT id FROM account WHERE login = $1").bind("ada").fetch_one(&mut db).await.unwrap();
    assert_eq!(id, 17);
    let email = olds.record_ref::<Account>(&id).unwrap().seal(Account::EMAIL, "ada@example.org").unwrap();
    sqlx::query("UPDATE account SET email = $1 WHERE id = $2").bind(&email).bind(id).execute(&mut db).await.unwrap();
    let read: Account = sqlx::query_as("SELECT * FROM account").fetch_one(&mut db).await.unwrap();
    assert_eq!(read.open(&olds).unwrap().email.expose(), "ada@example.org");
}

//! What `#[derive(Record)]` makes, run: each round trip with the ways in which it must not open.

use fieldseal::{Error, FieldContext, HasSubject, Plain, Record, Sealed};
use fieldseal_testkit::{keys, keys_for};

#[derive(Clone, Debug, Record)]
#[record(schema = "customer")]
struct Customer {
    #[record(id, subject)]
    id: i64,
    email: Sealed<String>,
    phone: Sealed<String>,
    #[record(clear)]
    plan: String,
}

fn ada() -> CustomerPlain {
    CustomerPlain { id: 7, email: "ada@example.com".into(), phone: "+44 20".into(), plan: "free".to_owned() }
}

#[test]
fn a_row_opens_as_it_was_sealed() {
    let keys = keys(&7);
    let row = Customer::seal(ada(), &keys).unwrap();
    assert_eq!((row.id, row.plan.as_str()), (7, "free"));
    let CustomerPlain { id, email, phone, plan } = row.open(&keys).unwrap();
    assert_eq!(
        (id, email.expose().as_str(), phone.expose().as_str(), plan.as_str()),
        (7, "ada@example.com", "+44 20", "free")
    );
    assert_eq!(keys.open(&row, Customer::PHONE).unwrap().expose(), "+44 20");
}

#[test]
fn swapped_fields_do_not_open() {
    let keys = keys(&7);
    let mut row = Customer::seal(ada(), &keys).unwrap();
    std::mem::swap(&mut row.email, &mut row.phone);
    assert!(matches!(row.open(&keys), Err(Error::Authentication)));
    assert!(matches!(keys.open(&row, Customer::EMAIL), Err(Error::Authentication)));
}

#[derive(Clone, Debug, Record)]
#[record(schema = "order")]
struct Order {
    #[record(id)]
    id: i64,
    #[record(subject)]
    customer_id: String,
    note: Sealed<String>,
}

fn order(id: i64, customer_id: &str) -> OrderPlain {
    OrderPlain { id, customer_id: customer_id.to_owned(), note: "fragile".into() }
}

#[test]
fn swapped_rows_do_not_open() {
    let keys = keys("ada");
    let (first, second) = (Order::seal(order(1, "ada"), &keys).unwrap(), Order::seal(order(2, "ada"), &keys).unwrap());
    let swapped = Order { note: second.note.clone(), ..first.clone() };
    assert_eq!(first.open(&keys).unwrap().note.expose(), "fragile");
    assert!(matches!(swapped.open(&keys), Err(Error::Authentication)));
}

#[test]
fn another_type_of_record_does_not_open() {
    let keys = keys("ada");
    let order = Order::seal(order(1, "ada"), &keys).unwrap();
    let context = FieldContext::new("order", "note", &1).unwrap();
    assert_eq!(keys.open_value(&order.note, &context).unwrap().expose(), "fragile");
    let context = FieldContext::new("invoice", "note", &1).unwrap();
    assert!(matches!(keys.open_value(&order.note, &context), Err(Error::Authentication)));
}

#[test]
fn keys_of_another_subject_neither_seal_nor_open() {
    let (adas, graces) = (keys("ada"), keys("grace"));
    let row = Order::seal(order(1, "ada"), &adas).unwrap();
    assert!(matches!(Order::seal(order(1, "ada"), &graces), Err(Error::WrongSubject)));
    assert!(matches!(row.open(&graces), Err(Error::WrongSubject)));
    assert!(matches!(graces.open(&row, Order::NOTE), Err(Error::WrongSubject)));
    let mut changed = row.clone();
    assert!(matches!(graces.change(&mut changed, Order::NOTE, "mine"), Err(Error::WrongSubject)));
    assert_eq!(changed.note, row.note);

    let reassigned = Order { customer_id: "grace".to_owned(), ..row };
    assert!(reassigned.open(&graces).is_err());
    assert!(matches!(reassigned.open(&adas), Err(Error::WrongSubject)));
}

#[test]
fn row_and_twin_say_whose_they_are() {
    let row = Order::seal(order(1, "ada"), &keys("ada")).unwrap();
    assert_eq!(row.subject().unwrap().as_str(), "ada");
    assert_eq!(order(1, "grace").subject().unwrap().as_str(), "grace");
    assert!(order(1, "").subject().is_err());
}

#[derive(Debug, Record)]
#[record(schema = "order")]
struct RenamedOrder {
    #[record(id)]
    number: i64,
    #[record(clear)]
    customer: String,
    #[record(rename = "note")]
    remark: Sealed<String>,
}

#[derive(Debug, Record)]
#[record(schema = "order")]
struct CarelesslyRenamedOrder {
    #[record(id)]
    number: i64,
    remark: Sealed<String>,
}

#[test]
fn a_field_keeps_its_data_through_a_rename_that_keeps_its_name() {
    let keys = keys("ada");
    let Order { id, customer_id, note } = Order::seal(order(1, "ada"), &keys).unwrap();
    let careless = CarelesslyRenamedOrder { number: id, remark: note.clone() };
    assert!(matches!(careless.open(&keys), Err(Error::Authentication)));
    let renamed = RenamedOrder { number: id, customer: customer_id, remark: note };
    let opened = renamed.open(&keys).unwrap();
    assert_eq!((opened.number, opened.customer.as_str(), opened.remark.expose().as_str()), (1, "ada", "fragile"));
}

#[derive(Clone, Debug, Record)]
#[record(schema = "line")]
struct Line {
    #[record(id)]
    order: String,
    name: Sealed<String>,
    #[record(id)]
    number: String,
}

#[test]
fn several_ids_are_bound_in_their_order() {
    let keys = keys("ada");
    let line = |order: &str, number: &str| LinePlain {
        order: order.to_owned(),
        name: "pen".into(),
        number: number.to_owned(),
    };
    let row = Line::seal(line("a", "b"), &keys).unwrap();
    assert_eq!(row.open(&keys).unwrap().name.expose(), "pen");
    for (order, number) in [("b", "a"), ("ab", ""), ("a", "bb"), ("", "ab")] {
        let moved = Line { order: order.to_owned(), number: number.to_owned(), ..row.clone() };
        assert!(moved.open(&keys).is_err());
    }
    let context = FieldContext::new("line", "name", "a").unwrap().and_id("b").unwrap();
    assert_eq!(keys.open_value(&row.name, &context).unwrap().expose(), "pen");
    let ids = ("a".to_owned(), "b".to_owned());
    assert_eq!(keys.record_ref::<Line>(&ids).unwrap().open(Line::NAME, &row.name).unwrap().expose(), "pen");
}

#[test]
fn a_place_whose_id_names_another_subject_is_refused() {
    #[derive(Record)]
    #[record(schema = "address")]
    struct Address {
        #[record(id)]
        number: i64,
        #[record(id, subject)]
        person: i64,
        street: Sealed<String>,
    }
    let keys = keys(&5i64);
    let sealed = keys.record_ref::<Address>(&(1, 5)).unwrap().seal(Address::STREET, "Main").unwrap();
    let row = Address { number: 1, person: 5, street: sealed };
    assert_eq!(keys.open(&row, Address::STREET).unwrap().expose(), "Main");
    assert!(matches!(keys.record_ref::<Address>(&(5, 4)), Err(Error::WrongSubject)));
}

#[derive(Clone, Debug, Record)]
#[record(schema = "profile", unbound)]
struct Profile {
    bio: Sealed<String>,
    motto: Sealed<String>,
}

#[test]
fn unbound_values_open_in_any_row_of_the_subject_and_not_beyond() {
    let keys = keys("ada");
    let profile = |bio: &str| Profile::seal(ProfilePlain { bio: bio.into(), motto: "m".into() }, &keys).unwrap();
    let (a, b) = (profile("a"), profile("b"));
    let swapped = Profile { bio: b.bio.clone(), ..a.clone() };
    assert_eq!(swapped.open(&keys).unwrap().bio.expose(), "b");
    let crossed = Profile { bio: a.motto.clone(), ..a.clone() };
    assert!(matches!(crossed.open(&keys), Err(Error::Authentication)));
    assert!(matches!(a.open(&fieldseal_testkit::keys("grace")), Err(Error::KeyNotHeld)));
    let context = FieldContext::unbound("profile", "bio").unwrap();
    assert_eq!(keys.open_value(&a.bio, &context).unwrap().expose(), "a");
    assert_eq!(keys.record_ref::<Profile>(&()).unwrap().open(Profile::BIO, &b.bio).unwrap().expose(), "b");
}

#[derive(Debug, Record)]
#[record(schema = "padded", unbound)]
struct Padded {
    #[record(pad = 64)]
    note: Sealed<String>,
    bare: Sealed<String>,
}

#[test]
fn padded_values_of_one_block_are_of_one_length() {
    let keys = keys("ada");
    for (len, frame) in [(0, 64), (1, 64), (63, 64), (64, 128), (127, 128), (128, 192)] {
        let text = "x".repeat(len);
        let plain = PaddedPlain { note: text.clone().into(), bare: text.clone().into() };
        let row = Padded::seal(plain, &keys).unwrap();
        assert_eq!((row.note.as_bytes().len(), row.bare.as_bytes().len()), (65 + frame, 66 + len));
        assert_eq!(*row.open(&keys).unwrap().note.expose(), text);
    }
}

#[derive(Clone, Debug, Record)]
#[record(schema = "account", purpose = "contract")]
struct Account {
    #[record(id)]
    id: i64,
    name: Sealed<String>,
    #[record(purpose = "marketing")]
    likes: Option<Sealed<String>>,
    #[record(purpose = "contract")]
    nickname: Option<Sealed<String>>,
}

fn account(likes: Option<&str>) -> AccountPlain {
    AccountPlain { id: 1, name: "Ada".into(), likes: likes.map(Plain::from), nickname: Some("A".into()) }
}

#[test]
fn a_field_is_sealed_for_its_purpose() {
    let keys = keys_for("ada", &["contract", "marketing"], &[]);
    let row = Account::seal(account(Some("tea")), &keys).unwrap();
    assert_eq!(row.open(&keys).unwrap().likes.unwrap().expose(), "tea");
    let context = FieldContext::new("account", "likes", &1).unwrap();
    let likes = row.likes.unwrap();
    assert_eq!(keys.open_value(&likes, &context.clone().purpose("marketing")).unwrap().expose(), "tea");
    assert!(matches!(keys.open_value(&likes, &context.purpose("contract")), Err(Error::Authentication)));
    assert_eq!(Account::PURPOSES, ["contract", "marketing"]);
}

#[test]
fn an_erased_other_purpose_opens_as_none_and_seals_none_only() {
    let before = keys_for("ada", &["contract", "marketing"], &[]);
    let after = keys_for("ada", &["contract"], &["marketing"]);
    assert!(matches!(Account::seal(account(Some("tea")), &after), Err(Error::PurposeErased { .. })));
    let mut row = Account::seal(account(None), &after).unwrap();
    row.likes = Account::seal(account(Some("tea")), &before).unwrap().likes;
    let opened = row.open(&after).unwrap();
    assert!(opened.likes.is_none());
    assert_eq!(opened.name.expose(), "Ada");
    assert!(after.open(&row, Account::LIKES).unwrap().is_none());
}

/// A none that the record's own purpose would give could not be told from one that was stored.
#[test]
fn an_erased_own_purpose_is_an_error_also_for_an_option() {
    let before = keys_for("ada", &["contract", "marketing"], &[]);
    let after = keys_for("ada", &["marketing"], &["contract"]);
    let row = Account::seal(account(None), &before).unwrap();
    assert!(matches!(row.open(&after), Err(Error::PurposeErased { .. })));
    assert!(matches!(after.open(&row, Account::NICKNAME), Err(Error::PurposeErased { .. })));
}

#[test]
fn a_purpose_without_keys_is_unknown() {
    let keys = keys_for("ada", &["contract"], &[]);
    assert!(matches!(Account::seal(account(Some("tea")), &keys), Err(Error::PurposeUnknown)));
    assert!(Account::seal(account(None), &keys).is_ok());
}

#[test]
fn a_changed_field_is_sealed_in_its_place() {
    let keys = keys(&7);
    let mut row = Customer::seal(ada(), &keys).unwrap();
    let old = row.clone();
    keys.change(&mut row, Customer::EMAIL, "ada@example.org").unwrap();
    assert_eq!(row.open(&keys).unwrap().email.expose(), "ada@example.org");
    assert_eq!((&row.phone, &row.plan), (&old.phone, &old.plan));
    assert_ne!(nonce(&row.email)[..16], nonce(&row.phone)[..16]);
    std::mem::swap(&mut row.email, &mut row.phone);
    assert!(row.open(&keys).is_err());
}

#[test]
fn a_place_reads_and_writes_columns_of_its_row_only() {
    let keys = keys(&7);
    let row = Customer::seal(ada(), &keys).unwrap();
    let mut place = keys.record_ref::<Customer>(&7).unwrap();
    assert_eq!(place.open(Customer::EMAIL, &row.email).unwrap().expose(), "ada@example.com");
    assert!(matches!(place.open(Customer::PHONE, &row.email), Err(Error::Authentication)));
    let email = place.seal(Customer::EMAIL, "ada@example.org").unwrap();
    assert_eq!(Customer { email, ..row.clone() }.open(&keys).unwrap().email.expose(), "ada@example.org");
    assert!(matches!(keys.record_ref::<Customer>(&8), Err(Error::WrongSubject)));
}

#[test]
fn placeholder_ids_are_refused() {
    let keys = keys("ada");
    assert!(matches!(Order::seal(order(0, "ada"), &keys), Err(Error::InvalidInput(_))));
    assert!(matches!(Order::seal(order(1, ""), &keys), Err(Error::InvalidInput(_))));
    assert!(matches!(keys.record_ref::<Order>(&0), Err(Error::InvalidInput(_))));
    let row = Order::seal(order(1, "ada"), &keys).unwrap();
    assert!(matches!(Order { id: 0, ..row }.open(&keys), Err(Error::InvalidInput(_))));
}

#[test]
fn debug_shows_neither_values_nor_envelopes() {
    let keys = keys(&7);
    assert_eq!(format!("{:?} {:#?}", ada(), ada()), "CustomerPlain { .. } CustomerPlain { .. }");
    let row = Customer::seal(ada(), &keys).unwrap();
    assert_eq!(
        format!("{row:?}"),
        "Customer { id: 7, email: Sealed(81 bytes), phone: Sealed(72 bytes), plan: \"free\" }"
    );
    assert_eq!(
        format!("{:?}", Customer::EMAIL),
        "Field(FieldSpec { name: \"email\", purpose: \"default\", pad: 0, of_other_purpose: false })"
    );
}

#[derive(Debug, Record)]
#[record(schema = "generic")]
struct Generic<'a, I, T: fieldseal::Plaintext, const N: usize>
where
    I: fieldseal::id::ToId + Clone,
{
    #[record(id)]
    id: I,
    #[record(clear)]
    label: &'a str,
    value: Sealed<T>,
    bytes: Sealed<[u8; N]>,
}

#[test]
fn generic_records_seal_and_open() {
    let keys = keys("ada");
    let plain = GenericPlain { id: "x", label: "l", value: 17i64.into(), bytes: [1, 2, 3].into() };
    let mut row = Generic::seal(plain, &keys).unwrap();
    let opened = row.open(&keys).unwrap();
    assert_eq!((opened.id, opened.label, *opened.value.expose(), *opened.bytes.expose()), ("x", "l", 17, [1, 2, 3]));
    assert_eq!(*keys.open(&row, Generic::BYTES).unwrap().expose(), [1, 2, 3]);
    row.id = "y";
    assert!(matches!(row.open(&keys), Err(Error::Authentication)));
}

#[derive(Debug, Record)]
#[record(schema = "many", unbound)]
struct Many {
    a: Sealed<i64>,
    #[record(purpose = "other")]
    b: Option<Sealed<i64>>,
    c: Option<Sealed<i64>>,
    d: Sealed<Option<i64>>,
    e: Sealed<i64>,
}

fn nonce<T>(sealed: &Sealed<T>) -> &[u8] {
    sealed.as_bytes().get(25..49).unwrap()
}

fn many(keys: &fieldseal::SubjectKeys) -> Many {
    let plain = ManyPlain { a: 1.into(), b: Some(2.into()), c: None, d: None.into(), e: 5.into() };
    Many::seal(plain, keys).unwrap()
}

/// Absent fields take no nonce; purposes share the count.
#[test]
fn nonces_of_one_record_count_up_in_the_order_of_the_fields() {
    let keys = keys_for("ada", &["default", "other"], &[]);
    let row = many(&keys);
    let nonces = [nonce(&row.a), nonce(row.b.as_ref().unwrap()), nonce(&row.d), nonce(&row.e)];
    let count = |nonce: &[u8]| u64::from_be_bytes(nonce[16..].try_into().unwrap());
    for pair in nonces.windows(2) {
        assert_eq!(pair[0][..16], pair[1][..16]);
        assert_eq!(count(pair[0]).wrapping_add(1), count(pair[1]));
    }
    let opened = row.open(&keys).unwrap();
    assert_eq!((*opened.a.expose(), *opened.d.expose(), *opened.e.expose()), (1, None, 5));
}

#[test]
fn no_two_records_share_a_nonce_prefix() {
    let keys = keys_for("ada", &["default", "other"], &[]);
    assert_ne!(nonce(&many(&keys).a)[..16], nonce(&many(&keys).a)[..16]);
}

#[cfg(feature = "serde")]
mod twins {
    use super::*;

    #[derive(Debug, Record)]
    #[record(
        schema = "form",
        plain(name = SignUp, derive(serde::Serialize), attr(serde(rename_all = "camelCase")), attr(serde(tag = "kind")))
    )]
    struct Form {
        #[record(id, plain(attr(serde(rename = "number"))))]
        row_id: i64,
        #[record(clear)]
        chosen_plan: String,
        #[record(plain(attr(serde(skip))))]
        email: Sealed<String>,
    }

    #[test]
    fn the_twin_carries_the_attributes_it_was_given() {
        let twin = SignUp { row_id: 1, chosen_plan: "free".to_owned(), email: "e".into() };
        let mut out = Vec::new();
        serde::Serialize::serialize(&twin, &mut serde_json::Serializer::new(&mut out)).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), r#"{"kind":"SignUp","number":1,"chosenPlan":"free"}"#);
        assert_eq!(Form::seal(twin, &keys("ada")).unwrap().chosen_plan, "free");
    }
}

type Secret = Sealed<String>;

#[derive(Debug, Record)]
#[record(schema = "aliased", unbound)]
struct Aliased {
    #[record(sealed)]
    name: Secret,
}

#[test]
fn an_alias_is_sealed_where_it_says_so() {
    let keys = keys("ada");
    let row = Aliased::seal(AliasedPlain { name: "Ada".into() }, &keys).unwrap();
    assert!(!row.name.as_bytes().windows(3).any(|bytes| bytes == b"Ada"));
    assert_eq!(row.open(&keys).unwrap().name.expose(), "Ada");
}

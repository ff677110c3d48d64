//! What `#[derive(Record)]` makes, run: each round trip with the ways in which it must not open.

use fieldseal::provider::LocalKeyring;
use fieldseal::store::MemoryStore;
use fieldseal::{Error, FieldContext, HasSubject, Plain, Record, Sealed, SubjectId, Vault};
use fieldseal_testkit::{customer, keys, keys_for};

#[derive(Clone, Debug, Record)]
#[record(schema = "customer")]
struct Customer {
    #[record(id, subject = "customer")]
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
    let keys = keys(&customer(7));
    let row = Customer::seal(&ada(), &keys).unwrap();
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
    let keys = keys(&customer(7));
    let mut row = Customer::seal(&ada(), &keys).unwrap();
    std::mem::swap(&mut row.email, &mut row.phone);
    assert!(matches!(row.open(&keys).map_err(Error::without_field), Err(Error::Authentication)));
    assert!(matches!(keys.open(&row, Customer::EMAIL).map_err(Error::without_field), Err(Error::Authentication)));
}

#[derive(Clone, Debug, Record)]
#[record(schema = "order")]
struct Order {
    #[record(id)]
    id: i64,
    #[record(subject = "customer")]
    customer_id: String,
    note: Sealed<String>,
}

fn order(id: i64, customer_id: &str) -> OrderPlain {
    OrderPlain { id, customer_id: customer_id.to_owned(), note: "fragile".into() }
}

#[test]
fn swapped_rows_do_not_open() {
    let keys = keys(&customer("ada"));
    let (first, second) =
        (Order::seal(&order(1, "ada"), &keys).unwrap(), Order::seal(&order(2, "ada"), &keys).unwrap());
    let swapped = Order { note: second.note.clone(), ..first.clone() };
    assert_eq!(first.open(&keys).unwrap().note.expose(), "fragile");
    assert!(matches!(swapped.open(&keys).map_err(Error::without_field), Err(Error::Authentication)));
}

#[test]
fn another_type_of_record_does_not_open() {
    let keys = keys(&customer("ada"));
    let order = Order::seal(&order(1, "ada"), &keys).unwrap();
    let context = FieldContext::new("order", "note", &1).unwrap();
    assert_eq!(keys.open_value(&order.note, &context).unwrap().expose(), "fragile");
    let context = FieldContext::new("invoice", "note", &1).unwrap();
    assert!(matches!(keys.open_value(&order.note, &context), Err(Error::Authentication)));
}

#[test]
fn keys_of_another_subject_neither_seal_nor_open() {
    let (adas, graces) = (keys(&customer("ada")), keys(&customer("grace")));
    let row = Order::seal(&order(1, "ada"), &adas).unwrap();
    assert!(matches!(Order::seal(&order(1, "ada"), &graces), Err(Error::WrongSubject)));
    assert!(matches!(row.open(&graces), Err(Error::WrongSubject)));
    assert!(matches!(graces.open(&row, Order::NOTE), Err(Error::WrongSubject)));
    let mut changed = row.clone();
    assert!(matches!(graces.change(&mut changed, Order::NOTE, "mine"), Err(Error::WrongSubject)));
    assert!(changed.note.same_bytes(&row.note));

    let reassigned = Order { customer_id: "grace".to_owned(), ..row };
    assert!(reassigned.open(&graces).is_err());
    assert!(matches!(reassigned.open(&adas), Err(Error::WrongSubject)));
}

#[test]
fn row_and_twin_say_whose_they_are() {
    let row = Order::seal(&order(1, "ada"), &keys(&customer("ada"))).unwrap();
    assert_eq!(row.subject().unwrap(), customer("ada"));
    assert_eq!(order(1, "grace").subject().unwrap(), customer("grace"));
    assert!(order(1, "").subject().is_err());
    assert_eq!(Customer::subject_of(&7).unwrap(), customer(7));
    assert_eq!(Order::subject_of("ada").unwrap(), customer("ada"), "by the column that names it");
    assert_eq!(Order::subject_of(&"ada".to_owned()).unwrap(), customer("ada"));
    assert!(matches!(Customer::subject_of(&0), Err(Error::InvalidInput(_))));
}

/// Customer 7 and employee 7 are two people: rows of one open with the keys of neither the other nor their kind.
#[test]
fn keys_of_another_kind_neither_seal_nor_open() {
    #[derive(Clone, Debug, Record)]
    #[record(schema = "customer")]
    struct Employee {
        #[record(id, subject = "employee")]
        id: i64,
        email: Sealed<String>,
        phone: Sealed<String>,
    }
    let (customers, employees) = (keys(&customer(7)), keys(&Employee::subject_of(&7).unwrap()));
    let wrong = |e: Error| matches!(&e, Error::WrongSubjectKind { expected, found } if **expected == *"customer" && **found == *"employee");
    let mut row = Customer::seal(&ada(), &customers).unwrap();
    let old = row.clone();
    assert!(Customer::seal(&ada(), &employees).is_err_and(wrong));
    assert!(row.open(&employees).is_err_and(wrong));
    assert!(employees.open(&row, Customer::EMAIL).is_err_and(wrong));
    assert!(employees.change(&mut row, Customer::EMAIL, "mine").is_err_and(wrong));
    assert!(employees.record_ref::<Customer>(&7).is_err_and(wrong));
    assert!(row.needs_reseal(&employees).is_err_and(wrong));
    assert!(row.reseal(&employees).is_err_and(wrong));
    assert!(row.email.same_bytes(&old.email) && row.phone.same_bytes(&old.phone));
    // As somebody who writes to the database may say it is.
    let employee = Employee { id: row.id, email: row.email, phone: row.phone };
    assert!(employee.open(&customers).is_err());
    assert!(matches!(employee.open(&employees).map_err(Error::without_field), Err(Error::KeyNotHeld)));
}

#[derive(Clone, Debug, Record)]
#[record(schema = "basket")]
struct Basket {
    #[record(id)]
    id: i64,
    #[record(subject = "customer")]
    customer_id: Option<i64>,
    note: Sealed<String>,
}

fn basket(customer_id: Option<i64>) -> BasketPlain {
    BasketPlain { id: 1, customer_id, note: "fragile".into() }
}

#[test]
fn a_row_of_nobody_yet_is_sealed_for_a_subject_that_is_named() {
    let guest = SubjectId::new("guest", "session 4711").unwrap();
    let (guests, others, customers) = (keys(&guest), keys(&customer(8)), keys(&customer(7)));
    assert!(matches!(basket(None).subject(), Err(Error::InvalidInput(_))));
    assert!(matches!(Basket::seal(&basket(None), &guests), Err(Error::InvalidInput(_))));
    assert!(matches!(Basket::seal_for(&basket(None), &others, &guest), Err(Error::WrongSubjectKind { .. })));
    assert!(matches!(Basket::seal_for(&basket(None), &others, &customer(7)), Err(Error::WrongSubject)));

    let mut row = Basket::seal_for(&basket(None), &guests, &guest).unwrap();
    assert_eq!(row.open(&guests).unwrap().note.expose(), "fragile");
    assert!(matches!(row.open(&others).map_err(Error::without_field), Err(Error::KeyNotHeld)));

    // What is changed in it needs the subject, too.
    let Err(Error::InvalidInput(advice)) = guests.change(&mut row, Basket::NOTE, "heavy") else { panic!() };
    assert!(advice.contains("`RecordRef::seal_for`"), "{advice}");
    row.note = guests.record_ref::<Basket>(&row.id).unwrap().seal_for(Basket::NOTE, "heavy", &guest).unwrap();
    assert_eq!(row.open(&guests).unwrap().note.expose(), "heavy");

    // They register: the row is theirs from now on.
    let opened = row.open(&guests).unwrap();
    let registered = Basket::seal(&BasketPlain { customer_id: Some(7), ..opened }, &customers).unwrap();
    assert_eq!(registered.subject().unwrap(), customer(7));
    assert_eq!(registered.open(&customers).unwrap().note.expose(), "heavy");
    assert!(matches!(registered.open(&guests), Err(Error::WrongSubjectKind { .. })));
    row.customer_id = Some(7);
    assert!(
        matches!(row.open(&customers).map_err(Error::without_field), Err(Error::KeyNotHeld)),
        "an id in the column is not enough"
    );
}

#[test]
fn a_row_that_names_its_subject_is_sealed_for_no_other() {
    let (sevens, eights) = (keys(&customer(7)), keys(&customer(8)));
    assert!(Basket::seal_for(&basket(Some(7)), &sevens, &customer(7)).is_ok());
    assert!(matches!(Basket::seal_for(&basket(Some(7)), &eights, &customer(8)), Err(Error::WrongSubject)));
    assert!(matches!(Basket::seal_for(&basket(Some(7)), &eights, &customer(7)), Err(Error::WrongSubject)));
    assert_eq!(Basket::subject_of(&7).unwrap(), customer(7));
}

/// Sealed under another person's keys it would be lost with that one's erasure.
#[test]
fn a_value_for_a_row_that_is_not_at_hand_is_sealed_for_whom_the_caller_names() {
    let (adas, graces) = (keys(&customer("ada")), keys(&customer("grace")));
    let row = Order::seal(&order(1, "ada"), &adas).unwrap();
    let place = |keys| -> fieldseal::RecordRef<'_, Order> { fieldseal::SubjectKeys::record_ref(keys, &1).unwrap() };
    for keys in [&adas, &graces] {
        let Err(Error::InvalidInput(advice)) = place(keys).seal(Order::NOTE, "heavy") else { panic!() };
        assert!(advice.contains("`seal_for`"), "{advice}");
    }
    let ada = row.subject().unwrap();
    let note = place(&adas).seal_for(Order::NOTE, "heavy", &ada).unwrap();
    assert_eq!(Order { note, ..row.clone() }.open(&adas).unwrap().note.expose(), "heavy");
    assert!(matches!(place(&graces).seal_for(Order::NOTE, "heavy", &ada), Err(Error::WrongSubject)));
    let employee = SubjectId::new("employee", "ada").unwrap();
    assert!(matches!(place(&adas).seal_for(Order::NOTE, "heavy", &employee), Err(Error::WrongSubjectKind { .. })));
    // To open and to reseal, the keys are enough: what isn't under one of them opens with none.
    assert_eq!(place(&adas).open(Order::NOTE, &row.note).unwrap().expose(), "fragile");
    assert!(matches!(
        place(&graces).open(Order::NOTE, &row.note).map_err(Error::without_field),
        Err(Error::KeyNotHeld)
    ));

    // An id that names the subject has said it.
    let sevens = keys(&customer(7));
    let email = sevens.record_ref::<Customer>(&7).unwrap().seal_for(Customer::EMAIL, "a@b", &customer(7));
    assert!(email.is_ok());
    let refused = sevens.record_ref::<Customer>(&7).unwrap().seal_for(Customer::EMAIL, "a@b", &customer(8));
    assert!(matches!(refused, Err(Error::WrongSubject)));
}

type Maybe<T> = Option<T>;

/// A letter has a subject of its own.
#[derive(Debug, Record)]
#[record(schema = "letter")]
struct Letter {
    #[record(id)]
    id: i64,
    #[record(subject = "customer")]
    to: Maybe<String>,
    subject: Sealed<String>,
}

impl Letter {
    fn subject(&self, keys: &fieldseal::SubjectKeys) -> String {
        keys.open(self, Self::SUBJECT).unwrap().into_inner()
    }
}

#[test]
fn a_record_may_have_a_method_of_any_name_and_a_subject_of_any_alias() {
    let keys = keys(&customer("ada"));
    let letter = |to: Option<&str>| LetterPlain { id: 1, to: to.map(str::to_owned), subject: "Ada's bill".into() };
    let row = Letter::seal(&letter(Some("ada")), &keys).unwrap();
    assert_eq!(row.subject(&keys), "Ada's bill");
    assert_eq!(HasSubject::subject(&row).unwrap(), Letter::subject_of("ada").unwrap());
    assert!(matches!(Letter::seal(&letter(None), &keys), Err(Error::InvalidInput(_))));
}

#[derive(Debug, Record)]
#[record(schema = "order", any_subject)]
struct RenamedOrder {
    #[record(id)]
    number: i64,
    #[record(clear)]
    customer: String,
    #[record(rename = "note")]
    remark: Sealed<String>,
}

#[derive(Debug, Record)]
#[record(schema = "order", any_subject)]
struct CarelesslyRenamedOrder {
    #[record(id)]
    number: i64,
    remark: Sealed<String>,
}

#[test]
fn a_field_keeps_its_data_through_a_rename_that_keeps_its_name() {
    let keys = keys(&customer("ada"));
    let Order { id, customer_id, note } = Order::seal(&order(1, "ada"), &keys).unwrap();
    let careless = CarelesslyRenamedOrder { number: id, remark: note.clone() };
    assert!(matches!(careless.open(&keys).map_err(Error::without_field), Err(Error::Authentication)));
    let renamed = RenamedOrder { number: id, customer: customer_id, remark: note };
    let opened = renamed.open(&keys).unwrap();
    assert_eq!((opened.number, opened.customer.as_str(), opened.remark.expose().as_str()), (1, "ada", "fragile"));
}

#[derive(Clone, Debug, Record)]
#[record(schema = "line", any_subject)]
struct Line {
    #[record(id)]
    order: String,
    name: Sealed<String>,
    #[record(id)]
    number: String,
}

#[test]
fn several_ids_are_bound_in_their_order() {
    let keys = keys(&customer("ada"));
    let line = |order: &str, number: &str| LinePlain {
        order: order.to_owned(),
        name: "pen".into(),
        number: number.to_owned(),
    };
    let row = Line::seal(&line("a", "b"), &keys).unwrap();
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
fn a_part_of_an_id_is_0_where_the_record_says_so() {
    #[derive(Clone, Debug, Record)]
    #[record(schema = "line", any_subject)]
    struct Counted {
        #[record(id)]
        order: i64,
        #[record(id, zero)]
        line: u16,
        name: Sealed<String>,
    }
    let keys = keys(&customer("ada"));
    let counted = |order, line| CountedPlain { order, line, name: "pen".into() };
    let row = Counted::seal(&counted(17, 0), &keys).unwrap();
    assert_eq!(row.open(&keys).unwrap().name.expose(), "pen");
    assert!(matches!(
        Counted { line: 1, ..row.clone() }.open(&keys).map_err(Error::without_field),
        Err(Error::Authentication)
    ));
    assert!(matches!(Counted::seal(&counted(0, 17), &keys), Err(Error::InvalidInput(_))), "the other part is none");
    let mut place = keys.record_ref::<Counted>(&(17, 0)).unwrap();
    assert_eq!(place.open(Counted::NAME, &row.name).unwrap().expose(), "pen");
    let pencil = place.seal(Counted::NAME, "pencil").unwrap();
    assert_eq!(Counted { name: pencil, ..row.clone() }.open(&keys).unwrap().name.expose(), "pencil");
    assert!(matches!(keys.record_ref::<Counted>(&(0, 17)), Err(Error::InvalidInput(_))));
    // It is the text `0`, as docs/format.md says.
    let context = FieldContext::new("line", "name", &17).unwrap().and_id("0").unwrap();
    assert_eq!(keys.open_value(&row.name, &context).unwrap().expose(), "pen");
}

#[test]
fn a_place_whose_id_names_another_subject_is_refused() {
    #[derive(Record)]
    #[record(schema = "address")]
    struct Address {
        #[record(id)]
        number: i64,
        #[record(id, subject = "customer")]
        person: i64,
        street: Sealed<String>,
    }
    let keys = keys(&customer(5i64));
    let sealed = keys.record_ref::<Address>(&(1, 5)).unwrap().seal(Address::STREET, "Main").unwrap();
    let row = Address { number: 1, person: 5, street: sealed };
    assert_eq!(keys.open(&row, Address::STREET).unwrap().expose(), "Main");
    assert!(matches!(keys.record_ref::<Address>(&(5, 4)), Err(Error::WrongSubject)));
    let employees = fieldseal_testkit::keys(&SubjectId::new("employee", &5).unwrap());
    assert!(matches!(employees.record_ref::<Address>(&(1, 5)), Err(Error::WrongSubjectKind { .. })));
}

#[derive(Clone, Debug, Record)]
#[record(schema = "profile", any_subject, unbound)]
struct Profile {
    bio: Sealed<String>,
    motto: Sealed<String>,
}

#[test]
fn unbound_values_open_in_any_row_of_the_subject_and_not_beyond() {
    let keys = keys(&customer("ada"));
    let profile = |bio: &str| Profile::seal(&ProfilePlain { bio: bio.into(), motto: "m".into() }, &keys).unwrap();
    let (a, b) = (profile("a"), profile("b"));
    let swapped = Profile { bio: b.bio.clone(), ..a.clone() };
    assert_eq!(swapped.open(&keys).unwrap().bio.expose(), "b");
    let crossed = Profile { bio: a.motto.clone(), ..a.clone() };
    assert!(matches!(crossed.open(&keys).map_err(Error::without_field), Err(Error::Authentication)));
    assert!(matches!(
        a.open(&fieldseal_testkit::keys(&customer("grace"))).map_err(Error::without_field),
        Err(Error::KeyNotHeld)
    ));
    let context = FieldContext::unbound("profile", "bio").unwrap();
    assert_eq!(keys.open_value(&a.bio, &context).unwrap().expose(), "a");
    assert_eq!(keys.record_ref::<Profile>(&()).unwrap().open(Profile::BIO, &b.bio).unwrap().expose(), "b");
}

#[derive(Debug, Record)]
#[record(schema = "padded", any_subject, unbound)]
struct Padded {
    #[record(pad = 64)]
    note: Sealed<String>,
    bare: Sealed<String>,
}

#[test]
fn padded_values_of_one_block_are_of_one_length() {
    let keys = keys(&customer("ada"));
    for (len, frame) in [(0, 64), (1, 64), (63, 64), (64, 128), (127, 128), (128, 192)] {
        let text = "x".repeat(len);
        let plain = PaddedPlain { note: text.clone().into(), bare: text.clone().into() };
        let row = Padded::seal(&plain, &keys).unwrap();
        assert_eq!((row.note.as_bytes().len(), row.bare.as_bytes().len()), (65 + frame, 66 + len));
        assert_eq!(*row.open(&keys).unwrap().note.expose(), text);
    }
}

#[derive(Clone, Debug, Record)]
#[record(schema = "account", any_subject, purpose = "contract")]
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
    let keys = keys_for(&customer("ada"), &["contract", "marketing"], &[]);
    let row = Account::seal(&account(Some("tea")), &keys).unwrap();
    assert_eq!(row.open(&keys).unwrap().likes.unwrap().expose(), "tea");
    let context = FieldContext::new("account", "likes", &1).unwrap();
    let likes = row.likes.unwrap();
    assert_eq!(keys.open_value(&likes, &context.clone().purpose("marketing")).unwrap().expose(), "tea");
    assert!(matches!(keys.open_value(&likes, &context.purpose("contract")), Err(Error::WrongPurpose)));
    assert_eq!(Account::PURPOSES, ["contract", "marketing"]);
}

#[test]
fn an_erased_other_purpose_opens_as_none_and_seals_none_only() {
    let before = keys_for(&customer("ada"), &["contract", "marketing"], &[]);
    let after = keys_for(&customer("ada"), &["contract"], &["marketing"]);
    assert!(matches!(
        Account::seal(&account(Some("tea")), &after).map_err(Error::without_field),
        Err(Error::PurposeErased { .. })
    ));
    let mut row = Account::seal(&account(None), &after).unwrap();
    row.likes = Account::seal(&account(Some("tea")), &before).unwrap().likes;
    let opened = row.open(&after).unwrap();
    assert!(opened.likes.is_none());
    assert_eq!(opened.name.expose(), "Ada");
    assert!(after.open(&row, Account::LIKES).unwrap().is_none());
}

/// A none that the record's own purpose would give could not be told from one that was stored.
#[test]
fn an_erased_own_purpose_is_an_error_also_for_an_option() {
    let before = keys_for(&customer("ada"), &["contract", "marketing"], &[]);
    let after = keys_for(&customer("ada"), &["marketing"], &["contract"]);
    let row = Account::seal(&account(None), &before).unwrap();
    assert!(matches!(row.open(&after).map_err(Error::without_field), Err(Error::PurposeErased { .. })));
    assert!(matches!(
        after.open(&row, Account::NICKNAME).map_err(Error::without_field),
        Err(Error::PurposeErased { .. })
    ));
}

#[test]
fn a_purpose_without_keys_is_unknown() {
    let keys = keys_for(&customer("ada"), &["contract"], &[]);
    assert!(matches!(
        Account::seal(&account(Some("tea")), &keys).map_err(Error::without_field),
        Err(Error::PurposeUnknown)
    ));
    assert!(Account::seal(&account(None), &keys).is_ok());
}

#[test]
fn a_changed_field_is_sealed_in_its_place() {
    let keys = keys(&customer(7));
    let mut row = Customer::seal(&ada(), &keys).unwrap();
    let old = row.clone();
    keys.change(&mut row, Customer::EMAIL, "ada@example.org").unwrap();
    assert_eq!(row.open(&keys).unwrap().email.expose(), "ada@example.org");
    assert!(row.phone.same_bytes(&old.phone) && row.plan == old.plan);
    assert_ne!(nonce(&row.email)[..16], nonce(&row.phone)[..16]);
    std::mem::swap(&mut row.email, &mut row.phone);
    assert!(row.open(&keys).is_err());
}

#[test]
fn a_place_reads_and_writes_columns_of_its_row_only() {
    let keys = keys(&customer(7));
    let row = Customer::seal(&ada(), &keys).unwrap();
    let mut place = keys.record_ref::<Customer>(&7).unwrap();
    assert_eq!(place.open(Customer::EMAIL, &row.email).unwrap().expose(), "ada@example.com");
    assert!(matches!(
        place.open(Customer::PHONE, &row.email).map_err(Error::without_field),
        Err(Error::Authentication)
    ));
    let email = place.seal(Customer::EMAIL, "ada@example.org").unwrap();
    assert_eq!(Customer { email, ..row.clone() }.open(&keys).unwrap().email.expose(), "ada@example.org");
    assert!(matches!(keys.record_ref::<Customer>(&8), Err(Error::WrongSubject)));
}

#[test]
fn placeholder_ids_are_refused() {
    let keys = keys(&customer("ada"));
    assert!(matches!(Order::seal(&order(0, "ada"), &keys), Err(Error::InvalidInput(_))));
    assert!(matches!(Order::seal(&order(1, ""), &keys), Err(Error::InvalidInput(_))));
    assert!(matches!(keys.record_ref::<Order>(&0), Err(Error::InvalidInput(_))));
    let row = Order::seal(&order(1, "ada"), &keys).unwrap();
    assert!(matches!(Order { id: 0, ..row }.open(&keys), Err(Error::InvalidInput(_))));
}

#[test]
fn debug_shows_neither_values_nor_envelopes() {
    let keys = keys(&customer(7));
    assert_eq!(format!("{:?} {:#?}", ada(), ada()), "CustomerPlain { .. } CustomerPlain { .. }");
    let row = Customer::seal(&ada(), &keys).unwrap();
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
#[record(schema = "generic", any_subject)]
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
    let keys = keys(&customer("ada"));
    let plain = GenericPlain { id: "x", label: "l", value: 17i64.into(), bytes: [1, 2, 3].into() };
    let mut row = Generic::seal(&plain, &keys).unwrap();
    let opened = row.open(&keys).unwrap();
    assert_eq!((opened.id, opened.label, *opened.value.expose(), *opened.bytes.expose()), ("x", "l", 17, [1, 2, 3]));
    assert_eq!(*keys.open(&row, Generic::BYTES).unwrap().expose(), [1, 2, 3]);
    row.id = "y";
    assert!(matches!(row.open(&keys).map_err(Error::without_field), Err(Error::Authentication)));
}

#[derive(Debug, Record)]
#[record(schema = "many", any_subject, unbound)]
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
    Many::seal(&plain, keys).unwrap()
}

/// Absent fields take no nonce; purposes share the count.
#[test]
fn nonces_of_one_record_count_up_in_the_order_of_the_fields() {
    let keys = keys_for(&customer("ada"), &["default", "other"], &[]);
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
    let keys = keys_for(&customer("ada"), &["default", "other"], &[]);
    assert_ne!(nonce(&many(&keys).a)[..16], nonce(&many(&keys).a)[..16]);
}

/// A record of this schema, and what is described of it.
macro_rules! described {
    ([$($said:tt)*] $($field:tt)*) => {{
        #[derive(Record)]
        #[record(schema = "s", $($said)*)]
        #[allow(dead_code, reason = "the test describes the type and makes none")]
        struct Row { $($field)* }
        fieldseal::record::describe::<Row>()
    }};
    ($($field:tt)*) => { described!([purpose = "default"] $($field)*) };
}

#[derive(fieldseal::Plaintext)]
struct Email(String);

mod plans {
    macro_rules! plans {
        ($($name:ident { $($variant:tt)* })*) => {$(
            #[derive(fieldseal::Plaintext)]
            #[allow(dead_code, reason = "the test describes the type and makes none")]
            pub(super) enum $name { $($variant)* }
        )*};
    }
    plans! {
        Plan { Free, Paid }
        Other { Paid, Free }
        Renamed { Free, #[plaintext(rename = "Paid")] Professional }
        Fewer { Free }
    }
}
use plans::{Fewer, Other, Plan, Renamed};

/// An application's own.
#[derive(Clone, Debug)]
struct CustomerId(i64);

impl fieldseal::id::ToId for CustomerId {
    const FORM: &'static str = i64::FORM;

    fn to_id(&self) -> fieldseal::Result<fieldseal::id::Id<'_>> {
        self.0.to_id()
    }
}

#[test]
fn whatever_stored_values_depend_on_is_described() {
    let described = [
        described!(#[record(id, subject = "customer")] id: i64, a: Sealed<String>),
        described!(#[record(id, subject = "employee")] id: i64, a: Sealed<String>),
        described!(#[record(id, subject = "customer")] id: String, a: Sealed<String>),
        described!(#[record(id)] id: i64, #[record(subject = "customer")] of: i64, a: Sealed<String>),
        described!(#[record(id)] id: i64, #[record(subject = "customer")] by: i64, a: Sealed<String>),
        described!(#[record(id)] id: i64, #[record(subject = "customer")] of: String, a: Sealed<String>),
        described!(#[record(id)] id: i64, #[record(subject = "customer")] of: Option<i64>, a: Sealed<String>),
        described!([any_subject] #[record(id)] id: i64, a: Sealed<String>),
        described!([any_subject, unbound] a: Sealed<String>),
        described!([any_subject] #[record(id)] a: i64, #[record(id)] b: String, c: Sealed<String>),
        described!([any_subject] #[record(id)] b: String, #[record(id)] a: i64, c: Sealed<String>),
        described!([any_subject] #[record(id)] b: String, #[record(id, zero)] a: i64, c: Sealed<String>),
    ];
    assert_all_differ(&described);
    let fields = [
        described!([any_subject, unbound] a: Sealed<String>),
        described!([any_subject, unbound] b: Sealed<String>),
        described!([any_subject, unbound] a: Sealed<String>, b: Sealed<String>),
        described!([any_subject, unbound] a: Option<Sealed<String>>),
        described!([any_subject, unbound] a: Sealed<Option<String>>),
        described!([any_subject, unbound, purpose = "billing"] a: Sealed<String>),
        described!([any_subject, unbound] #[record(pad = 64)] a: Sealed<String>),
        described!([any_subject, unbound] a: Sealed<Vec<u8>>),
        described!([any_subject, unbound] a: Sealed<Vec<u16>>),
        described!([any_subject, unbound] a: Sealed<Vec<String>>),
        described!([any_subject, unbound] a: Sealed<Vec<Option<String>>>),
        described!([any_subject, unbound] a: Sealed<Option<Vec<String>>>),
        described!([any_subject, unbound] a: Sealed<[u8; 16]>),
        described!([any_subject, unbound] a: Sealed<[u8; 32]>),
        described!([any_subject, unbound] a: Sealed<bool>),
        described!([any_subject, unbound] a: Sealed<u8>),
        described!([any_subject, unbound] a: Sealed<i32>),
        described!([any_subject, unbound] a: Sealed<i64>),
        described!([any_subject, unbound] a: Sealed<u64>),
        described!([any_subject, unbound] a: Sealed<i128>),
        described!([any_subject, unbound] a: Sealed<f32>),
        described!([any_subject, unbound] a: Sealed<f64>),
        described!([any_subject, unbound] a: Sealed<std::net::IpAddr>),
        described!([any_subject, unbound] a: Sealed<std::net::Ipv4Addr>),
        described!([any_subject, unbound] a: Sealed<Plan>),
        described!([any_subject, unbound] a: Sealed<Fewer>),
        described!([any_subject, unbound] a: Sealed<Vec<Plan>>),
    ];
    assert_all_differ(&fields);
}

fn assert_all_differ(described: &[String]) {
    for (i, one) in described.iter().enumerate() {
        assert!(!described[..i].contains(one), "described twice: {one}");
    }
}

/// A test that fails without a cause is written anew without a look.
#[test]
fn what_changes_no_stored_value_is_not_described() {
    let same = |a: String, b: String| assert_eq!(a, b);
    same(
        described!(#[record(id, subject = "customer")] id: i64, a: Sealed<String>, b: Sealed<i64>),
        described!(b: Sealed<i64>, #[record(clear)] plan: String, a: Sealed<String>, #[record(id, subject = "customer")] number: i64),
    );
    same(
        described!([any_subject, unbound] a: Sealed<String>, b: Sealed<Plan>, c: Sealed<Vec<Plan>>),
        described!([any_subject, unbound] #[record(rename = "a")] email: Sealed<Email>, b: Sealed<Other>, c: Sealed<Vec<Renamed>>),
    );
    same(
        described!(#[record(id)] id: i64, #[record(subject = "customer")] of: i64, a: Sealed<String>),
        described!(#[record(id)] id: i32, #[record(subject = "customer")] of: CustomerId, a: Sealed<String>),
    );
    same(
        described!(#[record(id)] id: i64, #[record(subject = "customer")] of: Option<i64>, a: Sealed<String>),
        described!(#[record(id)] id: i64, #[record(subject = "customer", rename = "of")] customer: Option<i64>, a: Sealed<String>),
    );
    same(
        described!([any_subject] #[record(id)] a: i64, #[record(id)] b: String, c: Sealed<String>),
        described!([any_subject] #[record(id)] order: CustomerId, #[record(id)] line: &'static str, c: Sealed<String>),
    );
}

/// What stored values depend on, of every record here.
#[test]
fn what_is_stored_keeps_its_names() {
    fieldseal_testkit::assert_schema!(
        "tests/data/schema.txt",
        Customer,
        Order,
        Basket,
        Line,
        Profile,
        Padded,
        Account,
        Generic<'_, i64, i64, 3>,
        Many,
    );
}

#[tokio::test]
async fn a_record_tells_a_vault_its_kind_and_its_purposes() -> fieldseal::Result<()> {
    let builder = || Vault::builder(LocalKeyring::ephemeral().unwrap(), MemoryStore::new()).without_journal();
    let customers = builder().record::<Customer>().record::<Account>().build().await?.default_tenant();
    let keys = customers.enroll(&ada()).await?;
    assert!(Account::seal(&account(Some("tea")), &keys).is_ok(), "contract and marketing");
    let employee = SubjectId::new("employee", &7)?;
    assert!(matches!(customers.enroll(&employee).await, Err(Error::InvalidInput(_))));
    let nobody = builder().record::<Account>().build().await?.default_tenant();
    assert!(matches!(nobody.enroll(&customer(7)).await, Err(Error::InvalidInput(_))), "it names no kind");
    Ok(())
}

#[cfg(feature = "serde")]
mod twins {
    use super::*;

    #[derive(Debug, Record)]
    #[record(
        schema = "form",
        any_subject,
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
        assert_eq!(Form::seal(&twin, &keys(&customer("ada"))).unwrap().chosen_plan, "free");
    }
}

type Secret = Sealed<String>;

#[derive(Debug, Record)]
#[record(schema = "aliased", any_subject, unbound)]
struct Aliased {
    #[record(sealed)]
    name: Secret,
}

#[test]
fn an_alias_is_sealed_where_it_says_so() {
    let keys = keys(&customer("ada"));
    let row = Aliased::seal(&AliasedPlain { name: "Ada".into() }, &keys).unwrap();
    assert!(!row.name.as_bytes().windows(3).any(|bytes| bytes == b"Ada"));
    assert_eq!(row.open(&keys).unwrap().name.expose(), "Ada");
}

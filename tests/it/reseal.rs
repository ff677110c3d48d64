//! Moving the fields of records to the current keys: what is moved, what stays, and that it is all or nothing.

use fieldseal::{Error, FieldContext, Plain, Record, Sealed, SubjectKeys};
use fieldseal_testkit::{customer, keys, keys_for, rotated_keys};
use proptest::prelude::*;

#[derive(Clone, Debug, Record)]
#[record(schema = "account", purpose = "contract")]
struct Account {
    #[record(id, subject = "customer")]
    id: i64,
    name: Sealed<String>,
    #[record(purpose = "marketing", pad = 32)]
    likes: Option<Sealed<String>>,
    nickname: Option<Sealed<String>>,
    #[record(pad = 64)]
    note: Sealed<String>,
    #[record(clear)]
    plan: String,
}

/// To the byte.
impl PartialEq for Account {
    fn eq(&self, other: &Self) -> bool {
        let bytes = |row: &Self| {
            let optional = |sealed: &Option<Sealed<String>>| sealed.as_ref().map(|sealed| sealed.as_bytes().to_vec());
            let sealed = [&row.name, &row.note].map(|sealed| sealed.as_bytes().to_vec());
            (row.id, sealed, optional(&row.likes), optional(&row.nickname), row.plan.clone())
        };
        bytes(self) == bytes(other)
    }
}

const BOTH: [&str; 2] = ["contract", "marketing"];

fn plain() -> AccountPlain {
    AccountPlain {
        id: 7,
        name: "Ada".into(),
        likes: Some("tea".into()),
        nickname: None,
        note: "fragile".into(),
        plan: "free".to_owned(),
    }
}

/// A row under the old keys, and the keys before and after the rotation.
fn account() -> (Account, SubjectKeys, SubjectKeys) {
    let [before, after] = rotated_keys(&customer(7), &BOTH, &[]);
    (Account::seal(&plain(), &before).unwrap(), before, after)
}

fn holds(row: &Account, keys: &SubjectKeys) {
    let opened = row.open(keys).unwrap();
    assert_eq!((opened.name.expose().as_str(), opened.note.expose().as_str()), ("Ada", "fragile"));
    assert_eq!(opened.likes.as_ref().map(|likes| likes.expose().as_str()), Some("tea"));
    assert!(opened.nickname.is_none());
}

fn key<T>(sealed: &Sealed<T>) -> &[u8] {
    sealed.as_bytes().get(1..25).unwrap()
}

fn nonce<T>(sealed: &Sealed<T>) -> &[u8] {
    sealed.as_bytes().get(25..49).unwrap()
}

fn same<T>(a: &Option<Sealed<T>>, b: &Option<Sealed<T>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.same_bytes(b),
        (None, None) => true,
        _ => false,
    }
}

/// The value, changed in its last byte.
fn damaged<T>(sealed: &Sealed<T>) -> Sealed<T> {
    let mut bytes = sealed.as_bytes().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    Sealed::from_bytes(bytes).unwrap()
}

#[test]
fn a_resealed_row_holds_the_same_under_the_new_keys() {
    let (old, before, after) = account();
    assert!(!old.needs_reseal(&before).unwrap());
    assert!(old.needs_reseal(&after).unwrap() && old.name.needs_reseal(&after).unwrap());
    let mut row = old.clone();
    assert_eq!(row.reseal(&after).unwrap(), 3);
    holds(&row, &after);
    assert!(!row.needs_reseal(&after).unwrap() && !row.name.needs_reseal(&after).unwrap());
    // The padding is the same, the key is another, and the old keys are of no use.
    assert_eq!(row.note.as_bytes().len(), old.note.as_bytes().len());
    assert_ne!(key(&row.name), key(&old.name));
    assert!(matches!(row.open(&before).map_err(Error::without_field), Err(Error::KeyNotHeld)));

    // What was moved is bound to its place as before.
    std::mem::swap(&mut row.name, &mut row.note);
    assert!(matches!(row.open(&after).map_err(Error::without_field), Err(Error::Authentication)));
}

#[test]
fn what_is_current_is_left_to_the_byte() {
    let (mut row, before, after) = account();
    let old = row.clone();
    assert_eq!(row.reseal(&before).unwrap(), 0);
    assert_eq!(row, old);
    row.reseal(&after).unwrap();
    let resealed = row.clone();
    assert_eq!(row.reseal(&after).unwrap(), 0);
    assert_eq!(row, resealed);
}

#[test]
fn only_the_stale_fields_are_moved() {
    let (mut row, _, after) = account();
    row.note = after.record_ref::<Account>(&7).unwrap().seal(Account::NOTE, "fragile").unwrap();
    let note = row.note.clone();
    assert!(row.needs_reseal(&after).unwrap());
    assert_eq!(row.reseal(&after).unwrap(), 2);
    assert!(row.note.same_bytes(&note));
    holds(&row, &after);
}

#[test]
fn a_row_with_a_field_that_does_not_open_stays_as_it_was() {
    let (good, before, after) = account();
    let of_another_row = FieldContext::new("account", "note", &8).unwrap().purpose("contract");
    let note = before.seal_value(&"fragile".into(), &of_another_row).unwrap();
    assert!(after.reseal_value(&note, &of_another_row).unwrap().is_some());
    for bad in [
        Account { note: damaged(&good.note), ..good.clone() },
        Account { name: damaged(&good.name), ..good.clone() },
        Account { likes: good.likes.as_ref().map(damaged), ..good.clone() },
        Account { note: good.name.clone(), ..good.clone() },
        Account { likes: Some(good.name.clone()), ..good.clone() },
        Account { note: good.likes.clone().unwrap(), ..good.clone() },
        Account { note, ..good.clone() },
    ] {
        let mut row = bad.clone();
        assert!(matches!(
            row.reseal(&after).map_err(Error::without_field),
            Err(Error::Authentication | Error::WrongPurpose)
        ));
        assert_eq!(row, bad);
    }
    let [stranger, _] = rotated_keys(&customer(7), &BOTH, &[]);
    let bad = Account { note: Account::seal(&plain(), &stranger).unwrap().note, ..good };
    let mut row = bad.clone();
    assert!(matches!(row.needs_reseal(&after).map_err(Error::without_field), Err(Error::KeyNotHeld)));
    assert!(matches!(row.reseal(&after).map_err(Error::without_field), Err(Error::KeyNotHeld)));
    assert_eq!(row, bad);
}

#[test]
fn keys_of_another_subject_neither_judge_nor_reseal() {
    let (mut row, ..) = account();
    let old = row.clone();
    let [_, graces] = rotated_keys(&customer(8), &BOTH, &[]);
    assert!(matches!(row.needs_reseal(&graces), Err(Error::WrongSubject)));
    assert!(matches!(row.reseal(&graces), Err(Error::WrongSubject)));
    assert_eq!(row, old);
}

#[test]
fn what_was_erased_for_another_purpose_stays_and_is_no_error() {
    let [before, after] = rotated_keys(&customer(7), &["contract"], &["marketing"]);
    let mut row = Account::seal(&plain(), &before).unwrap();
    let likes = row.likes.clone();
    assert!(row.needs_reseal(&after).unwrap());
    assert_eq!(row.reseal(&after).unwrap(), 2);
    assert!(same(&row.likes, &likes));
    assert!(!row.needs_reseal(&after).unwrap());
    assert_eq!(row.open(&after).unwrap().name.expose(), "Ada");
    assert!(after.record_ref::<Account>(&7).unwrap().reseal(Account::LIKES, &likes).unwrap().is_none());
}

#[test]
fn the_records_own_purpose_erased_is_an_error() {
    let [before, after] = rotated_keys(&customer(7), &["marketing"], &["contract"]);
    let mut row = Account::seal(&plain(), &before).unwrap();
    let old = row.clone();
    assert!(matches!(row.needs_reseal(&after).map_err(Error::without_field), Err(Error::PurposeErased { .. })));
    assert!(matches!(row.reseal(&after).map_err(Error::without_field), Err(Error::PurposeErased { .. })));
    assert_eq!(row, old);
    let unknown = keys_for(&customer(7), &["marketing"], &[]);
    assert!(matches!(row.needs_reseal(&unknown).map_err(Error::without_field), Err(Error::PurposeUnknown)));
}

/// As of the purpose of the key that it names: a value alone doesn't know its field.
#[test]
fn a_value_alone_tells_whether_it_is_stale() {
    let (row, before, after) = account();
    let likes = row.likes.unwrap();
    for sealed in [&row.name, &likes] {
        assert!(sealed.needs_reseal(&after).unwrap() && !sealed.needs_reseal(&before).unwrap());
        assert!(matches!(
            sealed.needs_reseal(&keys(&customer(7))).map_err(Error::without_field),
            Err(Error::KeyNotHeld)
        ));
    }
    let context = FieldContext::new("account", "likes", &7).unwrap().purpose("marketing");
    let resealed = after.reseal_value(&likes, &context).unwrap().unwrap();
    assert_eq!(after.open_value(&resealed, &context).unwrap().expose(), "tea");
    assert!(after.reseal_value(&resealed, &context).unwrap().is_none());
    assert!(matches!(after.reseal_value(&likes, &context.purpose("contract")), Err(Error::WrongPurpose)));
}

#[test]
fn the_fields_of_one_row_are_moved_under_one_draw() {
    let (mut row, _, after) = account();
    row.reseal(&after).unwrap();
    let nonces = [nonce(&row.name), nonce(row.likes.as_ref().unwrap()), nonce(&row.note)];
    let count = |nonce: &[u8]| u64::from_be_bytes(nonce.get(16..).unwrap().try_into().unwrap());
    for pair in nonces.windows(2) {
        assert_eq!(pair[0][..16], pair[1][..16]);
        assert_eq!(count(pair[0]).wrapping_add(1), count(pair[1]));
    }
}

#[test]
fn a_column_is_moved_in_its_place() {
    let (row, before, after) = account();
    let mut place = after.record_ref::<Account>(&7).unwrap();
    let name = place.reseal(Account::NAME, &row.name).unwrap().unwrap();
    assert_eq!(place.open(Account::NAME, &name).unwrap().expose(), "Ada");
    let likes = place.reseal(Account::LIKES, &row.likes).unwrap().unwrap();
    assert_eq!(place.open(Account::LIKES, &likes).unwrap().unwrap().expose(), "tea");
    assert!(place.reseal(Account::NICKNAME, &None).unwrap().is_none());
    assert!(place.reseal(Account::NAME, &name).unwrap().is_none());
    assert!(matches!(place.reseal(Account::NOTE, &row.name).map_err(Error::without_field), Err(Error::Authentication)));
    assert!(matches!(
        place.reseal(Account::NAME, &damaged(&row.name)).map_err(Error::without_field),
        Err(Error::Authentication)
    ));
    assert!(matches!(place.open(Account::NOTE, &name).map_err(Error::without_field), Err(Error::Authentication)));
    assert!(before.record_ref::<Account>(&7).unwrap().reseal(Account::NAME, &row.name).unwrap().is_none());
}

#[test]
fn a_change_moves_the_rest_of_the_row_under_the_same_draw() {
    let (mut row, _, after) = account();
    after.change(&mut row, Account::NOTE, "sturdy").unwrap();
    assert!(!row.needs_reseal(&after).unwrap());
    let opened = row.open(&after).unwrap();
    assert_eq!((opened.name.expose().as_str(), opened.note.expose().as_str()), ("Ada", "sturdy"));
    assert_eq!(opened.likes.unwrap().expose(), "tea");
    assert_eq!(nonce(&row.name).get(..16), nonce(&row.note).get(..16));
    assert_ne!(nonce(&row.name), nonce(&row.note));

    // A row that is current keeps the rest to the byte.
    let current = row.clone();
    after.change(&mut row, Account::NOTE, "fragile").unwrap();
    assert!(row.name.same_bytes(&current.name) && same(&row.likes, &current.likes));
}

#[test]
fn a_change_leaves_what_can_not_be_moved() {
    let [before, after] = rotated_keys(&customer(7), &["contract"], &["marketing"]);
    let [stranger, _] = rotated_keys(&customer(7), &BOTH, &[]);
    let sealed = Account::seal(&AccountPlain { nickname: Some("A".into()), ..plain() }, &before).unwrap();
    let foreign = Account::seal(&AccountPlain { nickname: Some("B".into()), ..plain() }, &stranger).unwrap().nickname;
    for nickname in [foreign, sealed.nickname.as_ref().map(damaged), Some(sealed.name.clone())] {
        let mut row = Account { nickname: nickname.clone(), ..sealed.clone() };
        after.change(&mut row, Account::NOTE, "sturdy").unwrap();
        assert_eq!(*after.open(&row, Account::NOTE).unwrap().expose(), "sturdy");
        assert_eq!(*after.open(&row, Account::NAME).unwrap().expose(), "Ada");
        assert_ne!(key(&row.name), key(&sealed.name));
        assert!(same(&row.nickname, &nickname) && same(&row.likes, &sealed.likes));
    }
}

#[test]
fn a_change_that_fails_leaves_the_row_as_it_was() {
    let [before, after] = rotated_keys(&customer(7), &["contract"], &["marketing"]);
    let mut row = Account::seal(&plain(), &before).unwrap();
    let old = row.clone();
    let likes = Some(Plain::from("coffee"));
    assert!(matches!(
        after.change(&mut row, Account::LIKES, likes).map_err(Error::without_field),
        Err(Error::PurposeErased { .. })
    ));
    assert_eq!(row, old);
}

#[derive(Debug, Record)]
#[record(schema = "generic", any_subject, unbound)]
struct Generic<T: fieldseal::Plaintext, const N: usize> {
    value: Sealed<T>,
    bytes: Option<Sealed<[u8; N]>>,
    none: Sealed<Option<T>>,
}

#[test]
fn generic_and_unbound_records_are_moved() {
    let [before, after] = rotated_keys(&customer("ada"), &["default"], &[]);
    let plain = GenericPlain { value: 17i64.into(), bytes: Some([1, 2, 3].into()), none: None.into() };
    let mut row = Generic::seal(&plain, &before).unwrap();
    assert_eq!(row.reseal(&after).unwrap(), 3);
    let opened = row.open(&after).unwrap();
    assert_eq!((*opened.value.expose(), *opened.bytes.unwrap().expose(), *opened.none.expose()), (17, [1, 2, 3], None));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Any fields there, stale or damaged: a row is moved whole or not at all.
    #[test]
    fn a_row_is_moved_whole_or_not_at_all(
        (name, note) in (".{0,40}", ".{0,80}"),
        (likes, nickname) in (proptest::option::of(".{0,40}"), proptest::option::of(".{0,40}")),
        stale: [bool; 4],
        damage in proptest::option::of(0..4_usize),
    ) {
        let [before, after] = rotated_keys(&customer(7), &BOTH, &[]);
        let plain = || AccountPlain {
            id: 7,
            name: name.clone().into(),
            likes: likes.clone().map(Plain::from),
            nickname: nickname.clone().map(Plain::from),
            note: note.clone().into(),
            plan: String::new(),
        };
        let [old, new] = [&before, &after].map(|keys| Account::seal(&plain(), keys).unwrap());
        let of = |i: usize| if stale[i] { old.clone() } else { new.clone() };
        let (mut row, mut moved) = (old.clone(), 0);
        (row.name, row.likes, row.nickname, row.note) = (of(0).name, of(1).likes, of(2).nickname, of(3).note);
        for (stale, there) in stale.into_iter().zip([true, likes.is_some(), nickname.is_some(), true]) {
            moved += u32::from(stale && there);
        }
        prop_assert_eq!(row.needs_reseal(&after).unwrap(), moved > 0);
        let hurt = match damage {
            Some(0) => { row.name = damaged(&row.name); stale[0] }
            Some(1) => { row.likes = row.likes.as_ref().map(damaged); stale[1] && likes.is_some() }
            Some(2) => { row.nickname = row.nickname.as_ref().map(damaged); stale[2] && nickname.is_some() }
            Some(_) => { row.note = damaged(&row.note); stale[3] }
            None => false,
        };
        let as_it_was = row.clone();
        match row.reseal(&after) {
            Ok(n) => prop_assert!(!hurt && n == moved),
            Err(e) => prop_assert!(hurt && matches!(e.without_field(), Error::Authentication)),
        }
        if hurt || moved == 0 {
            prop_assert_eq!(&row, &as_it_was);
        }
        if !hurt {
            prop_assert!(!row.needs_reseal(&after).unwrap());
            let lens = |row: &Account| {
                let len = |sealed: &Sealed<String>| sealed.as_bytes().len();
                (len(&row.name), row.likes.as_ref().map(len), row.nickname.as_ref().map(len), len(&row.note))
            };
            prop_assert_eq!(lens(&row), lens(&as_it_was));
        }
        if damage.is_none() {
            let opened = row.open(&after).unwrap();
            let text = |value: &Option<Plain<String>>| value.as_ref().map(|value| value.expose().clone());
            prop_assert_eq!((opened.name.expose(), opened.note.expose()), (&name, &note));
            prop_assert_eq!((text(&opened.likes), text(&opened.nickname)), (likes.clone(), nickname.clone()));
        }
    }
}

//! Nothing leaks: not by `Debug`, not by an error and its sources, not by a panic, not by a trait that a secret has.

#[path = "../../memory_scan/format.rs"]
mod format;
pub(crate) mod needles;

use std::fmt::{self, Debug, Display};
use std::hash::Hash;
use std::hint::black_box;
use std::ops::Deref;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, LazyLock, Mutex};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use base64ct::{Base64Unpadded, Encoding as _};
use fieldseal::error::{ProviderError, StoreError};
use fieldseal::id::{Id, ToId};
use fieldseal::journal::{ErasureJournal as _, MemoryJournal};
use fieldseal::provider::{
    Destruction, KeyMaterial, KeyringOptions, LocalKeyring, MasterKeyId, MasterKeyProvider, Passphrase, WrapContext,
    WrappedKey,
};
use fieldseal::record::private::{Owner as RecordOwner, RecordOpener, RecordSealer};
use fieldseal::store::{Expected, Filter, KeyStore as _, MemoryStore, Scan, SlotId};
use fieldseal::value::AsJson;
use fieldseal::vault::Enrollment;
use fieldseal::{Error, FieldContext, HasSubject, Plain, Record, Sealed, SubjectId, SubjectKeys, TenantId, Vault};
use fieldseal_testkit::world::World;
use fieldseal_testkit::{customer, keys, keys_for};
use serde::{Deserialize, Serialize};
use static_assertions::{assert_impl_all, assert_not_impl_any};
use zeroize::ZeroizeOnDrop;

use needles::{EMAIL, Needles, PASSPHRASE, PHONE, SUBJECT};

/// The bytes of a data key, no two alike.
const DATA_KEY: [u8; 32] = {
    let mut key = [0; 32];
    let mut byte = 0x9D_u8;
    let mut i = 0;
    while i < key.len() {
        key[i] = byte;
        byte = byte.wrapping_mul(5).wrapping_add(0x3B);
        i += 1;
    }
    key
};

macro_rules! secret {
    ($($secret:ty)*) => {$(
        assert_not_impl_any!($secret: Clone, Copy, Display, PartialEq, PartialOrd, Deref, AsRef<[u8]>, Serialize);
    )*};
}
secret!(Plain<String> Plain<Vec<u8>> Plain<i64> Plain<AsJson<String>> KeyMaterial Passphrase);
secret!(CustomerPlain);
assert_not_impl_any!(SubjectKeys: Copy, Display, PartialEq, Deref, AsRef<[u8]>, Serialize, Deserialize<'static>);
assert_not_impl_any!(fieldseal::vault::KeyPage: Clone, Display, Deref, IntoIterator, Serialize);
assert_not_impl_any!(SubjectId: Display, Serialize);
// Two envelopes of one value differ: to compare them is to compare nothing.
assert_not_impl_any!(Sealed<String>: PartialEq, Hash);
// Customer 17 is not employee 17.
assert_not_impl_any!(i64: HasSubject);
assert_not_impl_any!(u64: HasSubject);
assert_not_impl_any!(&'static str: HasSubject);
assert_not_impl_any!(String: HasSubject);
assert_not_impl_any!(Id<'static>: HasSubject);
assert_not_impl_any!(Id<'static>: Display, Serialize);
assert_impl_all!(KeyMaterial: ZeroizeOnDrop);

/// A record that names its subject by what does not show.
#[derive(Debug, Record)]
#[record(schema = "customer")]
struct Customer {
    #[record(id)]
    id: i64,
    #[record(subject = "customer")]
    owner: Owner,
    email: Sealed<String>,
    phone: Option<Sealed<String>>,
}

/// An application's own id.
#[derive(Clone)]
struct Owner(&'static str);

impl ToId for Owner {
    fn to_id(&self) -> fieldseal::Result<Id<'_>> {
        self.0.to_id()
    }
}

impl Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Owner(..)")
    }
}

fn ada() -> SubjectId {
    Customer::subject_of(&Owner(SUBJECT)).unwrap()
}

fn plain() -> CustomerPlain {
    CustomerPlain { id: 7, owner: Owner(SUBJECT), email: EMAIL.into(), phone: Some(PHONE.into()) }
}

/// Ada's keys, and the bytes of the one that they hold.
struct Ada {
    keys: SubjectKeys,
    data_key: [u8; KeyMaterial::LEN],
}

static ADA: LazyLock<Ada> = LazyLock::new(|| {
    // On a thread of its own, because the caller may be in a runtime.
    let made = thread::spawn(|| {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
            let (heard, store) = (Arc::default(), Arc::new(MemoryStore::new()));
            let provider = Overheard { provider: LocalKeyring::ephemeral().unwrap(), keys: Arc::clone(&heard) };
            let vault = Vault::builder(provider, Arc::clone(&store))
                .kinds(["customer"])
                .without_journal()
                .build()
                .await
                .unwrap();
            let keys = vault.default_tenant().enroll(&ada()).await.unwrap();
            let mut data_key = [0; KeyMaterial::LEN];
            let (slots, heard) = (store.scan(&Scan::new(Filter::All)).await.unwrap().slots, heard.lock().unwrap());
            for (slot, kek) in slots.iter().flat_map(|slot| heard.iter().map(move |kek| (slot, kek))) {
                format::for_each_data_key(slot, &kek.0, |key, _| data_key.copy_from_slice(key));
            }
            assert_ne!(data_key, [0; 32], "it is wrapped in one of these");
            Ada { keys, data_key }
        })
    });
    made.join().unwrap()
});

fn adas_keys() -> SubjectKeys {
    ADA.keys.clone()
}

fn context() -> FieldContext<'static> {
    FieldContext::new("customer", "email", SUBJECT).unwrap()
}

/// What must not be found.
fn needles() -> Needles {
    let mut needles = Needles::new();
    for (what, key) in [("data key", &DATA_KEY), ("Ada's data key", &ADA.data_key)] {
        needles.add(what, key);
        needles.add("a data key's id", KeyMaterial::from_slice(key).unwrap().id().as_bytes());
    }
    needles
}

#[test]
fn the_needles_are_found_where_they_are() {
    let needles = needles();
    for shown in [
        format!("{:?}", ADA.data_key),
        format!("{DATA_KEY:?}"),
        format!("{DATA_KEY:#?}"),
        format!("{:?}", EMAIL.as_bytes()),
        format!("to {EMAIL}"),
        format!("{:?}", Some(PHONE)),
        format!("{:?}", ada().id()),
        Base64Unpadded::encode_string(&DATA_KEY),
        DATA_KEY.iter().map(|byte| format!("{byte:02X}")).collect(),
    ] {
        assert!(needles.find(&shown).is_some(), "{shown}");
    }
}

/// A provider that tells the test which keys it was given.
#[derive(Debug)]
struct Overheard {
    provider: LocalKeyring,
    keys: Arc<Mutex<Vec<KeyMaterialBytes>>>,
}

/// Not shown by the decorator's own `Debug`, which a vault shows.
struct KeyMaterialBytes([u8; KeyMaterial::LEN]);

impl Debug for KeyMaterialBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("..")
    }
}

#[async_trait]
impl MasterKeyProvider for Overheard {
    async fn current(&self) -> Result<MasterKeyId, ProviderError> {
        self.provider.current().await
    }

    async fn wrap_key(&self, key: &KeyMaterial, context: &WrapContext) -> Result<WrappedKey, ProviderError> {
        self.keys.lock().unwrap().push(KeyMaterialBytes(*key.expose()));
        self.provider.wrap_key(key, context).await
    }

    async fn unwrap_key(&self, wrapped: &WrappedKey, context: &WrapContext) -> Result<KeyMaterial, ProviderError> {
        self.provider.unwrap_key(wrapped, context).await
    }

    async fn destroy_key(&self, id: &MasterKeyId) -> Result<Destruction, ProviderError> {
        self.provider.destroy_key(id).await
    }

    async fn destruction(&self, id: &MasterKeyId) -> Result<Option<Destruction>, ProviderError> {
        self.provider.destruction(id).await
    }
}

#[test]
fn values_and_keys_do_not_show_in_debug() {
    let needles = needles();
    let keys = adas_keys();
    let row = Customer::seal(&plain(), &keys).unwrap();
    let mut needles_of_row = Needles::new();
    needles_of_row.add("envelope", row.email.as_bytes());
    let material = KeyMaterial::from_slice(&DATA_KEY).unwrap();
    let passphrase = || Passphrase::new(PASSPHRASE).unwrap();
    let place = keys.record_ref::<Customer>(&7).unwrap();
    let owner = plain().owner;
    let owner = RecordOwner::of("customer", &owner).unwrap();
    let mut sealer = RecordSealer::new::<Customer>(&keys, &owner, Some(&ada()), SUBJECT).unwrap();
    sealer.seal(Customer::EMAIL, &EMAIL.into()).unwrap();
    let mut opener = RecordOpener::new(&keys, &row).unwrap();
    opener.open(Customer::EMAIL, &row).unwrap();
    let shown: &[(&str, &dyn Debug)] = &[
        ("Plain<String>", &Plain::from(EMAIL)),
        ("Plain<Vec<u8>>", &Plain::new(EMAIL.as_bytes().to_vec())),
        ("Option<Plain>", &Some(Plain::from(PHONE))),
        ("Plain<AsJson>", &Plain::new(AsJson(vec![EMAIL.to_owned()]))),
        ("AsJson", &AsJson(EMAIL.to_owned())),
        ("Sealed", &row.email),
        ("a row", &row),
        ("its twin", &plain()),
        ("Field", &Customer::EMAIL),
        ("SubjectKeys", &keys),
        ("Place", &place),
        ("Owner", &owner),
        ("RecordSealer", &sealer),
        ("RecordOpener", &opener),
        ("FieldContext", &context()),
        ("SubjectId", &ada()),
        ("Id", &Id::text(EMAIL).unwrap()),
        ("displayed Id", &Id::display(SUBJECT).unwrap()),
        ("KeyMaterial", &material),
        ("KeyId", &material.id()),
        ("Passphrase", &passphrase()),
        ("KeyringOptions", &KeyringOptions::new().passphrase(passphrase())),
        ("Enrollment", &Enrollment::new()),
    ];
    for (what, value) in shown {
        needles.search_debug(what, value);
        needles_of_row.search_debug(what, value);
    }
}

#[tokio::test]
async fn a_vault_and_what_it_stores_do_not_show_in_debug() {
    let (heard, folder) = (Arc::default(), tempfile::tempdir().unwrap());
    let options = KeyringOptions::new().argon2_memory_kib(8192).argon2_passes(1);
    let options = options.passphrase(Passphrase::new(PASSPHRASE).unwrap());
    let provider = options.generate(folder.path().join("keyring")).await.unwrap();
    let provider = Arc::new(Overheard { provider, keys: Arc::clone(&heard) });
    let (store, journal) = (Arc::new(MemoryStore::new()), Arc::new(MemoryJournal::new().unwrap()));
    let builder =
        Vault::builder(Arc::clone(&provider), Arc::clone(&store)).kinds(["customer"]).journal(Arc::clone(&journal));
    let mut needles = needles();
    needles.search_debug("VaultBuilder", &builder);
    let vault = builder.build().await.unwrap();
    let tenant = vault.default_tenant();
    let keys = tenant.enroll(&ada()).await.unwrap();
    let page = tenant.keys_of(&[ada(), customer(EMAIL)]).await.unwrap();
    let slots = store.scan(&Scan::new(Filter::All)).await.unwrap();

    let heard = std::mem::take(&mut *heard.lock().unwrap());
    assert_eq!(heard.len(), 3, "the vault's root, the tenant's, and its epoch key");
    for KeyMaterialBytes(key) in &heard {
        needles.add("wrapping key", key);
        needles.add("wrapping key's id", KeyMaterial::from_slice(key).unwrap().id().as_bytes());
    }
    for slot in &slots.slots {
        needles.add("slot", &slot.as_bytes()[15..]);
        needles.add("revision", slot.revision().as_bytes());
        if let SlotId::Subject(_, tag) = slot.id() {
            needles.add("tag", tag.as_bytes());
        }
        needles.search_debug("SlotId", slot.id());
        needles.search_debug("StoredSlot", slot);
        needles.search_debug("Expected", &Expected::Revision(slot.revision()));
    }
    let context = WrapContext::root(TenantId::default_tenant(), slots.slots[1].epoch().unwrap(), {
        KeyMaterial::from_slice(&DATA_KEY).unwrap().id()
    });
    let wrapped = provider.wrap_key(&KeyMaterial::from_slice(&DATA_KEY).unwrap(), &context).await.unwrap();
    needles.add("wrapped key", wrapped.as_bytes());
    let entries = journal.read(0, 100).await.unwrap();
    assert!(!entries.is_empty());
    let shown: &[(&str, &dyn Debug)] = &[
        ("Vault", &vault),
        ("Tenant", &tenant),
        ("SubjectKeys", &keys),
        ("KeyPage", &page),
        ("CacheStats", &vault.cache_stats()),
        ("LocalKeyring", &provider.provider),
        ("WrapContext", &context),
        ("WrappedKey", &wrapped),
        ("MemoryStore", &store),
        ("ScanPage", &slots),
        ("MemoryJournal", &journal),
        ("JournalEntry", &entries),
    ];
    for (what, value) in shown {
        needles.search_debug(what, value);
    }
}

/// The kind of an error, so that one that is not what it was made for is noticed.
fn kind(error: &Error) -> String {
    let debug = format!("{error:?}");
    debug.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned()
}

#[track_caller]
fn refused<T>(needles: &Needles, expected: &str, result: Result<T, Error>) {
    let error = result.err().unwrap();
    assert_eq!(kind(&error.clone().without_field()), expected);
    needles.search_error(expected, &error);
}

#[test]
fn errors_of_sealing_and_opening_show_nothing() {
    let needles = &needles();
    let (adas, bens) = (adas_keys(), keys(&customer("ben")));
    let row = Customer::seal(&plain(), &adas).unwrap();
    refused(needles, "WrongSubject", row.open(&bens));
    refused(needles, "WrongSubject", Customer::seal(&plain(), &bens));
    refused(needles, "WrongSubject", bens.open(&row, Customer::EMAIL));
    let moved = Customer { id: 8, ..Customer::seal(&plain(), &adas).unwrap() };
    refused(needles, "Authentication", moved.open(&adas));
    refused(needles, "KeyNotHeld", keys(&ada()).open(&row, Customer::EMAIL));
    let seal_for = |keys: &SubjectKeys, purpose| keys.seal_value(&EMAIL.into(), &context().purpose(purpose));
    refused(needles, "PurposeUnknown", seal_for(&adas, "billing"));
    refused(needles, "PurposeErased", seal_for(&keys_for(&ada(), &[], &["billing"]), "billing"));

    refused(needles, "Malformed", Sealed::<String>::from_bytes(EMAIL.as_bytes()));
    refused(needles, "Malformed", EMAIL.parse::<Sealed<String>>());
    refused(needles, "Malformed", format!("fs1.{SUBJECT}").parse::<Sealed<String>>());
    refused(needles, "UnknownFormat", Sealed::<String>::from_bytes([&[0xF8], EMAIL.as_bytes()].concat()));
    let sealed = adas.seal_value(&EMAIL.into(), &context()).unwrap();
    let as_number = Sealed::<i64>::from_bytes(sealed.as_bytes()).unwrap();
    refused(needles, "WrongType", adas.open_value(&as_number, &context()));
    refused(needles, "WrongType", adas.open_bytes(sealed.as_bytes(), &context()));
    refused(
        needles,
        "WrongType",
        adas.open_value(&Sealed::<Vec<String>>::from_bytes(sealed.as_bytes()).unwrap(), &context()),
    );
    let as_json = Sealed::<AsJson<u8>>::from_bytes(sealed.into_bytes()).unwrap();
    refused(needles, "Malformed", adas.open_value(&as_json, &context()));
    let text = adas.seal_value(&Plain::new(AsJson(EMAIL.to_owned())), &context()).unwrap();
    let as_list = Sealed::<AsJson<Vec<u8>>>::from_bytes(text.into_bytes()).unwrap();
    refused(needles, "Malformed", adas.open_value(&as_list, &context()));

    let list = adas.seal_value(&Plain::new(vec![EMAIL.to_owned(), String::new()]), &context()).unwrap();
    let of_numbers = Sealed::<Vec<i64>>::from_bytes(list.into_bytes()).unwrap();
    refused(needles, "WrongType", adas.open_value(&of_numbers, &context()));

    refused(needles, "InvalidInput", adas.seal_value(&Plain::new(AsJson(Unspeakable)), &context()));
    refused(needles, "InvalidInput", SubjectId::new("customer", &SUBJECT.repeat(100)));
    refused(needles, "InvalidInput", SubjectId::new(SUBJECT.to_uppercase(), "17"));
    refused(needles, "InvalidInput", format!("{}:17", SUBJECT.to_uppercase()).parse::<SubjectId>());
    refused(needles, "InvalidInput", SUBJECT.parse::<SubjectId>());
    let employees = keys(&SubjectId::new("employee", SUBJECT).unwrap());
    refused(needles, "WrongSubjectKind", row.open(&employees));
    refused(needles, "InvalidInput", Id::display(SUBJECT.repeat(3)));
    refused(needles, "InvalidInput", FieldContext::new("customer", "", EMAIL));
    refused(needles, "InvalidInput", KeyMaterial::from_slice(&DATA_KEY[..31]));
}

/// When it fails, which it always does, it quotes.
struct Unspeakable;

impl Serialize for Unspeakable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom(EMAIL))
    }
}

impl<'de> Deserialize<'de> for Unspeakable {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Err(serde::de::Error::custom(String::deserialize(deserializer)?))
    }
}

#[tokio::test]
async fn errors_of_vaults_and_ports_show_nothing() {
    let needles = &needles();
    let (world, other) = (World::in_memory().unwrap(), World::in_memory().unwrap());
    let customers = world.tenant().await.unwrap();
    let keys = customers.enroll(&ada()).await.unwrap();
    refused(needles, "SubjectUnknown", customers.keys(&customer(EMAIL)).await);
    let page = customers.keys_of(&[customer(EMAIL)]).await.unwrap();
    refused(needles, "SubjectUnknown", page.get(&customer(EMAIL)));
    refused(needles, "InvalidInput", page.get(&ada()));
    refused(needles, "WrongTenant", customers.vault().tenant(&TenantId::new("acme").unwrap()).refresh(&keys).await);
    world.clock.advance(Duration::from_secs(3600));
    refused(needles, "KeysExpired", keys.seal_bytes(EMAIL.as_bytes(), &context()));

    // The tenant's slot of another store: genuine, and not this one's.
    let twin = other.with_provider(world.provider.clone());
    twin.tenant().await.unwrap().enroll(&ada()).await.unwrap();
    let slot = async |of: &World| of.store.load(&[SlotId::Tenant(TenantId::default_tenant())]).await.unwrap().remove(0);
    let (own, foreign) =
        (slot(&world).await.into_slot().unwrap().unwrap(), slot(&twin).await.into_slot().unwrap().unwrap());
    world.store.put(&foreign, Expected::Revision(own.revision())).await.unwrap();
    refused(needles, "Store", world.tenant().await.unwrap().keys(&ada()).await);
    refused(needles, "Store", world.tenant().await.unwrap().enroll(&customer(EMAIL)).await);

    let stranger = LocalKeyring::ephemeral().unwrap();
    refused(needles, "Provider", world.vault_with(stranger).await);
    let wrong = KeyringOptions::new().passphrase(Passphrase::new(PASSPHRASE).unwrap());
    let error = wrong.open(tempfile::tempdir().unwrap().path().join("missing")).await.unwrap_err();
    needles.search_error("ProviderError", &error);
    needles.search_error("ProviderError", &Passphrase::new(PASSPHRASE.repeat(1000)).unwrap_err());
    let error = StoreError::unavailable("down").with_hint("in the night");
    needles.search_error("StoreError", &error);
    needles.search_error("Error", &Error::from(error));
}

#[test]
fn errors_of_serde_show_nothing() {
    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "never read: it is refused")]
    struct Request {
        age: Plain<i64>,
        email: Option<Plain<String>>,
        stored: Option<Sealed<String>>,
    }
    let needles = needles();
    let quoted = format!("{EMAIL:?}");
    for body in [
        format!(r#"{{"age":{quoted}}}"#),
        format!(r#"{{"age":[{quoted}]}}"#),
        format!(r#"{{"age":{{{quoted}:1}}}}"#),
        format!(r#"{{"age":1,"email":[{quoted}]}}"#),
        format!(r#"{{"age":1,"stored":{quoted}}}"#),
        format!(r#"{{"age":1,"stored":"fs1.{SUBJECT}"}}"#),
        format!(r#"{{"age":1,"email":{quoted}"#),
    ] {
        needles.search_error(&body, &serde_json::from_str::<Request>(&body).unwrap_err());
        if let Ok(value) = serde_json::from_str::<serde_json::Value>(&body) {
            needles.search_error(&body, &serde_json::from_value::<Request>(value).unwrap_err());
        }
    }
    needles.search_error("AsJson", &serde_json::from_str::<Plain<AsJson<Vec<u8>>>>(&quoted).unwrap_err());
    needles.search_error("Unspeakable", &serde_json::from_str::<Plain<AsJson<Unspeakable>>>(&quoted).unwrap_err());
}

#[test]
fn panics_show_nothing() {
    let needles = needles();
    let messages = Arc::new(Mutex::new(Vec::new()));
    let before = Arc::new(panic::take_hook());
    panic::set_hook({
        let (messages, before, this) = (Arc::clone(&messages), Arc::clone(&before), thread::current().id());
        Box::new(move |panic| match thread::current().id() == this {
            true => messages.lock().unwrap().push(format!("{panic} {panic:?}")),
            false => before(panic), // another test's
        })
    });
    let (adas, bens) = (adas_keys(), keys(&customer("ben")));
    let row = Customer::seal(&plain(), &adas).unwrap();
    let panics: [&dyn Fn(); 6] = [
        // What a hurried `unwrap` shows, while the value is on the stack.
        &|| black_box(Err(Plain::from(EMAIL))).unwrap(),
        &|| drop(row.open(&adas).unwrap_err()),
        &|| drop(row.open(&bens).unwrap()),
        &|| drop(EMAIL.parse::<Sealed<String>>().unwrap()),
        &|| {
            let opened = row.open(&adas).unwrap();
            assert!(opened.phone.is_none(), "{opened:?} of {adas:?}, {:?}", opened.owner);
        },
        &|| {
            let _email = Plain::from(EMAIL);
            black_box(Err::<(), _>(ada())).unwrap();
        },
    ];
    let outcomes: Vec<_> = panics.iter().map(|panics| panic::catch_unwind(AssertUnwindSafe(panics))).collect();
    panic::set_hook(Box::new(move |panic| before(panic)));

    for outcome in outcomes {
        let payload = outcome.unwrap_err();
        needles.search("a panic's payload", payload.downcast_ref::<String>().unwrap());
    }
    let messages = messages.lock().unwrap();
    assert_eq!(messages.len(), panics.len());
    for message in messages.iter() {
        needles.search("a panic", message);
    }
}

//! The jobs. Each tells first that the scan finds what it looks for, where there is something to find.

use std::hint::black_box;

use fieldseal::id::{HasSubject, Purpose};
use fieldseal::provider::{KeyMaterial, KeyringOptions, LocalKeyring, MasterKeyProvider as _, Passphrase, WrapRole};
use fieldseal::store::Epoch;
use fieldseal::vault::ErasureRequest;
use fieldseal::{FieldContext, Record, Sealed, SubjectKeys, Suite, TenantId};
use fieldseal_testkit::customer;
use zeroize::Zeroizing;

use crate::needles::{Masked, Needles, in_private};
use crate::overheard::{Overheard, ada, value};
use crate::process::Stage;

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn context() -> FieldContext<'static> {
    FieldContext::new("customer", "email", "17").unwrap()
}

fn request() -> ErasureRequest {
    ErasureRequest::new()
}

fn key() -> Masked {
    in_private(|| Masked::new(KeyMaterial::generate().unwrap().expose()))
}

/// The twin of all others: what a job does leave is found, on the heap, in what was freed, and below a frame that returned.
pub(crate) fn what_is_left_is_found(stage: &Stage) {
    #[inline(never)]
    fn leave_on_the_stack(key: &Masked) -> u8 {
        // At the far end: what is called next overwrites the near one.
        let mut frame = [0; 4096];
        frame[..32].copy_from_slice(&key.reveal());
        black_box(&mut frame)[0]
    }

    let mut needles = Needles::default();
    let [held, freed, stack, wiped] = std::array::from_fn(|_| key());
    for (what, key) in [("held", &held), ("freed", &freed), ("stack", &stack), ("wiped", &wiped)] {
        needles.add_key(what, key);
    }
    stage.finds_nothing("nothing was done", &needles);
    let held = in_private(|| held.reveal().to_vec());
    drop(in_private(|| [vec![0; 64], freed.reveal().to_vec()].concat()));
    drop(in_private(|| wiped.reveal()));
    leave_on_the_stack(&stack);
    let hits = stage.look(&needles);
    for what in ["held", "freed", "stack"] {
        assert!(hits.iter().any(|hit| hit.starts_with(what)), "{what} is not found: {hits:#?}");
    }
    assert!(!hits.iter().any(|hit| hit.starts_with("wiped")), "{hits:#?}");
    black_box(held);
}

/// Keys of a subject whose vault is gone, their needles, and the data key.
fn keys_alone(subject: &(impl HasSubject + Sync)) -> (SubjectKeys, Needles, Masked) {
    block_on(async {
        let world = Overheard::new().await;
        let keys = world.customers().enroll(subject).await.unwrap();
        let [(raw, _)] = world.data_keys().await.try_into().ok().unwrap();
        let mut needles = Needles::default();
        needles.add_key("data key", &raw);
        (keys, needles, raw)
    })
}

pub(crate) fn sealing_and_opening_leave_neither_value_nor_key(stage: &Stage) {
    let (keys, mut needles, raw) = keys_alone(&ada());
    stage.finds_all("while the keys are held", &needles, &["data key's cipher key", "data key's other cipher key"]);
    let (value, masked) = value();
    needles.add("value", &masked);
    stage.finds_all("while the value is held", &needles, &["value"]);
    let sealed = keys.seal_value(&value, &context()).unwrap();
    drop(value);
    needles.add_record_key("record key", &raw, sealed.as_bytes());
    let held = not_held(&needles);
    stage.finds_nothing("a value was sealed", &held);
    let opened = keys.open_value(&sealed, &context()).unwrap();
    stage.finds_all("while the value is held", &needles, &["value"]);
    drop(opened);
    stage.finds_nothing("a value was opened", &held);
    assert!(keys.open_bytes(sealed.as_bytes(), &context()).is_err(), "it is text");
    stage.finds_nothing("a value was asked for as another kind", &held);
    assert!(keys.open_value(&sealed, &FieldContext::new("customer", "email", "18").unwrap()).is_err());
    stage.finds_nothing("a value did not open", &held);
    drop(keys);
    stage.finds_nothing("the keys were dropped", &needles);
}

pub(crate) fn moving_a_value_leaves_neither_value_nor_key(stage: &Stage) {
    block_on(async {
        let world = Overheard::new().await;
        let customers = world.customers();
        let (value, masked) = value();
        let sealed = customers.enroll(&ada()).await.unwrap().seal_value(&value, &context()).unwrap();
        drop(value);
        customers.rotate_now(&ada()).await.unwrap();
        let keys = customers.keys(&ada()).await.unwrap();
        let resealed = keys.reseal_value(&sealed, &context()).unwrap().unwrap();
        let mut needles = Needles::default();
        needles.add("value", &masked);
        for (key, _) in world.data_keys().await {
            for envelope in [&sealed, &resealed] {
                needles.add_record_key("record key", &key, envelope.as_bytes());
            }
        }
        stage.finds_nothing("a value was moved", &needles);
    });
}

#[derive(Record)]
#[record(schema = "customer")]
struct Customer {
    #[record(id, subject = "customer")]
    id: i64,
    name: Sealed<String>,
    email: Sealed<String>,
}

pub(crate) fn a_record_leaves_neither_values_nor_key(stage: &Stage) {
    let (keys, _, raw) = keys_alone(&customer(7i64));
    let mut needles = Needles::default();
    let ((name, name_masked), (email, email_masked)) = (value(), value());
    needles.add("name", &name_masked);
    needles.add("email", &email_masked);
    let row = Customer::seal(&CustomerPlain { id: 7, name, email }, &keys).unwrap();
    needles.add_record_key("record key", &raw, row.name.as_bytes());
    stage.finds_nothing("a record was sealed", &needles);
    let plain = row.open(&keys).unwrap();
    stage.finds_all("while the record is held", &needles, &["name", "email"]);
    drop(plain);
    stage.finds_nothing("a record was opened", &needles);
}

/// Without what is held of keys while they are in use: cipher keys; of a root its MAC keys and its PRK, as HMAC states.
fn not_held(needles: &Needles) -> Needles {
    let held = ["'s cipher key", "'s other cipher key", "'s keyring MAC key"];
    let of_roots =
        ["root's slot MAC key", "root's journal MAC key", "root's PRK, inner state", "root's PRK, outer state"];
    needles.without(&[&held[..], &of_roots].concat())
}

pub(crate) fn the_other_suite_leaves_neither_value_nor_key(stage: &Stage) {
    block_on(async {
        let world = Overheard::new().await;
        let vault = world.again(Suite::XChaCha20Poly1305).await;
        let keys = vault.default_tenant().enroll(&ada()).await.unwrap();
        let mut needles = needles_of_vault(&world);
        needles.extend(world.needles_of_data_keys().await);
        stage.finds_nothing("an enrollment", &not_held(&needles));
        let (value, masked) = value();
        needles.add("value", &masked);
        let sealed = keys.seal_value(&value, &context()).unwrap();
        drop(value);
        assert_eq!(sealed.as_bytes()[0], 0xFA);
        let [(key, _)] = world.data_keys().await.try_into().ok().unwrap();
        needles.add_record_key("record key", &key, sealed.as_bytes());
        stage.finds_nothing("a value was sealed", &not_held(&needles));
        drop(keys.open_value(&sealed, &context()).unwrap());
        stage.finds_nothing("a value was opened", &not_held(&needles));
        drop((keys, vault, world));
        stage.finds_nothing("the vaults were dropped", &needles);
    });
}

fn needles_of_vault(world: &Overheard) -> Needles {
    let mut needles = Needles::default();
    let roles = [(WrapRole::VaultRoot, "vault root"), (WrapRole::Root, "root"), (WrapRole::EpochKey, "epoch key")];
    for (role, name) in roles {
        for heard in world.heard(role) {
            needles.add_key(name, &heard.key);
        }
    }
    needles
}

pub(crate) fn an_enrollment_leaves_no_raw_key(stage: &Stage) {
    block_on(async {
        let world = Overheard::new().await;
        let keys = world.customers().enroll(&ada()).await.unwrap();
        let mut needles = needles_of_vault(&world);
        needles.extend(world.needles_of_data_keys().await);
        stage.finds_all(
            "while they are held",
            &needles,
            &["data key's cipher", "root's PRK, inner", "epoch key's cipher"],
        );
        stage.finds_nothing("an enrollment", &not_held(&needles));
        drop(keys);
        drop(world);
        stage.finds_nothing("the vault was dropped", &needles);
    });
}

pub(crate) fn keys_that_are_read_leave_no_raw_key(stage: &Stage) {
    block_on(async {
        let world = Overheard::new().await;
        world.customers().enroll_all(&["ada", "ben", "cid"].map(customer)).await.unwrap();
        let other = world.again(Suite::default()).await;
        let page = other.default_tenant().keys_of(&["ada", "ben", "cid"].map(customer)).await.unwrap();
        let mut needles = needles_of_vault(&world);
        needles.extend(world.needles_of_data_keys().await);
        stage.finds_all(
            "while they are held",
            &needles,
            &["data key's cipher", "root's PRK, inner", "epoch key's cipher"],
        );
        stage.finds_nothing("a page of keys", &not_held(&needles));
        let keys = page.get(&customer("ada")).unwrap().clone();
        other.default_tenant().refresh(&keys).await.unwrap();
        stage.finds_nothing("a refresh", &not_held(&needles));
        drop((page, keys, other, world));
        stage.finds_nothing("the vaults were dropped", &needles);
    });
}

pub(crate) fn an_erased_subject_leaves_nothing(stage: &Stage) {
    block_on(async {
        let world = Overheard::new().await;
        let customers = world.customers();
        let keys = customers.enroll(&ada()).await.unwrap();
        let mut needles = world.needles_of_data_keys().await;
        customers.enroll(&customer("ben")).await.unwrap(); // who stays
        let (value, masked) = value();
        let sealed = keys.seal_value(&value, &context()).unwrap();
        drop(value);
        needles.add("value", &masked);
        let opened = keys.open_value(&sealed, &context()).unwrap();
        stage.finds_all("before the erasure", &needles, &["data key's cipher key", "value"]);
        drop((opened, sealed, keys));
        customers.erase(&ada(), &request()).await.unwrap();
        stage.finds_nothing("an erasure", &needles);
    });
}

pub(crate) fn erased_subjects_leave_nothing(stage: &Stage) {
    block_on(async {
        let world = Overheard::new().await;
        let customers = world.customers();
        let subjects: Vec<_> = (0..50).map(|n| customer(format!("subject {n}"))).collect();
        drop(customers.enroll_all(&subjects).await.unwrap());
        let needles = world.needles_of_data_keys().await;
        stage.finds_all("before the erasure", &needles, &["data key's cipher key"]);
        for receipt in customers.erase_all(&subjects, &request()).await.unwrap() {
            receipt.unwrap();
        }
        stage.finds_nothing("an erasure of many", &needles);
    });
}

pub(crate) fn an_erased_purpose_and_a_swept_subject_leave_nothing(stage: &Stage) {
    block_on(async {
        let world = Overheard::new().await;
        let customers = world.customers();
        customers.enroll(&ada()).await.unwrap();
        customers.enroll(&customer("ben")).await.unwrap();
        let needles = world.needles_of_data_keys().await;
        stage.finds_all("before the erasure", &needles, &["data key's cipher key"]);
        let one = request().purpose(Purpose::new(Purpose::DEFAULT).unwrap());
        customers.erase(&ada(), &one).await.unwrap();
        customers.schedule_erasure(&customer("ben"), fieldseal::clock::Timestamp::from_millis(1)).await.unwrap();
        assert_eq!(world.vault.erase_due().await.unwrap().receipts.len(), 1);
        stage.finds_nothing("an erasure and a sweep", &needles);
    });
}

pub(crate) fn a_rotation_leaves_no_raw_key(stage: &Stage) {
    block_on(async {
        let world = Overheard::new().await;
        let customers = world.customers();
        customers.enroll_all(&["ada", "ben"].map(customer)).await.unwrap();
        customers.rotate(&customer("ada")).await.unwrap();
        customers.rotate_now(&customer("ben")).await.unwrap();
        let mut needles = needles_of_vault(&world);
        needles.extend(world.needles_of_data_keys().await);
        // Nothing was read since, so the cache holds none either.
        stage.finds_nothing("a rotation", &not_held(&needles));
        assert_eq!(world.data_keys().await.len(), 4);
    });
}

pub(crate) fn a_rewrap_leaves_no_raw_key(stage: &Stage) {
    block_on(async {
        let world = Overheard::new().await;
        world.customers().enroll_all(&["ada", "ben"].map(customer)).await.unwrap();
        let mut needles = world.needles_of_data_keys().await;
        world.provider.keyring.add_key().await.unwrap();
        world.vault.advance_epoch().await.unwrap();
        let page = world.vault.rewrap_page(None, 100).await.unwrap();
        assert_eq!((page.moved, page.next), (2, None));
        needles.extend(needles_of_vault(&world));
        needles.extend(world.needles_of_data_keys().await);
        stage.finds_nothing("a rewrap", &not_held(&needles));
        drop(world);
        stage.finds_nothing("the vault was dropped", &needles);
    });
}

pub(crate) fn a_retired_epoch_leaves_nothing(stage: &Stage) {
    block_on(async {
        let world = Overheard::new().await;
        let customers = world.customers();
        customers.enroll_all(&["ada", "ben"].map(customer)).await.unwrap();
        let mut needles = Needles::default();
        let [old] = world.heard(WrapRole::EpochKey).try_into().unwrap();
        needles.add_key("epoch key", &old.key);
        for (_, wrapped) in world.data_keys().await {
            needles.add_record_key("key of a wrapping", &old.key, &wrapped);
        }
        stage.finds_all("while it is held", &needles, &["epoch key's cipher key"]);
        world.provider.keyring.add_key().await.unwrap();
        world.vault.advance_epoch().await.unwrap();
        while world.vault.rewrap_page(None, 100).await.unwrap().moved > 0 {}
        world.vault.retire_epoch(Epoch::FIRST).await.unwrap();
        stage.finds_nothing("an epoch was retired", &needles);
        customers.keys(&customer("ada")).await.unwrap();
        stage.finds_nothing("an epoch was retired, and keys were read", &needles);
    });
}

pub(crate) fn an_erased_tenant_leaves_nothing(stage: &Stage) {
    block_on(async {
        let world = Overheard::new().await;
        let acme = TenantId::new("acme").unwrap();
        drop(world.vault.tenant(&acme).enroll_all(&["ada", "ben"].map(customer)).await.unwrap());
        let mut needles = world.needles_of_data_keys().await;
        let [kek] = world.heard(WrapRole::EpochKey).try_into().unwrap();
        needles.add_key("epoch key", &kek.key);
        stage.finds_all("before the erasure", &needles, &["data key's cipher key", "epoch key's cipher key"]);
        world.vault.erase_tenant(&acme, &request()).await.unwrap();
        stage.finds_nothing("a tenant was erased", &needles);
    });
}

/// Each in a vault of its own, which holds the root and so is dropped before it is looked for.
pub(crate) fn tags_and_slot_macs_leave_nothing_of_the_root(stage: &Stage) {
    for job in [Job::Hit, Job::Miss, Job::Page, Job::Read, Job::Change] {
        block_on(async {
            let world = Overheard::new().await;
            let customers = world.customers();
            customers.enroll(&ada()).await.unwrap();
            let needles = needles_of_vault(&world);
            match job {
                Job::Hit => drop(customers.keys(&ada()).await.unwrap()),
                Job::Miss => drop(customers.keys(&customer("nobody")).await.unwrap_err()),
                Job::Page => drop(customers.keys_of(&["ada", "nobody", "no one"].map(customer)).await.unwrap()),
                Job::Read => drop(customers.refresh(&customers.keys(&ada()).await.unwrap()).await.unwrap()),
                Job::Change => customers.hold(&ada()).await.unwrap(),
            }
            drop((customers, world));
            stage.finds_nothing(&format!("{job:?}"), &needles);
        });
    }
}

/// What derives a tag, and what checks or makes a slot's MAC besides.
#[derive(Clone, Copy, Debug)]
enum Job {
    Hit,
    Miss,
    Page,
    Read,
    Change,
}

/// The keys of a keyring file without a passphrase.
fn keys_in(file: &std::path::Path) -> Needles {
    let masked = in_private(|| {
        use base64ct::Encoding as _;

        let text = Zeroizing::new(std::fs::read(file).unwrap());
        let words = text.split(|byte| byte.is_ascii_whitespace()).filter(|word| word.len() == 43);
        let decode = |word: &[u8]| {
            let mut key = Zeroizing::new([0; 32]);
            base64ct::Base64UrlUnpadded::decode(word, key.as_mut_slice()).unwrap();
            Masked::new(key.as_slice())
        };
        words.map(decode).collect::<Vec<_>>()
    });
    // The last one is the check.
    let (_, keys) = masked.split_last().unwrap();
    let mut needles = Needles::default();
    keys.iter().for_each(|key| needles.add_key("master key", key));
    needles
}

pub(crate) fn a_keyring_file_leaves_nothing(stage: &Stage) {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keyring");
        let keyring = LocalKeyring::generate(&path).await.unwrap();
        let first = keyring.current().await.unwrap();
        let old = keys_in(&path);
        stage.finds_all("while it is held", &old, &["master key's cipher key"]);
        stage.finds_nothing("a keyring was made", &not_held(&old));
        let world = Overheard::on(keyring.clone()).await;
        world.customers().enroll(&ada()).await.unwrap();
        keyring.add_key().await.unwrap();
        let both = keys_in(&path);
        stage.finds_nothing("a key was added", &not_held(&both));
        world.vault.advance_epoch().await.unwrap();
        while world.vault.rewrap_page(None, 100).await.unwrap().moved > 0 {}
        world.vault.retire_epoch(Epoch::FIRST).await.unwrap();
        assert!(keyring.destruction(&first).await.unwrap().is_some());
        stage.finds_nothing("a key was destroyed", &old);
        drop(world);
        let again = LocalKeyring::open(&path).await.unwrap();
        stage.finds_nothing("the file was read", &not_held(&both));
        drop((keyring, again));
        stage.finds_nothing("the keyring was dropped", &both);
    });
}

pub(crate) fn a_passphrase_leaves_nothing(stage: &Stage) {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keyring");
        let (text, masked) = value();
        let mut needles = Needles::default();
        needles.add("passphrase", &masked);
        let options = |text: String| {
            KeyringOptions::new()
                .argon2_memory_kib(8 * 1024)
                .argon2_passes(1)
                .passphrase(Passphrase::new(text).unwrap())
        };
        let keyring = options(text.into_inner()).generate(&path).await.unwrap();
        stage.finds_nothing("a keyring was made under a passphrase", &needles);
        keyring.add_key().await.unwrap();
        let again = options(String::from_utf8(masked.reveal().to_vec()).unwrap()).open(&path).await.unwrap();
        stage.finds_nothing("it was opened", &needles);
        // What Argon2 made of the passphrase is as good as it.
        let key = in_private(|| argon2id(&path, &masked));
        needles.add_key("passphrase key", &key);
        let held = not_held(&needles);
        stage.finds_all("while the keyring is held", &needles, &["passphrase key's cipher key"]);
        stage.finds_nothing("it was opened", &held);
        again.add_key().await.unwrap();
        stage.finds_nothing("a key was added", &held);
        drop((keyring, again));
        stage.finds_nothing("the keyring was dropped", &needles);
    });
}

fn argon2id(file: &std::path::Path, passphrase: &Masked) -> Masked {
    use base64ct::Encoding as _;

    let text = std::fs::read_to_string(file).unwrap();
    let salt = text.split_whitespace().find_map(|word| word.strip_prefix("salt=")).unwrap();
    let salt = base64ct::Base64UrlUnpadded::decode_vec(salt).unwrap();
    let params = argon2::Params::new(8 * 1024, 1, 1, Some(32)).unwrap();
    let mut memory = vec![argon2::Block::new(); params.block_count()];
    let mut key = Zeroizing::new([0; 32]);
    argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params)
        .hash_password_into_with_memory(&passphrase.reveal(), &salt, key.as_mut_slice(), &mut memory)
        .unwrap();
    Masked::new(key.as_slice())
}

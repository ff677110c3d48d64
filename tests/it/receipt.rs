//! `docs/receipt.md`, held to the code: the document, the text, and what is claimed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use fieldseal::clock::Timestamp;
use fieldseal::error::ProviderError;
use fieldseal::provider::{
    Destruction, KeyMaterial, LocalKeyring, MasterKeyId, MasterKeyProvider, WrapContext, WrappedKey,
};
use fieldseal::store::{Epoch, Expected, KeyStore as _};
use fieldseal::vault::{ErasureReceipt, ErasureRequest, ErasureStatus, UndoneReason};
use fieldseal::{Result, TenantId, Vault};
use fieldseal_testkit::customer;
use fieldseal_testkit::world::{World, rewrap_all};
use serde_json::{Value, json};

// --- The document ----------------------------------------------------------------------------

/// The first block of a language in the page.
fn block(language: &str) -> &'static str {
    let page = include_str!("../../docs/receipt.md");
    let (_, rest) = page.split_once(&format!("```{language}\n")).unwrap();
    rest.split_once("\n```").unwrap().0
}

fn example() -> Value {
    serde_json::from_str(block("json")).unwrap()
}

/// A receipt in which everything occurs that can.
fn everything() -> Value {
    let mut document = example();
    document["master_keys"] = json!([
        { "id": "one", "epoch": 1, "end": { "state": "destroyed" } },
        { "id": "two", "epoch": 2, "end": { "state": "destroyed_here", "copies": ["tapes", "vaults"] } },
        { "id": "three", "epoch": 3, "end": { "state": "scheduled", "at": "2026-12-01T00:00:00.000Z" } },
        { "id": "four", "epoch": 4, "end": { "state": "unconfirmed" } },
        { "id": "five", "epoch": 5, "end": { "state": "lives" } },
    ]);
    document["index_keys"] = json!([
        { "index_epoch": 1, "end": { "state": "retired", "until": 2 } },
        { "index_epoch": 2, "end": { "state": "given_up", "until": 3 } },
        { "index_epoch": 4, "end": { "state": "lives" } },
    ]);
    document["was_known"] = json!(false);
    document["key_ids_complete"] = json!(false);
    document
}

/// A tenant's.
fn of_a_tenant() -> Value {
    let mut document = example();
    document["subject"] = Value::Null;
    document["reference"] = Value::Null;
    document["purposes"] = json!([]);
    document["may_remain"] = json!([]);
    document
}

fn read(document: &Value) -> serde_json::Result<ErasureReceipt> {
    serde_json::from_value(document.clone())
}

#[test]
fn a_receipt_is_written_as_it_was_read() {
    let receipt: ErasureReceipt = serde_json::from_str(block("json")).unwrap();
    assert_eq!(
        serde_json::to_string_pretty(&receipt).unwrap(),
        block("json"),
        "the same text, order of fields included"
    );
    for document in [example(), everything(), of_a_tenant()] {
        let receipt = read(&document).unwrap();
        assert_eq!(serde_json::to_value(&receipt).unwrap(), document);
        assert_eq!(read(&serde_json::to_value(&receipt).unwrap()).unwrap(), receipt);
    }
}

/// Every place in a document, as a path.
fn places(document: &Value, path: &str, found: &mut Vec<String>) {
    match document {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            found.push(format!("{path}/{name}"));
            places(value, &format!("{path}/{name}"), found);
        }),
        Value::Array(items) => items.iter().enumerate().for_each(|(i, item)| {
            found.push(format!("{path}/{i}"));
            places(item, &format!("{path}/{i}"), found);
        }),
        _ => {}
    }
}

#[test]
fn a_field_that_is_missing_or_unknown_is_refused() {
    let mut paths = Vec::new();
    places(&everything(), "", &mut paths);
    assert!(paths.len() > 50, "the document was not walked");
    for path in &paths {
        let (parent, name) = path.rsplit_once('/').unwrap();
        let mut without = everything();
        if let Some(fields) = without.pointer_mut(parent).unwrap().as_object_mut() {
            fields.remove(name);
            assert_eq!(read(&without).is_ok(), path == "/reference", "without {path}");
        }
        let mut with = everything();
        if let Some(fields) = with.pointer_mut(path).unwrap().as_object_mut() {
            fields.insert("more".to_owned(), Value::Null);
            assert!(read(&with).is_err(), "with another field in {path}");
        }
    }
    let mut more = everything();
    more["more"] = Value::Null;
    assert!(read(&more).is_err());
}

#[test]
fn a_value_of_another_kind_is_refused_everywhere() {
    let mut paths = Vec::new();
    places(&everything(), "", &mut paths);
    for path in &paths {
        let was = everything().pointer(path).unwrap().clone();
        for nonsense in
            [json!({}), json!([[]]), json!("nonsense"), json!(0), json!(-1), json!(1.5), json!(4_294_967_296_u64)]
        {
            let free_text = ["tenant", "reference", "purpose", "place", "ends_by", "id", "0", "1"];
            let is_text = free_text.iter().any(|name| path.ends_with(&format!("/{name}"))) && was.is_string();
            // Names and texts are free, but for the ids of keys.
            if nonsense.is_string() && is_text && !path.contains("/key_ids/") {
                continue;
            }
            let mut document = everything();
            *document.pointer_mut(path).unwrap() = nonsense.clone();
            assert!(read(&document).is_err(), "{nonsense} for {path}");
        }
    }
}

#[test]
fn what_is_near_to_right_is_refused() {
    let longer = "x".repeat(1025);
    for (path, value) in [
        ("/format", "fieldseal erasure receipt 2"),
        ("/journal", "E4AC7F3A8C8D60028210B20DAD5D0814"),
        ("/journal", "e4ac7f3a8c8d60028210b20dad5d08"),
        ("/journal", "e4ac7f3a8c8d60028210b20dad5d081400"),
        ("/journal", "e4ac7f3a8c8d60028210b20dad5d081"),
        ("/subject", "e4ac7f3a8c8d60028210b20dad5d081g"),
        ("/tenant", ""),
        ("/tenant", &longer),
        ("/erased_at", "2026-11-23T10:00:00Z"),
        ("/erased_at", "2026-11-23 10:00:00.000Z"),
        ("/effective_by", "2026-02-30T10:05:00.000Z"),
        ("/effective_by", "2026-11-23T10:05:00.000+00:00"),
        ("/purposes/0/purpose", ""),
        ("/purposes/0/key_ids/0", "655a91d39381cc8bb276fe726dc698a6"),
        ("/master_keys/0/id", ""),
        ("/master_keys/0/end/state", "gone"),
        ("/master_keys/2/end/at", "soon"),
        ("/index_keys/0/end/state", "destroyed"),
    ] {
        let mut document = everything();
        *document.pointer_mut(path).unwrap() = json!(value);
        assert!(read(&document).is_err(), "{value:?} for {path}");
    }
}

#[test]
fn what_does_not_fit_together_is_refused() {
    for (path, value) in [("/subject", Value::Null), ("/purposes", json!([]))] {
        let mut document = example();
        document[path.trim_start_matches('/')] = value;
        assert!(read(&document).is_err(), "a subject has purposes, a tenant has none");
    }
    for name in ["whole", "key_ids_complete"] {
        let mut document = of_a_tenant();
        document[name] = json!(false);
        assert!(read(&document).is_err(), "a tenant's, and {name} is false");
    }
    for path in ["/purposes", "/index_keys"] {
        let mut swapped = everything();
        swapped.pointer_mut(path).unwrap().as_array_mut().unwrap().swap(0, 1);
        assert!(read(&swapped).is_err(), "{path} out of order");
        let mut twice = everything();
        let items = twice.pointer_mut(path).unwrap().as_array_mut().unwrap();
        items.insert(0, items[0].clone());
        assert!(read(&twice).is_err(), "one of {path} twice");
    }
    let mut early = example();
    early["effective_by"] = json!("2026-11-23T09:59:59.999Z");
    assert!(read(&early).is_err(), "it takes effect after it was done");
    early["effective_by"] = early["erased_at"].clone();
    assert!(read(&early).is_ok());
}

/// `docs/format.md`, section 15: whether it is one, and of which version, comes before all that is wrong with it.
#[test]
fn a_receipt_is_refused_for_the_first_reason() {
    const FOREIGN: &str = "not an erasure receipt";
    const NEWER: &str = "of a later version";
    const DAMAGED: &str = "a damaged erasure receipt";
    let says = |text: &str| serde_json::from_str::<ErasureReceipt>(text).unwrap_err().to_string();
    for nothing in ["[]", "7", "null", "\"fieldseal erasure receipt 1\"", "{}", "{\"more\": 1}"] {
        assert!(says(nothing).contains(FOREIGN), "{nothing}");
    }
    for (format, expected) in [
        (json!("fieldseal erasure receipt 2"), NEWER),
        (json!("fieldseal erasure receipt 999999999"), NEWER),
        (json!("fieldseal erasure receipt 1000000000"), FOREIGN),
        (json!("fieldseal erasure receipt 0"), FOREIGN),
        (json!("fieldseal erasure receipt 01"), FOREIGN),
        (json!("fieldseal erasure receipt +2"), FOREIGN),
        (json!("fieldseal erasure receipt 1 "), FOREIGN),
        (json!("fieldseal erasure receipt "), FOREIGN),
        (json!("another receipt 1"), FOREIGN),
        (json!(1), DAMAGED),
        (Value::Null, DAMAGED),
    ] {
        for more in [false, true] {
            let mut document = example();
            document["format"] = format.clone();
            if more {
                document["more"] = json!({ "whatever": [1.5] });
                document["journal"] = json!(7);
            }
            assert!(says(&document.to_string()).contains(expected), "{format}");
        }
    }
    let whole = example().to_string();
    let twice = |name: &str| whole.replacen(&format!("\"{name}\":"), &format!("\"{name}\":null,\"{name}\":"), 1);
    for name in ["whole", "line", "state", "place"] {
        assert!(twice(name) != whole && says(&twice(name)).contains(DAMAGED), "{name} twice");
    }
    let mut more = example();
    more["more"] = Value::Null;
    assert!(says(&more.to_string()).contains(DAMAGED));
    // Nothing of what it holds is repeated.
    let mut odd = example();
    odd["tenant"] = json!(["ada@example.com"]);
    assert!(!says(&odd.to_string()).contains("ada"));
}

// --- The text --------------------------------------------------------------------------------

#[test]
fn the_text_is_that_of_the_page() {
    assert_eq!(read(&example()).unwrap().to_string(), block("text"));
}

#[test]
fn the_text_claims_no_more_than_is_so() {
    let text = read(&everything()).unwrap().to_string();
    let masters: Vec<&str> = text.lines().filter(|line| line.contains("master key  ")).collect();
    assert_eq!(
        masters,
        [
            "  master key     one of epoch 1: destroyed",
            "  master key     two of epoch 2: destroyed here; the operator answers for tapes, vaults",
            "  master key     three of epoch 3: will be destroyed at 2026-12-01T00:00:00.000Z, and can be called back until then",
            "  master key     four of epoch 4: the provider could not say",
            "  master key     five of epoch 5: is there; retiring the epoch ends it",
        ]
    );
    assert!(!text.contains("final"), "a receipt never says so: a status does");
    for line in [
        "  unknown        neither key store nor journal knew of it when it was requested: check the name",
        "  key ids        not all are known: a damaged slot was replaced",
        "  index key      of index epoch 1: retired; copies are under the master keys up to epoch 2",
        "  index key      of index epoch 2: given up; copies are under the master keys up to epoch 3",
        "  index key      of index epoch 4: is there; retiring the index epoch ends it",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}");
    }
    assert_eq!(
        read(&of_a_tenant()).unwrap().to_string(),
        "Erasure of tenant \"default\"\n\
        \x20 destroyed at   2026-11-23T10:00:00.000Z\n\
        \x20 in force by    2026-11-23T10:05:00.000Z in every process\n\
        \x20 master key     local-265ac83a20d4b22d of epoch 1: is there; retiring the epoch ends it\n\
        Copies of the destroyed keys in backups of the key store open only under these master keys."
    );
}

#[test]
fn each_status_says_what_it_depends_on() {
    let waits_for = read(&everything()).unwrap().master_keys()[2..].to_vec();
    let text = |status: ErasureStatus| status.to_string();
    assert_eq!(
        text(ErasureStatus::Erased { waits_for }),
        "erased; copies in backups of the key store open until these end:\n\
        \x20 three of epoch 3: will be destroyed at 2026-12-01T00:00:00.000Z, and can be called back until then\n\
        \x20 four of epoch 4: the provider could not say\n\
        \x20 five of epoch 5: is there; retiring the epoch ends it"
    );
    assert_eq!(
        text(ErasureStatus::Erased { waits_for: vec![] }),
        "erased: keys that other processes read before are not past their age yet, or clocks disagree"
    );
    assert_eq!(
        text(ErasureStatus::Final { vouched_for: vec!["tapes".into(), "vaults".into()] }),
        "final, as far as the operator vouches that none of these holds a master key: tapes, vaults"
    );
    assert_eq!(
        text(ErasureStatus::Final { vouched_for: vec![] }),
        "final: every master key that wrapped one of the keys is destroyed"
    );
    assert_eq!(
        text(ErasureStatus::Undone { reason: UndoneReason::KeysAreBack }),
        "undone: the key store has the keys again (a backup was restored): replay the journal"
    );
    assert_eq!(
        text(ErasureStatus::Undone { reason: UndoneReason::TombstoneMissing }),
        "undone: the key store does not know of the erasure (a backup was restored): replay the journal"
    );
    assert_eq!(
        text(ErasureStatus::Undone { reason: UndoneReason::NotJournaled }),
        "undone: the journal does not tell that it was done: erase again"
    );
}

// --- What is claimed -------------------------------------------------------------------------

/// A keyring whose answers about destruction the test gives: as a KMS with a waiting period would.
#[derive(Debug)]
struct Provider {
    keyring: LocalKeyring,
    says: Mutex<Says>,
}

#[derive(Clone, Debug)]
enum Says {
    AsItIs,
    Is(Option<Destruction>),
    Nothing,
}

#[async_trait]
impl MasterKeyProvider for Provider {
    async fn current(&self) -> Result<MasterKeyId, ProviderError> {
        self.keyring.current().await
    }

    async fn wrap_key(&self, key: &KeyMaterial, context: &WrapContext) -> Result<WrappedKey, ProviderError> {
        self.keyring.wrap_key(key, context).await
    }

    async fn unwrap_key(&self, wrapped: &WrappedKey, context: &WrapContext) -> Result<KeyMaterial, ProviderError> {
        self.keyring.unwrap_key(wrapped, context).await
    }

    async fn destroy_key(&self, id: &MasterKeyId) -> Result<Destruction, ProviderError> {
        self.keyring.destroy_key(id).await
    }

    async fn destruction(&self, id: &MasterKeyId) -> Result<Option<Destruction>, ProviderError> {
        let says = self.says.lock().unwrap().clone();
        match says {
            Says::AsItIs => self.keyring.destruction(id).await,
            Says::Is(destruction) => Ok(destruction),
            Says::Nothing => Err(ProviderError::unavailable("down")),
        }
    }
}

/// A world whose provider says what it is told to.
struct Case {
    world: World,
    provider: Arc<Provider>,
    vault: Vault,
}

const ADA: &str = "ada";

impl Case {
    async fn new() -> Result<Self> {
        let world = World::in_memory()?;
        let provider = Arc::new(Provider { keyring: world.provider.clone(), says: Mutex::new(Says::AsItIs) });
        let vault = world.vault_with(provider.clone()).await?;
        Ok(Self { world, provider, vault })
    }

    fn say(&self, says: Says) {
        *self.provider.says.lock().unwrap() = says;
    }

    async fn erase(&self) -> Result<ErasureReceipt> {
        let tenant = self.vault.default_tenant();
        tenant.enroll(&customer(ADA)).await?;
        tenant.erase(&customer(ADA), &ErasureRequest::new()).await
    }

    async fn status(&self, receipt: &ErasureReceipt) -> Result<ErasureStatus> {
        self.vault.default_tenant().erasure_status(receipt).await
    }

    async fn next_epoch(&self) -> Result<Epoch> {
        self.provider.keyring.add_key().await?;
        let epoch = self.vault.advance_epoch().await?.epoch;
        rewrap_all(&self.vault, 10).await?;
        Ok(epoch)
    }

    fn wait(&self) {
        self.world.clock.advance(self.vault.max_age());
    }
}

/// How many master keys it waits for; none if it is not `Erased`.
fn waits_for(status: &ErasureStatus) -> Option<usize> {
    match status {
        ErasureStatus::Erased { waits_for } => Some(waits_for.len()),
        _ => None,
    }
}

fn is_final(status: &ErasureStatus) -> bool {
    matches!(status, ErasureStatus::Final { .. })
}

#[tokio::test]
async fn finality_takes_a_destroyed_key_and_outlived_snapshots() -> Result<()> {
    let case = Case::new().await?;
    let receipt = case.erase().await?;
    assert_eq!(waits_for(&case.status(&receipt).await?), Some(1));
    case.next_epoch().await?;
    assert_eq!(waits_for(&case.status(&receipt).await?), Some(1), "rewrapping the others ends no copy");
    case.vault.retire_epoch(Epoch::FIRST).await?;
    assert_eq!(waits_for(&case.status(&receipt).await?), Some(0), "a process may still have read it before");
    case.world.clock.advance(case.vault.max_age() - Duration::from_millis(1));
    assert!(!is_final(&case.status(&receipt).await?));
    case.world.clock.advance(Duration::from_millis(1));
    assert!(is_final(&case.status(&receipt).await?));
    Ok(())
}

#[tokio::test]
async fn only_a_provider_that_says_destroyed_makes_it_final() -> Result<()> {
    let case = Case::new().await?;
    let receipt = case.erase().await?;
    case.wait();
    let at = Timestamp::from_millis(1);
    for says in [Says::Is(None), Says::Is(Some(Destruction::Scheduled { at })), Says::Nothing] {
        case.say(says.clone());
        assert_eq!(waits_for(&case.status(&receipt).await?), Some(1), "{says:?}, and be its moment long past");
    }
    case.say(Says::Is(Some(Destruction::Destroyed)));
    assert_eq!(case.status(&receipt).await?, ErasureStatus::Final { vouched_for: vec![] });
    let copies = vec!["tapes", "disks"];
    case.say(Says::Is(Some(Destruction::DestroyedHere { copies })));
    let vouched_for = vec!["disks".to_owned(), "tapes".to_owned()];
    assert_eq!(case.status(&receipt).await?, ErasureStatus::Final { vouched_for });
    case.say(Says::Is(None));
    assert_eq!(waits_for(&case.status(&receipt).await?), Some(1), "it was called back: nothing is remembered");
    Ok(())
}

#[tokio::test]
async fn master_keys_up_to_the_erasure_count_and_later_ones_do_not() -> Result<()> {
    let case = Case::new().await?;
    let tenant = case.vault.default_tenant();
    tenant.enroll(&customer(ADA)).await?;
    let second = case.next_epoch().await?;
    let receipt = tenant.erase(&customer(ADA), &ErasureRequest::new()).await?;
    assert_eq!(receipt.master_keys().len(), 2);
    case.next_epoch().await?;
    case.wait();
    case.vault.retire_epoch(Epoch::FIRST).await?;
    assert_eq!(waits_for(&case.status(&receipt).await?), Some(1), "the second one is there");
    case.vault.retire_epoch(second).await?;
    assert!(is_final(&case.status(&receipt).await?), "the third one never wrapped it");
    Ok(())
}

#[tokio::test]
async fn keys_that_are_back_undo_it_whatever_the_provider_says() -> Result<()> {
    let case = Case::new().await?;
    let tenant = case.vault.default_tenant();
    tenant.enroll(&customer(ADA)).await?;
    let twin = Case::new().await?;
    // The tag is in the receipt alone; the store's only subject is hers.
    let before = case.world.subjects().await?.remove(0);
    let receipt = tenant.erase(&customer(ADA), &ErasureRequest::new()).await?;
    let tombstone = case.world.store.load(std::slice::from_ref(before.id())).await?.remove(0).into_slot()?.unwrap();
    case.world.store.put(&before, Expected::Revision(tombstone.revision())).await?;
    case.say(Says::Is(Some(Destruction::Destroyed)));
    case.wait();
    assert_eq!(case.status(&receipt).await?, ErasureStatus::Undone { reason: UndoneReason::KeysAreBack });
    assert_eq!(case.vault.replay_journal().await?.erasures, 1);
    assert!(is_final(&case.status(&receipt).await?));

    let elsewhere = twin.vault.default_tenant().erasure_status(&receipt).await;
    assert!(elsewhere.is_err(), "of another key store nothing can be said");
    let other = case.vault.tenant(&TenantId::new("other")?);
    assert!(other.erasure_status(&receipt).await.is_err());
    Ok(())
}

#[tokio::test]
async fn an_erased_tenant_waits_for_every_master_key_that_there_was() -> Result<()> {
    let case = Case::new().await?;
    case.vault.default_tenant().enroll(&customer(ADA)).await?;
    case.next_epoch().await?;
    let tenant = TenantId::new("acme")?;
    case.vault.tenant(&tenant).enroll(&customer("bob")).await?;
    let receipt = case.vault.erase_tenant(&tenant, &ErasureRequest::new()).await?;
    assert_eq!((receipt.tag(), receipt.purposes().len(), receipt.master_keys().len()), (None, 0, 2));
    case.wait();
    let status = case.vault.tenant(&tenant).erasure_status(&receipt).await?;
    assert_eq!(waits_for(&status), Some(2));
    Ok(())
}

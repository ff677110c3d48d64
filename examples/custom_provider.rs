//! A master key provider of your own: keys in files that an orchestrator mounts (a volume of secrets, a ramdisk that an
//! operator fills at boot).
//!
//! `cargo run --example custom_provider` guards a vault with it. `cargo test --example custom_provider` runs the testkit's
//! suite on it: the rules that each provider must hold, as your own crate would in its tests.
#![expect(clippy::print_stdout, reason = "an example prints")]

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::PathBuf;

use async_trait::async_trait;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use fieldseal::Vault;
use fieldseal::journal::MemoryJournal;
use fieldseal::provider::{
    Destruction, KeyMaterial, MasterKeyId, MasterKeyProvider, ProviderError, ProviderErrorKind, WrapContext, WrappedKey,
};
use fieldseal::store::MemoryStore;
use fieldseal_testkit::customer;
use zeroize::Zeroizing;

/// Master keys in files of 32 bytes, `NAME.key`. The last name in the alphabet is current: `2026-11`, `2027-02`. Where a key
/// was destroyed, `NAME.gone` says so for ever.
#[derive(Clone, Debug)]
struct MountedKeys(PathBuf);

impl MountedKeys {
    /// Where a key's file is, and where it says that it is gone. What is no name of a file is no key's id.
    fn files(&self, id: &MasterKeyId) -> Result<(PathBuf, PathBuf), ProviderError> {
        let name = id.as_str();
        let is_name = name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-') && name.len() <= 100;
        if !is_name {
            return Err(ProviderError::new(ProviderErrorKind::UnknownKey));
        }
        Ok((self.0.join(format!("{name}.key")), self.0.join(format!("{name}.gone"))))
    }

    fn cipher(&self, id: &MasterKeyId) -> Result<XChaCha20Poly1305, ProviderError> {
        let (key, gone) = self.files(id)?;
        match fs::read(key).map(Zeroizing::new) {
            Ok(key) => XChaCha20Poly1305::new_from_slice(&key)
                .map_err(|_| ProviderError::corrupt("a master key's file doesn't have 32 bytes")),
            Err(e) if e.kind() == ErrorKind::NotFound && gone.exists() => {
                Err(ProviderError::new(ProviderErrorKind::KeyDestroyed))
            }
            Err(e) if e.kind() == ErrorKind::NotFound => Err(ProviderError::new(ProviderErrorKind::UnknownKey)),
            Err(e) => Err(failed(e)),
        }
    }

    /// Makes durable which files there are. Else a power cut could bring a key back that was said to be destroyed.
    fn sync(&self) -> Result<(), ProviderError> {
        let synced = File::open(&self.0).and_then(|folder| folder.sync_all());
        #[cfg(test)]
        let synced = synced.and_then(|()| tests::synced(&self.0));
        synced.map_err(failed)
    }
}

#[async_trait]
impl MasterKeyProvider for MountedKeys {
    async fn current(&self) -> Result<MasterKeyId, ProviderError> {
        let mut last: Option<String> = None;
        for entry in fs::read_dir(&self.0).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let name = name.to_str().and_then(|name| name.strip_suffix(".key")).map(str::to_owned);
            last = last.max(name);
        }
        let none =
            || ProviderError::misconfigured("no master key is mounted: the folder needs a `NAME.key` of 32 bytes");
        MasterKeyId::new(last.ok_or_else(none)?).map_err(|_| none())
    }

    /// Bound to the whole context: what is wrapped for one tenant, epoch or role unwraps for no other.
    async fn wrap_key(&self, key: &KeyMaterial, context: &WrapContext) -> Result<WrappedKey, ProviderError> {
        let master = self.current().await?;
        let mut nonce = XNonce::default();
        fill(&mut nonce)?;
        let message = Payload { msg: key.expose(), aad: &context.encode() };
        let sealed = self.cipher(&master)?.encrypt(&nonce, message);
        let sealed = sealed.map_err(|_| ProviderError::misconfigured("a key is 32 bytes"))?;
        WrappedKey::new(master, [nonce.as_slice(), &sealed].concat()).map_err(ProviderError::unavailable)
    }

    async fn unwrap_key(&self, wrapped: &WrappedKey, context: &WrapContext) -> Result<KeyMaterial, ProviderError> {
        let refused = || ProviderError::new(ProviderErrorKind::Authentication);
        let cipher = self.cipher(wrapped.master())?;
        let (nonce, sealed) = wrapped.as_bytes().split_first_chunk::<24>().ok_or_else(refused)?;
        let message = Payload { msg: sealed, aad: &context.encode() };
        let key = cipher.decrypt(&XNonce::from(*nonce), message).map(Zeroizing::new).map_err(|_| refused())?;
        KeyMaterial::from_slice(&key).map_err(|_| refused())
    }

    /// The trace first: a key that is gone without one would look like one that never was.
    async fn destroy_key(&self, id: &MasterKeyId) -> Result<Destruction, ProviderError> {
        if let Some(ended) = self.destruction(id).await? {
            return Ok(ended);
        }
        if self.current().await? == *id {
            return Err(ProviderError::misconfigured("the current master key: mount another one first"));
        }
        let (key, gone) = self.files(id)?;
        File::create(gone).and_then(|gone| gone.sync_all()).map_err(failed)?;
        self.sync()?;
        fs::remove_file(key).map_err(failed)?;
        self.sync()?;
        Ok(here())
    }

    async fn destruction(&self, id: &MasterKeyId) -> Result<Option<Destruction>, ProviderError> {
        match self.cipher(id) {
            Ok(_) => Ok(None),
            Err(e) if e.kind() == ProviderErrorKind::KeyDestroyed => {
                // Whoever removed it may have been killed before that was synced.
                self.sync()?;
                Ok(Some(here()))
            }
            Err(e) => Err(e),
        }
    }
}

/// What this provider can't answer for. A receipt passes it on.
fn here() -> Destruction {
    Destruction::DestroyedHere { copies: vec!["the orchestrator's own copy of the secret, and its backups"] }
}

fn fill(bytes: &mut [u8]) -> Result<(), ProviderError> {
    rand::TryRng::try_fill_bytes(&mut rand::rngs::SysRng, bytes).map_err(ProviderError::unavailable)
}

fn failed(e: io::Error) -> ProviderError {
    match e.kind() {
        ErrorKind::PermissionDenied => ProviderError::new(ProviderErrorKind::Denied).with_source(e),
        ErrorKind::NotFound => ProviderError::misconfigured("the folder of master keys is not mounted").with_source(e),
        _ => ProviderError::unavailable(e),
    }
}

/// What the operator does.
fn mount(keys: &MountedKeys, name: &str) -> Result<(), Box<dyn std::error::Error>> {
    let mut key = Zeroizing::new([0; 32]);
    fill(key.as_mut_slice())?;
    Ok(fs::write(keys.0.join(format!("{name}.key")), *key)?)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let keys = MountedKeys(folder.path().to_owned());
    mount(&keys, "2026-11")?;
    let vault = Vault::builder(keys.clone(), MemoryStore::new())
        .kinds(["customer"])
        .journal(MemoryJournal::new()?)
        .build()
        .await?;
    vault.default_tenant().enroll(&customer("ada")).await?;
    let first = vault.current_epoch().await?;
    println!("Epoch {first} is under {}.", keys.current().await?);

    mount(&keys, "2027-02")?;
    let second = vault.advance_epoch().await?.epoch;
    let mut next = None;
    loop {
        next = vault.rewrap_page(next.as_ref(), 100).await?.next;
        if next.is_none() {
            break;
        }
    }
    let retired = vault.retire_epoch(first).await?;
    println!(
        "Epoch {second} is under {}; of {} it is said: {:?}.",
        keys.current().await?,
        retired.master,
        retired.destruction
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::Path;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::{Mutex, PoisonError};

    use super::*;
    use fieldseal_testkit::provider::ProviderFixture;

    /// Keys in a folder of a test's own, and the operator who mounts new ones.
    struct Operator {
        keys: MountedKeys,
        mounted: AtomicU32,
        #[expect(dead_code, reason = "removed when dropped")]
        folder: tempfile::TempDir,
    }

    #[async_trait]
    impl ProviderFixture for Operator {
        fn provider(&self) -> &dyn MasterKeyProvider {
            &self.keys
        }

        async fn rotate(&self) {
            let number = self.mounted.fetch_add(1, Ordering::SeqCst);
            mount(&self.keys, &format!("key-{number:05}")).expect("the folder can be written");
        }
    }

    async fn operator() -> Operator {
        let folder = tempfile::tempdir().expect("a folder");
        let keys = MountedKeys(folder.path().to_owned());
        let operator = Operator { keys, mounted: AtomicU32::new(0), folder };
        operator.rotate().await;
        operator
    }

    /// What was in each folder when it was last synced: what a power cut leaves.
    static DURABLE: Mutex<BTreeMap<PathBuf, Vec<BTreeSet<String>>>> = Mutex::new(BTreeMap::new());

    pub(super) fn synced(folder: &Path) -> io::Result<()> {
        let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
        let names = fs::read_dir(folder)?.map(name).collect::<io::Result<_>>()?;
        let mut durable = DURABLE.lock().unwrap_or_else(PoisonError::into_inner);
        durable.entry(folder.to_owned()).or_default().push(names);
        Ok(())
    }

    /// What each power cut since the beginning would have left of a key.
    fn left(keys: &MountedKeys, name: &str) -> Vec<(bool, bool)> {
        let durable = DURABLE.lock().unwrap_or_else(PoisonError::into_inner);
        let has = |names: &BTreeSet<String>, kind: &str| names.contains(&format!("{name}.{kind}"));
        durable.get(&keys.0).into_iter().flatten().map(|names| (has(names, "key"), has(names, "gone"))).collect()
    }

    #[tokio::test]
    async fn a_destroyed_key_does_not_come_back_with_a_power_cut() {
        let operator = operator().await;
        let keys = &operator.keys;
        let first = keys.current().await.expect("a key");
        operator.rotate().await;
        keys.destroy_key(&first).await.expect("it can be destroyed");
        assert_eq!(left(keys, first.as_str()), [(true, true), (false, true)], "the trace first, then the key");

        // Another process removed one, and was killed then.
        let second = keys.current().await.expect("a key");
        operator.rotate().await;
        let (key, gone) = keys.files(&second).expect("its files");
        fs::write(gone, []).expect("the folder can be written");
        fs::remove_file(key).expect("the folder can be written");
        assert!(keys.destruction(&second).await.expect("it is known").is_some());
        assert_eq!(left(keys, second.as_str()).last(), Some(&(false, true)));
    }

    fieldseal_testkit::provider_suite! { #[tokio::test] mounted, operator }
}

//! A key store of your own: a folder with a file a slot, for any number of processes of one host.
//!
//! `cargo run --example custom_store` keeps a vault's keys in it. `cargo test --example custom_store` runs the testkit's
//! suite on it: the rules that each key store must hold, as your own crate would in its tests.
#![expect(clippy::print_stdout, reason = "an example prints")]

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use fieldseal::journal::MemoryJournal;
use fieldseal::provider::LocalKeyring;
use fieldseal::store::{
    Epoch, Expected, Filter, KeyStore, Loaded, Residue, Scan, ScanPage, SlotId, StoreError, StoredSlot,
};
use fieldseal::vault::ErasureRequest;
use fieldseal::{Error, Tenant, Vault};
use fieldseal_testkit::customer;

/// Slots in files that are named by their ids in hexadecimal, so that the names have the order of the ids.
#[derive(Clone, Debug)]
struct FolderStore {
    folder: PathBuf,
    #[expect(dead_code, reason = "removes the folder with the last clone")]
    scratch: Option<Arc<tempfile::TempDir>>,
}

impl FolderStore {
    /// A folder that isn't there is made, in one that is.
    fn open(folder: impl Into<PathBuf>) -> io::Result<Self> {
        let folder = folder.into();
        match fs::create_dir(&folder) {
            Err(e) if e.kind() != ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
        let folder = folder.canonicalize()?;
        folder.parent().map_or(Ok(()), sync)?;
        Ok(Self { folder, scratch: None })
    }

    /// One that goes with its last clone: for tests.
    fn scratch() -> io::Result<Self> {
        let scratch = tempfile::tempdir()?;
        Ok(Self { folder: scratch.path().to_owned(), scratch: Some(Arc::new(scratch)) })
    }

    /// Runs blocking work elsewhere than on the executor's threads.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        tokio::task::spawn_blocking(move || work(&store)).await.map_err(StoreError::unavailable)?
    }

    /// What a writer holds while it compares and swaps: one lock for all slots and the floor, so that a put can't land below a
    /// floor that was raised meanwhile.
    fn lock(&self) -> Result<File, StoreError> {
        let lock = File::options().create(true).append(true).open(self.folder.join("lock")).map_err(failed)?;
        lock.lock().map_err(failed)?;
        Ok(lock)
    }

    fn read(&self, id: &SlotId) -> Result<Loaded, StoreError> {
        match fs::read(self.file(id)) {
            Ok(bytes) => Ok(Loaded::from_bytes(id, bytes)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(Loaded::Absent),
            Err(e) => Err(failed(e)),
        }
    }

    /// Whole or not at all, and durable when it returns: what is sealed under the key may be stored a moment later.
    fn replace(&self, file: &Path, bytes: &[u8]) -> io::Result<()> {
        fs::create_dir_all(file.parent().unwrap_or(&self.folder))?;
        let new = self.folder.join("new");
        let mut out = File::create(&new)?;
        out.write_all(bytes)?;
        out.sync_all()?;
        fs::rename(new, file)?;
        // A name is durable when the folder that it is in is synced. That goes for folders' names too: this process made them
        // just now, or another one that didn't come to syncing them.
        file.ancestors().skip(1).take_while(|folder| folder.starts_with(&self.folder)).try_for_each(sync)
    }

    fn file(&self, id: &SlotId) -> PathBuf {
        // A file's name has at most 255 bytes on most systems; an id that is longer needs folders, or a hash.
        let name: String = id.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let mut path = self.folder.join("slots");
        for part in name.as_bytes().chunks(200) {
            path.push(String::from_utf8_lossy(part).into_owned());
        }
        path.with_extension("slot")
    }

    fn floor(&self) -> Result<u32, StoreError> {
        match fs::read_to_string(self.folder.join("floor")) {
            Ok(text) => text.parse().map_err(|_| StoreError::corrupt("the floor")),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(0),
            Err(e) => Err(failed(e)),
        }
    }

    /// The ids that files are named by, in order: bytes, for they may be no ids.
    fn ids(&self) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut names = Vec::new();
        collect(&self.folder.join("slots"), "", &mut names).map_err(failed)?;
        names.sort_unstable();
        Ok(names.iter().map(|name| unhex(name).unwrap_or_else(|| name.clone().into_bytes())).collect())
    }
}

#[async_trait]
impl KeyStore for FolderStore {
    async fn load(&self, ids: &[SlotId]) -> Result<Vec<Loaded>, StoreError> {
        let ids = ids.to_vec();
        self.run(move |store| ids.iter().map(|id| store.read(id)).collect()).await
    }

    async fn put(&self, slot: &StoredSlot, expected: Expected) -> Result<(), StoreError> {
        let slot = slot.clone();
        self.run(move |store| {
            let _lock = store.lock()?;
            let floor = store.floor()?;
            if slot.epoch().is_some_and(|epoch| epoch.get() < floor) {
                return Err(StoreError::below_floor());
            }
            if !expected.is_met_by(&store.read(slot.id())?) {
                return Err(StoreError::conflict());
            }
            let file = store.file(slot.id());
            store.replace(&file, slot.as_bytes()).map_err(failed)
        })
        .await
    }

    async fn scan(&self, scan: &Scan) -> Result<ScanPage, StoreError> {
        let scan = scan.clone();
        self.run(move |store| {
            let (mut page, mut last) = (ScanPage::default(), None);
            let cursor = scan.cursor().map(SlotId::to_bytes).unwrap_or_default();
            for id in store.ids()?.into_iter().filter(|id| *id > cursor) {
                let Ok(id) = SlotId::from_bytes(&id) else {
                    // Of no tenant. Whether a filter would find it, nobody can tell.
                    page.nameless += u64::from(scan.only_tenant().is_none());
                    continue;
                };
                if scan.only_tenant().is_some_and(|tenant| id.tenant() != Some(tenant)) {
                    continue;
                }
                let found = store.read(&id)?;
                let is_found = match (&found, scan.filter()) {
                    (Loaded::Absent, _) => false,
                    // A store without columns: nobody can tell what a damaged one would say.
                    (Loaded::Damaged(_), _) | (_, Filter::All) => true,
                    (Loaded::Slot(slot), Filter::EpochBelow(epoch)) => slot.epoch().is_some_and(|own| own < epoch),
                    (Loaded::Slot(slot), Filter::DueBefore(moment)) => slot.due().is_some_and(|due| due < moment),
                };
                if !is_found {
                    continue;
                }
                // One more than asked for tells that there is a next page.
                if page.slots.len() + page.damaged.len() == scan.page_size() {
                    page.next = last;
                    return Ok(page);
                }
                last = Some(id.clone());
                match found {
                    Loaded::Absent => {}
                    Loaded::Slot(slot) => page.slots.push(slot),
                    Loaded::Damaged(token) => page.damaged.push((id, token)),
                }
            }
            Ok(page)
        })
        .await
    }

    async fn raise_floor(&self, epoch: Epoch) -> Result<(), StoreError> {
        self.run(move |store| {
            let _lock = store.lock()?;
            if store.floor()? < epoch.get() {
                store.replace(&store.folder.join("floor"), epoch.get().to_string().as_bytes()).map_err(failed)?;
            }
            Ok(())
        })
        .await
    }

    /// A file that was replaced is gone from the folder, and not from the disk: that must be said.
    async fn scrub(&self) -> Result<Residue, StoreError> {
        Ok(Residue::none()
            .may_remain_in("blocks of replaced files", "their reuse by the file system, the device's disposal")
            .may_remain_in("backups and snapshots of the folder", "their retention"))
    }
}

/// Makes the names in a folder durable: `sync_all` of a file is about its bytes alone.
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()?;
    #[cfg(test)]
    tests::synced(folder)?;
    Ok(())
}

/// Names of files, with those of the folders that they are in.
fn collect(folder: &Path, before: &str, names: &mut Vec<String>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = format!("{before}{}", entry.file_name().to_string_lossy());
        match name.strip_suffix(".slot") {
            Some(id) => names.push(id.to_owned()),
            None => collect(&entry.path(), &name, names)?,
        }
    }
    Ok(())
}

fn unhex(name: &str) -> Option<Vec<u8>> {
    let digit = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    name.as_bytes().chunks(2).map(digit).collect()
}

/// Whose fault it is: what the vault does next depends on it.
fn failed(e: io::Error) -> StoreError {
    match e.kind() {
        ErrorKind::PermissionDenied | ErrorKind::NotADirectory | ErrorKind::ReadOnlyFilesystem => {
            StoreError::misconfigured("the folder can't be read or written").with_source(e)
        }
        _ => StoreError::unavailable(e),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let store = FolderStore::scratch()?;
    let (keyring, journal) = (LocalKeyring::ephemeral()?, Arc::new(MemoryJournal::new()?));
    let open = async || -> Result<Tenant, Box<dyn std::error::Error>> {
        let store = FolderStore::open(&store.folder)?;
        let vault = Vault::builder(keyring.clone(), store).kinds(["customer"]).journal(journal.clone()).build().await?;
        Ok(vault.default_tenant())
    };

    let customers = open().await?;
    customers.enroll(&customer("ada")).await?;
    customers.enroll(&customer("ben")).await?;
    println!("Two persons' keys are in {} files.", store.ids()?.len());

    let elsewhere = open().await?; // as another process would
    elsewhere.keys(&customer("ben")).await?;
    let receipt = elsewhere.erase(&customer("ada"), &ErasureRequest::new()).await?;
    println!("{receipt}");
    match open().await?.keys(&customer("ada")).await {
        Err(Error::SubjectErased { at }) => println!("Ada was erased at {at}."),
        other => return Err(format!("an erased person's keys: {other:?}").into()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::{Mutex, PoisonError};

    use super::*;
    use fieldseal::TenantId;
    use fieldseal_testkit::damage::{Damage, Part};

    /// What was in a folder when it was synced: what a power cut leaves.
    static DURABLE: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

    pub(super) fn synced(folder: &Path) -> io::Result<()> {
        let names = entries(folder)?;
        DURABLE.lock().unwrap_or_else(PoisonError::into_inner).extend(names);
        Ok(())
    }

    fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
    }

    #[tokio::test]
    async fn slots_and_their_folders_are_there_after_a_power_cut() {
        let place = place().await;
        let place = place.path().canonicalize().expect("a folder");
        let store = FolderStore::open(place.join("keys")).expect("it can be written");
        let keyring = LocalKeyring::ephemeral().expect("a keyring");
        let journal = MemoryJournal::new().expect("a journal");
        let vault = Vault::builder(keyring, store).kinds(["customer"]).journal(journal).build().await.expect("a vault");
        // Its id has no room in a file's name: the slot is some folders deep.
        let tenant = vault.tenant(&TenantId::new("a".repeat(120)).expect("a tenant"));
        tenant.enroll(&customer("ada")).await.expect("keys");

        let durable = DURABLE.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (mut folders, mut slots) = (vec![place.clone()], 0);
        while let Some(folder) = folders.pop() {
            for path in entries(&folder).expect("a folder") {
                if path.ends_with("lock") {
                    continue;
                }
                assert!(durable.contains(&path), "{path:?} is gone after a power cut");
                slots += usize::from(path.extension().is_some_and(|kind| kind == "slot"));
                folders.extend(path.is_dir().then_some(path));
            }
        }
        assert!(slots >= 3, "the vault's, a tenant's, a subject's");
    }

    async fn place() -> tempfile::TempDir {
        tempfile::tempdir().expect("a folder")
    }

    async fn open(place: &tempfile::TempDir) -> FolderStore {
        FolderStore::open(place.path()).expect("it can be written")
    }

    async fn make() -> FolderStore {
        FolderStore::scratch().expect("it can be written")
    }

    #[async_trait]
    impl Damage for FolderStore {
        fn parts(&self) -> &'static [Part] {
            &[]
        }

        async fn change(&self, id: &SlotId, _: Part, bit: usize) {
            let file = self.file(id);
            let mut bytes = fs::read(&file).expect("a slot");
            bytes[bit / 8] ^= 1 << (bit % 8);
            fs::write(file, bytes).expect("it can be written");
        }

        async fn rename(&self, id: &SlotId, to: &[u8]) {
            let name: String = to.iter().map(|byte| format!("{byte:02x}")).collect();
            let file = self.folder.join("slots").join(name).with_extension("slot");
            fs::rename(self.file(id), file).expect("a slot");
        }
    }

    fieldseal_testkit::store_suite! { #[tokio::test] folder, make }
    fieldseal_testkit::damaged_store_suite! { #[tokio::test] damaged_folder, make }
    fieldseal_testkit::persistent_store_suite! { #[tokio::test] on_disk, place, open }
}

//! `FileJournal`: the suites; then what a crash leaves, what is damage, what is refused, and several processes.

use std::collections::BTreeSet;
use std::error::Error as _;
use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fieldseal::clock::Timestamp;
use fieldseal::error::{JournalError, JournalErrorKind};
use fieldseal::journal::{EntryAt, ErasureJournal, FileJournal, Head, JournalEntry, JournalEvent, JournalId};
use fieldseal::provider::LocalKeyring;
use fieldseal::store::{MemoryStore, Tag};
use fieldseal::{Error, TenantId, Vault};
use fieldseal_testkit::customer;
use tempfile::TempDir;

/// A journal and the folder that its file is in.
#[derive(Debug)]
struct InFolder {
    journal: FileJournal,
    _folder: TempDir,
}

#[async_trait]
impl ErasureJournal for InFolder {
    async fn id(&self) -> Result<JournalId, JournalError> {
        self.journal.id().await
    }

    async fn head(&self) -> Result<Head, JournalError> {
        self.journal.head().await
    }

    async fn append(&self, entry: &JournalEntry, expected: &Head) -> Result<Head, JournalError> {
        self.journal.append(entry, expected).await
    }

    async fn read(&self, from: u64, limit: usize) -> Result<Vec<JournalEntry>, JournalError> {
        self.journal.read(from, limit).await
    }

    async fn read_of(
        &self,
        tenant: Option<&TenantId>,
        tag: Option<&Tag>,
        up_to: &Head,
    ) -> Result<Vec<EntryAt>, JournalError> {
        self.journal.read_of(tenant, tag, up_to).await
    }
}

async fn in_folder() -> InFolder {
    let folder = folder().await;
    InFolder { journal: open(&folder).await, _folder: folder }
}

async fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

async fn open(folder: &TempDir) -> FileJournal {
    FileJournal::open(path(folder)).await.unwrap()
}

fn path(folder: &TempDir) -> PathBuf {
    folder.path().join("erasures")
}

fieldseal_testkit::journal_suite! { #[tokio::test] file_journal, in_folder }
fieldseal_testkit::journal_suite! { #[tokio::test(flavor = "multi_thread")] file_journal_on_threads, in_folder }
fieldseal_testkit::persistent_journal_suite! { #[tokio::test] file_journal_again, folder, open }

fn acme() -> TenantId {
    TenantId::new("acme").unwrap()
}

fn tag(n: u8) -> Tag {
    Tag::from_bytes([n; 16])
}

/// Told apart by its moment.
fn entry(n: u64) -> JournalEntry {
    JournalEntry::of_subject(Timestamp::from_millis(n), acme(), tag(1), JournalEvent::Held)
}

async fn append(journal: &FileJournal, entry: &JournalEntry) -> Head {
    journal.append(entry, &journal.head().await.unwrap()).await.unwrap()
}

async fn entries(journal: &FileJournal) -> Vec<JournalEntry> {
    journal.read(0, usize::MAX).await.unwrap()
}

/// As a file is put there by hand: private, in place.
fn put(path: &Path, bytes: &[u8]) {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).unwrap().write_all(bytes).unwrap();
}

/// The names in the folder, but for the lock file, which stays.
fn names(folder: &TempDir) -> Vec<String> {
    let names = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| !name.ends_with(".lock")).collect();
    names.sort();
    names
}

/// A journal of some entries: its bytes, and where its frames begin and the last one ends.
struct Sample {
    folder: TempDir,
    bytes: Vec<u8>,
    bounds: Vec<usize>,
}

async fn sample(count: u64) -> Sample {
    let folder = folder().await;
    let journal = open(&folder).await;
    let mut bounds = vec![fs::read(path(&folder)).unwrap().len()];
    for n in 0..count {
        append(&journal, &entry(n)).await;
        bounds.push(fs::read(path(&folder)).unwrap().len());
    }
    let bytes = fs::read(path(&folder)).unwrap();
    Sample { folder, bytes, bounds }
}

impl Sample {
    /// The frame of one more entry, not committed.
    async fn next(&self, n: u64) -> Vec<u8> {
        let other = folder().await;
        put(&path(&other), &self.bytes);
        append(&open(&other).await, &entry(n)).await;
        let mut frame = fs::read(path(&other)).unwrap().split_off(self.bytes.len());
        assert_eq!(frame[0], 1);
        frame[0] = 0;
        frame
    }

    async fn opens(&self, bytes: &[u8]) -> Result<FileJournal, JournalError> {
        put(&path(&self.folder), bytes);
        let opened = FileJournal::open(path(&self.folder)).await;
        if opened.is_err() {
            assert!(fs::read(path(&self.folder)).unwrap() == bytes, "a file that does not open stays as it is");
        }
        opened
    }
}

/// The offset that an error names.
fn offset(error: &JournalError) -> usize {
    let text = error.to_string();
    let (_, rest) = text.split_once("byte ").unwrap_or_else(|| panic!("no offset: {text}"));
    rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

// The file

#[tokio::test]
async fn an_empty_journal_is_a_header() {
    let folder = folder().await;
    let journal = open(&folder).await;
    let bytes = fs::read(path(&folder)).unwrap();
    assert_eq!(bytes.len(), 68);
    assert!(bytes.starts_with(b"fieldseal journal 1\n"));
    assert_eq!(&bytes[20..36], journal.id().await.unwrap().as_bytes());
    assert_eq!(names(&folder), ["erasures"]);
}

#[cfg(feature = "serde")]
#[tokio::test]
async fn the_same_entries_are_the_same_bytes() {
    let sample = sample(3).await;
    let file = fs::read(path(&sample.folder)).unwrap();
    let vector = include_str!("../../vectors/slots.json");
    let vector: serde_json::Value = serde_json::from_str(vector).unwrap();
    let unhex = |text: &serde_json::Value| -> Vec<u8> {
        let text = text.as_str().unwrap();
        (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
    };
    let theirs = unhex(&vector["journal_file"]["file"]);
    let journal = sample.opens(&theirs).await.unwrap();
    assert_eq!(journal.id().await.unwrap().as_bytes()[..], unhex(&vector["journal_file"]["id"]));
    let read = entries(&journal).await;
    assert_eq!(read.len(), 3);
    // Its header, and the same entries appended again.
    let journal = sample.opens(&theirs[..68]).await.unwrap();
    for entry in &read {
        append(&journal, entry).await;
    }
    assert_eq!(fs::read(path(&sample.folder)).unwrap(), theirs);
    assert_ne!(file, theirs);
}

#[tokio::test]
async fn a_changed_byte_is_found_at_its_offset() {
    let sample = sample(3).await;
    let last = sample.bounds[2];
    for at in 0..sample.bytes.len() {
        for change in [1, 0x20, 0x80] {
            let mut changed = sample.bytes.clone();
            changed[at] ^= change;
            match sample.opens(&changed).await {
                Err(error) => {
                    // The offset is where the frame, or the part of the header, begins.
                    let named = offset(&error);
                    let begin = sample.bounds.iter().copied().rfind(|bound| *bound <= at);
                    assert!(begin.map_or(named <= at, |begin| named == begin), "byte {at} ^ {change}: {error}");
                    let foreign = error.kind() == JournalErrorKind::Misconfigured && at < 18;
                    assert!(foreign || error.kind() == JournalErrorKind::Corrupt, "byte {at} ^ {change}: {error}");
                }
                Ok(journal) => {
                    // The commit of the last entry is all that can be lost without harm: it is made up for.
                    assert_eq!((at, change), (last, 1));
                    assert_eq!(entries(&journal).await.len(), 3);
                    assert_eq!(fs::read(path(&sample.folder)).unwrap(), sample.bytes);
                }
            }
        }
    }
}

#[tokio::test]
async fn a_changed_byte_of_an_unfinished_entry_costs_no_other_entry() {
    let sample = sample(2).await;
    let tail = sample.next(2).await;
    for tail in [&tail[..], &tail[..tail.len() - 1], &tail[..9]] {
        for at in 0..tail.len() {
            for change in [1, 0x20, 0x80] {
                let mut changed = [&sample.bytes[..], tail].concat();
                changed[sample.bytes.len() + at] ^= change;
                match sample.opens(&changed).await {
                    Err(error) => {
                        assert_eq!(error.kind(), JournalErrorKind::Corrupt);
                        assert_eq!(offset(&error), sample.bytes.len());
                    }
                    Ok(journal) => {
                        // To commit by a change is to commit the whole entry.
                        let count = if at == 0 && change == 1 { 3 } else { 2 };
                        assert_eq!(entries(&journal).await.len(), count, "byte {at} ^ {change} of {}", tail.len());
                    }
                }
            }
        }
    }
}

/// At the end of a committed frame nobody can tell: for that the key store pins the head.
#[tokio::test]
async fn a_file_cut_within_a_committed_entry_is_damaged() {
    let sample = sample(3).await;
    for len in 0..sample.bytes.len() {
        let opened = sample.opens(&sample.bytes[..len]).await;
        match sample.bounds.iter().position(|bound| *bound == len) {
            Some(count) => assert_eq!(entries(&opened.unwrap()).await.len(), count),
            None => {
                let error = opened.unwrap_err();
                assert_eq!(error.kind(), JournalErrorKind::Corrupt);
                let begin = sample.bounds.iter().copied().rfind(|bound| *bound < len).unwrap_or(len);
                assert_eq!(offset(&error), begin, "cut at {len}");
            }
        }
    }
}

// What a crash leaves

#[tokio::test]
async fn a_torn_entry_is_ignored_and_overwritten_by_the_next_append() {
    let sample = sample(2).await;
    let whole = sample.next(7).await;
    let zeros = [&whole[..5], &vec![0; whole.len() - 5]].concat();
    let mut wrong = whole.clone();
    *wrong.last_mut().unwrap() ^= 1;
    let torn = (1..whole.len()).map(|len| &whole[..len]).chain([&zeros[..], &zeros[..30], &wrong, &[0; 5]]);
    for tail in torn {
        let bytes = [&sample.bytes[..], tail].concat();
        let journal = sample.opens(&bytes).await.unwrap();
        let head = journal.head().await.unwrap();
        assert_eq!(head.position(), 2);
        assert_eq!(entries(&journal).await.len(), 2);
        assert_eq!(fs::read(path(&sample.folder)).unwrap(), bytes, "who only reads changes nothing");
        journal.append(&entry(7), &head).await.unwrap();
        let mut expected = [&sample.bytes[..], &whole].concat();
        expected[sample.bytes.len()] = 1;
        assert_eq!(fs::read(path(&sample.folder)).unwrap(), expected);
    }
}

#[tokio::test]
async fn a_torn_entry_longer_than_the_next_leaves_nothing_behind() {
    let sample = sample(1).await;
    let long = JournalEntry::of_tenant(
        Timestamp::from_millis(1),
        TenantId::new("t".repeat(1000)).unwrap(),
        JournalEvent::TenantErasureIntended { known: true },
    );
    let other = folder().await;
    put(&path(&other), &sample.bytes);
    append(&open(&other).await, &long).await;
    let mut bytes = fs::read(path(&other)).unwrap();
    bytes[sample.bytes.len()] = 0;
    bytes.pop();
    let journal = sample.opens(&bytes).await.unwrap();
    append(&journal, &entry(1)).await;
    append(&journal, &entry(2)).await;
    assert_eq!(entries(&open(&sample.folder).await).await, [entry(0), entry(1), entry(2)]);
}

#[tokio::test]
async fn an_uncommitted_whole_entry_is_finished_on_opening() {
    let sample = sample(2).await;
    let tail = sample.next(9).await;
    let mut expected = [&sample.bytes[..], &tail].concat();
    let journal = sample.opens(&expected.clone()).await.unwrap();
    expected[sample.bytes.len()] = 1;
    assert_eq!(fs::read(path(&sample.folder)).unwrap(), expected);
    assert_eq!(entries(&journal).await, [entry(0), entry(1), entry(9)]);
}

#[tokio::test]
async fn an_uncommitted_whole_entry_is_finished_by_the_next_append() {
    let sample = sample(2).await;
    let tail = sample.next(9).await;
    let journal = open(&sample.folder).await;
    let head = journal.head().await.unwrap();
    OpenOptions::new().append(true).open(path(&sample.folder)).unwrap().write_all(&tail).unwrap();

    assert_eq!(journal.head().await.unwrap(), head, "it is not committed");
    assert_eq!(entries(&journal).await.len(), 2);
    let error = journal.append(&entry(3), &head).await.unwrap_err();
    assert_eq!(error.kind(), JournalErrorKind::Conflict);
    let next = head.advanced_by(&entry(9));
    assert_eq!(journal.head().await.unwrap(), next);
    journal.append(&entry(3), &next).await.unwrap();
    assert_eq!(entries(&open(&sample.folder).await).await, [entry(0), entry(1), entry(9), entry(3)]);
}

#[tokio::test]
async fn what_no_crash_leaves_is_damage() {
    let sample = sample(2).await;
    let whole = sample.next(7).await;
    let mut committed = whole.clone();
    committed[0] = 1;
    let twice = [&sample.bytes[..], &committed, &committed].concat();
    assert_eq!(offset(&sample.opens(&twice).await.unwrap_err()), sample.bytes.len() + committed.len());
    for tail in [
        &[2][..],
        b"\nedited by hand\n",
        &[0; 6],
        &[0; 4096],
        &[0, 0, 1, 0, 1, 0, 0],
        &[&whole[..], &[0]].concat(),
        &[&whole[..], &committed].concat(),
    ] {
        let error = sample.opens(&[&sample.bytes[..], tail].concat()).await.unwrap_err();
        assert_eq!(error.kind(), JournalErrorKind::Corrupt);
        assert_eq!(offset(&error), sample.bytes.len());

        // The same where the file was open before: nothing is told of the damage, and nothing is appended.
        put(&path(&sample.folder), &sample.bytes);
        let journal = open(&sample.folder).await;
        let head = journal.head().await.unwrap();
        OpenOptions::new().append(true).open(path(&sample.folder)).unwrap().write_all(tail).unwrap();
        let before = fs::read(path(&sample.folder)).unwrap();
        assert_eq!(journal.head().await.unwrap_err().kind(), JournalErrorKind::Corrupt);
        assert_eq!(journal.append(&entry(3), &head).await.unwrap_err().kind(), JournalErrorKind::Corrupt);
        assert_eq!(fs::read(path(&sample.folder)).unwrap(), before);
        OpenOptions::new().write(true).open(path(&sample.folder)).unwrap().set_len(sample.bytes.len() as u64).unwrap();
        journal.append(&entry(3), &head).await.expect("once the damage is gone");
    }
}

#[tokio::test]
async fn damage_that_came_after_opening_is_found_by_who_reads_it() {
    let sample = sample(4).await;
    let journal = open(&sample.folder).await;
    let head = journal.head().await.unwrap();
    let middle = sample.bounds[1];
    for at in [middle, middle + 1, middle + 4, middle + 5, middle + 20, sample.bounds[2] - 1] {
        let mut changed = sample.bytes.clone();
        changed[at] ^= 1;
        put(&path(&sample.folder), &changed);
        assert_eq!(journal.read(2, 10).await.unwrap_or_default().len(), if at + 1 == sample.bounds[2] { 0 } else { 2 });
        assert_eq!(journal.read(0, 1).await.unwrap(), [entry(0)]);
        for error in [
            journal.read(0, 10).await.unwrap_err(),
            journal.read(1, 1).await.unwrap_err(),
            journal.read_of(Some(&acme()), Some(&tag(1)), &head).await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), JournalErrorKind::Corrupt);
            assert_eq!(offset(&error), middle, "byte {at}");
        }
    }
}

// Another file in its place

#[tokio::test]
async fn a_file_that_was_replaced_is_never_accepted() {
    let sample = sample(3).await;
    let file = path(&sample.folder);
    let journal = open(&sample.folder).await;
    let head = journal.head().await.unwrap();
    let other = self::sample(3).await;
    let aside = sample.folder.path().join("aside");
    for wrong in [&other.bytes, &sample.bytes[..sample.bounds[2]].to_vec(), &sample.bytes[..68].to_vec(), &sample.bytes]
    {
        // By another file, even if it is a copy: an open journal is one file.
        fs::rename(&file, &aside).unwrap();
        put(&file, wrong);
        gone_wrong(&journal, &head, JournalErrorKind::Corrupt).await;
        assert_eq!(&fs::read(&file).unwrap(), wrong);
        fs::rename(&aside, &file).unwrap();
        assert_eq!(journal.head().await.unwrap(), head, "the right one is back");
    }
    let mut longer = sample.bytes[..sample.bounds[2]].to_vec();
    longer.extend(sample.next(5).await);
    longer.extend(vec![0; 200]);
    for wrong in [&other.bytes, &sample.bytes[..sample.bounds[2]].to_vec(), &Vec::new(), &longer] {
        // By other bytes in the same file.
        put(&file, wrong);
        let error = gone_wrong(&journal, &head, JournalErrorKind::Corrupt).await;
        assert!(error.to_string().contains("put back"), "{error}");
        assert_eq!(&fs::read(&file).unwrap(), wrong);
    }
    put(&file, &sample.bytes);
    assert_eq!(journal.head().await.unwrap(), head);

    fs::rename(&file, &aside).unwrap();
    let error = gone_wrong(&journal, &head, JournalErrorKind::Misconfigured).await;
    assert!(error.to_string().contains("moved") && error.source().is_some(), "{error}");
    assert!(!file.exists(), "what is gone is not made anew");
    fs::rename(&aside, &file).unwrap();
    journal.append(&entry(3), &head).await.unwrap();
}

async fn gone_wrong(journal: &FileJournal, head: &Head, kind: JournalErrorKind) -> JournalError {
    for error in [
        journal.id().await.unwrap_err(),
        journal.read(0, 1).await.unwrap_err(),
        journal.read_of(None, None, head).await.unwrap_err(),
        journal.append(&entry(9), head).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), kind, "{error}");
    }
    journal.head().await.unwrap_err()
}

#[tokio::test]
async fn an_empty_journal_that_becomes_another_one_is_noticed() {
    let (sample, other) = (sample(0).await, sample(0).await);
    let journal = open(&sample.folder).await;
    put(&path(&sample.folder), &other.bytes);
    gone_wrong(&journal, &Head::EMPTY, JournalErrorKind::Corrupt).await;
}

// Opening

#[tokio::test]
async fn foreign_files_are_refused() {
    let sample = sample(0).await;
    for (bytes, kind, says) in [
        (&b""[..], JournalErrorKind::Corrupt, "empty"),
        (b"fieldseal jour", JournalErrorKind::Corrupt, "cut short"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", JournalErrorKind::Misconfigured, "not a journal"),
        (b"fieldseal keyring 1\nprotection: none\n", JournalErrorKind::Misconfigured, "not a journal"),
        (b"fieldseal journal 2\n", JournalErrorKind::NewerSchema, "later version"),
        (&[0; 300_000], JournalErrorKind::Misconfigured, "not a journal"),
    ] {
        let error = sample.opens(bytes).await.unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(error.to_string().contains(says), "{error}");
        assert!(!error.to_string().contains("PNG"), "what is in the file is not shown");
    }
}

#[tokio::test]
async fn what_is_no_file_is_told() {
    let folder = folder().await;
    for not_a_file in [folder.path().to_owned(), PathBuf::from("/"), PathBuf::from("/dev/null")] {
        let error = FileJournal::open(not_a_file).await.unwrap_err();
        assert_eq!(error.kind(), JournalErrorKind::Misconfigured);
        assert!(error.to_string().contains("not a file"), "{error}");
    }
    let error = FileJournal::open(folder.path().join("no/such/journal")).await.unwrap_err();
    assert_eq!(error.kind(), JournalErrorKind::Misconfigured);
    assert!(error.to_string().contains("directory") && error.source().is_some(), "{error}");
    let error = FileJournal::open("").await.unwrap_err();
    assert_eq!(error.kind(), JournalErrorKind::Misconfigured);
    put(&path(&folder), b"a file");
    let error = FileJournal::open(path(&folder).join("journal")).await.unwrap_err();
    assert_eq!(error.kind(), JournalErrorKind::Misconfigured);
    assert_eq!(names(&folder), ["erasures"]);
}

#[cfg(unix)]
#[tokio::test]
async fn a_pipe_is_refused_and_not_waited_for() {
    let folder = folder().await;
    if !Command::new("mkfifo").arg(path(&folder)).status().is_ok_and(|status| status.success()) {
        return;
    }
    let error = FileJournal::open(path(&folder)).await.unwrap_err();
    assert_eq!(error.kind(), JournalErrorKind::Misconfigured);
}

#[cfg(unix)]
#[tokio::test]
async fn a_symbolic_link_is_followed_and_stays() {
    let folder = folder().await;
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(path(&folder), &link).unwrap();
    let error = FileJournal::open(&link).await.unwrap_err();
    assert_eq!(error.kind(), JournalErrorKind::Misconfigured);
    assert!(error.to_string().contains("link"), "{error}");
    let journal = open(&folder).await;
    let linked = FileJournal::open(&link).await.unwrap();
    let head = append(&linked, &entry(1)).await;
    assert_eq!(journal.head().await.unwrap(), head);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(names(&folder), ["erasures", "link"]);
    assert!(folder.path().join("erasures.lock").exists(), "both have one lock");
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_others_may_use_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;

    let sample = sample(1).await;
    let file = path(&sample.folder);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&file), 0o600);
    assert_eq!(mode(&sample.folder.path().join("erasures.lock")), 0o600);
    for open in [0o640, 0o620, 0o604, 0o602, 0o644, 0o666] {
        fs::set_permissions(&file, fs::Permissions::from_mode(open)).unwrap();
        let error = FileJournal::open(&file).await.unwrap_err();
        assert_eq!(error.kind(), JournalErrorKind::Misconfigured);
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    FileJournal::open(&file).await.unwrap();
}

/// As anybody but root, whom no mode stops.
#[cfg(unix)]
#[tokio::test]
async fn a_file_that_can_not_be_written_is_told_when_it_is_opened() {
    use std::os::unix::fs::PermissionsExt as _;

    let sample = sample(1).await;
    fs::set_permissions(path(&sample.folder), fs::Permissions::from_mode(0o400)).unwrap();
    if OpenOptions::new().write(true).open(path(&sample.folder)).is_ok() {
        return;
    }
    let error = FileJournal::open(path(&sample.folder)).await.unwrap_err();
    assert_eq!(error.kind(), JournalErrorKind::Denied);
    assert!(error.to_string().contains("owns the file"), "{error}");
}

#[tokio::test]
async fn leftovers_of_a_crash_do_not_disturb() {
    let folder = folder().await;
    put(&folder.path().join("erasures.new"), b"fieldseal journal 1\n\0\0");
    append(&open(&folder).await, &entry(1)).await;
    assert_eq!(names(&folder), ["erasures"]);
}

#[tokio::test]
async fn nothing_of_an_entry_is_printed() {
    let sample = sample(2).await;
    let journal = open(&sample.folder).await;
    let mut printed = vec![format!("{journal:?}")];
    for at in [0, 30, 80, 110, sample.bytes.len() - 3] {
        let mut changed = sample.bytes.clone();
        changed[at] ^= 0x40;
        let error = sample.opens(&changed).await.unwrap_err();
        printed.push(format!("{error} {error:?}"));
    }
    assert!(printed.iter().all(|text| !text.contains("acme") && !text.contains("0101")), "{printed:?}");
}

// Calls

#[test]
fn every_future_can_move_between_threads() {
    fn is_send<T: Send>(_: T) {}
    is_send(FileJournal::open("a"));
    is_send(FileJournal::open(String::from("a")));
}

/// On a runtime of one thread, which a call that waited on it for the lock would stop.
#[tokio::test]
async fn waiting_for_another_process_blocks_no_reader() {
    let sample = sample(2).await;
    let journal = open(&sample.folder).await;
    let head = journal.head().await.unwrap();
    let lock = fs::File::open(sample.folder.path().join("erasures.lock")).unwrap();
    lock.lock().unwrap();
    let next = entry(2);
    let (appended, ()) = tokio::join!(journal.append(&next, &head), async {
        assert_eq!(journal.head().await.unwrap(), head, "nothing changes while another holds the lock");
        assert_eq!(entries(&journal).await.len(), 2);
        assert_eq!(entries(&open(&sample.folder).await).await.len(), 2);
        lock.unlock().unwrap();
    });
    assert_eq!(journal.head().await.unwrap(), appended.unwrap());
}

#[tokio::test]
async fn an_append_that_nobody_waits_for_is_made() {
    let sample = sample(0).await;
    let journal = open(&sample.folder).await;
    let next = entry(1);
    drop(journal.append(&next, &Head::EMPTY));
    assert_eq!(journal.head().await.unwrap(), Head::EMPTY, "nothing happens before the first poll");
    {
        let mut appending = journal.append(&next, &Head::EMPTY);
        let polled = std::future::poll_fn(|context| std::task::Poll::Ready(appending.as_mut().poll(context))).await;
        drop(polled);
    }
    for _ in 0..2000 {
        if journal.head().await.unwrap() == Head::EMPTY.advanced_by(&next) {
            return assert_eq!(entries(&open(&sample.folder).await).await, [next]);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("the entry was not appended");
}

// The vault

#[tokio::test]
async fn a_key_store_is_bound_to_its_file() {
    let [folder, other] = [folder().await, folder().await];
    let provider = LocalKeyring::ephemeral().unwrap();
    let store = Arc::new(MemoryStore::new());
    let build = async |folder: &TempDir| {
        let vault = Vault::builder(provider.clone(), store.clone())
            .kinds(["customer"])
            .journal(open(folder).await)
            .build()
            .await?;
        vault.tenant(&acme()).enroll(&customer(17)).await
    };
    build(&folder).await.unwrap();
    let head = open(&folder).await.head().await.unwrap();
    assert!(head.position() > 2, "the roots of vault and tenant, and an epoch");
    build(&folder).await.unwrap();
    assert_eq!(open(&folder).await.head().await.unwrap(), head, "nothing new happened");
    assert!(matches!(build(&other).await.unwrap_err(), Error::WrongJournal));
}

// Processes

/// Runs the test of this name in a process of its own, with the path of a journal.
fn child(test: &str, path: &Path, word: &str) -> Child {
    spawn(Command::new(std::env::current_exe().unwrap()), test, path, word)
}

fn spawn(mut program: Command, test: &str, path: &Path, word: &str) -> Child {
    program
        .args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"])
        .env(CHILD, path)
        .env(WORD, word)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

const CHILD: &str = "FIELDSEAL_TEST_JOURNAL";
const WORD: &str = "FIELDSEAL_TEST_WORD";
const APPENDED: &str = "appended ";

fn asked() -> Option<(PathBuf, u64)> {
    let path = std::env::var_os(CHILD)?;
    Some((path.into(), std::env::var(WORD).unwrap().parse().unwrap()))
}

/// By compare-and-swap, again and again; prints each once it is confirmed.
async fn append_some(path: &Path, numbers: std::ops::Range<u64>) {
    let journal = FileJournal::open(path).await.unwrap();
    for n in numbers {
        loop {
            let head = journal.head().await.unwrap();
            match journal.append(&entry(n), &head).await {
                Ok(_) => break println!("\n{APPENDED}{n}"),
                Err(error) => assert_eq!(error.kind(), JournalErrorKind::Conflict, "{error}"),
            }
        }
    }
}

/// What the child says it appended, as it says so, until it ends.
fn appended(child: &mut Child) -> impl Iterator<Item = u64> + use<> {
    let out = BufReader::new(child.stdout.take().unwrap());
    let lines = out.lines().map_while(Result::ok);
    lines.filter_map(|line| line.strip_prefix(APPENDED).and_then(|n| n.parse().ok()))
}

async fn moments(journal: &FileJournal) -> Vec<u64> {
    entries(journal).await.iter().map(|entry| entry.at().as_millis()).collect()
}

#[tokio::test]
#[ignore = "the child of `processes_that_append_at_once_lose_no_entry`"]
async fn child_appends() {
    let Some((path, first)) = asked() else { return };
    append_some(&path, first..first + 500).await;
}

#[tokio::test]
#[ignore = "the child of `a_killed_process_loses_no_entry_that_it_was_told_of`"]
async fn child_appends_until_killed() {
    let Some((path, first)) = asked() else { return };
    append_some(&path, first..u64::MAX).await;
}

#[tokio::test]
async fn processes_that_append_at_once_lose_no_entry() {
    let sample = sample(0).await;
    let mut children = ["0", "500"].map(|first| child("journal::file::child_appends", &path(&sample.folder), first));
    for (child, first) in children.iter_mut().zip([0, 500]) {
        assert!(appended(child).eq(first..first + 500));
        assert!(child.wait().unwrap().success());
    }
    let journal = open(&sample.folder).await;
    let mut stored = moments(&journal).await;
    // Each writer's own are in order; all of them are there once.
    assert!(stored.iter().filter(|n| **n < 500).is_sorted() && stored.iter().filter(|n| **n >= 500).is_sorted());
    stored.sort_unstable();
    assert_eq!(stored, (0..1000).collect::<Vec<_>>());
    assert_eq!(names(&sample.folder), ["erasures"]);
}

#[tokio::test]
async fn a_killed_process_loses_no_entry_that_it_was_told_of() {
    let sample = sample(0).await;
    let observer = open(&sample.folder).await;
    let mut all = BTreeSet::new();
    for round in 0..12 {
        let first = round * 1_000_000;
        let mut child = child("journal::file::child_appends_until_killed", &path(&sample.folder), &first.to_string());
        let mut confirmed = appended(&mut child);
        all.extend(confirmed.next());
        std::thread::sleep(Duration::from_micros(1700 * round));
        child.kill().unwrap();
        all.extend(confirmed);
        child.wait().unwrap();
        assert!(all.contains(&first), "the child was killed before it began");
        let journal = open(&sample.folder).await;
        append(&journal, &entry(first + 999_999)).await;
        all.insert(first + 999_999);
        let stored = moments(&journal).await;
        let unique: BTreeSet<_> = stored.iter().copied().collect();
        assert_eq!(unique.len(), stored.len(), "an entry is there twice");
        assert!(unique.is_superset(&all), "an entry is lost");
        // One more a round at most: the one under way.
        assert!(unique.len() <= all.len() + usize::try_from(round).unwrap() + 1);
        assert_eq!(observer.head().await.unwrap(), journal.head().await.unwrap());
        assert_eq!(names(&sample.folder), ["erasures"]);
    }
}

/// A limit on the size of files is as good as a full disk: a write lands in part, the next not at all.
#[cfg(unix)]
#[tokio::test]
async fn an_append_that_does_not_fit_leaves_the_journal_usable() {
    let sample = sample(3).await;
    let mut shell = Command::new("sh");
    let program = std::env::current_exe().unwrap();
    shell.args(["-c", "trap '' XFSZ; ulimit -f 8 || exit; exec \"$0\" \"$@\""]).arg(program);
    let mut child = spawn(shell, "journal::file::child_fills_the_disk", &path(&sample.folder), "0");
    let appended: Vec<_> = appended(&mut child).collect();
    assert!(child.wait().unwrap().success());
    let journal = open(&sample.folder).await;
    assert_eq!(moments(&journal).await, [vec![0, 1, 2], appended].concat());
    append(&journal, &entry(1)).await;
}

#[tokio::test]
#[ignore = "the child of `an_append_that_does_not_fit_leaves_the_journal_usable`"]
async fn child_fills_the_disk() {
    let Some((path, _)) = asked() else { return };
    let journal = FileJournal::open(&path).await.unwrap();
    let tenant = TenantId::new("t".repeat(600)).unwrap();
    let mut failed = 0;
    for n in 10..100 {
        let long = JournalEntry::of_subject(Timestamp::from_millis(n), tenant.clone(), tag(1), JournalEvent::Held);
        let head = journal.head().await.unwrap();
        let entry = if failed == 0 { long } else { entry(n) };
        match journal.append(&entry, &head).await {
            Ok(_) => println!("\n{APPENDED}{n}"),
            Err(error) => {
                assert_eq!(error.kind(), JournalErrorKind::Unavailable);
                assert!(error.to_string().contains("append") && error.source().is_some(), "{error}");
                assert_eq!(journal.head().await.unwrap(), head);
                assert_eq!(entries(&FileJournal::open(&path).await.unwrap()).await, entries(&journal).await);
                failed += 1;
            }
        }
        // Once a long one doesn't fit, a short one may.
        if failed == 2 {
            return;
        }
    }
    panic!("the disk never was full");
}

//! The local keyring on disk: what survives, what is refused, what is never overwritten.

use std::collections::BTreeSet;
use std::error::Error as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fieldseal::id::TenantId;
use fieldseal::provider::{
    Destruction, KeyMaterial, KeyringOptions, LocalKeyring, MasterKeyId, MasterKeyProvider, MasterKeyState, Passphrase,
    ProviderError, ProviderErrorKind, WrapContext, WrappedKey,
};
use fieldseal::store::Epoch;
use tempfile::TempDir;

const PASSPHRASE: &str = "correct horse battery staple";

struct Dir(TempDir);

impl Dir {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("keys")
    }

    /// The names in it, but for the lock file, which stays.
    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(self.0.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| !name.ends_with(".lock")).collect();
        names.sort();
        names
    }
}

fn with(passphrase: &str) -> KeyringOptions {
    KeyringOptions::new().passphrase(Passphrase::new(passphrase).unwrap()).argon2_memory_kib(8192).argon2_passes(1)
}

async fn wrap(keyring: &LocalKeyring) -> (KeyMaterial, WrapContext, WrappedKey) {
    let key = KeyMaterial::generate().unwrap();
    let context = WrapContext::epoch_key(TenantId::new("acme").unwrap(), Epoch::FIRST, key.id());
    let wrapped = keyring.wrap_key(&key, &context).await.unwrap();
    (key, context, wrapped)
}

async fn opens(keyring: &LocalKeyring, (key, context, wrapped): &(KeyMaterial, WrapContext, WrappedKey)) {
    assert_eq!(keyring.unwrap_key(wrapped, context).await.unwrap().expose(), key.expose());
}

async fn kind_of(
    keyring: &LocalKeyring,
    (_, context, wrapped): &(KeyMaterial, WrapContext, WrappedKey),
) -> ProviderErrorKind {
    keyring.unwrap_key(wrapped, context).await.unwrap_err().kind()
}

async fn ids(keyring: &LocalKeyring) -> Vec<MasterKeyId> {
    keyring.keys().await.unwrap().iter().map(|key| key.id().clone()).collect()
}

/// As a file is put there by hand: private, in place.
fn put(path: &Path, bytes: &[u8]) {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).unwrap().write_all(bytes).unwrap();
}

async fn refused(path: &Path) -> ProviderError {
    let before = fs::read(path).unwrap();
    let error = LocalKeyring::open(path).await.unwrap_err();
    assert!(fs::read(path).unwrap() == before, "a file that does not open stays as it is");
    error
}

#[tokio::test]
async fn keys_survive_in_the_file() {
    let dir = Dir::new();
    let keyring = LocalKeyring::generate(dir.path()).await.unwrap();
    let first = wrap(&keyring).await;
    let added = keyring.add_key().await.unwrap();
    let second = wrap(&keyring).await;
    assert_eq!(second.2.master(), &added);
    drop(keyring);

    let again = LocalKeyring::open(dir.path()).await.unwrap();
    assert_eq!(again.current().await.unwrap(), added);
    opens(&again, &first).await;
    opens(&again, &second).await;
    assert_eq!(dir.names(), ["keys"]);

    let other_dir = Dir::new();
    let other = LocalKeyring::generate(other_dir.path()).await.unwrap();
    assert_eq!(kind_of(&other, &first).await, ProviderErrorKind::UnknownKey);
}

#[tokio::test]
async fn keys_survive_under_a_passphrase() {
    let dir = Dir::new();
    let keyring = with(PASSPHRASE).generate(dir.path()).await.unwrap();
    let first = wrap(&keyring).await;
    keyring.add_key().await.unwrap();
    let second = wrap(&keyring).await;
    drop(keyring);

    let again = with(PASSPHRASE).open(dir.path()).await.unwrap();
    opens(&again, &first).await;
    opens(&again, &second).await;
    let text = fs::read_to_string(dir.path()).unwrap();
    assert!(text.contains("protection: argon2id m=8192 t=1 p=1 salt="), "the costs asked for are the file's");
}

/// Files and an envelope made by another implementation, from `docs/format.md` alone: `tests/vectors/keyring.py`.
#[tokio::test]
async fn files_of_version_1_open() {
    let key = KeyMaterial::from_slice(&std::array::from_fn::<u8, 32, _>(|i| 0x80 + i as u8)).unwrap();
    let wrapped = include_str!("../keyring/v1-wrapped.txt").trim_end();
    let wrapped = (0..wrapped.len() / 2).map(|i| u8::from_str_radix(&wrapped[2 * i..2 * i + 2], 16).unwrap());
    let master = MasterKeyId::new("local-0011223344556688").unwrap();
    let wrapped = WrappedKey::new(master, wrapped.collect::<Vec<_>>()).unwrap();
    let [right, wrong] = [7, 8]
        .map(|epoch| WrapContext::epoch_key(TenantId::new("acme").unwrap(), Epoch::new(epoch).unwrap(), key.id()));

    for (text, options) in [
        (include_str!("../keyring/v1-none.txt"), KeyringOptions::new()),
        (
            include_str!("../keyring/v1-argon2id.txt"),
            KeyringOptions::new().passphrase(Passphrase::new("pässword").unwrap()),
        ),
    ] {
        let dir = Dir::new();
        put(&dir.path(), text.as_bytes());
        let keyring = options.open(dir.path()).await.unwrap();
        assert_eq!(keyring.current().await.unwrap().as_str(), "local-0011223344556699");
        assert_eq!(keyring.unwrap_key(&wrapped, &right).await.unwrap().expose(), key.expose());
        let error = keyring.unwrap_key(&wrapped, &wrong).await.unwrap_err();
        assert_eq!(error.kind(), ProviderErrorKind::Authentication);
        assert!(matches!(
            keyring.keys().await.unwrap()[0].state(),
            MasterKeyState::Destroyed { at } if at.as_millis() == 1_795_400_000_000
        ));
    }
}

#[tokio::test]
async fn keys_are_listed_with_their_state() {
    let dir = Dir::new();
    let keyring = LocalKeyring::generate(dir.path()).await.unwrap();
    let first = keyring.current().await.unwrap();
    let second = keyring.add_key().await.unwrap();
    let third = keyring.add_key().await.unwrap();
    keyring.destroy_key(&first).await.unwrap();
    let keys = LocalKeyring::open(dir.path()).await.unwrap().keys().await.unwrap();
    assert_eq!(keys, keyring.keys().await.unwrap());
    assert_eq!(keys.iter().map(|k| k.id()).collect::<Vec<_>>(), [&first, &second, &third]);
    assert!(matches!(keys[0].state(), MasterKeyState::Destroyed { at } if at >= keys[0].created()));
    assert_eq!(keys[1].state(), MasterKeyState::Available);
    assert_eq!(keys[2].state(), MasterKeyState::Current);
    assert!(keys[0].created().as_millis() > 1_600_000_000_000);
    for id in [first, second, third] {
        let digits = id.as_str().strip_prefix("local-").unwrap();
        assert!(digits.len() == 16 && digits.bytes().all(|b| b.is_ascii_hexdigit()));
    }
}

#[tokio::test]
async fn a_destroyed_key_stays_destroyed() {
    let dir = Dir::new();
    let keyring = LocalKeyring::generate(dir.path()).await.unwrap();
    let old = wrap(&keyring).await;
    let error = keyring.destroy_key(old.2.master()).await.unwrap_err();
    assert_eq!(error.kind(), ProviderErrorKind::Misconfigured);
    assert!(error.to_string().contains("add a key first"));
    opens(&keyring, &old).await;

    keyring.add_key().await.unwrap();
    let new = wrap(&keyring).await;
    for _ in 0..2 {
        let Destruction::DestroyedHere { copies } = keyring.destroy_key(old.2.master()).await.unwrap() else {
            panic!("a file can have copies");
        };
        assert!(copies.iter().any(|c| c.contains("backups")) && copies.iter().any(|c| c.contains("blocks")));
    }
    assert_eq!(kind_of(&keyring, &old).await, ProviderErrorKind::KeyDestroyed);

    let again = LocalKeyring::open(dir.path()).await.unwrap();
    assert_eq!(kind_of(&again, &old).await, ProviderErrorKind::KeyDestroyed);
    opens(&again, &new).await;
    again.destroy_key(old.2.master()).await.unwrap();
    let line = fs::read_to_string(dir.path()).unwrap();
    let line = line.lines().find(|line| line.contains(old.2.master().as_str())).unwrap();
    assert!(line.contains(" destroyed=") && line.ends_with(" -"), "the key is gone from the file");
}

#[tokio::test]
async fn an_ephemeral_key_is_destroyed_for_good() {
    let keyring = LocalKeyring::ephemeral().unwrap();
    let first = keyring.current().await.unwrap();
    keyring.add_key().await.unwrap();
    assert_eq!(keyring.destroy_key(&first).await.unwrap(), Destruction::Destroyed);
    assert_ne!(keyring.current().await.unwrap(), first);
}

#[tokio::test]
async fn another_handle_sees_what_was_changed() {
    let dir = Dir::new();
    let one = LocalKeyring::generate(dir.path()).await.unwrap();
    let two = LocalKeyring::open(dir.path()).await.unwrap();
    let old = wrap(&two).await;
    let added = one.add_key().await.unwrap();
    let new = wrap(&one).await;
    opens(&two, &new).await;
    assert_eq!(two.current().await.unwrap(), added);
    one.destroy_key(old.2.master()).await.unwrap();
    assert_eq!(kind_of(&two, &old).await, ProviderErrorKind::KeyDestroyed);
    assert_eq!(wrap(&two).await.2.master(), &added);
}

#[tokio::test]
async fn generating_never_replaces_a_file() {
    let dir = Dir::new();
    let keyring = LocalKeyring::generate(dir.path()).await.unwrap();
    let before = fs::read(dir.path()).unwrap();
    for error in [
        LocalKeyring::generate(dir.path()).await.unwrap_err(),
        with(PASSPHRASE).generate(dir.path()).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ProviderErrorKind::Misconfigured);
        assert!(error.to_string().contains("is there already"));
    }
    assert_eq!(fs::read(dir.path()).unwrap(), before);
    opens(&keyring, &wrap(&keyring).await).await;

    let empty = Dir::new();
    put(&empty.path(), b"");
    LocalKeyring::generate(empty.path()).await.unwrap_err();
    assert_eq!(fs::read(empty.path()).unwrap(), b"");
}

#[tokio::test]
async fn a_missing_file_or_directory_is_told() {
    let dir = Dir::new();
    let error = LocalKeyring::open(dir.path()).await.unwrap_err();
    assert_eq!(error.kind(), ProviderErrorKind::Misconfigured);
    assert!(error.to_string().contains("once: `LocalKeyring::generate`"));
    assert!(error.source().is_some());
    let error = LocalKeyring::generate(dir.0.path().join("no/such/keys")).await.unwrap_err();
    assert_eq!(error.kind(), ProviderErrorKind::Misconfigured);
    for not_a_file in [dir.0.path().to_owned(), PathBuf::from("/"), PathBuf::from("/dev/null")] {
        let error = LocalKeyring::open(not_a_file).await.unwrap_err();
        assert_eq!(error.kind(), ProviderErrorKind::Misconfigured);
    }
    assert!(dir.names().is_empty());
}

#[tokio::test]
async fn foreign_files_are_refused() {
    let dir = Dir::new();
    for (bytes, kind, says) in [
        (&b""[..], ProviderErrorKind::Corrupt, "empty"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", ProviderErrorKind::Misconfigured, "not a keyring file"),
        (b"{\"keys\": []}\n", ProviderErrorKind::Misconfigured, "not a keyring file"),
        (b"fieldseal keyring 2\nprotection: none\n", ProviderErrorKind::Misconfigured, "later version"),
        (&[0; 300_000], ProviderErrorKind::Misconfigured, "too large"),
    ] {
        put(&dir.path(), bytes);
        let error = refused(&dir.path()).await;
        assert_eq!(error.kind(), kind);
        assert!(error.to_string().contains(says), "{error}");
        assert!(!error.to_string().contains("PNG"), "what is in the file is not shown");
    }
}

/// Two keys, one destroyed, and what a later process must find damaged.
async fn sample(options: KeyringOptions) -> (Dir, Vec<u8>) {
    let dir = Dir::new();
    let keyring = options.generate(dir.path()).await.unwrap();
    let first = keyring.current().await.unwrap();
    keyring.add_key().await.unwrap();
    keyring.add_key().await.unwrap();
    keyring.destroy_key(&first).await.unwrap();
    let bytes = fs::read(dir.path()).unwrap();
    (dir, bytes)
}

#[tokio::test]
async fn a_file_cut_at_any_byte_is_corrupt() {
    for options in [KeyringOptions::new(), with(PASSPHRASE)] {
        let (dir, bytes) = sample(options).await;
        for len in 0..bytes.len() {
            put(&dir.path(), &bytes[..len]);
            assert_eq!(refused(&dir.path()).await.kind(), ProviderErrorKind::Corrupt, "cut at {len}");
        }
    }
}

#[tokio::test]
async fn a_file_changed_in_any_byte_is_refused() {
    let (dir, bytes) = sample(KeyringOptions::new()).await;
    let first_line = bytes.iter().position(|b| *b == b'\n').unwrap();
    for at in 0..bytes.len() {
        for change in [1, 0x20, 0x80] {
            let mut changed = bytes.clone();
            changed[at] ^= change;
            put(&dir.path(), &changed);
            let kind = refused(&dir.path()).await.kind();
            assert!(kind == ProviderErrorKind::Corrupt || at < first_line, "byte {at} ^ {change}: {kind:?}");
        }
    }
}

#[tokio::test]
async fn a_protected_file_changed_in_any_byte_is_refused() {
    let (dir, bytes) = sample(with(PASSPHRASE)).await;
    let line_end = |n| bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| i).nth(n).unwrap();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        put(&dir.path(), &changed);
        let kind = with(PASSPHRASE).open(dir.path()).await.unwrap_err().kind();
        // What the passphrase key is made of, and a wrong passphrase, look alike.
        let expected = match at {
            _ if at <= line_end(0) => kind == ProviderErrorKind::Misconfigured || kind == ProviderErrorKind::Corrupt,
            _ if at <= line_end(1) => kind == ProviderErrorKind::Denied || kind == ProviderErrorKind::Corrupt,
            _ => kind == ProviderErrorKind::Corrupt,
        };
        assert!(expected, "byte {at}: {kind:?}");
        assert!(fs::read(dir.path()).unwrap() == changed);
    }
}

/// The hash of an unprotected file is no secret; the MAC of a protected one can't be made without the passphrase, and a
/// wrapped key is bound to its line.
#[tokio::test]
async fn keys_of_a_protected_file_can_not_change_places() {
    let (dir, bytes) = sample(with(PASSPHRASE)).await;
    let text = String::from_utf8(bytes).unwrap();
    let wrapped: Vec<_> = text.lines().filter_map(|line| line.rsplit(' ').next().filter(|w| w.len() == 131)).collect();
    let [a, b] = wrapped[..] else { panic!("two keys are left") };
    put(&dir.path(), text.replace(a, "#").replace(b, a).replace('#', b).as_bytes());
    assert_eq!(with(PASSPHRASE).open(dir.path()).await.unwrap_err().kind(), ProviderErrorKind::Corrupt);
}

#[tokio::test]
async fn each_wrong_use_of_a_passphrase_is_told_apart() {
    let (protected, _) = sample(with(PASSPHRASE)).await;
    let (unprotected, _) = sample(KeyringOptions::new()).await;
    with(PASSPHRASE).open(protected.path()).await.unwrap();
    let wrong = with("correct horse battery stable").open(protected.path()).await.unwrap_err();
    let missing = LocalKeyring::open(protected.path()).await.unwrap_err();
    let superfluous = with(PASSPHRASE).open(unprotected.path()).await.unwrap_err();
    assert_eq!(wrong.kind(), ProviderErrorKind::Denied);
    assert_eq!(missing.kind(), ProviderErrorKind::Misconfigured);
    assert_eq!(superfluous.kind(), ProviderErrorKind::Misconfigured);
    let messages: BTreeSet<_> = [&wrong, &missing, &superfluous].map(ToString::to_string).into();
    assert_eq!(messages.len(), 3);
    assert!(messages.iter().all(|message| message.contains("passphrase") && !message.contains("horse")));
}

#[tokio::test]
async fn argon2_costs_out_of_bounds_are_refused() {
    let dir = Dir::new();
    for options in [
        with(PASSPHRASE).argon2_memory_kib(8191),
        with(PASSPHRASE).argon2_memory_kib(1024 * 1024 + 1),
        with(PASSPHRASE).argon2_passes(0),
        with(PASSPHRASE).argon2_passes(17),
        with(PASSPHRASE).argon2_lanes(0),
        with(PASSPHRASE).argon2_lanes(17),
    ] {
        assert_eq!(options.generate(dir.path()).await.unwrap_err().kind(), ProviderErrorKind::Misconfigured);
    }
    assert!(dir.names().is_empty());
}

#[tokio::test]
async fn a_damaged_file_is_never_overwritten() {
    let (dir, bytes) = sample(KeyringOptions::new()).await;
    let keyring = LocalKeyring::open(dir.path()).await.unwrap();
    let held = wrap(&keyring).await;
    let old = ids(&keyring).await[1].clone();
    for damaged in [&bytes[..bytes.len() / 2], b"", b"something else entirely"] {
        put(&dir.path(), damaged);
        keyring.add_key().await.unwrap_err();
        keyring.destroy_key(&old).await.unwrap_err();
        keyring.current().await.unwrap_err();
        assert_eq!(fs::read(dir.path()).unwrap(), damaged);
        opens(&keyring, &held).await;
        let (key, context, _) = &held;
        keyring.wrap_key(key, context).await.expect_err("nothing is wrapped under a key whose file is not sound");
    }
    put(&dir.path(), &bytes);
    keyring.add_key().await.unwrap();
    assert_eq!(dir.names(), ["keys"]);
}

#[tokio::test]
async fn an_older_file_is_refused_while_the_newer_is_known() {
    let dir = Dir::new();
    let keyring = LocalKeyring::generate(dir.path()).await.unwrap();
    let first = keyring.current().await.unwrap();
    let old = fs::read(dir.path()).unwrap();
    keyring.add_key().await.unwrap();
    let between = fs::read(dir.path()).unwrap();
    keyring.destroy_key(&first).await.unwrap();
    let newest = fs::read(dir.path()).unwrap();
    let other = Dir::new();
    LocalKeyring::generate(other.path()).await.unwrap();
    for wrong in [old, between, fs::read(other.path()).unwrap()] {
        put(&dir.path(), &wrong);
        for error in [keyring.add_key().await.unwrap_err(), keyring.current().await.unwrap_err()] {
            assert_eq!(error.kind(), ProviderErrorKind::Corrupt);
        }
        assert_eq!(fs::read(dir.path()).unwrap(), wrong);
    }
    put(&dir.path(), &newest);
    assert_eq!(keyring.keys().await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_removed_file_is_not_made_anew() {
    let dir = Dir::new();
    let keyring = LocalKeyring::generate(dir.path()).await.unwrap();
    let held = wrap(&keyring).await;
    fs::remove_file(dir.path()).unwrap();
    assert_eq!(keyring.add_key().await.unwrap_err().kind(), ProviderErrorKind::Misconfigured);
    keyring.current().await.unwrap_err();
    opens(&keyring, &held).await;
    assert!(dir.names().is_empty());
}

#[tokio::test]
async fn leftovers_of_a_crash_do_not_disturb() {
    let dir = Dir::new();
    let keyring = LocalKeyring::generate(dir.path()).await.unwrap();
    let leftover = dir.0.path().join("keys.new");
    put(&leftover, b"fieldseal keyring 1\nprotection: no");
    LocalKeyring::open(dir.path()).await.unwrap();
    keyring.add_key().await.unwrap();
    assert_eq!(dir.names(), ["keys"]);

    let dir = Dir::new();
    put(&dir.0.path().join("keys.new"), b"half");
    LocalKeyring::generate(dir.path()).await.unwrap();
    assert_eq!(dir.names(), ["keys"]);
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_others_may_use_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;

    let dir = Dir::new();
    let keyring = LocalKeyring::generate(dir.path()).await.unwrap();
    let mode = |mode| fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
    assert_eq!(fs::metadata(dir.path()).unwrap().permissions().mode() & 0o777, 0o600);
    keyring.add_key().await.unwrap();
    assert_eq!(fs::metadata(dir.path()).unwrap().permissions().mode() & 0o777, 0o600);
    for open in [0o640, 0o620, 0o604, 0o602, 0o644, 0o666] {
        mode(open);
        for error in [refused(&dir.path()).await, keyring.add_key().await.unwrap_err()] {
            assert_eq!(error.kind(), ProviderErrorKind::Misconfigured);
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
    }
    for private in [0o600, 0o400] {
        mode(private);
        LocalKeyring::open(dir.path()).await.unwrap();
    }
}

/// Runs as root alone: nobody else can give a file away.
#[cfg(unix)]
#[tokio::test]
async fn a_change_by_root_does_not_take_the_file_from_its_owner() {
    let dir = Dir::new();
    let keyring = LocalKeyring::generate(dir.path()).await.unwrap();
    if std::os::unix::fs::chown(dir.path(), Some(12345), None).is_err() {
        return;
    }
    let before = fs::read(dir.path()).unwrap();
    assert_eq!(keyring.add_key().await.unwrap_err().kind(), ProviderErrorKind::Denied);
    assert_eq!(fs::read(dir.path()).unwrap(), before);
    assert_eq!(dir.names(), ["keys"]);
}

#[cfg(unix)]
#[tokio::test]
async fn a_symbolic_link_is_followed_and_stays() {
    let dir = Dir::new();
    let link = dir.0.path().join("link");
    std::os::unix::fs::symlink(dir.path(), &link).unwrap();
    LocalKeyring::generate(&link).await.expect_err("a link that leads nowhere is not replaced");
    let keyring = LocalKeyring::generate(dir.path()).await.unwrap();
    let linked = LocalKeyring::open(&link).await.unwrap();
    let added = linked.add_key().await.unwrap();
    assert_eq!(keyring.current().await.unwrap(), added);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(dir.names(), ["keys", "link"]);
}

#[tokio::test]
async fn no_secret_is_printed() {
    for options in [KeyringOptions::new(), with(PASSPHRASE)] {
        let (dir, bytes) = sample(options).await;
        let text = String::from_utf8(bytes).unwrap();
        let secrets: Vec<_> =
            text.lines().filter_map(|line| line.rsplit(' ').next()).filter(|w| w.len() > 40).collect();
        let mut printed = Vec::new();
        let options = || if text.contains("argon2id") { with(PASSPHRASE) } else { KeyringOptions::new() };
        printed.push(format!("{:?}", options()));
        let keyring = options().open(dir.path()).await.unwrap();
        printed.push(format!("{keyring:?} {:?}", keyring.keys().await.unwrap()));
        for len in [0, 30, text.len() / 2, text.len() - 1] {
            put(&dir.path(), &text.as_bytes()[..len]);
            let mut error: Option<&dyn std::error::Error> = Some(&keyring.add_key().await.unwrap_err());
            while let Some(e) = error {
                printed.push(format!("{e} {e:?}"));
                error = e.source();
            }
        }
        for text in printed {
            assert!(!text.contains(PASSPHRASE));
            assert!(!secrets.iter().any(|secret| text.contains(&secret[..8])), "{text}");
        }
    }
}

#[tokio::test]
async fn changes_in_one_process_lose_nothing() {
    let dir = Dir::new();
    let one = LocalKeyring::generate(dir.path()).await.unwrap();
    let two = LocalKeyring::open(dir.path()).await.unwrap();
    let mut tasks = Vec::new();
    for keyring in [&one, &two, &one, &two, &one, &two] {
        let keyring = keyring.clone();
        tasks.push(tokio::spawn(async move { keyring.add_key().await.unwrap() }));
    }
    for task in tasks {
        let id = task.await.unwrap();
        assert!(ids(&one).await.contains(&id));
    }
    assert_eq!(ids(&two).await.len(), 7);
}

/// On a runtime of one thread, which a call that waited on it for the lock would stop.
#[tokio::test]
async fn waiting_for_another_process_blocks_no_executor() {
    let dir = Dir::new();
    let keyring = LocalKeyring::generate(dir.path()).await.unwrap();
    let held = wrap(&keyring).await;
    let lock = fs::File::open(dir.0.path().join("keys.lock")).unwrap();
    lock.lock().unwrap();
    let (added, ()) = tokio::join!(keyring.add_key(), async {
        opens(&keyring, &held).await;
        assert_eq!(keyring.keys().await.unwrap().len(), 1, "nothing changes while another holds the lock");
        lock.unlock().unwrap();
    });
    assert_eq!(keyring.current().await.unwrap(), added.unwrap());
}

#[test]
fn every_future_can_move_between_threads() {
    fn is_send<T: Send>(_: T) {}
    let keyring = LocalKeyring::ephemeral().unwrap();
    let id = MasterKeyId::new("local").unwrap();
    is_send(LocalKeyring::generate("a"));
    is_send(LocalKeyring::open(String::from("a")));
    is_send(with(PASSPHRASE).generate(Path::new("a")));
    is_send(with(PASSPHRASE).open(PathBuf::from("a")));
    is_send(keyring.add_key());
    is_send(keyring.keys());
    is_send(keyring.destroy_key(&id));
}

#[tokio::test]
async fn a_change_that_nobody_waits_for_is_made() {
    let dir = Dir::new();
    let keyring = LocalKeyring::generate(dir.path()).await.unwrap();
    {
        let mut adding = Box::pin(keyring.add_key());
        let polled = std::future::poll_fn(|context| std::task::Poll::Ready(adding.as_mut().poll(context))).await;
        drop(polled);
    }
    for _ in 0..2000 {
        if keyring.keys().await.unwrap().len() == 2 {
            return opens(&keyring, &wrap(&keyring).await).await;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("the key was not added");
}

/// Runs the test of this name in a process of its own, with the path of a keyring.
fn child(test: &str, path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"])
        .env(CHILD, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

const CHILD: &str = "FIELDSEAL_TEST_KEYRING";
const ADDED: &str = "added ";

/// Prints the id of each key once it is confirmed.
async fn add_keys(path: &Path, count: usize) {
    let keyring = LocalKeyring::open(path).await.unwrap();
    for _ in 0..count {
        let id = keyring.add_key().await.unwrap();
        println!("\n{ADDED}{id}");
    }
}

fn added(child: &mut Child) -> Vec<String> {
    let out = BufReader::new(child.stdout.take().unwrap());
    let lines = out.lines().map_while(Result::ok);
    lines.filter_map(|line| line.strip_prefix(ADDED).map(str::to_owned)).collect()
}

#[tokio::test]
#[ignore = "the child of `processes_that_add_keys_at_once_lose_none`"]
async fn child_adds_keys() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    add_keys(Path::new(&path), 20).await;
}

#[tokio::test]
#[ignore = "the child of `a_killed_process_leaves_a_sound_file`"]
async fn child_adds_keys_until_killed() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    add_keys(Path::new(&path), 900).await;
}

#[tokio::test]
async fn processes_that_add_keys_at_once_lose_none() {
    let dir = Dir::new();
    let keyring = LocalKeyring::generate(dir.path()).await.unwrap();
    // Before the others add theirs: one of those would be current.
    let mut expected: BTreeSet<String> = BTreeSet::from([keyring.current().await.unwrap().as_str().to_owned()]);
    let mut children = [(); 3].map(|()| child("keyring::child_adds_keys", &dir.path()));
    for _ in 0..20 {
        expected.insert(keyring.add_key().await.unwrap().as_str().to_owned());
    }
    for child in &mut children {
        let ids = added(child);
        assert!(child.wait().unwrap().success());
        assert_eq!(ids.len(), 20);
        expected.extend(ids);
    }
    assert_eq!(expected.len(), 81);
    let stored = ids(&LocalKeyring::open(dir.path()).await.unwrap()).await;
    assert_eq!(stored.iter().map(|id| id.as_str().to_owned()).collect::<BTreeSet<_>>(), expected);
    assert_eq!(dir.names(), ["keys"]);
}

#[tokio::test]
async fn a_killed_process_leaves_a_sound_file() {
    for round in 0..8 {
        // Each time another: on a fast disk a child makes nearly as many keys as a keyring takes.
        let dir = Dir::new();
        LocalKeyring::generate(dir.path()).await.unwrap();
        let mut child = child("keyring::child_adds_keys_until_killed", &dir.path());
        std::thread::sleep(Duration::from_millis(60 + 7 * round));
        child.kill().unwrap();
        let confirmed = added(&mut child);
        child.wait().unwrap();
        let keyring = LocalKeyring::open(dir.path()).await.unwrap();
        let stored = ids(&keyring).await;
        assert!(confirmed.iter().all(|id| stored.iter().any(|s| s.as_str() == id)), "a confirmed key is lost");
        keyring.add_key().await.unwrap();
        assert_eq!(dir.names(), ["keys"]);
    }
}

//! The keyring file on disk: locked, read, created and replaced. Blocking; runs on a thread of our own.
//!
//! A file is never written in place. What is new is written to `<file>.new`, synced, and given the file's name in one
//! step, so that a crash leaves the old file or the new one. `<file>.lock` is held meanwhile; it stays, because removing
//! a lock file lets two hold "the" lock.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use super::format::MAX_FILE_LEN;
use crate::crypto::buf::WipingBuf;
use crate::error::{ProviderError, ProviderErrorKind};

/// Where a keyring file is, and what lies beside it.
#[derive(Debug)]
pub(super) struct Place {
    dir: PathBuf,
    file: PathBuf,
    temp: PathBuf,
    lock: PathBuf,
}

/// Tells a file from what replaced it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    len: u64,
    modified: Option<SystemTime>,
    /// Device, inode, seconds and nanoseconds of the last change of the inode.
    #[cfg(unix)]
    inode: (u64, u64, i64, i64),
}

/// What was read, and the file that it was read from.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) bytes: WipingBuf,
    pub(super) stamp: Stamp,
    file: File,
}

/// Held until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Place {
    /// Of a file that is there. Symbolic links are followed now, once: the lock lies beside the file itself, and a change
    /// replaces the file, not a link to it.
    pub(super) fn of_existing(path: &Path) -> Result<Self, ProviderError> {
        let file = fs::canonicalize(path).map_err(|e| failed("find the keyring file", path, e))?;
        Self::of(&file)
    }

    /// Of a file to be made, in a directory that is there.
    pub(super) fn of_new(path: &Path) -> Result<Self, ProviderError> {
        let absolute = std::path::absolute(path).map_err(|e| failed("find the directory of", path, e))?;
        let (Some(dir), Some(name)) = (absolute.parent(), absolute.file_name()) else {
            return Err(not_a_file(path));
        };
        let dir = fs::canonicalize(dir).map_err(|e| failed("find the directory of", path, e))?;
        Self::of(&dir.join(name))
    }

    fn of(file: &Path) -> Result<Self, ProviderError> {
        let (Some(dir), Some(name)) = (file.parent(), file.file_name()) else {
            return Err(not_a_file(file));
        };
        let beside = |suffix| {
            let mut name = OsString::from(name);
            name.push(suffix);
            dir.join(name)
        };
        Ok(Self { dir: dir.into(), file: file.into(), temp: beside(".new"), lock: beside(".lock") })
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// Refuses a name that is taken, be it by a link that leads nowhere.
    pub(super) fn must_be_free(&self) -> Result<(), ProviderError> {
        match fs::symlink_metadata(&self.file) {
            Ok(_) => Err(self.taken()),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
            Err(e) => Err(failed("look for", &self.file, e)),
        }
    }

    pub(super) fn stamp(&self) -> Result<Stamp, ProviderError> {
        fs::metadata(&self.file).map(|m| Stamp::of(&m)).map_err(|e| failed("find the keyring file", &self.file, e))
    }

    /// Waits for other processes, and other handles in this one, that change the keyring.
    pub(super) fn lock(&self) -> Result<Lock, ProviderError> {
        let file = private(OpenOptions::new().read(true).write(true).create(true).truncate(false))
            .open(&self.lock)
            .map_err(|e| failed("open the lock file", &self.lock, e))?;
        for _ in 0..LOCK_TRIES {
            match file.try_lock() {
                Ok(()) => return Ok(Lock { _file: file }),
                Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
                Err(TryLockError::Error(e)) => return Err(failed("lock", &self.lock, e)),
            }
        }
        Err(ProviderError::new(ProviderErrorKind::Unavailable)
            .with_hint(format!("another process has held the lock on {:?} for long: is it stopped?", self.lock)))
    }

    /// The file as it is now.
    pub(super) fn read(&self) -> Result<Contents, ProviderError> {
        let path = &self.file;
        // Looked at before it is opened: opening a pipe would wait for a writer.
        if !fs::metadata(path).map_err(|e| failed("find the keyring file", path, e))?.is_file() {
            return Err(not_a_file(path));
        }
        let mut file = File::open(path).map_err(|e| failed("open the keyring file", path, e))?;
        let metadata = file.metadata().map_err(|e| failed("read", path, e))?;
        check_mode(&metadata, path)?;
        if metadata.len() > MAX_FILE_LEN as u64 {
            return Err(ProviderError::misconfigured(format!(
                "{path:?} is too large to be a keyring file: check the path"
            )));
        }
        let bytes = read_once(&mut file, &metadata).map_err(|e| failed("read", path, e))?;
        Ok(Contents { bytes, stamp: Stamp::of(&metadata), file })
    }

    /// Makes certain that a crash can't bring an older file back: whoever put this one here may not have come to that yet,
    /// and a key must not be used before it is stored.
    pub(super) fn confirm(&self, contents: &Contents) -> Result<(), ProviderError> {
        sync(&contents.file).and_then(|()| self.sync_dir()).map_err(|e| failed("sync", &self.file, e))
    }

    /// Makes the file, and never replaces one.
    pub(super) fn create(&self, bytes: &[u8], _: &Lock) -> Result<(), ProviderError> {
        self.write_temp(bytes)?;
        // A link, unlike a rename, fails where something is.
        let linked = fs::hard_link(&self.temp, &self.file);
        let removed = fs::remove_file(&self.temp);
        match linked {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => Err(self.taken()),
            linked => linked
                .and(removed)
                .and_then(|()| self.sync_dir())
                .map_err(|e| failed("make the keyring file", &self.file, e)),
        }
    }

    /// Replaces the file.
    pub(super) fn replace(&self, bytes: &[u8], _: &Lock) -> Result<(), ProviderError> {
        self.write_temp(bytes)?;
        if let Err(e) = self.check_owner().and_then(|()| fs::rename(&self.temp, &self.file)) {
            let _ = fs::remove_file(&self.temp);
            return Err(failed("replace the keyring file", &self.file, e));
        }
        self.sync_dir().map_err(|e| failed("sync the directory of", &self.file, e))
    }

    /// Under the lock, so what lies there is what a crash left behind.
    fn write_temp(&self, bytes: &[u8]) -> Result<(), ProviderError> {
        let write = || {
            match fs::remove_file(&self.temp) {
                Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
                _ => {}
            }
            let mut file = private(OpenOptions::new().write(true).create_new(true)).open(&self.temp)?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        write().map_err(|e| {
            let _ = fs::remove_file(&self.temp);
            failed("write", &self.temp, e)
        })
    }

    /// An administrator who adds a key as root must not leave the program without its keyring.
    #[cfg(unix)]
    fn check_owner(&self) -> io::Result<()> {
        use std::os::unix::fs::MetadataExt as _;
        if fs::metadata(&self.file)?.uid() == fs::metadata(&self.temp)?.uid() {
            return Ok(());
        }
        Err(io::Error::new(ErrorKind::PermissionDenied, "the keyring file belongs to another user"))
    }

    #[cfg(not(unix))]
    fn check_owner(&self) -> io::Result<()> {
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        // Elsewhere a directory can't be opened, and the rename is as durable as the system makes it.
        if cfg!(unix) { sync(&File::open(&self.dir)?) } else { Ok(()) }
    }

    fn taken(&self) -> ProviderError {
        ProviderError::misconfigured(format!(
            "{:?} is there already and stays as it is: open it, or generate the keyring elsewhere",
            self.file
        ))
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        use std::os::unix::fs::MetadataExt as _;
        Self {
            len: metadata.len(),
            modified: metadata.modified().ok(),
            #[cfg(unix)]
            inode: (metadata.dev(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Exactly as many bytes as the metadata says, into a buffer that doesn't grow.
fn read_once(file: &mut File, metadata: &Metadata) -> io::Result<WipingBuf> {
    let len = usize::try_from(metadata.len()).map_err(io::Error::other)?;
    let mut bytes = WipingBuf::with_capacity(len);
    bytes.zero_fill(len).map_err(io::Error::other)?;
    file.read_exact(bytes.as_mut_slice())?;
    match file.read(&mut [0])? {
        0 => Ok(bytes),
        _ => Err(io::Error::other("the file grew while it was read")),
    }
}

/// Where nothing can be written, nothing is unwritten.
fn sync(file: &File) -> io::Result<()> {
    match file.sync_all() {
        Err(e) if e.kind() == ErrorKind::ReadOnlyFilesystem => Ok(()),
        done => done,
    }
}

/// Readable and writable by the owner alone, from the first moment.
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

#[cfg(unix)]
fn check_mode(metadata: &Metadata, path: &Path) -> Result<(), ProviderError> {
    use std::os::unix::fs::PermissionsExt as _;
    if metadata.permissions().mode() & 0o077 == 0 {
        return Ok(());
    }
    Err(ProviderError::misconfigured(format!(
        "others than its owner may use the keyring file: run `chmod 600 {path:?}`, and consider the keys in it known to \
         whoever could read it"
    )))
}

#[cfg(not(unix))]
fn check_mode(_: &Metadata, _: &Path) -> Result<(), ProviderError> {
    Ok(())
}

fn not_a_file(path: &Path) -> ProviderError {
    ProviderError::misconfigured(format!("{path:?} is not a file: name one"))
}

fn failed(what: &str, path: &Path, e: io::Error) -> ProviderError {
    let (kind, remedy) = match e.kind() {
        ErrorKind::NotFound => (ProviderErrorKind::Misconfigured, ": check the path, or generate a keyring there"),
        ErrorKind::NotADirectory | ErrorKind::InvalidInput => (ProviderErrorKind::Misconfigured, ": check the path"),
        ErrorKind::ReadOnlyFilesystem => (ProviderErrorKind::Misconfigured, ": the file system is read-only"),
        ErrorKind::PermissionDenied => (
            ProviderErrorKind::Denied,
            ": run as the user who owns the file, and may read its directory (to change it: write there, too)",
        ),
        _ => (ProviderErrorKind::Unavailable, ""),
    };
    ProviderError::new(kind).with_hint(format!("can't {what} {path:?}{remedy}")).with_source(e)
}

const LOCK_PAUSE: Duration = Duration::from_millis(5);
/// 30 seconds: a change takes milliseconds, so a lock held for longer is held by somebody who was stopped.
const LOCK_TRIES: usize = 6000;

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn place() -> (tempfile::TempDir, Place) {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::of_new(&dir.path().join("keys")).unwrap();
        (dir, place)
    }

    #[test]
    fn a_file_is_private_from_the_first_moment() {
        let (_dir, place) = place();
        place.write_temp(b"secret").unwrap();
        assert_eq!(fs::metadata(&place.temp).unwrap().permissions().mode() & 0o777, 0o600);
        let lock = place.lock().unwrap();
        place.create(b"secret", &lock).unwrap();
        for path in [&place.file, &place.lock] {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn creating_never_replaces() {
        let (_dir, place) = place();
        let lock = place.lock().unwrap();
        fs::write(&place.file, b"mine").unwrap();
        assert_eq!(place.create(b"yours", &lock).unwrap_err().kind(), ProviderErrorKind::Misconfigured);
        assert_eq!(fs::read(&place.file).unwrap(), b"mine");
        assert!(!place.temp.exists());
    }

    #[test]
    fn what_a_crash_left_behind_is_replaced() {
        let (_dir, place) = place();
        let lock = place.lock().unwrap();
        place.create(b"one", &lock).unwrap();
        fs::write(&place.temp, b"half of somethi").unwrap();
        place.replace(b"two", &lock).unwrap();
        assert_eq!(place.read().unwrap().bytes.as_slice(), b"two");
        assert!(!place.temp.exists());
    }

    #[test]
    fn a_replaced_file_has_another_stamp() {
        let (_dir, place) = place();
        let lock = place.lock().unwrap();
        place.create(b"one", &lock).unwrap();
        let before = place.read().unwrap().stamp;
        assert_eq!(place.stamp().unwrap(), before);
        place.replace(b"two", &lock).unwrap();
        assert_ne!(place.stamp().unwrap(), before);
    }

    #[test]
    fn a_second_holder_of_the_lock_waits() {
        let (_dir, place) = place();
        let lock = place.lock().unwrap();
        let second = File::open(&place.lock).unwrap();
        assert!(matches!(second.try_lock(), Err(TryLockError::WouldBlock)));
        drop(lock);
        second.try_lock().unwrap();
    }
}

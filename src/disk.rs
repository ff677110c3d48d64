//! Files of our own on a disk: named, locked, made without replacing, replaced as a whole, synced. Blocking: runs on a
//! thread of its own ([`crate::thread`]). Imports `error` alone.
//!
//! What is new is written to `<file>.new`, synced, and given the file's name in one step, so that a crash leaves no file
//! that is half made. `<file>.lock` is held meanwhile; it stays, because removing a lock file lets two hold "the" lock.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::error::{JournalError, JournalErrorKind, ProviderError, ProviderErrorKind};

/// Where a file is, and what lies beside it.
#[derive(Debug)]
pub(crate) struct FilePaths {
    dir: PathBuf,
    file: PathBuf,
    temp: PathBuf,
    lock: PathBuf,
    words: &'static Words,
}

/// What a kind of file is called, and what is done about it, in its errors.
#[derive(Debug)]
pub(crate) struct Words {
    /// Its name: "keyring file".
    pub(crate) name: &'static str,
    /// What to do where there is none.
    pub(crate) missing: &'static str,
    /// What to do where there is one already.
    pub(crate) taken: &'static str,
    /// What it means if others could read it.
    #[cfg_attr(not(unix), expect(dead_code, reason = "modes are Unix's"))]
    pub(crate) exposed: &'static str,
}

/// What a disk refused: who is to blame, what to do, and the system's own error.
#[derive(Debug)]
pub(crate) struct DiskError {
    blame: Blame,
    hint: String,
    source: Option<io::Error>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blame {
    Misconfigured,
    Denied,
    Unavailable,
}

/// Held until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl FilePaths {
    /// Of a file that is there. Symbolic links are followed now, once: the lock lies beside the file itself, and a change
    /// replaces the file, not a link to it.
    pub(crate) fn of_existing(path: &Path, words: &'static Words) -> Result<Self, DiskError> {
        let file = fs::canonicalize(path).map_err(|e| words.failed(&format!("find the {}", words.name), path, e))?;
        Self::of(&file, words)
    }

    /// Of a file to be made, in a directory that is there.
    pub(crate) fn of_new(path: &Path, words: &'static Words) -> Result<Self, DiskError> {
        let failed = |e| words.failed("find the directory of", path, e);
        let absolute = std::path::absolute(path).map_err(failed)?;
        let (Some(dir), Some(name)) = (absolute.parent(), absolute.file_name()) else {
            return Err(not_a_file(path));
        };
        let dir = fs::canonicalize(dir).map_err(failed)?;
        Self::of(&dir.join(name), words)
    }

    /// Of a file that is there, or else of one to be made.
    pub(crate) fn of_any(path: &Path, words: &'static Words) -> Result<Self, DiskError> {
        match fs::canonicalize(path) {
            Ok(file) => Self::of(&file, words),
            Err(e) if e.kind() == ErrorKind::NotFound => Self::of_new(path, words),
            Err(e) => Err(words.failed(&format!("find the {}", words.name), path, e)),
        }
    }

    fn of(file: &Path, words: &'static Words) -> Result<Self, DiskError> {
        let (Some(dir), Some(name)) = (file.parent(), file.file_name()) else {
            return Err(not_a_file(file));
        };
        let beside = |suffix| {
            let mut name = OsString::from(name);
            name.push(suffix);
            dir.join(name)
        };
        Ok(Self { dir: dir.into(), file: file.into(), temp: beside(".new"), lock: beside(".lock"), words })
    }

    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// Whether nothing has the name, not even a link that leads nowhere.
    pub(crate) fn is_free(&self) -> Result<bool, DiskError> {
        match fs::symlink_metadata(&self.file) {
            Ok(_) => Ok(false),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(true),
            Err(e) => Err(self.failed("look for", e)),
        }
    }

    /// Refuses a name that is taken.
    pub(crate) fn must_be_free(&self) -> Result<(), DiskError> {
        if self.is_free()? { Ok(()) } else { Err(self.taken()) }
    }

    /// The metadata of what has the name now.
    pub(crate) fn metadata(&self) -> Result<Metadata, DiskError> {
        fs::metadata(&self.file).map_err(|e| self.failed_to("find", e))
    }

    /// Opens the file, which others than its owner must not be able to use.
    pub(crate) fn open(&self, options: &OpenOptions) -> Result<(File, Metadata), DiskError> {
        // Looked at before it is opened: opening a pipe would wait for a writer.
        if !self.metadata()?.is_file() {
            return Err(not_a_file(&self.file));
        }
        let file = options.open(&self.file).map_err(|e| self.failed_to("open", e))?;
        let metadata = file.metadata().map_err(|e| self.failed("read", e))?;
        self.check_mode(&metadata)?;
        Ok((file, metadata))
    }

    /// Waits for other processes, and other handles in this one, that change the file.
    pub(crate) fn lock(&self) -> Result<Lock, DiskError> {
        let file = private(OpenOptions::new().read(true).write(true).create(true).truncate(false))
            .open(&self.lock)
            .map_err(|e| self.words.failed("open the lock file", &self.lock, e))?;
        for _ in 0..LOCK_TRIES {
            match file.try_lock() {
                Ok(()) => return Ok(Lock { _file: file }),
                Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
                Err(TryLockError::Error(e)) => return Err(self.words.failed("lock", &self.lock, e)),
            }
        }
        Err(DiskError {
            blame: Blame::Unavailable,
            hint: format!("another process has held the lock on {:?} for long: is it stopped?", self.lock),
            source: None,
        })
    }

    /// Makes certain that a crash can't bring an older file back: whoever put this one here may not have come to that yet.
    pub(crate) fn confirm(&self, file: &File) -> Result<(), DiskError> {
        sync(file).and_then(|()| self.sync_dir()).map_err(|e| self.failed("sync", e))
    }

    /// Makes the file, and never replaces one.
    pub(crate) fn create(&self, bytes: &[u8], _: &Lock) -> Result<(), DiskError> {
        self.write_temp(bytes)?;
        // A link, unlike a rename, fails where something is.
        let linked = fs::hard_link(&self.temp, &self.file);
        let removed = fs::remove_file(&self.temp);
        match linked {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => Err(self.taken()),
            linked => linked.and(removed).and_then(|()| self.sync_dir()).map_err(|e| self.failed_to("make", e)),
        }
    }

    /// Replaces the file.
    pub(crate) fn replace(&self, bytes: &[u8], _: &Lock) -> Result<(), DiskError> {
        self.write_temp(bytes)?;
        if let Err(e) = self.check_owner().and_then(|()| fs::rename(&self.temp, &self.file)) {
            let _ = fs::remove_file(&self.temp);
            return Err(self.failed_to("replace", e));
        }
        self.sync_dir().map_err(|e| self.failed("sync the directory of", e))
    }

    /// Under the lock, so what lies there is what a crash left behind.
    fn write_temp(&self, bytes: &[u8]) -> Result<(), DiskError> {
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
            self.words.failed("write", &self.temp, e)
        })
    }

    /// An administrator who changes the file as root must not leave the program without it.
    #[cfg(unix)]
    fn check_owner(&self) -> io::Result<()> {
        use std::os::unix::fs::MetadataExt as _;
        if fs::metadata(&self.file)?.uid() == fs::metadata(&self.temp)?.uid() {
            return Ok(());
        }
        let what = format!("the {} belongs to another user", self.words.name);
        Err(io::Error::new(ErrorKind::PermissionDenied, what))
    }

    #[cfg(not(unix))]
    fn check_owner(&self) -> io::Result<()> {
        Ok(())
    }

    #[cfg(unix)]
    fn check_mode(&self, metadata: &Metadata) -> Result<(), DiskError> {
        use std::os::unix::fs::PermissionsExt as _;
        if metadata.permissions().mode() & 0o077 == 0 {
            return Ok(());
        }
        let Words { name, exposed, .. } = self.words;
        Err(misconfigured(format!(
            "others than its owner may use the {name}: run `chmod 600 {:?}`, and {exposed}",
            self.file
        )))
    }

    #[cfg(not(unix))]
    fn check_mode(&self, _: &Metadata) -> Result<(), DiskError> {
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        // Elsewhere a directory can't be opened, and the rename is as durable as the system makes it.
        if cfg!(unix) { sync(&File::open(&self.dir)?) } else { Ok(()) }
    }

    fn taken(&self) -> DiskError {
        misconfigured(format!("{:?} is there already and stays as it is: {}", self.file, self.words.taken))
    }

    /// "can't read /the/file", and why.
    pub(crate) fn failed(&self, what: &str, e: io::Error) -> DiskError {
        self.words.failed(what, &self.file, e)
    }

    /// "can't open the keyring file /the/file", and why.
    fn failed_to(&self, what: &str, e: io::Error) -> DiskError {
        self.words.failed(&format!("{what} the {}", self.words.name), &self.file, e)
    }
}

impl Words {
    fn failed(&self, what: &str, path: &Path, e: io::Error) -> DiskError {
        let (blame, remedy) = match e.kind() {
            ErrorKind::NotFound => (Blame::Misconfigured, self.missing),
            ErrorKind::NotADirectory | ErrorKind::InvalidInput => (Blame::Misconfigured, "check the path"),
            ErrorKind::ReadOnlyFilesystem => (Blame::Misconfigured, "the file system is read-only"),
            ErrorKind::PermissionDenied => (
                Blame::Denied,
                "run as the user who owns the file, and may read its directory (to change it: write there, too)",
            ),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => (Blame::Unavailable, "the disk is full: make room"),
            _ => (Blame::Unavailable, ""),
        };
        let colon = if remedy.is_empty() { "" } else { ": " };
        DiskError { blame, hint: format!("can't {what} {path:?}{colon}{remedy}"), source: Some(e) }
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

fn misconfigured(hint: String) -> DiskError {
    DiskError { blame: Blame::Misconfigured, hint, source: None }
}

fn not_a_file(path: &Path) -> DiskError {
    misconfigured(format!("{path:?} is not a file: name one"))
}

macro_rules! into_port_errors {
    ($($error:ident $kind:ident)*) => {$(
        impl From<DiskError> for $error {
            fn from(DiskError { blame, hint, source }: DiskError) -> Self {
                let error = Self::new(match blame {
                    Blame::Misconfigured => $kind::Misconfigured,
                    Blame::Denied => $kind::Denied,
                    Blame::Unavailable => $kind::Unavailable,
                })
                .with_hint(hint);
                match source {
                    Some(source) => error.with_source(source),
                    None => error,
                }
            }
        }
    )*};
}
into_port_errors!(ProviderError ProviderErrorKind JournalError JournalErrorKind);

const LOCK_PAUSE: Duration = Duration::from_millis(5);
/// 30 seconds: a change takes milliseconds, so a lock held for longer is held by somebody who was stopped.
const LOCK_TRIES: usize = 6000;

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const WORDS: Words = Words { name: "file", missing: "make one", taken: "open it", exposed: "worry" };

    fn paths() -> (tempfile::TempDir, FilePaths) {
        let dir = tempfile::tempdir().unwrap();
        let paths = FilePaths::of_new(&dir.path().join("keys"), &WORDS).unwrap();
        (dir, paths)
    }

    #[test]
    fn a_file_is_private_from_the_first_moment() {
        let (_dir, paths) = paths();
        paths.write_temp(b"secret").unwrap();
        assert_eq!(fs::metadata(&paths.temp).unwrap().permissions().mode() & 0o777, 0o600);
        let lock = paths.lock().unwrap();
        paths.create(b"secret", &lock).unwrap();
        for path in [&paths.file, &paths.lock] {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn creating_never_replaces() {
        let (_dir, paths) = paths();
        let lock = paths.lock().unwrap();
        fs::write(&paths.file, b"mine").unwrap();
        assert_eq!(paths.create(b"yours", &lock).unwrap_err().blame, Blame::Misconfigured);
        assert_eq!(fs::read(&paths.file).unwrap(), b"mine");
        assert!(!paths.temp.exists());
    }

    #[test]
    fn what_a_crash_left_behind_is_replaced() {
        let (_dir, paths) = paths();
        let lock = paths.lock().unwrap();
        paths.create(b"one", &lock).unwrap();
        fs::write(&paths.temp, b"half of somethi").unwrap();
        paths.replace(b"two", &lock).unwrap();
        assert_eq!(fs::read(&paths.file).unwrap(), b"two");
        assert!(!paths.temp.exists());
    }

    #[test]
    fn a_second_holder_of_the_lock_waits() {
        let (_dir, paths) = paths();
        let lock = paths.lock().unwrap();
        let second = File::open(&paths.lock).unwrap();
        assert!(matches!(second.try_lock(), Err(TryLockError::WouldBlock)));
        drop(lock);
        second.try_lock().unwrap();
    }
}

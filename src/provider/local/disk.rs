//! The keyring file on disk: read whole, and told from what replaces it. Blocking; runs on a thread of our own.
//!
//! How it is named, locked, made and replaced is [`crate::disk`]'s.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::time::SystemTime;

use super::format::MAX_FILE_LEN;
use crate::crypto::buf::WipingBuf;
use crate::disk::{FilePaths, Words};
use crate::error::ProviderError;

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
    pub(super) file: File,
}

/// In the errors.
pub(super) const KEYRING: Words = Words {
    name: "keyring file",
    missing: "check the path, or make a keyring there, once: `LocalKeyring::generate`",
    taken: "open it, or generate the keyring elsewhere",
    exposed: "consider the keys in it known to whoever could read it",
};

pub(super) fn stamp(paths: &FilePaths) -> Result<Stamp, ProviderError> {
    Ok(Stamp::of(&paths.metadata()?))
}

/// The file as it is now.
pub(super) fn read(paths: &FilePaths) -> Result<Contents, ProviderError> {
    let (mut file, metadata) = paths.open(OpenOptions::new().read(true))?;
    if metadata.len() > MAX_FILE_LEN as u64 {
        return Err(ProviderError::misconfigured(format!(
            "{:?} is too large to be a keyring file: check the path",
            paths.file()
        )));
    }
    let bytes = read_once(&mut file, &metadata).map_err(|e| paths.failed("read", e))?;
    Ok(Contents { bytes, stamp: Stamp::of(&metadata), file })
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

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_has_another_stamp() {
        let dir = tempfile::tempdir().unwrap();
        let paths = FilePaths::of_new(&dir.path().join("keys"), &KEYRING).unwrap();
        let lock = paths.lock().unwrap();
        paths.create(b"one", &lock).unwrap();
        let before = read(&paths).unwrap().stamp;
        assert_eq!(stamp(&paths).unwrap(), before);
        paths.replace(b"two", &lock).unwrap();
        assert_ne!(stamp(&paths).unwrap(), before);
    }
}

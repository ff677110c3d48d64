//! Files that the tool writes: whole or not at all, for their owner alone, synced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use crate::config::folder_of;
use crate::exit::Failure;

/// A file that is to be written once what it tells is done, and for which there is room: a full disk is told before.
#[must_use]
pub(crate) struct Reserved {
    target: PathBuf,
    temp: PathBuf,
    file: File,
}

impl Reserved {
    /// Takes `room` bytes of the disk under another name. Never replaces a file.
    pub(crate) fn new(target: &Path, room: usize) -> Result<Self, Failure> {
        let failed = |e: io::Error| Failure::of_file("write", target, &e);
        if fs::symlink_metadata(target).is_ok() {
            return Err(failed(io::ErrorKind::AlreadyExists.into()));
        }
        let mut temp = target.as_os_str().to_owned();
        temp.push(".new");
        let temp = PathBuf::from(temp);
        let mut reserved = Self { target: target.to_owned(), file: create(&temp).map_err(failed)?, temp };
        let spaces = vec![b' '; room];
        reserved.file.write_all(&spaces).and_then(|()| reserved.file.sync_all()).map_err(failed)?;
        Ok(reserved)
    }

    /// Writes the file.
    pub(crate) fn write(mut self, text: &str) -> Result<(), Failure> {
        let write = |reserved: &mut Self| {
            reserved.file.rewind()?;
            reserved.file.write_all(text.as_bytes())?;
            reserved.file.set_len(text.len() as u64)?;
            reserved.file.sync_all()?;
            fs::rename(&reserved.temp, &reserved.target)?;
            sync_folder(&reserved.target)
        };
        write(&mut self).map_err(|e| Failure::of_file("write", &self.target, &e))
    }
}

impl Drop for Reserved {
    /// Nothing is left where nothing was written; once it has its own name, there is none under this one.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.temp);
    }
}

/// Begins a file that is filled line by line. Never replaces one.
pub(crate) fn begin(target: &Path) -> Result<File, Failure> {
    let failed = |e: io::Error| Failure::of_file("write", target, &e);
    let file = create_new(target).map_err(failed)?;
    sync_folder(target).map_err(failed)?;
    Ok(file)
}

/// Goes on with a file that is filled line by line. A line that a crash cut off stays a line of its own.
pub(crate) fn append(target: &Path) -> Result<File, Failure> {
    let failed = |e: io::Error| Failure::of_file("write", target, &e);
    let mut file = OpenOptions::new().read(true).append(true).open(target).map_err(failed)?;
    if !is_whole(&mut file).map_err(failed)? {
        file.write_all(b"\n").map_err(failed)?;
    }
    Ok(file)
}

/// Whether the last line has an end.
fn is_whole(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(io::SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// Puts a file in the place of an older one.
pub(crate) fn replace(target: &Path, text: &str) -> Result<(), Failure> {
    let mut temp = target.as_os_str().to_owned();
    temp.push(".new");
    let write = || {
        let mut file = create(Path::new(&temp))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temp, target)?;
        sync_folder(target)
    };
    write().map_err(|e| {
        let _ = fs::remove_file(&temp);
        Failure::of_file("write", target, &e)
    })
}

/// Empty, and for its owner alone also where something was left under this name.
fn create(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    create_new(path)
}

fn create_new(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// So that the new name is there after a power cut, too.
fn sync_folder(file: &Path) -> io::Result<()> {
    let folder = folder_of(file);
    let folder = if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder };
    File::open(folder)?.sync_all()
}

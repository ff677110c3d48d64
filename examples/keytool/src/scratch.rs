//! [`Scratch`]: a folder for copies of keys, which is for its owner alone, and is wiped and removed.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::exit::Failure;
use crate::files;

/// A folder of its own. Whatever way the command ends, but for a kill, it is wiped and removed.
pub(crate) struct Scratch {
    folder: PathBuf,
}

impl Scratch {
    /// Makes it in another folder, under a name that nothing has yet.
    pub(crate) fn new(within: &Path) -> Result<Self, Failure> {
        for n in 0..NAMES {
            let folder = within.join(format!("keytool-rehearse-{}-{n}", std::process::id()));
            let mut builder = DirBuilder::new();
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            match builder.create(&folder) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                made => return made.map(|()| Self { folder: folder.clone() }).map_err(|e| failed("make", &folder, &e)),
            }
        }
        Err(Failure::refused(format!("{} is full of scratch places: remove them", within.display())))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Copies a file into it, for its owner alone whatever the file's mode is.
    pub(crate) fn copy(&self, file: &Path, name: &str) -> Result<(), Failure> {
        let mut from = File::open(file).map_err(|e| Failure::of_file("read", file, &e))?;
        let mut to = files::begin(&self.path(name))?;
        io::copy(&mut from, &mut to).map(drop).map_err(|e| failed("copy into", &self.folder, &e))
    }

    /// Wipes and removes it.
    pub(crate) fn remove(self) -> Result<(), Failure> {
        wipe(&self.folder).map_err(|e| failed("wipe and remove", &self.folder, &e))
    }
}

impl Drop for Scratch {
    /// What is removed already is no failure here, and of another one nobody hears.
    fn drop(&mut self) {
        let _ = wipe(&self.folder);
    }
}

/// What a file system or a disk keeps of overwritten blocks is out of reach.
fn wipe(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        match wipe_file(&entry?.path()) {
            // A database that is being closed removes its own.
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    fs::remove_dir(folder)
}

/// Overwrites a file, and removes it.
fn wipe_file(file: &Path) -> io::Result<()> {
    let mut open = OpenOptions::new().write(true).open(file)?;
    let len = open.metadata()?.len();
    io::copy(&mut io::repeat(0).take(len), &mut open)?;
    open.sync_all()?;
    fs::remove_file(file)
}

fn failed(what: &str, folder: &Path, e: &io::Error) -> Failure {
    Failure::of_file(&format!("{what} the scratch place"), folder, e)
}

/// How many a process tries.
const NAMES: u32 = 100;

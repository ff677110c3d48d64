//! Opening a key store's own SQLite file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use super::error::{code, failed, result_code};
use super::schema;
use fieldseal::error::StoreError;
use fieldseal::thread;

/// Opens the file, or makes it, and brings it into WAL mode. A file that is not a key store is refused before anything
/// is written to it.
pub(super) async fn open(path: &Path) -> Result<SqlitePool, StoreError> {
    let path = create(path.to_owned()).await?;
    let options = SqliteConnectOptions::new().filename(&path).busy_timeout(BUSY_TIMEOUT);
    let mut connection = options.connect().await.map_err(not_a_store)?;
    let prepared = prepare(&mut connection).await;
    // Only now: the pool's connections find the mode that was set.
    connection.close().await.map_err(failed)?;
    prepared?;
    let options = options.synchronous(SqliteSynchronous::Full).pragma("secure_delete", "ON");
    SqlitePoolOptions::new().max_connections(CONNECTIONS).connect_with(options).await.map_err(failed)
}

async fn prepare(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    if schema::is_foreign(connection).await.map_err(not_a_store)? {
        return Err(StoreError::misconfigured(
            "the SQLite file has tables of another application: use a file of its own, or `SqliteStore::new` to share one",
        ));
    }
    // SQLite doesn't wait for the lock that this change needs where waiting could be a deadlock, so that of two processes
    // that open a new file at once one is told that it is busy. It waits as a writer does, then finds the change made.
    for _ in 0..ATTEMPTS {
        match wal(connection).await {
            Ok(true) => return Ok(()),
            Ok(false) => break,
            Err(error) if result_code(&error) == Some(code::BUSY) => {
                let turn = connection.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
                turn.rollback().await.map_err(failed)?;
            }
            Err(error) => return Err(failed(error)),
        }
    }
    Err(StoreError::misconfigured("the SQLite file can't be brought into WAL mode: is it on a network file system?"))
}

async fn wal(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode = WAL").persistent(false).fetch_one(connection).await?;
    Ok(mode == "wal")
}

/// Makes the file, if it isn't there, for its owner alone, and gives its absolute path: SQLite reads some relative ones
/// as something else (`:memory:`, `file:..`). SQLite gives the file's mode to its `-wal` and `-shm`.
///
/// On a thread of its own: it waits for the disk, and the caller's executor is not to.
async fn create(path: PathBuf) -> Result<PathBuf, StoreError> {
    let made = thread::run(move || create_now(&path)).await.map_err(StoreError::unavailable)?;
    made.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied | io::ErrorKind::IsADirectory => {
            StoreError::misconfigured("the SQLite file can't be made or opened").with_source(error)
        }
        _ => StoreError::unavailable(error),
    })
}

fn create_now(path: &Path) -> io::Result<PathBuf> {
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(file) => {
            file.sync_all()?;
            let path = fs::canonicalize(path)?;
            if let Some(folder) = path.parent() {
                // Else a power cut could take the whole file, with the keys that it got meanwhile.
                fs::File::open(folder)?.sync_all()?;
            }
            Ok(path)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // Says now, and with the right words, if it can't be used.
            fs::OpenOptions::new().read(true).write(true).open(path)?;
            fs::canonicalize(path)
        }
        Err(error) => Err(error),
    }
}

fn not_a_store(error: sqlx::Error) -> StoreError {
    if result_code(&error) == Some(code::NOTADB) {
        return StoreError::misconfigured("the file is not an SQLite database").with_source(error);
    }
    failed(error)
}

/// How long a connection waits for another process's write.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// One that writes, and some that read meanwhile.
const CONNECTIONS: u32 = 4;
const ATTEMPTS: u32 = 100;

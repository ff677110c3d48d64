//! What SQLite's result codes mean for a key store.

use fieldseal::error::StoreError;

/// SQLite's primary result code, where the error is SQLite's.
pub(super) fn result_code(error: &sqlx::Error) -> Option<u32> {
    // sqlx gives the extended code, whose low byte is the primary one.
    let extended: u32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(extended & 0xff)
}

/// Whose fault it is.
///
/// No message of SQLite's holds a value that was bound, so the source may be kept.
pub(super) fn failed(error: sqlx::Error) -> StoreError {
    match result_code(&error) {
        Some(code::CORRUPT | code::NOTADB) => StoreError::corrupt("the SQLite database").with_source(error),
        // "No such table", a constraint: not what `schema` made and checked.
        Some(code::ERROR | code::CONSTRAINT | code::MISMATCH) => {
            StoreError::corrupt("the SQLite database's tables").with_source(error)
        }
        Some(code::READONLY | code::PERM | code::AUTH) => {
            StoreError::misconfigured("the SQLite database can't be written").with_source(error)
        }
        Some(_) => StoreError::unavailable(error),
        None => match error {
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
                StoreError::corrupt("a value in the SQLite database's tables").with_source(error)
            }
            sqlx::Error::Configuration(_) => StoreError::misconfigured("the SQLite pool").with_source(error),
            _ => StoreError::unavailable(error),
        },
    }
}

/// Primary result codes, as in `sqlite3.h`.
pub(super) mod code {
    pub(in super::super) const ERROR: u32 = 1;
    pub(in super::super) const PERM: u32 = 3;
    pub(in super::super) const BUSY: u32 = 5;
    pub(in super::super) const READONLY: u32 = 8;
    pub(in super::super) const CORRUPT: u32 = 11;
    pub(in super::super) const CONSTRAINT: u32 = 19;
    pub(in super::super) const MISMATCH: u32 = 20;
    pub(in super::super) const AUTH: u32 = 23;
    pub(in super::super) const NOTADB: u32 = 26;
}

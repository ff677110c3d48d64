//! Each port of fieldseal, and a decorator of all four, written by somebody else: with the published API alone.
//!
//! Every one keeps plain columns and bytes in a map, as an adapter of a database would, so that what an adapter reads back
//! passes the library's own checks again.

mod count;
mod journal;
mod provider;
mod rows;
mod store;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use count::{Counted, Counts};
pub use journal::MapJournal;
pub use provider::Escrow;
pub use rows::MapRows;
pub use store::MapStore;

/// Every change under a lock is one insertion or one assignment, so a poisoned one guards a sound state.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

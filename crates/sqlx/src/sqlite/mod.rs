//! SQLite: a key store in a file or in the application's database, and bulk work on tables; both call it through a `queue`.

mod queue;
mod rows;
mod store;

pub use rows::SqliteRows;
pub use store::SqliteStore;

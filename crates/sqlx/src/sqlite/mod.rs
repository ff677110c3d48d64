//! SQLite: a key store in a file or in the application's database, and bulk work on tables.

mod rows;
mod store;

pub use rows::SqliteRows;
pub use store::SqliteStore;

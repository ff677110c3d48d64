//! `SqliteStore`: slots in SQLite, through sqlx.

/// Slots in SQLite.
#[derive(Debug)]
pub struct SqliteStore {}

//! [`JobOptions`]: how a job goes through a table.

use super::Checkpoint;
use crate::rows::Page;
use crate::vault::Shard;

/// How a job goes through a table.
#[derive(Clone, Debug)]
#[must_use]
pub struct JobOptions {
    pub(super) batch: usize,
    pub(super) workers: usize,
    pub(super) shard: Shard,
    pub(super) from: Option<Checkpoint>,
}

impl JobOptions {
    /// Pages of 500 rows, two of them worked on at once, from the start, all rows.
    pub fn new() -> Self {
        Self { batch: 500, workers: 2, shard: Shard::ALL, from: None }
    }

    /// So many rows a page: 1 to 10 000. What a page changes is written in one transaction, so this is also how long the
    /// application waits at most for rows, or on SQLite for the database.
    pub fn batch(mut self, rows: usize) -> Self {
        self.batch = rows.clamp(1, Page::MAX_LIMIT);
        self
    }

    /// So many pages are worked on at once: 1 to 64. They share one task; each waits for the database by itself.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers.clamp(1, 64);
        self
    }

    /// This process's share of the rows.
    pub fn shard(mut self, shard: Shard) -> Self {
        self.shard = shard;
        self
    }

    /// Goes on where a job stopped: with the last checkpoint that was kept of it.
    pub fn from(mut self, checkpoint: Checkpoint) -> Self {
        self.from = Some(checkpoint);
        self
    }
}

impl Default for JobOptions {
    fn default() -> Self {
        Self::new()
    }
}

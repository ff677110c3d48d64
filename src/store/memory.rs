//! [`MemoryStore`]: slots that die with the process, for tests and short-lived data.

/// Slots in memory.
#[derive(Debug)]
pub struct MemoryStore {}

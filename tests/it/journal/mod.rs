//! The journals: the conformance suite on each, and what a file adds.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, reason = "a test")]

#[path = "journal/file.rs"]
mod file;

use fieldseal::journal::{ErasureJournal as _, MemoryJournal};
use fieldseal::testing::counting::Counting;

async fn memory() -> MemoryJournal {
    MemoryJournal::new().unwrap()
}

async fn counting() -> Counting<MemoryJournal> {
    Counting::new(memory().await)
}

fieldseal::journal_suite! {
    #[tokio::test]
    memory_journal, memory
}

fieldseal::journal_suite! {
    #[tokio::test]
    counting_journal, counting
}

#[tokio::test]
async fn calls_are_counted() {
    let journal = counting().await;
    let counts = journal.counts();
    let head = journal.head().await.unwrap();
    journal.id().await.unwrap();
    journal.read(0, 1).await.unwrap();
    journal.read_of(None, None, &head).await.unwrap();
    assert_eq!((counts.ids(), counts.heads(), counts.appends(), counts.reads()), (1, 1, 0, 2));
}

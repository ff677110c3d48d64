//! The journals: the conformance suite on each, and what a file adds.

mod file;

use fieldseal::journal::{ErasureJournal as _, MemoryJournal};
use fieldseal_testkit::counting::Counting;

async fn memory() -> MemoryJournal {
    MemoryJournal::new().unwrap()
}

async fn counting() -> Counting<MemoryJournal> {
    Counting::new(memory().await)
}

fieldseal_testkit::journal_suite! {
    #[tokio::test]
    memory_journal, memory
}

fieldseal_testkit::journal_suite! {
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

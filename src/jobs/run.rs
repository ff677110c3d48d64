//! Going through a table: pages are read one after the other, worked on several at once, and reported in their order.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use async_trait::async_trait;
use futures_util::future::{Either, select};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::bound::Bound;
use super::checkpoint::{Checkpoint, Cursor};
use super::map::TableMap;
use super::options::JobOptions;
use super::page::{PageWorker, RowJob};
use super::tally::{Tally, Trouble};
use crate::caught::Caught;
use crate::error::Result;
use crate::rows::{Page, Row, RowSource};
use crate::vault::Vault;

/// Hears of each page that a job is done with, in the order of the table; `O` is what the job finds out beside it.
///
/// Here a checkpoint is kept, progress shown, a pause made. `()` does nothing.
#[async_trait]
pub trait Observer<O: Sync = ()>: Send {
    /// Every row up to the page's checkpoint was gone through. What was begun of later pages goes on meanwhile, and as many are
    /// begun as there are [workers](JobOptions::workers). So it may call the vault, and the table: it waits for no page of its
    /// own job's.
    ///
    /// # Errors
    /// Whatever ends the job: it gives that error.
    async fn page(&mut self, done: &PageDone, found: &O) -> Result<()>;
}

/// A page that a job is done with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PageDone {
    /// What this page came to.
    pub page: Tally,
    /// What needs a look of this page.
    pub troubles: Vec<Trouble>,
    /// Where to go on from; with what the job came to so far.
    pub checkpoint: Checkpoint,
}

/// Hears nothing: for a job of which nobody keeps a checkpoint.
#[async_trait]
impl<O: Sync> Observer<O> for () {
    async fn page(&mut self, _: &PageDone, _: &O) -> Result<()> {
        Ok(())
    }
}

/// Goes through the rows of a table that are in the options' shard, from their checkpoint on.
pub(super) async fn run<J: RowJob>(
    vault: &Vault,
    map: &TableMap,
    rows: &dyn RowSource,
    job: &J,
    options: &JobOptions,
    observer: &mut dyn Observer<J::Out>,
) -> Result<Tally> {
    let rows = &Caught::new(rows);
    let bound = Bound::new(map, rows.columns())?;
    let fingerprint = map.fingerprint();
    let mut checkpoint = match &options.from {
        Some(from) => {
            from.check_is_of(job.name(), &fingerprint, options.shard)?;
            from.clone()
        }
        None => Checkpoint::start(job.name(), fingerprint, options.shard),
    };
    let worker = PageWorker { vault, bound: &bound, rows, job };
    let ahead = &AtomicUsize::new(0);
    let read = |cursor| read(rows, options, ahead, cursor);
    let work = |(mut page, next): (Vec<Row>, Cursor)| {
        let worker = &worker;
        page.retain(|row| options.shard.has(&row.key.to_bytes()));
        async move { Ok((worker.page(page).await?, next)) }
    };
    let pages = stream::try_unfold(checkpoint.cursor.clone(), read).map_ok(work).try_buffered(options.workers);
    // In a box: of the stream itself the compiler can't tell that a job may move between threads.
    let mut pages = pages.fuse().boxed();
    let mut worked: VecDeque<_> = VecDeque::new();
    loop {
        let Some(page) = (match worked.pop_front() {
            Some(page) => Some(page),
            None => pages.next().await,
        }) else {
            return Ok(checkpoint.tally);
        };
        let (page, next) = page?;
        ahead.fetch_sub(1, Ordering::Relaxed);
        checkpoint.cursor = next;
        checkpoint.tally += page.tally;
        let done = PageDone { page: page.tally, troubles: page.troubles, checkpoint };
        let mut heard = observer.page(&done, &page.out);
        // A page that stood still meanwhile would hold what it has: rows, a connection, what the observer waits for.
        loop {
            match select(heard, pages.next()).await {
                Either::Left((heard, _)) => break heard?,
                Either::Right((Some(page), waits)) => {
                    worked.push_back(page);
                    heard = waits;
                }
                Either::Right((None, waits)) => break waits.await?,
            }
        }
        checkpoint = done.checkpoint;
    }
}

/// The next page, and the cursor behind it, once there is room for one more.
///
/// `ahead` are those that were begun and that the observer has not got yet. Nobody is woken when they become fewer: whoever polls
/// the stream of pages asks each time.
async fn read(
    rows: &dyn RowSource,
    options: &JobOptions,
    ahead: &AtomicUsize,
    cursor: Cursor,
) -> Result<Option<((Vec<Row>, Cursor), Cursor)>> {
    let page = match cursor {
        Cursor::Start => Page::first(options.batch),
        Cursor::After(key) => Page::first(options.batch).starting_after(key),
        Cursor::End => return Ok(None),
    };
    poll_fn(|_| match ahead.load(Ordering::Relaxed) < options.workers {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
    ahead.fetch_add(1, Ordering::Relaxed);
    let read = rows.page(&page).await?;
    let next = match read.last() {
        Some(last) if read.len() >= options.batch => Cursor::After(last.key.clone()),
        _ => Cursor::End,
    };
    Ok(Some(((read, next.clone()), next)))
}

//! Going through a table: pages are read one after the other, worked on several at once, and reported in their order.

use async_trait::async_trait;
use futures_util::stream::{self, TryStreamExt as _};

use super::bound::Bound;
use super::checkpoint::{Checkpoint, Cursor};
use super::map::TableMap;
use super::options::JobOptions;
use super::page::{PageWorker, RowJob};
use super::tally::{Tally, Trouble};
use crate::error::Result;
use crate::rows::{Page, Row, RowSource};
use crate::vault::Vault;

/// Hears of each page that a job is done with, in the order of the table; `O` is what the job finds out beside it.
///
/// Here a checkpoint is kept, progress shown, a pause made. `()` does nothing.
#[async_trait]
pub trait Observer<O: Sync = ()>: Send {
    /// Every row up to the page's checkpoint was gone through. Nothing goes on meanwhile, but what was begun of later pages.
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
    let read = |cursor: Cursor| async move {
        let page = match cursor {
            Cursor::Start => Page::first(options.batch),
            Cursor::After(key) => Page::first(options.batch).starting_after(key),
            Cursor::End => return Ok::<_, crate::Error>(None),
        };
        let read = rows.page(&page).await?;
        let next = match read.last() {
            Some(last) if read.len() >= options.batch => Cursor::After(last.key.clone()),
            _ => Cursor::End,
        };
        Ok(Some(((read, next.clone()), next)))
    };
    let work = |(mut page, next): (Vec<Row>, Cursor)| {
        let worker = &worker;
        page.retain(|row| options.shard.has(&row.key.to_bytes()));
        async move { Ok((worker.page(page).await?, next)) }
    };
    let mut pages =
        std::pin::pin!(stream::try_unfold(checkpoint.cursor.clone(), read).map_ok(work).try_buffered(options.workers));
    while let Some((worked, next)) = pages.try_next().await? {
        checkpoint.cursor = next;
        checkpoint.tally += worked.tally;
        let done = PageDone { page: worked.tally, troubles: worked.troubles, checkpoint };
        observer.page(&done, &worked.out).await?;
        checkpoint = done.checkpoint;
    }
    Ok(checkpoint.tally)
}

//! What a child does: a job, from where the last child was killed; or the application's part.

use std::io::Write as _;
use std::sync::Arc;

use fieldseal::Vault;
use fieldseal::jobs::{Adoption, Census, JobOptions, adopt, census, reseal, reveal_table};
use fieldseal_sqlx::SqliteRows;
use fieldseal_testkit::faults::{Act, Tapped};

use super::keeper::{Keeper, State, Stop};
use super::table::map;
use super::*;

/// `task` is one of
/// - `job FOLDER JOB POINT`: does the job; at its POINT-th point it says `reached`, and stands still.
/// - `application FOLDER JOB SEED`: writes to the table, until its input ends.
pub(crate) async fn run(task: &str) -> Result {
    let words: Vec<&str> = task.split('\n').collect();
    match words.as_slice() {
        ["job", folder, job, point] => {
            one_job(&SharedFiles((*folder).into()), Job::named(job).ok_or("no such job")?, point.parse()?).await
        }
        ["application", folder, job, seed] => {
            application::run(&SharedFiles((*folder).into()), Job::named(job).ok_or("no such job")?, seed.parse()?).await
        }
        _ => Err("a task that nobody gives".into()),
    }
}

pub(super) fn say(what: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{what}").expect("the parent listens");
    out.flush().expect("the parent listens");
}

/// What goes through the table.
struct Work<'a> {
    job: Job,
    place: &'a SharedFiles,
    stop: &'a Stop,
    vault: Vault,
    rows: Tapped<SqliteRows>,
}

async fn one_job(place: &SharedFiles, job: Job, point: u64) -> Result {
    let (tap, stop) = (Tap::open(), Arc::new(Stop::at(point)));
    let vault = place.vault(&tap, &now()).await?;
    let database = place.database().await?;
    let rows = SqliteRows::new(database.clone(), map(job).table()).await?;
    let at = stop.clone();
    tap.set(move |_| {
        at.pass();
        Act::Go
    });
    let work = Work { job, place, stop: &stop, vault, rows: Tapped::new(rows, &tap) };
    let mut state = State::read(place)?.unwrap_or_else(|| State::begin(job.first_step()));
    while state.step != "done" {
        state = work.step(state).await?;
        state.keep(place, &stop)?;
    }
    database.close().await;
    say("done");
    Ok(())
}

impl Job {
    fn first_step(self) -> &'static str {
        match self {
            Self::Reseal => "reseal",
            Self::Adopt => "backfill",
            Self::Census => "census",
            Self::Reveal => "reveal",
        }
    }

    /// Small, so that there is much to be killed between. Two pages at once: one is written while another is told of.
    fn options(self) -> JobOptions {
        JobOptions::new().batch(if self == Self::Adopt { 50 } else { 20 }).workers(2)
    }
}

impl Work<'_> {
    /// Goes on with the step that is kept, to its end. Gives the next one.
    async fn step(&self, state: State) -> Result<State> {
        let (map, rows) = (map(self.job), &self.rows);
        let options = match self.job {
            Job::Census => self.job.options(),
            job => match state.checkpoint()? {
                Some(checkpoint) => job.options().from(checkpoint),
                None => job.options(),
            },
        };
        let keeper = &mut Keeper { place: self.place, stop: self.stop, state };
        let next = match keeper.state.step.as_str() {
            "reseal" => {
                reseal(&self.vault, &map, rows, &options, keeper).await?;
                "done"
            }
            "backfill" => {
                adopt(&self.vault, &map, rows, Adoption::Backfill, &options, keeper).await?;
                return Ok(State::begin("verify"));
            }
            "verify" => {
                adopt(&self.vault, &map, rows, Adoption::Verify, &options, keeper).await?;
                self.release_without_plaintext().await?;
                return Ok(State::begin("contract"));
            }
            "contract" => {
                adopt(&self.vault, &map, rows, Adoption::Contract, &options, keeper).await?;
                "done"
            }
            "census" => {
                let mut counted = match keeper.state.text.as_str() {
                    "" => Census::begin(&self.vault),
                    kept => kept.parse()?,
                };
                census(&self.vault, &map, rows, &mut counted, &options, keeper).await?;
                "retire"
            }
            "retire" => {
                self.retire(&keeper.state.text.parse()?).await?;
                "done"
            }
            "reveal" => {
                keeper.forget_half_pages()?;
                reveal_table(&self.vault, &map, rows, &options, keeper).await?;
                "done"
            }
            other => return Err(format!("a step {other:?} that no job has").into()),
        };
        Ok(State { step: next.to_owned(), ..keeper.state.clone() })
    }

    /// From now on the application writes sealed values only, and NULL for the plaintext.
    async fn release_without_plaintext(&self) -> Result {
        let database = self.place.database().await?;
        sqlx::query("UPDATE application SET writes_plaintext = 0").execute(&database).await?;
        database.close().await;
        self.stop.pass();
        Ok(())
    }

    async fn retire(&self, counted: &Census) -> Result {
        let unnamed = counted.unnamed(&[&map(self.job)], HOUR)?;
        let mut from = None;
        loop {
            let page = self.vault.retire_versions_page(&unnamed, from.as_ref(), 20).await?;
            if let Some((_, e)) = page.failed.into_iter().next() {
                return Err(e.into());
            }
            from = page.next;
            if from.is_none() {
                return Ok(());
            }
        }
    }
}

//! Starts children, kills them, has others go on from what they left, and looks.

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fieldseal::rows::Row;
use fieldseal_testkit::customer;
use fleet_tests::harness::{Blocking, Trial, soak};
use tokio::runtime::Runtime;

use super::application::Record;
use super::look::{Current, Undisturbed, check_census, check_revealed, check_values};
use super::table::{ROWS, all, is_written, subject_of};
use super::template::{Log, make};
use super::*;

pub(crate) fn trials(runtime: &Arc<Runtime>) -> Vec<Trial> {
    let jobs = Job::ALL.into_iter().flat_map(|job| {
        let on = [(); 2].map(|()| Arc::clone(runtime));
        let [one, two] = on;
        [
            Blocking::new().trial(format!("jobs::killed_at_points_of_{job:?}"), move || killed_at_points(&one, job)),
            Blocking::new().trial(format!("jobs::killed_at_random_moments_of_{job:?}_beside_a_writer"), move || {
                killed_at_random_moments(&two, job)
            }),
        ]
    });
    jobs.collect()
}

/// Of each job, at random moments.
fn kills() -> u32 {
    if soak() { 50 } else { 12 }
}

/// Of how many points of a job it is killed at one.
const EVERY: u64 = 20;

/// The point that no job comes to.
const NEVER: u64 = u64::MAX;

fn killed_at_points(runtime: &Runtime, job: Job) -> Result {
    let folder = new_folder()?;
    let template = runtime.block_on(make(folder.path(), job, Log::Ahead))?;
    let before = runtime.block_on(all(&template))?;
    let undisturbed = {
        let folder = new_folder()?;
        let place = template.copy_to(folder.path())?;
        finish(&place, job)?;
        runtime.block_on(check_values(&place, job, &before, &Record::default(), job.leaves()))?;
        runtime.block_on(Undisturbed::look(before.clone(), &place))?
    };
    let lay = || {
        let folder = new_folder()?;
        let place = template.copy_to(folder.path())?;
        Ok((folder, place))
    };
    let start = |(_, place): &(_, SharedFiles), point| start_job(place, job, point);
    let points = kill_at_points(EVERY, lay, start, |(_folder, place)| {
        runtime.block_on(async {
            // Elsewhere: to open the table is to make it whole, and that is for the next child to do.
            let elsewhere = new_folder()?;
            let left = all(&place.copy_table_to(elsewhere.path())?).await?;
            undisturbed.check_left(&left);
            finish(&place, job)?;
            undisturbed.check_end(&place, &left).await?;
            if job == Job::Reveal {
                return Ok(()); // it shows each value, and changes none
            }
            check_values(&place, job, &before, &Record::default(), job.leaves()).await
        })
    })?;
    println!("{job:?} was killed at points up to {points}");
    assert!(points > 50, "there is more to be killed at");
    Ok(())
}

impl Job {
    fn leaves(self) -> Current {
        match self {
            Self::Reseal | Self::Adopt => Current::All,
            Self::Census | Self::Reveal => Current::Any,
        }
    }
}

/// Round by round: the job is killed until it comes to its end all the same, and then the application stops.
fn killed_at_random_moments(runtime: &Runtime, job: Job) -> Result {
    let seed = seed();
    println!("seed {seed}");
    let mut random = Random(seed);
    let (mut killed, mut writes) = (0, 0);
    for log in [Log::Ahead, Log::Rollback] {
        let folder = new_folder()?;
        let template = runtime.block_on(make(folder.path(), job, log))?;
        let mut round = Round { runtime, job, template, kills: 0, longest: Duration::ZERO };
        // Nobody is killed in the first: it tells how long a job takes.
        writes += round.play(&mut random)?;
        while round.kills < kills() / 2 {
            let written = round.play(&mut random);
            writes += written.map_err(|e| format!("seed {seed}, {log:?}, after {} kills: {e}", round.kills))?;
        }
        killed += round.kills;
    }
    println!("{job:?} was killed {killed} times beside {writes} changes");
    assert!(writes > 100, "the application came to nothing");
    Ok(())
}

struct Round<'a> {
    runtime: &'a Runtime,
    job: Job,
    template: SharedFiles,
    kills: u32,
    /// As long as the job takes if nobody kills it.
    longest: Duration,
}

impl Round<'_> {
    /// Gives how many changes the application made meanwhile.
    fn play(&mut self, random: &mut Random) -> Result<usize> {
        let (runtime, job) = (self.runtime, self.job);
        let folder = new_folder()?;
        let place = self.template.copy_to(folder.path())?;
        let before = runtime.block_on(all(&place))?;
        let mut application = start(&place, "application", job, &random.next().to_string())?;
        assert_eq!(application.next_line()?, "begun");
        if job != Job::Adopt {
            runtime.block_on(rotate_some(&place, job))?;
        }
        if self.longest.is_zero() {
            let began = Instant::now();
            finish(&place, job)?;
            self.longest = began.elapsed();
        } else {
            while self.kills < kills() / 2 && self.is_killed(&place, random)? {
                self.kills += 1;
            }
            finish(&place, job)?;
        }
        drop(application.child.stdin.take());
        let said = application.next_line()?;
        if said != "done" {
            return Err(format!("the application says {said:?}").into());
        }
        let record = Record::read(&place)?;
        runtime.block_on(self.check(&place, &before, &record))?;
        Ok(record.len())
    }

    /// False if the job came to its end before.
    fn is_killed(&self, place: &SharedFiles, random: &mut Random) -> Result<bool> {
        let mut child = start_job(place, self.job, NEVER)?;
        let longest = u64::try_from(self.longest.as_micros())?;
        std::thread::sleep(Duration::from_micros(random.below(longest)));
        child.kill()?;
        match child.line()?.as_deref() {
            None => Ok(true),
            Some("done") => Ok(false),
            Some(other) => Err(format!("the child says {other:?}").into()),
        }
    }

    async fn check(&self, place: &SharedFiles, before: &[Row], record: &Record) -> Result {
        let current = match self.job {
            Job::Reseal => Current::Untouched,
            job => job.leaves(),
        };
        check_values(place, self.job, before, record, current).await?;
        match self.job {
            Job::Reseal => {
                // What the application wrote under old keys behind the job's back is for the next run.
                std::fs::remove_file(place.file(STATE))?;
                finish(place, self.job)?;
                check_values(place, self.job, before, record, Current::All).await
            }
            Job::Adopt => Ok(()),
            Job::Census => check_census(place),
            Job::Reveal => check_revealed(place, record),
        }
    }
}

/// After the application read its keys: it goes on with them, and meets values under keys that it doesn't know.
async fn rotate_some(place: &SharedFiles, job: Job) -> Result {
    let customers = place.fresh().await?.default_tenant();
    for row in (1..=ROWS).step_by(20).filter(|row| is_written(job, *row)) {
        customers.rotate_now(&customer(subject_of(row))).await?;
    }
    Ok(())
}

/// Goes on with the job, to its end.
fn finish(place: &SharedFiles, job: Job) -> Result {
    match start_job(place, job, NEVER)?.next_line()?.as_str() {
        "done" => Ok(()),
        other => Err(format!("the next child says {other:?}").into()),
    }
}

fn start_job(place: &SharedFiles, job: Job, point: u64) -> Result<Process> {
    start(place, "job", job, &point.to_string())
}

fn start(place: &SharedFiles, task: &str, job: Job, detail: &str) -> Result<Process> {
    let folder = place.0.to_str().ok_or("a folder of another name")?;
    Process::start(&["jobs", task, folder, &format!("{job:?}"), detail].join("\n"), Stdio::piped())
}

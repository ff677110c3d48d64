//! A PostgreSQL primary that dies while vaults rewrap, erase and enroll, and its standby, which takes over.
//!
//! Applications reach the primary by a name that leads to another server afterwards: here a symbolic link to the directory
//! of its socket. Nothing tells a vault of it; it goes on when the name leads somewhere again. What is on the standby is
//! looked at before that.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "failover/asynchronous.rs"]
mod asynchronous;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "failover/site.rs"]
mod site;
#[path = "failover/synchronous.rs"]
mod synchronous;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Trial};
use postgres::Which;
use site::{JournalAt, Site};

type Result<T = ()> = fieldseal::Result<T>;

fn main() -> ExitCode {
    let mut trials = Vec::new();
    for which in Which::ALL {
        macro_rules! trials {
            ($($module:ident::$test:ident($journal:expr))*) => {$({
                let name = concat!(stringify!($module), "::", stringify!($test));
                let test = move || {
                    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
                    runtime.block_on(async {
                        let Some(site) = Site::new(which, $journal).await else {
                            return Ok(Completion::ignored_with("it is not installed"));
                        };
                        $module::$test(site).await?;
                        Ok(Completion::Completed)
                    })
                };
                let trial = Trial::ignorable_test(format!("{}::{name}", which.name()), test);
                trials.push(trial.with_ignored_flag(which.skip()));
            })*};
        }
        trials![
            synchronous::what_was_confirmed_is_there_and_vaults_go_on(JournalAt::AnotherCluster)
            synchronous::a_journal_in_the_same_cluster_fails_over_with_the_store(JournalAt::TheSameCluster)
            synchronous::an_erasure_that_was_cut_off_is_finished(JournalAt::AnotherCluster)
            synchronous::a_standby_that_is_down_holds_writes_up_and_loses_none(JournalAt::AnotherCluster)
            asynchronous::what_the_standby_lacks_is_noticed_and_nothing_erased_comes_back(JournalAt::AnotherCluster)
            asynchronous::a_journal_in_the_same_cluster_notices_nothing(JournalAt::TheSameCluster)
        ];
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

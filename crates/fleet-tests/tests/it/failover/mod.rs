//! A PostgreSQL primary that dies while vaults rewrap, erase and enroll, and its standby, which takes over.
//!
//! Applications reach the primary by a name that leads to another server afterwards: here a symbolic link to the directory
//! of its socket. Nothing tells a vault of it; it goes on when the name leads somewhere again. What is on the standby is
//! looked at before that.

mod asynchronous;
mod site;
mod synchronous;

use fleet_tests::harness::{Alone, Completion, Trial};
use fleet_tests::postgres::Which;
use fleet_tests::tests;
use site::{JournalAt, Site};

type Result<T = ()> = fieldseal::Result<T>;

pub(super) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for which in Which::ALL {
        trials.extend(tests![At(which, JournalAt::AnotherCluster) =>
            synchronous::what_was_confirmed_is_there_and_vaults_go_on
            synchronous::an_erasure_that_was_cut_off_is_finished
            synchronous::a_standby_that_is_down_holds_writes_up_and_loses_none
            asynchronous::what_the_standby_lacks_is_noticed_and_nobody_erased_returns
        ]);
        trials.extend(tests![At(which, JournalAt::TheSameCluster) =>
            synchronous::a_journal_in_the_same_cluster_fails_over_with_the_store
            asynchronous::a_journal_in_the_same_cluster_notices_nothing
        ]);
    }
    trials
}

/// Each test has servers of its own, because it kills them.
struct At(Which, JournalAt);

impl At {
    fn trial(&self, name: String, test: impl AsyncFnOnce(Site) -> Result + Send + 'static) -> Trial {
        let Self(which, at) = *self;
        Alone::new().named(which.name()).ignored(which.skip()).threads(2).trial(name, async move || {
            let Some(site) = Site::new(which, at).await else {
                return Ok(Completion::ignored_with("it is not installed"));
            };
            test(site).await.map(|()| Completion::Completed)
        })
    }
}

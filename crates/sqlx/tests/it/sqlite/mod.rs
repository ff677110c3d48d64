//! SQLite.

mod abandoned;
mod columns;
mod derive;
mod leaks;
mod rows;
mod scrub;
pub(crate) mod store;

use fleet_tests::harness::Trial;

pub(crate) fn trials() -> Vec<Trial> {
    [
        abandoned::trials(),
        columns::trials(),
        derive::trials(),
        leaks::trials(),
        rows::trials(),
        scrub::trials(),
        store::trials(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

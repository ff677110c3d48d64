//! The key tool, run as its user does; and its parts that can be looked at alone: its URLs, the report's page.
//!
//! A build with few backends has fewer tests: that its tool works on files, and says which build would know a URL.
#![cfg_attr(unix, expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic"))]

#[cfg(all(unix, feature = "default"))]
mod application;
#[cfg(all(unix, feature = "default"))]
mod commands;
#[cfg(unix)]
mod folder;
#[cfg(all(unix, feature = "default"))]
mod journey;
#[cfg(unix)]
#[cfg_attr(feature = "default", allow(dead_code, unused_imports, reason = "the tool uses all of it"))]
#[path = "../../src/ports/mod.rs"]
mod ports;
#[cfg(all(unix, feature = "default"))]
mod postgres;
#[cfg(all(unix, feature = "default"))]
mod report;
#[cfg(all(unix, feature = "default"))]
mod runbooks;
#[cfg(all(unix, not(feature = "default")))]
mod small;
#[cfg(all(unix, feature = "default"))]
mod tls;
#[cfg(unix)]
mod urls;

#[cfg(all(unix, feature = "default"))]
fn main() -> std::process::ExitCode {
    use fleet_tests::harness::Arguments;
    use fleet_tests::postgres::{Databases, Which};

    if application::is_asked_for() {
        return application::run();
    }
    // The longest first: one that starts last would leave the other cores idle at the end.
    let databases = Databases::new(Which::Installed);
    let mut trials = journey::trials(&databases);
    trials.extend(tls::trials());
    trials.extend(postgres::trials(&databases));
    trials.extend(report::trials());
    trials.extend(runbooks::trials());
    trials.extend(commands::trials());
    trials.extend(urls::trials());
    let mut arguments = Arguments::from_args();
    // A test mostly waits: for the tool, for a server, for keys to expire.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    arguments.test_threads.get_or_insert(2 * cores);
    libtest_mimic::run(&arguments, trials).exit_code()
}

#[cfg(all(unix, not(feature = "default")))]
fn main() -> std::process::ExitCode {
    let mut trials = urls::trials();
    trials.extend(small::trials());
    fleet_tests::harness::run(trials)
}

#[cfg(not(unix))]
fn main() {}

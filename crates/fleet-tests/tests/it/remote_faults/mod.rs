//! Vaults whose ports are far away, while the way to them breaks: microburst, a proxy, gives the errors, cuts, resets and
//! silence that the real servers and emulators behind it don't. Each error is of its kind, nothing that was confirmed is lost,
//! and no call hangs.
//!
//! Not libtest's harness, which knows only when it is compiled what to ignore.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

#[path = "remote_faults/answers.rs"]
mod answers;
#[path = "remote_faults/aws.rs"]
mod aws;
#[path = "support/dynamodb.rs"]
mod dynamodb;
#[path = "remote_faults/erasures.rs"]
mod erasures;
#[path = "support/kms.rs"]
mod kms;
#[path = "remote_faults/load.rs"]
mod load;
#[path = "remote_faults/openbao.rs"]
mod openbao;
#[path = "remote_faults/postgres.rs"]
mod postgres;
#[path = "support/postgres.rs"]
mod server;
#[path = "support/service.rs"]
mod service;
#[path = "remote_faults/silence.rs"]
mod silence;

use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use libtest_mimic::{Arguments, Completion, Trial};
use service::Service;
use tokio::runtime;

fn main() -> ExitCode {
    // With the examples' TLS built in, reqwest makes no client before it has cryptography.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let programs = ["moto_server", "ministack", "microburst"];
    let skip = ["kms", "dynamodb"].map(|name| service::skip(name, &programs)).contains(&true);
    // Started by the first test that runs, so that listing them starts nothing.
    let servers: Arc<OnceLock<Servers>> = Arc::default();
    let mut trials = Vec::new();
    macro_rules! trials {
        ($($module:ident::$test:ident)*) => {$({
            let servers = Arc::clone(&servers);
            let test = move || Ok(run(async { $module::$test(servers.get_or_init(Servers::start)).await }));
            let name = concat!(stringify!($module), "::", stringify!($test));
            trials.push(Trial::ignorable_test(name, test).with_ignored_flag(skip));
        })*};
    }
    trials![
        aws::each_error_of_kms_comes_out_as_its_kind
        aws::each_error_of_dynamodb_comes_out_as_its_kind
        aws::a_way_that_breaks_is_unavailable_and_nothing_is_lost
        aws::a_slow_way_fails_nothing
        silence::the_circuit_to_kms_opens_and_closes_and_warm_tenants_go_on
        silence::the_circuit_to_dynamodb_opens_and_closes_and_warm_subjects_go_on
        silence::what_does_not_answer_is_unavailable_within_the_deadline
        answers::a_key_that_was_changed_on_its_way_is_never_used
        answers::a_slot_that_was_changed_on_its_way_is_corrupt
        answers::a_wrapped_key_that_was_changed_on_its_way_is_not_stored
        erasures::an_erasure_is_done_or_finished_and_never_undone
        erasures::an_erasure_gets_over_one_failure_wherever_it_is
    ];
    macro_rules! alone {
        ($($module:ident::$test:ident, $skip:expr;)*) => {$({
            let name = concat!(stringify!($module), "::", stringify!($test));
            let test = || Ok(run($module::$test()));
            trials.push(Trial::ignorable_test(name, test).with_ignored_flag($skip));
        })*};
    }
    alone![
        openbao::each_fault_comes_out_as_its_kind, service::skip("openbao", &["bao", "microburst"]);
        postgres::a_connection_that_breaks_is_unavailable_and_nothing_is_lost,
            server::skip() || service::skip("postgres", &["microburst"]);
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// What nothing is between: KMS by moto, which knows a key that was tampered with; DynamoDB by ministack, because moto copies
/// all that it holds for each transaction.
struct Servers {
    kms: Service,
    dynamodb: Service,
}

impl Servers {
    fn start() -> Self {
        Self { kms: service::moto(), dynamodb: service::ministack() }
    }
}

fn run(test: impl Future<Output = ()>) -> Completion {
    runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(test);
    Completion::Completed
}

//! Vaults whose ports are far away, while the way to them breaks: microburst, a proxy, gives the errors, cuts, resets and
//! silence that the real servers and emulators behind it don't. Each error is of its kind, nothing that was confirmed is lost,
//! and no call hangs.

mod answers;
mod aws;
mod erasures;
mod load;
mod openbao;
mod postgres;
mod silence;

use fleet_tests::harness::{Alone, Shared, Trial};
use fleet_tests::microburst::Upstream;
use fleet_tests::{service, tests};

pub(crate) fn trials() -> Vec<Trial> {
    // Else reqwest makes no client.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let programs = ["moto_server", "ministack", "microburst"];
    let skip = ["kms", "dynamodb"].map(|name| service::skip(name, &programs)).contains(&true);
    let servers = Shared::new(Servers::start).ignored(skip).threads(2);
    let mut trials = tests![servers =>
        aws::each_error_of_kms_comes_out_as_its_kind
        aws::each_error_of_dynamodb_comes_out_as_its_kind
        aws::a_way_that_breaks_is_unavailable_and_nothing_is_lost
        aws::a_slow_way_fails_nothing
        silence::the_circuit_to_kms_opens_and_closes_beside_warm_tenants
        silence::the_circuit_to_dynamodb_opens_beside_warm_subjects
        silence::what_does_not_answer_is_unavailable_within_the_deadline
        answers::a_key_that_was_changed_on_its_way_is_never_used
        answers::a_slot_that_was_changed_on_its_way_is_corrupt
        answers::a_wrapped_key_that_was_changed_on_its_way_is_not_stored
        erasures::an_erasure_is_done_or_finished_and_never_undone
        erasures::an_erasure_gets_over_one_failure_wherever_it_is
    ];
    let openbao = Alone::new().threads(2).ignored(service::skip("openbao", &["bao", "microburst"]));
    trials.extend(tests![openbao => openbao::each_fault_comes_out_as_its_kind]);
    let skip = fleet_tests::postgres::skip() || service::skip("postgres", &["microburst"]);
    let postgres = Alone::new().threads(2).ignored(skip);
    trials.extend(tests![postgres => postgres::a_connection_that_breaks_is_unavailable_and_nothing_is_lost]);
    trials
}

/// What nothing is between: KMS by moto, which knows a key that was tampered with; DynamoDB by ministack, because moto copies
/// a table for each transaction.
struct Servers {
    kms: Upstream,
    dynamodb: Upstream,
}

impl Servers {
    fn start() -> Self {
        Self { kms: Upstream::new(service::moto()), dynamodb: Upstream::new(service::ministack()) }
    }
}

//! `OpenBao`, on a server of the test's own: the conformance suite, and what a transit engine adds.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

mod answers;
mod keys;
mod refusals;
mod world;

use std::process::ExitCode;

use fieldseal_testkit::provider::RULES;
use fleet_tests::harness::{self, Alone, Shared};
use fleet_tests::{service, tests};
use serde_json::json;
use world::Bao;

fn main() -> ExitCode {
    // With the examples' TLS built in, reqwest makes no client before it has cryptography.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let skip = service::skip("openbao", &["bao"]);
    let server = Shared::new(Bao::start).ignored(skip);
    let mut trials = Vec::new();
    for (settings, body) in [
        ("plain", json!({})),
        ("derived", json!({"derived": true})),
        ("chacha20", json!({"type": "chacha20-poly1305"})),
        ("xchacha20", json!({"type": "xchacha20-poly1305"})),
    ] {
        for (name, rule) in RULES {
            let body = body.clone();
            let test = async |bao: &Bao| rule(&bao.family(body).await).await;
            trials.push(server.trial(format!("suite::{settings}::{name}"), test));
        }
    }
    trials.extend(tests![server =>
        keys::a_whole_life
        keys::the_policies_of_the_runbook_suffice
        keys::a_key_that_is_made_again_is_another_one
        keys::a_wrapped_key_is_not_another_keys_of_the_same_name
        keys::a_key_that_was_deleted_is_not_made_by_wrapping
        keys::a_key_of_another_engine_is_unknown
        keys::a_key_that_can_leave_the_engine_is_refused
        keys::a_key_that_wraps_badly_is_refused
        keys::a_soft_deleted_key_is_disabled
        keys::a_version_that_is_shut_off_is_disabled
        keys::versions_of_a_key_are_one_master_key
        keys::a_clone_uses_the_same_key
        keys::a_namespace_is_asked_for
        refusals::a_token_that_is_not_valid_is_denied_until_it_is_renewed
        refusals::nothing_says_the_token_or_the_key
        refusals::a_path_without_an_engine_is_told
    ]);
    // With servers of their own.
    trials.extend(tests![Alone::new().ignored(skip) =>
        refusals::a_sealed_server_is_unavailable
        refusals::a_server_that_was_killed_is_unavailable
    ]);
    // Without one.
    trials.extend(tests![Alone::new() =>
        refusals::an_address_that_is_none_is_refused
        answers::a_status_means_what_it_means
        answers::a_page_that_is_not_found_destroys_no_key
        answers::an_answer_that_is_none_is_refused
        answers::an_answer_that_has_no_end_is_not_read_to_it
        answers::a_server_that_does_not_answer_is_unavailable
    ]);
    harness::run(trials)
}

//! `AwsKms`, on each emulator where it is right: on moto contexts, tampering and rotation; on ministack what becomes of keys.
//! Where one is wrong, a test that begins with its name says so, and fails once it isn't any more.

mod answers;
mod faults;
mod names;
mod regions;
mod states;
mod vault;

use async_trait::async_trait;
use aws_sdk_kms::Client;
use fieldseal::TenantId;
use fieldseal::provider::{KeyMaterial, MasterKeyProvider, WrapContext};
use fieldseal::store::Epoch;
use fieldseal_aws::AwsKms;
use fieldseal_testkit::provider::{self as suite, ProviderFixture};
use fleet_tests::harness::{Alone, Shared, Trial};
use fleet_tests::kms::{self, HOME};
use fleet_tests::microburst::Upstream;
use fleet_tests::{service, tests};

use crate::PROGRAMS;

/// Rules of the suite that can't be shown on moto. Its deeds are shown by the `names::moto_..`, and the rules hold on
/// ministack, but for the first two: of these there are twins in `names`, and in `faults` what KMS answers.
const LIES_OF_MOTO: &[&str] = &[
    "a_flipped_bit_does_not_unwrap", // in the bytes that name the key it denies, as KMS may: `names`
    "a_relabeled_key_does_not_unwrap", // it denies: `names`
    // It decrypts whatever the state of the key, and can't schedule one by its ARN.
    "a_destroyed_master_key_unwraps_nothing",
    "destroying_one_master_key_leaves_the_others",
    "destroying_again_is_fine",
    "a_destruction_is_told_and_not_made",
];

/// Rules that can't be shown on ministack: it authenticates the context and nothing else. They hold on moto.
const LIES_OF_MINISTACK: &[&str] = &[
    "a_flipped_bit_does_not_unwrap",
    "a_wrapped_key_of_another_length_does_not_unwrap",
    "a_relabeled_key_does_not_unwrap",
];

pub(crate) fn trials(ministack: &Shared<Upstream>) -> Vec<Trial> {
    let skip = service::skip("kms", PROGRAMS);
    let moto = Shared::new(|| Upstream::new(service::moto())).named("moto").ignored(skip);
    let ministack = ministack.clone().ignored(skip);
    let mut trials = Vec::new();
    for (emulator, lies) in [(&moto, LIES_OF_MOTO), (&ministack, LIES_OF_MINISTACK)] {
        for (rule, check) in suite::RULES.iter().filter(|(rule, _)| !lies.contains(rule)) {
            let test = async |aws: &Upstream| check(&Fixture::new(aws).await).await;
            trials.push(emulator.trial(format!("kms::suite::{rule}"), test));
        }
    }
    for rule in LIES_OF_MOTO.iter().chain(LIES_OF_MINISTACK) {
        assert!(suite::RULES.iter().any(|(name, _)| name == rule), "the suite has no rule {rule}");
    }
    trials.extend(tests![moto =>
        names::a_key_has_four_names_and_one_id
        names::a_name_that_stands_for_nothing_is_misconfigured
        names::an_unfit_key_is_refused_and_the_error_says_what_to_create
        names::a_wrapped_key_is_a_ciphertext_of_kms_as_documented
        names::an_id_of_another_account_region_or_form_is_unknown
        names::a_flipped_bit_does_not_unwrap
        names::moto_says_that_a_relabeled_key_is_denied_and_not_why
        names::moto_decrypts_under_a_key_that_is_to_be_destroyed
        names::moto_does_not_decrypt_under_a_multi_region_key
        faults::each_error_of_kms_is_of_its_kind
        faults::a_state_is_looked_up
        faults::a_call_that_breaks_off_is_unavailable
        faults::a_call_that_takes_too_long_is_unavailable
        faults::nothing_of_a_failure_shows_what_is_secret
        regions::a_key_of_one_region_is_refused_where_several_are_named
        vault::keys_move_from_epoch_to_epoch
        vault::calls_are_a_matter_of_tenants_not_of_subjects
    ]);
    trials.extend(tests![ministack =>
        states::a_disabled_key_is_disabled_until_it_is_enabled
        states::a_destruction_that_is_called_back_is_none
        states::the_waiting_period_is_the_one_that_was_said
        states::a_key_that_is_to_be_destroyed_keeps_its_date
        states::a_key_of_ours_that_kms_does_not_know_is_destroyed
        states::ministack_decrypts_what_was_changed_or_relabeled
        regions::a_multi_region_key_is_one_master_key_wherever_it_answers
        regions::only_a_region_that_does_not_answer_is_passed_over
        regions::a_region_that_is_silent_leaves_time_for_the_next
        regions::a_multi_region_key_is_destroyed_in_every_region
        regions::a_multi_region_key_of_elsewhere_is_destroyed_where_it_is
        regions::a_replica_that_can_not_be_reached_is_no_ones_to_forget
        vault::keys_move_from_epoch_to_epoch
        vault::an_erasure_is_final_once_kms_knows_the_key_no_more
    ]);
    // On no emulator: what KMS answers is made up, or nothing is asked.
    trials.extend(tests![Alone::new() =>
        answers::the_key_that_wrapped_is_asked_for_and_no_other
        answers::an_answer_that_does_not_fit_is_corrupt
        names::the_policies_of_the_handbook_fit_the_calls
    ]);
    trials
}

/// A provider with a key of its own, by an alias.
struct Fixture {
    client: Client,
    alias: String,
    provider: AwsKms,
}

impl Fixture {
    async fn new(aws: &Upstream) -> Self {
        let client = kms::client(&aws.url(), HOME);
        let (id, _) = kms::key(client.create_key()).await;
        let alias = kms::alias(&client, &id).await;
        let provider = AwsKms::new(client.clone(), &alias).unwrap();
        Self { client, alias, provider }
    }

    /// The same key, reached over another address.
    fn over(&self, url: &str) -> AwsKms {
        AwsKms::new(kms::client(url, HOME), &self.alias).unwrap()
    }
}

#[async_trait]
impl ProviderFixture for Fixture {
    fn provider(&self) -> &dyn MasterKeyProvider {
        &self.provider
    }

    async fn rotate(&self) {
        kms::repoint(&self.client, &self.alias).await;
    }
}

/// A key, and a context for it.
fn material() -> (KeyMaterial, WrapContext) {
    let key = KeyMaterial::generate().unwrap();
    let context = WrapContext::epoch_key(TenantId::new("acme").unwrap(), Epoch::FIRST, key.id());
    (key, context)
}

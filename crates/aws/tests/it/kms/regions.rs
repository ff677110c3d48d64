//! Multi-Region keys: one master key, in several regions. On ministack, with a microburst before each region.

use std::time::Duration;

use aws_sdk_kms::Client;
use aws_sdk_kms::config::timeout::TimeoutConfig;
use fieldseal::guard::{Guard, Guarded};
use fieldseal::provider::{
    AnyOf, Destruction, MasterKeyId, MasterKeyProvider as _, ProviderErrorKind as Kind, Succession,
};
use fieldseal_aws::AwsKms;
use serde_json::json;

use fleet_tests::kms::{self, AWAY, HOME};
use fleet_tests::microburst::{HANGS, Microburst, Upstream};

use super::{Fixture, material};

/// A key in both regions, by an alias in each.
struct TwoRegions {
    home: Client,
    away: Client,
    alias: String,
    id: String,
}

impl TwoRegions {
    async fn new(aws: &Upstream) -> Self {
        let [home, away] = [HOME, AWAY].map(|region| kms::client(&aws.url(), region));
        let (id, _) = kms::key(home.create_key().multi_region(true)).await;
        home.replicate_key().key_id(&id).replica_region(AWAY).send().await.unwrap();
        let alias = kms::alias(&home, &id).await;
        away.create_alias().alias_name(&alias).target_key_id(&id).send().await.unwrap();
        Self { home, away, alias, id }
    }

    fn provider(&self) -> AwsKms {
        AwsKms::new(self.home.clone(), &self.alias).unwrap().region(self.away.clone()).unwrap()
    }

    /// Points the alias at another key, in both regions; gives the id of the one before.
    async fn rotate(&self) -> MasterKeyId {
        let old = self.provider().current().await.unwrap();
        let (id, _) = kms::key(self.home.create_key().multi_region(true)).await;
        self.home.replicate_key().key_id(&id).replica_region(AWAY).send().await.unwrap();
        for client in [&self.home, &self.away] {
            client.update_alias().alias_name(&self.alias).target_key_id(&id).send().await.unwrap();
        }
        old
    }
}

/// A microburst before each region.
async fn proxies(aws: &Upstream) -> [Microburst; 2] {
    [aws.microburst().await, aws.microburst().await]
}

fn over(key: &TwoRegions, [home, away]: &[Microburst; 2]) -> AwsKms {
    let (home, away) = (kms::client(&home.url(), HOME), kms::client(&away.url(), AWAY));
    AwsKms::new(home, &key.alias).unwrap().region(away).unwrap()
}

pub(crate) async fn a_multi_region_key_is_one_master_key_wherever_it_answers(aws: &Upstream) {
    let two = TwoRegions::new(aws).await;
    let mut proxies = proxies(aws).await;
    let provider = over(&two, &proxies);
    let (key, context) = material();
    let at_home = provider.wrap_key(&key, &context).await.unwrap();
    assert_eq!(at_home.master().as_str(), format!("arn:aws:kms:*:000000000000:key/{}", two.id));
    assert_eq!(&provider.current().await.unwrap(), at_home.master());

    proxies[0].kill();
    assert_eq!(provider.unwrap_key(&at_home, &context).await.unwrap().expose(), key.expose());
    let away = provider.wrap_key(&key, &context).await.unwrap();
    assert_eq!(away.master(), at_home.master());
    // Which key is the current one, and what has become of one, is asked of the first region.
    assert_eq!(provider.current().await.unwrap_err().kind(), Kind::Unavailable);
    assert_eq!(provider.destruction(at_home.master()).await.unwrap_err().kind(), Kind::Unavailable);

    // What another region wrapped is opened at home; and by whoever names the regions the other way round, or one alone.
    for provider in [
        two.provider(),
        AwsKms::new(two.away.clone(), &two.alias).unwrap().region(two.home.clone()).unwrap(),
        AwsKms::new(two.home.clone(), &two.alias).unwrap(),
        AwsKms::new(two.away.clone(), &two.id).unwrap(),
    ] {
        assert_eq!(&provider.current().await.unwrap(), away.master());
        assert_eq!(provider.unwrap_key(&away, &context).await.unwrap().expose(), key.expose());
        let error = provider.destroy_key(away.master()).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Misconfigured, "it is the current one, by whichever region's name");
    }

    proxies[1].kill();
    assert_eq!(provider.unwrap_key(&away, &context).await.unwrap_err().kind(), Kind::Unavailable);
    assert_eq!(provider.wrap_key(&key, &context).await.unwrap_err().kind(), Kind::Unavailable);
}

/// It takes the call and says nothing: the guard would give up before the next region is asked.
pub(crate) async fn a_region_that_is_silent_leaves_time_for_the_next(aws: &Upstream) {
    let two = TwoRegions::new(aws).await;
    let proxies = proxies(aws).await;
    let silent = kms::client_within(&proxies[0].url(), HOME, Duration::from_millis(500));
    let kms = AwsKms::new(silent, &two.alias).unwrap().region(kms::client(&proxies[1].url(), AWAY)).unwrap();
    // Longer than by default: emulators on a machine that is busy answer late.
    let guard = Guard::new().attempt_deadline(Duration::from_secs(60)).deadline(Duration::from_secs(60));
    let provider = Guarded::new(kms, &guard);
    let (key, context) = material();
    let wrapped = two.provider().wrap_key(&key, &context).await.unwrap();
    proxies[0].rules(json!([{ "service": "kms", "timeout_ms": HANGS }])).await;
    assert_eq!(provider.unwrap_key(&wrapped, &context).await.unwrap().expose(), key.expose());
    assert_eq!(provider.wrap_key(&key, &context).await.unwrap().master(), wrapped.master());

    // So it is asked for.
    let untimed =
        |of: &Client| Client::from_conf(of.config().to_builder().timeout_config(TimeoutConfig::disabled()).build());
    for [home, away] in [[untimed(&two.home), two.away.clone()], [two.home.clone(), untimed(&two.away)]] {
        let error = AwsKms::new(home, &two.alias).unwrap().region(away).unwrap_err();
        assert_eq!(error.kind(), Kind::Misconfigured);
        assert!(error.to_string().contains("operation_timeout"), "{error}");
    }
}

pub(crate) async fn only_a_region_that_does_not_answer_is_passed_over(aws: &Upstream) {
    let two = TwoRegions::new(aws).await;
    let proxies = proxies(aws).await;
    let provider = over(&two, &proxies);
    let (key, context) = material();
    let (_, other) = material();
    let wrapped = provider.wrap_key(&key, &context).await.unwrap();
    for (code, passed_over) in [
        ("KMSInternalException", true),
        ("ThrottlingException", true),
        ("AccessDeniedException", false),
        ("DisabledException", false),
        ("InvalidCiphertextException", false),
    ] {
        let error = json!({ "code": code });
        proxies[0].rules(json!([{ "service": "kms", "error": error }])).await;
        assert_eq!(provider.unwrap_key(&wrapped, &context).await.is_ok(), passed_over, "{code}");
        assert_eq!(provider.wrap_key(&key, &context).await.is_ok(), passed_over, "{code}");
    }
    proxies[0].breaks("kms", "Decrypt", json!({ "error": { "code": "ThrottlingException" } })).await;
    // That it is not authentic, any region can say; what else the second one says is its own.
    assert_eq!(provider.unwrap_key(&wrapped, &other).await.unwrap_err().kind(), Kind::Authentication);
    for code in ["AccessDeniedException", "DisabledException", "NotFoundException", "KMSInternalException"] {
        proxies[1].breaks("kms", "Decrypt", json!({ "error": { "code": code } })).await;
        assert_eq!(provider.unwrap_key(&wrapped, &context).await.unwrap_err().kind(), Kind::Throttled, "{code}");
    }
}

pub(crate) async fn a_key_of_one_region_is_refused_where_several_are_named(aws: &Upstream) {
    let fixture = Fixture::new(aws).await;
    let (key, context) = material();
    let wrapped = fixture.provider.wrap_key(&key, &context).await.unwrap();
    let two = fixture.provider.clone().region(kms::client(&aws.url(), AWAY)).unwrap();
    assert_eq!(two.current().await.unwrap_err().kind(), Kind::Misconfigured);
    let fresh =
        AwsKms::new(fixture.client.clone(), &fixture.alias).unwrap().region(kms::client(&aws.url(), AWAY)).unwrap();
    assert_eq!(fresh.wrap_key(&key, &context).await.unwrap_err().kind(), Kind::Misconfigured);
    // What an earlier epoch's key of one region wrapped still unwraps.
    assert_eq!(two.unwrap_key(&wrapped, &context).await.unwrap().expose(), key.expose());
}

pub(crate) async fn a_multi_region_key_is_destroyed_in_every_region(aws: &Upstream) {
    let two = TwoRegions::new(aws).await;
    let provider = two.provider().waiting_days(7).unwrap();
    let (key, context) = material();
    let wrapped = provider.wrap_key(&key, &context).await.unwrap();
    let old = two.rotate().await;
    assert_eq!(provider.destruction(&old).await.unwrap(), None);
    let Destruction::Scheduled { at } = provider.destroy_key(&old).await.unwrap() else { panic!("not scheduled") };
    // Seven days for the replica, and seven more for the primary after it.
    let replica = dated(&two.away, &two.id).await;
    assert_eq!(at, replica.plus(Duration::from_secs(7 * 24 * 60 * 60)));
    for client in [&two.home, &two.away] {
        assert!(dated(client, &two.id).await <= at);
    }
    assert_eq!(provider.unwrap_key(&wrapped, &context).await.unwrap_err().kind(), Kind::PendingDeletion);
    assert!(matches!(provider.destruction(&old).await.unwrap(), Some(Destruction::Scheduled { .. })));
    // One region where it is usable again, and it is not on its way out; ordered again, the rest is done.
    two.away.cancel_key_deletion().key_id(&two.id).send().await.unwrap();
    assert_eq!(provider.destruction(&old).await.unwrap(), None);
    assert!(matches!(provider.destroy_key(&old).await.unwrap(), Destruction::Scheduled { .. }));
    assert!(matches!(provider.destruction(&old).await.unwrap(), Some(Destruction::Scheduled { .. })));
}

/// When ministack destroys a key in a region.
async fn dated(client: &Client, id: &str) -> fieldseal::clock::Timestamp {
    let described = client.describe_key().key_id(id).send().await.unwrap();
    let millis = described.key_metadata().unwrap().deletion_date().unwrap().to_millis().unwrap();
    fieldseal::clock::Timestamp::from_millis(millis.try_into().unwrap())
}

pub(crate) async fn a_replica_that_can_not_be_reached_is_no_ones_to_forget(aws: &Upstream) {
    let two = TwoRegions::new(aws).await;
    let old = two.rotate().await;
    let alone = AwsKms::new(two.home.clone(), &two.alias).unwrap();
    // A client for the primary's region alone: nothing is scheduled there either.
    assert_eq!(alone.destroy_key(&old).await.unwrap_err().kind(), Kind::Misconfigured);
    assert_eq!(alone.destruction(&old).await.unwrap(), None);
    let replica = AwsKms::new(two.away.clone(), &two.alias).unwrap();
    assert_eq!(replica.destroy_key(&old).await.unwrap_err().kind(), Kind::Misconfigured);
    // Scheduled by hand where it can be seen, it lives on elsewhere.
    two.home.schedule_key_deletion().key_id(&two.id).send().await.unwrap();
    assert_eq!(alone.destruction(&old).await.unwrap_err().kind(), Kind::Misconfigured);
    assert_eq!(two.provider().destruction(&old).await.unwrap(), None);
    assert!(matches!(two.provider().destroy_key(&old).await.unwrap(), Destruction::Scheduled { .. }));
}

/// Each region's provider takes the other's id for one of its own account's, since it names no region.
pub(crate) async fn a_multi_region_key_of_elsewhere_is_destroyed_where_it_is(aws: &Upstream) {
    let [home, away] = [HOME, AWAY].map(|region| kms::client(&aws.url(), region));
    let alone = async |client: &Client| {
        let (id, _) = kms::key(client.create_key().multi_region(true)).await;
        let alias = kms::alias(client, &id).await;
        (AwsKms::new(client.clone(), &alias).unwrap(), alias)
    };
    let ((there, alias), (here, _)) = (alone(&home).await, alone(&away).await);
    let old = there.current().await.unwrap();
    let (key, context) = material();
    let wrapped = there.wrap_key(&key, &context).await.unwrap();
    let (id, _) = kms::key(home.create_key().multi_region(true)).await;
    home.update_alias().alias_name(&alias).target_key_id(&id).send().await.unwrap();

    // A move to another region: who leaves the earlier provider out destroys nothing, and is told so.
    assert_eq!(here.destroy_key(&old).await.unwrap_err().kind(), Kind::UnknownKey);
    assert_eq!(here.unwrap_key(&wrapped, &context).await.unwrap_err().kind(), Kind::UnknownKey);
    let moved = Succession::to(here.clone()).from(there.clone());
    let set = AnyOf::new(there.clone()).member(here);
    assert_eq!(moved.destruction(&old).await.unwrap(), None);
    assert_eq!(set.destruction(&old).await.unwrap(), None);
    let Destruction::Scheduled { at } = moved.destroy_key(&old).await.unwrap() else { panic!("not scheduled") };
    assert_eq!(there.destruction(&old).await.unwrap(), Some(Destruction::Scheduled { at }));
    assert_eq!(set.destroy_key(&old).await.unwrap(), Destruction::Scheduled { at });
}

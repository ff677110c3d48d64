//! [`AwsKms`]: master keys at AWS KMS. `docs/master-keys.md` has the setup, the policy and the runbook.
//!
//! `arn` is names, `context` is what KMS authenticates, `region` is the calls,
//! `failure` sorts what went wrong, `fate` is what has become of a key.

mod arn;
mod context;
mod failure;
mod fate;
mod region;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use aws_sdk_kms::Client;
use aws_sdk_kms::types::{EncryptionAlgorithmSpec, KeyManagerType, KeyMetadata, OriginType};

use self::arn::{KeyArn, Name};
use self::fate::Fate;
use self::region::Region;
use fieldseal::error::{ProviderError, ProviderErrorKind, Retry};
use fieldseal::provider::{Destruction, MasterKeyProvider};
use fieldseal::provider::{KeyMaterial, MasterKeyId, WrapContext, WrappedKey};

/// Master keys at AWS KMS: symmetric keys that KMS made, and that never leave it.
///
/// The key is named by its id, its ARN, an alias or an alias's ARN. **Name an alias**: pointing it at a new key is how a new
/// master key becomes the current one, for [`Vault::advance_epoch`](fieldseal::Vault::advance_epoch). What is wrapped under the
/// keys before still unwraps, by the ARN that stands with it.
///
/// ```no_run
/// # async fn example(config: aws_sdk_kms::Config) -> Result<(), fieldseal::provider::ProviderError> {
/// use fieldseal_aws::AwsKms;
///
/// let client = aws_sdk_kms::Client::from_conf(config); // credentials, region, timeouts, retries: yours
/// let provider = AwsKms::new(client, "alias/fieldseal")?;
/// # Ok(())
/// # }
/// ```
///
/// Wrapping is one Encrypt, unwrapping one Decrypt, with the [`WrapContext`] as encryption context, of which no part is
/// personal: KMS writes it to CloudTrail. The wrapped key is KMS's ciphertext as it is, some 190 bytes. Each key that is
/// wrapped with for the first time is described once, in each process; [`current`](MasterKeyProvider::current) describes it
/// each time, because an alias may have moved, and is asked only when an epoch begins or ends.
///
/// The application makes the client, and with it says how long a call may take and how often it is made again.
///
/// # Several regions
/// A multi-Region key (`mrk-..`) is one master key that several regions have; [`region`](Self::region) names the client of
/// another one. A call that the first region does not answer (`Unavailable`, `Throttled`) is made to the next, wrapping too;
/// whatever else the first one answers stands. A region that takes calls and says nothing must end by itself for the next to
/// be asked, so each client needs an operation timeout: all of them together shorter than what waits for the call (a
/// [`Guard::attempt_deadline`](fieldseal::guard::Guard::attempt_deadline) is 2 s), such as 800 ms for each of two. An alias is
/// each region's own: point it at the same key in all of them. A key store whose epoch has another master key refuses what
/// a lagging alias makes, and nothing is lost.
///
/// The id of a multi-Region key is its ARN with `*` as region, so that it is the same whichever region answers, and whichever
/// is named first.
///
/// # Destruction
/// KMS destroys a key 7 to 30 days after it was told to: [`Destruction::Scheduled`]. From then on the key is of no use, but
/// until then it **can be called back** (CancelKeyDeletion), so no receipt is final before KMS knows the key no more. A key of
/// the same account and region that KMS does not know is taken for destroyed: the id of a KMS key is never used again, and the
/// ids that a key store and its journal name came from KMS.
///
/// A multi-Region key is scheduled in each region; nothing is, unless there is a client for every region that has a replica.
/// Its date is that of the last replica and the primary's waiting period after that. Once it is gone, KMS no longer tells
/// where it was, and its id doesn't: what is then said is [`Destruction::DestroyedHere`], and that other regions may have it.
/// Such a key of which no region that was named knows anything opens nothing and is not destroyed: it is `UnknownKey`.
///
/// Rotation *within* a key (EnableKeyRotation) is fine and ends nothing: KMS keeps all earlier material for as long as the key
/// lives. Only a new key an epoch can be destroyed.
///
/// # Limits
/// Asymmetric and HMAC keys can't wrap. AWS managed keys (`alias/aws/..`) can't be destroyed, and keys with imported material
/// or in a custom key store have copies that KMS does not know of: both are refused, because receipts would not be true.
///
/// # Security
/// Whoever may call Decrypt with the key, and read the key store, has the data. The SDK writes the key that is wrapped or
/// unwrapped into the body of a request or an answer, in Base64, and its TLS keeps buffers: these are freed, and not wiped.
/// What comes out of the SDK is.
#[derive(Clone)]
pub struct AwsKms {
    name: Name,
    home: Region,
    others: Vec<Region>,
    waiting_days: i32,
    /// The master key that was last found to be fit.
    fit: Arc<Mutex<Option<MasterKeyId>>>,
}

impl AwsKms {
    /// The key with this name, in the client's region. Nothing is asked yet.
    ///
    /// # Errors
    /// [`ProviderError`] of kind `Misconfigured` if the client has no region, or the name is none or an ARN of another region.
    pub fn new(client: Client, key: impl Into<String>) -> Result<Self, ProviderError> {
        let home = Region::new(client)?;
        let name = Name::new(key.into(), home.name())?;
        Ok(Self { name, home, others: Vec::new(), waiting_days: 30, fit: Arc::default() })
    }

    /// Another region that has the multi-Region key: asked where those before give no answer.
    ///
    /// # Errors
    /// [`ProviderError`] of kind `Misconfigured` if the client has no region, or one that has been named; or if it, or the one
    /// before it, waits for an answer without end.
    pub fn region(mut self, client: Client) -> Result<Self, ProviderError> {
        let region = Region::new(client)?;
        if !self.regions().chain([&region]).all(Region::is_timed) {
            return Err(ProviderError::misconfigured(
                "a KMS client without an operation timeout waits for one region and never asks the next: set \
                 TimeoutConfig::operation_timeout, for two regions to 800 ms",
            ));
        }
        if self.regions().any(|known| known.name() == region.name()) {
            return Err(ProviderError::misconfigured("two KMS clients of one region"));
        }
        self.others.push(region);
        Ok(self)
    }

    /// How many days KMS waits before it destroys a key, 7 to 30: a last chance to call it back. 30 if not said.
    ///
    /// # Errors
    /// [`ProviderError`] of kind `Misconfigured` if it is another number.
    pub fn waiting_days(mut self, days: u8) -> Result<Self, ProviderError> {
        if !(7..=30).contains(&days) {
            return Err(ProviderError::misconfigured("KMS waits 7 to 30 days before it destroys a key"));
        }
        self.waiting_days = days.into();
        Ok(self)
    }

    fn regions(&self) -> impl Iterator<Item = &Region> {
        std::iter::once(&self.home).chain(&self.others)
    }

    /// Where a key is: one that is not multi-Region is in one region alone.
    fn regions_of(&self, key: &KeyArn) -> impl Iterator<Item = &Region> {
        let all = if key.is_multi_region() { usize::MAX } else { 1 };
        self.regions().take(all)
    }

    /// The key that the name stands for, in the first region.
    async fn named(&self) -> Result<KeyArn, ProviderError> {
        let described = self.home.describe(&self.name.in_region(self.home.name())).await;
        let (arn, metadata) = described.map_err(unnamed)?;
        self.check(&arn, &metadata)?;
        Ok(arn)
    }

    async fn wrap_in(
        &self,
        region: &Region,
        key: &KeyMaterial,
        context: &WrapContext,
    ) -> Result<WrappedKey, ProviderError> {
        let name = self.name.in_region(region.name());
        let (arn, wrapped) = region.encrypt(&name, key, &context::pairs(context)).await.map_err(unnamed)?;
        let id = arn.id()?;
        let is_known = self.fit.lock().unwrap_or_else(PoisonError::into_inner).as_ref() == Some(&id);
        if !is_known {
            let (_, metadata) = region.describe(&arn.in_region(region.name())).await?;
            self.check(&arn, &metadata)?;
            *self.fit.lock().unwrap_or_else(PoisonError::into_inner) = Some(id.clone());
        }
        WrappedKey::new(id, wrapped)
            .map_err(|_| ProviderError::corrupt("KMS encrypted to more than 4096 bytes, or to none"))
    }

    /// Whether a key can be a master key: one that wraps, and of which it can be told when it is destroyed.
    fn check(&self, arn: &KeyArn, metadata: &KeyMetadata) -> Result<(), ProviderError> {
        let refuse = |why| Err(ProviderError::misconfigured(why));
        if !metadata.encryption_algorithms().contains(&EncryptionAlgorithmSpec::SymmetricDefault) {
            return refuse(failure::NO_SUCH_USE);
        }
        if metadata.key_manager() == Some(&KeyManagerType::Aws) {
            return refuse("an AWS managed key can't be destroyed: create a key of your own");
        }
        if metadata.origin().is_some_and(|origin| *origin != OriginType::AwsKms) {
            return refuse(
                "the key's material was imported, or is in a custom key store, so it is not known what else has a copy: create \
                 a key of Origin AWS_KMS",
            );
        }
        if !self.others.is_empty() && !arn.is_multi_region() {
            return refuse("several regions are named, and the key is in one alone: create a multi-Region key");
        }
        Ok(())
    }

    /// The key of an id that is, or was, one of this provider's; and whether it is the current one.
    async fn own(&self, id: &MasterKeyId) -> Result<(KeyArn, bool), ProviderError> {
        let key = self.readable(id)?;
        let current = self.named().await?;
        if key.is_neighbor_of(&current) { Ok((key, *id == current.id()?)) } else { Err(unknown()) }
    }

    /// The key of an id that can be one of this provider's.
    fn readable(&self, id: &MasterKeyId) -> Result<KeyArn, ProviderError> {
        let key = KeyArn::of(id).filter(|key| key.is_multi_region() || key.region() == self.home.name());
        key.ok_or_else(unknown)
    }

    /// What has become of a key in each region, and whether there are regions that have it and can't be asked.
    async fn fates(&self, key: &KeyArn) -> Result<(Vec<(&Region, Fate)>, bool), ProviderError> {
        let (mut fates, mut blind) = (Vec::new(), false);
        for region in self.regions_of(key) {
            let fate = match region.describe(&key.in_region(region.name())).await {
                Ok((_, metadata)) => {
                    blind |= members(&metadata).any(|member| self.regions().all(|region| region.name() != member));
                    Fate::of(&metadata)?
                }
                Err(e) if e.kind() == ProviderErrorKind::UnknownKey => Fate::Gone,
                Err(e) => return Err(e),
            };
            fates.push((region, fate));
        }
        Ok((fates, blind))
    }

    /// What is said of a key that unwrapping found to be unknown.
    async fn why_unknown(&self, id: &MasterKeyId) -> ProviderError {
        match self.destruction(id).await {
            Ok(Some(Destruction::Scheduled { .. })) => ProviderError::new(ProviderErrorKind::PendingDeletion),
            Ok(Some(Destruction::DestroyedHere { .. })) => unknown().with_hint(ELSEWHERE),
            Ok(Some(_)) => ProviderError::new(ProviderErrorKind::KeyDestroyed),
            Ok(None) => unknown().with_hint("the first region does not have it, another one does"),
            Err(e) => e,
        }
    }
}

#[async_trait]
impl MasterKeyProvider for AwsKms {
    async fn current(&self) -> Result<MasterKeyId, ProviderError> {
        self.named().await?.id()
    }

    async fn wrap_key(&self, key: &KeyMaterial, context: &WrapContext) -> Result<WrappedKey, ProviderError> {
        let mut tried = Tried::default();
        for region in self.regions() {
            if let Some(wrapped) = tried.settle(self.wrap_in(region, key, context).await) {
                return wrapped;
            }
        }
        Err(tried.error())
    }

    async fn unwrap_key(&self, wrapped: &WrappedKey, context: &WrapContext) -> Result<KeyMaterial, ProviderError> {
        let (key, pairs) = (self.readable(wrapped.master())?, context::pairs(context));
        let mut tried = Tried::default();
        for region in self.regions_of(&key) {
            match tried.settle(region.decrypt(&key, wrapped.as_bytes(), &pairs).await) {
                Some(Err(e)) if e.kind() == ProviderErrorKind::UnknownKey => {
                    return Err(self.why_unknown(wrapped.master()).await);
                }
                Some(unwrapped) => return unwrapped,
                None => {}
            }
        }
        Err(tried.error())
    }

    /// Has KMS destroy the key when the waiting period is over, in every region that has it. One that is to be destroyed
    /// already keeps its date.
    ///
    /// # Errors
    /// `UnknownKey` if it can't be one of this provider's: another account's or region's, or no ARN; and if it is a
    /// multi-Region key that no region knows. `Misconfigured` if it is
    /// the current one (point the alias at another key first), or has replicas in regions that were not named: nothing was
    /// scheduled. `Unavailable` if a region does not answer: others may be scheduled, calling again does the rest.
    ///
    /// # Cancel safety
    /// A call that is dropped may have scheduled the key; calling again tells.
    async fn destroy_key(&self, id: &MasterKeyId) -> Result<Destruction, ProviderError> {
        let (key, is_current) = self.own(id).await?;
        if is_current {
            return Err(ProviderError::misconfigured(
                "the master key is the current one: point the alias at another key first",
            ));
        }
        let (mut fates, blind) = self.fates(&key).await?;
        if blind {
            return Err(blind_spot());
        }
        // Its id names no region, so this may be another provider's key, which lives on where nobody looked.
        if key.is_multi_region() && fates.iter().all(|(_, fate)| *fate == Fate::Gone) {
            return Err(unknown().with_hint(ELSEWHERE));
        }
        for (region, fate) in &mut fates {
            if *fate == Fate::There {
                *fate = region.schedule(&key, self.waiting_days).await?;
            }
        }
        together(&key, &fates)?
            .ok_or_else(|| ProviderError::unavailable("KMS did not say that it will destroy the key"))
    }

    async fn destruction(&self, id: &MasterKeyId) -> Result<Option<Destruction>, ProviderError> {
        let (key, is_current) = self.own(id).await?;
        let (fates, blind) = self.fates(&key).await?;
        if blind && fates.iter().all(|(_, fate)| *fate != Fate::There) {
            return Err(blind_spot());
        }
        match together(&key, &fates)? {
            // What was made a moment ago is not known everywhere at KMS at once.
            Some(Destruction::Destroyed | Destruction::DestroyedHere { .. }) if is_current => {
                Err(ProviderError::unavailable("KMS resolved the alias but not the ARN yet; retry"))
            }
            destruction => Ok(destruction),
        }
    }
}

/// The names alone.
impl fmt::Debug for AwsKms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let regions: Vec<_> = self.regions().map(Region::name).collect();
        f.debug_struct("AwsKms").field("key", &self.name.as_str()).field("regions", &regions).finish_non_exhaustive()
    }
}

/// What the regions answered that were asked so far.
#[derive(Default)]
struct Tried(Option<ProviderError>);

impl Tried {
    /// The answer, if no other region is to be asked. The first region's word counts; where it gave none, another's success
    /// does, and its word that the wrapped key is not authentic: they have the same key, and states and policies of their own.
    fn settle<T>(&mut self, answer: Result<T, ProviderError>) -> Option<Result<T, ProviderError>> {
        match answer {
            Err(e) if e.retry() == Retry::Later && self.0.is_none() => {
                self.0 = Some(e);
                None
            }
            Err(e) if self.0.is_some() && e.kind() != ProviderErrorKind::Authentication => None,
            answer => Some(answer),
        }
    }

    fn error(self) -> ProviderError {
        self.0.unwrap_or_else(|| ProviderError::misconfigured("there is no region"))
    }
}

fn together(key: &KeyArn, fates: &[(&Region, Fate)]) -> Result<Option<Destruction>, ProviderError> {
    let fates: Vec<_> = fates.iter().map(|(_, fate)| *fate).collect();
    let gone = match key.is_multi_region() {
        true => Destruction::DestroyedHere { copies: vec!["KMS in regions that were not named"] },
        false => Destruction::Destroyed,
    };
    Fate::together(&fates, gone)
}

/// The regions that have a multi-Region key.
fn members(metadata: &KeyMetadata) -> impl Iterator<Item = &str> {
    let members = metadata.multi_region_configuration();
    let keys = members.into_iter().flat_map(|members| members.primary_key().into_iter().chain(members.replica_keys()));
    keys.filter_map(|key| key.region())
}

const ELSEWHERE: &str = "none of the regions that were named has this multi-Region key. Unless it was destroyed: name the \
     region where it is, or the provider that made it";

/// A name that stands for nothing is the operator's mistake; what is unknown is an id.
fn unnamed(error: ProviderError) -> ProviderError {
    match error.kind() {
        ProviderErrorKind::UnknownKey => {
            ProviderError::misconfigured("no key has the name that the provider was given")
        }
        _ => error,
    }
}

fn unknown() -> ProviderError {
    ProviderError::new(ProviderErrorKind::UnknownKey)
}

fn blind_spot() -> ProviderError {
    ProviderError::misconfigured(
        "the key has replicas in regions that were not named: name their clients with `region`",
    )
}

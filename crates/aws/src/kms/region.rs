//! [`Region`]: KMS in one region, and the four calls that are made to it.

use std::collections::HashMap;

use aws_sdk_kms::Client;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{KeyMetadata, KeyState};
use zeroize::Zeroizing;

use super::arn::KeyArn;
use super::failure;
use super::fate::Fate;
use crate::failure::{Failure, Kind};
use fieldseal::error::{ProviderError, ProviderErrorKind};
use fieldseal::provider::KeyMaterial;

/// KMS in one region.
#[derive(Clone)]
pub(super) struct Region {
    client: Client,
    name: String,
}

impl Region {
    pub(super) fn new(client: Client) -> Result<Self, ProviderError> {
        let name = client.config().region().map(|region| region.as_ref().to_owned());
        let name = name.ok_or_else(|| ProviderError::misconfigured("the KMS client has no region: give it one"))?;
        Ok(Self { client, name })
    }

    /// Whether a call ends by itself, with however many attempts.
    pub(super) fn is_timed(&self) -> bool {
        self.client.config().timeout_config().is_some_and(|limits| limits.operation_timeout().is_some())
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What KMS says of a key, by any of its names.
    pub(super) async fn describe(&self, key: &str) -> Result<(KeyArn, KeyMetadata), ProviderError> {
        let answer = self.client.describe_key().key_id(key).send().await;
        let metadata = answer.map_err(|e| failure::of("DescribeKey", &e))?.key_metadata;
        let metadata = metadata.ok_or_else(|| ProviderError::corrupt("KMS describes the key by nothing"))?;
        Ok((self.read(metadata.arn())?, metadata))
    }

    /// A key under one of KMS's, and under which.
    pub(super) async fn encrypt(
        &self,
        name: &str,
        key: &KeyMaterial,
        context: &HashMap<String, String>,
    ) -> Result<(KeyArn, Vec<u8>), ProviderError> {
        let call = self.client.encrypt().key_id(name).set_encryption_context(Some(context.clone()));
        let answer = match call.plaintext(Blob::new(key.expose().to_vec())).send().await {
            Ok(answer) => answer,
            Err(e) => return Err(self.explained(failure::of("Encrypt", &e), name).await),
        };
        let wrapped = answer.ciphertext_blob.ok_or_else(|| ProviderError::corrupt("KMS encrypted to nothing"))?;
        Ok((self.read(answer.key_id.as_deref())?, wrapped.into_inner()))
    }

    /// A key out of its wrapping, by this key of KMS's and by no other.
    pub(super) async fn decrypt(
        &self,
        arn: &KeyArn,
        wrapped: &[u8],
        context: &HashMap<String, String>,
    ) -> Result<KeyMaterial, ProviderError> {
        let arn = arn.in_region(&self.name);
        let call = self.client.decrypt().key_id(&arn).set_encryption_context(Some(context.clone()));
        let mut answer = match call.ciphertext_blob(Blob::new(wrapped)).send().await {
            Ok(answer) => answer,
            Err(e) => return Err(self.explained(failure::of("Decrypt", &e), &arn).await),
        };
        let plain = Zeroizing::new(answer.plaintext.take().map(Blob::into_inner).unwrap_or_default());
        if answer.key_id() != Some(arn.as_str()) {
            return Err(ProviderError::corrupt("KMS decrypted with another key than it was asked to"));
        }
        KeyMaterial::from_slice(&plain)
            .map_err(|_| ProviderError::corrupt("what KMS decrypted is not a key of 32 bytes"))
    }

    /// Has a key destroyed after so many days; what that makes of it.
    pub(super) async fn schedule(&self, arn: &KeyArn, days: i32) -> Result<Fate, ProviderError> {
        let arn = arn.in_region(&self.name);
        let call = self.client.schedule_key_deletion().key_id(&arn).pending_window_in_days(days);
        match call.send().await {
            Ok(said) => {
                let window = said.pending_window_in_days().or(Some(days));
                Fate::in_state(said.key_state(), said.deletion_date(), window)
            }
            Err(e) => {
                let failure = failure::of("ScheduleKeyDeletion", &e);
                if !failure::is_state(&failure) {
                    return Err(failure.into());
                }
                // Somebody else was faster; or it is being made, or moved between regions.
                match Fate::of(&self.describe(&arn).await?.1)? {
                    Fate::There => Err(failure.known_as(Kind::Unavailable, IN_BETWEEN).into()),
                    fate => Ok(fate),
                }
            }
        }
    }

    /// A failure, and if it is because of the key's state: which that is.
    async fn explained(&self, failure: Failure, key: &str) -> ProviderError {
        if !failure::is_state(&failure) {
            return failure.into();
        }
        let described = match self.describe(key).await {
            Ok((_, metadata)) => metadata,
            Err(e) if e.kind() == ProviderErrorKind::Denied => {
                return failure
                    .known_as(Kind::Disabled, "which state it is in, DescribeKey is not allowed to say")
                    .into();
            }
            Err(e) => return e,
        };
        match described.key_state() {
            Some(KeyState::PendingDeletion | KeyState::PendingReplicaDeletion) => {
                failure.known_as(Kind::PendingDeletion, "CancelKeyDeletion calls it back").into()
            }
            Some(KeyState::PendingImport) => failure.known_as(Kind::Disabled, "its key material is missing").into(),
            Some(KeyState::Disabled) => failure.into(),
            // Creating, Updating, Unavailable; or Enabled again since.
            _ => failure.known_as(Kind::Unavailable, IN_BETWEEN).into(),
        }
    }

    /// An ARN that KMS answered; it answers for its own region.
    fn read(&self, arn: Option<&str>) -> Result<KeyArn, ProviderError> {
        let arn = arn.and_then(KeyArn::parse).filter(|arn| arn.region() == self.name);
        arn.ok_or_else(|| ProviderError::corrupt("KMS answered no key's ARN of the client's region"))
    }
}

const IN_BETWEEN: &str = "the key is between two states, or its key store is not connected";

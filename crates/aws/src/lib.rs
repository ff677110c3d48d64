//! Adapters of [`fieldseal`] for AWS: master keys at KMS, key stores and erasure journals in DynamoDB.
//!
//! | feature | adds |
//! | --- | --- |
//! | `kms` | [`AwsKms`] |
//! | `dynamodb` | [`DynamoDbStore`], [`DynamoDbJournal`] |
//!
//! The application makes the clients, with the credentials, the runtime and the TLS of its choice. Uses the public ports of
//! `fieldseal` and nothing else of it.
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "dynamodb")]
mod dynamodb;
#[cfg(any(feature = "dynamodb", feature = "kms"))]
mod failure;
#[cfg(feature = "kms")]
mod kms;

#[cfg(feature = "dynamodb")]
#[cfg_attr(docsrs, doc(cfg(feature = "dynamodb")))]
pub use dynamodb::{DynamoDbJournal, DynamoDbLayout, DynamoDbStore};
#[cfg(feature = "kms")]
#[cfg_attr(docsrs, doc(cfg(feature = "kms")))]
pub use kms::AwsKms;

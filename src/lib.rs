//! Field-level encryption with envelope keys.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod bytes;
pub mod clock;
mod crypto;
pub mod envelope;
pub mod error;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
pub mod id;
mod integrations;
pub mod journal;
mod keys;
pub mod provider;
pub mod record;
pub mod store;
mod subject;
#[cfg(any(test, feature = "test-util"))]
#[cfg_attr(docsrs, doc(cfg(feature = "test-util")))]
pub mod testing;
mod thread;
pub mod value;
pub mod vault;

pub use crypto::Suite;
pub use envelope::FieldContext;
pub use error::{Error, Result, Retry};
#[cfg(feature = "derive")]
#[cfg_attr(docsrs, doc(cfg(feature = "derive")))]
pub use fieldseal_derive::Record;
pub use id::{HasSubject, SubjectId, TenantId};
pub use record::{Column, Field, Place, Record};
pub use subject::SubjectKeys;
#[cfg(feature = "serde")]
pub use value::reveal;
pub use value::{Plain, Plaintext, Sealed};
pub use vault::{Tenant, Vault};

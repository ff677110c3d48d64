//! Field-level encryption with envelope keys.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod bytes;
pub mod clock;
mod crypto;
pub mod envelope;
pub mod error;
pub mod id;
pub mod journal;
mod keys;
pub mod provider;
pub mod store;
#[cfg(any(test, feature = "test-util"))]
#[cfg_attr(docsrs, doc(cfg(feature = "test-util")))]
pub mod testing;
mod thread;

pub use crypto::Suite;
pub use envelope::FieldContext;
pub use error::{Error, Result, Retry};
pub use id::{HasSubject, SubjectId, TenantId};

//! Field-level encryption with envelope keys: personal fields that are unreadable in the database, its backups and logs, and
//! that are erased by destroying one person's key.
//!
//! ```
//! use fieldseal::journal::MemoryJournal;
//! use fieldseal::vault::ErasureRequest;
//! use fieldseal::provider::LocalKeyring;
//! use fieldseal::store::MemoryStore;
//! use fieldseal::{Record, Sealed, Vault};
//!
//! #[derive(Record)]
//! #[record(schema = "customer")]
//! struct Customer {
//!     #[record(id, subject = "customer")] // bound into every envelope of the row; names the person
//!     id: i64,
//!     email: Sealed<String>,
//!     #[record(purpose = "billing")] // has keys of its own, and can be erased alone
//!     iban: Option<Sealed<String>>,
//!     #[record(clear)] // leaving a field in the clear must be said
//!     plan: String,
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> fieldseal::Result<()> {
//! let vault = Vault::builder(LocalKeyring::ephemeral()?, MemoryStore::new()) // a keyring file, a database: see below
//!     .journal(MemoryJournal::new()?) // a journal file: what was erased stays erased in a restored backup
//!     .record::<Customer>()
//!     .build()
//!     .await?;
//! let customers = vault.default_tenant();
//!
//! let plain = CustomerPlain { id: 17, email: "ada@example.com".into(), iban: None, plan: "free".into() };
//! let keys = customers.enroll(&plain).await?; // the only await: with the keys in hand, code is sync
//! let row = Customer::seal(&plain, &keys)?; // what goes into the database
//!
//! let email = keys.open(&row, Customer::EMAIL)?; // one field: the least exposure
//! assert_eq!(email.expose(), "ada@example.com");
//! let somebody_else = Customer::subject_of(&18)?;
//! assert!(customers.enroll(&somebody_else).await?.open(&row, Customer::EMAIL).is_err());
//!
//! let receipt = customers.erase(&row, &ErasureRequest::new()).await?; // what is gone, and what is not yet
//! assert!(keys.open(&row, Customer::EMAIL).is_err()); // for good
//! # Ok(())
//! # }
//! ```
//!
//! # Common tasks
//!
//! | | |
//! | --- | --- |
//! | say which fields are personal, and whose they are | [`#[derive(Record)]`](macro@Record), [`Sealed<T>`], [`SubjectId`] |
//! | hold a personal value in memory | [`Plain<T>`] |
//! | seal a type of my own | [`#[derive(Plaintext)]`](macro@Plaintext); by hand [`Plaintext`](trait@Plaintext) |
//! | get a person's keys | [`Tenant::enroll`], [`Tenant::keys`]; [`Tenant::keys_of`] for a page of rows |
//! | seal or open a row, a field, a column alone | [`Record::seal`](trait@Record), [`SubjectKeys::open`], [`SubjectKeys::record_ref`] |
//! | move old values to the current key | [`Record::reseal`](trait@Record), [`RecordRef::reseal`], [`SubjectKeys::reseal_bytes`]; [`Sealed::needs_reseal`] |
//! | seal a value that is in no row | [`SubjectKeys::seal_value`], [`FieldContext`] |
//! | erase a person, or a purpose of theirs | [`Tenant::erase`], [`Tenant::erase_all`]; [`Tenant::schedule_erasure`], [`Vault::erase_due`] for later |
//! | keep a person from being erased | [`Tenant::hold`] |
//! | know what has become of an erasure | [`Tenant::erasure_status`], [`vault::ErasureReceipt`] |
//! | give a person a new key | [`Tenant::rotate`], [`Tenant::rotate_now`] |
//! | change the master key | [`Vault::advance_epoch`], [`Vault::rewrap_page`], [`Vault::retire_epoch`] |
//! | know which keys there are, how old, and what is not final | [`Vault::inventory_page`], [`Vault::epochs`], [`Vault::erasures`]; [`Tenant::inventory`] |
//! | move all of a table to the current keys, seal one that is in the clear | [`jobs::reseal()`], [`jobs::adopt()`] |
//! | know which keys are in use, and end those that aren't | [`jobs::census()`], [`Vault::retire_versions_page`] |
//! | answer an access request | `jobs::reveal_subject` (feature `serde`) |
//! | go on after a restore of the key store | [`VaultBuilder::replay`](vault::VaultBuilder::replay), [`Vault::replay_journal`] |
//! | keep master keys | [`provider::LocalKeyring`]; `AwsKms` (crate `fieldseal-aws`), `OpenBao` (`fieldseal-openbao`), `Pkcs11` (`fieldseal-pkcs11`); [`provider::MasterKeyProvider`] for another |
//! | keep wrapped keys | `SqliteStore` and `PostgresStore` (crate `fieldseal-sqlx`), `DynamoDbStore` (`fieldseal-aws`), [`store::MemoryStore`]; [`store::KeyStore`] for another |
//! | keep what must outlive a restore of the store | [`journal::FileJournal`], [`journal::MemoryJournal`]; [`journal::ErasureJournal`] for another |
//! | keep a remote port from hanging or being overrun | [`guard::Guarded`] |
//! | count and time what is asked of ports, trace it | [`measure::Measured`] |
//! | isolate customers of mine from one another | [`Vault::tenant`] |
//! | know what to do about an error | [`Error`], [`Error::retry`] |
//! | test code that takes keys; that what is stored keeps its names | `keys`, `assert_schema!` (crate `fieldseal-testkit`) |
//!
//! # Features
//!
//! `derive` is the default. `sqlx` (`Sealed<T>` as a column of any driver), `sqlx-postgres` (arrays); `serde`, `uuid`, `chrono`,
//! `time`, `rust_decimal`, `secrecy`; `tracing` (a span a call of a measured port). A feature only adds API. Adapters for
//! databases, clouds and HSMs are crates of their own. No runtime and no TLS stack is chosen for you.
//!
//! # What it does not do
//!
//! An older value of the same place, under the same key version, can be put back unnoticed; rows can be deleted; lengths show
//! unless a field is padded; key ids join the rows of one person. Whoever may call the master key provider and read the key
//! store reads everything. Erasing leaves the rows, unreadable, and what your code did with opened values; copies of wrapped
//! keys in backups open until their master key is destroyed. `SECURITY.md` has the whole list.
//!
//! # Going to production
//!
//! `docs/production.md` has a whole program on PostgreSQL and AWS KMS, with a guard around each, and what to read next.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod bytes;
mod caught;
pub mod clock;
mod crypto;
mod declare;
mod disk;
pub mod envelope;
pub mod error;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
pub mod guard;
pub mod id;
mod integrations;
pub mod jobs;
pub mod journal;
mod keys;
mod kind;
pub mod layer;
pub mod measure;
pub mod provider;
mod read_only;
pub mod record;
pub mod rows;
pub mod store;
mod subject;
pub mod thread;
pub mod timer;
pub mod value;
pub mod vault;
#[cfg(all(test, feature = "serde"))]
mod vectors;

pub use crypto::Suite;
pub use envelope::FieldContext;
pub use error::{Error, Result, Retry};
#[cfg(feature = "derive")]
#[cfg_attr(docsrs, doc(cfg(feature = "derive")))]
pub use fieldseal_derive::{Plaintext, Record};
pub use id::{HasSubject, SubjectId, TenantId};
pub use record::{Column, Field, Record, RecordRef};
pub use subject::SubjectKeys;
#[cfg(feature = "serde")]
pub use value::reveal;
pub use value::{Plain, Plaintext, Sealed};
pub use vault::{Tenant, Vault};

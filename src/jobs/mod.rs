//! Bulk work on an application's own tables, while the application reads and writes them: resealing, adopting plaintext,
//! taking a census of the keys in use, revealing what is held of a person. One job a file; `docs/jobs.md` describes the whole.
//!
//! Imports `record`, `rows`, `vault` and `caught`, and what those import.
//!
//! A job goes through a table page by page and changes cells by compare-and-swap: what the application writes meanwhile is
//! seen and dealt with, never overwritten. It tells an [`Observer`] of each page; the [`Checkpoint`] that comes with it is
//! where the job goes on after a crash. Several pages are worked on at once ([`JobOptions::workers`]), and several processes
//! can share a table ([`Shard`](crate::vault::Shard)).
//!
//! ```
//! use fieldseal::jobs::{self, FieldMap, IdColumn, JobOptions, SubjectColumn, TableMap};
//! use fieldseal::rows::{Cell, MemoryRows, RowKey};
//! # use fieldseal::provider::LocalKeyring;
//! # use fieldseal::store::MemoryStore;
//! # use fieldseal::{FieldContext, SubjectId, Vault};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> fieldseal::Result<()> {
//! # let builder = Vault::builder(LocalKeyring::ephemeral()?, MemoryStore::new()).without_journal();
//! # let vault = builder.kinds(["customer"]).build().await?;
//! # let (customers, ada) = (vault.default_tenant(), SubjectId::new("customer", &17)?);
//! let subject = SubjectColumn::new("customer", IdColumn::integer("id"));
//! let map = TableMap::new("customer", ["id"], "customer", subject)
//!     .ids([IdColumn::integer("id")])
//!     .field(FieldMap::new("email"));
//! let rows = MemoryRows::new(map.table().columns); // or a `RowSource` over the application's own pool
//! # let email = customers.enroll(&ada).await?.seal_bytes(b"ada@example.com", &FieldContext::new("customer", "email", &17)?)?;
//! # rows.put(RowKey::new(vec![Cell::Integer(17)]), vec![Cell::Integer(17), Cell::bytes(email)])?;
//!
//! customers.rotate_now(&ada).await?; // a new key: what was sealed before is under an older one
//! let tally = jobs::reseal(&vault, &map, &rows, &JobOptions::new(), &mut ()).await?;
//! assert_eq!((tally.rows, tally.changed), (1, 1));
//! # Ok(())
//! # }
//! ```

mod adopt;
mod bound;
mod census;
mod checkpoint;
mod form;
#[cfg(feature = "serde")]
mod json;
mod map;
mod options;
mod page;
mod reseal;
#[cfg(feature = "serde")]
mod reveal;
mod run;
mod tally;
mod uuid;

pub use adopt::{Adoption, adopt};
#[cfg(fuzzing)]
pub(crate) use census::read_body as census_of;
pub use census::{Census, KeyUse, VersionCount, census};
pub use checkpoint::Checkpoint;
pub use form::{Form, ValueType};
pub use map::{FieldMap, IdColumn, SubjectColumn, TableMap};
pub use options::JobOptions;
pub use reseal::reseal;
#[cfg(feature = "serde")]
#[cfg_attr(docsrs, doc(cfg(feature = "serde")))]
pub use reveal::{Revealed, reveal_subject, reveal_table};
pub use run::{Observer, PageDone};
pub use tally::{Tally, Trouble, TroubleKind};

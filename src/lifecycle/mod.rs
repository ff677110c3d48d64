//! The life and death of keys: `impl Vault` and `impl Tenant` blocks, one job a file. `docs/lifecycle.md` tells the whole.
//!
//! Imports `vault` and what that imports.

mod epoch;
mod erase;
mod erasures;
mod hold;
mod inventory;
mod masters;
mod receipt;
#[cfg(feature = "serde")]
mod receipt_json;
mod retain;
mod retire;
mod rewrap;
mod rotate;
mod rotate_page;
mod tenant;

pub use epoch::Retirement;
pub use erase::ErasureRequest;
pub use erasures::ErasureRecord;
pub use inventory::{
    EpochInfo, EpochStatus, InventoryPage, PurposeInfo, SubjectInfo, SubjectState, VersionInfo, VersionState,
};
pub use receipt::{ErasedPurpose, ErasureReceipt, ErasureStatus, KeyEnd, MasterKeyEnd, ReceiptResidue, UndoneReason};
pub use retain::Swept;
pub use retire::{RetiredVersions, Unnamed};
pub use rewrap::RewrapPage;
pub use rotate_page::{RotatedPage, Rotation};

pub use crate::part::Part;
pub use crate::vault::Replayed;

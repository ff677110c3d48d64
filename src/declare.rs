//! What a record type says to a vault: the kind of its subjects, and the purposes of its fields.
//!
//! Imports `record` and `vault`, which don't know each other.

use crate::record::Record;
use crate::vault::VaultBuilder;

impl<Step> VaultBuilder<Step> {
    /// Declares what this record type needs: the [kind](Self::kinds) of its subjects and the [purposes](Self::purposes) of its
    /// fields. With each record type of the application named so, neither list need be written.
    ///
    /// ```
    /// # use fieldseal::journal::MemoryJournal;
    /// # use fieldseal::provider::LocalKeyring;
    /// # use fieldseal::store::MemoryStore;
    /// use fieldseal::{Record, Sealed, Vault};
    ///
    /// #[derive(Record)]
    /// #[record(schema = "customer")]
    /// struct Customer {
    ///     #[record(id, subject = "customer")]
    ///     id: i64,
    ///     email: Sealed<String>,
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> fieldseal::Result<()> {
    /// # let builder = Vault::builder(LocalKeyring::ephemeral()?, MemoryStore::new()).journal(MemoryJournal::new()?);
    /// let customers = builder.record::<Customer>().build().await?.default_tenant();
    /// let keys = customers.enroll(&Customer::subject_of(&17)?).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn record<R: Record>(self) -> Self {
        self.kinds(R::SUBJECT_KIND).purposes(R::PURPOSES)
    }
}

//! Reading the whole journal: what of it is genuine, what isn't, and of whom it is not clear what happened.

use std::collections::BTreeMap;

use super::Vault;
use super::verified::{Judged, PassedOver, VerifiedJournal};
use crate::error::{JournalErrorKind, Result};
use crate::journal::verify::Judgment;
use crate::journal::{Head, JournalEntry};
use crate::keys::SlotId;

/// What the whole journal says, read by who has the key store's root.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JournalAudit {
    /// Where the journal ends.
    pub head: Head,
    /// Entries that nobody with the key store's root entered. They have no effect.
    pub passed_over: PassedOver,
    /// Of which slots this version can't tell what happened: a later version has entered more (`NewerSchema`), or an entry is
    /// missing (`Corrupt`). The vault's slot stands for the key store as a whole.
    pub unclear: Vec<(SlotId, JournalErrorKind)>,
}

impl Vault {
    /// Reads the whole journal, and tells what of it isn't genuine, and of whom it is not clear. A vault passes over the one and
    /// decides nothing about the other, and nobody else is stopped: so somebody must look. `each` is shown, in their order, the
    /// entries that are genuine and that this version knows.
    ///
    /// # Errors
    /// [`Error::InvalidInput`](crate::Error::InvalidInput) without a journal;
    /// [`Error::JournalTruncated`](crate::Error::JournalTruncated) if its chain doesn't hold; those of the journal.
    ///
    /// # Cancel safety
    /// Reads only.
    ///
    /// # Security
    /// Tags are pseudonymous personal data.
    pub async fn audit_journal(&self, mut each: impl FnMut(&JournalEntry) + Send) -> Result<JournalAudit> {
        audit(self.0.journal()?, |_, entry| each(entry)).await
    }

    /// Entries of the journal that nobody with the key store's root entered, as far as this process has read: those since the
    /// store was last compared with the journal; all of them after a replay, [`audit_journal`](Self::audit_journal) or
    /// [`erasures`](Self::erasures). They have no effect. For a metric that wakes somebody: nobody but vaults should be able to
    /// write to the journal.
    pub fn passed_over(&self) -> PassedOver {
        self.0.journal.as_ref().map(VerifiedJournal::passed_over).unwrap_or_default()
    }
}

/// Shows `each` what happened, with the entries' positions.
pub(super) async fn audit(
    journal: &VerifiedJournal,
    mut each: impl FnMut(u64, &JournalEntry) + Send,
) -> Result<JournalAudit> {
    let head = journal.head().await?;
    let (mut passed_over, mut unclear) = (PassedOver::default(), BTreeMap::new());
    let mut pages = journal.pages_from(Head::EMPTY);
    while let Some(page) = pages.next(&head).await? {
        for judged @ Judged { position, entry, judgment } in &page {
            match judgment {
                Judgment::Accepted => each(*position, entry),
                Judgment::PassedOver => passed_over.add(judged),
                Judgment::Later => drop(unclear.insert(entry.about().clone(), JournalErrorKind::NewerSchema)),
                // It happened all the same, and so did what is missing.
                Judgment::LeftOut => {
                    each(*position, entry);
                    unclear.insert(entry.about().clone(), JournalErrorKind::Corrupt);
                }
                Judgment::Attempt | Judgment::Skipped => {}
            }
        }
    }
    journal.note_all(&passed_over, head.position());
    Ok(JournalAudit { head, passed_over, unclear: unclear.into_iter().collect() })
}

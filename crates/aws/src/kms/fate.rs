//! [`Fate`]: what has become of a key in one region; and what follows for a key that several regions have.

use std::time::Duration;

use aws_sdk_kms::primitives::DateTime;
use aws_sdk_kms::types::{KeyMetadata, KeyState};

use fieldseal::clock::Timestamp;
use fieldseal::error::ProviderError;
use fieldseal::provider::Destruction;

/// What has become of a key in one region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is there. It may be disabled: whoever can enable it can use it.
    There,
    /// KMS destroys it then.
    Pending(Timestamp),
    /// The primary of a multi-Region key: KMS destroys it so long after its last replica.
    WaitsForReplicas(Duration),
    /// KMS does not know it (any more).
    Gone,
}

impl Fate {
    pub(super) fn of(metadata: &KeyMetadata) -> Result<Self, ProviderError> {
        let window = metadata.pending_deletion_window_in_days();
        Self::in_state(metadata.key_state(), metadata.deletion_date(), window)
    }

    pub(super) fn in_state(
        state: Option<&KeyState>,
        date: Option<&DateTime>,
        window: Option<i32>,
    ) -> Result<Self, ProviderError> {
        match state {
            Some(KeyState::PendingReplicaDeletion) => {
                let days = window.and_then(|days| u32::try_from(days).ok()).ok_or_else(undated)?;
                Ok(Self::WaitsForReplicas(DAY * days))
            }
            Some(KeyState::PendingDeletion) => {
                let millis = date.and_then(|date| date.to_millis().ok());
                let millis = millis.and_then(|millis| u64::try_from(millis).ok()).ok_or_else(undated)?;
                Ok(Self::Pending(Timestamp::from_millis(millis)))
            }
            _ => Ok(Self::There),
        }
    }

    /// What its fates in all regions come to: none if one can be used, or could be again. `gone` is what is said if it is
    /// gone everywhere.
    pub(super) fn together(fates: &[Self], gone: Destruction) -> Result<Option<Destruction>, ProviderError> {
        if fates.contains(&Self::There) {
            return Ok(None);
        }
        let last = fates.iter().filter_map(|fate| match fate {
            Self::Pending(at) => Some(*at),
            _ => None,
        });
        let last = last.max();
        let wait = fates.iter().filter_map(|fate| match fate {
            Self::WaitsForReplicas(wait) => Some(*wait),
            _ => None,
        });
        match (last, wait.max()) {
            (Some(last), wait) => Ok(Some(Destruction::Scheduled { at: last.plus(wait.unwrap_or_default()) })),
            (None, Some(_)) => {
                Err(ProviderError::unavailable("the last replica is gone, and the primary not yet dated"))
            }
            (None, None) => Ok(Some(gone)),
        }
    }
}

fn undated() -> ProviderError {
    ProviderError::corrupt("KMS says that the key is to be destroyed, and not when")
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;
    use fieldseal::error::ProviderErrorKind;

    #[test]
    fn a_key_is_destroyed_once_it_is_in_all_regions() {
        let at = |n| Timestamp::from_millis(n);
        let scheduled = |n| Some(Destruction::Scheduled { at: at(n) });
        let day = 24 * 60 * 60 * 1000;
        let (pending, waits) = (Fate::Pending, Fate::WaitsForReplicas);
        for (fates, together) in [
            (vec![Fate::There], None),
            (vec![Fate::Gone], Some(Destruction::Destroyed)),
            (vec![pending(at(5))], scheduled(5)),
            (vec![pending(at(5)), Fate::There], None),
            (vec![Fate::Gone, pending(at(5))], scheduled(5)),
            (vec![pending(at(5)), pending(at(9)), Fate::Gone], scheduled(9)),
            (vec![waits(DAY * 7), pending(at(5))], scheduled(5 + 7 * day)),
            (vec![waits(DAY * 7), Fate::There], None),
            (vec![Fate::Gone, Fate::Gone], Some(Destruction::Destroyed)),
        ] {
            assert_eq!(Fate::together(&fates, Destruction::Destroyed).unwrap(), together, "{fates:?}");
        }
        let undated = Fate::together(&[waits(DAY), Fate::Gone], Destruction::Destroyed).unwrap_err();
        assert_eq!(undated.kind(), ProviderErrorKind::Unavailable);
    }

    #[test]
    fn only_a_key_with_a_date_is_to_be_destroyed() {
        let date = DateTime::from_secs(7);
        let of = |state: &str, date, window| Fate::in_state(Some(&KeyState::from(state)), date, window);
        assert_eq!(of("PendingDeletion", Some(&date), None).unwrap(), Fate::Pending(Timestamp::from_millis(7000)));
        assert_eq!(of("PendingReplicaDeletion", None, Some(7)).unwrap(), Fate::WaitsForReplicas(DAY * 7));
        for there in ["Enabled", "Disabled", "PendingImport", "Unavailable", "Updating", "SomethingNew"] {
            assert_eq!(of(there, Some(&date), Some(7)).unwrap(), Fate::There);
        }
        for (state, date, window) in [
            ("PendingDeletion", None, Some(7)),
            ("PendingReplicaDeletion", Some(&date), None),
            ("PendingDeletion", Some(&DateTime::from_secs(-7)), None),
            ("PendingReplicaDeletion", None, Some(-7)),
        ] {
            assert_eq!(of(state, date, window).unwrap_err().kind(), ProviderErrorKind::Corrupt, "{state}");
        }
    }
}

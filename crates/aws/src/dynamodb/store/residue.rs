//! What DynamoDB keeps of slots that were overwritten.

use aws_sdk_dynamodb::types::{PointInTimeRecoveryStatus, StreamViewType};

use crate::dynamodb::{Kind, Table};
use fieldseal::error::StoreError;
use fieldseal::store::Residue;

/// Asks DynamoDB, and says where it may not.
pub(super) async fn of(table: &Table) -> Result<Residue, StoreError> {
    let mut residue = Residue::none();
    let described = table.describe().await?;
    let stream = described.stream_specification();
    let keys_only = stream.is_some_and(|s| s.stream_view_type() == Some(&StreamViewType::KeysOnly));
    // One that was switched off can be read for as long as one that is on.
    if !keys_only && (stream.is_some_and(|s| s.stream_enabled()) || described.latest_stream_arn().is_some()) {
        residue = residue.may_remain_in("the table's stream", "24 hours, and what its readers make of it");
    }
    residue = match table.backups().await {
        Ok(backups) => {
            let recovery = backups.as_ref().and_then(|backups| backups.point_in_time_recovery_description());
            match recovery.filter(|r| r.point_in_time_recovery_status() == Some(&PointInTimeRecoveryStatus::Enabled)) {
                Some(recovery) => {
                    let days = recovery.recovery_period_in_days().and_then(|days| usize::try_from(days).ok());
                    let ends_by = days.and_then(|days| WINDOWS.get(days.checked_sub(1)?));
                    residue.may_remain_in(RECOVERY, ends_by.unwrap_or(&LONGEST_WINDOW))
                }
                None => residue,
            }
        }
        Err(failure) if failure.kind == Kind::Denied => residue.may_remain_in(
            "point-in-time recovery, which may be on: the caller may not ask (dynamodb:DescribeContinuousBackups)",
            LONGEST_WINDOW,
        ),
        Err(failure) => return Err(failure.into()),
    };
    Ok(residue
        .may_remain_in("on-demand backups, exports and other copies of the table", "their retention")
        .may_remain_in("DynamoDB's own storage, encrypted with the table's key", "no date that AWS names"))
}

const RECOVERY: &str = "point-in-time recovery";
const LONGEST_WINDOW: &str = "its window, 35 days at most";

macro_rules! windows {
    ($($days:literal)*) => { [$(concat!("its window, in days: ", $days)),*] };
}

/// By its days, less one.
const WINDOWS: [&str; 35] = windows!(
    "1" "2" "3" "4" "5" "6" "7" "8" "9" "10" "11" "12" "13" "14" "15" "16" "17" "18" "19" "20" "21" "22" "23" "24" "25"
    "26" "27" "28" "29" "30" "31" "32" "33" "34" "35"
);

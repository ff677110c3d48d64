//! Writing a slot: one statement, in a transaction that holds the floor.
//!
//! The floor is held by a shared advisory lock, which a raise takes alone: it is had before the statement's snapshot is
//! taken, so the statement sees the floor as it will stay until the commit. (A share lock on the floor's row would do too,
//! but each writer that comes while others hold one makes PostgreSQL write down all of them anew, in a place that is
//! limited for the whole server: a rewrap of very many slots would fill it.)

use std::convert::identity;

use sqlx::Row as _;

use super::error::failed;
use super::{Inner, due_column, no_floor, tenant_column};
use crate::postgres::{begin, query};
use fieldseal::error::StoreError;
use fieldseal::store::Expected;
use fieldseal::store::{Epoch, Revision, SlotState, StoredSlot};

impl Inner {
    pub(super) async fn put(&self, slot: &StoredSlot, expected: Expected) -> Result<(), StoreError> {
        let lock = format!("SELECT pg_advisory_xact_lock_shared({})", self.floor_lock());
        let mut transaction = match begin(&self.pool, self.lock_timeout, &lock).await {
            Ok(transaction) => transaction,
            Err(error) => return Err(self.write_failed(error).await),
        };
        // Of text that is always the same, whatever is written.
        let mut statement = query(self.statement(expected))
            .bind(tenant_column(slot.id()))
            .bind(slot.id().to_bytes())
            .bind(i16::from(slot.state().number()))
            .bind(slot.epoch().map(epoch_column))
            .bind(slot.due().map(due_column))
            .bind(slot.as_bytes());
        if let Expected::Revision(revision) = &expected {
            statement = statement.bind(revision.as_bytes().as_slice());
        }
        if self.notify {
            let ends = slot.state() != SlotState::Live;
            statement = statement.bind(self.schema.name()).bind(super::notices::payload(slot.id())).bind(ends);
        }
        let written = statement.fetch_one(&mut *transaction).await;
        // A put that was refused wrote nothing that would have to be undone.
        let row = match transaction.end(written, identity).await {
            Ok(row) => row,
            Err(error) => return Err(self.write_failed(error).await),
        };
        let read = || Ok((row.try_get(0)?, row.try_get(1)?));
        let (floor, written): (Option<i64>, i64) = read().map_err(failed)?;
        match (floor, slot.epoch()) {
            (None, _) => Err(no_floor()),
            _ if written == 1 => Ok(()),
            (Some(floor), Some(epoch)) if epoch_column(epoch) < floor => Err(StoreError::below_floor()),
            _ => Err(StoreError::conflict()),
        }
    }

    /// Gives the floor, and how many slots were written.
    ///
    /// A writer that waited for another one of the same slot finds what that left: PostgreSQL judges the row again by the
    /// conditions of the UPDATE; an INSERT finds the row that is there.
    fn statement(&self, expected: Expected) -> String {
        let (write, next) = match expected {
            Expected::Absent => (INSERT, 7),
            Expected::Revision(_) => (UPDATE, 8),
        };
        let notify = if self.notify {
            // All parts of a statement see the table as it was before it.
            format!(
                ", (SELECT pg_notify(${next}, ${}) FROM written WHERE ${} OR octet_length($6) < (SELECT octet_length(bytes) \
                 FROM \"fieldseal\".key_slots WHERE tenant = $1 AND id = $2))",
                next + 1,
                next + 2,
            )
        } else {
            String::new()
        };
        self.schema.sql(&format!(
            "WITH floor AS MATERIALIZED (SELECT value FROM \"fieldseal\".key_store WHERE name = 'floor'), \
             written AS ({write} RETURNING 1) \
             SELECT (SELECT value FROM floor), (SELECT count(*) FROM written){notify}"
        ))
    }
}

fn epoch_column(epoch: Epoch) -> i64 {
    i64::from(epoch.get())
}

/// A slot without an epoch passes any floor, but needs one to be there. Without the name of a constraint: whichever the table has, of `tenant` and `id` or of `id` alone.
const INSERT: &str = "INSERT INTO \"fieldseal\".key_slots (tenant, id, state, epoch, due, bytes) \
     SELECT $1::bytea, $2::bytea, $3::smallint, $4::bigint, $5::bigint, $6::bytea \
     WHERE coalesce($4, 9223372036854775807) >= (SELECT value FROM floor) ON CONFLICT DO NOTHING";

/// The revision is the end of the bytes.
const UPDATE: &str = "UPDATE \"fieldseal\".key_slots SET state = $3::smallint, epoch = $4::bigint, due = $5::bigint, \
     bytes = $6::bytea WHERE tenant = $1::bytea AND id = $2::bytea AND substr(bytes, octet_length(bytes) - 31) = $7::bytea \
     AND coalesce($4, 9223372036854775807) >= (SELECT value FROM floor)";
const _: () = assert!(Revision::LEN == 32);

//! Writing a slot: what stands in its place is read and judged in the transaction that writes it.
//!
//! The floor is held by a shared advisory lock, which a raise takes alone: it is had before the floor is read, which stays so
//! until the commit. (A share lock on the floor's row would do too, but each writer that comes while others hold one makes
//! PostgreSQL write down all of them anew, in a place that is limited for the whole server: a rewrap of very many slots would
//! fill it.)

use std::convert::identity;

use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::error::failed;
use super::{Inner, due_column, no_floor, select_for_update, slot_rows, tenant_column};
use crate::postgres::{begin_reading, query};
use crate::slots::{SlotRow, settle};
use fieldseal::error::StoreError;
use fieldseal::store::{Epoch, Expected, Loaded, SlotState, StoredSlot};

impl Inner {
    pub(super) async fn put(&self, slot: &StoredSlot, expected: Expected) -> Result<(), StoreError> {
        let lock = format!("SELECT pg_advisory_xact_lock_shared({})", self.floor_lock());
        let (floor, find) = (self.schema.sql(FLOOR), self.schema.sql(&select_for_update(slot.id())));
        let statements = [&*lock, "SET LOCAL bytea_output TO hex", &floor, &find];
        let (mut transaction, read) = match begin_reading(&self.pool, self.lock_timeout, &statements).await {
            Ok(begun) => begun,
            Err(error) => return Err(self.write_failed(error).await),
        };
        let old = match judge(&read, slot, expected) {
            Ok(old) => old,
            Err(refused) => return transaction.end(Err(refused), failed).await,
        };
        // Of text that is always the same, whatever is written.
        let mut statement = query(self.statement(old.as_ref()))
            .bind(tenant_column(slot.id()))
            .bind(slot.id().to_bytes())
            .bind(i16::from(slot.state().number()))
            .bind(slot.epoch().map(epoch_column))
            .bind(slot.due().map(due_column))
            .bind(slot.as_bytes());
        if let Some(old) = &old {
            statement = statement.bind(old.tenant.clone().unwrap_or_default());
        }
        if self.notify {
            let is_shorter = old.and_then(|old| old.bytes).is_some_and(|old| slot.as_bytes().len() < old.len());
            let ends = slot.state() != SlotState::Live || is_shorter;
            statement = statement.bind(self.schema.name()).bind(super::notices::payload(slot.id())).bind(ends);
        }
        let written = statement.fetch_one(&mut *transaction).await;
        let row = match transaction.end(written, identity).await {
            Ok(row) => row,
            Err(error) => return Err(self.write_failed(error).await),
        };
        match row.try_get::<i64, _>(0).map_err(failed)? {
            1 => Ok(()),
            _ => Err(StoreError::conflict()), // somebody else made it since it was not there
        }
    }

    /// Gives how many slots were written.
    fn statement(&self, old: Option<&SlotRow>) -> String {
        let (write, next) = match old {
            None => (INSERT, 7),
            Some(_) => (UPDATE, 8),
        };
        let notify = match self.notify {
            true => format!(", (SELECT pg_notify(${next}, ${}) FROM written WHERE ${})", next + 1, next + 2),
            false => String::new(),
        };
        self.schema.sql(&format!("WITH written AS ({write} RETURNING 1) SELECT (SELECT count(*) FROM written){notify}"))
    }
}

/// The row that is to be replaced; none where there is none.
fn judge(read: &[Vec<PgRow>], slot: &StoredSlot, expected: Expected) -> Result<Option<SlotRow>, StoreError> {
    let [.., floor, found] = read else { return Err(no_floor()) };
    let floor: i64 = floor.first().ok_or_else(no_floor)?.try_get(0).map_err(failed)?;
    if slot.epoch().is_some_and(|epoch| epoch_column(epoch) < floor) {
        return Err(StoreError::below_floor());
    }
    let mut found = slot_rows(found)?;
    settle(&mut found);
    let old = found.pop();
    let there = old.clone().map_or(Loaded::Absent, |row| row.loaded(slot.id()));
    if expected.is_met_by(&there) { Ok(old) } else { Err(StoreError::conflict()) }
}

fn epoch_column(epoch: Epoch) -> i64 {
    i64::from(epoch.get())
}

const FLOOR: &str = "SELECT value FROM \"fieldseal\".key_store WHERE name = 'floor'";

/// Without the name of a constraint: whichever the table has, of `tenant` and `id` or of `id` alone.
const INSERT: &str = "INSERT INTO \"fieldseal\".key_slots (tenant, id, state, epoch, due, bytes) \
     VALUES ($1::bytea, $2::bytea, $3::smallint, $4::bigint, $5::bigint, $6::bytea) ON CONFLICT DO NOTHING";

/// The row that was read, also where its tenant is another than it should be.
const UPDATE: &str = "UPDATE \"fieldseal\".key_slots SET tenant = $1::bytea, state = $3::smallint, epoch = $4::bigint, \
     due = $5::bigint, bytes = $6::bytea WHERE tenant = $7::bytea AND id = $2::bytea";

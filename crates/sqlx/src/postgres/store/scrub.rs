//! What PostgreSQL can physically drop, and what it may keep where.
//!
//! A row that is overwritten stays where it was until a vacuum finds that nobody can see it any more. Its bytes then lie in
//! the page's free space until something is put over them; only a rewritten table has no such space. Bytes that went through
//! the write-ahead log are in that, in its archive, and wherever it was sent.

use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::Inner;
use super::error::failed;
use crate::postgres::{read, run};
use fieldseal::error::{StoreError, StoreErrorKind};
use fieldseal::store::Residue;

impl Inner {
    /// # Errors
    /// [`StoreErrorKind::Denied`] if the role may not vacuum: no erasure would ever be done.
    pub(super) async fn check_may_scrub(&self) -> Result<(), StoreError> {
        // Of a standby, too: a store that is opened during a failover is one when that is over.
        let (_, may) = read(&self.pool, &self.schema.sql(&format!("{TABLES}{MAY_VACUUM}"))).await.map_err(failed)?;
        if may.first().map_or(Ok(false), |row| row.try_get(0)).map_err(failed)? {
            return Ok(());
        }
        Err(StoreError::new(StoreErrorKind::Denied).with_hint(
            "the role may not vacuum the table of slots, so nobody could be erased: it must own it and each of its partitions, \
             or have MAINTAIN on them (PostgreSQL 17 and later)",
        ))
    }

    pub(super) async fn scrub(&self) -> Result<Residue, StoreError> {
        self.check_may_scrub().await?;
        let mut found = self.vacuum_and_look().await?;
        if found.is_dead_left {
            // That may be a count which another session made earlier and reported now.
            found = self.vacuum_and_look().await?;
        }
        if self.scrub_full {
            // Afterwards: dead rows that somebody sees are copied, and would be left in the new table's free space.
            self.vacuum("VACUUM (FULL)").await?;
        }
        Ok(found.residue(self.scrub_full))
    }

    async fn vacuum_and_look(&self) -> Result<Remains, StoreError> {
        self.vacuum("VACUUM").await?;
        let rows = self.read(&format!("{TABLES}{REMAINS}")).await?;
        let row = rows.first().ok_or_else(|| StoreError::corrupt("the PostgreSQL database's statistics"))?;
        Remains::read(row).map_err(failed)
    }

    /// A statement of its own: a vacuum runs in no transaction.
    async fn vacuum(&self, vacuum: &str) -> Result<(), StoreError> {
        let sql = self.schema.sql(&format!("{vacuum} \"fieldseal\".key_slots"));
        match run(&self.pool, sql).await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.write_failed(error).await),
        }
    }
}

/// What is there after a vacuum that may hold what was overwritten.
struct Remains {
    is_dead_left: bool,
    is_prepared: bool,
    is_held_by_slots: bool,
    has_slots: bool,
    has_standbys: bool,
    is_archived: bool,
    is_logical: bool,
    is_logged: bool,
}

impl Remains {
    fn read(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            is_dead_left: row.try_get(0)?,
            is_prepared: row.try_get(1)?,
            is_held_by_slots: row.try_get(2)?,
            has_slots: row.try_get(3)?,
            has_standbys: row.try_get(4)?,
            is_archived: row.try_get(5)?,
            is_logical: row.try_get(6)?,
            is_logged: row.try_get(7)?,
        })
    }

    fn residue(&self, is_rewritten: bool) -> Residue {
        let mut residue = Residue::none();
        if self.is_dead_left {
            let ends_by = match self {
                Self { is_prepared: true, .. } => "the next scrub after the prepared transactions have ended",
                Self { is_held_by_slots: true, .. } => "the next scrub after the standbys and replication slots let go",
                _ => "the next scrub after the transactions that still see them have ended",
            };
            residue = residue.may_remain_in("dead rows that can't be removed yet", ends_by);
        }
        for (is_so, place, ends_by) in [
            (
                !is_rewritten || self.is_dead_left,
                "free space in the table's pages",
                "slots that are put there, or a scrub with `scrub_full`",
            ),
            (is_rewritten, "blocks that the table's former files had", "their reuse, the device's disposal"),
            (true, "write-ahead log", "its recycling, some checkpoints later"),
            (self.is_archived, "archived write-ahead log", "its retention"),
            (self.has_slots, "write-ahead log that replication slots hold back", "their consumers, or their removal"),
            (self.has_standbys, "standbys", "their replay of this scrub, and what holds for the primary"),
            (self.is_logical, "receivers of logical replication", "what they do with it"),
            (self.is_logged, "the server's log, with the parameters of statements", "its retention"),
        ] {
            if is_so {
                residue = residue.may_remain_in(place, ends_by);
            }
        }
        residue.may_remain_in("base backups, dumps, snapshots, and standbys that are not connected", "their retention")
    }
}

/// The table of slots, and its partitions.
const TABLES: &str = "
    WITH RECURSIVE tables AS (
        SELECT c.oid, c.reltoastrelid, c.relowner
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'fieldseal' AND c.relname = 'key_slots'
        UNION ALL
        SELECT c.oid, c.reltoastrelid, c.relowner
        FROM tables t JOIN pg_catalog.pg_inherits i ON i.inhparent = t.oid
        JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
    )";

/// Who may not vacuum a table is only warned, which nobody hears.
const MAY_VACUUM: &str = "
    SELECT coalesce(bool_and(
        pg_has_role(t.relowner, 'USAGE')
        OR EXISTS (SELECT FROM pg_catalog.pg_database d
            WHERE d.datname = current_database() AND pg_has_role(d.datdba, 'USAGE'))
        OR CASE WHEN current_setting('server_version_num')::int >= 170000
            THEN has_table_privilege(t.oid, 'MAINTAIN') ELSE false END
    ), false)
    FROM tables t";

/// The vacuum sets the count of dead rows to what it had to leave; who writes afterwards adds to it. Up to version 14 that
/// comes too late to be asked for.
///
/// Of settings it sees this session's; others may have their own.
const REMAINS: &str = "
    SELECT
        (SELECT coalesce(sum(pg_stat_get_dead_tuples(oid) + pg_stat_get_dead_tuples(reltoastrelid)), 0) FROM tables) > 0
            OR NOT current_setting('track_counts')::bool
            OR current_setting('server_version_num')::int < 150000,
        EXISTS (SELECT FROM pg_catalog.pg_prepared_xacts WHERE database = current_database()),
        EXISTS (SELECT FROM pg_catalog.pg_replication_slots WHERE xmin IS NOT NULL)
            OR EXISTS (SELECT FROM pg_catalog.pg_stat_replication WHERE backend_xmin IS NOT NULL),
        EXISTS (SELECT FROM pg_catalog.pg_replication_slots),
        EXISTS (SELECT FROM pg_catalog.pg_stat_replication),
        current_setting('archive_mode') <> 'off',
        current_setting('wal_level') = 'logical',
        current_setting('log_parameter_max_length_on_error') <> '0'
            OR coalesce(current_setting('pgaudit.log_parameter', true), 'off') = 'on'
            OR current_setting('log_parameter_max_length') <> '0' AND (
                current_setting('log_statement') IN ('mod', 'all')
                OR current_setting('log_min_duration_statement') <> '-1'
                OR current_setting('log_min_duration_sample') <> '-1'
                OR current_setting('log_transaction_sample_rate')::float8 > 0
                OR coalesce(current_setting('auto_explain.log_min_duration', true), '-1') <> '-1')";

//! [`Schema`]: the PostgreSQL schema that an adapter keeps its own tables in, how they are made, and whether they are as
//! they were made.

use std::convert::identity;
use std::time::Duration;

use sqlx::postgres::PgPool;
use sqlx::{PgConnection, Row as _};

use super::script::results;
use super::{Borrowed, begin, query};

/// A schema's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Schema(String);

/// The tables of an adapter.
#[derive(Debug)]
pub(crate) struct Layout {
    /// What makes them, in the schema `"fieldseal"`; the first statement makes that.
    pub(crate) sql: &'static str,
    /// Which version of them this is.
    pub(crate) version: i64,
    /// What reads the version, from the first of the tables.
    pub(crate) read_version: &'static str,
    pub(crate) tables: &'static [TableLayout],
}

/// A table.
#[derive(Debug)]
pub(crate) struct TableLayout {
    pub(crate) name: &'static str,
    /// Its columns by name, with types, as the query below tells them.
    pub(crate) columns: &'static str,
    /// Which columns a unique index may be on, so that what is to be there once is.
    pub(crate) unique: &'static [&'static str],
}

/// What is there of an adapter's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Nothing,
    /// All as this version makes them.
    Right,
    /// Those of a later version.
    Newer,
    /// A table that has one of the names, of something else.
    Foreign(&'static str),
    /// One that is missing, or was altered.
    Altered(&'static str),
    /// One whose rows don't survive a crash.
    Unlogged(&'static str),
    /// One of which the role is not shown every row.
    Hidden(&'static str),
    /// One with a trigger or rule, which may keep elsewhere what is to be destroyed.
    Triggered(&'static str),
}

impl Schema {
    pub(crate) const DEFAULT: &'static str = "fieldseal";
    /// `NAMEDATALEN` less one: PostgreSQL cuts off what is longer.
    const MAX_LEN: usize = 63;

    /// None if no schema can have this name.
    pub(crate) fn new(name: &str) -> Option<Self> {
        let is_possible = (1..=Self::MAX_LEN).contains(&name.len()) && !name.contains('\0') && !name.starts_with("pg_");
        is_possible.then(|| Self(name.to_owned()))
    }

    pub(crate) fn name(&self) -> &str {
        &self.0
    }

    /// A statement that was written for the schema `"fieldseal"`, or `'fieldseal'` where that is a text.
    pub(crate) fn sql(&self, statement: &str) -> String {
        let quoted = format!("\"{}\"", self.0.replace('"', "\"\""));
        // Bit by bit, so that a name which holds the other form stays as it is.
        let parts = statement.split("'fieldseal'").map(|part| part.replace("\"fieldseal\"", &quoted));
        parts.collect::<Vec<_>>().join(&literal(&self.0))
    }

    /// What an advisory lock is taken on, for a purpose of this schema: a number that nobody else comes to.
    pub(crate) fn lock_key(&self, purpose: &str) -> String {
        format!("hashtextextended({}, 0)", literal(&format!("fieldseal {purpose} {}", self.0)))
    }

    /// Makes the tables where there are none, and says what was there or is there now.
    pub(crate) async fn migrate(&self, pool: &PgPool, layout: &Layout) -> Result<Found, sqlx::Error> {
        // Also others that are about to: they wait, and find them made.
        let lock = format!("SELECT pg_advisory_xact_lock({})", self.lock_key("schema"));
        let mut transaction = begin(pool, LOCK_TIMEOUT, &lock).await?;
        let made = self.make(&mut transaction, layout).await;
        transaction.end(made, identity).await
    }

    async fn make(&self, connection: &mut PgConnection, layout: &Layout) -> Result<Found, sqlx::Error> {
        let found = self.look(connection, layout).await?;
        if found != Found::Nothing {
            return Ok(found);
        }
        let exists = query("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1").bind(self.name());
        let exists = exists.fetch_optional(&mut *connection).await?.is_some();
        // Whoever may use a schema need not have the right to make one, which even `IF NOT EXISTS` asks for.
        let tables = layout.sql.split_once(';').filter(|_| exists).map_or(layout.sql, |(_, tables)| tables);
        results(connection, self.sql(tables)).await?;
        Ok(Found::Right)
    }

    /// Compares the tables with what they must be.
    pub(crate) async fn check(&self, pool: &PgPool, layout: &Layout) -> Result<Found, sqlx::Error> {
        let mut connection = Borrowed::from(pool).await?;
        let found = self.look(&mut connection, layout).await;
        connection.answered(found)
    }

    async fn look(&self, connection: &mut PgConnection, layout: &Layout) -> Result<Found, sqlx::Error> {
        let names = layout.tables.iter().map(|table| literal(table.name)).collect::<Vec<_>>().join(", ");
        let sql = format!("{TABLES} WHERE n.nspname = {} AND c.relname IN ({names})", literal(&self.0));
        let rows = results(connection, sql).await?.into_iter().flatten();
        let found = rows.map(|row| Listed::read(&row)).collect::<Result<Vec<_>, _>>()?;
        let Some(first) = layout.tables.first().filter(|_| !found.is_empty()) else { return Ok(Found::Nothing) };
        // The version first: a later one may have other tables.
        match found.iter().find(|listed| listed.name == first.name) {
            Some(listed) if listed.is_table && listed.columns == first.columns => {}
            _ => return Ok(Found::Foreign(found.first().and_then(|l| layout.named(&l.name)).unwrap_or(first.name))),
        }
        let version = results(connection, self.sql(layout.read_version)).await?;
        let version = version.iter().flatten().next().map(|row| row.try_get::<i64, _>(0)).transpose()?;
        match version {
            Some(version) if version > layout.version => return Ok(Found::Newer),
            Some(version) if version == layout.version => {}
            _ => return Ok(Found::Altered(first.name)),
        }
        for table in layout.tables {
            let found = match found.iter().find(|listed| listed.name == table.name) {
                Some(listed) => listed.is(table),
                None => Found::Altered(table.name),
            };
            if found != Found::Right {
                return Ok(found);
            }
        }
        Ok(Found::Right)
    }
}

impl Layout {
    fn named(&self, name: &str) -> Option<&'static str> {
        self.tables.iter().map(|table| table.name).find(|other| *other == name)
    }
}

/// A table as the catalog has it.
struct Listed {
    name: String,
    columns: String,
    is_table: bool,
    is_permanent: bool,
    is_hidden: bool,
    is_triggered: bool,
    /// The columns of each unique index.
    unique: Vec<String>,
}

impl Listed {
    fn read(row: &sqlx::postgres::PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            name: row.try_get(0)?,
            columns: row.try_get(1)?,
            is_table: row.try_get(2)?,
            is_permanent: row.try_get(3)?,
            is_hidden: row.try_get(4)?,
            is_triggered: row.try_get(5)?,
            unique: row.try_get::<String, _>(6)?.split(';').map(str::to_owned).collect(),
        })
    }

    fn is(&self, table: &TableLayout) -> Found {
        let is_unique = self.unique.iter().any(|columns| table.unique.contains(&columns.as_str()));
        match table.name {
            name if !self.is_table || self.columns != table.columns || !is_unique => Found::Altered(name),
            name if !self.is_permanent => Found::Unlogged(name),
            name if self.is_hidden => Found::Hidden(name),
            name if self.is_triggered => Found::Triggered(name),
            _ => Found::Right,
        }
    }
}

/// Text as a literal. `E''` reads the same whatever `standard_conforming_strings` says.
fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// Tables, and of a partitioned one what its partitions are: a partition has triggers and rules of its own.
const TABLES: &str = "
    SELECT c.relname::text,
        (SELECT coalesce(string_agg(a.attname || ' ' || format_type(a.atttypid, NULL)
                || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END, ', ' ORDER BY a.attname COLLATE \"C\"), '')
            FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
        c.relkind IN ('r', 'p')
            AND NOT EXISTS (SELECT FROM pg_partition_tree(c.oid) t JOIN pg_catalog.pg_class p ON p.oid = t.relid
                WHERE p.relkind NOT IN ('r', 'p')),
        c.relpersistence = 'p'
            AND NOT EXISTS (SELECT FROM pg_partition_tree(c.oid) t JOIN pg_catalog.pg_class p ON p.oid = t.relid
                WHERE p.relpersistence <> 'p'),
        row_security_active(c.oid),
        EXISTS (SELECT FROM pg_catalog.pg_trigger g WHERE NOT g.tgisinternal
                AND (g.tgrelid = c.oid OR g.tgrelid IN (SELECT relid FROM pg_partition_tree(c.oid))))
            OR EXISTS (SELECT FROM pg_catalog.pg_rewrite w
                WHERE w.ev_class = c.oid OR w.ev_class IN (SELECT relid FROM pg_partition_tree(c.oid))),
        (SELECT coalesce(string_agg(u.columns, ';'), '') FROM (
            SELECT string_agg(a.attname, ',' ORDER BY a.attname COLLATE \"C\") AS columns
            FROM pg_catalog.pg_index i
            JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])
            WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate
                AND i.indpred IS NULL AND i.indexprs IS NULL
            GROUP BY i.indexrelid) u)
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace";

const LOCK_TIMEOUT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_postgresql_cuts_off_or_reserves_is_refused() {
        for name in ["", "pg_keys", "a\0b", &"x".repeat(64)] {
            assert_eq!(Schema::new(name), None, "{name:?}");
        }
        assert!(Schema::new(&"x".repeat(63)).is_some());
    }

    #[test]
    fn a_name_stays_a_name() {
        let schema = Schema::new("a\"; DROP TABLE b; --'\\").unwrap();
        assert_eq!(schema.sql("\"fieldseal\".t"), r#""a""; DROP TABLE b; --'\".t"#);
        assert_eq!(schema.sql("= 'fieldseal'"), r#"= E'a"; DROP TABLE b; --''\\'"#);
    }
}

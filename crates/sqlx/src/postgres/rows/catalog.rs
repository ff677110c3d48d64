//! What PostgreSQL's catalog says of a table: its whole name, and the types of its columns.

use sqlx::{PgConnection, Row as _};

use super::column::Column;
use super::error::failed;
use crate::postgres::query;
use crate::sql::quoted_table;
use fieldseal::error::{RowsError, RowsErrorKind};

/// A table that is there.
pub(super) struct Found {
    /// With its schema, in quotes: whatever the `search_path` of another connection, it is the same table.
    pub(super) name: String,
    table: String,
    columns: Vec<Listed>,
}

struct Listed {
    column: Column,
    is_readable: bool,
}

impl Found {
    /// A column that may be read.
    pub(super) fn column(&self, name: &str) -> Result<Column, RowsError> {
        let listed = self.columns.iter().find(|listed| listed.column.name == name);
        let listed = listed.ok_or_else(|| RowsError::no_column(name))?;
        if !listed.is_readable {
            let hint = format!("the role may not read the column {name:?} of {:?}: grant it SELECT", self.table);
            return Err(RowsError::new(RowsErrorKind::Denied).with_hint(hint));
        }
        Ok(listed.column.clone())
    }

    /// Whether it has a column of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.columns.iter().any(|listed| listed.column.name == name)
    }
}

/// Looks a table up, as the connection's `search_path` has it where no schema is named.
pub(super) async fn find(connection: &mut PgConnection, table: &str) -> Result<Found, RowsError> {
    let quoted = quoted_table(table);
    let name = query(TABLE).bind(&quoted).fetch_optional(&mut *connection).await.map_err(failed)?;
    let Some(name) = name else {
        return Err(RowsError::misconfigured(format!("there is no table {table:?} in the PostgreSQL database")));
    };
    let name: String = name.try_get(0).map_err(failed)?;
    let columns = query(COLUMNS).bind(&name).fetch_all(connection).await.map_err(failed)?;
    let columns = columns.iter().map(|row| {
        let (schema, ty): (String, String) = (row.try_get(2)?, row.try_get(3)?);
        let column = Column::new(row.try_get(0)?, &schema, &ty, row.try_get(4)?, row.try_get(5)?);
        Ok(Listed { column, is_readable: row.try_get(1)? })
    });
    Ok(Found { name, table: table.to_owned(), columns: columns.collect::<Result<_, _>>().map_err(failed)? })
}

/// A table, a partitioned or a foreign one, or a view.
const TABLE: &str = "
    SELECT format('%I.%I', n.nspname, c.relname)
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = to_regclass($1) AND c.relkind IN ('r', 'p', 'f', 'v', 'm')";

/// A domain is followed to the type that it is made of.
const COLUMNS: &str = "
    WITH RECURSIVE listed AS (
        SELECT a.attname, has_column_privilege(a.attrelid, a.attnum, 'SELECT') AS is_readable, a.atttypid AS type,
            NOT a.attnotnull AS may_be_null
        FROM pg_catalog.pg_attribute a
        WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped
        UNION ALL
        SELECT l.attname, l.is_readable, t.typbasetype, l.may_be_null
        FROM listed l JOIN pg_catalog.pg_type t ON t.oid = l.type WHERE t.typtype = 'd'
    )
    SELECT l.attname::text, l.is_readable, n.nspname::text, t.typname::text, format('%I.%I', n.nspname, t.typname),
        l.may_be_null
    FROM listed l
    JOIN pg_catalog.pg_type t ON t.oid = l.type
    JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
    WHERE t.typtype <> 'd'";

//! The tables of [`PostgresStore`](super::PostgresStore), and the SQL that makes them.

use crate::postgres::{Layout, TableLayout};

pub(super) const LAYOUT: Layout = Layout {
    sql: include_str!("migrations/0001_key_store.sql"),
    version: 1,
    read_version: "SELECT value FROM \"fieldseal\".key_store WHERE name = 'schema'",
    tables: &[
        TableLayout { name: "key_store", columns: "name text not null, value bigint not null", unique: &["name"] },
        TableLayout {
            name: "key_slots",
            columns: "bytes bytea not null, due bigint, epoch bigint, id bytea not null, state smallint not null, \
                      tenant bytea not null",
            unique: &["id,tenant", "id"],
        },
    ],
};

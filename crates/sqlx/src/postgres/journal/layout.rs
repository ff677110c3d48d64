//! The tables of [`PostgresJournal`](super::PostgresJournal), and the SQL that makes them.

use crate::postgres::{Layout, TableLayout};

pub(super) const LAYOUT: Layout = Layout {
    sql: include_str!("migrations/0001_journal.sql"),
    version: 1,
    read_version: "SELECT version FROM \"fieldseal\".journal",
    tables: &[
        TableLayout {
            name: "journal",
            columns: "hash bytea not null, id bytea not null, one boolean not null, position bigint not null, \
                      version bigint not null",
            unique: &["one"],
        },
        TableLayout {
            name: "journal_entries",
            columns: "bytes bytea not null, hash bytea not null, position bigint not null, tag bytea not null, \
                      tenant bytea not null",
            unique: &["position"],
        },
    ],
};

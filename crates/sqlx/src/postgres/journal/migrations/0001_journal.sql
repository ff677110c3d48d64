-- The erasure journal of fieldseal in PostgreSQL, version 1: what `PostgresJournal::builder(pool).migrate()` runs, for an
-- application that keeps all its migrations in one place. Replace "fieldseal" (with its quotes) by another schema's name as
-- you like. It belongs into another database than the key store, with backups of its own.
CREATE SCHEMA IF NOT EXISTS "fieldseal";

-- One row: which journal it is, and its head.
CREATE TABLE "fieldseal".journal (
    one boolean PRIMARY KEY CHECK (one),
    version bigint NOT NULL,
    id bytea NOT NULL,
    position bigint NOT NULL,
    hash bytea NOT NULL
);

-- `position` counts from 1, `hash` is that of the chain behind the entry. `tenant` and `tag` are those in the bytes, empty where there is none.
CREATE TABLE "fieldseal".journal_entries (
    position bigint PRIMARY KEY,
    hash bytea NOT NULL,
    tenant bytea NOT NULL,
    tag bytea NOT NULL,
    bytes bytea NOT NULL
);

CREATE INDEX journal_entries_of ON "fieldseal".journal_entries (tenant, tag, position);

INSERT INTO "fieldseal".journal (one, version, id, position, hash)
VALUES (true, 1, uuid_send(gen_random_uuid()), 0, decode(repeat('00', 32), 'hex'));

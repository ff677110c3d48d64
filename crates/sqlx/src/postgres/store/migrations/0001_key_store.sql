-- The key store of fieldseal in PostgreSQL, version 1: what `PostgresStore::builder(pool).migrate()` runs, for an application
-- that keeps all its migrations in one place. Replace "fieldseal" (with its quotes) by another schema's name as you like.
CREATE SCHEMA IF NOT EXISTS "fieldseal";

CREATE TABLE "fieldseal".key_store (
    name text PRIMARY KEY,
    value bigint NOT NULL
);

-- `tenant` is empty for the vault's own slot; `id` has the tenant in it, so that it names a slot alone. A partitioned table
-- (see partitioned.sql) needs its partitioning columns in the primary key: these two are all that anybody partitions by.
CREATE TABLE "fieldseal".key_slots (
    tenant bytea NOT NULL,
    id bytea NOT NULL,
    state smallint NOT NULL,
    epoch bigint,
    due bigint,
    bytes bytea NOT NULL,
    PRIMARY KEY (tenant, id)
);

-- Wrapped keys don't compress, and the end of a long slot, its revision, is read without the rest.
ALTER TABLE "fieldseal".key_slots ALTER COLUMN bytes SET STORAGE EXTERNAL;

-- For scans: over all slots in the order of ids, for what is due, and for what is left of an epoch that is to be retired.
CREATE INDEX key_slots_id ON "fieldseal".key_slots (id);
CREATE INDEX key_slots_due ON "fieldseal".key_slots (due) WHERE due IS NOT NULL;
CREATE INDEX key_slots_epoch ON "fieldseal".key_slots (epoch) WHERE epoch IS NOT NULL;

INSERT INTO "fieldseal".key_store (name, value) VALUES ('schema', 1), ('floor', 0);

-- For very many subjects: the table of slots by tenant, and by a hash of the id (tenant and tag) in there. Run it right after
-- 0001_key_store.sql, while there are no slots yet.
--
-- The role that uses the store must own all of it, or have MAINTAIN on each partition (PostgreSQL 17 and later): it vacuums
-- them. So run this as that role. What was granted on the former table went with it: grant it again.
--
-- Every tenant is in the default partition, which has 16, and so is the vault's own slot, whose tenant is empty: without a
-- default partition neither would have a place. A large tenant gets partitions of its own, before it has slots. While
-- processes use the store, not by CREATE TABLE .. PARTITION OF: that would look through the whole default partition, and
-- nobody could read or write a slot meanwhile. One by one, and each in a transaction of its own:
--
--     CREATE TABLE "fieldseal".key_slots_acme (LIKE "fieldseal".key_slots INCLUDING ALL) PARTITION BY HASH (id);
--     CREATE TABLE "fieldseal".key_slots_acme_0 PARTITION OF "fieldseal".key_slots_acme
--         FOR VALUES WITH (MODULUS 4, REMAINDER 0);  -- and so on, to REMAINDER 3
--     ALTER TABLE "fieldseal".key_slots_default
--         ADD CONSTRAINT key_slots_not_acme CHECK (tenant <> '\x61636d65') NOT VALID;
--     ALTER TABLE "fieldseal".key_slots_default VALIDATE CONSTRAINT key_slots_not_acme;
--     ALTER TABLE "fieldseal".key_slots ATTACH PARTITION "fieldseal".key_slots_acme FOR VALUES IN ('\x61636d65');
--     ALTER TABLE "fieldseal".key_slots_default DROP CONSTRAINT key_slots_not_acme;
--
-- VALIDATE looks through the default partition while slots are read and written; then ATTACH, which keeps everybody from it,
-- needn't, and with client_min_messages = debug1 says that its constraint is "implied by existing constraints". So the check
-- must name the bytes themselves, as SELECT convert_to('acme', 'UTF8') gives them: with the function in it, PostgreSQL looks
-- all the same. ATTACH and the other ALTERs need the default partition to themselves for a moment. Do them with
-- lock_timeout = '1s', and again if they fail: or all wait behind one that waits for a long transaction. From the check until
-- ATTACH nothing of that tenant can be put. The same role must own the new tables.
--
-- A tenant that has slots already: stop every process that uses the store, move its rows after the tables are made, and scrub
-- when all is done:
--
--  WITH moved AS (DELETE FROM "fieldseal".key_slots_default WHERE tenant = '\x61636d65' RETURNING *)
--  INSERT INTO "fieldseal".key_slots_acme SELECT * FROM moved;
BEGIN;
LOCK TABLE "fieldseal".key_slots IN ACCESS EXCLUSIVE MODE;

DO $$
BEGIN
    IF EXISTS (SELECT FROM "fieldseal".key_slots) THEN
        RAISE EXCEPTION 'there are slots already: copy them over by hand';
    END IF;
END
$$;

DROP TABLE "fieldseal".key_slots;

CREATE TABLE "fieldseal".key_slots (
    tenant bytea NOT NULL,
    id bytea NOT NULL,
    state smallint NOT NULL,
    epoch bigint,
    due bigint,
    bytes bytea NOT NULL,
    PRIMARY KEY (tenant, id)
) PARTITION BY LIST (tenant);

ALTER TABLE "fieldseal".key_slots ALTER COLUMN bytes SET STORAGE EXTERNAL;

CREATE INDEX key_slots_id ON "fieldseal".key_slots (id);
CREATE INDEX key_slots_due ON "fieldseal".key_slots (due) WHERE due IS NOT NULL;
CREATE INDEX key_slots_epoch ON "fieldseal".key_slots (epoch) WHERE epoch IS NOT NULL;

CREATE TABLE "fieldseal".key_slots_default PARTITION OF "fieldseal".key_slots DEFAULT PARTITION BY HASH (id);

DO $$
BEGIN
    FOR n IN 0..15 LOOP
        EXECUTE format(
            'CREATE TABLE "fieldseal".key_slots_%s PARTITION OF "fieldseal".key_slots_default '
            'FOR VALUES WITH (MODULUS 16, REMAINDER %s)',
            n, n
        );
    END LOOP;
END
$$;

COMMIT;

-- For very many subjects: the table of slots by tenant, and by a hash of the id (tenant and tag) in there. Run it right after
-- 0001_key_store.sql, while there are no slots yet.
--
-- Every tenant is in the default partition, which has 16, and so is the vault's own slot, whose tenant is empty: without a
-- default partition neither would have a place. A large tenant gets partitions of its own, before it has slots:
--
--     CREATE TABLE "fieldseal".key_slots_acme PARTITION OF "fieldseal".key_slots
--         FOR VALUES IN (convert_to('acme', 'UTF8')) PARTITION BY HASH (id);
--     CREATE TABLE "fieldseal".key_slots_acme_0 PARTITION OF "fieldseal".key_slots_acme
--         FOR VALUES WITH (MODULUS 4, REMAINDER 0);  -- and so on, to REMAINDER 3
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

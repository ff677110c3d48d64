-- For very many subjects: the table of slots in 16 partitions, by a hash of the id (tenant and tag). Run it right after
-- 0001_key_store.sql, while there are no slots yet. fieldseal takes any partitioning by `tenant`, `id` or both: for a
-- partition a tenant, write PARTITION BY LIST (tenant), and in there PARTITION BY HASH (id) for those that are large.
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
) PARTITION BY HASH (id);

ALTER TABLE "fieldseal".key_slots ALTER COLUMN bytes SET STORAGE EXTERNAL;

CREATE INDEX key_slots_id ON "fieldseal".key_slots (id);
CREATE INDEX key_slots_due ON "fieldseal".key_slots (due) WHERE due IS NOT NULL;
CREATE INDEX key_slots_epoch ON "fieldseal".key_slots (epoch) WHERE epoch IS NOT NULL;

DO $$
BEGIN
    FOR n IN 0..15 LOOP
        EXECUTE format(
            'CREATE TABLE "fieldseal".key_slots_%s PARTITION OF "fieldseal".key_slots FOR VALUES WITH (MODULUS 16, REMAINDER %s)',
            n, n
        );
    END LOOP;
END
$$;

COMMIT;

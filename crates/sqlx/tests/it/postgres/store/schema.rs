//! The tables: how they are made, in a schema of whichever name, and which are refused.

use fieldseal::TenantId;
use fieldseal::store::{Expected, Filter, KeyStore as _, Loaded, Scan, SlotId, StoreErrorKind};
use fieldseal_sqlx::PostgresStore;
use fieldseal_testkit::slot::SampleSlot;
use futures_util::future::join_all;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, PgConnection, PgPool};

use super::{made, partitioned};
use crate::postgres::{execute, pool};

pub(super) async fn a_schema_may_have_any_name(database: PgConnectOptions) {
    let pool = pool(database).await;
    let slot = SampleSlot::new(SlotId::Vault).build();
    for name in ["public", "Keys", "a b", "a\"b", "a'b", "a\\b", "k\u{e4}y", "select", "%s", "$1", &"x".repeat(63)] {
        let builder = PostgresStore::builder(pool.clone()).schema(name).with_notices();
        builder.migrate().await.unwrap();
        let store = builder.open().await.unwrap();
        store.put(&slot, Expected::Absent).await.unwrap();
        store.raise_floor(fieldseal::store::Epoch::FIRST).await.unwrap();
        assert_eq!(store.scan(&Scan::new(Filter::All)).await.unwrap().slots, std::slice::from_ref(&slot), "{name:?}");
        store.scrub().await.unwrap();
    }
    for name in ["", "pg_keys", "a\0b", &"x".repeat(64)] {
        let builder = PostgresStore::builder(pool.clone()).schema(name);
        assert_eq!(builder.migrate().await.unwrap_err().kind(), StoreErrorKind::Misconfigured, "{name:?}");
        assert_eq!(builder.open().await.unwrap_err().kind(), StoreErrorKind::Misconfigured, "{name:?}");
    }
}

pub(super) async fn stores_in_two_schemas_are_two(database: PgConnectOptions) {
    let pool = pool(database).await;
    let (one, other) = (made(&pool).await, PostgresStore::builder(pool.clone()).schema("other"));
    other.migrate().await.unwrap();
    let other = other.open().await.unwrap();
    one.put(&SampleSlot::new(SlotId::Vault).build(), Expected::Absent).await.unwrap();
    one.raise_floor(fieldseal::store::Epoch::new(7).unwrap()).await.unwrap();
    assert_eq!(other.load(&[SlotId::Vault]).await.unwrap(), [Loaded::Absent]);
    let low = SampleSlot::new(SlotId::Vault).epoch(fieldseal::store::Epoch::FIRST).build();
    other.put(&low, Expected::Absent).await.unwrap();
}

/// As `partitioned.sql` says of a large tenant, by a role that owns the store and nothing else; and what is said where a tenant
/// has no place.
pub(super) async fn a_tenant_may_have_partitions_of_its_own(database: PgConnectOptions) {
    let admin = pool(database.clone()).await;
    let role = role(&admin, &database).await;
    execute(&admin, &format!("CREATE SCHEMA fieldseal AUTHORIZATION {role}")).await;
    let options = PgPoolOptions::new().max_connections(1);
    let pool = options.connect_with(database.clone().username(&role)).await.unwrap();
    let store = partitioned(&pool).await;
    let slot = |tenant: &str| SampleSlot::new(SlotId::Tenant(TenantId::new(tenant).unwrap())).build();
    let slots = [slot("acme"), slot("globex"), SampleSlot::new(SlotId::Vault).build()];
    for slot in &slots[1..] {
        store.put(slot, Expected::Absent).await.unwrap();
    }
    let statements = of_a_large_tenant();
    assert_eq!(statements.len(), 6);
    for statement in &statements {
        let mut transaction = pool.begin().await.unwrap();
        let before = scans_of_default(&mut transaction).await;
        sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(&mut *transaction).await.unwrap();
        let looked = scans_of_default(&mut transaction).await > before;
        transaction.commit().await.unwrap();
        assert_eq!(looked, statement.contains("VALIDATE"), "who waits for it waits for long: {statement}");
    }
    store.put(&slots[0], Expected::Absent).await.unwrap();
    for slot in &slots {
        assert_eq!(store.load(std::slice::from_ref(slot.id())).await.unwrap(), [Loaded::Slot(slot.clone())]);
    }
    let count = "SELECT count(*) FROM fieldseal.key_slots_acme_0";
    assert_eq!(sqlx::query_scalar::<_, i64>(count).fetch_one(&pool).await.unwrap(), 1);
    assert_eq!(store.scan(&Scan::new(Filter::All)).await.unwrap().slots.len(), 3);
    store.scrub().await.unwrap();

    // A partition that is another role's: nobody could be erased.
    execute(&admin, "ALTER TABLE fieldseal.key_slots_acme_0 OWNER TO postgres").await;
    assert_eq!(PostgresStore::new(pool.clone()).await.unwrap_err().kind(), StoreErrorKind::Denied);
    execute(&admin, &format!("ALTER TABLE fieldseal.key_slots_acme_0 OWNER TO {role}")).await;

    execute(&pool, "DROP TABLE fieldseal.key_slots_default").await;
    let store = PostgresStore::new(pool).await.unwrap();
    let error = store.put(&slot("initech"), Expected::Absent).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
    assert!(error.to_string().contains("DEFAULT"), "{error}");
}

/// The statements of the example in `partitioned.sql`, with one partition.
fn of_a_large_tenant() -> Vec<String> {
    let sql = include_str!("../../../../src/postgres/store/migrations/partitioned.sql");
    let lines = sql.lines().filter_map(|line| line.strip_prefix("--     "));
    let example: Vec<_> = lines.map(|line| line.split("  -- ").next().unwrap_or_default()).collect();
    let example = example.join("\n").replace("MODULUS 4", "MODULUS 1");
    example.split(';').map(str::trim).filter(|statement| !statement.is_empty()).map(str::to_owned).collect()
}

/// How often this session has looked through a part of the default partition, where it is counted within a transaction.
async fn scans_of_default(session: &mut PgConnection) -> i64 {
    let scans = "SELECT sum(seq_scan)::bigint FROM pg_stat_xact_user_tables WHERE relname ~ '^key_slots_[0-9]+$'";
    sqlx::query_scalar(scans).fetch_one(session).await.unwrap()
}

pub(super) async fn tables_are_made_once(database: PgConnectOptions) {
    let pool = pool(database).await;
    let store = made(&pool).await;
    let slot = SampleSlot::new(SlotId::Vault).build();
    store.put(&slot, Expected::Absent).await.unwrap();
    let again = made(&pool).await;
    assert_eq!(again.load(&[SlotId::Vault]).await.unwrap(), [Loaded::Slot(slot)]);
}

pub(super) async fn tables_are_made_by_one_of_many(database: PgConnectOptions) {
    let pools = join_all((0..4).map(|_| pool(database.clone()))).await;
    let builders: Vec<_> = pools.iter().map(|pool| PostgresStore::builder(pool.clone())).collect();
    for made in join_all(builders.iter().chain(&builders).map(|builder| builder.migrate())).await {
        made.unwrap();
    }
    for pool in pools {
        PostgresStore::new(pool).await.unwrap();
    }
}

/// By hand, with the schema's name replaced as its comment says: the same tables, columns and indexes.
pub(super) async fn the_shipped_sql_makes_what_migrate_makes(database: PgConnectOptions) {
    let pool = pool(database).await;
    made(&pool).await;
    let sql = include_str!("../../../../src/postgres/store/migrations/0001_key_store.sql");
    execute(&pool, &sql.replace("\"fieldseal\"", "by_hand")).await;
    PostgresStore::builder(pool.clone()).schema("by_hand").open().await.unwrap();
    assert_eq!(catalog(&pool, "by_hand").await, catalog(&pool, "fieldseal").await);
    execute(&pool, "SET search_path TO by_hand").await;
}

async fn catalog(pool: &PgPool, schema: &str) -> Vec<String> {
    let sql = "SELECT format('%s.%s %s %s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attstorage)
            FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
            WHERE c.relnamespace = $1::regnamespace AND a.attnum > 0
        UNION ALL
        SELECT replace(indexdef, schemaname || '.', '') FROM pg_indexes WHERE schemaname = $1
        ORDER BY 1";
    let found: Vec<String> = sqlx::query_scalar(sql).bind(schema).persistent(false).fetch_all(pool).await.unwrap();
    assert!(found.len() > 10, "{found:?}");
    found
}

/// Who makes the schemas made one.
pub(super) async fn a_role_that_may_use_a_schema_need_not_make_one(database: PgConnectOptions) {
    let admin = pool(database.clone()).await;
    let role = role(&admin, &database).await;
    execute(&admin, &format!("CREATE SCHEMA keys; GRANT USAGE, CREATE ON SCHEMA keys TO {role}")).await;
    let pool = pool(database.username(&role)).await;
    let builder = PostgresStore::builder(pool).schema("keys");
    builder.migrate().await.unwrap();
    let store = builder.open().await.unwrap();
    store.put(&SampleSlot::new(SlotId::Vault).build(), Expected::Absent).await.unwrap();
    store.scrub().await.unwrap();
}

pub(super) async fn a_role_without_rights_is_denied(database: PgConnectOptions) {
    let admin = pool(database.clone()).await;
    let role = role(&admin, &database).await;
    let builder = PostgresStore::builder(pool(database.username(&role)).await);
    assert_eq!(builder.migrate().await.unwrap_err().kind(), StoreErrorKind::Denied);
    made(&admin).await;
    assert_eq!(builder.clone().open().await.unwrap_err().kind(), StoreErrorKind::Denied);
    let tables = "SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA fieldseal";
    execute(&admin, &format!("GRANT USAGE ON SCHEMA fieldseal TO {role}; GRANT {tables} TO {role}")).await;
    assert_eq!(builder.clone().open().await.unwrap_err().kind(), StoreErrorKind::Denied, "it may not vacuum");
    execute(&admin, &format!("ALTER TABLE fieldseal.key_slots OWNER TO {role}")).await;
    let store = builder.open().await.unwrap();
    store.put(&SampleSlot::new(SlotId::Vault).build(), Expected::Absent).await.unwrap();
}

pub(super) async fn what_is_not_there_is_misconfigured_and_says_what_makes_it(database: PgConnectOptions) {
    let pool = pool(database).await;
    let error = PostgresStore::new(pool.clone()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
    assert!(error.to_string().contains("migrate()"), "{error}");
    execute(&pool, "CREATE SCHEMA fieldseal; CREATE TABLE fieldseal.customer (id int)").await;
    assert!(PostgresStore::new(pool.clone()).await.unwrap_err().to_string().contains("migrate()"));
    made(&pool).await;
}

pub(super) async fn tables_of_another_application_are_left_alone(database: PgConnectOptions) {
    let pool = pool(database).await;
    for table in ["key_store (name text, value int)", "key_slots (id int)"] {
        execute(&pool, "DROP SCHEMA IF EXISTS fieldseal CASCADE; CREATE SCHEMA fieldseal").await;
        execute(&pool, &format!("CREATE TABLE fieldseal.{table}")).await;
        let builder = PostgresStore::builder(pool.clone());
        for error in [builder.migrate().await.unwrap_err(), builder.open().await.map(drop).unwrap_err()] {
            assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{table}: {error:?}");
        }
        let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'fieldseal'";
        assert_eq!(sqlx::query_scalar::<_, i64>(tables).fetch_one(&pool).await.unwrap(), 1, "none was added");
    }
}

pub(super) async fn tables_of_a_later_version_are_refused(database: PgConnectOptions) {
    let pool = pool(database).await;
    made(&pool).await;
    execute(&pool, "UPDATE fieldseal.key_store SET value = 2 WHERE name = 'schema'").await;
    execute(&pool, "ALTER TABLE fieldseal.key_slots RENAME TO key_slots_2").await;
    let builder = PostgresStore::builder(pool);
    assert_eq!(builder.migrate().await.unwrap_err().kind(), StoreErrorKind::NewerSchema);
    assert_eq!(builder.open().await.unwrap_err().kind(), StoreErrorKind::NewerSchema);
}

pub(super) async fn tables_that_were_altered_are_refused(database: PgConnectOptions) {
    use StoreErrorKind::{Corrupt, Misconfigured};
    let pool = pool(database.clone()).await;
    // Whose tables row security applies to.
    let role = role(&pool, &database).await;
    execute(&pool, &format!("GRANT CREATE ON DATABASE {} TO {role}", database.get_database().unwrap())).await;
    let tester = super::pool(database.username(&role)).await;
    let trigger = "CREATE FUNCTION fieldseal.keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
         CREATE TRIGGER keep AFTER UPDATE ON fieldseal.key_slots FOR EACH ROW EXECUTE FUNCTION fieldseal.keep()";
    for (kind, alter) in [
        (Corrupt, "DROP TABLE fieldseal.key_slots"),
        (Corrupt, "ALTER TABLE fieldseal.key_slots DROP COLUMN due"),
        (Corrupt, "ALTER TABLE fieldseal.key_slots RENAME due TO late"),
        (Corrupt, "ALTER TABLE fieldseal.key_slots ALTER COLUMN epoch TYPE int"),
        (Corrupt, "ALTER TABLE fieldseal.key_slots ALTER COLUMN bytes DROP NOT NULL"),
        (Corrupt, "ALTER TABLE fieldseal.key_slots ADD COLUMN before bytea"),
        (Corrupt, "ALTER TABLE fieldseal.key_slots DROP CONSTRAINT key_slots_pkey"),
        (Corrupt, "DELETE FROM fieldseal.key_store WHERE name = 'schema'"),
        (Corrupt, "UPDATE fieldseal.key_store SET value = 0 WHERE name = 'schema'"),
        (Corrupt, trigger),
        (Corrupt, "CREATE RULE keep AS ON UPDATE TO fieldseal.key_slots DO ALSO NOTHING"),
        (Misconfigured, "ALTER TABLE fieldseal.key_slots SET UNLOGGED"),
        (
            Misconfigured,
            "ALTER TABLE fieldseal.key_slots ENABLE ROW LEVEL SECURITY; \
             ALTER TABLE fieldseal.key_slots FORCE ROW LEVEL SECURITY",
        ),
    ] {
        execute(&pool, "DROP SCHEMA IF EXISTS fieldseal CASCADE").await;
        let builder = PostgresStore::builder(tester.clone());
        builder.migrate().await.unwrap();
        builder.clone().open().await.unwrap();
        execute(&tester, alter).await;
        for error in [builder.migrate().await.unwrap_err(), builder.open().await.map(drop).unwrap_err()] {
            assert_eq!(error.kind(), kind, "{alter}: {error:?}");
        }
    }
    // An index more hurts nobody, nor does a name that was changed.
    execute(&pool, "DROP SCHEMA IF EXISTS fieldseal CASCADE").await;
    made(&pool).await;
    execute(&pool, "CREATE INDEX ON fieldseal.key_slots (state); ALTER INDEX fieldseal.key_slots_id RENAME TO other")
        .await;
    PostgresStore::new(pool.clone()).await.unwrap();
}

pub(super) async fn a_slot_whose_columns_were_altered_is_damaged(database: PgConnectOptions) {
    let pool = pool(database).await;
    for alter in [
        "UPDATE fieldseal.key_slots SET epoch = 8",
        "UPDATE fieldseal.key_slots SET epoch = -1",
        "UPDATE fieldseal.key_slots SET epoch = NULL",
        "UPDATE fieldseal.key_slots SET due = 0",
        "UPDATE fieldseal.key_slots SET state = 3",
        "UPDATE fieldseal.key_slots SET state = -1",
        "UPDATE fieldseal.key_slots SET bytes = ''",
        "UPDATE fieldseal.key_slots SET id = '\\x09'",
        "UPDATE fieldseal.key_slots SET tenant = 'acme'",
    ] {
        execute(&pool, "DROP SCHEMA IF EXISTS fieldseal CASCADE").await;
        let store = made(&pool).await;
        let slot = SampleSlot::new(SlotId::Vault).epoch(fieldseal::store::Epoch::new(7).unwrap()).build();
        store.put(&slot, Expected::Absent).await.unwrap();
        execute(&pool, alter).await;
        let page = store.scan(&Scan::new(Filter::All)).await.unwrap();
        assert!(page.slots.is_empty(), "{alter}");
        let loaded = store.load(&[SlotId::Vault]).await.unwrap().remove(0);
        match alter.contains(" id ") {
            true => assert_eq!((loaded, page.nameless), (Loaded::Absent, 1), "{alter}"),
            false => {
                let [(SlotId::Vault, token)] = page.damaged.as_slice() else { panic!("{alter}: {page:?}") };
                assert_eq!(loaded, Loaded::Damaged(*token), "{alter}");
            }
        }
    }
}

/// A role of the test's own. Roles are the server's, and so is what they may do with what databases share.
async fn role(admin: &PgPool, database: &PgConnectOptions) -> String {
    let name = format!("tester_{}", database.get_database().unwrap());
    execute(admin, &format!("CREATE ROLE {name} LOGIN")).await;
    name
}

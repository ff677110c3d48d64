//! The table as a job finds it: values under old keys and new ones, persons who were erased, a value that nobody opens.

use std::path::Path;

use fieldseal::id::Purpose;
use fieldseal::provider::KeyringOptions;
use fieldseal::rows::Cell;
use fieldseal::store::MemoryStore;
use fieldseal::vault::ErasureRequest;
use fieldseal::vault::KeyPage;
use fieldseal_testkit::customer;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool};

use super::table::{ERASED, ERASED_FOR_BILLING, FIELDS, LOST, ROWS, SCHEMA, SUBJECTS, put, seal, subject_of, value};
use super::*;

/// How SQLite keeps half a transaction in the application's database.
#[derive(Clone, Copy, Debug)]
pub(super) enum Log {
    Ahead,
    Rollback,
}

/// Fills a folder.
pub(super) async fn make(folder: &Path, job: Job, log: Log) -> Result<SharedFiles> {
    let place = SharedFiles(folder.to_owned());
    KeyringOptions::new().generate(place.file("keyring")).await?;
    let vault = place.vault(&Tap::open(), &ManualClock::new()).await?;
    let database = create(&place, log).await?;
    match job {
        Job::Adopt => in_clear(&vault, &database).await?,
        _ => sealed(job, &vault, &database).await?,
    }
    database.close().await;
    drop(vault);
    place.fresh().await?; // what happened at the first hour is looked at once
    place.settle().await?;
    Ok(place)
}

async fn create(place: &SharedFiles, log: Log) -> Result<SqlitePool> {
    let mode = match log {
        Log::Ahead => SqliteJournalMode::Wal,
        Log::Rollback => SqliteJournalMode::Delete,
    };
    let options = SqliteConnectOptions::new().filename(place.file(TABLE)).create_if_missing(true).journal_mode(mode);
    let database = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
    for statement in SCHEMA {
        sqlx::query(statement).execute(&database).await?;
    }
    Ok(database)
}

/// Everything in the clear; the application writes the plaintext, too. Some persons have keys already.
async fn in_clear(vault: &Vault, database: &SqlitePool) -> Result {
    let enrolled: Vec<_> = (1..=SUBJECTS).filter(|subject| subject % 20 != 0).map(customer).collect();
    vault.default_tenant().enroll_all(&enrolled).await?;
    erase_some(vault).await?;
    sqlx::query("BEGIN").execute(database).await?;
    for row in 1..=ROWS {
        let mut cells = vec![Cell::Integer(subject_of(row)), Cell::Null, Cell::Null, Cell::Null];
        let at = |at| FIELDS.iter().find(move |field| field.plain_at == at);
        let plain = (4..=7).filter_map(at).map(|field| value(field, row, 0).map_or(Cell::Null, Cell::text));
        cells.extend(plain);
        put(database, row, &cells).await?;
    }
    sqlx::query("COMMIT").execute(database).await?;
    sqlx::query("UPDATE application SET writes_plaintext = 1").execute(database).await?;
    Ok(())
}

/// Everything sealed, and some persons' keys rotated: of some every row is under the new key, of some one, of some none.
async fn sealed(job: Job, vault: &Vault, database: &SqlitePool) -> Result {
    let customers = vault.default_tenant();
    let subjects: Vec<_> = (1..=SUBJECTS).map(customer).collect();
    let keys = customers.enroll_all(&subjects).await?;
    fill(database, &keys, 1..=ROWS).await?;
    lose_one(database).await?;
    erase_some(vault).await?;
    let living = (1..=SUBJECTS).filter(|subject| !ERASED.contains(subject));
    let rotated: Vec<i64> = living.filter(|subject| job == Job::Reseal || subject % 6 < 3).collect();
    for &subject in &rotated {
        customers.rotate_now(&customer(subject)).await?;
        if subject % 10 == 0 {
            customers.rotate_now(&customer(subject)).await?;
        }
    }
    let keys = customers.keys_of(&rotated.iter().copied().map(customer).collect::<Vec<_>>()).await?;
    let is_new = |row: i64| match subject_of(row) % 6 {
        0 => job != Job::Reseal,
        1 => row % 3 == 0,
        _ => false,
    };
    let is_rotated = |row: &i64| rotated.contains(&subject_of(*row)) && subject_of(*row) != ERASED_FOR_BILLING;
    fill(database, &keys, (1..=ROWS).filter(is_rotated).filter(|row| is_new(*row) && *row != LOST)).await
}

async fn fill(database: &SqlitePool, keys: &KeyPage, rows: impl Iterator<Item = i64>) -> Result {
    sqlx::query("BEGIN").execute(database).await?;
    for row in rows {
        let subject = subject_of(row);
        let keys = keys.get(&customer(subject))?;
        let sealed = FIELDS.iter().map(|field| seal(keys, field, row, 0));
        let mut cells = vec![Cell::Integer(subject)];
        cells.extend(sealed.collect::<fieldseal::Result<Vec<_>>>()?);
        cells.extend([Cell::Null, Cell::Null, Cell::Null]);
        put(database, row, &cells).await?;
    }
    sqlx::query("COMMIT").execute(database).await?;
    Ok(())
}

/// Seals a value under a key that no key store has: as if a restore had lost it.
async fn lose_one(database: &SqlitePool) -> Result {
    let elsewhere = Vault::builder(LocalKeyring::ephemeral()?, MemoryStore::new())
        .kinds(["customer"])
        .without_journal()
        .build()
        .await?;
    let keys = elsewhere.default_tenant().enroll(&customer(subject_of(LOST))).await?;
    let Cell::Bytes(lost) = seal(&keys, &FIELDS[0], LOST, 0)? else { return Err("no envelope".into()) };
    let query = sqlx::query("UPDATE customer SET email = ? WHERE id = ?");
    query.bind(lost.to_vec()).bind(LOST).execute(database).await?;
    Ok(())
}

async fn erase_some(vault: &Vault) -> Result {
    let customers = vault.default_tenant();
    for subject in ERASED {
        customers.erase(&customer(subject), &ErasureRequest::new()).await?;
    }
    let billing = ErasureRequest::new().purpose(Purpose::new("billing")?);
    customers.erase(&customer(ERASED_FOR_BILLING), &billing).await?;
    Ok(())
}

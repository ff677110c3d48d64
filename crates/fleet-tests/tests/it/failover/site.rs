//! A primary with its standby, a journal, and what the application knows of its customers.

use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use fieldseal::guard::{Guard, Guarded};
use fieldseal::provider::LocalKeyring;
use fieldseal::store::{Filter, KeyStore as _, Scan, StoredSlot};
use fieldseal::vault::{Ready, VaultBuilder};
use fieldseal::{Error, FieldContext, Retry, SubjectKeys, Vault};
use fieldseal_sqlx::{PostgresJournal, PostgresStore};
use fieldseal_testkit::clock::ManualClock;
use fieldseal_testkit::faults::{Tap, Tapped};
use fleet_tests::postgres::{Server, Which};
use futures_util::future::{Either, select};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use tempfile::TempDir;
use tokio::sync::Mutex;

use super::Result;

/// Where the journal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JournalAt {
    AnotherCluster,
    /// In another database of it.
    TheSameCluster,
}

pub(super) struct Site {
    primary: Mutex<Server>,
    standby: Server,
    /// The journal's, where it is another one.
    other: Option<Server>,
    /// The folder of the link that leads to the primary.
    names: TempDir,
    store: String,
    journal: String,
    pub(super) provider: LocalKeyring,
    pub(super) clock: ManualClock,
}

impl Site {
    /// A standby follows, and confirms nothing yet.
    pub(super) async fn new(which: Which, at: JournalAt) -> Option<Self> {
        let primary = Server::start_with(which, &[]).await?;
        let other = match at {
            JournalAt::AnotherCluster => Some(Server::start_with(which, &[]).await?),
            JournalAt::TheSameCluster => None,
        };
        let name = |database: &PgConnectOptions| database.get_database().unwrap().to_owned();
        let (store, journal) = (primary.database().await, other.as_ref().unwrap_or(&primary).database().await);
        PostgresStore::builder(pool(&store)).migrate().await.unwrap();
        PostgresJournal::builder(pool(&journal)).migrate().await.unwrap();
        let standby = primary.standby(&[]).await;
        let site = Self {
            store: name(&store),
            journal: name(&journal),
            primary: Mutex::new(primary),
            standby,
            other,
            names: tempfile::tempdir().unwrap(),
            provider: LocalKeyring::ephemeral().unwrap(),
            clock: ManualClock::new(),
        };
        symlink(site.primary.lock().await.dir(), site.link()).unwrap();
        Some(site)
    }

    fn link(&self) -> PathBuf {
        self.names.path().join("primary")
    }

    /// From now on a commit is confirmed when the standby has it on disk.
    pub(super) async fn confirm_on_both(&self) {
        let (primary, standby) = (pool(&self.primary.lock().await.options()), pool(&self.standby.options()));
        run(&primary, "ALTER SYSTEM SET synchronous_standby_names = '*'").await;
        run(&primary, "SELECT pg_reload_conf()").await;
        until(&primary, "SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'").await;
        // No commit waits until the checkpointer has read it, too; then one does that a standby is to replay which pauses.
        run(&standby, "SELECT pg_wal_replay_pause()").await;
        for _ in 0..1200 {
            let commit =
                "BEGIN; SET LOCAL synchronous_commit TO remote_apply; SELECT pg_logical_emit_message(true, '', '');
                 COMMIT";
            let waits = "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
            if let Either::Left(((), commit)) = select(pin!(until(&primary, waits)), pin!(run(&primary, commit))).await
            {
                run(&standby, "SELECT pg_wal_replay_resume()").await;
                return commit.await;
            }
            tokio::time::sleep(PAUSE).await;
        }
        panic!("no commit waits for the standby");
    }

    /// No standby is waited for any more: what waits is confirmed.
    pub(super) async fn confirm_alone(&self) {
        let primary = pool(&self.primary.lock().await.options());
        run(&primary, "ALTER SYSTEM SET synchronous_standby_names = ''").await;
        run(&primary, "SELECT pg_reload_conf()").await;
        until(&primary, "SELECT count(*) = 0 FROM pg_stat_activity WHERE wait_event = 'SyncRep'").await;
    }

    /// How many commits wait for the standby.
    pub(super) async fn waiting(&self) -> i64 {
        let primary = pool(&self.primary.lock().await.options());
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        sqlx::query_scalar(waiting).fetch_one(&primary).await.unwrap()
    }

    /// The standby has what was confirmed until now, and gets nothing more.
    pub(super) async fn cut_the_standby_off(&self) {
        let (primary, standby) = (pool(&self.primary.lock().await.options()), pool(&self.standby.options()));
        let until_now: String =
            sqlx::query_scalar("SELECT pg_current_wal_flush_lsn()::text").fetch_one(&primary).await.unwrap();
        until(&standby, &format!("SELECT pg_last_wal_replay_lsn() >= '{until_now}'::pg_lsn")).await;
        run(&standby, "ALTER SYSTEM SET primary_conninfo = ''").await;
        run(&standby, "SELECT pg_reload_conf()").await;
        until(&standby, "SELECT count(*) = 0 FROM pg_stat_wal_receiver").await;
    }

    /// SIGKILL to its postmaster; the others end by themselves. Until the last one has, it is not fenced: one that still
    /// has a connection might be answered. Each of them works in the folder of the cluster.
    pub(super) async fn kill_the_primary(&self) {
        let mut primary = self.primary.lock().await;
        let data = primary.dir().join("data").canonicalize().unwrap();
        primary.kill();
        let processes = || std::fs::read_dir("/proc").into_iter().flatten().flatten();
        while processes().any(|process| std::fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd == data)) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(super) fn promote_the_standby(&self) {
        self.standby.promote();
    }

    /// The name of the primary leads to the standby that was promoted.
    pub(super) fn lead_to_the_standby(&self) {
        let next = self.names.path().join("next");
        symlink(self.standby.dir(), &next).unwrap();
        std::fs::rename(next, self.link()).unwrap();
    }

    /// A process's, with connections of its own.
    pub(super) async fn builder(&self, tap: &Tap) -> Result<VaultBuilder<Ready>> {
        self.builder_at(tap, self.primary_by_name()).await
    }

    /// One that knows the standby by its own name.
    pub(super) async fn builder_at_the_standby(&self) -> Result<VaultBuilder<Ready>> {
        self.builder_at(&Tap::open(), self.standby.options()).await
    }

    async fn builder_at(&self, tap: &Tap, primary: PgConnectOptions) -> Result<VaultBuilder<Ready>> {
        let journal = self.journal_beside(primary.clone());
        let (store, journal) = (hasty_pool(&primary.database(&self.store)), hasty_pool(&journal));
        let store = persist(async || Ok(PostgresStore::new(store.clone()).await?)).await?;
        let journal = persist(async || Ok(PostgresJournal::new(journal.clone()).await?)).await?;
        let builder = Vault::builder(self.provider.clone(), Tapped::new(store, tap))
            .kinds(["customer"])
            .clock(self.clock.clone());
        Ok(builder.journal(Tapped::new(journal, tap)))
    }

    /// A process's that waits for no call for long.
    pub(super) async fn guarded(&self) -> Result<Vault> {
        let journal = self.journal_beside(self.primary_by_name());
        let (store, journal) = (pool(&self.primary_by_name().database(&self.store)), pool(&journal));
        let guard = Guard::new().attempts(2).attempt_deadline(HASTE).deadline(2 * HASTE).circuit(u32::MAX, HASTE);
        let store = Guarded::new(PostgresStore::new(store).await?, &guard);
        let journal = Guarded::new(PostgresJournal::new(journal).await?, &guard);
        let builder = Vault::builder(self.provider.clone(), store).kinds(["customer"]).clock(self.clock.clone());
        builder.journal(journal).build().await
    }

    pub(super) async fn vault(&self) -> Result<Vault> {
        self.builder(&Tap::open()).await?.build().await
    }

    /// Every slot, in the order of their ids, as the standby has it that was promoted.
    pub(super) async fn slots_at_the_standby(&self) -> Result<Vec<StoredSlot>> {
        let store = PostgresStore::new(pool(&self.standby.options().database(&self.store))).await?;
        Ok(store.scan(&Scan::new(Filter::All).limit(1000)).await?.slots)
    }

    pub(super) fn pass_max_age(&self) {
        self.clock.advance(Duration::from_secs(301));
    }

    fn journal_beside(&self, primary: PgConnectOptions) -> PgConnectOptions {
        self.other.as_ref().map_or(primary, Server::options).database(&self.journal)
    }

    fn primary_by_name(&self) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass().socket(self.link()).port(5432).username("postgres")
    }
}

/// One that waits for a busy machine.
fn pool(database: &PgConnectOptions) -> PgPool {
    pool_within(database, Duration::from_secs(30))
}

/// A vault's. It isn't to wait for long for a server that is gone; one that is only slow it asks again.
fn hasty_pool(database: &PgConnectOptions) -> PgPool {
    pool_within(database, Duration::from_secs(2))
}

fn pool_within(database: &PgConnectOptions, patience: Duration) -> PgPool {
    let options = PgPoolOptions::new().max_connections(4).acquire_timeout(patience);
    options.connect_lazy_with(database.clone())
}

async fn run(pool: &PgPool, statement: &str) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned())).execute(pool).await.unwrap();
}

/// Asks until it is so.
async fn until(pool: &PgPool, question: &str) {
    for _ in 0..1200 {
        let answer: bool = sqlx::query_scalar(sqlx::AssertSqlSafe(question.to_owned())).fetch_one(pool).await.unwrap();
        if answer {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
    panic!("it is not so: {question}");
}

/// Makes a call until it doesn't say that it is to be made later.
pub(super) async fn persist<T>(mut call: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    for _ in 0..1200 {
        match call().await {
            Err(e) if e.retry() == Retry::Later => tokio::time::sleep(PAUSE).await,
            answer => return answer,
        }
    }
    panic!("it does not go on");
}

/// Until a call is given up that may never be answered; what is answered has as long.
const HASTE: Duration = Duration::from_secs(3);

const PAUSE: Duration = Duration::from_millis(50);

fn context() -> FieldContext<'static> {
    FieldContext::new("customer", "email", &17i64).unwrap()
}

pub(super) fn seal(keys: &SubjectKeys) -> Result<Vec<u8>> {
    keys.seal_bytes(b"ada@example.com", &context())
}

pub(super) fn opens(keys: &SubjectKeys, envelope: &[u8]) -> Result<bool> {
    Ok(keys.open_bytes(envelope, &context())?.is_some_and(|value| value.as_slice() == b"ada@example.com"))
}

pub(super) fn is_erased<T>(answer: &Result<T>) -> bool {
    matches!(answer, Err(Error::SubjectErased { .. }))
}

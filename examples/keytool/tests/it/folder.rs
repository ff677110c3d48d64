//! [`Folder`]: a folder of the tool's own, and [`Ran`]: how a run of the tool in it ended.
#![cfg_attr(not(feature = "default"), allow(dead_code, reason = "a build with few backends needs little of this"))]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use fieldseal::journal::FileJournal;
use fieldseal::provider::LocalKeyring;
use fieldseal::store::{Expected, Filter, KeyStore as _, Scan, SlotId, StoredSlot};
use fieldseal::vault::{Ready, SubjectInfo, VaultBuilder};
use fieldseal::{SubjectId, Tenant, TenantId, Vault};
use fieldseal_sqlx::SqliteStore;
use serde_json::Value;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, SqlitePool};

pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Whom the tests are about: with ids that no output may have.
pub(crate) const ADA: &str = "customer:ada-lovelace-1815";
pub(crate) const BEN: &str = "customer:ben-jonson-1572";

/// A subject, as the tool is told of one.
pub(crate) fn parsed(subject: &str) -> SubjectId {
    subject.parse().unwrap()
}

/// A folder with a configuration, and what that names once it is initialized.
pub(crate) struct Folder {
    pub(crate) dir: tempfile::TempDir,
}

/// How a run of the tool ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Folder {
    /// A configuration, and nothing else.
    pub(crate) fn bare() -> Self {
        let folder = Self { dir: tempfile::tempdir().unwrap() };
        folder.configure(CONFIG);
        folder
    }

    /// Initialized.
    pub(crate) fn new() -> Self {
        let folder = Self::bare();
        folder.run(&["init"]).done();
        folder
    }

    /// Initialized, and two subjects enrolled.
    pub(crate) async fn with_subjects() -> Result<Self> {
        let folder = Self::new();
        let customers = folder.customers().await?;
        customers.enroll(&parsed(ADA)).await?;
        customers.enroll(&parsed(BEN)).await?;
        Ok(folder)
    }

    pub(crate) fn configure(&self, text: &str) {
        fs::write(self.path("keytool.toml"), text).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// Every file, by name.
    pub(crate) fn files(&self) -> Vec<String> {
        let names = fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }

    pub(crate) fn mode(&self, name: &str) -> u32 {
        fs::metadata(self.path(name)).unwrap().permissions().mode() & 0o777
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(TOOL);
        command.current_dir(self.dir.path()).stdin(Stdio::null()).env_remove("KEYRING_PASSPHRASE");
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        Ran::of(self.command().args(args))
    }

    /// With something to read.
    pub(crate) fn run_reading(&self, args: &[&str], input: &str) -> Ran {
        fs::write(self.path("input"), input).unwrap();
        let ran = Ran::of(self.command().args(args).stdin(fs::File::open(self.path("input")).unwrap()));
        fs::remove_file(self.path("input")).unwrap();
        ran
    }

    /// Where no file may be longer than so many blocks of 512 bytes (1024 in some shells): as on a disk that is full.
    pub(crate) fn run_on_a_full_disk(&self, blocks: u32, args: &[&str]) -> Ran {
        let mut command = Command::new("sh");
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
        command.args(["-c", &script]).arg(TOOL).args(args).current_dir(self.dir.path()).stdin(Stdio::null());
        Ran::of(&mut command)
    }

    /// On a terminal, where somebody types an answer.
    pub(crate) fn run_on_a_terminal(&self, args: &[&str], answer: &str) -> Ran {
        fs::write(self.path("answer"), answer).unwrap();
        let line = format!("exec '{TOOL}' {}", args.join(" "));
        let mut command = Command::new("script");
        command.args(["--quiet", "--return", "--log-out", "/dev/null", "--command", &line]);
        command.current_dir(self.dir.path()).stdin(fs::File::open(self.path("answer")).unwrap());
        let ran = Ran::of(&mut command);
        fs::remove_file(self.path("answer")).unwrap();
        ran
    }

    pub(crate) async fn store(&self) -> Result<SqliteStore> {
        Ok(SqliteStore::open(self.path("keys.db")).await?)
    }

    /// As an application opens it.
    pub(crate) async fn vault(&self) -> Result<Vault> {
        self.vault_on(self.store().await?).await
    }

    async fn vault_on(&self, store: SqliteStore) -> Result<Vault> {
        Ok(self.builder(store).await?.build().await?)
    }

    /// What an application builds its vault with.
    pub(crate) async fn builder(&self, store: SqliteStore) -> Result<VaultBuilder<Ready>> {
        let keyring = LocalKeyring::open(self.path("master.keyring")).await?;
        let journal = FileJournal::open(self.path("erasures.journal")).await?;
        Ok(Vault::builder(keyring, store).kinds(["customer"]).journal(journal).purposes(["billing"]))
    }

    pub(crate) async fn customers(&self) -> Result<Tenant> {
        Ok(self.vault().await?.default_tenant())
    }

    pub(crate) async fn info(&self, subject: &str) -> Result<SubjectInfo> {
        Ok(self.customers().await?.inventory(&parsed(subject)).await?)
    }

    /// Enrolls a subject, and leaves no connection that would write into what is put in the key store's place.
    pub(crate) async fn enroll_and_close(&self, subject: &SubjectId) -> Result {
        let pool = SqlitePool::connect_with(SqliteConnectOptions::new().filename(self.path("keys.db"))).await?;
        self.vault_on(SqliteStore::new(pool.clone()).await?).await?.default_tenant().enroll(subject).await?;
        pool.close().await;
        Ok(())
    }

    pub(crate) async fn backup(&self, name: &str) -> Result {
        let mut connection = SqliteConnectOptions::new().filename(self.path("keys.db")).connect().await?;
        sqlx::query("VACUUM INTO ?").bind(self.path(name).to_str()).execute(&mut connection).await?;
        Ok(connection.close().await?)
    }

    pub(crate) fn restore(&self, name: &str) -> Result {
        for leftover in ["keys.db-wal", "keys.db-shm"] {
            if self.has(leftover) {
                fs::remove_file(self.path(leftover))?;
            }
        }
        fs::copy(self.path(name), self.path("keys.db"))?;
        Ok(())
    }

    /// A subject's slot whose MAC is not its own any more.
    pub(crate) async fn damage(&self, subject: &str) -> Result {
        let id = self.info(subject).await?.slot;
        let store = self.store().await?;
        let slot = store.load(std::slice::from_ref(&id)).await?.remove(0).into_slot()?.unwrap();
        let mut bytes = slot.as_bytes().to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        Ok(store.put(&StoredSlot::from_bytes(id, bytes)?, Expected::Revision(slot.revision())).await?)
    }

    /// Everything that a command could change: the slots but for the vault's, and the other files.
    pub(crate) async fn everything(&self) -> Result<(Vec<Vec<u8>>, Vec<Vec<u8>>)> {
        let slots = self.store().await?.scan(&Scan::new(Filter::All).limit(1000)).await?.slots;
        let slots = slots.into_iter().filter(|slot| *slot.id() != SlotId::Vault);
        let files = self.files().into_iter().filter(|name| !name.starts_with("keys.db"));
        let files = files.map(|name| Ok([name.as_bytes(), &fs::read(self.path(&name))?].concat()));
        Ok((slots.map(|slot| slot.as_bytes().to_vec()).collect(), files.collect::<Result<_>>()?))
    }
}

/// What is looked at where nothing is to be written.
impl Folder {
    /// Changes the key store's tables by hand.
    pub(crate) async fn sql(&self, sql: &str) -> Result {
        let mut connection = SqliteConnectOptions::new().filename(self.path("keys.db")).connect().await?;
        let changed = sqlx::query(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await?.rows_affected();
        assert_eq!(changed, 1, "{sql}");
        Ok(connection.close().await?)
    }

    /// Every row of the key store's tables, and every other file: nothing that is written goes unseen.
    pub(crate) async fn bytes(&self) -> Result<(Vec<String>, Vec<Vec<u8>>)> {
        let mut connection = SqliteConnectOptions::new().filename(self.path("keys.db")).connect().await?;
        let rows = "SELECT quote(id) || quote(tenant) || quote(state) || quote(epoch) || quote(due) || quote(room) FROM \
                    fieldseal_slots UNION ALL SELECT quote(bytes) FROM fieldseal_rooms UNION ALL SELECT quote(name) || quote(value) \
                    FROM fieldseal_meta";
        let rows = sqlx::query_scalar(rows).fetch_all(&mut connection).await?;
        connection.close().await?;
        let files = self.files().into_iter().filter(|name| !name.starts_with("keys.db") && self.path(name).is_file());
        let files = files.map(|name| Ok([name.as_bytes(), &fs::read(self.path(&name))?].concat()));
        Ok((rows, files.collect::<Result<_>>()?))
    }
}

impl Ran {
    pub(crate) fn of(command: &mut Command) -> Self {
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let ran = Self {
            code: output.status.code().expect("it ended by itself"),
            out: text(output.stdout),
            err: text(output.stderr),
        };
        for subject in [ADA, BEN].map(parsed) {
            let is_told = |text: &str| text.contains(subject.id());
            assert!(!is_told(&ran.out) && !is_told(&ran.err), "a subject's id is printed: {ran:?}");
        }
        ran
    }

    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }

    /// It did what was asked, and has nothing to complain of. With `--json`, a slow one tells how far it is.
    #[track_caller]
    pub(crate) fn done(self) -> Self {
        assert!(self.err.lines().all(|line| line.starts_with("{\"progress\":")), "{self:?}");
        self.exits(0)
    }

    /// It failed with this code, said why in one line, and printed nothing else.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, why: &str) -> Self {
        assert!(self.out.is_empty() && self.err.starts_with("error: "), "{self:?}");
        assert!(self.err.contains(why), "{why:?} is not said: {self:?}");
        self.exits(code)
    }

    /// The one document on standard output.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The error on standard error, as JSON.
    #[track_caller]
    pub(crate) fn error(&self) -> Value {
        assert!(self.out.is_empty(), "{self:?}");
        let document: Value = serde_json::from_str(self.err.lines().last().unwrap_or_default()).unwrap();
        assert_eq!(document["error"]["exit"], self.code, "{self:?}");
        document["error"].clone()
    }
}

/// The tool, as it was built beside this test.
pub(crate) const TOOL: &str = env!("CARGO_BIN_EXE_keytool");

pub(crate) fn acme() -> TenantId {
    TenantId::new("acme").unwrap()
}

pub(crate) const CONFIG: &str = r#"
provider = "keyring:master.keyring"
store = "sqlite:keys.db"
journal = "file:erasures.journal"
kinds = ["customer"]
purposes = ["billing"]
"#;

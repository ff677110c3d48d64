//! PostgreSQL by URL: [`PostgresUrl`], with a pool that is reached before it is used; and what is told where that fails.
//!
//! The password is where the server's own tools look for it: `PGPASSWORD`, `~/.pgpass`. One in the URL works, and is never
//! shown.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fmt, fs, io};

use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions, PgSslMode};

use super::tls::Flaw;
use super::url::{Query, encoded};
use super::{Kind, Trouble, file};

/// `postgres://user@host/db?schema=..`: sqlx's own parameters, and ours.
#[derive(Clone)]
pub(crate) struct PostgresUrl {
    options: Box<PgConnectOptions>,
    certificates: Certificates,
    /// Host and database.
    shown: String,
    schema: Option<String>,
}

impl PostgresUrl {
    /// What follows `postgres:`. `ours` takes the parameters of a port out before the rest goes to sqlx.
    pub(super) fn parse<T>(
        text: &str,
        known: &[&str],
        ours: impl FnOnce(&mut Query) -> Result<T, Trouble>,
    ) -> Result<(Self, T), Trouble> {
        let wrong = || Trouble::usage(NO_URL);
        let (before, mut query) = Query::split(text)?;
        let rest = before.strip_prefix("//").ok_or_else(wrong)?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        // A password with a `/` in it would end up in what is shown as the database's name.
        if path.contains('@') {
            return Err(wrong());
        }
        let host = authority.rsplit('@').next().unwrap_or_default();
        let shown = format!("//{host}/{path}");
        let (schema, ours) = (query.take("schema")?, ours(&mut query)?);
        let known: Vec<&str> = ["schema"].iter().chain(known).chain(SQLX).copied().collect();
        let theirs = query.end_but(&known, is_sqlx)?;
        let query: Vec<_> =
            theirs.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        let options: PgConnectOptions =
            format!("postgres:{before}?{}", query.join("&")).parse().map_err(|_| wrong())?;
        let certificates = Certificates::of(&theirs, &options)?;
        Ok((Self { options: Box::new(options), certificates, shown, schema }, ours))
    }

    /// Where our tables are.
    pub(super) fn schema(&self) -> &str {
        self.schema.as_deref().unwrap_or(SCHEMA)
    }

    /// A pool, once a connection came about.
    pub(super) async fn pool(&self, folder: &Path) -> Result<PgPool, Trouble> {
        let options = self.certificates.find(folder, (*self.options).clone())?;
        pool(&options, CONNECTIONS).await.map_err(|e| {
            let Refusal { kind, why } = refusal(&e);
            Trouble::new(kind, format!("postgres:{}: {why}", self.shown))
        })
    }

    /// Whether one of our tables is there.
    pub(super) async fn has_table(&self, folder: &Path, table: &str) -> Result<bool, Trouble> {
        let look = "SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                    WHERE n.nspname = $1 AND c.relname = $2)";
        let look = sqlx::query_scalar(look).persistent(false).bind(self.schema()).bind(table);
        look.fetch_one(&self.pool(folder).await?).await.map_err(|e| {
            let Refusal { kind, why } = refusal(&e);
            Trouble::new(kind, format!("postgres:{}: {why}", self.shown))
        })
    }
}

/// Without user, password and sqlx's own parameters.
impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)?;
        self.schema.iter().try_for_each(|schema| write!(f, "?schema={}", encoded(schema)))
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresUrl({self})")
    }
}

/// The files for TLS that a URL names. sqlx looks for them where the tool is run, and one that isn't there looks to it like a
/// server that isn't.
#[derive(Clone)]
struct Certificates {
    authority: Option<PathBuf>,
    own: Option<PathBuf>,
    key: Option<PathBuf>,
}

impl Certificates {
    fn of(query: &[(String, String)], options: &PgConnectOptions) -> Result<Self, Trouble> {
        let last = |names: &[&str]| query.iter().rfind(|(name, _)| names.contains(&name.as_str()));
        // They may stand there themselves.
        let path = |(_, value): &(String, String)| (!value.trim().starts_with("-----BEGIN")).then(|| value.into());
        let authority = last(AUTHORITY);
        if authority.is_some() && !matches!(options.get_ssl_mode(), PgSslMode::VerifyCa | PgSslMode::VerifyFull) {
            return Err(Trouble::usage(
                "`sslrootcert` without `sslmode=verify-full`: the server's certificate would not be looked at. Add that",
            ));
        }
        Ok(Self { authority: authority.and_then(path), own: last(OWN).and_then(path), key: last(KEY).and_then(path) })
    }

    /// Relative ones begin in the folder.
    fn find(&self, folder: &Path, mut options: PgConnectOptions) -> Result<PgConnectOptions, Trouble> {
        let find = |path: &Option<PathBuf>, name| {
            let Some(path) = path else { return Ok(None) };
            let path = file(folder, path);
            match fs::File::open(&path) {
                Ok(_) => Ok(Some(path)),
                Err(e) => {
                    let what = format!("can't read the file that `{name}` names, {}", path.display());
                    Err(Trouble::usage(what).because(e))
                }
            }
        };
        if let Some(path) = find(&self.authority, "sslrootcert")? {
            options = options.ssl_root_cert(path);
        }
        if let Some(path) = find(&self.own, "sslcert")? {
            options = options.ssl_client_cert(path);
        }
        if let Some(path) = find(&self.key, "sslkey")? {
            options = options.ssl_client_key(path);
        }
        Ok(options)
    }
}

/// What a URL of sqlx's says behind its `?`. A parameter that sqlx doesn't know is refused: it would only log it, and with an
/// `sslmode` that is mistyped no certificate is looked at.
pub(crate) fn parameters(url: &str) -> Result<Vec<(String, String)>, Trouble> {
    Query::split(url)?.1.end_but(SQLX, is_sqlx)
}

/// Options that were parsed of a URL, with the files that it names.
pub(crate) fn with_certificates(
    options: PgConnectOptions,
    url: &str,
    folder: &Path,
) -> Result<PgConnectOptions, Trouble> {
    Certificates::of(&parameters(url)?, &options)?.find(folder, options)
}

/// A pool, once one connection came about: a pool itself tries for long where nobody answers.
pub(crate) async fn pool(options: &PgConnectOptions, connections: u32) -> Result<PgPool, sqlx::Error> {
    let connect = async { PgConnection::connect_with(options).await?.close().await };
    match tokio::time::timeout(PATIENCE, connect).await {
        Ok(connected) => connected?,
        Err(_) => return Err(sqlx::Error::PoolTimedOut),
    }
    Ok(PgPoolOptions::new().max_connections(connections).connect_lazy_with(options.clone()))
}

/// Why a server's database can't be opened.
pub(crate) struct Refusal {
    pub(crate) kind: Kind,
    pub(crate) why: &'static str,
}

/// The driver's own error is not told: it names users, hosts and files, and may quote what a URL holds.
pub(crate) fn refusal(e: &sqlx::Error) -> Refusal {
    // What is wrong with what is named here is another variant's.
    if let (sqlx::Error::Io(_), Some(flaw)) = (e, Flaw::of(e)) {
        return Refusal { kind: Kind::Usage, why: because_of(flaw) };
    }
    let code = e.as_database_error().and_then(sqlx::error::DatabaseError::code).unwrap_or_default();
    let (kind, why) = match e {
        sqlx::Error::Configuration(_) => (
            Kind::Usage,
            "its URL is not one: postgres://user@host/database, with both `sslcert` and `sslkey` if with one of them",
        ),
        sqlx::Error::Io(e) if e.kind() == io::ErrorKind::NotFound && names_certificates() => (
            Kind::Unavailable,
            "nobody answers there, or there is no file where PGSSLROOTCERT, PGSSLCERT or PGSSLKEY says: is the server running?",
        ),
        sqlx::Error::Io(_) => (Kind::Unavailable, "nobody answers there: is the server running?"),
        sqlx::Error::PoolTimedOut => (Kind::Unavailable, "it doesn't answer"),
        sqlx::Error::Tls(e) if e.to_string().contains("server does not support TLS") => (
            Kind::Usage,
            "it has no TLS, which `sslmode` asks for: turn it on there (`ssl = on`). By a Unix socket there is none: leave \
             `sslmode` out",
        ),
        sqlx::Error::Tls(_) => (
            Kind::Usage,
            "TLS can't be set up: look at the host's name, and at what `sslrootcert`, `sslcert` and `sslkey` name, which is PEM",
        ),
        sqlx::Error::Database(_) => match &*code {
            "3D000" => (Kind::Usage, "the server has no database of this name"),
            "28000" => (
                Kind::Usage,
                "the server refuses this user, or the way here: it may want TLS (`sslmode=verify-full`), or a certificate",
            ),
            code if code.starts_with("28") => (Kind::Usage, "the server refuses this user, or the password"),
            code if ["08", "53", "57"].iter().any(|class| code.starts_with(class)) => {
                (Kind::Unavailable, "the server takes no connection now")
            }
            _ => (Kind::Usage, "it can't be opened"),
        },
        _ => (Kind::Usage, "it can't be opened"),
    };
    Refusal { kind, why }
}

/// What is to be done about TLS that doesn't come about.
fn because_of(flaw: Flaw) -> &'static str {
    match flaw {
        Flaw::Untrusted => {
            "nobody who is trusted here has signed the server's certificate: name a file with the authority's (PEM), \
             `sslrootcert=FILE` in the URL, or in SSL_CERT_FILE"
        }
        Flaw::OtherHost => "the server's certificate is another host's: name it in the URL as the certificate does",
        Flaw::Outdated => {
            "the server's certificate is past its time, or not valid yet: renew it there, or set the clock here"
        }
        Flaw::NoCertificate => {
            "the server's certificate is not one of a server: make it a new one, signed by an authority"
        }
        Flaw::NoTls => "it has no TLS that this tool knows: is it a PostgreSQL server?",
        Flaw::Refused => "it refuses TLS as this tool has it (1.2 and 1.3), or the certificate that `sslcert` names",
    }
}

/// Whether the environment names files for TLS.
fn names_certificates() -> bool {
    ["PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY"].into_iter().any(|name| env::var_os(name).is_some())
}

/// What sqlx knows, and `options[search_path]`.
fn is_sqlx(name: &str) -> bool {
    SQLX.contains(&name) || name.strip_prefix("options[").is_some_and(|name| name.ends_with(']'))
}

const AUTHORITY: &[&str] = &["sslrootcert", "ssl-root-cert", "ssl-ca"];
const OWN: &[&str] = &["sslcert", "ssl-cert"];
const KEY: &[&str] = &["sslkey", "ssl-key"];
/// What sqlx knows.
const SQLX: &[&str] = &[
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];
const NO_URL: &str = "a PostgreSQL URL is postgres://user@host/database; a `/`, `?`, `#` or `@` of a password or a socket's \
                      folder is written as %2F, %3F, %23 or %40";
/// The schema of our tables, if nothing is said.
const SCHEMA: &str = "fieldseal";
const CONNECTIONS: u32 = 4;
const PATIENCE: Duration = Duration::from_secs(30);

//! PostgreSQL by URL: [`PostgresUrl`], with a pool that is reached before it is used; and what is told where that fails.
//!
//! The password is where the server's own tools look for it: `PGPASSWORD`, `~/.pgpass`. One in the URL works, and is never shown.

use std::fmt;
use std::time::Duration;

use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};

use super::url::{Query, encoded};
use super::{Kind, Trouble};

/// `postgres://user@host/db?schema=..`: sqlx's own parameters, and ours.
#[derive(Clone)]
pub(crate) struct PostgresUrl {
    options: Box<PgConnectOptions>,
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
        let theirs = query.end_but(&known, |name| SQLX.contains(&name) || is_option(name))?;
        let theirs: Vec<_> =
            theirs.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        let options: PgConnectOptions =
            format!("postgres:{before}?{}", theirs.join("&")).parse().map_err(|_| wrong())?;
        Ok((Self { options: Box::new(options), shown, schema }, ours))
    }

    /// Where our tables are.
    pub(super) fn schema(&self) -> &str {
        self.schema.as_deref().unwrap_or(SCHEMA)
    }

    /// A pool, once a connection came about.
    pub(super) async fn pool(&self) -> Result<PgPool, Trouble> {
        pool(&self.options, CONNECTIONS).await.map_err(|e| {
            let Refusal { kind, why } = refusal(&e);
            Trouble::new(kind, format!("postgres:{}: {why}", self.shown))
        })
    }

    /// Whether one of our tables is there.
    pub(super) async fn has_table(&self, table: &str) -> Result<bool, Trouble> {
        let look = "SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                    WHERE n.nspname = $1 AND c.relname = $2)";
        let look = sqlx::query_scalar(look).persistent(false).bind(self.schema()).bind(table);
        look.fetch_one(&self.pool().await?).await.map_err(|e| {
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

/// A pool, once one connection came about: a pool itself tries for long where nobody answers.
pub(crate) async fn pool(options: &PgConnectOptions, connections: u32) -> Result<PgPool, sqlx::Error> {
    let connect = async { PgConnection::connect_with(options).await?.close().await };
    match tokio::time::timeout(PATIENCE, connect).await {
        Ok(connected) => connected?,
        Err(_) => return Err(sqlx::Error::PoolTimedOut),
    }
    Ok(PgPoolOptions::new().max_connections(connections).connect_lazy_with(options.clone()))
}

/// Why a database can't be opened.
pub(crate) struct Refusal {
    pub(crate) kind: Kind,
    pub(crate) why: &'static str,
}

/// The driver's own error is not told: it names users, hosts and files, and may quote what a URL holds.
pub(crate) fn refusal(e: &sqlx::Error) -> Refusal {
    let code = e.as_database_error().and_then(sqlx::error::DatabaseError::code).unwrap_or_default();
    let (kind, why) = match e {
        sqlx::Error::Configuration(_) => (Kind::Usage, "its URL is not one: postgres://user@host/database"),
        sqlx::Error::Io(_) => (Kind::Unavailable, "nobody answers there: is the server running?"),
        sqlx::Error::PoolTimedOut => (Kind::Unavailable, "it doesn't answer"),
        sqlx::Error::Tls(_) => (Kind::Usage, "it is to be reached by TLS, which this build of the tool doesn't have"),
        sqlx::Error::Database(_) => match &*code {
            "5" | "6" => (Kind::Unavailable, "somebody else has it locked"),
            "26" => (Kind::Damaged, "the file is no SQLite database, or a damaged one"),
            "3D000" => (Kind::Usage, "the server has no database of this name"),
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

/// `options[search_path]`
fn is_option(name: &str) -> bool {
    name.strip_prefix("options[").is_some_and(|name| name.ends_with(']'))
}

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

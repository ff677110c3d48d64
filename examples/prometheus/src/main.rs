//! A service whose ports are guarded and measured, and a page for Prometheus to read.
//!
//! `cargo run -p prometheus-example`            serves until it is stopped
//! `cargo run -p prometheus-example -- --check` serves, asks itself, and ends
//!
//! Read `open_vault` first: which decorator wraps which. `collector.rs` shows a registry what they count. What to watch, and
//! when to be woken, is in `docs/operations.md`.
#![expect(clippy::print_stdout, reason = "an example prints")]

mod check;
mod collector;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{Path as Segment, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use collector::VaultCollector;
use fieldseal::guard::{Guard, Guarded};
use fieldseal::journal::FileJournal;
use fieldseal::measure::{Counters, Measured, Port};
use fieldseal::provider::LocalKeyring;
use fieldseal::{Error, FieldContext, Plain, Retry, Sealed, SubjectId, Tenant, Vault};
use fieldseal_sqlx::SqliteStore;
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let scratch = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/prometheus");
    std::fs::create_dir_all(&scratch)?;
    let router = router(open_vault(&scratch).await?);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    if std::env::args().any(|arg| arg == "--check") {
        let served = tokio::spawn(async { axum::serve(listener, router).await });
        check::check(&format!("http://{address}")).await?;
        served.abort();
        return Ok(());
    }
    println!("Listening on http://{address}. Try:");
    println!("  curl -X PUT -d ada@example.com http://{address}/emails/17");
    println!("  curl http://{address}/emails/17");
    println!("  curl http://{address}/metrics");
    axum::serve(listener, router).await?;
    Ok(())
}

#[derive(Clone)]
struct App {
    people: Tenant,
    registry: Arc<Registry>,
    /// In place of the application's table.
    emails: Arc<Mutex<HashMap<u64, Sealed<String>>>>,
}

/// Guards within, measures around them: what is counted is what the vault waits for.
async fn open_vault(folder: &Path) -> Result<App, Box<dyn std::error::Error>> {
    let keyring = folder.join("master.keyring");
    let provider = match keyring.exists() {
        true => LocalKeyring::open(keyring).await?,
        false => LocalKeyring::generate(keyring).await?,
    };
    let guard = Guard::new();
    let provider = Guarded::new(provider, &guard);
    let store = Guarded::new(SqliteStore::open(folder.join("keys.db")).await?, &guard);
    let journal = Guarded::new(FileJournal::open(folder.join("erasures.journal")).await?, &guard);
    let circuits =
        [(Port::Provider, provider.circuit()), (Port::Store, store.circuit()), (Port::Journal, journal.circuit())];

    let counters = Counters::new();
    let vault = Vault::builder(Measured::new(provider, &counters), Measured::new(store, &counters))
        .journal(Measured::new(journal, &counters))
        .kinds(["customer"])
        .build()
        .await?;
    let people = vault.default_tenant();
    let mut registry = Registry::default(); // the application's, with its own metrics
    registry.register_collector(Box::new(VaultCollector { vault, counters, circuits }));
    Ok(App { people, registry: Arc::new(registry), emails: Arc::default() })
}

fn router(app: App) -> Router {
    Router::new().route("/emails/{id}", get(read).put(write)).route("/metrics", get(metrics)).with_state(app)
}

async fn write(State(app): State<App>, Segment(id): Segment<u64>, email: String) -> Result<StatusCode, Failed> {
    let keys = app.people.enroll(&SubjectId::new("customer", &id)?).await?;
    let sealed = keys.seal_value(&Plain::new(email), &FieldContext::new("customer", "email", &id)?)?;
    app.emails.lock().unwrap_or_else(PoisonError::into_inner).insert(id, sealed);
    Ok(StatusCode::NO_CONTENT)
}

async fn read(State(app): State<App>, Segment(id): Segment<u64>) -> Result<String, Failed> {
    let sealed = app.emails.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
    let sealed = sealed.ok_or(Error::SubjectUnknown)?;
    let keys = app.people.keys(&SubjectId::new("customer", &id)?).await?;
    Ok(keys.open_value(&sealed, &FieldContext::new("customer", "email", &id)?)?.into_inner())
}

async fn metrics(State(app): State<App>) -> Result<impl IntoResponse, StatusCode> {
    let mut page = String::new();
    text::encode(&mut page, &app.registry).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], page))
}

/// Whoever asks may come again where a port is down; the details are for the log.
struct Failed(Error);

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let status = match (&self.0, self.0.retry()) {
            (Error::SubjectUnknown | Error::SubjectErased { .. } | Error::SubjectClosed { .. }, _) => {
                StatusCode::NOT_FOUND
            }
            (_, Retry::Later | Retry::Now) => StatusCode::SERVICE_UNAVAILABLE,
            (_, Retry::Never) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        status.into_response()
    }
}

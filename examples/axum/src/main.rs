//! Runs the service.
//!
//! `cargo run -p axum-example`                            SQLite, in `target/axum`
//! `DATABASE_URL=postgres://.. cargo run -p axum-example` PostgreSQL
//! `cargo run -p axum-example -- --adopting both`         SQLite, over a table that is being adopted
#![expect(clippy::print_stdout, reason = "an example prints")]

use std::path::Path;

use axum_example::adopting::{Adopting, Stage};
use axum_example::database::{Customer, Postgres, Sqlite};
use axum_example::service;
use fieldseal::journal::FileJournal;
use fieldseal::provider::LocalKeyring;
use fieldseal::{Tenant, Vault};
use fieldseal_sqlx::SqliteStore;
use sqlx::PgPool;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let scratch = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/axum");
    std::fs::create_dir_all(&scratch)?;
    let customers = open_vault(&scratch).await?;
    let router = match (std::env::var("DATABASE_URL"), stage()) {
        (_, Some(stage)) => {
            let database = Adopting::sqlite(&scratch.join("adopting.db"), &customers, stage).await?;
            service::router(customers, database)
        }
        (Ok(url), None) => service::router(customers, Postgres::open(PgPool::connect(&url).await?).await?),
        (Err(_), None) => service::router(customers, Sqlite::open(&scratch.join("app.db")).await?),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    println!("Listening on http://{address}. Try:");
    println!(
        r#"  curl -H 'content-type: application/json' -d '{{"name":"Ada","email":"ada@example.com","phone":"1"}}' http://{address}/customers"#
    );
    println!("  curl http://{address}/customers");
    if std::env::args().any(|arg| arg == "--check") {
        return Ok(()); // everything opens
    }
    axum::serve(listener, router).await?;
    Ok(())
}

/// `--adopting both`, `--adopting sealed`.
fn stage() -> Option<Stage> {
    let stage = std::env::args().skip_while(|arg| arg != "--adopting").nth(1)?;
    Some(if stage == "sealed" { Stage::Sealed } else { Stage::Both })
}

async fn open_vault(folder: &Path) -> Result<Tenant, Box<dyn std::error::Error>> {
    let keyring = folder.join("master.keyring");
    let provider = match keyring.exists() {
        true => LocalKeyring::open(keyring).await?,
        false => LocalKeyring::generate(keyring).await?,
    };
    let store = SqliteStore::open(folder.join("keys.db")).await?;
    // In production: another disk than the key store's, another backup.
    let journal = FileJournal::open(folder.join("erasures.journal")).await?;
    let vault = Vault::builder(provider, store).journal(journal).record::<Customer<i64>>().build().await?;
    Ok(vault.default_tenant())
}

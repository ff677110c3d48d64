//! A proxy before a PostgreSQL server's Unix socket that counts the round trips: each ends with a message after which the
//! client waits for the server to be ready.
#![allow(dead_code, reason = "a test uses what it needs of this")]

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sqlx::postgres::PgConnectOptions;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

/// A running proxy. Dropping it ends it; so does the end of the runtime.
#[derive(Debug)]
pub(crate) struct Proxy {
    home: TempDir,
    trips: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Proxy {
    pub(crate) fn start(database: &PgConnectOptions) -> Self {
        let home = tempfile::Builder::new().prefix("pg").tempdir().expect("a temporary directory");
        let socket = |dir: PathBuf| dir.join(format!(".s.PGSQL.{}", database.get_port()));
        let server = socket(database.get_socket().expect("a Unix socket").clone());
        let listener = UnixListener::bind(socket(home.path().to_owned())).expect("a socket");
        let trips = Arc::new(AtomicUsize::new(0));
        let counter = trips.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = UnixStream::connect(&server).await.expect("the server");
                let ((from_client, mut to_client), (mut from_server, to_server)) =
                    (client.into_split(), server.into_split());
                tokio::spawn(count(from_client, to_server, counter.clone()));
                tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
            }
        });
        Self { home, trips, task }
    }

    /// The same database, through the proxy.
    pub(crate) fn options(&self, database: &PgConnectOptions) -> PgConnectOptions {
        database.clone().socket(self.home.path())
    }

    /// How many round trips there were since this was last asked.
    pub(crate) fn trips(&self) -> usize {
        self.trips.swap(0, Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Hands messages on: a kind (but for the first, which has none), a length that counts itself, the rest.
async fn count(mut client: OwnedReadHalf, mut server: OwnedWriteHalf, trips: Arc<AtomicUsize>) -> io::Result<()> {
    let (mut is_first, mut is_asked) = (true, false);
    loop {
        let mut message = Vec::new();
        if !std::mem::take(&mut is_first) {
            message.push(client.read_u8().await?);
        }
        let length = client.read_u32().await?;
        message.extend(length.to_be_bytes());
        let start = message.len();
        message.resize(start + usize::try_from(length).expect("small") - 4, 0);
        client.read_exact(&mut message[start..]).await?;
        // A simple query, or the end of an extended one. An end of nothing is how sqlx's pool asks, behind a call, whether the
        // connection that it got back is still there.
        let is_end = matches!(message[0], b'Q' | b'S');
        if message[0] == b'Q' || (is_end && is_asked) {
            trips.fetch_add(1, Ordering::SeqCst);
        }
        is_asked = !is_end && start > 4;
        server.write_all(&message).await?;
    }
}

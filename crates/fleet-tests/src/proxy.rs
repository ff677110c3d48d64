//! A proxy before a PostgreSQL server's Unix socket that counts the round trips, each of which ends with a message after which
//! the client waits for the server to be ready; and that goes silent, as a way does on which packets are lost.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

/// A running proxy. Dropping it ends it; so does the end of the runtime.
#[derive(Debug)]
pub struct Proxy {
    home: TempDir,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    trips: AtomicUsize,
    losses: AtomicUsize,
    /// A connection over which a message with this text comes is never answered again.
    lost: Mutex<Option<&'static str>>,
}

impl Proxy {
    /// Before the server of a database.
    pub fn start(database: &PgConnectOptions) -> Self {
        let home = tempfile::Builder::new().prefix("pg").tempdir().expect("a temporary directory");
        let socket = |dir: PathBuf| dir.join(format!(".s.PGSQL.{}", database.get_port()));
        let server = socket(database.get_socket().expect("a Unix socket").clone());
        let listener = UnixListener::bind(socket(home.path().to_owned())).expect("a socket");
        let shared = Arc::new(Shared::default());
        let of_task = shared.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = UnixStream::connect(&server).await.expect("the server");
                let ((from_client, mut to_client), (mut from_server, to_server)) =
                    (client.into_split(), server.into_split());
                tokio::spawn(hand_on(from_client, to_server, of_task.clone()));
                tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
            }
        });
        Self { home, shared, task }
    }

    /// The same database, through the proxy.
    pub fn options(&self, database: &PgConnectOptions) -> PgConnectOptions {
        // A question for TLS would stand before the first message.
        database.clone().socket(self.home.path()).ssl_mode(PgSslMode::Disable)
    }

    /// How many round trips there were since this was last asked.
    pub fn trips(&self) -> usize {
        self.shared.trips.swap(0, Ordering::SeqCst)
    }

    /// Loses messages with this text, and whatever comes over the same connection afterwards.
    pub fn lose(&self, text: &'static str) {
        *self.shared.lost.lock().expect("no panic") = Some(text);
    }

    /// How many connections have lost something.
    pub fn losses(&self) -> usize {
        self.shared.losses.load(Ordering::SeqCst)
    }

    /// Loses nothing more. Connections that have lost something stay silent.
    pub fn heal(&self) {
        *self.shared.lost.lock().expect("no panic") = None;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Hands messages on: a kind (but for the first, which has none), a length that counts itself, the rest.
async fn hand_on(mut client: OwnedReadHalf, mut server: OwnedWriteHalf, shared: Arc<Shared>) -> io::Result<()> {
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
            shared.trips.fetch_add(1, Ordering::SeqCst);
        }
        is_asked = !is_end && start > 4;
        let lost = *shared.lost.lock().expect("no panic");
        if lost.is_some_and(|text| message.windows(text.len()).any(|part| part == text.as_bytes())) {
            shared.losses.fetch_add(1, Ordering::SeqCst);
            return tokio::io::copy(&mut client, &mut tokio::io::sink()).await.map(drop);
        }
        server.write_all(&message).await?;
    }
}

//! [`PostgresStore::notices`]: what other processes' puts ended, as PostgreSQL tells it.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use base64ct::{Base64, Encoding as _};
use futures_util::stream::{BoxStream, Stream, StreamExt as _, unfold};
use sqlx::postgres::{PgListener, PgPool};

use super::PostgresStore;
use super::error::failed;
use fieldseal::error::StoreError;
use fieldseal::store::Notice;
use fieldseal::store::SlotId;

impl PostgresStore {
    /// What is told of this key store from now on: the ids of slots whose keys ended, by the puts of every process that has
    /// [`with_notices`](super::PostgresStoreBuilder::with_notices), this one's too.
    ///
    /// It takes one connection of `pool`, and keeps it. That must be a session with the primary: a pooler in transaction mode
    /// takes the request and then tells nothing. A connection that is lost is made anew, and `Notice::Missed` says that some may
    /// have been lost meanwhile. Where that doesn't succeed within the pool's `acquire_timeout`, the stream ends with a
    /// `Notice::Missed`: call this again, after a while.
    ///
    /// Notices make the time until other processes drop an erased person's keys shorter, and replace nothing: what is lost, or
    /// was never told, ends with `max_age`.
    ///
    /// # Errors
    /// [`StoreError`] of kind `Unavailable`, `Denied` or `Misconfigured` if the connection doesn't come about.
    ///
    /// # Cancel safety
    /// Can be called again. What is told once this returned is in the stream.
    pub async fn notices(&self, pool: &PgPool) -> Result<Notices, StoreError> {
        let channel = self.0.schema.name().to_owned();
        let listener = listen(pool, &channel).await.map_err(failed)?;
        let state = State { pool: pool.clone(), channel, listener: Some(listener) };
        Ok(Notices(unfold(state, next).boxed()))
    }
}

/// A stream of [`Notice`]s; made by [`PostgresStore::notices`].
pub struct Notices(BoxStream<'static, Notice>);

impl Stream for Notices {
    type Item = Notice;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Notice>> {
        self.0.poll_next_unpin(context)
    }
}

impl fmt::Debug for Notices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notices").finish_non_exhaustive()
    }
}

struct State {
    pool: PgPool,
    channel: String,
    listener: Option<PgListener>,
}

async fn next(mut state: State) -> Option<(Notice, State)> {
    loop {
        let listener = state.listener.as_mut()?;
        match listener.try_recv().await {
            // What is no id is not ours: anybody may tell something under any name.
            Ok(Some(told)) => match id(told.payload()) {
                Some(id) => return Some((Notice::Ended(id), state)),
                None => continue,
            },
            // It has a new connection.
            Ok(None) => {}
            Err(_) => state.listener = listen(&state.pool, &state.channel).await.ok(),
        }
        return Some((Notice::Missed, state));
    }
}

async fn listen(pool: &PgPool, channel: &str) -> Result<PgListener, sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(channel).await?;
    Ok(listener)
}

/// At most 1388 bytes; PostgreSQL takes 7999.
pub(super) fn payload(id: &SlotId) -> String {
    Base64::encode_string(&id.to_bytes())
}

fn id(payload: &str) -> Option<SlotId> {
    SlotId::from_bytes(&Base64::decode_vec(payload).ok()?).ok()
}

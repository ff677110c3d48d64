//! A panic of somebody else's code as an error of the call that met it: [`Caught`] around a port, [`caught`] around what
//! several wait for.
//!
//! The payload of a panic is dropped unread: it may hold anything. Where it was, the panic hook has said.
//!
//! Imports `layer`, and through it the ports without their adapters.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::error::{Error, PortError, PortErrorKind, Result};
use crate::layer::{Attempt, Call, Layer};
use crate::store::Replica;

/// A port whose panic is an error of the call that met it, of the kind `Unavailable`: what was asked for may have been done,
/// so whoever asked looks before going on.
pub(crate) struct Caught<P> {
    inner: P,
}

impl<P> Caught<P> {
    pub(crate) fn new(inner: P) -> Self {
        Self { inner }
    }
}

impl<P: Sync> Layer for Caught<P> {
    async fn around<'a, T, K>(
        &'a self,
        call: Call<'a>,
        work: impl Fn(Attempt) -> BoxFuture<'a, Result<T, PortError<K>>> + Send + Sync + 'a,
    ) -> Result<T, PortError<K>>
    where
        T: Send + 'a,
        K: PortErrorKind,
    {
        // Within the future: a port may also panic before it gives one.
        let work = async move { work(Attempt::First).await };
        AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| {
            let hint = format!("it panicked in `{}`: a bug of its adapter", call.method);
            Err(PortError::new(K::UNAVAILABLE).with_hint(hint))
        })
    }
}

crate::layered! { Caught: provider store journal rows }

impl<P: Replica> Replica for Caught<P> {
    fn bound(&self) -> Duration {
        self.inner.bound()
    }
}

/// Prints what the port prints.
impl<P: fmt::Debug> fmt::Debug for Caught<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// What `work` gives. A shared future that panics would be poisoned: whoever polls it then panics, too, and whoever sleeps
/// isn't woken. So what is shared passes here.
///
/// # Errors
/// Those of `work`; [`Error::Bug`] where it panics: it is no port, which is [`Caught`].
pub(crate) async fn caught<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let panicked = Err(Error::Bug("a panic, in what several calls waited for"));
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or(panicked)
}

//! Blocking work on a thread of its own, for the adapters of this crate and for others: file locks, fsync, Argon2, a driver that
//! blocks. Imports nothing of the crate.
//!
//! The library chooses no runtime, so it can't borrow one's blocking pool; and what waits for a disk or computes for a
//! second must not stop an executor's thread. Such work is rare, so a thread a call is cheap enough (tens of
//! microseconds).

use std::{io, thread};

use futures_channel::oneshot;

/// Runs `work` on a new thread and waits for what it gives.
///
/// # Errors
/// If the system gives no thread; or if `work` panicked, which is a bug of the crate whose message went to the panic
/// hook.
///
/// # Cancel safety
/// Nothing happens before the first poll. From then on `work` runs to its end, also if the future is dropped; what it
/// gives is then dropped on its thread.
pub async fn run<T, F>(work: F) -> io::Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let (done, answer) = oneshot::channel();
    thread::Builder::new().name("fieldseal".into()).spawn(move || {
        // Nobody listens any more if the future was dropped.
        let _ = done.send(work());
    })?;
    answer.await.map_err(|_| io::Error::other("a worker thread of fieldseal panicked"))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn work_runs_on_another_thread() {
        let here = thread::current().id();
        let there = run(|| thread::current().id()).await.unwrap();
        assert_ne!(here, there);
    }

    #[tokio::test]
    async fn a_panic_becomes_an_error() {
        let failed = run(|| panic!("on purpose")).await;
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::Other);
    }

    #[tokio::test]
    async fn work_ends_though_its_future_is_dropped() {
        let (go, wait) = mpsc::channel::<()>();
        let (end, ended) = mpsc::channel();
        let mut future = Box::pin(run(move || {
            wait.recv().unwrap();
            end.send(()).unwrap();
        }));
        assert!(future.as_mut().now_or_never().is_none());
        drop(future);
        go.send(()).unwrap();
        ended.recv_timeout(Duration::from_secs(10)).unwrap();
    }
}

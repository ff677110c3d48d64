//! Threads that wait for the token, each with a session of its own.
//!
//! A thread a call, as for files, would need a session a call, or threads that wait for a session.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use cryptoki::session::Session;
use futures_channel::oneshot;

use super::failure::{self, Failure};
use super::token::{Access, Live, Token};
use fieldseal::error::{ProviderError, ProviderErrorKind};

/// They end when this is dropped, which waits for calls that are under way: a module that is still at work when the process
/// exits may crash it.
pub(super) struct Workers {
    queue: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
    /// Disconnected when all have closed their sessions.
    ended: Mutex<Receiver<()>>,
}

type Job = Box<dyn FnOnce(&mut Desk) + Send>;

/// One thread's.
struct Desk {
    token: Arc<Token>,
    session: Option<Live>,
    /// Whoever makes or destroys a key is alone with the token: not every module bears that another thread looks for one
    /// meanwhile. SoftHSM then fails to make it, now and then.
    turn: Arc<RwLock<()>>,
}

impl Workers {
    pub(super) fn start(token: Token, count: usize) -> Result<Self, ProviderError> {
        let ((queue, jobs), (alive, ended)) = (mpsc::channel(), mpsc::channel());
        let (token, turn, jobs) = (Arc::new(token), Arc::default(), Arc::new(Mutex::new(jobs)));
        let mut workers = Self { queue: Some(queue), threads: Vec::with_capacity(count), ended: Mutex::new(ended) };
        for _ in 0..count {
            let mut desk = Desk { token: Arc::clone(&token), session: None, turn: Arc::clone(&turn) };
            let (jobs, alive) = (Arc::clone(&jobs), alive.clone());
            let work = move || {
                while let Some(job) = next(&jobs) {
                    // One that panics (the application's code asks for the PIN) has dropped the session that it had, and nothing
                    // else of the desk changes meanwhile. Whoever waits for it hears that it gave no answer.
                    let _ = catch_unwind(AssertUnwindSafe(|| job(&mut desk)));
                }
                drop(desk);
                drop(alive);
            };
            let thread =
                thread::Builder::new().name("fieldseal-hsm".into()).spawn(work).map_err(ProviderError::no_thread)?;
            workers.threads.push(thread);
        }
        Ok(workers)
    }

    /// Does `job` in a session: once more in a new one if the first had ended, or was logged out. So it must not matter
    /// whether it was done already.
    pub(super) async fn run<T, F>(&self, access: Access, job: F) -> Result<T, ProviderError>
    where
        T: Send + 'static,
        F: Fn(&Session) -> Result<T, Failure> + Send + 'static,
    {
        let (done, answer) = oneshot::channel();
        let work = move |desk: &mut Desk| {
            // Nobody listens any more if the future was dropped. Behind a module that hung, there may be many such.
            if access == Access::Write || !done.is_canceled() {
                let _ = done.send(desk.run(access, &job));
            }
        };
        let unanswered = |why| ProviderError::new(ProviderErrorKind::Unavailable).with_hint(why);
        let stopped = || unanswered("the threads of the HSM's stopped");
        let queue = self.queue.as_ref().ok_or_else(stopped)?;
        queue.send(Box::new(work)).map_err(|_| stopped())?;
        answer.await.map_err(|_| unanswered("a call of the HSM panicked"))?
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.queue = None;
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        // Nobody sends: it is disconnected, or some thread doesn't come back from the module.
        if ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Disconnected) {
            for thread in self.threads.drain(..) {
                let _ = thread.join();
            }
        }
    }
}

fn next(jobs: &Mutex<Receiver<Job>>) -> Option<Job> {
    jobs.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

impl Desk {
    fn run<T>(&mut self, access: Access, job: impl Fn(&Session) -> Result<T, Failure>) -> Result<T, ProviderError> {
        let turn = Arc::clone(&self.turn);
        let (_alone, _beside);
        match access {
            Access::Write => _alone = turn.write().unwrap_or_else(PoisonError::into_inner),
            Access::Read => _beside = turn.read().unwrap_or_else(PoisonError::into_inner),
        }
        match self.attempt(access, &job) {
            Err(Failure::Token(e)) if failure::is_about_session(&e) => self.attempt(access, &job),
            answer => answer,
        }
        .map_err(ProviderError::from)
    }

    /// A session in which the token failed is closed, and the next job has another.
    fn attempt<T>(&mut self, access: Access, job: impl Fn(&Session) -> Result<T, Failure>) -> Result<T, Failure> {
        // One that writes is rare, so not kept; meanwhile the other one keeps the login.
        let kept = self.session.take();
        let (live, other) = match (access, kept) {
            (Access::Read, Some(live)) => (live, None),
            (_, other) => (self.token.session(access)?, other),
        };
        let answer = checked(&live, job);
        if !matches!(answer, Err(Failure::Token(_))) {
            self.session = if access == Access::Read { Some(live) } else { other };
        }
        answer
    }
}

/// What was found, and above all what was not, counts only where the session was logged in all the while.
fn checked<T>(live: &Live, job: impl Fn(&Session) -> Result<T, Failure>) -> Result<T, Failure> {
    live.check()?;
    match job(&live.session) {
        Err(Failure::Token(e)) => Err(Failure::Token(e)),
        answer => live.check().map_err(Failure::Token).and(answer),
    }
}

/// How long dropping the last handle waits for calls that are under way.
const PATIENCE: Duration = Duration::from_secs(2);

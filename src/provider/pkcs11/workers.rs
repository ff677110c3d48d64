//! Threads that wait for the token, each with a session of its own.
//!
//! A thread a call, as for files, would need a session a call, or threads that wait for a session. Imports `error`.

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use cryptoki::session::Session;
use futures_channel::oneshot;

use super::failure::{self, Failure};
use super::token::{Access, Token};
use crate::error::{ProviderError, ProviderErrorKind};
use crate::provider::no_thread;

/// They end when this is dropped, after what they were asked for.
pub(super) struct Workers(Sender<Job>);

type Job = Box<dyn FnOnce(&mut Desk) + Send>;

/// One thread's.
struct Desk {
    token: Arc<Token>,
    session: Option<Session>,
}

impl Workers {
    pub(super) fn start(token: Token, count: usize) -> Result<Self, ProviderError> {
        let (queue, jobs) = mpsc::channel();
        let (token, jobs) = (Arc::new(token), Arc::new(Mutex::new(jobs)));
        for _ in 0..count {
            let (mut desk, jobs) = (Desk { token: Arc::clone(&token), session: None }, Arc::clone(&jobs));
            let work = move || {
                while let Some(job) = next(&jobs) {
                    job(&mut desk);
                }
            };
            thread::Builder::new().name("fieldseal-hsm".into()).spawn(work).map_err(no_thread)?;
        }
        Ok(Self(queue))
    }

    /// Does `job` in a session: once more in a new one if the first had ended, so it must not matter whether it began.
    pub(super) async fn run<T, F>(&self, access: Access, job: F) -> Result<T, ProviderError>
    where
        T: Send + 'static,
        F: Fn(&Session) -> Result<T, Failure> + Send + 'static,
    {
        let (done, answer) = oneshot::channel();
        let work = move |desk: &mut Desk| {
            // Nobody listens any more if the future was dropped.
            let _ = done.send(desk.run(access, &job));
        };
        let stopped = || ProviderError::new(ProviderErrorKind::Unavailable).with_hint("a thread of the HSM's stopped");
        self.0.send(Box::new(work)).map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

fn next(jobs: &Mutex<Receiver<Job>>) -> Option<Job> {
    jobs.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

impl Desk {
    fn run<T>(&mut self, access: Access, job: impl Fn(&Session) -> Result<T, Failure>) -> Result<T, ProviderError> {
        match self.attempt(access, &job) {
            Err(Failure::Token(e)) if failure::is_about_session(&e) => self.attempt(access, &job),
            answer => answer,
        }
        .map_err(ProviderError::from)
    }

    fn attempt<T>(&mut self, access: Access, job: impl Fn(&Session) -> Result<T, Failure>) -> Result<T, Failure> {
        let session = match (access, self.session.take()) {
            (Access::Read, Some(session)) => session,
            (Access::Read, None) => self.token.session(access)?,
            // Rare, so not kept; the other one stays, and with it the login.
            (Access::Write, kept) => {
                self.session = kept;
                let answer = self.token.session(access).and_then(|session| job(&session));
                if matches!(answer, Err(Failure::Token(_))) {
                    self.session = None;
                }
                return answer;
            }
        };
        let answer = job(&session);
        if !matches!(answer, Err(Failure::Token(_))) {
            self.session = Some(session);
        }
        answer
    }
}

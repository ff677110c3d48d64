//! What the test programs of the workspace that are not libtest's share: named trials of functions, servers that are started
//! once a program, and how many rounds are run.
//!
//! They are libtest-mimic's, because libtest's harness knows only when it is compiled what to ignore, and which servers there
//! are is known only when they run. A program lists its functions with [`tests!`](crate::tests), on a place: [`Alone`],
//! [`Blocking`], [`Shared`], or one of its own that has a method `trial`.

use std::fmt::{self, Debug};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::thread;

use tokio::runtime::{Builder, Runtime};

pub use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// Functions as trials of a place, each named by the module of the call and its own path. One that is left out of every list
/// is never used, which the compiler says.
///
/// ```text
/// trials.extend(tests![Alone::new() => erasure::an_erased_subject_is_gone it_is_told]);
/// ```
#[macro_export]
macro_rules! tests {
    ($place:expr => $($($part:ident)::+)*) => {
        ::std::vec![$(
            $place.trial($crate::harness::name(module_path!(), &[$(stringify!($part)),+]), $($part)::+)
        ),*]
    };
}

/// Runs the trials that the command line asks for.
pub fn run(trials: Vec<Trial>) -> ExitCode {
    run_with(&Arguments::from_args(), trials)
}

/// Runs the trials that these arguments ask for: unless they say how many at once, two for each processor, because a trial
/// waits for its server half of the time.
pub fn run_with(arguments: &Arguments, trials: Vec<Trial>) -> ExitCode {
    let mut arguments = arguments.clone();
    let processors = thread::available_parallelism().map_or(1, usize::from);
    arguments.test_threads.get_or_insert(2 * processors);
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Whether every round of a race, a kill or a table of faults is run (`FIELDSEAL_SOAK=1`), or only some.
pub fn soak() -> bool {
    fieldseal_testkit::world::is_soak()
}

/// A test's name: where it is, without the program's.
pub fn name(module: &str, path: &[&str]) -> String {
    let module = module.split("::").skip(1);
    module.chain(path.iter().copied()).collect::<Vec<_>>().join("::")
}

/// What a test function returns.
pub trait Outcome {
    /// What it says of the test.
    fn completed(self) -> Result<Completion, Failed>;
}

impl Outcome for () {
    fn completed(self) -> Result<Completion, Failed> {
        Ok(Completion::Completed)
    }
}

impl Outcome for Completion {
    fn completed(self) -> Result<Completion, Failed> {
        Ok(self)
    }
}

impl<T: Outcome, E: Debug> Outcome for Result<T, E> {
    fn completed(self) -> Result<Completion, Failed> {
        self.map_err(|e| Failed::from(format!("{e:?}")))?.completed()
    }
}

/// How tests are named, whether they count as ignored, and how many threads each has.
#[derive(Clone, Debug)]
struct Terms {
    prefix: String,
    is_ignored: bool,
    threads: usize,
}

impl Terms {
    const DEFAULT: Self = Self { prefix: String::new(), is_ignored: false, threads: 1 };

    fn trial(
        &self,
        name: impl Into<String>,
        test: impl FnOnce() -> Result<Completion, Failed> + Send + 'static,
    ) -> Trial {
        Trial::ignorable_test(self.prefix.clone() + &name.into(), test).with_ignored_flag(self.is_ignored)
    }
}

macro_rules! terms {
    () => {
        /// Begins the name of each test.
        #[must_use]
        pub fn named(mut self, prefix: &str) -> Self {
            self.terms.prefix = format!("{prefix}::");
            self
        }

        /// Whether each test counts as ignored: what it needs is missing.
        #[must_use]
        pub fn ignored(mut self, is_ignored: bool) -> Self {
            self.terms.is_ignored = is_ignored;
            self
        }

        /// Gives each test a runtime of so many threads, where one isn't enough.
        #[must_use]
        pub fn threads(mut self, threads: usize) -> Self {
            self.terms.threads = threads;
            self
        }
    };
}

/// Async tests that share nothing: without a server, or with servers of their own.
#[derive(Clone, Debug)]
pub struct Alone {
    terms: Terms,
}

impl Alone {
    /// On one thread, never ignored.
    pub const fn new() -> Self {
        Self { terms: Terms::DEFAULT }
    }

    terms!();

    /// A test on a runtime of its own.
    pub fn trial<O: Outcome>(&self, name: impl Into<String>, test: impl AsyncFnOnce() -> O + Send + 'static) -> Trial {
        let threads = self.terms.threads;
        self.terms.trial(name, move || runtime(threads).block_on(test()).completed())
    }
}

impl Default for Alone {
    fn default() -> Self {
        Self::new()
    }
}

/// Tests that are not async.
#[derive(Clone, Debug)]
pub struct Blocking {
    terms: Terms,
}

impl Blocking {
    /// Never ignored.
    pub const fn new() -> Self {
        Self { terms: Terms::DEFAULT }
    }

    terms!();

    /// A test on the trial's thread.
    pub fn trial<O: Outcome>(&self, name: impl Into<String>, test: impl FnOnce() -> O + Send + 'static) -> Trial {
        self.terms.trial(name, move || test().completed())
    }
}

impl Default for Blocking {
    fn default() -> Self {
        Self::new()
    }
}

/// Async tests that share something which the first of them starts: listing tests starts nothing. Clones share it too.
pub struct Shared<S> {
    terms: Terms,
    start: Arc<dyn Fn() -> S + Send + Sync>,
    started: Arc<OnceLock<S>>,
}

impl<S: Send + Sync + 'static> Shared<S> {
    /// Started outside of a test's runtime.
    pub fn new(start: impl Fn() -> S + Send + Sync + 'static) -> Self {
        Self { terms: Terms::DEFAULT, start: Arc::new(start), started: Arc::default() }
    }

    terms!();

    /// What is shared; it is started if it isn't yet.
    pub fn get(&self) -> &S {
        self.started.get_or_init(|| (self.start)())
    }

    /// A test on a runtime of its own.
    pub fn trial<O: Outcome>(
        &self,
        name: impl Into<String>,
        test: impl AsyncFnOnce(&S) -> O + Send + 'static,
    ) -> Trial {
        let shared = self.clone();
        self.terms.trial(name, move || {
            let started = shared.get();
            runtime(shared.terms.threads).block_on(test(started)).completed()
        })
    }
}

impl<S> Clone for Shared<S> {
    fn clone(&self) -> Self {
        Self { terms: self.terms.clone(), start: Arc::clone(&self.start), started: Arc::clone(&self.started) }
    }
}

impl<S> Debug for Shared<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("terms", &self.terms).finish_non_exhaustive()
    }
}

/// A runtime of a test's own: of the test's thread alone, or of so many.
pub(crate) fn runtime(threads: usize) -> Runtime {
    let mut builder = if threads == 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    builder.worker_threads(threads).enable_all().build().expect("a runtime")
}

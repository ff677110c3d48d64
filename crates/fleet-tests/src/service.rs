//! A server of a test's own that is a program of somebody else: an emulator, a fault proxy, OpenBao. It listens on loopback
//! alone, on a port that was free, in a temporary directory, and is gone with the test.
//!
//! Programs are looked for in the directory that `FIELDSEAL_TOOLS` names, in `target/ci/venv/bin` (where `.ci/run` puts
//! them), then in `PATH`. Where one is missing, [`skip`] says so before a test is run; if `FIELDSEAL_REQUIRE` (a list,
//! separated by commas) names the component, that is a failure instead.

use std::env;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::Duration;

use tempfile::TempDir;

/// Whether tests are to be skipped: a program that the component needs isn't installed, and nobody requires it.
///
/// # Panics
/// If one isn't installed and `FIELDSEAL_REQUIRE` names the component.
pub fn skip(component: &str, programs: &[&str]) -> bool {
    let missing = programs.iter().find(|name| find(name).is_none());
    let Some(missing) = missing else { return false };
    assert!(!required(component), "FIELDSEAL_REQUIRE names {component}, but there is no {missing:?}");
    true
}

/// Whether `FIELDSEAL_REQUIRE` names a component.
pub fn required(component: &str) -> bool {
    env::var("FIELDSEAL_REQUIRE").is_ok_and(|list| list.split(',').any(|name| name.trim() == component))
}

/// Where a program is.
pub fn find(program: &str) -> Option<PathBuf> {
    let tools = env::var_os("FIELDSEAL_TOOLS").map(PathBuf::from);
    let in_path: Vec<_> = env::var_os("PATH").iter().flat_map(env::split_paths).collect();
    tools
        .into_iter()
        .chain([venv().join("bin")])
        .chain(in_path)
        .map(|dir| dir.join(program))
        .find(|path| path.is_file())
}

/// The environment of Python's that `.ci/run` makes, in the workspace's `target`.
pub(crate) fn venv() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/ci/venv")
}

/// A running server. Dropping it kills it, when the test panics too.
#[derive(Debug)]
pub struct Service {
    child: Child,
    /// The port that it listens on, on 127.0.0.1.
    pub port: u16,
    home: TempDir,
}

impl Service {
    /// Starts a program; `arrange` is told the free port that it is to listen on, and its directory. Returns once it takes
    /// connections.
    ///
    /// # Panics
    /// If it isn't there, or doesn't start within a minute.
    pub fn start(program: &str, arrange: impl Fn(&mut Command, u16, &Path)) -> Self {
        let path = find(program).unwrap_or_else(|| panic!("there is no {program:?}"));
        // Between the moment when a port is found to be free and the moment when the program takes it somebody else may.
        for _ in 0..5 {
            let home = tempfile::tempdir().expect("a temporary directory");
            let port = free_port();
            let mut command = Command::new(&path);
            let log = File::create(home.path().join(LOG)).expect("a log");
            command.current_dir(&home).stdin(Stdio::null());
            command.stdout(log.try_clone().expect("a log")).stderr(log);
            arrange(&mut command, port, home.path());
            let child = command.spawn().unwrap_or_else(|e| panic!("{program}: {e}"));
            let mut service = Self { child, port, home };
            if service.is_up() {
                return service;
            }
            eprintln!("{program} did not start: {}", service.log());
        }
        panic!("{program} does not start");
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// SIGKILL, and wait: as if its machine had lost power.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn is_up(&mut self) -> bool {
        for _ in 0..1200 {
            if self.child.try_wait().expect("it is our child").is_some() {
                return false;
            }
            let is_answered = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok();
            sleep(Duration::from_millis(50));
            if is_answered {
                // By somebody who was faster, if it has ended.
                return self.child.try_wait().expect("it is our child").is_none();
            }
        }
        false
    }

    /// What it said so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.home.path().join(LOG)).unwrap_or_default()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
    }
}

/// moto: emulates KMS and DynamoDB. Right on contexts, tampering and rotation; a disabled or deleted key still decrypts.
pub fn moto() -> Service {
    Service::start("moto_server", |command, port, _| {
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
    })
}

/// moto for DynamoDB: it answers one question at a time, because its transactions aren't isolated. One that fails puts the
/// table back as it was when it began, and takes with it what others wrote meanwhile.
pub fn moto_in_turn() -> Service {
    Service::start("moto_server", |command, port, home| {
        fs::write(home.join("sitecustomize.py"), IN_TURN).expect("a directory of its own");
        command.env("PYTHONPATH", home).args(["-H", "127.0.0.1", "-p", &port.to_string()]);
    })
}

/// Python runs it before anything else.
const IN_TURN: &str = "
import threading
from moto.moto_server.werkzeug_app import DomainDispatcherApplication as App

ask, turn = App.__call__, threading.Lock()

def ask_in_turn(self, environ, start_response):
    with turn:
        return ask(self, environ, start_response)

App.__call__ = ask_in_turn
";

/// ministack: emulates KMS and DynamoDB. Right on the states of keys; not on tampering, nor on which key decrypts.
pub fn ministack() -> Service {
    Service::start("ministack", |command, port, home| {
        // Without the first it listens on every interface.
        command.env("IOT_MTLS_ENABLED", "0").env("BIND_HOST", "127.0.0.1");
        command.env("GATEWAY_PORT", port.to_string()).env("HOME", home);
    })
}

/// A port that is free, and is none of those that the system gives out: a program takes it only some time later. Nobody else
/// is given the next one, which OpenBao takes, too.
pub fn free_port() -> u16 {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    for _ in 0..PORTS {
        let at = process::id().wrapping_mul(32).wrapping_add(GIVEN.fetch_add(2, Ordering::Relaxed));
        let port = u16::try_from(20_000 + at % PORTS).expect("a port");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free");
}

const PORTS: u32 = 8000;
const LOG: &str = "log";

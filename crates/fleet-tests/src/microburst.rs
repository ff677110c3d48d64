//! microburst, a proxy that breaks what it is told to: before a server that speaks HTTP, as many as its tests need at once.

use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::Client;
use serde_json::{Value, json};

use crate::service::Service;

/// A server, and the microbursts before it. Each takes a while to start, so a test leaves its own to the next.
#[derive(Debug)]
pub struct Upstream {
    server: Service,
    idle: Idle,
}

type Idle = Arc<Mutex<Vec<Service>>>;

impl Upstream {
    /// An emulator, or another server that speaks HTTP.
    pub fn new(server: Service) -> Self {
        Self { server, idle: Idle::default() }
    }

    /// Where nothing is between.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// A microburst of the caller's own, without rules.
    pub async fn microburst(&self) -> Microburst {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let is_used = idle.is_some();
        let service = idle.unwrap_or_else(|| start(&self.url()));
        let microburst = Microburst { service: Some(service), idle: Arc::clone(&self.idle) };
        if is_used {
            microburst.rules(json!([])).await;
        }
        microburst
    }

    /// SIGKILL, and wait: as if its machine had lost power.
    pub fn kill(&mut self) {
        self.server.kill();
    }
}

fn start(upstream: &str) -> Service {
    Service::start("microburst", |command, port, _| {
        command.args(["--host", "127.0.0.1", "-u", upstream, "-p", &port.to_string()]);
    })
}

/// For a rule's `timeout_ms`: longer than anybody waits.
pub const HANGS: u32 = 60 * 60 * 1000;

/// A running microburst. Once it is dropped, another test may have it.
#[derive(Debug)]
pub struct Microburst {
    /// None once it is dropped.
    service: Option<Service>,
    idle: Idle,
}

impl Microburst {
    /// By a name without dots: of one with dots, microburst looks whether it is one of AWS's, and reads the models of 400
    /// services for it.
    pub fn url(&self) -> String {
        let port = self.service.as_ref().map(|service| service.port);
        format!("http://localhost:{}", port.expect("it isn't dropped yet"))
    }

    /// Has it follow these rules, and no others.
    pub async fn rules(&self, rules: Value) {
        follow(&self.url(), &rules).await;
    }

    /// Has it break every call of an operation (`*`: of all) of a service of AWS.
    pub async fn breaks(&self, service: &str, operation: &str, fault: Value) {
        let mut rule = json!({ "service": service });
        let members = rule.as_object_mut().expect("an object");
        if operation != "*" {
            members.insert("operation".into(), operation.into());
        }
        members.extend(fault.as_object().expect("an object").clone());
        self.rules(json!([rule])).await;
    }

    /// The rules that it follows, and how often each has fired.
    pub async fn fired(&self) -> Value {
        self.tells("rules").await
    }

    /// How many requests came as far as here.
    pub async fn asked(&self) -> u64 {
        self.tells("stats").await["requests"]["total"].as_u64().expect("a number")
    }

    async fn tells(&self, what: &str) -> Value {
        let answer = client().get(format!("{}/_microburst/{what}", self.url())).send().await;
        answer.expect("microburst answers").json().await.expect("JSON")
    }

    /// SIGKILL, and wait. Nobody has this one again.
    pub fn kill(&mut self) {
        self.service.as_mut().expect("it isn't dropped yet").kill();
        self.idle = Idle::default();
    }
}

impl Drop for Microburst {
    fn drop(&mut self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.extend(mem::take(&mut self.service));
    }
}

/// With the examples' TLS built in, reqwest makes no client before it has cryptography.
fn client() -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::new()
}

/// Has the microburst at this URL, or whose control is at it, follow these rules and no others.
///
/// # Panics
/// If it doesn't take them.
pub async fn follow(url: &str, rules: &Value) {
    let answer = client().post(format!("{url}/_microburst/rules")).json(rules).send().await;
    assert!(answer.expect("microburst answers").status().is_success(), "microburst takes {rules}");
}

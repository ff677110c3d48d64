//! Answers that look right and aren't: what a failing memory, or a proxy that rewrites, makes of them. microburst's damage is
//! such that no JSON is left; here a single letter is another one.

use std::sync::{Arc, Mutex};

use fieldseal::provider::ProviderErrorKind as P;
use fieldseal::store::StoreErrorKind as S;
use fieldseal::{TenantId, Vault};
use fieldseal_testkit::customer;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::Servers;
use super::aws::Remote;
use super::load::{COLD, Kind, Ledger, Load, is_of};

/// A proxy that changes one letter of every text that an answer has under a name.
struct Liar {
    url: String,
    lies: Arc<Mutex<Lies>>,
}

/// None while the name is empty, nor in so many answers that have it.
#[derive(Default)]
struct Lies {
    member: &'static str,
    spared: usize,
}

impl Liar {
    async fn before(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (lies, upstream) = (Arc::<Mutex<Lies>>::default(), upstream.to_owned());
        let told = Arc::clone(&lies);
        tokio::spawn(async move {
            let client = reqwest::Client::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(pass_on(stream, client.clone(), upstream.clone(), Arc::clone(&told)));
            }
        });
        Self { url, lies }
    }

    fn about(&self, member: &'static str) {
        self.sparing(member, 0);
    }

    fn sparing(&self, member: &'static str, spared: usize) {
        *self.lies.lock().unwrap() = Lies { member, spared };
    }
}

async fn pass_on(mut stream: TcpStream, client: reqwest::Client, upstream: String, lies: Arc<Mutex<Lies>>) {
    let Some((head, body)) = request(&mut stream).await else { return };
    let mut request = client.post(upstream).body(body);
    for line in head.lines().skip(1) {
        let (name, value) = line.split_once(':').unwrap();
        if [CONTENT_TYPE.as_str(), AUTHORIZATION.as_str(), "x-amz-target", "x-amz-date"]
            .contains(&&*name.to_lowercase())
        {
            request = request.header(name, value.trim());
        }
    }
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    let answer = lies.lock().unwrap().tell(answer).to_string();
    let head = "Content-Type: application/x-amz-json-1.1\r\nConnection: close\r\n";
    let answer = format!("HTTP/1.1 {status} OK\r\n{head}Content-Length: {}\r\n\r\n{answer}", answer.len());
    let _ = stream.write_all(answer.as_bytes()).await;
}

/// The head and the body, which is JSON: no part of an object is.
async fn request(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut read = Vec::new();
    loop {
        let mut some = [0; 4096];
        let n = stream.read(&mut some).await.ok().filter(|n| *n > 0)?;
        read.extend(some.iter().take(n));
        if let Some((head, body)) = String::from_utf8_lossy(&read).split_once("\r\n\r\n")
            && serde_json::from_str::<Value>(body).is_ok()
        {
            return Some((head.to_owned(), body.to_owned()));
        }
    }
}

impl Lies {
    fn tell(&mut self, truth: Value) -> Value {
        let mut lie = truth.clone();
        change(&mut lie, self.member);
        if lie != truth && self.spared > 0 {
            self.spared -= 1;
            return truth;
        }
        lie
    }
}

fn change(value: &mut Value, member: &str) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match value {
                    Value::String(text) if name == member => *text = another(text),
                    value => change(value, member),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| change(value, member)),
        _ => {}
    }
}

/// The same, but for a letter in its middle.
fn another(text: &str) -> String {
    let middle = text.len() / 2;
    let letter = if &text[middle..=middle] == "A" { "B" } else { "A" };
    format!("{}{letter}{}", &text[..middle], &text[middle + 1..])
}

fn tenant(vault: &Vault, name: &str) -> fieldseal::Tenant {
    vault.tenant(&TenantId::new(name).unwrap())
}

pub(crate) async fn a_key_that_was_changed_on_its_way_is_never_used(servers: &Servers) {
    let world = Remote::new(servers).await;
    let liar = Liar::before(&servers.kms.url()).await;
    let vault = world.over(&liar.url, &servers.dynamodb.url()).await;
    // The key itself; and the name of the master key that unwrapped it.
    for member in ["Plaintext", "KeyId"] {
        liar.about(member);
        let error = tenant(&vault, COLD[0]).keys(&customer("subject-0")).await.unwrap_err();
        is_of(&error, &[Kind::Provider(P::Corrupt)], member);
        let build = Vault::builder(world.provider(&liar.url), world.store(&servers.dynamodb.url()))
            .kinds(["customer"])
            .journal(world.journal.clone())
            .build();
        is_of(&build.await.unwrap_err(), &[Kind::Provider(P::Corrupt)], member);
    }
    liar.about("");
    tenant(&vault, COLD[0]).keys(&customer("subject-0")).await.unwrap();
}

pub(crate) async fn a_slot_that_was_changed_on_its_way_is_corrupt(servers: &Servers) {
    let world = Remote::new(servers).await;
    let liar = Liar::before(&servers.dynamodb.url()).await;
    let vault = world.over(&servers.kms.url(), &liar.url).await;
    tenant(&vault, COLD[0]).keys(&customer("subject-0")).await.unwrap();
    // Bytes, text and numbers of items, each alone.
    for member in ["B", "S", "N"] {
        liar.about(member);
        for error in [
            tenant(&vault, COLD[0]).keys(&customer("subject-1")).await.unwrap_err(),
            tenant(&vault, COLD[1]).keys(&customer("subject-1")).await.unwrap_err(),
        ] {
            is_of(&error, &[Kind::Store(S::Corrupt)], member);
        }
    }
    liar.about("");
    tenant(&vault, COLD[0]).keys(&customer("subject-1")).await.unwrap();
}

/// What is wrapped replaces what was wrapped before, or is all that there is of a key: it must open before it is stored.
pub(crate) async fn a_wrapped_key_that_was_changed_on_its_way_is_not_stored(servers: &Servers) {
    let world = Remote::new(servers).await;
    let liar = Liar::before(&servers.kms.url()).await;
    let load = Load::start(world.direct().await, "kept").await;
    load.run("kept").await;
    let vault = world.over(&liar.url, &servers.dynamodb.url()).await;
    liar.about("CiphertextBlob");
    let corrupt = |error: &fieldseal::Error, what: &str| is_of(error, &[Kind::Provider(P::Corrupt)], what);
    corrupt(&tenant(&vault, "new").enroll(&customer("subject")).await.unwrap_err(), "a new tenant's keys");
    world.rotate().await;
    corrupt(&vault.advance_epoch().await.unwrap_err(), "the vault's root");
    liar.about("");
    let epoch = vault.advance_epoch().await.unwrap().epoch;
    world.rotate().await;
    liar.sparing("CiphertextBlob", 1);
    let behind = vault.advance_epoch().await.unwrap().failed;
    assert!(!behind.is_empty());
    behind.iter().for_each(|(_, e)| corrupt(e, "tenants' keys"));
    assert!(vault.current_epoch().await.unwrap() > epoch);
    load.ledger.check(&world.direct().await).await;
    liar.about("");
    vault.advance_epoch().await.unwrap();
    load.ledger.check(&world.direct().await).await;
    let keys = tenant(&vault, "new").enroll(&customer("subject")).await.unwrap();
    let ledger = Ledger::default();
    ledger.enrolled("new", &customer("subject"));
    ledger.use_keys("new", &keys, 1);
    ledger.check(&world.direct().await).await;
}

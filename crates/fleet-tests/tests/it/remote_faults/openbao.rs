//! Master keys at OpenBao, behind a microburst: statuses, resets, cuts.

use std::sync::Arc;

use fieldseal::Vault;
use fieldseal::guard::Guarded;
use fieldseal::journal::MemoryJournal;
use fieldseal::provider::ProviderErrorKind as P;
use fieldseal::store::MemoryStore;
use fieldseal_openbao::{OpenBao, Token};
use reqwest::Client;
use serde_json::{Value, json};

use fleet_tests::microburst::Upstream;
use fleet_tests::service::Service;

use super::load::{self, Kind, guard, prepare};

const ROOT: &str = "root";

pub(crate) async fn each_fault_comes_out_as_its_kind() {
    let bao = Service::start("bao", |command, port, home| {
        command.args(["server", "-dev", "-dev-no-store-token", "-dev-root-token-id", ROOT]);
        command.arg(format!("-dev-listen-address=127.0.0.1:{port}")).env("HOME", home);
    });
    let health = format!("{}/v1/sys/health", bao.url());
    while !Client::new().get(&health).send().await.is_ok_and(|answer| answer.status().is_success()) {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    admin(&bao, "sys/mounts/transit", json!({ "type": "transit" })).await;
    admin(&bao, "transit/keys/customers", json!({})).await;
    let (store, journal) = (Arc::new(MemoryStore::new()), Arc::new(MemoryJournal::new().unwrap()));
    let vault = async |url: &str| {
        let provider = OpenBao::new(Client::new(), url, "customers", Token::new(ROOT).unwrap()).unwrap();
        Vault::builder(Guarded::new(provider, &guard()), store.clone())
            .kinds(["customer"])
            .journal(journal.clone())
            .build()
            .await
            .unwrap()
    };
    prepare(&vault(&bao.url()).await).await;
    let bao = Upstream::new(bao);
    let way = bao.microburst().await;
    let answered = |status: u16| json!({ "error": { "code": "Any", "status": status } });
    for (name, fault, kinds) in [
        ("429", answered(429), &[P::Throttled] as &[P]),
        ("503", answered(503), &[P::Unavailable]),
        ("500", answered(500), &[P::Unavailable]),
        ("403", answered(403), &[P::Denied]),
        ("reset", json!({ "reset": true }), &[P::Unavailable]),
        ("no-answer", json!({ "response": { "abort_bytes": 0 } }), &[P::Unavailable]),
        ("broken-off", json!({ "response": { "abort_frac": 0.5 } }), &[P::Unavailable]),
        ("cut", json!({ "response": { "truncate_frac": 0.5 } }), &[P::Unavailable, P::Corrupt]),
        ("corrupted", json!({ "response": { "corrupt_bytes": 40 } }), &[P::Unavailable, P::Corrupt, P::Misconfigured]),
        ("slow", json!({ "latency": { "min": 1, "max": 40 } }), &[]),
    ] {
        let kinds: Vec<_> = kinds.iter().copied().map(Kind::Provider).collect();
        load::suffer(
            async || vault(&way.url()).await,
            async || vault(&bao.url()).await,
            &way.url(),
            name,
            &fault,
            &kinds,
        )
        .await;
    }
}

async fn admin(bao: &Service, path: &str, body: Value) {
    let request = Client::new().post(format!("{}/v1/{path}", bao.url())).header("X-Vault-Token", ROOT).json(&body);
    let answer = request.send().await.unwrap();
    assert!(answer.status().is_success(), "{path}");
}

//! A server in development mode, an administrator of it, and families of keys.

use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use fieldseal::provider::KeyMaterial;
use fieldseal::provider::{MasterKeyProvider, ProviderError, ProviderErrorKind, WrapContext, WrappedKey};
use fieldseal::store::Epoch;
use fieldseal_openbao::{OpenBao, Token};
use fieldseal_testkit::provider::ProviderFixture;
use reqwest::{Client, Method};
use serde_json::{Value, json};

use fleet_tests::service::Service;

/// A server with a transit engine at `transit`.
pub(crate) struct Bao {
    pub(crate) service: Service,
    families: AtomicU32,
}

impl Bao {
    pub(crate) fn start() -> Self {
        let service = Service::start("bao", |command, port, home| {
            command.args(["server", "-dev", "-dev-no-store-token", "-dev-root-token-id", ROOT]);
            command.arg(format!("-dev-listen-address=127.0.0.1:{port}")).env("HOME", home);
        });
        let bao = Self { service, families: AtomicU32::new(0) };
        // On a thread of its own, because the caller may be in a runtime.
        std::thread::scope(|scope| scope.spawn(|| block_on(bao.prepare())).join().unwrap());
        bao
    }

    async fn prepare(&self) {
        let health = format!("{}/v1/sys/health", self.service.url());
        for _ in 0..600 {
            if Client::new().get(&health).send().await.is_ok_and(|answer| answer.status().is_success()) {
                self.admin(Method::POST, "sys/mounts/transit", json!({"type": "transit"})).await;
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("the server is not up: {}", self.service.log());
    }

    /// A request of the administrator's, which succeeds.
    pub(crate) async fn admin(&self, method: Method, path: &str, body: Value) -> Value {
        let request = Client::new().request(method, format!("{}/v1/{path}", self.service.url()));
        let answer = request.header("X-Vault-Token", ROOT).json(&body).send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    pub(crate) async fn make_key(&self, name: &str, settings: &Value) {
        self.admin(Method::POST, &format!("transit/keys/{name}"), settings.clone()).await;
    }

    pub(crate) async fn delete_key(&self, name: &str) {
        self.admin(Method::POST, &format!("transit/keys/{name}/config"), json!({"deletion_allowed": true})).await;
        self.admin(Method::DELETE, &format!("transit/keys/{name}"), json!({})).await;
    }

    /// A name that no other test has.
    pub(crate) fn name(&self) -> String {
        format!("customers-{}", self.families.fetch_add(1, Ordering::Relaxed))
    }

    /// A provider as the administrator, with a key of its own that is made with these settings.
    pub(crate) async fn family(&self, settings: Value) -> Family<'_> {
        let name = self.name();
        self.make_key(&name, &settings).await;
        Family { bao: self, provider: self.provider(&name), name, settings, made: AtomicU32::new(1) }
    }

    pub(crate) fn provider(&self, key: &str) -> OpenBao {
        self.provider_with(key, ROOT)
    }

    pub(crate) fn provider_with(&self, key: &str, token: &str) -> OpenBao {
        OpenBao::new(Client::new(), &self.service.url(), key, Token::new(token).unwrap()).unwrap()
    }

    /// A token that has these policies and no other.
    pub(crate) async fn token(&self, policies: &[(&str, &str)]) -> String {
        for (name, policy) in policies {
            self.admin(Method::PUT, &format!("sys/policies/acl/{name}"), json!({"policy": policy})).await;
        }
        let names: Vec<_> = policies.iter().map(|(name, _)| name).collect();
        let body = json!({"policies": names, "no_default_policy": true});
        let made = self.admin(Method::POST, "auth/token/create", body).await;
        made["auth"]["client_token"].as_str().unwrap().to_owned()
    }
}

/// A provider, and the names that it uses one after the other.
pub(crate) struct Family<'a> {
    pub(crate) bao: &'a Bao,
    pub(crate) provider: OpenBao,
    pub(crate) name: String,
    settings: Value,
    made: AtomicU32,
}

#[async_trait]
impl ProviderFixture for Family<'_> {
    fn provider(&self) -> &dyn MasterKeyProvider {
        &self.provider
    }

    async fn rotate(&self) {
        let name = format!("{}.{}", self.name, self.made.fetch_add(1, Ordering::Relaxed));
        self.bao.make_key(&name, &self.settings).await;
        self.provider.use_key(&name).await.unwrap();
    }
}

pub(crate) fn key() -> (KeyMaterial, WrapContext) {
    let key = KeyMaterial::generate().unwrap();
    let context = WrapContext::vault_root(Epoch::FIRST, key.id());
    (key, context)
}

/// A key that is wrapped under the current master key.
pub(crate) async fn wrapped(provider: &dyn MasterKeyProvider) -> (WrappedKey, WrapContext) {
    let (key, context) = key();
    (provider.wrap_key(&key, &context).await.unwrap(), context)
}

#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(answer: Result<T, ProviderError>, kind: ProviderErrorKind) -> ProviderError {
    let error = answer.expect_err("it is to be refused");
    assert_eq!(error.kind(), kind, "{error:?}");
    error
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

pub(crate) const ROOT: &str = "root-of-the-test";

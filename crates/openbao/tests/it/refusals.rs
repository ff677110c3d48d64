//! Servers that refuse, are sealed or gone; and what errors say.

use std::error::Error as _;
use std::sync::{Arc, Mutex};

use fieldseal::Retry;
use fieldseal::provider::{MasterKeyProvider as _, ProviderError, ProviderErrorKind as Kind};
use fieldseal_openbao::{OpenBao, Token};
use reqwest::{Client, Method};
use serde_json::json;

use crate::world::{Bao, ROOT, key, refused, wrapped};

pub(crate) async fn a_token_that_is_not_valid_is_denied_until_it_is_renewed(bao: &Bao) {
    let family = bao.family(json!({})).await;
    let (wrapped, context) = wrapped(&family.provider).await;
    let now = Arc::new(Mutex::new(Token::new("expired").unwrap()));
    let source = Arc::clone(&now);
    let token = move || source.lock().unwrap().clone();
    let provider = OpenBao::new(Client::new(), &bao.service.url(), &family.name, token).unwrap();
    let refusal = refused(provider.unwrap_key(&wrapped, &context).await, Kind::Denied);
    assert_eq!(refusal.retry(), Retry::Never);
    assert!(refusal.to_string().contains("renewing it is the application's"));
    refused(provider.current().await, Kind::Denied);
    *now.lock().unwrap() = Token::new(ROOT).unwrap();
    provider.unwrap_key(&wrapped, &context).await.unwrap();
}

pub(crate) async fn nothing_says_the_token_or_the_key(bao: &Bao) {
    let secret = "a-secret-token";
    let token = Token::new(secret).unwrap();
    let mut said = vec![format!("{token:?}")];
    let provider = OpenBao::new(Client::new(), &bao.service.url(), "customers-secret", token).unwrap();
    said.push(format!("{provider:?}"));
    let gone =
        OpenBao::new(Client::new(), "http://127.0.0.1:9", "customers-secret", Token::new(secret).unwrap()).unwrap();
    let (key, context) = key();
    for provider in [provider, gone] {
        said.push(chain(&provider.wrap_key(&key, &context).await.unwrap_err()));
    }
    let unknown = bao.provider("customers-secret").wrap_key(&key, &context).await.unwrap_err();
    said.push(chain(&unknown));
    for text in ["", "a token", "a\ntoken", "tök", &"a".repeat(8193)] {
        said.push(chain(&refused(Token::new(text), Kind::Misconfigured)));
    }
    for text in said {
        assert!(!text.contains(secret) && !text.contains("customers-secret") && !text.contains("tök"), "{text}");
    }
}

/// All that an error says.
fn chain(error: &ProviderError) -> String {
    let mut said = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(e) = source {
        said += &format!(" {e} {e:?}");
        source = e.source();
    }
    said
}

pub(crate) async fn a_sealed_server_is_unavailable() {
    let bao = Bao::start();
    let family = bao.family(json!({})).await;
    let (wrapped, context) = wrapped(&family.provider).await;
    let id = family.provider.current().await.unwrap();
    bao.admin(Method::PUT, "sys/seal", json!({})).await;
    let refusal = refused(family.provider.unwrap_key(&wrapped, &context).await, Kind::Unavailable);
    assert_eq!(refusal.retry(), Retry::Later);
    assert!(refusal.to_string().contains("sealed"));
    refused(family.provider.current().await, Kind::Unavailable);
    refused(family.provider.destruction(&id).await, Kind::Unavailable);
}

pub(crate) async fn a_server_that_was_killed_is_unavailable() {
    let mut bao = Bao::start();
    let (id, wrapped, context, provider) = {
        let family = bao.family(json!({})).await;
        let (wrapped, context) = wrapped(&family.provider).await;
        (family.provider.current().await.unwrap(), wrapped, context, family.provider.clone())
    };
    bao.service.kill();
    let refusal = refused(provider.unwrap_key(&wrapped, &context).await, Kind::Unavailable);
    assert_eq!(refusal.retry(), Retry::Later);
    refused(provider.destruction(&id).await, Kind::Unavailable);
    refused(provider.destroy_key(&id).await, Kind::Unavailable);
}

pub(crate) async fn a_path_without_an_engine_is_told(bao: &Bao) {
    let provider = bao.provider("customers").mount("none/here").unwrap();
    let refusal = refused(provider.current().await, Kind::Denied); // the server doesn't say more
    assert!(refusal.to_string().contains("no such mount"));
    let provider = bao.provider("customers").mount("cubbyhole").unwrap();
    refused(provider.current().await, Kind::Misconfigured);
    for path in ["", "/", "a//b", "a/../b", ".", "a?b", "a b"] {
        refused(bao.provider("customers").mount(path).map(drop), Kind::Misconfigured);
    }
}

pub(crate) async fn an_address_that_is_none_is_refused() {
    let make = |address: &str, key: &str| OpenBao::new(Client::new(), address, key, Token::new("t").unwrap());
    for address in ["", "bao:8200", "ftp://bao", "https://bao?a=b", "https://bao#a", "/v1", "https://"] {
        refused(make(address, "customers").map(drop), Kind::Misconfigured);
    }
    for address in ["https://ada:pw-of-ada@bao", "https://:pw-of-ada@bao", "https://ada@bao"] {
        let refusal = refused(make(address, "customers").map(drop), Kind::Misconfigured);
        assert!(!chain(&refusal).contains("ada"), "{refusal:?}");
    }
    for key in ["", "../sys", "a/b"] {
        refused(make("https://bao", key).map(drop), Kind::Misconfigured);
    }
}

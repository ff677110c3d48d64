//! Answers that a transit engine does not give: a proxy's, another server's, none at all.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use fieldseal::Retry;
use fieldseal::provider::{
    KeyMaterial, MasterKeyId, MasterKeyProvider as _, ProviderErrorKind as Kind, WrapContext, WrappedKey,
};
use fieldseal_openbao::{OpenBao, Token};
use reqwest::Client;
use tokio::net::TcpListener;

use crate::world::{key, refused};

type Answer = (u16, String);

/// A server that says what it is told to: the first is what it says of the mount.
struct Liar {
    provider: OpenBao,
    says: Arc<Mutex<[Answer; 2]>>,
}

impl Liar {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/behind/a/proxy/", listener.local_addr().unwrap());
        let says = Arc::new(Mutex::new([(200, MOUNT.to_owned()), (200, KEY.to_owned())]));
        let router = Router::new().fallback(answer).with_state(Arc::clone(&says));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let client = Client::builder().timeout(Duration::from_secs(20)).build().unwrap();
        let provider = OpenBao::new(client, &address, "customers", Token::new("t").unwrap()).unwrap();
        Self { provider, says }
    }

    fn of_the_mount(&self, status: u16, body: &str) {
        *self.says.lock().unwrap() = [(status, body.to_owned()), (200, KEY.to_owned())];
    }

    fn of_the_key(&self, status: u16, body: &str) {
        *self.says.lock().unwrap() = [(200, MOUNT.to_owned()), (status, body.to_owned())];
    }
}

async fn answer(State(says): State<Arc<Mutex<[Answer; 2]>>>, uri: Uri) -> Response {
    let [of_mount, of_key] = says.lock().unwrap().clone();
    let path = uri.path().strip_prefix("/behind/a/proxy/v1/").expect("the path before /v1 is kept");
    let (status, body) = if path == "sys/internal/ui/mounts/transit" { of_mount } else { of_key };
    (StatusCode::from_u16(status).unwrap(), body).into_response()
}

/// A wrapped key that the server could have made.
fn made() -> (WrappedKey, WrapContext) {
    let (_, context) = key();
    (WrappedKey::new(id(), [&[0, 0, 0, 1][..], &[7; 60]].concat()).unwrap(), context)
}

fn id() -> MasterKeyId {
    MasterKeyId::new("openbao:d8557043-9a06:customers:17").unwrap()
}

pub(crate) async fn a_status_means_what_it_means() {
    let liar = Liar::start().await;
    let (wrapped, context) = made();
    for (status, kind) in [
        (301, Kind::Unavailable),
        (401, Kind::Denied),
        (403, Kind::Denied),
        (404, Kind::Misconfigured),
        (405, Kind::Misconfigured),
        (400, Kind::Misconfigured),
        (412, Kind::Unavailable),
        (413, Kind::Misconfigured),
        (429, Kind::Throttled),
        (472, Kind::Unavailable),
        (473, Kind::Unavailable),
        (500, Kind::Unavailable),
        (502, Kind::Unavailable),
        (503, Kind::Unavailable),
    ] {
        for body in ["", "<html>", r#"{"errors":["one that nobody knows"]}"#] {
            liar.of_the_key(status, body);
            refused(liar.provider.unwrap_key(&wrapped, &context).await, kind);
            refused(liar.provider.current().await, kind);
            liar.of_the_mount(status, body);
            refused(liar.provider.current().await, kind);
        }
    }
}

pub(crate) async fn a_page_that_is_not_found_destroys_no_key() {
    let liar = Liar::start().await;
    assert_eq!(liar.provider.destruction(&id()).await.unwrap(), None);
    for body in ["", "not found", "<html>", "{}", "[]", r#"{"errors":["no handler for route"]}"#, r#"{"errors":null}"#]
    {
        liar.of_the_key(404, body);
        refused(liar.provider.destruction(&id()).await, Kind::Misconfigured);
    }
    // In the engine's words, and from an engine that it isn't; then from the one that it is.
    let gone = r#"{"errors":[]}"#;
    liar.of_the_key(404, gone);
    let other = MasterKeyId::new("openbao:another:customers:17").unwrap();
    refused(liar.provider.destruction(&other).await, Kind::UnknownKey);
    assert!(liar.provider.destruction(&id()).await.unwrap().is_some());
    liar.of_the_mount(404, gone);
    assert!(liar.provider.destruction(&id()).await.is_err());
}

pub(crate) async fn an_answer_that_is_none_is_refused() {
    let liar = Liar::start().await;
    let (wrapped, context) = made();
    let is_key = |text: String| format!(r#"{{"data":{{"plaintext":"{text}"}}}}"#);
    liar.of_the_key(200, &is_key("BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=".into()));
    let key = liar.provider.unwrap_key(&wrapped, &context).await.unwrap();
    assert_eq!(key.expose(), &[7; KeyMaterial::LEN]);
    for body in ["<html>", "{}", r#"{"data":{}}"#, r#"{"data":{"plaintext":7}}"#, r#"{"data":null}"#, "\u{0}"] {
        liar.of_the_key(200, body);
        let refusal = refused(liar.provider.unwrap_key(&wrapped, &context).await, Kind::Corrupt);
        assert_eq!(refusal.retry(), Retry::Never);
        refused(liar.provider.current().await, Kind::Corrupt);
    }
    for text in ["", "BwcH", "not base64!", &"B".repeat(4000)] {
        liar.of_the_key(200, &is_key(text.into()));
        refused(liar.provider.unwrap_key(&wrapped, &context).await, Kind::Corrupt);
    }
    // What was cut may come whole the next time.
    for body in ["", r#"{"data":{"plaint"#] {
        liar.of_the_key(200, body);
        let refusal = refused(liar.provider.unwrap_key(&wrapped, &context).await, Kind::Unavailable);
        assert_eq!(refusal.retry(), Retry::Later);
    }
    for body in [r#"{"data":{"type":"kv","uuid":"d8557043-9a06"}}"#, r#"{"data":{"type":"transit","uuid":"a:b"}}"#] {
        liar.of_the_mount(200, body);
        refused(liar.provider.current().await, Kind::Misconfigured);
    }
}

pub(crate) async fn an_answer_that_has_no_end_is_not_read_to_it() {
    let liar = Liar::start().await;
    let (wrapped, context) = made();
    let long = " ".repeat(64 * 1024 + 1);
    liar.of_the_key(200, &long);
    refused(liar.provider.unwrap_key(&wrapped, &context).await, Kind::Corrupt);
    liar.of_the_key(503, &long);
    refused(liar.provider.unwrap_key(&wrapped, &context).await, Kind::Unavailable);
}

pub(crate) async fn a_server_that_does_not_answer_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let client = Client::builder().timeout(Duration::from_millis(200)).build().unwrap();
    let silent = OpenBao::new(client, &address, "customers", Token::new("t").unwrap()).unwrap();
    let (wrapped, context) = made();
    let refusal = refused(silent.unwrap_key(&wrapped, &context).await, Kind::Unavailable);
    assert!(refusal.to_string().contains("in time"));
}

const MOUNT: &str = r#"{"data":{"type":"transit","uuid":"d8557043-9a06"}}"#;
const KEY: &str = r#"{"data":{"type":"aes256-gcm96","keys":{"1":17}}}"#;

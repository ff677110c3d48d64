//! AWS KMS for tests: clients of the emulators, keys and aliases there, and a server that answers what it is told to.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aws_sdk_kms::Client;
use aws_sdk_kms::config::retry::RetryConfig;
use aws_sdk_kms::config::timeout::TimeoutConfig;
use aws_sdk_kms::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_kms::operation::create_key::builders::CreateKeyFluentBuilder;
use aws_smithy_http_client::Builder;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// The region of [`client`].
pub const HOME: &str = "eu-central-1";
/// Another one.
pub const AWAY: &str = "eu-west-1";
/// What is in no message.
pub const SECRET: &str = "the-secret-access-key";

/// A client that makes each call once, and waits long enough for a busy machine.
pub fn client(url: &str, region: &str) -> Client {
    client_within(url, region, Duration::from_secs(60))
}

/// A client that waits no longer.
pub fn client_within(url: &str, region: &str, limit: Duration) -> Client {
    Client::from_conf(
        aws_sdk_kms::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region.to_owned()))
            .credentials_provider(Credentials::new("AKIAEXAMPLE", SECRET, None, None, "test"))
            .endpoint_url(url)
            .http_client(Builder::new().build_http())
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::builder().operation_timeout(limit).build())
            .build(),
    )
}

/// Makes a key as told; its id and ARN.
pub async fn key(call: CreateKeyFluentBuilder) -> (String, String) {
    let metadata = call.send().await.expect("a key").key_metadata.expect("metadata");
    (metadata.key_id, metadata.arn.expect("an ARN"))
}

/// An alias of a new name for a key.
pub async fn alias(client: &Client, key: &str) -> String {
    static LAST: AtomicU32 = AtomicU32::new(0);
    let name = format!("alias/fieldseal-{}", LAST.fetch_add(1, Ordering::Relaxed));
    client.create_alias().alias_name(&name).target_key_id(key).send().await.expect("an alias");
    name
}

/// Points an alias at a new key: how a new master key becomes the current one. Its id and ARN.
pub async fn repoint(client: &Client, alias: &str) -> (String, String) {
    let (id, arn) = key(client.create_key()).await;
    client.update_alias().alias_name(alias).target_key_id(&id).send().await.expect("the alias moves");
    (id, arn)
}

/// A server that answers each request in turn as it is told to, with status 200; its URL, and the bodies it was sent.
pub async fn answering(answers: Vec<Value>) -> (String, UnboundedReceiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    let (asked, bodies) = unbounded_channel();
    tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let _ = asked.send(body(&mut stream).await);
            let answer = answer.to_string();
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.1\r\nConnection: close\r\n";
            let answer = format!("{head}Content-Length: {}\r\n\r\n{answer}", answer.len());
            stream.write_all(answer.as_bytes()).await.expect("the client listens");
        }
    });
    (url, bodies)
}

/// The body of a request.
async fn body(stream: &mut TcpStream) -> Value {
    let mut read = Vec::new();
    loop {
        let mut some = [0; 4096];
        let n = stream.read(&mut some).await.expect("a request");
        assert_ne!(n, 0, "a whole request");
        read.extend(some.iter().take(n));
        let text = String::from_utf8_lossy(&read);
        // The body is done when it is JSON: no part of an object is.
        if let Some((_, body)) = text.split_once("\r\n\r\n")
            && let Ok(body) = serde_json::from_str(body)
        {
            return body;
        }
    }
}

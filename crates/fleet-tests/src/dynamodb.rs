//! DynamoDB for tests: clients of the emulators, names of fresh tables, and a server that answers what it is told to.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_smithy_http_client::Builder;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// What is in no message.
pub const SECRET: &str = "the-secret-access-key";

/// A client that makes each call once, and waits long enough for a busy machine.
pub fn client(url: &str) -> Client {
    client_with(url, Duration::from_secs(60), RetryConfig::disabled())
}

/// A client that waits no longer for a call, and makes it as often as it is told to.
pub fn client_with(url: &str, limit: Duration, retries: RetryConfig) -> Client {
    Client::from_conf(
        aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .credentials_provider(Credentials::new("AKIAEXAMPLE", SECRET, None, None, "test"))
            .endpoint_url(url)
            .http_client(Builder::new().build_http())
            .retry_config(retries)
            .timeout_config(TimeoutConfig::builder().operation_timeout(limit).build())
            .build(),
    )
}

/// The name of a table that no test has.
pub fn fresh() -> String {
    static LAST: AtomicU32 = AtomicU32::new(0);
    format!("fieldseal-{}", LAST.fetch_add(1, Ordering::Relaxed))
}

/// A server that answers each request in turn as it is told to, by a status and a body; its URL, and what it was asked: the
/// operation and the body.
pub async fn answering(answers: Vec<(u16, Value)>) -> (String, UnboundedReceiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    let (asked, questions) = unbounded_channel();
    tokio::spawn(async move {
        for (status, answer) in answers {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let _ = asked.send(question(&mut stream).await);
            let answer = answer.to_string();
            let head = "Content-Type: application/x-amz-json-1.0\r\nConnection: close\r\n";
            let answer = format!("HTTP/1.1 {status} OK\r\n{head}Content-Length: {}\r\n\r\n{answer}", answer.len());
            stream.write_all(answer.as_bytes()).await.expect("the client listens");
        }
    });
    (url, questions)
}

async fn question(stream: &mut TcpStream) -> (String, Value) {
    let mut read = Vec::new();
    loop {
        let mut some = [0; 4096];
        let n = stream.read(&mut some).await.expect("a request");
        assert_ne!(n, 0, "a whole request");
        read.extend(some.iter().take(n));
        let text = String::from_utf8_lossy(&read);
        // The body is done when it is JSON: no part of an object is.
        if let Some((head, body)) = text.split_once("\r\n\r\n")
            && let Ok(body) = serde_json::from_str(body)
        {
            let target = head.lines().find_map(|line| line.to_lowercase().strip_prefix("x-amz-target:").map(|_| line));
            let operation = target.and_then(|line| line.rsplit('.').next()).unwrap_or_default();
            return (operation.trim().to_owned(), body);
        }
    }
}

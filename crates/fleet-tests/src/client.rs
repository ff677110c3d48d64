//! The service of `examples/axum`, served over HTTP, and a client of it.

use axum::Router;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// A client of one instance of the service.
#[derive(Clone, Debug)]
pub struct Client {
    /// For what the methods below don't send.
    pub http: reqwest::Client,
    address: String,
}

/// A customer, as the list has one.
#[derive(Debug)]
pub struct Listed {
    /// As the path of a URL has it.
    pub id: String,
    /// In the clear.
    pub name: String,
}

impl Client {
    /// Serves on a port of its own, for as long as the runtime lives.
    pub async fn of(router: Router) -> Self {
        // With the examples' TLS built in, reqwest makes no client before it has cryptography.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async { axum::serve(listener, router).await });
        Self { http: reqwest::Client::builder().no_proxy().build().unwrap(), address }
    }

    /// A path of this instance.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    /// GET of a path.
    pub async fn get(&self, path: &str) -> Response {
        self.http.get(self.url(path)).send().await.unwrap()
    }

    /// Sends a new customer.
    pub async fn post(&self, customer: &Value) -> Response {
        self.http.post(self.url("/customers")).json(customer).send().await.unwrap()
    }

    /// Creates a customer; its id.
    pub async fn create(&self, customer: &Value) -> String {
        let created: Value = self.post(customer).await.error_for_status().unwrap().json().await.unwrap();
        text(&created["id"])
    }

    /// A customer, without the id, which must be the one asked for.
    pub async fn read(&self, id: &str) -> Value {
        let answer = self.get(&format!("/customers/{id}")).await.error_for_status().unwrap();
        let mut read: Value = answer.json().await.unwrap();
        let own = read.as_object_mut().unwrap().remove("id").unwrap();
        assert_eq!(text(&own), id);
        read
    }

    /// One field of a customer, or its null.
    pub async fn email(&self, id: &str) -> Value {
        let answer = self.get(&format!("/customers/{id}/email")).await.error_for_status().unwrap();
        answer.json().await.unwrap()
    }

    /// The first page.
    pub async fn list(&self) -> Vec<Listed> {
        let listed: Vec<Value> = self.get("/customers").await.error_for_status().unwrap().json().await.unwrap();
        listed.iter().map(|row| Listed { id: text(&row["id"]), name: text(&row["name"]) }).collect()
    }

    /// Changes a customer's phone, if it is `from`.
    pub async fn change_phone(&self, id: &str, from: &Value, to: &Value) -> StatusCode {
        let put = self.http.put(self.url(&format!("/customers/{id}/phone")));
        put.json(&json!({ "from": from, "to": to })).send().await.unwrap().status()
    }
}

/// The customer of a number.
pub fn customer(i: usize) -> Value {
    json!({
        "name": format!("Person {i}"), "email": format!("person{i}@example.com"), "phone": format!("555-{i}"),
    })
}

/// A string as it is, a number in decimal.
pub fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

//! The databases of the example, as an operator has them; and the version of the service that came before fieldseal.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use axum_example::adopting::{Adopting, Stage};
use axum_example::database::{Database, Postgres, Sqlite};
use axum_example::service;
use fieldseal::Tenant;
use fieldseal::jobs::{IdColumn, TableMap};
use fieldseal::rows::RowSource;
use fieldseal_sqlx::{PostgresRows, SqliteRows};
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool, SqlitePool};

pub(crate) trait Engine: Database {
    /// The type of a customer's id.
    const ID: &str;

    fn id() -> IdColumn;

    /// An id, from the text that clients have it as.
    fn id_of(text: &str) -> Self::Id;

    /// A process of its own.
    async fn connect(&self) -> Self;

    async fn execute(&self, sql: &str);

    async fn count(&self, sql: &str) -> i64;

    /// The table of a map, on connections of its own.
    async fn rows(&self, map: &TableMap) -> Arc<dyn RowSource>;

    async fn add_columns(&self, map: &TableMap) -> Vec<String>;

    /// The service as it was: it knows the plaintext alone.
    fn before(&self) -> Router;

    /// A version of the service that runs during the adoption.
    fn adopting(&self, customers: &Tenant, stage: Stage) -> Router;
}

#[derive(Deserialize)]
struct New {
    name: String,
    email: String,
    phone: Option<String>,
}

#[derive(Deserialize)]
struct Change {
    from: Option<String>,
    to: Option<String>,
}

macro_rules! engine {
    ($engine:ident, $pool:ident, $rows:ident, $id:literal, $id_column:ident) => {
        impl Engine for $engine {
            const ID: &str = $id;

            fn id() -> IdColumn {
                IdColumn::$id_column("id")
            }

            fn id_of(text: &str) -> Self::Id {
                text.parse().unwrap()
            }

            async fn connect(&self) -> Self {
                Self($pool::connect_with($pool::connect_options(&self.0).as_ref().clone()).await.unwrap())
            }

            async fn execute(&self, sql: &str) {
                sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&self.0).await.unwrap();
            }

            async fn count(&self, sql: &str) -> i64 {
                sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&self.0).await.unwrap()
            }

            async fn rows(&self, map: &TableMap) -> Arc<dyn RowSource> {
                Arc::new($rows::new(self.connect().await.0, map.table()).await.unwrap())
            }

            async fn add_columns(&self, map: &TableMap) -> Vec<String> {
                $rows::add_columns(&self.0, map.name(), &map.sealed_columns()).await.unwrap()
            }

            fn before(&self) -> Router {
                type Id = <$engine as Database>::Id;

                async fn create(State(database): State<$engine>, Json(new): Json<New>) -> Json<Value> {
                    let id = database.next_id().await.unwrap();
                    sqlx::query("INSERT INTO customer (id, name, email, phone) VALUES ($1, $2, $3, $4)")
                        .bind(id)
                        .bind(new.name)
                        .bind(new.email)
                        .bind(new.phone)
                        .execute(&database.0)
                        .await
                        .unwrap();
                    Json(json!({ "id": id }))
                }

                async fn list(State(database): State<$engine>) -> Json<Value> {
                    let rows: Vec<(Id, String)> =
                        sqlx::query_as("SELECT id, name FROM customer ORDER BY id LIMIT 50")
                            .fetch_all(&database.0)
                            .await
                            .unwrap();
                    Json(rows.into_iter().map(|(id, name)| json!({ "id": id, "name": name })).collect())
                }

                async fn read(State(database): State<$engine>, Path(id): Path<Id>) -> Json<Value> {
                    let (name, email, phone): (String, String, Option<String>) =
                        sqlx::query_as("SELECT name, email, phone FROM customer WHERE id = $1")
                            .bind(id)
                            .fetch_one(&database.0)
                            .await
                            .unwrap();
                    Json(json!({ "id": id, "name": name, "email": email, "phone": phone }))
                }

                async fn email(State(database): State<$engine>, Path(id): Path<Id>) -> Json<Value> {
                    let email: String = sqlx::query_scalar("SELECT email FROM customer WHERE id = $1")
                        .bind(id)
                        .fetch_one(&database.0)
                        .await
                        .unwrap();
                    Json(json!({ "email": email }))
                }

                async fn change_phone(
                    State(database): State<$engine>,
                    Path(id): Path<Id>,
                    Json(change): Json<Change>,
                ) -> StatusCode {
                    let update = "UPDATE customer SET phone = $3 WHERE id = $1 AND phone IS NOT DISTINCT FROM $2";
                    let update = sqlx::query(update).bind(id).bind(change.from).bind(change.to);
                    match update.execute(&database.0).await.unwrap().rows_affected() {
                        1 => StatusCode::NO_CONTENT,
                        _ => StatusCode::CONFLICT,
                    }
                }

                Router::new()
                    .route("/customers", post(create).get(list))
                    .route("/customers/{id}", get(read))
                    .route("/customers/{id}/email", get(email))
                    .route("/customers/{id}/phone", put(change_phone))
                    .with_state(self.clone())
            }

            fn adopting(&self, customers: &Tenant, stage: Stage) -> Router {
                service::router(customers.clone(), Adopting::new(self.clone(), customers, stage))
            }
        }
    };
}

engine!(Sqlite, SqlitePool, SqliteRows, "BLOB", uuid);
engine!(Postgres, PgPool, PostgresRows, "BIGINT", integer);

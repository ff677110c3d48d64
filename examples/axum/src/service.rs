//! The routes, and which status an error becomes.

use axum::extract::{FromRef, Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use fieldseal::id::ToId;
use fieldseal::{Error, Plain, Record as _, Retry, SubjectKeys, Tenant};
use serde::{Deserialize, Serialize};

use crate::database::{Customer, CustomerPlain, Database};

/// The service over a database.
pub fn router<D: Database>(customers: Tenant, database: D) -> Router {
    Router::new()
        .route("/customers", post(create::<D>).get(list::<D>))
        .route("/customers/{id}", get(read::<D>))
        .route("/customers/{id}/email", get(email::<D>))
        .route("/customers/{id}/phone", put(change_phone::<D>))
        .with_state(App { customers, database })
}

#[derive(Clone)]
struct App<D> {
    customers: Tenant,
    database: D,
}

/// So that a handler takes `State<Tenant>`.
impl<D> FromRef<App<D>> for Tenant {
    fn from_ref(app: &App<D>) -> Self {
        app.customers.clone()
    }
}

/// So that a handler takes `State<Db<D>>`.
#[derive(Clone)]
struct Db<D>(D);

impl<D: Clone> FromRef<App<D>> for Db<D> {
    fn from_ref(app: &App<D>) -> Self {
        Self(app.database.clone())
    }
}

/// What a client sends: personal from the first byte that is parsed.
#[derive(Deserialize)]
struct NewCustomer {
    name: Plain<String>,
    email: Plain<String>,
    phone: Option<Plain<String>>,
}

async fn create<D: Database>(
    State(customers): State<Tenant>,
    State(Db(database)): State<Db<D>>,
    Json(new): Json<NewCustomer>,
) -> Result<Response, ApiError> {
    let id = database.next_id().await?;
    let plain = CustomerPlain { id: id.clone(), name: new.name, email: new.email, phone: new.phone };
    let keys = customers.enroll(&plain).await?;
    database.insert(&Customer::seal(&plain, &keys)?).await?;
    Ok((StatusCode::CREATED, Json(Created { id })).into_response())
}

#[derive(Serialize)]
struct Created<I> {
    id: I,
}

/// What leaves the service says so: `reveal` greps.
#[derive(Serialize)]
struct View<I> {
    id: I,
    #[serde(serialize_with = "fieldseal::reveal")]
    name: Plain<String>,
    #[serde(serialize_with = "fieldseal::reveal")]
    email: Plain<String>,
    #[serde(serialize_with = "fieldseal::reveal")]
    phone: Option<Plain<String>>,
}

async fn read<D: Database>(
    State(customers): State<Tenant>,
    State(Db(database)): State<Db<D>>,
    Path(id): Path<D::Id>,
) -> Result<Json<View<D::Id>>, ApiError> {
    let row = database.select(&id).await?.ok_or(ApiError::NotFound)?;
    let CustomerPlain { id, name, email, phone } = opened(&customers, &id, |keys| row.open(keys)).await?;
    Ok(Json(View { id, name, email, phone }))
}

#[derive(Serialize)]
struct Listed<I> {
    id: I,
    #[serde(serialize_with = "fieldseal::reveal")]
    name: Plain<String>,
}

/// A page of 50: one query, and one read of the key store for whoever isn't cached.
async fn list<D: Database>(
    State(customers): State<Tenant>,
    State(Db(database)): State<Db<D>>,
) -> Result<Json<Vec<Listed<D::Id>>>, ApiError> {
    let rows = database.page(50).await?;
    let page = customers.keys_of(&rows).await?;
    let mut listed = Vec::with_capacity(rows.len());
    for row in rows {
        let name = match page.get(&row).and_then(|keys| keys.open(&row, Customer::NAME)) {
            Ok(name) => name,
            // Sealed a moment ago, under a key that is newer than the page.
            Err(e) if e.retry() == Retry::Now => {
                opened(&customers, &row.id, |keys| keys.open(&row, Customer::NAME)).await?
            }
            Err(Error::SubjectErased { .. } | Error::SubjectClosed { .. } | Error::SubjectUnknown) => continue,
            Err(e) => return Err(e.into()),
        };
        listed.push(Listed { id: row.id, name });
    }
    Ok(Json(listed))
}

#[derive(Serialize)]
struct Email {
    #[serde(serialize_with = "fieldseal::reveal")]
    email: Plain<String>,
}

/// One field: the others are neither opened nor fetched.
async fn email<D: Database>(
    State(customers): State<Tenant>,
    State(Db(database)): State<Db<D>>,
    Path(id): Path<D::Id>,
) -> Result<Json<Email>, ApiError> {
    let sealed = database.select_email(&id).await?.ok_or(ApiError::NotFound)?;
    let open = |keys: &SubjectKeys| keys.record_ref::<Customer<D::Id>>(&id)?.open(Customer::EMAIL, &sealed);
    let email = opened(&customers, &id, open).await?;
    Ok(Json(Email { email }))
}

/// A change that says what it changes: of two at the same time, one is told to look again.
#[derive(Deserialize)]
struct ChangePhone {
    from: Option<Plain<String>>,
    to: Option<Plain<String>>,
}

async fn change_phone<D: Database>(
    State(customers): State<Tenant>,
    State(Db(database)): State<Db<D>>,
    Path(id): Path<D::Id>,
    Json(change): Json<ChangePhone>,
) -> Result<StatusCode, ApiError> {
    let row = database.select(&id).await?.ok_or(ApiError::NotFound)?;
    let phone = opened(&customers, &id, |keys| keys.open(&row, Customer::PHONE)).await?;
    if phone.as_ref().map(Plain::expose) != change.from.as_ref().map(Plain::expose) {
        return Err(ApiError::Conflict);
    }
    let keys = customers.keys(&Customer::<D::Id>::subject_of(&id)?).await?;
    let sealed = keys.record_ref::<Customer<D::Id>>(&id)?.seal(Customer::PHONE, change.to)?;
    match database.swap_phone(&id, row.phone.as_ref(), sealed.as_ref()).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(ApiError::Conflict),
    }
}

/// Opens with the subject's keys. A value that was sealed a moment ago under a newer key needs them read again, once.
async fn opened<I: ToId + Clone + Sync, T: Send>(
    customers: &Tenant,
    id: &I,
    open: impl Fn(&SubjectKeys) -> fieldseal::Result<T> + Send,
) -> Result<T, ApiError> {
    let keys = customers.keys(&Customer::<I>::subject_of(id)?).await?;
    match open(&keys) {
        Err(e) if e.retry() == Retry::Now => {
            let newer = customers.refresh(&keys).await?;
            Ok(open(&newer)?)
        }
        opened => Ok(opened?),
    }
}

/// What a client hears of an error. The log gets the error itself, which holds no personal data.
enum ApiError {
    NotFound,
    Conflict,
    Fieldseal(Error),
    Database(sqlx::Error),
}

impl From<Error> for ApiError {
    fn from(e: Error) -> Self {
        Self::Fieldseal(e)
    }
}

/// An error of fieldseal that came by way of a row is one of fieldseal.
impl From<sqlx::Error> for ApiError {
    fn from(e: sqlx::Error) -> Self {
        match e {
            sqlx::Error::Decode(e) => match e.downcast() {
                Ok(e) => Self::Fieldseal(*e),
                Err(e) => Self::Database(sqlx::Error::Decode(e)),
            },
            e => Self::Database(e),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Conflict => StatusCode::CONFLICT,
            Self::Fieldseal(e) => status_of(e),
            Self::Database(sqlx::Error::PoolTimedOut | sqlx::Error::Io(_)) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Database(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        match &self {
            Self::Fieldseal(e) => eprintln!("{status}: {e}"),
            Self::Database(e) => eprintln!("{status}: {e}"),
            Self::NotFound | Self::Conflict => {}
        }
        let reason = Json(serde_json::json!({ "error": status.canonical_reason() }));
        match status {
            StatusCode::SERVICE_UNAVAILABLE => (status, [(header::RETRY_AFTER, "1")], reason).into_response(),
            _ => (status, reason).into_response(),
        }
    }
}

fn status_of(e: &Error) -> StatusCode {
    match e {
        Error::Field { error, .. } => status_of(error),
        Error::SubjectUnknown => StatusCode::NOT_FOUND,
        Error::SubjectErased { .. } | Error::PurposeErased { .. } | Error::TenantErased { .. } => StatusCode::GONE,
        // For as long as nobody calls it off.
        Error::SubjectClosed { .. } => StatusCode::FORBIDDEN,
        Error::Conflict => StatusCode::CONFLICT,
        Error::InvalidInput(_) => StatusCode::BAD_REQUEST,
        e if e.retry() != Retry::Never => StatusCode::SERVICE_UNAVAILABLE,
        // A value that doesn't open where it stands was tampered with, or misplaced: an operator must look.
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

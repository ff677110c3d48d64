//! A small service that keeps its customers sealed: axum, sqlx, on SQLite or PostgreSQL. `main.rs` runs it.
//!
//! Read [`service`] first: `State<Tenant>`, handlers, and which status an error becomes. [`database`] has the queries, and
//! makes ids: a value is sealed under its row's id, so the id must exist before the row. [`adopting`] is for a table that
//! held its customers in the clear before: what the application does while `docs/jobs.md` is followed. The service is the
//! same.

pub mod adopting;
pub mod database;
pub mod service;

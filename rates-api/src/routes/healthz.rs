//! `GET /healthz`: the process answers. It says nothing of the database, as a restart would not mend that.

use axum::Json;
use serde::Serialize;

#[derive(Serialize)]
pub struct Health {
    status: &'static str,
}

pub async fn get() -> Json<Health> {
    Json(Health { status: "alive" })
}

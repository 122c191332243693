//! `GET /readyz`: whether this process can serve, and if not, why.
//!
//! A caller who likes to wait (`Prefer: wait=SECONDS`) is answered as soon as the database was reached for the first time. So
//! the kubelet, which asks once a second, knows at once.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use http::HeaderMap;
use serde::Serialize;
use tokio::time::sleep;

use crate::problem::{Problem, ProblemType};
use crate::readiness;
use crate::routes::prefer;
use crate::service::Service;

const LONGEST_WAIT: Duration = Duration::from_secs(10);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ready {
    status: &'static str,
    schema_version: i32,
}

pub async fn get(State(service): State<Service>, headers: HeaderMap) -> Result<Json<Ready>, Problem> {
    if let Some(wait) = prefer::wait(&headers) {
        tokio::select! {
            () = service.readiness.reached() => {}
            () = service.drain.begun() => {}
            () = sleep(wait.min(LONGEST_WAIT)) => {}
        }
    }
    match service.readiness.state() {
        readiness::State::Ready(schema_version) => Ok(Json(Ready {
            status: "ready",
            schema_version,
        })),
        readiness::State::Waiting(reason) => Err(not_ready(format!("Waiting for the database: {reason}"))),
        readiness::State::Unservable(reason) => Err(not_ready(format!("Cannot serve: {reason}"))),
    }
}

fn not_ready(detail: String) -> Problem {
    Problem::new(ProblemType::NotReady, detail).retry_after(1)
}

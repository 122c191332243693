//! `GET /readyz`: whether this process can serve, and if not, why.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::problem::{Problem, ProblemType};
use crate::readiness;
use crate::service::Service;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ready {
    status: &'static str,
    schema_version: i32,
}

pub async fn get(State(service): State<Service>) -> Result<Json<Ready>, Problem> {
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

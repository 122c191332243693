//! `GET /readyz`: whether this process can serve, and if not, why.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::problem::Problem;
use crate::readiness;
use crate::router::Service;

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
        readiness::State::Waiting(reason) => Err(Problem::unavailable(
            &format!("Waiting for the database: {reason}"),
            1,
        )),
        readiness::State::Unservable(reason) => {
            Err(Problem::unavailable(&format!("Cannot serve: {reason}"), 1))
        }
    }
}

//! `GET /ports` and `GET /regions`: the codes and slugs that `GET /rates` takes, all of them at once.

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use serde::Serialize;
use tokio::time::Instant;

use super::read_problem::read_problem;
use crate::places::{self, Port, Region};
use crate::problem::Problem;
use crate::representation::Representation;
use crate::service::Service;

#[derive(Serialize)]
struct Ports {
    ports: Vec<Port>,
}

#[derive(Serialize)]
struct Regions {
    regions: Vec<Region>,
}

pub async fn ports(State(service): State<Service>, headers: HeaderMap) -> Result<Response, Problem> {
    let deadline = Instant::now() + service.request_timeout;
    let ports = places::ports(&service.readers, deadline).await;
    let ports = ports.map_err(|error| read_problem(&error))?;
    Ok(Representation::json(&Ports { ports })?.answer_to(&headers))
}

pub async fn regions(State(service): State<Service>, headers: HeaderMap) -> Result<Response, Problem> {
    let deadline = Instant::now() + service.request_timeout;
    let regions = places::regions(&service.readers, deadline).await;
    let regions = regions.map_err(|error| read_problem(&error))?;
    Ok(Representation::json(&Regions { regions })?.answer_to(&headers))
}

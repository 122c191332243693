//! All of them at once: there are some thousands at most.

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use serde::Serialize;
use tokio::time::Instant;
use tokio_postgres::Row;

use crate::problem::Problem;
use crate::readers::Statement;
use crate::representation::Representation;
use crate::router::Service;
use crate::routes::read_problem;

#[derive(Serialize)]
struct Ports {
    ports: Vec<Port>,
}

/// A port, and the region that it is in.
#[derive(Serialize)]
struct Port {
    code: String,
    name: String,
    parent_slug: Option<String>,
}

#[derive(Serialize)]
struct Regions {
    regions: Vec<Region>,
}

/// A region, and the one above it.
#[derive(Serialize)]
struct Region {
    slug: String,
    name: String,
    parent_slug: Option<String>,
}

pub async fn ports(State(service): State<Service>, headers: HeaderMap) -> Result<Response, Problem> {
    let rows = all(&service, Statement::Ports).await?;
    let port = |row: &Row| Port {
        code: row.get(0),
        name: row.get(1),
        parent_slug: row.get(2),
    };
    let ports = Ports {
        ports: rows.iter().map(port).collect(),
    };
    Ok(Representation::json(&ports)?.answer_to(&headers))
}

pub async fn regions(State(service): State<Service>, headers: HeaderMap) -> Result<Response, Problem> {
    let rows = all(&service, Statement::Regions).await?;
    let region = |row: &Row| Region {
        slug: row.get(0),
        name: row.get(1),
        parent_slug: row.get(2),
    };
    let regions = Regions {
        regions: rows.iter().map(region).collect(),
    };
    Ok(Representation::json(&regions)?.answer_to(&headers))
}

async fn all(service: &Service, statement: Statement) -> Result<Vec<Row>, Problem> {
    let deadline = Instant::now() + service.request_timeout;
    let rows = service.readers.query(statement, &[], None, deadline).await;
    rows.map_err(|error| read_problem(&error))
}

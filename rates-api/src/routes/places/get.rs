//! All of them at once: there are some thousands at most.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use tokio::time::Instant;
use tokio_postgres::Row;

use crate::problem::Problem;
use crate::readers::Statement;
use crate::router::Service;
use crate::routes::read_problem;

#[derive(Serialize)]
pub struct Ports {
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
pub struct Regions {
    regions: Vec<Region>,
}

/// A region, and the one above it.
#[derive(Serialize)]
struct Region {
    slug: String,
    name: String,
    parent_slug: Option<String>,
}

pub async fn ports(State(service): State<Service>) -> Result<Json<Ports>, Problem> {
    let rows = all(&service, Statement::Ports).await?;
    let port = |row: &Row| Port {
        code: row.get(0),
        name: row.get(1),
        parent_slug: row.get(2),
    };
    Ok(Json(Ports {
        ports: rows.iter().map(port).collect(),
    }))
}

pub async fn regions(State(service): State<Service>) -> Result<Json<Regions>, Problem> {
    let rows = all(&service, Statement::Regions).await?;
    let region = |row: &Row| Region {
        slug: row.get(0),
        name: row.get(1),
        parent_slug: row.get(2),
    };
    Ok(Json(Regions {
        regions: rows.iter().map(region).collect(),
    }))
}

async fn all(service: &Service, statement: Statement) -> Result<Vec<Row>, Problem> {
    let deadline = Instant::now() + service.request_timeout;
    let rows = service.readers.query(statement, &[], None, deadline).await;
    rows.map_err(|error| read_problem(&error))
}

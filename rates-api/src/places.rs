//! Places: the ports and regions that prices are known by.

use serde::Serialize;
use tokio::time::Instant;

use crate::readers::{ReadError, Readers};

const PORTS: &str = "SELECT code, name, parent_slug FROM public.ports ORDER BY code";
const REGIONS: &str = "SELECT slug, name, parent_slug FROM public.regions ORDER BY slug";

/// What is asked over shared connections.
pub const STATEMENTS: [&str; 2] = [PORTS, REGIONS];

/// A port, and the region that it is in.
#[derive(Serialize)]
pub struct Port {
    code: String,
    name: String,
    parent_slug: Option<String>,
}

/// A region, and the one above it.
#[derive(Serialize)]
pub struct Region {
    slug: String,
    name: String,
    parent_slug: Option<String>,
}

/// All ports, by code: there are some thousands at most.
///
/// # Errors
/// As the database fails.
pub async fn ports(readers: &Readers, deadline: Instant) -> Result<Vec<Port>, ReadError> {
    let rows = readers.query(PORTS, &[], None, deadline).await?;
    let port = |row: &tokio_postgres::Row| Port {
        code: row.get(0),
        name: row.get(1),
        parent_slug: row.get(2),
    };
    Ok(rows.iter().map(port).collect())
}

/// All regions, by slug.
///
/// # Errors
/// As the database fails.
pub async fn regions(readers: &Readers, deadline: Instant) -> Result<Vec<Region>, ReadError> {
    let rows = readers.query(REGIONS, &[], None, deadline).await?;
    let region = |row: &tokio_postgres::Row| Region {
        slug: row.get(0),
        name: row.get(1),
        parent_slug: row.get(2),
    };
    Ok(rows.iter().map(region).collect())
}

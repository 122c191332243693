//! The handler: read the arguments, ask once, answer.

use axum::Json;
use axum::extract::{RawQuery, State};
use tokio::time::Instant;

use super::answer::{Answer, DayTotal};
use super::arguments::{Arguments, Days};
use crate::problem::Problem;
use crate::readers::{ReadError, Statement};
use crate::router::Service;
use crate::routes::read_problem;

pub async fn get(State(service): State<Service>, RawQuery(query): RawQuery) -> Result<Json<Answer>, Problem> {
    let arguments = Arguments::parse(query.as_deref().unwrap_or_default())?;
    let totals = match arguments.days {
        Some(days) => totals(&service, &arguments, days)
            .await
            .map_err(|error| read_problem(&error))?,
        None => Vec::new(),
    };
    Ok(Json(Answer::new(arguments.days, totals)))
}

async fn totals(service: &Service, arguments: &Arguments, days: Days) -> Result<Vec<DayTotal>, ReadError> {
    let deadline = Instant::now() + service.request_timeout;
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
        [&arguments.origin, &arguments.destination, &days.first, &days.last];
    let readers = &service.readers;
    let mut rows = readers.query(Statement::Rates, &parameters, deadline).await?;
    if rows.is_empty() {
        // No prices under these codes: they may be regions.
        rows = readers
            .query(Statement::RatesOfRegions, &parameters, deadline)
            .await?;
    }
    Ok(rows
        .iter()
        .map(|row| DayTotal {
            day: row.get(0),
            total: row.get(1),
            count: row.get(2),
        })
        .collect())
}

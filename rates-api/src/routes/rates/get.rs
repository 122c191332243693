//! The handler: read the arguments, ask once, answer.

use axum::Json;
use axum::extract::{RawQuery, State};
use tokio::time::Instant;

use super::answer::{Answer, DayTotal};
use super::arguments::{Arguments, Days};
use crate::problem::Problem;
use crate::readers::{ReadError, Statement};
use crate::report::chain;
use crate::router::Service;

/// Seconds after which a caller may try again when the database is away.
const RETRY_AFTER: u32 = 2;

pub async fn get(State(service): State<Service>, RawQuery(query): RawQuery) -> Result<Json<Answer>, Problem> {
    let arguments = Arguments::parse(query.as_deref().unwrap_or_default())?;
    let totals = match arguments.days {
        Some(days) => totals(&service, &arguments, days)
            .await
            .map_err(|error| problem(&error))?,
        None => Vec::new(),
    };
    Ok(Json(Answer::new(arguments.days, totals)))
}

async fn totals(service: &Service, arguments: &Arguments, days: Days) -> Result<Vec<DayTotal>, ReadError> {
    let deadline = Instant::now() + service.request_timeout;
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
        [&arguments.origin, &arguments.destination, &days.first, &days.last];
    let rows = service
        .readers
        .query(Statement::Rates, &parameters, deadline)
        .await?;
    Ok(rows
        .iter()
        .map(|row| DayTotal {
            day: row.get(0),
            total: row.get(1),
            count: row.get(2),
        })
        .collect())
}

fn problem(error: &ReadError) -> Problem {
    match error {
        ReadError::Unavailable => {
            tracing::warn!(%error, "a read waited for the database in vain");
            Problem::unavailable("The database cannot be reached at the moment.", RETRY_AFTER)
        }
        ReadError::Refused(_) => {
            tracing::error!(error = chain(error), "a read failed");
            Problem::internal()
        }
    }
}

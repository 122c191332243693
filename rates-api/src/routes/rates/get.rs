//! The handler: read the arguments, ask once, answer.

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use tokio::time::Instant;

use super::answer::{Answer, DayTotal};
use super::arguments::{Arguments, Days};
use super::regions;
use crate::problem::Problem;
use crate::readers::{Position, ReadError, Statement};
use crate::router::Service;
use crate::routes::read_problem;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

pub async fn get(State(service): State<Service>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let query = query.unwrap_or_default();
    let arguments = Arguments::parse(&query)?;
    let deadline = Instant::now() + service.request_timeout;
    let make = async |position: Option<Position>| {
        let totals = match arguments.days {
            Some(days) => totals(&service, &arguments, days, position.as_ref(), deadline).await?,
            None => Vec::new(),
        };
        Ok(Answer::new(arguments.days, totals).into_json())
    };
    let body = service.answers.get(&query, deadline, make).await;
    let body = body.map_err(|error| read_problem(&error))?;
    Ok(([(CONTENT_TYPE, JSON)], body).into_response())
}

async fn totals(
    service: &Service,
    arguments: &Arguments,
    days: Days,
    position: Option<&Position>,
    deadline: Instant,
) -> Result<Vec<DayTotal>, ReadError> {
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
        [&arguments.origin, &arguments.destination, &days.first, &days.last];
    let readers = &service.readers;
    let mut rows = readers
        .query(Statement::Rates, &parameters, position, deadline)
        .await?;
    if rows.is_empty() {
        // No prices under these codes: they may be regions.
        rows = regions::totals(readers, arguments, days, position, deadline).await?;
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

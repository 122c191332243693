//! The handler: read the arguments, ask once, answer.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::HeaderMap;
use tokio::time::Instant;

use super::answer::{Answer, DayTotal};
use super::arguments::{Arguments, Days};
use super::regions;
use crate::problem::Problem;
use crate::readers::{Position, ReadError, Statement};
use crate::representation::{JSON, Representation};
use crate::router::Service;
use crate::routes::read_problem;

pub async fn get(
    State(service): State<Service>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let query = query.unwrap_or_default();
    // What was answered before is valid, and need not be read again to be answered from memory.
    let arguments = if service.answers.know(&query) {
        None
    } else {
        Some(Arguments::parse(&query)?)
    };
    let deadline = Instant::now() + service.request_timeout;
    let make = async |position: Option<&Position>| {
        let arguments = arguments.map_or_else(|| Arguments::parse(&query), Ok)?;
        let totals = match arguments.days {
            Some(days) => totals(&service, &arguments, days, position, deadline)
                .await
                .map_err(|error| read_problem(&error))?,
            None => Vec::new(),
        };
        let content = Answer::new(arguments.days, totals).into_json();
        Ok(Representation::new(JSON, content))
    };
    let answer = service.answers.get(&query, deadline, make).await?;
    Ok(answer.answer_to(&headers))
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

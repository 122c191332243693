//! The handler: read the arguments, ask once, answer.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::HeaderMap;
use tokio::time::Instant;

use super::answer::Answer;
use super::arguments::Arguments;
use crate::problem::Problem;
use crate::rates;
use crate::readers::Position;
use crate::representation::{JSON, Representation};
use crate::routes::read_problem::read_problem;
use crate::service::Service;

pub async fn get(
    State(service): State<Service>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let query = query.unwrap_or_default();
    // What was answered before is valid, and need not be read again to be answered from memory.
    let arguments = if service.response_cache.contains(&query) {
        None
    } else {
        Some(Arguments::parse(&query)?)
    };
    let deadline = Instant::now() + service.request_timeout;
    let make = async |position: Option<&Position>| {
        let arguments = arguments.map_or_else(|| Arguments::parse(&query), Ok)?;
        let totals = match arguments.days {
            Some(days) => rates::totals(&service.readers, &arguments.pair, days, position, deadline)
                .await
                .map_err(|error| read_problem(&error))?,
            None => Vec::new(),
        };
        let content = Answer::new(arguments.days, totals).into_json();
        Ok(Representation::new(JSON, content))
    };
    let response = service.response_cache.get(&query, deadline, make).await?;
    Ok(response.answer_to(&headers))
}

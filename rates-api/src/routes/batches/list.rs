//! `GET /batches`: the newest batches first, a page at a time.

use axum::Json;
use axum::extract::{RawQuery, State};
use serde::Serialize;

use super::answer::BatchAnswer;
use super::problem::of_lookup;
use crate::problem::{FieldError, Problem, ProblemType};
use crate::service::Service;

/// How many batches a page has, unless another number is asked for; and at most.
const PAGE: i64 = 50;
const LARGEST_PAGE: i64 = 500;

#[derive(Serialize)]
pub struct Page {
    batches: Vec<BatchAnswer>,
    /// Where the next page is; none on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

pub async fn get(State(service): State<Service>, RawQuery(query): RawQuery) -> Result<Json<Page>, Problem> {
    let query = query.unwrap_or_default();
    let limit = number(&query, "limit", LARGEST_PAGE)?.unwrap_or(PAGE);
    let below = number(&query, "before", i64::MAX)?;
    // One more tells whether there is a next page.
    let mut batches = service.lookup.list(below, limit + 1).await.map_err(of_lookup)?;
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = batches.len() > wanted;
    batches.truncate(wanted);
    let next = batches
        .last()
        .filter(|_| more)
        .map(|last| format!("/batches?limit={limit}&before={}", last.id));
    Ok(Json(Page {
        batches: batches.into_iter().map(Into::into).collect(),
        next,
    }))
}

/// The first value of a parameter, a whole number from 1 to `largest`.
fn number(query: &str, name: &'static str, largest: i64) -> Result<Option<i64>, Problem> {
    let Some((_, value)) = form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name) else {
        return Ok(None);
    };
    value
        .parse()
        .ok()
        .filter(|number| (1..=largest).contains(number))
        .map(Some)
        .ok_or_else(|| {
            let message = format!("expected a whole number from 1 to {largest}");
            Problem::new(ProblemType::InvalidPage, "Invalid page arguments")
                .of_field(FieldError { field: name, message })
        })
}

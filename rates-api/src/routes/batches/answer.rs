//! A batch as its clients see it.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{LOCATION, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use jiff::Timestamp;
use serde::Serialize;

use crate::batches::{Batch, ErrorCount, Status, ValidationError};
use crate::problem::{Problem, ProblemType};

/// A batch. The id is a text: it names a batch and is not to be counted with.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchAnswer {
    id: String,
    status: &'static str,
    /// Of a batch that is coming in: the rows so far.
    rows: i64,
    /// Of its content, unpacked: `sha256:` and the digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    checksum: Option<String>,
    created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    applied_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<ValidationError>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    error_counts: Vec<ErrorCount>,
}

impl From<Batch> for BatchAnswer {
    fn from(batch: Batch) -> Self {
        let finished = |status| batch.finished_at.filter(|_| batch.status == status);
        let (errors, error_counts) = batch
            .errors
            .filter(|_| batch.status == Status::Rejected)
            .map_or_else(Default::default, |report| (report.errors, report.error_counts));
        Self {
            id: batch.id.to_string(),
            status: match batch.status {
                Status::Receiving => "running",
                Status::Queued => "queued",
                Status::Applied => "applied",
                Status::Rejected | Status::Abandoned => "rejected",
            },
            rows: batch.rows,
            checksum: batch.checksum,
            created_at: batch.created_at,
            applied_at: finished(Status::Applied),
            rejected_at: finished(Status::Rejected),
            errors,
            error_counts,
        }
    }
}

/// The answer to `POST /batches`, the first time and each time that it is sent again.
pub fn of_post(batch: Batch) -> Response {
    let location = format!("/batches/{}", batch.id);
    let status = match (batch.asynchronous, batch.status) {
        (true, Status::Queued | Status::Applied | Status::Rejected) => StatusCode::ACCEPTED,
        (false, Status::Applied) => StatusCode::CREATED,
        (false, Status::Rejected) => return rejected(batch).into_response(),
        (_, status) => {
            tracing::error!(
                batch = batch.id,
                ?status,
                "a batch was answered that is not decided"
            );
            return Problem::internal().into_response();
        }
    };
    let mut response = (status, Json(BatchAnswer::from(batch))).into_response();
    let headers = response.headers_mut();
    if let Ok(location) = HeaderValue::from_str(&location) {
        headers.insert(LOCATION, location);
    }
    if status == StatusCode::ACCEPTED {
        headers.insert("preference-applied", HeaderValue::from_static("respond-async"));
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

fn rejected(batch: Batch) -> Problem {
    let Some(report) = batch.errors else {
        tracing::error!(batch = batch.id, "a batch is rejected, and nothing says why");
        return Problem::internal();
    };
    let listed = match report.errors.len() as u64 {
        listed if listed < report.total() => format!("; the first {listed} are listed"),
        _ => String::new(),
    };
    let total = report.total();
    let detail = format!(
        "{total} fields of the batch's {} rows are wrong{listed}. Nothing was written.",
        batch.rows
    );
    Problem::new(ProblemType::WrongRows, detail)
        .with("errors", &report.errors)
        .with("errorCounts", &report.error_counts)
        .with("rows", &batch.rows)
}

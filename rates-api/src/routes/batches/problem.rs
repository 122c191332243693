//! Why a batch was not taken in, as a problem document.

use http::header::{ACCEPT_ENCODING, LOCATION, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue};
use serde_json::json;

use crate::batches::content::{Format, UnsupportedType};
use crate::batches::decoder::DecodeError;
use crate::batches::tokens::Unauthorized;
use crate::batches::{BatchError, LookupError};
use crate::problem::{Problem, ProblemType};
use crate::report::chain;
use crate::routes::read_problem::{RETRY_AFTER, read_problem};

const WRITTEN: &str = "Nothing was written.";

pub fn of_batch(error: &BatchError) -> Problem {
    match error {
        BatchError::Content(error) => of_content(error),
        // Nobody is there to read it.
        BatchError::Disconnected => Problem::new(ProblemType::IncompleteContent, sentence(error)),
        BatchError::Silent(_) => Problem::new(ProblemType::ContentTimeout, sentence(error)),
        BatchError::InProgress => Problem::new(
            ProblemType::BatchInProgress,
            "A batch with this Idempotency-Key is being taken in; its answer can be had by sending it again later.",
        )
        .retry_after(RETRY_AFTER),
        BatchError::KeyReused => Problem::new(
            ProblemType::IdempotencyKeyReused,
            "This Idempotency-Key was used for a batch with other content; a new batch needs a new key.",
        ),
        BatchError::Busy => {
            Problem::new(ProblemType::TooManyBatches, sentence(error)).retry_after(RETRY_AFTER)
        }
        BatchError::TooLong(_) | BatchError::Stopping | BatchError::PortVanished => {
            Problem::new(ProblemType::BatchInterrupted, sentence(error)).retry_after(RETRY_AFTER)
        }
        BatchError::DatabaseLost(_) => {
            tracing::warn!(error = chain(error), "a batch was interrupted");
            Problem::unavailable(
                &format!("The database cannot be reached at the moment. {WRITTEN}"),
                RETRY_AFTER,
            )
        }
        BatchError::InDoubt { id, .. } => {
            tracing::error!(error = chain(error), "a batch is in doubt");
            let detail = "The database was lost while the batch was being decided: it is applied or not";
            in_doubt(*id, detail)
        }
        BatchError::Unconfirmed { id, .. } => {
            tracing::error!(error = chain(error), "a batch is not confirmed");
            let detail = "The batch is decided, but no standby has confirmed that it has the decision, which may be lost with \
                          the database's server";
            in_doubt(*id, detail)
        }
        BatchError::Failed(_) => {
            tracing::error!(error = chain(error), "a batch failed");
            Problem::internal()
        }
    }
}

fn in_doubt(id: i64, what: &str) -> Problem {
    let detail =
        format!("{what}. /batches/{id} will tell. With an Idempotency-Key the batch can be sent again.");
    let problem = Problem::new(ProblemType::BatchInDoubt, detail).retry_after(RETRY_AFTER);
    match HeaderValue::from_str(&format!("/batches/{id}")) {
        Ok(location) => problem.header(LOCATION, location),
        Err(_) => problem,
    }
}

/// Why batches cannot be looked at.
pub fn of_lookup(error: LookupError) -> Problem {
    match error {
        LookupError::Query(error) => read_problem(&error.into()),
        LookupError::Unconfirmed(error) => {
            tracing::warn!(%error, "the state of a batch is not confirmed");
            Problem::unavailable(
                "No standby of the database has confirmed that it has the batch's decision.",
                RETRY_AFTER,
            )
        }
        LookupError::UnknownStatus(error) => {
            tracing::error!(%error, "a batch cannot be read");
            Problem::internal()
        }
    }
}

fn of_content(error: &DecodeError) -> Problem {
    match error {
        DecodeError::Malformed(malformed) => {
            let errors = json!([{"row": malformed.row, "field": "", "message": malformed.message}]);
            Problem::new(ProblemType::MalformedContent, sentence(malformed)).with("errors", &errors)
        }
        DecodeError::Gzip(_) => Problem::new(ProblemType::MalformedContent, sentence(error)),
        DecodeError::TooManyBytes(_) | DecodeError::TooManyRows(_) => {
            Problem::new(ProblemType::ContentTooLarge, sentence(error))
        }
        DecodeError::Encode(_) | DecodeError::GivenUp => {
            tracing::error!(error = chain(error), "a batch failed");
            Problem::internal()
        }
    }
}

/// The error's own words as a sentence, and that it had no effect.
fn sentence(error: &dyn std::error::Error) -> String {
    let text = error.to_string();
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string());
    format!("{}{}. {WRITTEN}", first.unwrap_or_default(), characters.as_str())
}

/// 401, and how a token is given (RFC 6750, section 3).
pub fn unauthorized(error: &Unauthorized) -> Problem {
    let challenge = match error {
        Unauthorized::Missing => "Bearer realm=\"batches\"",
        Unauthorized::Form => "Bearer realm=\"batches\", error=\"invalid_request\"",
        Unauthorized::Unknown => "Bearer realm=\"batches\", error=\"invalid_token\"",
    };
    Problem::new(ProblemType::Unauthorized, error.to_string())
        .header(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
}

/// 415 for what is neither of the formats.
pub fn unsupported_type(error: &UnsupportedType) -> Problem {
    const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");
    Problem::new(ProblemType::UnsupportedContentType, error.to_string())
        .header(ACCEPT_POST, HeaderValue::from_static(Format::ACCEPTED))
}

/// 415 for another coding (RFC 9110, section 12.5.3).
pub fn unsupported_encoding() -> Problem {
    Problem::new(
        ProblemType::UnsupportedContentEncoding,
        "Content-Encoding has to be gzip, or absent.",
    )
    .header(ACCEPT_ENCODING, HeaderValue::from_static("gzip, identity"))
}

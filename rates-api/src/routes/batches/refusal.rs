//! Why a batch was not taken in, as a problem document.

use http::header::{ACCEPT_ENCODING, LOCATION, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::json;

use crate::batches::Refusal;
use crate::batches::content::Format;
use crate::batches::intake::IntakeError;
use crate::batches::tokens::Unauthorized;
use crate::problem::Problem;
use crate::report::chain;
use crate::routes::RETRY_AFTER;

const WRITTEN: &str = "Nothing was written.";

pub fn of_refusal(refusal: &Refusal) -> Problem {
    match refusal {
        Refusal::Content(error) => of_content(error),
        // Nobody is there to read it.
        Refusal::Disconnected => Problem::new(StatusCode::BAD_REQUEST, sentence(refusal)),
        Refusal::Silent(_) => Problem::new(StatusCode::REQUEST_TIMEOUT, sentence(refusal)),
        Refusal::InProgress => Problem::new(
            StatusCode::CONFLICT,
            "A batch with this Idempotency-Key is being taken in; its answer can be had by sending it again later.",
        )
        .retry_after(RETRY_AFTER),
        Refusal::KeyReused => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "This Idempotency-Key was used for a batch with other content; a new batch needs a new key.",
        ),
        Refusal::Busy | Refusal::TooLong(_) | Refusal::Stopping | Refusal::PortVanished => {
            Problem::unavailable(&sentence(refusal), RETRY_AFTER)
        }
        Refusal::DatabaseLost(_) => {
            tracing::warn!(error = chain(refusal), "a batch was interrupted");
            Problem::unavailable(
                &format!("The database cannot be reached at the moment. {WRITTEN}"),
                RETRY_AFTER,
            )
        }
        Refusal::InDoubt { id, .. } => {
            tracing::error!(error = chain(refusal), "a batch is in doubt");
            let detail = format!(
                "The database was lost while the batch was being decided: it is applied or not, and /batches/{id} will \
                 tell. With an Idempotency-Key it can be sent again."
            );
            let problem = Problem::unavailable(&detail, RETRY_AFTER);
            match HeaderValue::from_str(&format!("/batches/{id}")) {
                Ok(location) => problem.header(LOCATION, location),
                Err(_) => problem,
            }
        }
        Refusal::Failed(_) => {
            tracing::error!(error = chain(refusal), "a batch failed");
            Problem::internal()
        }
    }
}

fn of_content(error: &IntakeError) -> Problem {
    match error {
        IntakeError::Malformed(malformed) => {
            let errors = json!([{"row": malformed.row, "field": "", "message": malformed.message}]);
            Problem::new(StatusCode::BAD_REQUEST, sentence(malformed)).with("errors", &errors)
        }
        IntakeError::Gzip(_) | IntakeError::GzipCut => Problem::new(StatusCode::BAD_REQUEST, sentence(error)),
        IntakeError::TooManyBytes(_) | IntakeError::TooManyRows(_) => {
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, sentence(error))
        }
        IntakeError::Encode(_) | IntakeError::GivenUp => {
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
    Problem::new(StatusCode::UNAUTHORIZED, error.to_string())
        .header(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
}

/// 415 for what is neither of the formats.
pub fn unsupported_type() -> Problem {
    const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");
    Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        format!("Content-Type has to be one of {} in UTF-8.", Format::ACCEPTED),
    )
    .header(ACCEPT_POST, HeaderValue::from_static(Format::ACCEPTED))
}

/// 415 for another coding (RFC 9110, section 12.5.3).
pub fn unsupported_encoding() -> Problem {
    Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "Content-Encoding has to be gzip, or absent.",
    )
    .header(ACCEPT_ENCODING, HeaderValue::from_static("gzip, identity"))
}

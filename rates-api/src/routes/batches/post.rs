//! `POST /batches`: the headers are checked before a byte of the body is read.

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::HeaderMap;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};

use super::{answer, problem};
use crate::batches::content::Format;
use crate::batches::{BatchRequest, key, tokens};
use crate::problem::{FieldError, Problem, ProblemType};
use crate::routes::prefer;
use crate::service::Service;

pub async fn post(
    State(service): State<Service>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let request = request(&service, &headers).await?;
    match service.batches.ingest(request, body, service.usage.begin()).await {
        Ok(batch) => Ok(answer::of_post(batch).into_response()),
        Err(error) => Err(problem::of_batch(&error)),
    }
}

async fn request(service: &Service, headers: &HeaderMap) -> Result<BatchRequest, Problem> {
    let settings = &service.batch_settings;
    let digests = settings.ingest_token_digests_file.as_deref();
    let writer = tokens::authorize(headers.get(AUTHORIZATION), digests)
        .await
        .map_err(|error| problem::unauthorized(&error))?;
    let format = Format::of(headers.get(CONTENT_TYPE)).map_err(|error| problem::unsupported_type(&error))?;
    let gzip = is_gzip(headers).ok_or_else(problem::unsupported_encoding)?;
    let key = key::of(headers).map_err(|message| {
        let error = FieldError {
            field: "Idempotency-Key",
            message: message.to_owned(),
        };
        Problem::new(
            ProblemType::InvalidIdempotencyKey,
            "Invalid header Idempotency-Key",
        )
        .of_field(error)
    })?;
    let length: Option<u64> = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    if length.is_some_and(|length| length > settings.max_batch_bytes) {
        let limit = settings.max_batch_bytes;
        return Err(Problem::new(
            ProblemType::ContentTooLarge,
            format!("The content is larger than {limit} bytes. Nothing was written."),
        ));
    }
    Ok(BatchRequest {
        writer,
        key,
        format,
        gzip,
        asynchronous: prefer::asynchronous(headers),
    })
}

/// Whether the content is packed; none for a coding that is not known.
fn is_gzip(headers: &HeaderMap) -> Option<bool> {
    let mut codings = headers.get_all(CONTENT_ENCODING).iter();
    let gzip = match codings.next() {
        None => false,
        Some(coding) => match coding.to_str().ok()?.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => true,
            "identity" | "" => false,
            _ => return None,
        },
    };
    codings.next().is_none().then_some(gzip)
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(name: &'static str, values: &[&'static str]) -> HeaderMap {
        values
            .iter()
            .map(|value| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn gzip_is_the_only_coding() {
        let is_gzip = |values: &[&'static str]| is_gzip(&headers("content-encoding", values));
        assert_eq!(is_gzip(&[]), Some(false));
        assert_eq!(is_gzip(&["GZip"]), Some(true));
        assert_eq!(is_gzip(&["identity"]), Some(false));
        for values in [&["br"][..], &["gzip, gzip"], &["gzip", "gzip"], &["deflate"]] {
            assert_eq!(is_gzip(values), None, "{values:?}");
        }
    }
}

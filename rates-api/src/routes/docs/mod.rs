//! `GET /docs`: `/openapi.json` as a page to read. It loads nothing and runs nothing, and its policy says so.

mod page;
mod schema;
mod text;

use std::sync::LazyLock;

use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue};
use sha2::{Digest as _, Sha256};

use crate::problem::Problem;
use crate::representation::Representation;
use crate::routes::openapi::DOCUMENT;

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const STYLE: &str = include_str!("style.css");

/// The page; none if the document is not one, which a test excludes.
static PAGE: LazyLock<Option<Representation>> = LazyLock::new(|| {
    let document = serde_json::from_str(DOCUMENT).ok()?;
    Some(Representation::new(
        HTML,
        page::render(&document, STYLE).into_string(),
    ))
});

/// Nothing is allowed but the style that is in the page, known by its digest.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let digest = STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});

pub async fn get(headers: HeaderMap) -> Response {
    let Some(page) = &*PAGE else {
        return Problem::internal().into_response();
    };
    let mut response = page.clone().answer_to(&headers);
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, POLICY.clone());
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

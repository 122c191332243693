//! `GET /openapi.json`: what is served, in the words of `OpenAPI` 3.1. The document is written by hand; tests compare it
//! with the router and with answers.

use http::HeaderValue;
use http::header::CONTENT_TYPE;

pub const DOCUMENT: &str = include_str!("../../openapi.json");

pub async fn get() -> ([(http::HeaderName, HeaderValue); 1], &'static str) {
    (
        [(CONTENT_TYPE, HeaderValue::from_static("application/json"))],
        DOCUMENT,
    )
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn it_has_the_version_of_the_program() {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    }
}

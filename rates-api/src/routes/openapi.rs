//! `GET /openapi.json`: what is served, in the words of `OpenAPI` 3.1. The document is written by hand; tests compare it
//! with the router and with answers.

use std::sync::LazyLock;

use axum::response::Response;
use http::HeaderMap;

use crate::representation::{JSON, Representation};

pub const DOCUMENT: &str = include_str!("../../openapi.json");

static ANSWER: LazyLock<Representation> = LazyLock::new(|| Representation::new(JSON, DOCUMENT));

pub async fn get(headers: HeaderMap) -> Response {
    ANSWER.clone().answer_to(&headers)
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

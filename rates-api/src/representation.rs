//! What a read answers with, and whether its caller has that already (RFC 9110, sections 8.8.3 and 13.1.2).

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::problem::Problem;

pub const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Content with its type and its entity tag. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Representation {
    content_type: HeaderValue,
    content: Bytes,
    tag: HeaderValue,
}

impl Representation {
    /// The tag is strong and made of the content alone: it is the same in every process, and another one for any other
    /// content.
    #[must_use]
    pub fn new(content_type: HeaderValue, content: impl Into<Bytes>) -> Self {
        let content = content.into();
        // Half of the digest: nobody finds two contents with the same 128 bits by chance.
        let tag = URL_SAFE_NO_PAD.encode(&Sha256::digest(&content)[..16]);
        Self {
            content_type,
            content,
            tag: HeaderValue::from_str(&format!("\"{tag}\"")).unwrap_or(HeaderValue::from_static("\"\"")),
        }
    }

    /// As JSON.
    ///
    /// # Errors
    /// When the value is none in JSON, which is a fault of ours.
    pub fn json(value: &impl Serialize) -> Result<Self, Problem> {
        serde_json::to_vec(value)
            .map(|content| Self::new(JSON, content))
            .map_err(|error| {
                tracing::error!(%error, "an answer cannot be written as JSON");
                Problem::internal()
            })
    }

    /// The number of bytes of the content.
    #[must_use]
    pub fn len(&self) -> usize {
        self.content.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.content.is_empty()
    }

    /// The answer to a request with these headers: 304 where it names the tag in `If-None-Match`.
    #[must_use]
    pub fn answer_to(self, request: &HeaderMap) -> Response {
        if !self.is_named_in(request) {
            return self.into_response();
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        let headers = response.headers_mut();
        // Said by nobody, it would be said to be 0 (RFC 9110, section 8.6).
        headers.insert(CONTENT_LENGTH, HeaderValue::from(self.content.len()));
        headers.insert(ETAG, self.tag);
        response
    }

    /// In a list of entity tags nothing but one of them can have ours in it: it has no comma and is in quotes.
    fn is_named_in(&self, request: &HeaderMap) -> bool {
        let tag = self.tag.as_bytes();
        request
            .get_all(IF_NONE_MATCH)
            .iter()
            .map(HeaderValue::as_bytes)
            .any(|list| list.trim_ascii() == b"*" || list.windows(tag.len()).any(|part| part == tag))
    }
}

impl IntoResponse for Representation {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.content));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, self.content_type);
        headers.insert(ETAG, self.tag);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(lists: &[&str]) -> StatusCode {
        let representation = Representation::new(JSON, "{}");
        assert_eq!(representation.tag, "\"RBNvo1WzZ4oRRq0W9-hkng\"");
        let mut headers = HeaderMap::new();
        for list in lists {
            headers.append(IF_NONE_MATCH, HeaderValue::from_str(list).unwrap());
        }
        representation.answer_to(&headers).status()
    }

    #[test]
    fn who_names_the_tag_has_it_already() {
        for lists in [
            &["\"RBNvo1WzZ4oRRq0W9-hkng\""][..],
            &["W/\"RBNvo1WzZ4oRRq0W9-hkng\""],
            &["\"a\", \"b,c\" ,W/\"RBNvo1WzZ4oRRq0W9-hkng\",\"d\""],
            &["\"a\"", "\"RBNvo1WzZ4oRRq0W9-hkng\""],
            &["*"],
            &[" * "],
        ] {
            assert_eq!(status(lists), StatusCode::NOT_MODIFIED, "{lists:?}");
        }
        for lists in [
            &[][..],
            &[""],
            &["\"\""],
            &["RBNvo1WzZ4oRRq0W9-hkng"],
            &["\"RBNvo1WzZ4oRRq0W9-hknh\""],
            &["\"*\""],
            &["\"a\", \"RBNvo1WzZ4oRRq0W9-hkng,b\""],
        ] {
            assert_eq!(status(lists), StatusCode::OK, "{lists:?}");
        }
    }
}

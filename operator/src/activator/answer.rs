//! What the activator answers itself: problem documents (RFC 9457), and a page for browsers that wait.

use axum::body::Body;
use http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use maud::{DOCTYPE, html};
use serde_json::json;

use super::wake::Refusal;

/// After how many seconds a page or a client may ask again.
const SOON: u16 = 1;
const LATER: u16 = 10;

const STYLE: &str =
    "body { font: 1rem/1.5 system-ui, sans-serif; margin: 20vh auto; max-width: 32rem; padding: 0 1rem }";
const POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'");

/// Why a request is answered here and not by the API.
#[derive(Debug, Eq, PartialEq)]
pub enum Problem {
    Refused(Refusal),
    /// No environment has the port.
    Unknown,
    /// Too many requests wait.
    Full,
    /// The API ended the connection before it answered.
    Interrupted,
    Connect,
}

impl Problem {
    /// The word that the metrics have for it.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Refused(Refusal::CannotStart(_)) => "cannot_start",
            Self::Refused(Refusal::Slow(_)) => "slow",
            Self::Refused(Refusal::Deleted) => "deleted",
            Self::Refused(Refusal::Awake) => "awake",
            Self::Unknown => "unknown",
            Self::Full => "full",
            Self::Interrupted => "interrupted",
            Self::Connect => "connect",
        }
    }

    const fn status(&self) -> StatusCode {
        match self {
            Self::Refused(_) | Self::Unknown | Self::Full => StatusCode::SERVICE_UNAVAILABLE,
            Self::Interrupted => StatusCode::BAD_GATEWAY,
            Self::Connect => StatusCode::METHOD_NOT_ALLOWED,
        }
    }

    const fn retry_after(&self) -> Option<u16> {
        match self {
            Self::Refused(Refusal::CannotStart(_) | Refusal::Slow(Some(_))) => Some(LATER),
            Self::Refused(Refusal::Slow(None) | Refusal::Awake) | Self::Unknown | Self::Full => Some(SOON),
            Self::Refused(Refusal::Deleted) | Self::Interrupted | Self::Connect => None,
        }
    }

    pub fn detail(&self) -> String {
        match self {
            Self::Refused(Refusal::CannotStart(reason)) => format!("The environment cannot start: {reason}"),
            Self::Refused(Refusal::Slow(Some(place))) => format!("The environment waits until it may run: {place}"),
            Self::Refused(Refusal::Slow(None)) => {
                "The environment was asleep and is starting; it was not ready in time. Send the request again.".to_owned()
            }
            Self::Refused(Refusal::Deleted) => "The environment was deleted.".to_owned(),
            Self::Refused(Refusal::Awake) => "The environment has just woken. Send the request again.".to_owned(),
            Self::Unknown => "No environment sleeps at this port. If one has just woken, send the request again.".to_owned(),
            Self::Full => "Too many requests wait for environments to wake. Send the request again.".to_owned(),
            Self::Interrupted => {
                "The API ended the connection before it answered. The request may have taken effect.".to_owned()
            }
            Self::Connect => "CONNECT is not served.".to_owned(),
        }
    }

    pub fn response(&self) -> Response<Body> {
        let status = self.status();
        let document = json!({
            "type": "about:blank",
            "title": status.canonical_reason(),
            "status": status.as_u16(),
            "detail": self.detail(),
        });
        let mut response = answer(status, "application/problem+json", document.to_string());
        if let Some(seconds) = self.retry_after() {
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::METHOD_NOT_ALLOWED {
            response
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
        }
        response
    }
}

/// Whether a person looks at the answer: pages are for browsers alone.
pub fn is_for_a_browser<B>(request: &Request<B>) -> bool {
    let accepted = request.headers().get_all(ACCEPT).iter();
    let mut texts = accepted.filter_map(|value| value.to_str().ok());
    *request.method() == Method::GET && texts.any(|text| text.contains("text/html"))
}

/// A page that loads itself again. With the reason, where the environment cannot start.
pub fn page(name: &str, reason: Option<&str>) -> Response<Body> {
    let (title, seconds) = match reason {
        None => (format!("{name} is waking"), SOON),
        Some(_) => (format!("{name} cannot start"), LATER),
    };
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width";
                meta http-equiv="refresh" content=(seconds);
                title { (title) }
                style { (STYLE) }
            }
            body {
                h1 { (title) }
                @match reason {
                    None => p { "It was asleep, and starts now. This page loads itself again until it is there." },
                    Some(reason) => p { (reason) },
                }
            }
        }
    };
    let mut response = answer(
        StatusCode::SERVICE_UNAVAILABLE,
        "text/html; charset=utf-8",
        page.into_string(),
    );
    let headers = response.headers_mut();
    headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    response
}

fn answer(status: StatusCode, kind: &'static str, text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_for_a_get_that_accepts_one() {
        let asks = |method: &str, accept: &str| {
            let request = Request::builder().method(method).header(ACCEPT, accept).body(());
            is_for_a_browser(&request.unwrap())
        };
        assert!(asks("GET", "text/html,application/xhtml+xml,*/*;q=0.8"));
        assert!(!asks("GET", "*/*"), "curl");
        assert!(!asks("GET", "application/json"));
        assert!(!asks("POST", "text/html"));
    }

    #[tokio::test]
    async fn what_a_page_says_cannot_be_markup() {
        let response = page("a", Some("<script>alert(1)</script>"));
        assert_eq!(response.headers()[RETRY_AFTER], "10");
        let bytes = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        assert!(
            text.contains("a cannot start") && !text.contains("<script>"),
            "{text}"
        );
    }
}

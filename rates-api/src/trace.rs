//! `traceparent` (W3C Trace Context, level 1): which trace a request belongs to, and who sent it.
//!
//! It goes into the log, where a line is then found by its trace. Nothing is sent on: the service calls no other.

use http::{HeaderMap, HeaderName};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The trace and the caller's span, both in lower-case hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent<'a> {
    pub trace_id: &'a str,
    pub parent_id: &'a str,
}

/// The trace of a request; none without a header, with more than one, or with one that is not valid.
#[must_use]
pub fn of(headers: &HeaderMap) -> Option<TraceParent<'_>> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then(|| parse(value)).flatten()
}

/// `VERSION-TRACE-PARENT-FLAGS`. Later versions may have more behind a dash, version 00 has not, and ff is none.
fn parse(text: &str) -> Option<TraceParent<'_>> {
    let mut parts = text.splitn(5, '-');
    let version = digits(parts.next()?, 2).filter(|version| *version != "ff")?;
    let trace_id = digits(parts.next()?, 32).filter(|id| is_some_id(id))?;
    let parent_id = digits(parts.next()?, 16).filter(|id| is_some_id(id))?;
    digits(parts.next()?, 2)?;
    (parts.next().is_none() || version != "00").then_some(TraceParent { trace_id, parent_id })
}

fn digits(text: &str, length: usize) -> Option<&str> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (text.len() == length && text.bytes().all(is_digit)).then_some(text)
}

/// An id of zeros alone is none.
fn is_some_id(id: &str) -> bool {
    id.bytes().any(|digit| digit != b'0')
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const PARENT: &str = "00f067aa0ba902b7";

    #[test]
    fn a_valid_header_has_a_trace_and_a_parent() {
        let expected = Some(TraceParent {
            trace_id: TRACE,
            parent_id: PARENT,
        });
        for (version, rest) in [
            ("00", "01"),
            ("00", "00"),
            ("cc", "01"),
            ("cc", "01-what-the-future"),
        ] {
            assert_eq!(parse(&format!("{version}-{TRACE}-{PARENT}-{rest}")), expected);
        }
    }

    #[test]
    fn what_is_not_valid_is_ignored() {
        let zeros = "0".repeat(32);
        for text in [
            String::new(),
            format!("ff-{TRACE}-{PARENT}-01"),
            format!("0-{TRACE}-{PARENT}-01"),
            format!("00-{TRACE}-{PARENT}"),
            format!("00-{TRACE}-{PARENT}-1"),
            format!("00-{TRACE}-{PARENT}-01-"),
            format!("00-{TRACE}-{PARENT}-01-more"),
            format!("cc-{TRACE}-{PARENT}-01.more"),
            format!("00-{zeros}-{PARENT}-01"),
            format!("00-{TRACE}-{}-01", &zeros[..16]),
            format!("00-{}-{PARENT}-01", TRACE.to_uppercase()),
            format!("00-{}-{PARENT}-01", &TRACE[1..]),
            format!("00-{TRACE}-{PARENT}-0g"),
            format!(" 00-{TRACE}-{PARENT}-01"),
        ] {
            assert_eq!(parse(&text), None, "{text}");
        }
    }

    #[test]
    fn two_headers_are_none() {
        let value = HeaderValue::from_str(&format!("00-{TRACE}-{PARENT}-01")).unwrap();
        let mut headers = HeaderMap::new();
        headers.append(TRACEPARENT, value.clone());
        assert!(of(&headers).is_some());
        headers.append(TRACEPARENT, value);
        assert_eq!(of(&headers), None);
    }
}

//! The path of a request in its normal form (RFC 3986, section 6.2.2): what is equivalent is one path.

use axum::body::Body;
use http::uri::PathAndQuery;
use http::{Request, Uri};

/// The request with its path in normal form; one that has no other form stays as it is.
pub fn in_normal_form(mut request: Request<Body>) -> Request<Body> {
    if let Some(uri) = normal_uri(request.uri()) {
        *request.uri_mut() = uri;
    }
    request
}

fn normal_uri(uri: &Uri) -> Option<Uri> {
    let path = normal(uri.path())?;
    let path_and_query = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(path_and_query).ok()?);
    Uri::from_parts(parts).ok()
}

/// None of a path that is in normal form already, as nearly all are.
fn normal(path: &str) -> Option<String> {
    if !path.starts_with('/') || !(path.starts_with("//") || path.contains('%') || path.contains("/.")) {
        return None;
    }
    let decoded = decode_unreserved(path);
    let segments = without_dots(&decoded);
    // Not of the RFC but of the original service: slashes in front are one.
    Some(format!("/{}", segments.trim_start_matches('/')))
}

/// Letters, digits and `-._~` are the same when they are percent-encoded; of all other octets that are, the digits are in
/// upper case.
fn decode_unreserved(path: &str) -> String {
    let mut parts = path.split('%');
    let mut decoded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let octet = part
            .get(..2)
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match octet {
            Some(octet) if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) => {
                decoded.push(char::from(octet));
                decoded.push_str(&part[2..]);
            }
            Some(_) => {
                decoded.push('%');
                decoded.push_str(&part[..2].to_ascii_uppercase());
                decoded.push_str(&part[2..]);
            }
            None => {
                decoded.push('%');
                decoded.push_str(part);
            }
        }
    }
    decoded
}

/// Without the segments `.` and `..`, and what the latter go back over (section 5.2.4).
fn without_dots(path: &str) -> String {
    let mut segments = Vec::new();
    let mut parts = path.split('/').peekable();
    while let Some(part) = parts.next() {
        let dots = matches!(part, "." | "..");
        if part == ".." {
            segments.pop();
        }
        if !dots {
            segments.push(part);
        } else if parts.peek().is_none() {
            segments.push("");
        }
    }
    segments.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equivalent_paths_have_one_normal_form() {
        for path in [
            "//rates",
            "///rates",
            "/r%61tes",
            "/%72%61%74%65%73",
            "/./rates",
            "/.//rates",
            "/x/../rates",
            "/../rates",
            "/%2e/rates",
            "/x/%2E%2e/rates",
        ] {
            assert_eq!(normal(path).as_deref(), Some("/rates"), "{path}");
        }
        for (path, expected) in [
            ("/rates/.", "/rates/"),
            ("/rates/x/..", "/rates/"),
            ("/rates//", "/rates//"),
            ("/rates%2f", "/rates%2F"),
            ("/%ff", "/%FF"),
            ("/rates%", "/rates%"),
            ("/rates%4", "/rates%4"),
            ("/rates%+1", "/rates%+1"),
            ("/batches/%31", "/batches/1"),
            ("//", "/"),
            ("/..", "/"),
        ] {
            assert_eq!(normal(path).as_deref().unwrap_or(path), expected, "{path}");
        }
    }

    #[test]
    fn other_paths_stay_as_they_are() {
        for path in ["/", "/rates", "/RATES", "/rates/", "/rates//", "/a.b", "*", ""] {
            assert_eq!(normal(path), None, "{path}");
        }
    }

    #[test]
    fn the_query_and_the_authority_stay_as_they_are() {
        let uri = Uri::from_static("http://host:80//r%61tes?a=%61&b=//./");
        assert_eq!(
            normal_uri(&uri).unwrap(),
            Uri::from_static("http://host:80/rates?a=%61&b=//./")
        );
    }
}

//! `Idempotency-Key`: a name that a client gives a batch, so that sending it again is safe
//! (draft-ietf-httpapi-idempotency-key-header-07).

use http::{HeaderMap, HeaderName};

pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The longest key, in characters.
const MAX_LENGTH: usize = 255;

/// The key of a request.
///
/// The draft's form is a string of RFC 8941, `"8e03978e"`; many clients send it without quotes, and that is the same key.
///
/// # Errors
/// What is wrong with it, and what would be accepted.
pub fn of(headers: &HeaderMap) -> Result<Option<String>, &'static str> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err("is given more than once");
    }
    let text = value
        .to_str()
        .map_err(|_| "has characters other than printable ASCII")?
        .trim();
    let key = match text.strip_prefix('"') {
        Some(rest) => unquote(rest).ok_or("is not a string such as \"8e03978e-40d5\"")?,
        None => text.to_owned(),
    };
    if key.is_empty() || key.len() > MAX_LENGTH {
        return Err("has to have 1 to 255 characters");
    }
    Ok(Some(key))
}

/// The content of a quoted string after its first quote (RFC 8941, section 3.3.3).
fn unquote(text: &str) -> Option<String> {
    let mut content = String::new();
    let mut characters = text.chars();
    loop {
        match characters.next()? {
            '"' => return characters.as_str().is_empty().then_some(content),
            '\\' => match characters.next()? {
                escaped @ ('"' | '\\') => content.push(escaped),
                _ => return None,
            },
            plain => content.push(plain),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(values: &[&'static str]) -> Result<Option<String>, &'static str> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(IDEMPOTENCY_KEY, HeaderValue::from_static(value));
        }
        of(&headers)
    }

    #[test]
    fn a_key_is_a_string_with_or_without_quotes() {
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&["\"8e03-97\""]), Ok(Some("8e03-97".to_owned())));
        assert_eq!(read(&[" 8e03-97 "]), Ok(Some("8e03-97".to_owned())));
        assert_eq!(read(&[r#""a \"b\" \\ c""#]), Ok(Some(r#"a "b" \ c"#.to_owned())));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for value in ["", "\"\"", "\"a", "\"a\" b", "\"a\\b\"", "\"a\";p=1"] {
            assert!(read(&[value]).is_err(), "{value}");
        }
        assert!(read(&["a", "b"]).is_err());
        assert!(read(&[Box::leak("x".repeat(256).into_boxed_str())]).is_err());
    }
}

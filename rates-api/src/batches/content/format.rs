//! The media types that a batch may have.

use http::HeaderValue;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// An array of rows, or an object whose member `prices` is one (RFC 8259).
    Json,
    /// A row a line.
    Ndjson,
    /// A header line with the four names in any order, then a row a line (RFC 4180).
    Csv,
}

impl Format {
    /// What a refusal lists.
    pub const ACCEPTED: &str = "application/json, application/x-ndjson, text/csv";

    /// The format of a `Content-Type`. The only character set is UTF-8, which need not be named; of `text/csv`
    /// the parameter `header` has to be `present` where it is given (RFC 4180, section 3).
    #[must_use]
    pub fn of(content_type: Option<&HeaderValue>) -> Option<Self> {
        let text = content_type?.to_str().ok()?;
        let mut parts = text.split(';').map(str::trim);
        let format = match parts.next()?.to_ascii_lowercase().as_str() {
            "application/json" => Self::Json,
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Self::Ndjson,
            "text/csv" => Self::Csv,
            _ => return None,
        };
        let allowed = |parameter: &str| {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let value = value.trim_matches('"');
            match name.to_ascii_lowercase().as_str() {
                "charset" => value.eq_ignore_ascii_case("utf-8") || value.eq_ignore_ascii_case("us-ascii"),
                "header" => format == Self::Csv && value.eq_ignore_ascii_case("present"),
                "" => true,
                _ => false,
            }
        };
        parts.all(allowed).then_some(format)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &'static str) -> Option<Format> {
        Format::of(Some(&HeaderValue::from_static(text)))
    }

    #[test]
    fn media_types_are_case_insensitive_and_may_say_what_holds_anyway() {
        assert_eq!(of("Application/JSON; charset=UTF-8"), Some(Format::Json));
        assert_eq!(of("application/x-ndjson"), Some(Format::Ndjson));
        assert_eq!(
            of("text/csv;header=present; charset=\"utf-8\""),
            Some(Format::Csv)
        );
    }

    #[test]
    fn other_types_and_character_sets_are_none_of_them() {
        for text in [
            "",
            "text/plain",
            "application/json; charset=latin1",
            "text/csv; header=absent",
            "multipart/form-data; boundary=x",
            "application/json, text/csv",
        ] {
            assert_eq!(of(text), None, "{text}");
        }
        assert_eq!(Format::of(None), None);
    }
}

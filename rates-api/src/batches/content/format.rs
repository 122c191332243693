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

/// Why a `Content-Type` is none of a batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnsupportedType {
    #[error("Content-Type has to be one of {} in UTF-8.", Format::ACCEPTED)]
    Type,
    #[error(
        "Content-Type has the parameter `{0}`, which is not known for this type; charset=utf-8 may be given, and \
         header=present with text/csv."
    )]
    Parameter(String),
}

impl Format {
    /// What a refusal lists.
    pub const ACCEPTED: &str = "application/json, application/x-ndjson, text/csv";

    /// The format of a `Content-Type`. The only character set is UTF-8, which need not be named; of `text/csv`
    /// the parameter `header` has to be `present` where it is given (RFC 4180, section 3).
    ///
    /// # Errors
    /// When the type is none of ours, or has a parameter that would change what the content means.
    pub fn of(content_type: Option<&HeaderValue>) -> Result<Self, UnsupportedType> {
        let text = content_type
            .and_then(|value| value.to_str().ok())
            .ok_or(UnsupportedType::Type)?;
        let (media_type, parameters) = text.split_once(';').unwrap_or((text, ""));
        let format = match media_type.trim().to_ascii_lowercase().as_str() {
            "application/json" => Self::Json,
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Self::Ndjson,
            "text/csv" => Self::Csv,
            _ => return Err(UnsupportedType::Type),
        };
        match parameters
            .split(';')
            .map(str::trim)
            .find(|parameter| !format.allows(parameter))
        {
            None => Ok(format),
            Some(parameter) => Err(UnsupportedType::Parameter(parameter.chars().take(50).collect())),
        }
    }

    fn allows(self, parameter: &str) -> bool {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let value = value.trim_matches('"');
        match name.to_ascii_lowercase().as_str() {
            "charset" => value.eq_ignore_ascii_case("utf-8") || value.eq_ignore_ascii_case("us-ascii"),
            "header" => self == Self::Csv && value.eq_ignore_ascii_case("present"),
            "" => value.is_empty(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &'static str) -> Result<Format, UnsupportedType> {
        Format::of(Some(&HeaderValue::from_static(text)))
    }

    #[test]
    fn media_types_are_case_insensitive_and_may_say_what_holds_anyway() {
        assert_eq!(of("Application/JSON; charset=UTF-8"), Ok(Format::Json));
        assert_eq!(of("application/x-ndjson;"), Ok(Format::Ndjson));
        assert_eq!(of("text/csv;header=present; charset=\"utf-8\""), Ok(Format::Csv));
    }

    #[test]
    fn other_types_are_none_of_them() {
        for text in [
            "",
            "text/plain",
            "multipart/form-data; boundary=x",
            "application/json, text/csv",
        ] {
            assert_eq!(of(text), Err(UnsupportedType::Type), "{text}");
        }
        assert_eq!(Format::of(None), Err(UnsupportedType::Type));
    }

    #[test]
    fn a_parameter_that_is_not_known_is_named() {
        for (text, parameter) in [
            ("application/json; version=1", "version=1"),
            ("application/json; charset=utf-8; version=1", "version=1"),
            ("application/json; charset=latin1", "charset=latin1"),
            ("application/json; header=present", "header=present"),
            ("text/csv; header=absent", "header=absent"),
            ("text/csv; =1", "=1"),
        ] {
            assert_eq!(
                of(text),
                Err(UnsupportedType::Parameter(parameter.to_owned())),
                "{text}"
            );
        }
    }
}

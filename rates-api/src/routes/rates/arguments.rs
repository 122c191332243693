//! The arguments of `GET /rates`, as the original service read them.

use jiff::civil::Date;

use crate::day;
use crate::problem::{FieldError, Problem, ProblemType};
use crate::rates::{Days, MAX_DAYS, Pair, TooManyDays};

/// A valid question: the pair, and the days from the last to the first.
#[derive(Debug, PartialEq, Eq)]
pub struct Arguments {
    pub pair: Pair,
    /// None for a reversed range: it has no days.
    pub days: Option<Days>,
}

impl Arguments {
    /// Reads the query string: dates before codes, of a repeated parameter the first.
    ///
    /// # Errors
    /// 400 with the original's words, and what is wrong in which parameter.
    pub fn parse(query: &str) -> Result<Self, Problem> {
        let [first, last, origin, destination] =
            values(query, ["date_from", "date_to", "orig_code", "dest_code"]);
        let first = parse_day("date_from", first.as_deref())?;
        let last = parse_day("date_to", last.as_deref())?;
        let days = Days::between(first, last).map_err(|TooManyDays(length)| {
            let message = format!("the range has {length} days; at most {MAX_DAYS} are answered at once");
            invalid_dates("date_to", message)
        })?;
        let pair = Pair {
            origin: code("orig_code", origin)?,
            destination: code("dest_code", destination)?,
        };
        Ok(Self { pair, days })
    }
}

/// The first value of each name. Bytes that are not UTF-8 are replaced, which makes a code unknown and a date none.
fn values<const N: usize>(query: &str, names: [&str; N]) -> [Option<String>; N] {
    let mut values = [const { None }; N];
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if let Some(index) = names.iter().position(|wanted| *wanted == name) {
            values[index].get_or_insert_with(|| value.into_owned());
        }
    }
    values
}

fn parse_day(field: &'static str, text: Option<&str>) -> Result<Date, Problem> {
    let text =
        text.ok_or_else(|| invalid_dates(field, "is missing; expected a day such as 2021-01-31".to_owned()))?;
    day::parse(text)
        .ok_or_else(|| invalid_dates(field, "is not a day; expected one such as 2021-01-31".to_owned()))
}

fn invalid_dates(field: &'static str, message: String) -> Problem {
    Problem::new(ProblemType::InvalidDates, "Invalid date arguments").of_field(FieldError { field, message })
}

/// Any text but the empty one is a code; PostgreSQL has no text with NUL.
fn code(field: &'static str, text: Option<String>) -> Result<String, Problem> {
    let invalid = |message: &str| {
        Problem::new(ProblemType::InvalidLocations, "Invalid location arguments").of_field(FieldError {
            field,
            message: message.to_owned(),
        })
    };
    match text {
        None => Err(invalid("is missing; expected a port's code such as CNGGZ")),
        Some(text) if text.is_empty() => Err(invalid("is empty; expected a port's code such as CNGGZ")),
        Some(text) if text.contains('\0') => Err(invalid(
            "has a NUL character; expected a port's code such as CNGGZ",
        )),
        Some(text) => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAIR: &str = "orig_code=AAAAA&dest_code=BBBBB";

    fn parse(query: &str) -> Result<Arguments, String> {
        Arguments::parse(query).map_err(|problem| {
            serde_json::to_value(problem).unwrap()["detail"]
                .as_str()
                .unwrap()
                .to_owned()
        })
    }

    fn days(query: &str) -> Vec<String> {
        let arguments = parse(&format!("{query}&{PAIR}")).unwrap();
        arguments.days.map_or_else(Vec::new, |days| {
            days.newest_first().map(|day| day.to_string()).collect()
        })
    }

    #[test]
    fn a_range_has_both_ends_and_is_newest_first() {
        assert_eq!(
            days("date_from=2021-02-27&date_to=2021-3-1"),
            ["2021-03-01", "2021-02-28", "2021-02-27"]
        );
        assert_eq!(days("date_from=2021-01-01&date_to=2021-01-01"), ["2021-01-01"]);
        assert_eq!(
            days("date_from=0001-01-01&date_to=0001-01-02"),
            ["0001-01-02", "0001-01-01"]
        );
        assert_eq!(
            days("date_from=9999-12-30&date_to=9999-12-31"),
            ["9999-12-31", "9999-12-30"]
        );
    }

    #[test]
    fn a_reversed_range_has_no_days_however_far() {
        assert!(days("date_from=2021-01-02&date_to=2021-01-01").is_empty());
        assert!(days("date_from=9999-12-31&date_to=0001-01-01").is_empty());
    }

    #[test]
    fn ten_years_are_answered_and_more_than_3660_days_are_not() {
        // 2011-01-01 and 3,660 days later, both included.
        assert_eq!(days("date_from=2011-01-01&date_to=2021-01-07").len(), 3660);
        for query in [
            "date_from=2011-01-01&date_to=2021-01-08",
            "date_from=0001-01-01&date_to=9999-12-31",
        ] {
            assert_eq!(
                parse(&format!("{query}&{PAIR}")),
                Err("Invalid date arguments".to_owned())
            );
        }
    }

    #[test]
    fn dates_are_checked_before_codes() {
        for query in [
            "",
            "orig_code=&dest_code=",
            "date_from=2021-01-01",
            "date_from=x&date_to=2021-01-01",
        ] {
            assert_eq!(parse(query), Err("Invalid date arguments".to_owned()), "{query}");
        }
    }

    #[test]
    fn a_missing_or_empty_code_is_an_error_and_an_odd_one_is_a_code() {
        let dates = "date_from=2021-01-01&date_to=2021-01-01";
        for codes in [
            "",
            "&orig_code=A",
            "&dest_code=A",
            "&orig_code=&dest_code=A",
            "&orig_code=A&dest_code=",
            "&orig_code=A%00&dest_code=B",
            "&Orig_code=A&dest_code=B",
        ] {
            assert_eq!(
                parse(&format!("{dates}{codes}")),
                Err("Invalid location arguments".to_owned()),
                "{codes}"
            );
        }
        let arguments = parse(&format!("{dates}&orig_code=%27;--+%C3%A4&dest_code=%FF")).unwrap();
        assert_eq!(
            (
                arguments.pair.origin.as_str(),
                arguments.pair.destination.as_str()
            ),
            ("';-- ä", "\u{fffd}")
        );
    }

    #[test]
    fn of_a_repeated_parameter_the_first_counts_and_unknown_ones_are_ignored() {
        let query = "date_from=2021-01-02&date_from=x&date_to=2021-01-02&date_to=&a=b&a&=&orig_code=A&orig_code=&dest_code=B&dest_code=C";
        let arguments = parse(query).unwrap();
        assert_eq!(
            (
                arguments.pair.origin.as_str(),
                arguments.pair.destination.as_str()
            ),
            ("A", "B")
        );
        assert_eq!(
            parse("date_from=&date_from=2021-01-01&date_to=2021-01-01"),
            Err("Invalid date arguments".to_owned())
        );
    }

    #[test]
    fn names_and_values_may_be_percent_encoded_and_a_plus_is_a_blank() {
        let arguments =
            parse("%64ate_from=2021%2D01-01&date_to=2021-01-01&orig_code=%41+%2B&dest_code=%4").unwrap();
        assert_eq!(
            (
                arguments.pair.origin.as_str(),
                arguments.pair.destination.as_str()
            ),
            ("A +", "%4")
        );
        assert_eq!(
            parse(&format!("date_from=+2021-01-01&date_to=2021-01-01&{PAIR}")),
            Err("Invalid date arguments".to_owned())
        );
    }
}

//! One row: four fields, each with what may be wrong with it.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::price::price;

/// What takes the rows that were read.
pub trait Rows {
    /// A row that has its four fields.
    fn row(&mut self, row: Row<'_>);
    /// A row that lacks some of them, or has others.
    fn wrong(&mut self, reasons: &[(Field, Reason)]);
    /// The number of rows so far.
    fn count(&self) -> u64;
}

/// A row as it was read. The codes, the day and the price may be anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row<'a> {
    pub origin: &'a str,
    pub destination: &'a str,
    pub day: &'a str,
    pub price: &'a str,
}

/// The fields of a row, in the order in which they are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    Row,
    Origin,
    Destination,
    Day,
    Price,
}

impl Field {
    pub const NAMED: [Self; 4] = [Self::Origin, Self::Destination, Self::Day, Self::Price];

    /// Its name in a batch; empty for the row as a whole.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Row => "",
            Self::Origin => "orig_code",
            Self::Destination => "dest_code",
            Self::Day => "day",
            Self::Price => "price",
        }
    }
}

/// What is wrong with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    Missing,
    NotText,
    UnknownPort,
    NotADay,
    NotAPrice,
    NotARow,
    UnknownField,
    RepeatedField,
    NumberOfFields,
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Missing => "is missing",
            Self::NotText => "is not a string",
            Self::UnknownPort => "is not the code of a known port",
            Self::NotADay => "is not a day; expected one such as 2021-01-31",
            Self::NotAPrice => "is not a price; expected a whole number from 1 to 2147483647",
            Self::NotARow => "is not a row; expected an object with orig_code, dest_code, day and price",
            Self::UnknownField => {
                "has a field of another name; a row has orig_code, dest_code, day and price"
            }
            Self::RepeatedField => "has a field twice",
            Self::NumberOfFields => "has not as many fields as the header line",
        })
    }
}

/// A row as a JSON object, for the common case.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Object<'a> {
    #[serde(borrow)]
    orig_code: Cow<'a, str>,
    #[serde(borrow)]
    dest_code: Cow<'a, str>,
    #[serde(borrow)]
    day: Cow<'a, str>,
    /// Its text: a number of floating point would have lost digits.
    #[serde(borrow)]
    price: &'a RawValue,
}

impl Object<'_> {
    fn price_is_a_number(&self) -> bool {
        self.price
            .get()
            .starts_with(|first: char| first == '-' || first.is_ascii_digit())
    }
}

/// Reads a row from a JSON value.
///
/// # Errors
/// When it is not JSON at all.
pub fn read_json(text: &[u8], rows: &mut impl Rows) -> Result<(), serde_json::Error> {
    match serde_json::from_slice::<Object<'_>>(text) {
        Ok(object) if object.price_is_a_number() => rows.row(Row {
            origin: &object.orig_code,
            destination: &object.dest_code,
            day: &object.day,
            price: object.price.get(),
        }),
        Err(error) if !error.is_data() => return Err(error),
        // Something is wrong with the values: find out what, field by field.
        Ok(_) | Err(_) => match serde_json::from_slice(text)? {
            Value::Object(object) => rows.wrong(&complaints(&object)),
            _ => rows.wrong(&[(Field::Row, Reason::NotARow)]),
        },
    }
    Ok(())
}

fn complaints(object: &Map<String, Value>) -> Vec<(Field, Reason)> {
    let mut complaints = Vec::new();
    for field in Field::NAMED {
        let reason = match (object.get(field.name()), field) {
            (None | Some(Value::Null), _) => Some(Reason::Missing),
            (Some(Value::Number(number)), Field::Price) => {
                price(&number.to_string()).is_none().then_some(Reason::NotAPrice)
            }
            (Some(_), Field::Price) => Some(Reason::NotAPrice),
            (Some(Value::String(_)), _) => None,
            (Some(_), _) => Some(Reason::NotText),
        };
        complaints.extend(reason.map(|reason| (field, reason)));
    }
    let known = |name: &String| Field::NAMED.iter().any(|field| field.name() == name);
    if !object.keys().all(known) {
        complaints.push((Field::Row, Reason::UnknownField));
    }
    if complaints.is_empty() {
        complaints.push((Field::Row, Reason::RepeatedField));
    }
    complaints
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Rows as text, for comparison.
    #[derive(Default)]
    pub struct Seen(pub Vec<String>);

    impl Rows for Seen {
        fn row(&mut self, row: Row<'_>) {
            self.0
                .push([row.origin, row.destination, row.day, row.price].join("|"));
        }

        fn wrong(&mut self, reasons: &[(Field, Reason)]) {
            let reasons: Vec<String> = reasons
                .iter()
                .map(|(field, reason)| format!("{} {reason:?}", field.name()))
                .collect();
            self.0.push(format!("wrong: {}", reasons.join(", ")));
        }

        fn count(&self) -> u64 {
            self.0.len() as u64
        }
    }

    fn read(text: &str) -> String {
        let mut seen = Seen::default();
        match read_json(text.as_bytes(), &mut seen) {
            Ok(()) => seen.0.join(";"),
            Err(error) => format!("malformed: {error}"),
        }
    }

    #[test]
    fn a_row_has_its_fields_in_any_order_and_with_any_escapes() {
        assert_eq!(
            read(r#"{"price":7,"day":"2021-01-01","dest_code":"\u0041B","orig_code":"';--"}"#),
            "';--|AB|2021-01-01|7"
        );
    }

    #[test]
    fn everything_that_is_wrong_with_a_row_is_said() {
        assert_eq!(
            read(r#"{"orig_code":1,"day":null,"price":1.5,"note":""}"#),
            "wrong: orig_code NotText, dest_code Missing, day Missing, price NotAPrice,  UnknownField"
        );
        assert_eq!(
            read(r#"{"orig_code":"A","orig_code":"B","dest_code":"B","day":"x","price":1}"#),
            "wrong:  RepeatedField"
        );
        for text in ["1", "null", "[]", "\"x\""] {
            assert_eq!(read(text), "wrong:  NotARow", "{text}");
        }
        for price in ["\"7\"", "true", "[7]", "{}"] {
            let text = format!(r#"{{"orig_code":"A","dest_code":"B","day":"2021-01-01","price":{price}}}"#);
            assert_eq!(read(&text), "wrong: price NotAPrice", "{text}");
        }
    }

    #[test]
    fn what_is_no_json_is_malformed() {
        for text in ["{", "{\"a\"}", "nul", "{} {}", "\u{1}", "[1,]"] {
            assert!(read(text).starts_with("malformed"), "{text}: {}", read(text));
        }
    }
}

//! From the bytes of a batch to its rows, as they come in: nothing is kept but the piece of a row that is cut off.

mod csv;
mod format;
mod json;
mod malformed;
mod ndjson;
mod price;
mod quotes;
mod row;
mod signature;

pub use format::{Format, UnsupportedType};
pub use malformed::Malformed;
pub use price::price;
pub use row::{Field, Reason, Row, Rows};

use csv::Csv;
use json::Json;
use ndjson::Ndjson;

/// Divides content into rows, whatever pieces it comes in.
pub struct Content {
    /// The first bytes, until there are enough to see what they are.
    beginning: Option<Vec<u8>>,
    divider: Divider,
}

enum Divider {
    Json(Json),
    Ndjson(Ndjson),
    Csv(Box<Csv>),
}

impl Content {
    #[must_use]
    pub fn new(format: Format) -> Self {
        Self {
            beginning: Some(Vec::new()),
            divider: match format {
                Format::Json => Divider::Json(Json::default()),
                Format::Ndjson => Divider::Ndjson(Ndjson::default()),
                Format::Csv => Divider::Csv(Box::default()),
            },
        }
    }

    /// Takes the next piece; the rows that end in it are given to `rows`.
    ///
    /// # Errors
    /// When it cannot be divided into rows. Rows with wrong values are not an error here.
    pub fn push(&mut self, piece: &[u8], rows: &mut impl Rows) -> Result<(), Malformed> {
        match &mut self.beginning {
            None => self.divider.push(piece, rows),
            Some(beginning) => {
                beginning.extend_from_slice(piece);
                if beginning.len() < signature::BYTES {
                    return Ok(());
                }
                self.begin(rows)
            }
        }
    }

    /// The content is complete.
    ///
    /// # Errors
    /// When it ends in the middle.
    pub fn finish(&mut self, rows: &mut impl Rows) -> Result<(), Malformed> {
        self.begin(rows)?;
        self.divider.finish(rows)
    }

    fn begin(&mut self, rows: &mut impl Rows) -> Result<(), Malformed> {
        match self.beginning.take() {
            None => Ok(()),
            Some(beginning) => self.divider.push(signature::text(&beginning)?, rows),
        }
    }
}

impl Divider {
    fn push(&mut self, piece: &[u8], rows: &mut impl Rows) -> Result<(), Malformed> {
        match self {
            Self::Json(json) => json.push(piece, rows),
            Self::Ndjson(ndjson) => ndjson.push(piece, rows),
            Self::Csv(csv) => csv.push(piece, rows),
        }
    }

    fn finish(&mut self, rows: &mut impl Rows) -> Result<(), Malformed> {
        match self {
            Self::Json(json) => json.finish(),
            Self::Ndjson(ndjson) => ndjson.finish(rows),
            Self::Csv(csv) => csv.finish(rows),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::row::tests::Seen;
    use super::*;

    #[test]
    fn a_byte_order_mark_is_skipped_in_every_format_however_it_is_cut() {
        let row = "{\"orig_code\":\"A\",\"dest_code\":\"B\",\"day\":\"d\",\"price\":1}";
        for (format, text) in [
            (Format::Json, format!("\u{feff}[{row}]")),
            (Format::Ndjson, format!("\u{feff}{row}")),
            (
                Format::Csv,
                "\u{feff}orig_code,dest_code,day,price\nA,B,d,1".to_owned(),
            ),
        ] {
            for size in 1..8 {
                let (mut content, mut seen) = (Content::new(format), Seen::default());
                for piece in text.as_bytes().chunks(size) {
                    content.push(piece, &mut seen).unwrap();
                }
                content.finish(&mut seen).unwrap();
                assert_eq!(seen.0, ["A|B|d|1"], "{format:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn content_that_is_cut_anywhere_has_no_row_that_the_whole_has_not() {
        let row = "{\"orig_code\":\"A\",\"dest_code\":\"B\",\"day\":\"d\",\"price\":1154}";
        for (format, text) in [
            (Format::Json, format!("[{row},{row}]")),
            (Format::Json, format!("{{\"prices\":[{row},{row}]}}")),
            (Format::Ndjson, format!("{row}\n{row}")),
            (
                Format::Csv,
                "orig_code,dest_code,day,price\n\"A\",\"B\",\"d\",\"1154\"\n\"A\",\"B\",\"d\",\"1154\""
                    .to_owned(),
            ),
        ] {
            for length in 0..text.len() {
                let (mut content, mut seen) = (Content::new(format), Seen::default());
                let pushed = content.push(&text.as_bytes()[..length], &mut seen);
                let read = pushed.and_then(|()| content.finish(&mut seen));
                // A row without a price, or with fewer fields, is refused later.
                let whole =
                    |row: &String| row == "A|B|d|1154" || row == "A|B|d|" || row.starts_with("wrong: ");
                assert!(
                    read.is_err() || (format != Format::Json && seen.0.iter().all(whole)),
                    "{format:?} cut after {length} bytes: {:?}",
                    seen.0
                );
            }
        }
    }
}

//! Where quotes stand in CSV. `csv-core` makes some sense of any text; RFC 4180 does not, and a price whose quotes are
//! wrong may be half a price.

use super::malformed::Malformed;

/// Follows the quotes of a text that comes in pieces.
#[derive(Debug, Default)]
pub struct Quotes {
    place: Place,
    /// The line in which the last quoted field begins.
    opened: u64,
}

/// What the last byte was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Place {
    /// The end of a field or record, or none.
    #[default]
    Between,
    Plain,
    Quoted,
    /// A quote in a quoted field: its end, or the first of two that stand for one.
    Quote,
}

impl Quotes {
    /// Takes the next bytes, which begin in the given line of the content and row of the batch.
    ///
    /// # Errors
    /// When a quote stands where none may.
    pub fn follow(&mut self, bytes: &[u8], mut line: u64, row: u64) -> Result<(), Malformed> {
        if matches!(self.place, Place::Between | Place::Plain) && !bytes.contains(&b'"') {
            match bytes.last() {
                None => {}
                Some(b',' | b'\n' | b'\r') => self.place = Place::Between,
                Some(_) => self.place = Place::Plain,
            }
            return Ok(());
        }
        for byte in bytes {
            self.place = match (self.place, byte) {
                (Place::Quoted, b'"') => Place::Quote,
                (Place::Quoted, _) | (Place::Quote, b'"') => Place::Quoted,
                (Place::Between, b'"') => {
                    self.opened = line;
                    Place::Quoted
                }
                (Place::Plain, b'"') => {
                    let message = format!(
                        "line {line} has a quote within a field that does not begin with one; expected the whole field \
                         in quotes, and each quote in it twice (RFC 4180)"
                    );
                    return Err(Malformed::new(Some(row), message));
                }
                (_, b',' | b'\n' | b'\r') => Place::Between,
                (Place::Quote, _) => {
                    let message = format!(
                        "line {line} has text behind a closing quote; expected a comma or the end of the line (RFC 4180)"
                    );
                    return Err(Malformed::new(Some(row), message));
                }
                (Place::Between | Place::Plain, _) => Place::Plain,
            };
            line += u64::from(*byte == b'\n');
        }
        Ok(())
    }

    /// What is wrong if nothing more comes, or too much came: that a quote is open.
    pub fn open(&self, row: u64) -> Option<Malformed> {
        (self.place == Place::Quoted).then(|| {
            let message = format!(
                "the quote that opens a field in line {} is not closed; expected a quote at the end of the field \
                 (RFC 4180)",
                self.opened
            );
            Malformed::new(Some(row), message)
        })
    }
}

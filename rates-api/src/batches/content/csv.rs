//! Comma-separated values with a header line (RFC 4180): the four names in any order.

use csv_core::{ReadRecordResult, Reader};

use super::malformed::{MAX_ROW_BYTES, Malformed};
use super::quotes::Quotes;
use super::row::{Field, Reason, Row, Rows};

const FIELDS: usize = Field::NAMED.len();
/// Field ends that are kept of a record: one more than there should be tells that there are too many.
const MAX_ENDS: usize = FIELDS + 1;

pub struct Csv {
    reader: Reader,
    quotes: Quotes,
    /// The fields of the record so far, one after the other, and where each ends.
    output: Vec<u8>,
    written: usize,
    ends: [usize; MAX_ENDS],
    ended: usize,
    /// The record has more fields than are kept.
    too_many: bool,
    /// Which column holds which field; none before the header line.
    columns: Option<[usize; FIELDS]>,
}

impl Default for Csv {
    fn default() -> Self {
        Self {
            reader: Reader::new(),
            quotes: Quotes::default(),
            output: vec![0; MAX_ROW_BYTES],
            written: 0,
            ends: [0; MAX_ENDS],
            ended: 0,
            too_many: false,
            columns: None,
        }
    }
}

impl Csv {
    pub fn push(&mut self, mut piece: &[u8], rows: &mut impl Rows) -> Result<(), Malformed> {
        while !piece.is_empty() {
            piece = &piece[self.read(piece, rows)?..];
        }
        Ok(())
    }

    pub fn finish(&mut self, rows: &mut impl Rows) -> Result<(), Malformed> {
        if let Some(open) = self.quotes.open(rows.count() + 1) {
            return Err(open);
        }
        // To the reader an empty input is the end; a last line need not end.
        self.read(&[], rows)?;
        match self.columns {
            Some(_) => Ok(()),
            None => Err(wrong_header("the content has no header line")),
        }
    }

    /// Reads to the end of a record or of the input; gives the bytes that were taken.
    fn read(&mut self, input: &[u8], rows: &mut impl Rows) -> Result<usize, Malformed> {
        let (line, row) = (self.reader.line(), rows.count() + 1);
        let (result, taken, written, ended) = self.reader.read_record(
            input,
            &mut self.output[self.written..],
            &mut self.ends[self.ended..],
        );
        self.quotes.follow(&input[..taken], line, row)?;
        self.written += written;
        self.ended += ended;
        match result {
            ReadRecordResult::InputEmpty | ReadRecordResult::End => {}
            ReadRecordResult::OutputFull => {
                return Err(self.quotes.open(row).unwrap_or_else(|| Malformed::too_long(row)));
            }
            ReadRecordResult::OutputEndsFull => {
                self.too_many = true;
                self.ended = 0;
            }
            ReadRecordResult::Record => {
                self.record(rows)?;
                (self.written, self.ended, self.too_many) = (0, 0, false);
            }
        }
        Ok(taken)
    }

    fn record(&mut self, rows: &mut impl Rows) -> Result<(), Malformed> {
        let Some(columns) = self.columns else {
            self.columns = Some(self.header()?);
            return Ok(());
        };
        if self.too_many || self.ended != FIELDS {
            rows.wrong(&[(Field::Row, Reason::NumberOfFields)]);
            return Ok(());
        }
        let [origin, destination, day, price] = columns.map(|column| self.field(column));
        // One check for the common case.
        if let (Ok(origin), Ok(destination), Ok(day), Ok(price)) = (origin, destination, day, price) {
            rows.row(Row {
                origin,
                destination,
                day,
                price,
            });
        } else {
            let not_text: Vec<_> = Field::NAMED
                .into_iter()
                .zip([origin, destination, day, price])
                .filter(|(_, text)| text.is_err())
                .map(|(field, _)| (field, Reason::NotText))
                .collect();
            rows.wrong(&not_text);
        }
        Ok(())
    }

    fn field(&self, column: usize) -> Result<&str, std::str::Utf8Error> {
        let start = column.checked_sub(1).map_or(0, |before| self.ends[before]);
        std::str::from_utf8(&self.output[start..self.ends[column]])
    }

    fn header(&self) -> Result<[usize; FIELDS], Malformed> {
        if self.too_many {
            return Err(wrong_header("the header line has too many names"));
        }
        let mut columns = [None; FIELDS];
        for column in 0..self.ended {
            let name = self
                .field(column)
                .map_err(|_| wrong_header("the header line has a name that is not UTF-8"))?;
            let index = Field::NAMED.iter().position(|field| field.name() == name);
            match index.map(|index| &mut columns[index]) {
                Some(place @ None) => *place = Some(column),
                Some(Some(_)) => return Err(wrong_header(&format!("the header line has {name} twice"))),
                None => {
                    let name: String = name.chars().take(50).collect();
                    return Err(wrong_header(&format!(
                        "the header line has an unknown name {name:?}"
                    )));
                }
            }
        }
        match columns {
            [Some(origin), Some(destination), Some(day), Some(price)] => {
                Ok([origin, destination, day, price])
            }
            _ => Err(wrong_header("the header line lacks a name")),
        }
    }
}

fn wrong_header(what: &str) -> Malformed {
    Malformed::new(
        None,
        format!("{what}; expected a first line with orig_code,dest_code,day,price in any order"),
    )
}

#[cfg(test)]
mod tests {
    use super::super::row::tests::Seen;
    use super::*;

    fn read_in_pieces(text: &[u8], size: usize) -> Result<Vec<String>, Malformed> {
        let (mut csv, mut seen) = (Csv::default(), Seen::default());
        for piece in text.chunks(size) {
            csv.push(piece, &mut seen)?;
        }
        csv.finish(&mut seen)?;
        Ok(seen.0)
    }

    fn read(text: impl AsRef<[u8]>) -> Result<Vec<String>, Malformed> {
        let text = text.as_ref();
        let whole = read_in_pieces(text, text.len().max(1));
        for size in [1, 2, 3, 5, 17] {
            assert_eq!(read_in_pieces(text, size), whole, "{text:?} in pieces of {size}");
        }
        whole
    }

    #[test]
    fn columns_are_found_by_their_names() {
        let rows = ["A,x|B|2021-01-01|7", "C||d|x"];
        assert_eq!(
            read("price,day,dest_code,orig_code\r\n7,2021-01-01,B,\"A,x\"\r\nx,d,,C").unwrap(),
            rows
        );
        assert_eq!(
            read("orig_code,dest_code,day,price\n\"A,x\",B,2021-01-01,7\n\nC,,d,x\n").unwrap(),
            rows
        );
        assert_eq!(
            read("orig_code,dest_code,day,price").unwrap(),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_record_with_other_fields_than_the_header_is_wrong() {
        assert_eq!(
            read("orig_code,dest_code,day,price\nA,B,d\nA,B,d,1,\n1,2,3,4,5,6,7,8,9\nA,B,d,1").unwrap(),
            [
                "wrong:  NumberOfFields",
                "wrong:  NumberOfFields",
                "wrong:  NumberOfFields",
                "A|B|d|1"
            ]
        );
        assert_eq!(
            read(b"orig_code,dest_code,day,price\nA,\xff,d,1\n").unwrap(),
            ["wrong: dest_code NotText"]
        );
    }

    #[test]
    fn fields_in_quotes_may_have_quotes_commas_and_line_ends() {
        assert_eq!(
            read("\"orig_code\",dest_code,\"day\",price\r\n\"a\"\"b\",\"\",\"1\r\n2\",\"7\"\r\n,\"\"\"\",,8")
                .unwrap(),
            ["a\"b||1\r\n2|7", "|\"||8"]
        );
    }

    #[test]
    fn quotes_that_rfc_4180_does_not_have_are_refused_with_their_line() {
        const OPEN: &str = "is not closed";
        const BEHIND: &str = "has text behind a closing quote";
        const WITHIN: &str = "has a quote within a field that does not begin with one";
        let header = "orig_code,dest_code,day,price\n";
        for (text, row, line, what) in [
            ("A,B,d,\"1154\"\nA,B,d,\"11", 2, 3, OPEN),
            ("A,B,d,\"1154\nA,B,d,2\n", 1, 2, OPEN),
            ("A,B,d,\"", 1, 2, OPEN),
            ("A,\"x\ny\",d,\"1\n2", 1, 3, OPEN),
            ("A,B,d,\"11\"54\n", 1, 2, BEHIND),
            ("A,B,d,\"11\" \n", 1, 2, BEHIND),
            ("\n\nA,\"x\ny\",d,\"11\"5", 1, 5, BEHIND),
            ("A,B,d,11\"54\"\n", 1, 2, WITHIN),
            ("A,B,d,1\nA,B,d, \"1\"\n", 2, 3, WITHIN),
            ("A,B,d,1154\"\n", 1, 2, WITHIN),
        ] {
            let error = read(format!("{header}{text}")).unwrap_err();
            assert_eq!(error.row, Some(row), "{text}: {error}");
            assert!(
                error.message.contains(&format!("line {line} ")),
                "{text}: {error}"
            );
            assert!(error.message.contains(what), "{text}: {error}");
        }
        let error = read("orig_code,\"dest_code,day,price\n").unwrap_err();
        assert!(error.message.contains("line 1 "), "{error}");
    }

    #[test]
    fn a_wrong_header_is_refused_with_what_is_expected() {
        for (text, message) in [
            ("", "the content has no header line"),
            ("\n\n", "the content has no header line"),
            ("A,B,2021-01-01,7\n", "the header line has an unknown name \"A\""),
            ("orig_code,dest_code,day\n", "the header line lacks a name"),
            (
                "orig_code,orig_code,day,price\n",
                "the header line has orig_code twice",
            ),
            (
                "Orig_code,dest_code,day,price\n",
                "the header line has an unknown name",
            ),
            ("orig_code,dest_code,day,price,price\n", "the header line has"),
            ("a,b,c,d,e,f,g,h\n", "the header line has too many names"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.message.starts_with(message), "{text}: {error}");
            assert!(error.message.contains("expected"), "{text}: {error}");
        }
    }

    #[test]
    fn an_endless_field_is_refused_before_it_fills_the_memory() {
        let text = format!("orig_code,dest_code,day,price\n{}", "x".repeat(20_000));
        assert_eq!(
            read(&text).unwrap_err().message,
            "row 1 is longer than 16384 bytes"
        );
        let text = format!("orig_code,dest_code,day,price\n\"{}", "x\n".repeat(20_000));
        let open = "the quote that opens a field in line 2 is not closed";
        let error = read(&text).unwrap_err();
        assert!(error.message.starts_with(open), "{error}");
    }
}

//! A JSON value a line. Empty lines are skipped, and the last line need not end.

use super::malformed::{MAX_ROW_BYTES, Malformed};
use super::row::{Rows, read_json};

#[derive(Default)]
pub struct Ndjson {
    /// The beginning of a line whose end has not come yet.
    partial: Vec<u8>,
}

impl Ndjson {
    pub fn push(&mut self, mut piece: &[u8], rows: &mut impl Rows) -> Result<(), Malformed> {
        while let Some(end) = piece.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = (&piece[..end], &piece[end + 1..]);
            if self.partial.is_empty() {
                read(line, rows)?;
            } else {
                self.partial.extend_from_slice(line);
                read(&self.partial, rows)?;
                self.partial.clear();
            }
            piece = rest;
        }
        if self.partial.len() + piece.len() > MAX_ROW_BYTES {
            return Err(Malformed::too_long(rows.count() + 1));
        }
        self.partial.extend_from_slice(piece);
        Ok(())
    }

    pub fn finish(&mut self, rows: &mut impl Rows) -> Result<(), Malformed> {
        read(&std::mem::take(&mut self.partial), rows)
    }
}

fn read(line: &[u8], rows: &mut impl Rows) -> Result<(), Malformed> {
    let line = line.trim_ascii();
    if line.is_empty() {
        return Ok(());
    }
    let row = rows.count() + 1;
    if line.len() > MAX_ROW_BYTES {
        return Err(Malformed::too_long(row));
    }
    read_json(line, rows)
        .map_err(|error| Malformed::new(Some(row), format!("row {row} is not a JSON value: {error}")))
}

#[cfg(test)]
mod tests {
    use super::super::row::tests::Seen;
    use super::*;

    const TEXT: &str = "{\"orig_code\":\"A\",\"dest_code\":\"B\",\"day\":\"2021-01-01\",\"price\":1}\r\n\n  \n7\n{\"orig_code\":\"Ä\",\"dest_code\":\"B\",\"day\":\"d\",\"price\":2}";

    #[test]
    fn lines_are_rows_however_the_content_is_cut() {
        for size in [1, 2, 3, 7, 50, 1000] {
            let (mut ndjson, mut seen) = (Ndjson::default(), Seen::default());
            for piece in TEXT.as_bytes().chunks(size) {
                ndjson.push(piece, &mut seen).unwrap();
            }
            ndjson.finish(&mut seen).unwrap();
            assert_eq!(
                seen.0,
                ["A|B|2021-01-01|1", "wrong:  NotARow", "Ä|B|d|2"],
                "pieces of {size}"
            );
        }
    }

    #[test]
    fn a_line_that_is_no_json_is_named_by_its_row() {
        let (mut ndjson, mut seen) = (Ndjson::default(), Seen::default());
        let error = ndjson.push(b"1\n{\n", &mut seen).unwrap_err();
        assert_eq!(error.row, Some(2));
        assert!(
            error.message.starts_with("row 2 is not a JSON value: "),
            "{error}"
        );
    }

    #[test]
    fn an_endless_line_is_refused_before_it_fills_the_memory() {
        let (mut ndjson, mut seen) = (Ndjson::default(), Seen::default());
        let error = (0..100)
            .find_map(|_| ndjson.push(&[b' '; 1000], &mut seen).err())
            .unwrap();
        assert_eq!(error.message, "row 1 is longer than 16384 bytes");
        assert!(ndjson.partial.len() <= MAX_ROW_BYTES);
    }
}

//! An array of rows, or an object whose only member `prices` is one.
//!
//! `serde_json` reads a whole text or none of it, so this finds where each element of the array ends, and `serde_json`
//! reads the element. What is not JSON within an element is found there; what is not JSON between them, here.

use serde::Deserialize;

use super::malformed::{MAX_ROW_BYTES, Malformed};
use super::row::{Rows, read_json};

/// What may come before the array: enough for `{"prices":`, escapes and white space.
const MAX_PREFIX_BYTES: usize = 1024;

pub struct Json {
    state: State,
    /// The beginning of an element (or of what comes before the array) whose end has not come yet.
    partial: Vec<u8>,
    /// The array is in an object, which has to end too.
    in_object: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the array.
    Before,
    /// After `[`: an element or `]`.
    First,
    /// In an element.
    Element(Scan),
    /// After the array.
    After,
    End,
}

/// Where in an element we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Scan {
    depth: u32,
    in_string: bool,
    escaped: bool,
}

impl Default for Json {
    fn default() -> Self {
        Self {
            state: State::Before,
            partial: Vec::new(),
            in_object: false,
        }
    }
}

/// What comes before the array, with the array made empty.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Prefix {
    #[serde(rename = "prices")]
    _prices: [(); 0],
}

impl Json {
    pub fn push(&mut self, mut piece: &[u8], rows: &mut impl Rows) -> Result<(), Malformed> {
        while !piece.is_empty() {
            piece = match self.state {
                State::Before => self.before(piece)?,
                State::First => self.first(piece),
                State::Element(scan) => self.element(scan, piece, rows)?,
                State::After | State::End => self.after(piece)?,
            };
        }
        Ok(())
    }

    pub fn finish(&mut self) -> Result<(), Malformed> {
        match self.state {
            State::End => Ok(()),
            State::After if !self.in_object => Ok(()),
            State::Before => Err(not_an_array()),
            _ => Err(Malformed::new(
                None,
                "the content ends before the JSON text is complete",
            )),
        }
    }

    fn before<'a>(&mut self, piece: &'a [u8]) -> Result<&'a [u8], Malformed> {
        let bracket = piece.iter().position(|byte| *byte == b'[');
        let (prefix, rest) = piece.split_at(bracket.unwrap_or(piece.len()));
        if self.partial.len() + prefix.len() > MAX_PREFIX_BYTES {
            return Err(not_an_array());
        }
        self.partial.extend_from_slice(prefix);
        // A text of another kind is known by its first character, and need not be read any further.
        if !matches!(self.partial.trim_ascii_start().first(), None | Some(b'{')) {
            return Err(not_an_array());
        }
        let Some(rest) = rest.strip_prefix(b"[") else {
            return Ok(rest);
        };
        let mut prefix = std::mem::take(&mut self.partial);
        self.in_object = !prefix.trim_ascii().is_empty();
        if self.in_object {
            prefix.extend_from_slice(b"[]}");
            serde_json::from_slice::<Prefix>(&prefix).map_err(|_| not_an_array())?;
        }
        self.state = State::First;
        Ok(rest)
    }

    fn first<'a>(&mut self, piece: &'a [u8]) -> &'a [u8] {
        let piece = piece.trim_ascii_start();
        match piece.first() {
            None => {}
            Some(b']') => {
                self.state = State::After;
                return &piece[1..];
            }
            Some(_) => self.state = State::Element(Scan::default()),
        }
        piece
    }

    /// Reads on to the end of the element, or of the piece.
    fn element<'a>(
        &mut self,
        mut scan: Scan,
        piece: &'a [u8],
        rows: &mut impl Rows,
    ) -> Result<&'a [u8], Malformed> {
        let end = piece.iter().position(|byte| scan.ends_at(*byte));
        let (text, rest) = piece.split_at(end.unwrap_or(piece.len()));
        let row = rows.count() + 1;
        if self.partial.len() + text.len() > MAX_ROW_BYTES {
            return Err(Malformed::too_long(row));
        }
        let Some(end) = rest.first() else {
            self.partial.extend_from_slice(text);
            self.state = State::Element(scan);
            return Ok(rest);
        };
        let read = if self.partial.is_empty() {
            read_json(text, rows)
        } else {
            self.partial.extend_from_slice(text);
            let read = read_json(&self.partial, rows);
            self.partial.clear();
            read
        };
        read.map_err(|error| Malformed::new(Some(row), format!("row {row} is not a JSON value: {error}")))?;
        self.state = match end {
            b',' => State::Element(Scan::default()),
            _ => State::After,
        };
        Ok(&rest[1..])
    }

    fn after<'a>(&mut self, piece: &'a [u8]) -> Result<&'a [u8], Malformed> {
        let piece = piece.trim_ascii_start();
        match piece.first() {
            None => Ok(piece),
            Some(b'}') if self.in_object && self.state == State::After => {
                self.state = State::End;
                Ok(&piece[1..])
            }
            Some(_) if self.in_object && self.state == State::After => Err(Malformed::new(
                None,
                "after the array only `}` is expected: an object has no member but \"prices\"",
            )),
            Some(_) => Err(Malformed::new(None, "something follows the end of the JSON text")),
        }
    }
}

fn not_an_array() -> Malformed {
    Malformed::new(
        None,
        "expected a JSON array of rows, or an object whose only member \"prices\" is one",
    )
}

impl Scan {
    /// Takes a byte; true for the comma or bracket after the element.
    fn ends_at(&mut self, byte: u8) -> bool {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return false;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b',' | b']' if self.depth == 0 => return true,
            // Unbalanced brackets are for serde_json to find.
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::super::row::tests::Seen;
    use super::*;

    fn read_in_pieces(text: &str, size: usize) -> Result<Vec<String>, Malformed> {
        let (mut json, mut seen) = (Json::default(), Seen::default());
        for piece in text.as_bytes().chunks(size) {
            json.push(piece, &mut seen)?;
        }
        json.finish()?;
        Ok(seen.0)
    }

    /// What is read is the same however the content is cut.
    fn read(text: &str) -> Result<Vec<String>, Malformed> {
        let whole = read_in_pieces(text, text.len().max(1));
        for size in [1, 2, 3, 5, 17] {
            assert_eq!(read_in_pieces(text, size), whole, "{text} in pieces of {size}");
        }
        whole
    }

    const ROW: &str = r#"{"orig_code":"A]","dest_code":"B\"},","day":"d","price":1}"#;
    const READ: &str = "A]|B\"},|d|1";

    #[test]
    fn an_array_and_an_object_with_one_are_read() {
        for text in [
            format!("[{ROW},{ROW}]"),
            format!(" \n[ {ROW} ,\t{ROW} ] \r\n"),
            format!("{{\"prices\":[{ROW},{ROW}]}}"),
            format!(" {{ \"pr\\u0069ces\" : [ {ROW} , {ROW} ] }} "),
        ] {
            assert_eq!(read(&text).unwrap(), [READ, READ], "{text}");
        }
        assert_eq!(read("[]").unwrap(), Vec::<String>::new());
        assert_eq!(read(" { \"prices\" : [ ] } ").unwrap(), Vec::<String>::new());
    }

    #[test]
    fn elements_of_other_kinds_are_wrong_rows() {
        assert_eq!(
            read("[1,[2,[3]],null,{\"price\":{\"a\":[]}}]").unwrap(),
            [
                "wrong:  NotARow",
                "wrong:  NotARow",
                "wrong:  NotARow",
                "wrong: orig_code Missing, dest_code Missing, day Missing, price NotAPrice"
            ]
        );
    }

    #[test]
    fn a_text_of_another_kind_is_refused_with_what_is_expected() {
        for text in [
            "",
            " ",
            "1",
            "\"[\"",
            "null",
            "{}",
            "{\"a\":[]}",
            "{\"prices\":1}",
            "{\"prices\":{\"a\":[]}}",
            "{\"a\":1,\"prices\":[]}",
        ] {
            let error = read(text).unwrap_err();
            assert!(
                error.message.starts_with("expected a JSON array of rows"),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn what_is_no_json_is_refused_with_its_place() {
        for (text, message) in [
            ("[1,]", "row 2 is not a JSON value"),
            ("[,1]", "row 1 is not a JSON value"),
            ("[1 2]", "row 1 is not a JSON value"),
            ("[1,{]", "the content ends before"),
            ("[1,{]}]", "row 2 is not a JSON value"),
            ("[\"a]", "the content ends before"),
            ("[1", "the content ends before"),
            ("[", "the content ends before"),
            ("{\"prices\":[1]", "the content ends before"),
            ("[1]]", "something follows"),
            ("[1],", "something follows"),
            ("{\"prices\":[]}}", "something follows"),
            ("{\"prices\":[],\"a\":1}", "after the array only"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.message.starts_with(message), "{text}: {error}");
        }
    }

    #[test]
    fn an_endless_element_is_refused_before_it_fills_the_memory() {
        let (mut json, mut seen) = (Json::default(), Seen::default());
        json.push(b"[\"", &mut seen).unwrap();
        let error = (0..100)
            .find_map(|_| json.push(&[b'x'; 1000], &mut seen).err())
            .unwrap();
        assert_eq!(error.message, "row 1 is longer than 16384 bytes");
        let error = (0..100)
            .scan(Json::default(), |json, _| {
                Some(json.push(&[b' '; 1000], &mut seen))
            })
            .find_map(Result::err)
            .unwrap();
        assert_eq!(error, not_an_array());
    }
}

//! The same prices in each format in which they are sent.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::data::{Prices, Row};

/// What a message to PostgreSQL holds at most, more or less.
const PIECE: usize = 64 * 1024;

/// Days from PostgreSQL's epoch, 2000-01-01, to the day before the first one of the prices.
const DAY_ZERO: i32 = 7670;

/// A format of `POST /batches`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    Csv,
    Ndjson,
    Json,
}

impl Format {
    pub const ALL: [Self; 3] = [Self::Csv, Self::Ndjson, Self::Json];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Csv => "CSV",
            Self::Ndjson => "NDJSON",
            Self::Json => "JSON",
        }
    }

    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv",
            Self::Ndjson => "application/x-ndjson",
            Self::Json => "application/json",
        }
    }

    /// Writes the prices into a new file of the folder, and waits until the disk has them: it is not to be busy with
    /// them while something is measured.
    pub fn write_file(self, prices: Prices, folder: &Path) -> Result<Body> {
        let path = folder.join(format!("{}-{:?}", prices.size_hint().0, self));
        let write = || {
            let mut writer = BufWriter::with_capacity(1 << 20, File::create(&path)?);
            self.write(prices, &mut writer)?;
            writer.into_inner()?.sync_all()
        };
        write().with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Body { format: self, path })
    }

    fn write(self, prices: Prices, to: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Csv => writeln!(to, "orig_code,dest_code,day,price")?,
            Self::Ndjson => {}
            Self::Json => write!(to, "[")?,
        }
        for (index, price) in prices.enumerate() {
            if self == Self::Json && index > 0 {
                write!(to, ",")?;
            }
            self.row(price, to)?;
        }
        match self {
            Self::Csv | Self::Ndjson => Ok(()),
            Self::Json => write!(to, "]"),
        }
    }

    fn row(self, row: Row, to: &mut impl Write) -> io::Result<()> {
        let Row {
            origin,
            destination,
            day,
            price,
        } = row;
        match self {
            Self::Csv => writeln!(to, "{origin},{destination},2021-01-{day:02},{price}"),
            Self::Ndjson | Self::Json => {
                write!(
                    to,
                    r#"{{"orig_code":"{origin}","dest_code":"{destination}","day":"2021-01-{day:02}","price":{price}}}"#
                )?;
                if self == Self::Ndjson {
                    writeln!(to)?;
                }
                Ok(())
            }
        }
    }
}

/// The body of a batch, in a file that is removed with it.
pub struct Body {
    pub format: Format,
    pub path: PathBuf,
}

impl Drop for Body {
    fn drop(&mut self) {
        // The folder that it is in is removed at the end.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The prices as `COPY … (FORMAT binary)` takes them, in pieces.
pub fn binary(prices: Prices) -> Vec<Arc<[u8]>> {
    let mut pieces = Vec::new();
    let mut piece = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    for price in prices {
        piece.extend_from_slice(&4_i16.to_be_bytes());
        for code in [price.origin, price.destination] {
            field(&mut piece, code.to_string().as_bytes());
        }
        for number in [DAY_ZERO + price.day, price.price] {
            field(&mut piece, &number.to_be_bytes());
        }
        if piece.len() >= PIECE {
            pieces.push(piece.as_slice().into());
            piece.clear();
        }
    }
    piece.extend_from_slice(&(-1_i16).to_be_bytes());
    pieces.push(piece.into());
    pieces
}

fn field(piece: &mut Vec<u8>, value: &[u8]) {
    let length = i32::try_from(value.len()).unwrap_or(i32::MAX);
    piece.extend_from_slice(&length.to_be_bytes());
    piece.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(format: Format, count: u32) -> String {
        let mut text = Vec::new();
        format.write(Prices::new(1, count), &mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn every_format_has_the_same_rows() {
        let csv: Vec<String> = text(Format::Csv, 100)
            .lines()
            .skip(1)
            .map(str::to_owned)
            .collect();
        let json: Vec<serde_json::Value> = serde_json::from_str(&text(Format::Json, 100)).unwrap();
        let ndjson: Vec<serde_json::Value> = text(Format::Ndjson, 100)
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let words = |row: &serde_json::Value| {
            let word = |name: &str| row[name].as_str().unwrap().to_owned();
            [
                word("orig_code"),
                word("dest_code"),
                word("day"),
                row["price"].to_string(),
            ]
            .join(",")
        };
        assert_eq!(csv.len(), 100);
        assert_eq!(json.iter().map(words).collect::<Vec<_>>(), csv);
        assert_eq!(ndjson, json);
    }

    #[test]
    fn the_binary_form_has_a_header_all_rows_and_a_trailer() {
        let bytes = binary(Prices::new(1, 5000)).concat();
        let row = 2 + 2 * (4 + 5) + 2 * (4 + 4);
        assert_eq!(bytes.len(), 19 + 5000 * row + 2);
        assert!(bytes.ends_with(&[0xff, 0xff]));
        let first = Prices::new(1, 1).next().unwrap();
        assert_eq!(bytes[19 + 6..19 + 11], *first.origin.to_string().as_bytes());
    }

    #[test]
    fn the_first_day_is_counted_from_postgresqls_epoch() {
        // 21 years, 6 of them leap years.
        assert_eq!(DAY_ZERO + 1, 21 * 365 + 6);
    }
}

//! The rows of a batch, each checked against what a price has to be, and handed on in groups.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use jiff::civil::Date;
use tokio::sync::mpsc::Sender;

use super::error::DecodeError;
use crate::batches::content::{self, Field, Reason, Row, Rows};
use crate::batches::grouping::{self, CHUNK, Priced};
use crate::batches::ports::Ports;
use crate::batches::validation_errors::{ValidationErrors, ValidationReport};
use crate::day;

/// What goes out to the database.
pub enum Piece {
    /// A part of the content of a `COPY`.
    Copy(Bytes),
    /// The content of the `COPY` is complete.
    EndOfCopy,
}

pub struct Validator {
    batch: i64,
    ports: Arc<Ports>,
    max_rows: u64,
    /// Rows so far, for those who ask meanwhile.
    progress: Arc<AtomicU64>,
    pieces: Sender<Piece>,
    rows: u64,
    chunk: Vec<Priced>,
    /// Which ports are in the batch, by their numbers.
    used: Vec<bool>,
    errors: ValidationErrors,
    failed: Option<DecodeError>,
}

/// All rows of a batch.
pub struct Validated {
    pub rows: u64,
    /// The ports in them.
    pub ports: Vec<String>,
    /// What is wrong with them; none if nothing is.
    pub errors: Option<ValidationReport>,
}

impl Validator {
    pub fn new(
        batch: i64,
        ports: Arc<Ports>,
        max_rows: u64,
        progress: Arc<AtomicU64>,
        pieces: Sender<Piece>,
    ) -> Self {
        Self {
            batch,
            used: vec![false; ports.len()],
            ports,
            max_rows,
            progress,
            pieces,
            rows: 0,
            chunk: Vec::new(),
            errors: ValidationErrors::default(),
            failed: None,
        }
    }

    /// Whether the rows so far could be taken.
    ///
    /// # Errors
    /// When there are too many, or they could not be handed on.
    pub fn outcome(&mut self) -> Result<(), DecodeError> {
        self.failed.take().map_or(Ok(()), Err)
    }

    /// The end of the content.
    ///
    /// # Errors
    /// As for [`Validator::outcome`].
    pub fn finish(mut self) -> Result<Validated, DecodeError> {
        self.hand_on();
        self.outcome()?;
        let ports = self
            .ports
            .codes()
            .zip(self.used)
            .filter(|(_, used)| *used)
            .map(|(code, _)| code.to_owned())
            .collect();
        Ok(Validated {
            rows: self.rows,
            ports,
            errors: (!self.errors.is_empty()).then(|| self.errors.report()),
        })
    }

    fn count_row(&mut self) {
        self.rows += 1;
        if self.rows > self.max_rows {
            self.failed.get_or_insert(DecodeError::TooManyRows(self.max_rows));
        }
        if self.rows.is_multiple_of(4096) {
            self.progress.store(self.rows, Ordering::Relaxed);
        }
    }

    fn check(&mut self, row: Row<'_>) {
        let origin = self.ports.number(row.origin);
        let destination = self.ports.number(row.destination);
        let day = day::parse(row.day).and_then(days_since_2000);
        let price = content::price(row.price);
        if let (Some(origin), Some(destination), Some(day), Some(price)) = (origin, destination, day, price) {
            self.used[origin as usize] = true;
            self.used[destination as usize] = true;
            self.chunk.push(Priced {
                origin,
                destination,
                day,
                price,
            });
            return;
        }
        let number = self.rows;
        let mut note = |wrong: bool, field, reason, value| {
            if wrong {
                self.errors.add(number, field, reason, Some(value));
            }
        };
        let unknown = Reason::UnknownPort;
        note(origin.is_none(), Field::Origin, unknown, row.origin);
        note(
            destination.is_none(),
            Field::Destination,
            unknown,
            row.destination,
        );
        note(day.is_none(), Field::Day, Reason::NotADay, row.day);
        note(price.is_none(), Field::Price, Reason::NotAPrice, row.price);
    }

    /// Hands the gathered prices on, unless something in the batch is wrong: then nothing of it is to be written.
    fn hand_on(&mut self) {
        self.progress.store(self.rows, Ordering::Relaxed);
        let mut chunk = std::mem::take(&mut self.chunk);
        if self.errors.is_empty() && self.failed.is_none() && !chunk.is_empty() {
            let pieces = &self.pieces;
            let mut taken = true;
            let written = grouping::write(self.batch, &self.ports, &mut chunk, |bytes| {
                taken = pieces.blocking_send(Piece::Copy(bytes)).is_ok();
                taken
            });
            if let Err(error) = written {
                self.failed = Some(DecodeError::Encode(error.to_string()));
            } else if !taken || pieces.blocking_send(Piece::EndOfCopy).is_err() {
                self.failed = Some(DecodeError::GivenUp);
            }
        }
        chunk.clear();
        self.chunk = chunk;
    }
}

impl Rows for Validator {
    fn row(&mut self, row: Row<'_>) {
        self.count_row();
        self.check(row);
        if self.chunk.len() >= CHUNK {
            self.hand_on();
        }
    }

    fn wrong(&mut self, reasons: &[(Field, Reason)]) {
        self.count_row();
        for &(field, reason) in reasons {
            self.errors.add(self.rows, field, reason, None);
        }
    }

    fn count(&self) -> u64 {
        self.rows
    }
}

// PostgreSQL counts days from there.
fn days_since_2000(day: Date) -> Option<i32> {
    const EPOCH: Date = Date::constant(2000, 1, 1);
    let hours = day.duration_since(EPOCH).as_hours();
    i32::try_from(hours / 24).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_as_postgresql_does() {
        for (day, number) in [
            (Date::new(2000, 1, 1), 0),
            (Date::new(1999, 12, 31), -1),
            (Date::new(2021, 1, 1), 7671),
            (Date::new(1, 1, 1), -730_119),
            (Date::new(9999, 12, 31), 2_921_939),
        ] {
            assert_eq!(days_since_2000(day.unwrap()), Some(number));
        }
    }
}

//! The work on a batch's bytes, on a thread of its own: unpack, divide into rows, check each, group, encode.
//!
//! It holds no connection and no lock, so a client may take its time. At most one chunk of prices is in memory.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use bytes::Bytes;
use jiff::civil::Date;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::sync::oneshot;

use super::content::{self, Content, Field, Format, Malformed, Reason, Row, Rows};
use super::findings::{Findings, Report};
use super::grouping::{self, CHUNK, Priced};
use super::ports::Ports;
use super::unpacking::{GzipError, Sink, UnpackError, Unpacking};
use crate::day;

/// What comes in.
pub enum Frame {
    Data(Bytes),
    /// The body is complete. Without it, the client went away.
    End,
}

/// What goes out to the database.
pub enum Piece {
    /// A part of the content of a `COPY`.
    Copy(Bytes),
    /// The content of the `COPY` is complete.
    EndOfCopy,
}

/// A read takes microseconds and somebody waits for it; a batch takes as long as it takes.
const NICENESS: i32 = 10;

/// What is to be done.
pub struct Intake {
    pub batch: i64,
    /// None: only the checksum is wanted.
    pub format: Option<Format>,
    pub gzip: bool,
    pub ports: Arc<Ports>,
    pub limits: Limits,
    /// Rows so far, for those who ask meanwhile.
    pub progress: Arc<AtomicU64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the content, unpacked.
    pub bytes: u64,
    pub rows: u64,
}

/// A batch that was read to its end.
#[derive(Debug, PartialEq, Eq)]
pub struct Taken {
    pub rows: u64,
    /// `sha256:` and the digest of the content, unpacked.
    pub checksum: String,
    /// The ports in it.
    pub ports: Vec<String>,
    /// What is wrong with it; none if nothing is.
    pub findings: Option<Report>,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum IntakeError {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("the content is larger than {0} bytes")]
    TooManyBytes(u64),
    #[error("the content has more than {0} rows")]
    TooManyRows(u64),
    #[error(transparent)]
    Gzip(#[from] GzipError),
    #[error("a group of prices cannot be encoded: {0}")]
    Encode(String),
    /// Whoever sent the content, or whoever took the rows, is gone and knows why.
    #[error("the batch was given up")]
    GivenUp,
}

impl Intake {
    /// Runs on a thread of its own, which gives way to those that answer reads. No outcome means that it panicked.
    ///
    /// # Errors
    /// When there can be no further thread.
    pub fn start(
        self,
        frames: Receiver<Frame>,
        pieces: Sender<Piece>,
    ) -> io::Result<oneshot::Receiver<Result<Taken, IntakeError>>> {
        let (outcome, taken) = oneshot::channel();
        thread::Builder::new().name("batch".to_owned()).spawn(move || {
            // On Linux this is of the calling thread only; where it is refused, batches are as urgent as reads.
            let _ = rustix::process::nice(NICENESS);
            let _ = outcome.send(self.run(frames, pieces));
        })?;
        Ok(taken)
    }

    /// Runs to the end of the content.
    fn run(self, mut frames: Receiver<Frame>, pieces: Sender<Piece>) -> Result<Taken, IntakeError> {
        let gzip = self.gzip;
        let mut unpacking = Unpacking::new(Reading::new(self, pieces), gzip);
        loop {
            match frames.blocking_recv() {
                Some(Frame::Data(bytes)) => unpacking = unpacking.push(&bytes)?,
                Some(Frame::End) => return unpacking.finish()?.finish(),
                None => return Err(IntakeError::GivenUp),
            }
        }
    }
}

impl From<UnpackError<Self>> for IntakeError {
    fn from(error: UnpackError<Self>) -> Self {
        match error {
            UnpackError::Refused(error) => error,
            UnpackError::Gzip(error) => error.into(),
        }
    }
}

/// The content, unpacked.
struct Reading {
    content: Option<Content>,
    digest: Sha256,
    bytes: u64,
    checking: Checking,
}

impl Reading {
    fn new(intake: Intake, pieces: Sender<Piece>) -> Self {
        Self {
            content: intake.format.map(Content::new),
            digest: Sha256::new(),
            bytes: 0,
            checking: Checking {
                used: vec![false; intake.ports.len()],
                intake,
                pieces,
                rows: 0,
                chunk: Vec::new(),
                findings: Findings::default(),
                failed: None,
            },
        }
    }
}

impl Sink for Reading {
    type Error = IntakeError;

    fn push(&mut self, bytes: &[u8]) -> Result<(), IntakeError> {
        self.bytes += bytes.len() as u64;
        let limits = self.checking.intake.limits;
        if self.bytes > limits.bytes {
            return Err(IntakeError::TooManyBytes(limits.bytes));
        }
        self.digest.update(bytes);
        if let Some(content) = &mut self.content {
            content.push(bytes, &mut self.checking)?;
        }
        self.checking.outcome()
    }
}

impl Reading {
    fn finish(mut self) -> Result<Taken, IntakeError> {
        if let Some(content) = &mut self.content {
            content.finish(&mut self.checking)?;
        }
        self.checking.hand_on();
        self.checking.outcome()?;
        let Checking {
            rows,
            used,
            intake,
            findings,
            ..
        } = self.checking;
        let ports = intake
            .ports
            .codes()
            .zip(used)
            .filter(|(_, used)| *used)
            .map(|(code, _)| code.to_owned())
            .collect();
        Ok(Taken {
            rows,
            checksum: format!("sha256:{:x}", self.digest.finalize()),
            ports,
            findings: (!findings.is_empty()).then(|| findings.report()),
        })
    }
}

/// The rows, each checked against what a price has to be.
struct Checking {
    intake: Intake,
    pieces: Sender<Piece>,
    rows: u64,
    chunk: Vec<Priced>,
    /// Which ports are in the batch, by their numbers.
    used: Vec<bool>,
    findings: Findings,
    failed: Option<IntakeError>,
}

impl Checking {
    fn outcome(&mut self) -> Result<(), IntakeError> {
        self.failed.take().map_or(Ok(()), Err)
    }

    fn count_row(&mut self) {
        self.rows += 1;
        let limit = self.intake.limits.rows;
        if self.rows > limit {
            self.failed.get_or_insert(IntakeError::TooManyRows(limit));
        }
        if self.rows.is_multiple_of(4096) {
            self.intake.progress.store(self.rows, Ordering::Relaxed);
        }
    }

    fn check(&mut self, row: Row<'_>) {
        let origin = self.intake.ports.number(row.origin);
        let destination = self.intake.ports.number(row.destination);
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
                self.findings.add(number, field, reason, Some(value));
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
        self.intake.progress.store(self.rows, Ordering::Relaxed);
        let mut chunk = std::mem::take(&mut self.chunk);
        if self.findings.is_empty() && self.failed.is_none() && !chunk.is_empty() {
            let pieces = &self.pieces;
            let mut taken = true;
            let written = grouping::write(self.intake.batch, &self.intake.ports, &mut chunk, |bytes| {
                taken = pieces.blocking_send(Piece::Copy(bytes)).is_ok();
                taken
            });
            if let Err(error) = written {
                self.failed = Some(IntakeError::Encode(error.to_string()));
            } else if !taken || pieces.blocking_send(Piece::EndOfCopy).is_err() {
                self.failed = Some(IntakeError::GivenUp);
            }
        }
        chunk.clear();
        self.chunk = chunk;
    }
}

impl Rows for Checking {
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
            self.findings.add(self.rows, field, reason, None);
        }
    }

    fn count(&self) -> u64 {
        self.rows
    }
}

/// PostgreSQL counts days from there.
fn days_since_2000(day: Date) -> Option<i32> {
    const EPOCH: Date = Date::constant(2000, 1, 1);
    let hours = day.duration_since(EPOCH).as_hours();
    i32::try_from(hours / 24).ok()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use tokio::sync::mpsc;

    use super::*;

    const CSV: &str = "orig_code,dest_code,day,price\nAAAAA,BBBBB,2021-01-01,7\n";

    fn intake(gzip: bool) -> Intake {
        Intake {
            batch: 1,
            format: Some(Format::Csv),
            gzip,
            ports: Arc::new(Ports::of(["AAAAA", "BBBBB", "CCCCC"].map(str::to_owned).to_vec()).unwrap()),
            limits: Limits {
                bytes: 1_000_000,
                rows: 1000,
            },
            progress: Arc::default(),
        }
    }

    /// Runs the intake with the content in pieces; gives its outcome and how many bytes it handed on.
    fn run(intake: Intake, content: &[u8], complete: bool) -> (Result<Taken, IntakeError>, usize) {
        let (frames, received) = mpsc::channel(4);
        let (pieces, mut handed_on) = mpsc::channel(4);
        thread::scope(|scope| {
            scope.spawn(move || {
                for piece in content.chunks(7) {
                    if frames
                        .blocking_send(Frame::Data(Bytes::copy_from_slice(piece)))
                        .is_err()
                    {
                        return;
                    }
                }
                if complete {
                    let _ = frames.blocking_send(Frame::End);
                }
            });
            let bytes = scope.spawn(move || {
                let mut bytes = 0;
                while let Some(piece) = handed_on.blocking_recv() {
                    if let Piece::Copy(piece) = piece {
                        bytes += piece.len();
                    }
                }
                bytes
            });
            (intake.run(received, pieces), bytes.join().unwrap())
        })
    }

    fn packed(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn the_checksum_is_of_the_content_however_it_is_packed() {
        let (plain, bytes) = run(intake(false), CSV.as_bytes(), true);
        let plain = plain.unwrap();
        assert_eq!((plain.rows, plain.findings.is_none()), (1, true));
        assert_eq!(plain.ports, ["AAAAA", "BBBBB"]);
        assert!(bytes > 0);
        assert_eq!(plain.checksum, format!("sha256:{:x}", Sha256::digest(CSV)));

        let two_members = [packed(&CSV[..20]), packed(&CSV[20..])].concat();
        for content in [packed(CSV), two_members] {
            assert_eq!(run(intake(true), &content, true).0.unwrap(), plain);
        }
        let only_checksum = Intake {
            format: None,
            ..intake(true)
        };
        assert_eq!(
            run(only_checksum, &packed(CSV), true).0.unwrap().checksum,
            plain.checksum
        );
    }

    #[test]
    fn content_that_is_cut_before_it_is_packed_is_refused_too() {
        let cut = packed(&format!("{CSV}AAAAA,BBBBB,2021-01-01,\"7"));
        let error = run(intake(true), &cut, true).0.unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("the quote that opens a field in line 3"),
            "{error}"
        );
        let wrong = run(intake(true), CSV.as_bytes(), true).0;
        assert!(matches!(wrong, Err(IntakeError::Gzip(_))), "{wrong:?}");
    }

    #[test]
    fn a_client_that_goes_away_has_sent_no_batch() {
        assert_eq!(
            run(intake(false), CSV.as_bytes(), false).0,
            Err(IntakeError::GivenUp)
        );
    }

    #[test]
    fn limits_hold_for_the_unpacked_content() {
        let many = format!("{CSV}{}", "AAAAA,BBBBB,2021-01-01,7\n".repeat(1000));
        assert_eq!(
            run(intake(false), many.as_bytes(), true).0,
            Err(IntakeError::TooManyRows(1000))
        );
        let bomb = packed(&format!("{CSV}{}", "\n".repeat(2_000_000)));
        assert!(bomb.len() < 10_000);
        assert_eq!(
            run(intake(true), &bomb, true).0,
            Err(IntakeError::TooManyBytes(1_000_000))
        );
    }

    #[test]
    fn a_batch_with_something_wrong_hands_nothing_on_and_lists_all_of_it() {
        let text = format!("{CSV}AAAAA,DDDDD,2021-02-30,0\nCCCCC\n");
        let (taken, bytes) = run(intake(false), text.as_bytes(), true);
        let report = taken.unwrap().findings.unwrap();
        assert_eq!(bytes, 0);
        let listed: Vec<_> = report
            .errors
            .iter()
            .map(|finding| (finding.row, finding.field.as_str(), finding.message.as_str()))
            .collect();
        assert_eq!(
            listed,
            [
                (2, "dest_code", "\"DDDDD\" is not the code of a known port"),
                (
                    2,
                    "day",
                    "\"2021-02-30\" is not a day; expected one such as 2021-01-31"
                ),
                (
                    2,
                    "price",
                    "\"0\" is not a price; expected a whole number from 1 to 2147483647"
                ),
                (3, "", "has not as many fields as the header line"),
            ]
        );
    }

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

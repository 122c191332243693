//! The work on a batch's bytes, on a thread of its own: unpack, divide into rows, validate each, group, encode.
//!
//! It holds no connection and no lock, so a client may take its time. At most one chunk of prices is in memory.

mod body;
mod error;
mod unpack;
mod validator;

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread;

use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::sync::oneshot;

use super::content::{Content, Format};
use super::ports::Ports;
use super::validation_errors::ValidationReport;
use body::Body;
pub use body::Frame;
pub use error::DecodeError;
use unpack::unpack;
pub use validator::Piece;
use validator::{Validated, Validator};

/// A read takes microseconds and somebody waits for it; a batch takes as long as it takes.
const NICENESS: i32 = 10;

/// What is to be decoded.
pub struct Decoder {
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
pub struct DecodedBatch {
    pub rows: u64,
    /// `sha256:` and the digest of the content, unpacked.
    pub checksum: String,
    /// The ports in it.
    pub ports: Vec<String>,
    /// What is wrong with it; none if nothing is.
    pub errors: Option<ValidationReport>,
}

impl Decoder {
    /// Runs on a thread of its own, which gives way to those that answer reads. No outcome means that it panicked.
    ///
    /// # Errors
    /// When there can be no further thread.
    pub fn start(
        self,
        frames: Receiver<Frame>,
        pieces: Sender<Piece>,
    ) -> io::Result<oneshot::Receiver<Result<DecodedBatch, DecodeError>>> {
        let (outcome, decoded) = oneshot::channel();
        thread::Builder::new().name("batch".to_owned()).spawn(move || {
            // On Linux this is of the calling thread only; where it is refused, batches are as urgent as reads.
            let _ = rustix::process::nice(NICENESS);
            let _ = outcome.send(self.run(frames, pieces));
        })?;
        Ok(decoded)
    }

    /// Runs to the end of the content.
    fn run(self, frames: Receiver<Frame>, pieces: Sender<Piece>) -> Result<DecodedBatch, DecodeError> {
        let gzip = self.gzip;
        let mut unpacked = Unpacked::new(self, pieces);
        unpack(&mut Body::new(frames), gzip, |piece| unpacked.push(piece))?;
        unpacked.finish()
    }
}

/// The content, unpacked.
struct Unpacked {
    content: Option<Content>,
    digest: Sha256,
    bytes: u64,
    max_bytes: u64,
    validator: Validator,
}

impl Unpacked {
    fn new(decoder: Decoder, pieces: Sender<Piece>) -> Self {
        let Decoder {
            batch,
            format,
            ports,
            limits,
            progress,
            ..
        } = decoder;
        Self {
            content: format.map(Content::new),
            digest: Sha256::new(),
            bytes: 0,
            max_bytes: limits.bytes,
            validator: Validator::new(batch, ports, limits.rows, progress, pieces),
        }
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        self.bytes += bytes.len() as u64;
        if self.bytes > self.max_bytes {
            return Err(DecodeError::TooManyBytes(self.max_bytes));
        }
        self.digest.update(bytes);
        if let Some(content) = &mut self.content {
            content.push(bytes, &mut self.validator)?;
        }
        self.validator.outcome()
    }

    fn finish(mut self) -> Result<DecodedBatch, DecodeError> {
        if let Some(content) = &mut self.content {
            content.finish(&mut self.validator)?;
        }
        let Validated { rows, ports, errors } = self.validator.finish()?;
        Ok(DecodedBatch {
            rows,
            checksum: format!("sha256:{:x}", self.digest.finalize()),
            ports,
            errors,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use bytes::Bytes;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use tokio::sync::mpsc;

    use super::*;

    const CSV: &str = "orig_code,dest_code,day,price\nAAAAA,BBBBB,2021-01-01,7\n";

    fn decoder(gzip: bool) -> Decoder {
        Decoder {
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

    /// Runs the decoder with the content in pieces; gives its outcome and how many bytes it handed on.
    fn run(decoder: Decoder, content: &[u8], complete: bool) -> (Result<DecodedBatch, DecodeError>, usize) {
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
            (decoder.run(received, pieces), bytes.join().unwrap())
        })
    }

    fn packed(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn the_checksum_is_of_the_content_however_it_is_packed() {
        let (plain, bytes) = run(decoder(false), CSV.as_bytes(), true);
        let plain = plain.unwrap();
        assert_eq!((plain.rows, plain.errors.is_none()), (1, true));
        assert_eq!(plain.ports, ["AAAAA", "BBBBB"]);
        assert!(bytes > 0);
        assert_eq!(plain.checksum, format!("sha256:{:x}", Sha256::digest(CSV)));

        let two_members = [packed(&CSV[..20]), packed(&CSV[20..])].concat();
        for content in [packed(CSV), two_members] {
            assert_eq!(run(decoder(true), &content, true).0.unwrap(), plain);
        }
        let only_checksum = Decoder {
            format: None,
            ..decoder(true)
        };
        assert_eq!(
            run(only_checksum, &packed(CSV), true).0.unwrap().checksum,
            plain.checksum
        );
    }

    #[test]
    fn content_that_is_cut_before_it_is_packed_is_refused_too() {
        let cut = packed(&format!("{CSV}AAAAA,BBBBB,2021-01-01,\"7"));
        let error = run(decoder(true), &cut, true).0.unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("the quote that opens a field in line 3"),
            "{error}"
        );
        let wrong = run(decoder(true), CSV.as_bytes(), true).0;
        assert!(matches!(wrong, Err(DecodeError::Gzip(_))), "{wrong:?}");
    }

    #[test]
    fn a_client_that_goes_away_has_sent_no_batch() {
        assert_eq!(
            run(decoder(false), CSV.as_bytes(), false).0,
            Err(DecodeError::GivenUp)
        );
    }

    #[test]
    fn limits_hold_for_the_unpacked_content() {
        let many = format!("{CSV}{}", "AAAAA,BBBBB,2021-01-01,7\n".repeat(1000));
        assert_eq!(
            run(decoder(false), many.as_bytes(), true).0,
            Err(DecodeError::TooManyRows(1000))
        );
        let bomb = packed(&format!("{CSV}{}", "\n".repeat(2_000_000)));
        assert!(bomb.len() < 10_000);
        assert_eq!(
            run(decoder(true), &bomb, true).0,
            Err(DecodeError::TooManyBytes(1_000_000))
        );
    }

    #[test]
    fn a_batch_with_something_wrong_hands_nothing_on_and_lists_all_of_it() {
        let text = format!("{CSV}AAAAA,DDDDD,2021-02-30,0\nCCCCC\n");
        let (decoded, bytes) = run(decoder(false), text.as_bytes(), true);
        let report = decoded.unwrap().errors.unwrap();
        assert_eq!(bytes, 0);
        let listed: Vec<_> = report
            .errors
            .iter()
            .map(|error| (error.row, error.field.as_str(), error.message.as_str()))
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
}

//! Content as it was before it was packed: a gzip stream of one or more members (RFC 1952), or the bytes as they are.

use std::io::{BufRead, Read as _};

use flate2::bufread::GzDecoder;

use super::error::{DecodeError, GzipError};

/// Bytes that are unpacked at once.
const UNPACKED: usize = 64 * 1024;

/// Gives the content to `take`, piece by piece, to its end.
///
/// # Errors
/// When it cannot be read or unpacked, or `take` refuses a piece: then no more of it is unpacked.
pub fn unpack(
    body: &mut impl BufRead,
    gzip: bool,
    mut take: impl FnMut(&[u8]) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    if !gzip {
        loop {
            let piece = body.fill_buf()?;
            if piece.is_empty() {
                return Ok(());
            }
            take(piece)?;
            let length = piece.len();
            body.consume(length);
        }
    }
    let mut unpacked = vec![0; UNPACKED];
    loop {
        let mut member = GzDecoder::new(&mut *body);
        loop {
            match member.read(&mut unpacked)? {
                0 => break,
                length => take(&unpacked[..length])?,
            }
        }
        match body.fill_buf()?.first().copied() {
            None => return Ok(()),
            Some(0) => return skip_padding(body),
            Some(_) => {}
        }
    }
}

/// Behind the stream: zero bytes, as `gzip` itself takes them and tapes and block devices add them.
fn skip_padding(body: &mut impl BufRead) -> Result<(), DecodeError> {
    loop {
        let piece = body.fill_buf()?;
        if piece.iter().any(|byte| *byte != 0) {
            return Err(GzipError::BehindPadding.into());
        }
        if piece.is_empty() {
            return Ok(());
        }
        let length = piece.len();
        body.consume(length);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Write as _};

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    const REFUSED: DecodeError = DecodeError::TooManyBytes(0);

    fn packed(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    /// What is unpacked is the same however the content is cut.
    fn unpacked(content: &[u8]) -> Result<String, DecodeError> {
        let in_pieces = |size: usize| {
            let mut all = Vec::new();
            unpack(&mut BufReader::with_capacity(size, content), true, |piece| {
                all.extend_from_slice(piece);
                if piece.contains(&b'!') {
                    Err(REFUSED)
                } else {
                    Ok(())
                }
            })
            .map(|()| String::from_utf8(all).unwrap())
        };
        let whole = in_pieces(content.len().max(1));
        for size in [1, 2, 3, 7] {
            assert_eq!(in_pieces(size), whole, "in pieces of {size}");
        }
        whole
    }

    #[test]
    fn members_follow_one_another() {
        let members = [packed("a"), packed(""), packed("bc")].concat();
        assert_eq!(unpacked(&members).unwrap(), "abc");
    }

    #[test]
    fn zero_bytes_may_follow_the_stream_and_nothing_else_may() {
        let stream = [packed("a"), packed("b")].concat();
        for zeros in [1, 2, 18, 1000] {
            let padded = [&stream[..], &vec![0; zeros]].concat();
            assert_eq!(unpacked(&padded).unwrap(), "ab", "{zeros} zero bytes");
        }
        for rest in [&b"rest"[..], b"\0rest", b"\0\0\x1f\x8b", b"\x1f\0"] {
            let error = unpacked(&[&stream[..], rest].concat()).unwrap_err();
            assert_ne!(error, REFUSED, "{rest:?}");
        }
    }

    #[test]
    fn zero_bytes_alone_are_no_gzip() {
        assert!(unpacked(&[0; 20]).is_err());
    }

    #[test]
    fn a_stream_that_is_cut_or_wrong_is_said_to_be_one() {
        let whole = packed("some content");
        for length in 0..whole.len() {
            assert_eq!(
                unpacked(&whole[..length]).unwrap_err(),
                GzipError::Cut.into(),
                "{length}"
            );
        }
        for place in [whole.len() - 6, whole.len() - 1] {
            let mut wrong = whole.clone();
            wrong[place] ^= 0xff;
            unpacked(&wrong).unwrap_err();
            unpacked(&[wrong, vec![0; 3]].concat()).unwrap_err();
        }
        assert_eq!(
            unpacked(b"some content").unwrap_err().to_string(),
            "the content is not gzip: invalid gzip header"
        );
    }

    #[test]
    fn what_the_sink_refuses_is_its_own_error() {
        assert_eq!(unpacked(&packed("a!")).unwrap_err(), REFUSED);
    }
}

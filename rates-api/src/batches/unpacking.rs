//! Content as it was before it was packed: a gzip stream of one or more members (RFC 1952), or the bytes as they are.

use std::io::{self, Write};

use flate2::write::GzDecoder;

/// What takes the unpacked bytes.
pub trait Sink {
    type Error;

    /// # Errors
    /// When the content is refused: then no more of it is unpacked.
    fn push(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;
}

#[derive(Debug)]
pub enum UnpackError<E> {
    /// The sink refused the content.
    Refused(E),
    Gzip(GzipError),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GzipError {
    #[error("the content is not gzip: {0}")]
    Wrong(String),
    #[error("the content ends before the gzip stream is complete")]
    Cut,
    #[error("the zero bytes behind the gzip stream are followed by others")]
    BehindPadding,
}

/// Unpacks what comes in pieces.
pub enum Unpacking<S: Sink> {
    Identity(S),
    /// In a member of the stream, or right behind one.
    Gzip(Box<GzDecoder<Remembering<S>>>),
    /// Behind the stream: zero bytes, as `gzip` itself takes them and tapes and block devices add them.
    Padding(S),
}

impl<S: Sink> Unpacking<S> {
    pub fn new(sink: S, gzip: bool) -> Self {
        if gzip {
            Self::Gzip(Box::new(member(sink)))
        } else {
            Self::Identity(sink)
        }
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// When it cannot be unpacked, or the sink refuses what is in it.
    pub fn push(self, bytes: &[u8]) -> Result<Self, UnpackError<S::Error>> {
        match self {
            Self::Identity(mut sink) => {
                sink.push(bytes).map_err(UnpackError::Refused)?;
                Ok(Self::Identity(sink))
            }
            Self::Gzip(decoder) => gunzip(decoder, bytes),
            Self::Padding(_) if bytes.iter().any(|byte| *byte != 0) => {
                Err(UnpackError::Gzip(GzipError::BehindPadding))
            }
            Self::Padding(sink) => Ok(Self::Padding(sink)),
        }
    }

    /// The content is complete: gives the sink back.
    ///
    /// # Errors
    /// When it ends in the middle.
    pub fn finish(self) -> Result<S, UnpackError<S::Error>> {
        match self {
            Self::Identity(sink) | Self::Padding(sink) => Ok(sink),
            Self::Gzip(decoder) => end(*decoder),
        }
    }
}

fn member<S: Sink>(sink: S) -> GzDecoder<Remembering<S>> {
    GzDecoder::new(Remembering { sink, refused: None })
}

fn gunzip<S: Sink>(
    mut decoder: Box<GzDecoder<Remembering<S>>>,
    mut bytes: &[u8],
) -> Result<Unpacking<S>, UnpackError<S::Error>> {
    while let Some(first) = bytes.first() {
        let taken = decoder
            .write(bytes)
            .map_err(|error| failure(decoder.get_mut(), &error))?;
        // A decoder takes nothing from behind its member.
        if taken == 0 {
            let sink = end(*decoder)?;
            if *first == 0 {
                return Unpacking::Padding(sink).push(bytes);
            }
            decoder = Box::new(member(sink));
        }
        bytes = &bytes[taken..];
    }
    Ok(Unpacking::Gzip(decoder))
}

/// The end of a member, its checksum included.
fn end<S: Sink>(mut decoder: GzDecoder<Remembering<S>>) -> Result<S, UnpackError<S::Error>> {
    match decoder.try_finish() {
        Ok(()) => match decoder.finish() {
            Ok(remembering) => Ok(remembering.sink),
            Err(error) => Err(UnpackError::Gzip(GzipError::of(&error))),
        },
        Err(error) => Err(failure(decoder.get_mut(), &error)),
    }
}

/// What was wrong: with the content, if the sink said so, else with the packing.
fn failure<S: Sink>(sink: &mut Remembering<S>, error: &io::Error) -> UnpackError<S::Error> {
    match sink.refused.take() {
        Some(refused) => UnpackError::Refused(refused),
        None => UnpackError::Gzip(GzipError::of(error)),
    }
}

impl GzipError {
    fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::WriteZero => Self::Cut,
            _ => Self::Wrong(error.to_string()),
        }
    }
}

/// For the decoder, which writes what it has unpacked and knows no errors but its own.
pub struct Remembering<S: Sink> {
    sink: S,
    refused: Option<S::Error>,
}

impl<S: Sink> Write for Remembering<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.sink.push(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(error) => {
                self.refused = Some(error);
                Err(io::Error::other("the content was refused"))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    impl Sink for Vec<u8> {
        type Error = ();

        fn push(&mut self, bytes: &[u8]) -> Result<(), ()> {
            self.extend_from_slice(bytes);
            if bytes.contains(&b'!') { Err(()) } else { Ok(()) }
        }
    }

    fn packed(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    /// What is unpacked is the same however the content is cut; an error as text.
    fn unpack(content: &[u8]) -> Result<String, String> {
        let in_pieces = |size: usize| {
            let unpacked = content
                .chunks(size)
                .try_fold(Unpacking::new(Vec::new(), true), Unpacking::push)
                .and_then(Unpacking::finish);
            match unpacked {
                Ok(bytes) => Ok(String::from_utf8(bytes).unwrap()),
                Err(UnpackError::Refused(())) => Err("refused".to_owned()),
                Err(UnpackError::Gzip(error)) => Err(error.to_string()),
            }
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
        assert_eq!(unpack(&members).unwrap(), "abc");
    }

    #[test]
    fn zero_bytes_may_follow_the_stream_and_nothing_else_may() {
        let stream = [packed("a"), packed("b")].concat();
        for zeros in [1, 2, 18, 1000] {
            let padded = [&stream[..], &vec![0; zeros]].concat();
            assert_eq!(unpack(&padded).unwrap(), "ab", "{zeros} zero bytes");
        }
        for rest in [&b"rest"[..], b"\0rest", b"\0\0\x1f\x8b", b"\x1f\0"] {
            let error = unpack(&[&stream[..], rest].concat()).unwrap_err();
            assert_ne!(error, "refused", "{rest:?}");
        }
    }

    #[test]
    fn zero_bytes_alone_are_no_gzip() {
        assert!(unpack(&[0; 20]).is_err());
    }

    #[test]
    fn a_stream_that_is_cut_or_wrong_is_said_to_be_one() {
        let whole = packed("some content");
        for length in 0..whole.len() {
            unpack(&whole[..length]).unwrap_err();
        }
        for place in [whole.len() - 6, whole.len() - 1] {
            let mut wrong = whole.clone();
            wrong[place] ^= 0xff;
            unpack(&wrong).unwrap_err();
            unpack(&[wrong, vec![0; 3]].concat()).unwrap_err();
        }
        assert_eq!(
            unpack(b"some content").unwrap_err(),
            "the content is not gzip: invalid gzip header"
        );
    }

    #[test]
    fn what_the_sink_refuses_is_its_own_error() {
        assert_eq!(unpack(&packed("a!")).unwrap_err(), "refused");
    }
}

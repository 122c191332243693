//! The body of a request as a thread reads it that may wait.

use std::io::{self, BufRead, Read};

use bytes::{Buf as _, Bytes};
use tokio::sync::mpsc::Receiver;

/// A part of the body.
pub enum Frame {
    Data(Bytes),
    /// The body is complete. Without it, the client went away.
    End,
}

pub struct Body {
    frames: Receiver<Frame>,
    piece: Bytes,
    complete: bool,
}

impl Body {
    pub fn new(frames: Receiver<Frame>) -> Self {
        Self {
            frames,
            piece: Bytes::new(),
            complete: false,
        }
    }
}

impl BufRead for Body {
    /// Fails with `ConnectionAborted` when the client went away.
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.piece.is_empty() && !self.complete {
            match self.frames.blocking_recv() {
                Some(Frame::Data(bytes)) => self.piece = bytes,
                Some(Frame::End) => self.complete = true,
                None => return Err(io::ErrorKind::ConnectionAborted.into()),
            }
        }
        Ok(&self.piece)
    }

    fn consume(&mut self, amount: usize) {
        self.piece.advance(amount);
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

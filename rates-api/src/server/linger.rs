//! Closing a connection so that its last answer arrives.
//!
//! A socket that is closed while bytes of the client wait in it (a pipelined request, the rest of a body) sends a
//! reset, and a reset makes the client's kernel throw away an answer that was not read yet. So the writing side is
//! closed first, and what still comes is read and thrown away for a moment (RFC 9112, section 9.6).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::pipeline::Wire;

const LINGER: Duration = Duration::from_secs(1);

/// A TCP stream whose shutdown lingers, and whose requests are followed.
pub struct Linger {
    wire: Wire,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Linger {
    pub fn new(wire: Wire) -> Self {
        Self { wire, deadline: None }
    }

    /// Ready when the client has closed its side, or sent nothing that matters for long enough.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut space = [0; 8192];
        loop {
            if let Some(deadline) = &mut self.deadline
                && deadline.as_mut().poll(cx).is_ready()
            {
                return Poll::Ready(());
            }
            let mut buffer = ReadBuf::new(&mut space);
            match ready!(Pin::new(&mut self.wire.lock().stream).poll_read(cx, &mut buffer)) {
                Ok(()) if buffer.filled().is_empty() => return Poll::Ready(()),
                Ok(()) => {}
                Err(_) => return Poll::Ready(()),
            }
        }
    }
}

impl AsyncRead for Linger {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut wire = self.wire.lock();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut wire.stream).poll_read(cx, buffer))?;
        wire.read(&buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Linger {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut wire = self.wire.lock();
        let written = Pin::new(&mut wire.stream).poll_write(cx, bytes);
        wire.wrote(&written);
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut wire = self.wire.lock();
        let written = Pin::new(&mut wire.stream).poll_write_vectored(cx, slices);
        wire.wrote(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.wire.lock().stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire.lock().stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.deadline.is_none() {
            ready!(Pin::new(&mut self.wire.lock().stream).poll_shutdown(cx))?;
            self.deadline = Some(Box::pin(sleep(LINGER)));
        }
        ready!(self.poll_discard(cx));
        Poll::Ready(Ok(()))
    }
}

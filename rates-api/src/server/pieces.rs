//! The content of an answer over HTTP/2, handed on in pieces.
//!
//! Each stream has a window that its client opens as it reads, and a client that reads nothing can still answer PING. So
//! that such a connection counts as idle, it has to show when a client takes some of an answer: hyper asks for the next
//! piece only when the one before fitted into the window.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};

use super::activity::Activity;

/// As much as a frame of HTTP/2 has by default.
const PIECE: usize = 16 * 1024;

pub struct Pieces {
    content: Body,
    /// What was taken from the content, and is not handed on yet.
    left: Bytes,
    activity: Activity,
}

impl Pieces {
    pub fn new(content: Body, activity: Activity) -> Self {
        Self {
            content,
            left: Bytes::new(),
            activity,
        }
    }
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.left.is_empty() {
            match ready!(Pin::new(&mut self.content).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.left = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                end => return Poll::Ready(end),
            }
        }
        self.activity.took();
        let length = self.left.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.left.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty() && self.content.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (content, left) = (self.content.size_hint(), self.left.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(content.lower() + left);
        if let Some(upper) = content.upper() {
            hint.set_upper(upper + left);
        }
        hint
    }
}

//! How a request can fail.

use std::error::Error;
use std::io::ErrorKind;

use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// Nobody listens.
    Refused,
    /// The peer, or something on the way, reset the connection.
    Reset,
    /// The connection was closed before the answer was complete.
    Cut,
    TimedOut,
    /// There is no way to the address.
    Unreachable,
    /// An answer, but one that says that the server could not.
    Status(u16),
    Other,
}

/// One failure, with the words of whoever noticed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    pub kind: Kind,
    pub text: String,
}

impl Failure {
    #[must_use]
    pub fn timed_out(seconds: u64) -> Self {
        Self {
            kind: Kind::TimedOut,
            text: format!("no whole answer within {seconds} s"),
        }
    }

    #[must_use]
    pub fn of_io(error: &std::io::Error) -> Self {
        Self {
            kind: of_io(error.kind()),
            text: error.to_string(),
        }
    }

    #[must_use]
    pub fn of_hyper(error: &hyper::Error) -> Self {
        let mut text = error.to_string();
        let mut kind = None;
        let mut cause = error.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            if let Some(error) = error.downcast_ref::<std::io::Error>() {
                kind = Some(of_io(error.kind()));
            }
            cause = error.source();
        }
        let ended = error.is_incomplete_message() || error.is_closed() || error.is_canceled();
        let kind = match kind {
            Some(kind) if kind != Kind::Other => kind,
            _ if ended => Kind::Cut,
            _ => Kind::Other,
        };
        Self { kind, text }
    }
}

fn of_io(kind: ErrorKind) -> Kind {
    match kind {
        ErrorKind::ConnectionRefused => Kind::Refused,
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => Kind::Reset,
        ErrorKind::UnexpectedEof => Kind::Cut,
        ErrorKind::TimedOut => Kind::TimedOut,
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => Kind::Unreachable,
        _ => Kind::Other,
    }
}

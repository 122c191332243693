//! Connections that are kept: a set of them used in turn, each for one request at a time, and one that carries many.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

use super::connection::{Connection, Protocol};
use super::failure::{Failure, Kind};

/// HTTP/1.1 connections, so many; the one that rested longest goes first.
pub struct Kept {
    target: SocketAddr,
    size: usize,
    /// Whether another is opened for a single request when all are in use.
    overflow: bool,
    turn: Semaphore,
    resting: Mutex<VecDeque<Connection>>,
}

/// One of them, in use.
pub struct Taken<'a> {
    pub connection: Connection,
    /// None for one beyond their number.
    turn: Option<SemaphorePermit<'a>>,
}

impl Kept {
    pub fn new(target: SocketAddr, size: usize, overflow: bool) -> Self {
        Self {
            target,
            size,
            overflow,
            turn: Semaphore::new(size),
            resting: Mutex::default(),
        }
    }

    /// Waits for its turn when all are in use, unless another may be opened. One that the server has closed while it rested is replaced.
    pub async fn take(&self) -> Result<Taken<'_>, Failure> {
        if self.overflow && self.turn.available_permits() == 0 {
            return Ok(Taken {
                connection: Connection::open(self.target, Protocol::Http1).await?,
                turn: None,
            });
        }
        let turn = self.turn.acquire().await.map_err(|error| Failure {
            kind: Kind::Other,
            text: error.to_string(),
        })?;
        let rested = {
            let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
            resting.retain(Connection::is_open);
            let in_use = self.size - self.turn.available_permits();
            // Another is opened until there are as many as there are to be.
            (resting.len() + in_use > self.size)
                .then(|| resting.pop_front())
                .flatten()
        };
        let connection = match rested {
            Some(connection) => connection,
            None => Connection::open(self.target, Protocol::Http1).await?,
        };
        Ok(Taken {
            connection,
            turn: Some(turn),
        })
    }

    /// Back to the others, unless it has ended.
    pub fn give_back(&self, taken: Taken<'_>) {
        if taken.turn.is_some() && taken.connection.is_open() {
            self.resting
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push_back(taken.connection);
        }
    }
}

/// One HTTP/2 connection, opened anew when the server lets go of it.
pub struct Shared {
    target: SocketAddr,
    /// Whether another is opened when it carries as many as a server may allow.
    overflow: bool,
    current: tokio::sync::Mutex<Option<Connection>>,
    under_way: AtomicUsize,
}

/// One use of it.
pub struct Stream<'a> {
    pub connection: Connection,
    under_way: &'a AtomicUsize,
}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        self.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What every server allows at one time.
const STREAMS: usize = 100;

impl Shared {
    pub fn new(target: SocketAddr, overflow: bool) -> Self {
        Self {
            target,
            overflow,
            current: tokio::sync::Mutex::default(),
            under_way: AtomicUsize::new(0),
        }
    }

    pub async fn get(&self) -> Result<Stream<'_>, Failure> {
        let before = self.under_way.fetch_add(1, Ordering::Relaxed);
        let under_way = &self.under_way;
        let stream = |connection| Stream {
            connection,
            under_way,
        };
        if self.overflow && before >= STREAMS {
            let opened = Connection::open(self.target, Protocol::Http2).await;
            return opened.map(stream).inspect_err(|_| drop_one(under_way));
        }
        self.connection()
            .await
            .map(stream)
            .inspect_err(|_| drop_one(under_way))
    }

    async fn connection(&self) -> Result<Connection, Failure> {
        let mut current = self.current.lock().await;
        let open = current.as_ref().filter(|connection| connection.is_open());
        if let Some(shared) = open.and_then(Connection::share) {
            return Ok(shared);
        }
        let opened = Connection::open(self.target, Protocol::Http2).await?;
        let shared = opened.share();
        *current = Some(opened);
        shared.ok_or_else(|| Failure {
            kind: Kind::Other,
            text: "a connection that cannot be shared".to_owned(),
        })
    }

    /// It has ended: the next request opens another.
    pub async fn forget(&self) {
        let mut current = self.current.lock().await;
        if current.as_ref().is_some_and(|connection| !connection.is_open()) {
            *current = None;
        }
    }
}

fn drop_one(count: &AtomicUsize) {
    count.fetch_sub(1, Ordering::Relaxed);
}

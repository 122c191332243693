//! What the database has now, asked for by all who wait together.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::readers::{Position, Readers};

/// Equal ones see the same data.
#[derive(Debug, PartialEq, Eq)]
pub struct Snapshot(String);

/// What the database has at a moment: the snapshot that reads see, and the position that a standby has to have reached.
#[derive(Debug)]
pub struct Now {
    pub snapshot: Snapshot,
    pub position: Position,
}

/// A question that is not answered after that long does not keep the next one from being asked, on another connection.
const PACE: Duration = Duration::from_millis(10);

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A request that waits for the answer.
struct Waiter {
    deadline: Instant,
    answer: oneshot::Sender<Arc<Now>>,
}

pub struct SnapshotCheck {
    ask: mpsc::UnboundedSender<Waiter>,
    _asking: AbortOnDropHandle<()>,
}

impl SnapshotCheck {
    pub fn start(readers: &Arc<Readers>) -> Self {
        let (ask, waiters) = mpsc::unbounded_channel();
        let asking = tokio::spawn(ask_for_all(Arc::clone(readers), waiters));
        Self {
            ask,
            _asking: AbortOnDropHandle::new(asking),
        }
    }

    /// What there is at some moment after this was called; none when the database does not say.
    pub async fn now(&self, deadline: Instant) -> Option<Arc<Now>> {
        let (sender, answer) = oneshot::channel();
        let waiter = Waiter {
            deadline,
            answer: sender,
        };
        self.ask.send(waiter).ok()?;
        answer.await.ok()
    }
}

/// Asks for all who came until then, and meanwhile lets the next ones gather.
async fn ask_for_all(readers: Arc<Readers>, mut asking: mpsc::UnboundedReceiver<Waiter>) {
    while let Some(first) = asking.recv().await {
        let mut waiters = vec![first];
        while let Ok(next) = asking.try_recv() {
            waiters.push(next);
        }
        let question = tokio::spawn(ask_once(Arc::clone(&readers), waiters));
        let _ = timeout(PACE, question).await;
    }
}

/// Who is not answered learns it by the end of their channel, which is the first deadline of all: a timer for each would
/// cost them more.
async fn ask_once(readers: Arc<Readers>, waiters: Vec<Waiter>) {
    let patience = Instant::now() + PATIENCE;
    let deadline = waiters
        .iter()
        .map(|waiter| waiter.deadline)
        .fold(patience, Instant::min);
    let Ok((snapshot, position)) = readers.now(deadline).await else {
        return;
    };
    let now = Arc::new(Now {
        snapshot: Snapshot(snapshot),
        position,
    });
    for waiter in waiters {
        let _ = waiter.answer.send(Arc::clone(&now));
    }
}

//! The database's snapshot, asked for by all who wait together.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use crate::readers::{Readers, Statement};

/// Which transactions are seen, and by which run of the server: transaction ids may return after a failover.
///
/// `pg_current_snapshot()` is what decides visibility (PostgreSQL, "Snapshot functions"): every transaction that
/// writes has an id, and beginning or ending one changes it.
pub const STATEMENT: &str =
    "SELECT pg_current_snapshot()::text || ' ' || extract(epoch FROM pg_postmaster_start_time())::text";

/// Equal ones see the same data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot(Arc<str>);

/// A question that is not answered after that long does not keep the next one from being asked, on another connection.
const PACE: Duration = Duration::from_millis(10);

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(5);

type Waiter = oneshot::Sender<Snapshot>;

pub struct Freshness {
    ask: mpsc::UnboundedSender<Waiter>,
    _asking: AbortOnDropHandle<()>,
}

impl Freshness {
    pub fn start(readers: &Arc<Readers>) -> Self {
        let (ask, waiters) = mpsc::unbounded_channel();
        let asking = tokio::spawn(ask_for_all(Arc::clone(readers), waiters));
        Self {
            ask,
            _asking: AbortOnDropHandle::new(asking),
        }
    }

    /// The snapshot at some moment after this was called; none when the database does not say.
    pub async fn snapshot(&self, deadline: Instant) -> Option<Snapshot> {
        let (waiter, answer) = oneshot::channel();
        self.ask.send(waiter).ok()?;
        timeout_at(deadline, answer).await.ok()?.ok()
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

/// Who is not answered learns it by the end of their channel.
async fn ask_once(readers: Arc<Readers>, waiters: Vec<Waiter>) {
    let answer = readers
        .query(Statement::Snapshot, &[], Instant::now() + PATIENCE)
        .await;
    let Some(row) = answer.ok().and_then(|rows| rows.into_iter().next()) else {
        return;
    };
    let snapshot = Snapshot(row.get::<_, &str>(0).into());
    for waiter in waiters {
        let _ = waiter.send(snapshot.clone());
    }
}

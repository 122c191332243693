//! Where the process is between serving and gone, and when the last request came.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Serving,
    /// SIGTERM came: connections end after the last answer that their clients wait for, new ones are still taken.
    Draining,
    /// The listener is closed.
    Closing,
}

/// Shared by the server, its connections and the handlers.
#[derive(Clone)]
pub struct Drain(Arc<Inner>);

struct Inner {
    phase: watch::Sender<Phase>,
    /// Requests under way that are not probes, and when the last one began or ended.
    traffic: watch::Sender<Traffic>,
    late: OnceLock<Instant>,
}

#[derive(Clone, Copy)]
struct Traffic {
    under_way: usize,
    last: Instant,
}

impl Default for Drain {
    fn default() -> Self {
        let traffic = Traffic {
            under_way: 0,
            last: Instant::now(),
        };
        Self(Arc::new(Inner {
            phase: watch::Sender::new(Phase::Serving),
            traffic: watch::Sender::new(traffic),
            late: OnceLock::new(),
        }))
    }
}

impl Drain {
    /// SIGTERM came, and the process has the given time.
    pub fn begin(&self, budget: Duration) {
        let _ = self.0.late.set(Instant::now() + budget * 3 / 4);
        self.0
            .traffic
            .send_modify(|traffic| traffic.last = Instant::now());
        self.0.phase.send_replace(Phase::Draining);
    }

    /// The listener is closed.
    pub fn close(&self) {
        self.0.phase.send_replace(Phase::Closing);
    }

    /// Waits for SIGTERM.
    pub async fn begun(&self) {
        let _ = self.phase().wait_for(|phase| *phase != Phase::Serving).await;
    }

    /// Where the process is now.
    #[must_use]
    pub fn now(&self) -> Phase {
        *self.0.phase.borrow()
    }

    /// Whether so much of the drain is over that connections end although their clients have sent more.
    pub(super) fn is_late(&self) -> bool {
        self.0.late.get().is_some_and(|late| Instant::now() >= *late)
    }

    pub(super) fn phase(&self) -> watch::Receiver<Phase> {
        self.0.phase.subscribe()
    }

    /// Waits until no request that counts is under way and none has come for the given time.
    pub(super) async fn quiet(&self, duration: Duration) {
        let mut traffic = self.0.traffic.subscribe();
        loop {
            let Traffic { under_way, last } = *traffic.borrow_and_update();
            let quiet_at = last + duration;
            if under_way == 0 && Instant::now() >= quiet_at {
                return;
            }
            tokio::select! {
                () = sleep_until(quiet_at), if under_way == 0 => {}
                changed = traffic.changed() => if changed.is_err() { return },
            }
        }
    }

    /// A request is traffic until the result is dropped.
    #[must_use]
    pub fn count(&self) -> UnderWay {
        self.change(|traffic| traffic.under_way += 1);
        UnderWay(self.clone())
    }

    fn change(&self, change: impl FnOnce(&mut Traffic)) {
        self.0.traffic.send_if_modified(|traffic| {
            change(traffic);
            traffic.last = Instant::now();
            // Nobody waits for it before, and telling costs. Asked here, where nobody reads the traffic meanwhile: who
            // reads it after the drain began is told of all that comes after.
            self.now() != Phase::Serving
        });
    }
}

/// A request that counts as traffic until this is dropped.
pub struct UnderWay(Drain);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.change(|traffic| traffic.under_way -= 1);
    }
}

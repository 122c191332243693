//! Until when each part of a batch has to be done.
//!
//! However slow its client or the database is, its answer is known `max_batch_seconds` and the time-out of a request
//! after it came; and before the process ends.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::batches::settings::BatchSettings;

#[derive(Clone, Copy)]
pub struct Deadlines {
    /// It had its turn, and the database has its row.
    pub claimed: Instant,
    /// Its content is in the database.
    pub content: Instant,
    /// It is decided.
    pub decided: Instant,
    /// It is given up, if it was not decided.
    pub settled: Instant,
}

impl Deadlines {
    pub fn from_now(settings: &BatchSettings, request_timeout: Duration) -> Self {
        let content = Instant::now() + settings.max_batch_seconds;
        let settled = content + request_timeout;
        Self {
            claimed: content.min(Instant::now() + request_timeout),
            content,
            decided: settled - request_timeout / 3,
            settled,
        }
    }
}

/// When the process ends, once that is known.
#[derive(Clone)]
pub struct ProcessEnd(Arc<watch::Sender<Option<LastMoments>>>);

#[derive(Clone, Copy)]
struct LastMoments {
    /// Content that is not complete by then is given up, so that its client is told.
    content: Instant,
    /// What is not decided by then is in doubt.
    decided: Instant,
}

/// What a batch that is given up at the end of the process is given to be told so.
const MARGIN: Duration = Duration::from_secs(4);

impl Default for ProcessEnd {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }
}

impl ProcessEnd {
    pub fn set(&self, end: Instant) {
        let left = end.saturating_duration_since(Instant::now());
        let margin = (left / 4).min(MARGIN);
        self.0.send_replace(Some(LastMoments {
            content: end - margin,
            decided: end - margin / 2,
        }));
    }

    /// Waits until no more content is taken.
    pub async fn cuts_content(&self) {
        let mut moments = self.0.subscribe();
        let known = moments.wait_for(Option::is_some).await;
        let known = known.ok().and_then(|moments| *moments);
        match known {
            Some(moments) => sleep_until(moments.content).await,
            None => std::future::pending().await,
        }
    }

    /// The given deadline, or the moment until which the process can still learn what was decided.
    pub fn limit_decision(&self, deadline: Instant) -> Instant {
        let moments = *self.0.borrow();
        moments.map_or(deadline, |moments| deadline.min(moments.decided))
    }
}

//! For how long environments were not in use: asked of their API's pods only when one may be due to fall asleep.
//!
//! The pods give a duration, and the operator counts on with its own steady clock: no two clocks are compared, and one
//! that jumps changes nothing.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::metrics_of_pods;
use crate::error_chain::chain;
use crate::identity::Component;
use crate::observed::Observed;
use crate::pods::{self, is_ready, primary};
use crate::surroundings::Idle;

/// How often the pause between two tries doubles.
const DOUBLED: u32 = 5;
/// So many tries in a row that failed are told.
const LASTING: u32 = 3;

pub struct Idleness {
    /// By environment, `NAMESPACE/NAME`.
    known: Mutex<HashMap<String, Known>>,
    /// Between two tries where the first did not say enough; it doubles with each that fails.
    again: Duration,
}

/// What the pods said last.
#[derive(Clone)]
struct Known {
    uid: String,
    at: Instant,
    said: Result<Duration, String>,
    /// How often in a row there was no answer.
    failures: u32,
}

impl Known {
    /// When it may be due, or is to be tried again.
    fn due(&self, sleep_after: Duration, again: Duration) -> Instant {
        let wait = match &self.said {
            Ok(idle) if *idle < sleep_after => sleep_after.saturating_sub(*idle),
            // Something else keeps it awake.
            Ok(_) => again,
            Err(_) => again * 2_u32.pow(self.failures.saturating_sub(1).min(DOUBLED)),
        };
        self.at + wait
    }
}

impl Idleness {
    pub fn new(again: Duration) -> Self {
        Self {
            known: Mutex::default(),
            again,
        }
    }

    /// Asks if that is due. An environment that does not serve, or whose Jobs run, is not asked.
    pub async fn look(&self, key: &str, observed: &Observed) -> Idle {
        let Some(sleep_after) = sleep_after(observed) else {
            self.forget(key);
            return Idle::NotAsked;
        };
        let pods: Vec<&Pod> = pods::of(observed, Component::Api)
            .filter(|pod| is_ready(pod))
            .collect();
        if pods.is_empty() || primary(observed).is_none() {
            return Idle::NotAsked;
        }
        let uid = &observed.identity.uid;
        let before = self.lock().get(key).filter(|known| known.uid == *uid).cloned();
        if let Some(before) = before
            .as_ref()
            .filter(|known| Instant::now() < known.due(sleep_after, self.again))
        {
            return match &before.said {
                // Only what was just said decides.
                Ok(_) => Idle::NotAsked,
                Err(_) => idle(before),
            };
        }
        let at = Instant::now();
        let said = ask(&pods).await;
        let failures = match (&said, before) {
            (Ok(_), _) => 0,
            (Err(_), before) => before.map_or(0, |before| before.failures).saturating_add(1),
        };
        let known = Known {
            uid: uid.clone(),
            at,
            said,
            failures,
        };
        let answer = idle(&known);
        self.lock().insert(key.to_owned(), known);
        answer
    }

    /// When it is to be asked again. Where it was due and could not be asked, a change of its pods comes first.
    pub fn asks_after(&self, key: &str, observed: &Observed) -> Option<Duration> {
        let sleep_after = sleep_after(observed)?;
        let due = self.lock().get(key)?.due(sleep_after, self.again);
        let wait = due.checked_duration_since(Instant::now())?;
        Some(wait + Duration::from_millis(50)).filter(|_| !wait.is_zero())
    }

    pub fn forget(&self, key: &str) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of an environment that is awake.
fn sleep_after(observed: &Observed) -> Option<Duration> {
    let spec = &observed.environment.spec;
    let sleeps = observed
        .environment
        .status
        .as_ref()
        .is_some_and(|status| status.sleep.is_some());
    let lifetime = spec.lifetime.as_ref().filter(|_| !spec.suspend && !sleeps)?;
    lifetime.sleep_after()
}

fn idle(known: &Known) -> Idle {
    match &known.said {
        Ok(idle) => Idle::For(*idle),
        Err(why) => Idle::Unknown {
            why: why.clone(),
            lasts: known.failures >= LASTING,
        },
    }
}

/// All pods have to answer: each may have been in use alone.
async fn ask(pods: &[&Pod]) -> Result<Duration, String> {
    let answers = join_all(pods.iter().map(|pod| ask_one(pod))).await;
    answers
        .into_iter()
        .try_fold(Duration::MAX, |least, answer| Ok(least.min(answer?)))
}

async fn ask_one(pod: &Pod) -> Result<Duration, String> {
    let name = pod.name_any();
    let address = pod.status.as_ref().and_then(|status| status.pod_ip.as_ref());
    let address: Option<IpAddr> = address.and_then(|address| address.parse().ok());
    let address = address.ok_or_else(|| format!("{name} has no address"))?;
    let asked = metrics_of_pods::idle(address).await;
    asked.map_err(|error| format!("{name}: {}", chain(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_asked_when_it_may_be_due_and_soon_again_where_nobody_answered() {
        let at = Instant::now();
        let failing = |failures| Known {
            uid: String::new(),
            at,
            said: Err("it is silent".to_owned()),
            failures,
        };
        let known = |said| Known { said, ..failing(0) };
        let hour = Duration::from_hours(1);
        let minute = Duration::from_mins(1);
        let again = Duration::from_secs(20);
        assert_eq!(known(Ok(minute)).due(hour, again), at + Duration::from_mins(59));
        assert_eq!(
            known(Ok(hour)).due(hour, again),
            at + again,
            "something else keeps it awake"
        );
        let waits = [1, 2, 3, 99].map(|failures| failing(failures).due(hour, again) - at);
        assert_eq!(waits.map(|wait| wait.as_secs()), [20, 40, 80, 640]);
    }
}

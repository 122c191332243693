//! Which environment has which port, and how far it is with waking.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout_at};

use super::watched::Watched;

/// How long requests that came late are still forwarded to an environment that woke: a Service may lead here a moment longer.
const REMEMBERED: Duration = Duration::from_secs(30);

/// The environments that sleep, wake, or woke a moment ago.
pub struct Environments {
    table: Mutex<Table>,
    /// Tells of every environment that got a port.
    news: watch::Sender<()>,
    /// How many requests may wait for one of them.
    held: u32,
}

#[derive(Default)]
struct Table {
    by_port: HashMap<u16, Arc<Sleeper>>,
    /// By uid: the port of the present sleep.
    ports: HashMap<String, u16>,
    /// While the environments are listed: the uids that were met.
    met: Option<HashSet<String>>,
}

/// One environment that has a port.
pub struct Sleeper {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    state: watch::Sender<State>,
    /// Places for requests that wait for it.
    pub places: Arc<Semaphore>,
    /// The sleep from which somebody here asks it to wake.
    pub asked: Mutex<Option<String>>,
}

/// How far it is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct State {
    /// Tells this sleep from every other.
    pub since: String,
    /// Where the API answers; empty until it does.
    pub endpoints: Vec<SocketAddr>,
    /// Why it does not wake by itself.
    pub failure: Option<String>,
    /// Its place among those that wait until they may run.
    pub place: Option<String>,
    /// Since when it is awake.
    pub awake: Option<Instant>,
    /// Whether the environment's status says that it is to wake from this sleep.
    pub is_asked: bool,
    pub is_deleted: bool,
}

impl Sleeper {
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    fn set(&self, state: State) {
        self.state.send_if_modified(|before| {
            let differs = *before != state;
            *before = state;
            differs
        });
    }

    fn is_over(&self, now: Instant) -> bool {
        let state = self.state.borrow();
        state.is_deleted || state.awake.is_some_and(|since| since + REMEMBERED <= now)
    }
}

impl std::fmt::Display for Sleeper {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)
    }
}

impl Environments {
    pub fn new(held_per_environment: u32) -> Self {
        Self {
            table: Mutex::default(),
            news: watch::Sender::new(()),
            held: held_per_environment,
        }
    }

    /// The environment that has a port, also if it gets it only now, until a deadline.
    pub async fn at(&self, port: u16, deadline: Instant) -> Option<Arc<Sleeper>> {
        let mut news = self.news.subscribe();
        loop {
            let found = self.table().by_port.get(&port).cloned();
            if let Some(sleeper) = found.filter(|sleeper| !sleeper.is_over(Instant::now())) {
                return Some(sleeper);
            }
            timeout_at(deadline, news.changed()).await.ok()?.ok()?;
        }
    }

    /// How many sleep or wake.
    pub fn count(&self) -> usize {
        self.table().ports.len()
    }

    /// A list begins.
    pub fn begin(&self) {
        self.table().met = Some(HashSet::new());
    }

    /// The list is complete: what it did not name is gone.
    pub fn listed(&self) {
        let mut table = self.table();
        let met = table.met.take().unwrap_or_default();
        let gone: Vec<String> = table
            .ports
            .keys()
            .filter(|uid| !met.contains(*uid))
            .cloned()
            .collect();
        for uid in gone {
            table.delete(&uid);
        }
    }

    /// Takes an environment as it is now.
    pub fn put(&self, environment: &Watched, now: Instant) {
        let Some(uid) = environment.metadata.uid.clone() else {
            return;
        };
        let mut table = self.table();
        table.by_port.retain(|_, sleeper| !sleeper.is_over(now));
        if let Some(met) = &mut table.met {
            met.insert(uid.clone());
        }
        let status = &environment.status;
        let Some(port) = status.port() else {
            table.wakes(&uid, now);
            return;
        };
        if table.ports.get(&uid).is_some_and(|before| *before != port.number) {
            table.wakes(&uid, now);
        }
        let state = State {
            since: port.since.to_owned(),
            endpoints: port.endpoints,
            failure: status.failure(),
            place: status.place(),
            awake: None,
            is_asked: status.is_asked(),
            is_deleted: false,
        };
        table.ports.insert(uid.clone(), port.number);
        match table.by_port.get(&port.number) {
            Some(sleeper) if sleeper.uid == uid => sleeper.set(state),
            _ => {
                let metadata = &environment.metadata;
                let sleeper = Sleeper {
                    namespace: metadata.namespace.clone().unwrap_or_default(),
                    name: metadata.name.clone().unwrap_or_default(),
                    uid,
                    state: watch::Sender::new(state),
                    places: Arc::new(Semaphore::new(self.held as usize)),
                    asked: Mutex::default(),
                };
                table.by_port.insert(port.number, Arc::new(sleeper));
                self.news.send_replace(());
            }
        }
    }

    /// Takes that an environment is deleted.
    pub fn remove(&self, environment: &Watched) {
        if let Some(uid) = &environment.metadata.uid {
            self.table().delete(uid);
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Its port is not its own any more; what still comes there is forwarded for a while.
    fn wakes(&mut self, uid: &str, now: Instant) {
        if let Some(sleeper) = self.leave(uid) {
            sleeper.state.send_modify(|state| state.awake = Some(now));
        }
    }

    fn delete(&mut self, uid: &str) {
        if let Some(sleeper) = self.leave(uid) {
            sleeper.state.send_modify(|state| state.is_deleted = true);
        }
    }

    fn leave(&mut self, uid: &str) -> Option<Arc<Sleeper>> {
        let port = self.ports.remove(uid)?;
        self.by_port
            .get(&port)
            .filter(|sleeper| sleeper.uid == uid)
            .cloned()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn environment(uid: &str, status: &Value) -> Watched {
        let object = json!({"metadata": {"namespace": "quay", "name": uid, "uid": uid}, "status": status});
        serde_json::from_value(object).unwrap()
    }

    fn asleep(uid: &str, port: u16, endpoints: &[&str]) -> Watched {
        environment(
            uid,
            &json!({"sleep": {"since": "s", "port": port, "endpoints": endpoints}}),
        )
    }

    async fn at(environments: &Environments, port: u16) -> Option<Arc<Sleeper>> {
        environments.at(port, Instant::now()).await
    }

    #[tokio::test]
    async fn a_port_that_no_environment_has_is_waited_for() {
        let environments = Environments::new(1);
        assert!(at(&environments, 20_001).await.is_none());
        let deadline = Instant::now() + Duration::from_secs(1);
        let (found, ()) = tokio::join!(environments.at(20_001, deadline), async {
            environments.put(&asleep("a", 20_001, &[]), Instant::now());
        });
        assert_eq!(found.unwrap().to_string(), "quay/a");
        assert_eq!(environments.count(), 1);
    }

    #[tokio::test]
    async fn one_that_woke_is_known_for_half_a_minute_with_its_endpoints() {
        let environments = Environments::new(1);
        environments.put(&asleep("a", 20_001, &["127.0.0.1:80"]), Instant::now());
        environments.put(&environment("a", &json!({})), Instant::now());
        let state = at(&environments, 20_001).await.unwrap().state().borrow().clone();
        assert!(state.awake.is_some() && state.endpoints.len() == 1, "{state:?}");
        let earlier = Instant::now() - Duration::from_secs(31);
        environments.put(&asleep("a", 20_001, &["127.0.0.1:80"]), earlier);
        environments.put(&environment("a", &json!({})), earlier);
        assert!(at(&environments, 20_001).await.is_none());
    }

    #[tokio::test]
    async fn one_that_sleeps_at_another_port_leaves_the_first_to_the_next() {
        let environments = Environments::new(1);
        environments.put(&asleep("a", 20_001, &[]), Instant::now());
        environments.put(&asleep("a", 20_002, &[]), Instant::now());
        environments.put(&asleep("b", 20_001, &[]), Instant::now());
        assert_eq!(at(&environments, 20_001).await.unwrap().name, "b");
        environments.put(&environment("a", &json!({})), Instant::now());
        assert_eq!(at(&environments, 20_001).await.unwrap().name, "b");
        assert_eq!(environments.count(), 1);
    }

    #[tokio::test]
    async fn what_a_list_does_not_name_is_gone() {
        let environments = Environments::new(1);
        environments.put(&asleep("a", 20_001, &[]), Instant::now());
        environments.put(&asleep("b", 20_002, &[]), Instant::now());
        let a = at(&environments, 20_001).await.unwrap();
        environments.begin();
        environments.put(&asleep("b", 20_002, &[]), Instant::now());
        environments.listed();
        assert!(at(&environments, 20_001).await.is_none());
        assert!(at(&environments, 20_002).await.is_some());
        assert!(a.state().borrow().is_deleted);
    }

    #[test]
    fn only_a_failure_of_the_waking_that_was_asked_for_counts() {
        let status = |phase: &str, request: &str| {
            let status = json!({
                "phase": phase, "message": "no such image", "wakeRequest": request,
                "sleep": {"since": "s", "port": 20_001},
            });
            environment("a", &status).status.failure()
        };
        assert_eq!(status("Degraded", "s").as_deref(), Some("no such image"));
        assert_eq!(status("Degraded", "an earlier sleep"), None);
        assert_eq!(status("Progressing", "s"), None);
    }
}

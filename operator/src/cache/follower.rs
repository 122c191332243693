//! Follows one kind: a list, and from its version on a watch, for as long as the process lives.
//!
//! Whatever fails is tried again after growing pauses, and stops no other kind. A watch that says
//! nothing is begun again, and a list from time to time finds what a watch may have missed.

use std::collections::HashSet;
use std::fmt::Debug;
use std::time::Duration;

use futures::StreamExt;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::core::DeserializeGuard;
use kube::{Api, ResourceExt};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::kind::{Kind, name_of, version_of};
use super::kinds::{Cache, Cached};
use super::objects::{Changed, Key};
use crate::error_chain::chain;

/// Objects in one answer to a list. Small, as whole pages are what memory peaks at.
const PAGE: u32 = 100;
const SHORTEST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Between two looks for a kind that the cluster does not have.
const MISSING_PAUSE: Duration = Duration::from_secs(10);

/// Why a kind could not be listed or watched.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Api(#[from] kube::Error),
    #[error("the API server did not answer in time")]
    Slow,
    #[error("nothing came for {} s, not even a bookmark", .0.as_secs())]
    Silent(Duration),
}

impl Failure {
    fn code(&self) -> Option<u16> {
        match self {
            Self::Api(kube::Error::Api(status)) => Some(status.code),
            Self::Api(_) | Self::Slow | Self::Silent(_) => None,
        }
    }

    /// Whether the cluster does not know the kind, or no longer.
    pub fn is_missing(&self) -> bool {
        self.code() == Some(404)
    }

    pub fn is_forbidden(&self) -> bool {
        self.code() == Some(403)
    }

    /// Whether a watch cannot go on from its version: too old (410), or, once etcd was restored,
    /// one that is still to come (504).
    fn needs_a_list(&self) -> bool {
        matches!(self.code(), Some(400 | 404 | 410 | 504))
    }
}

/// How long what takes how long.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How long an answer to a list, or the beginning of one to a watch, may take.
    pub answer: Duration,
    /// A watch that brings nothing for so long is begun again. API servers send a bookmark a minute.
    pub silence: Duration,
    /// How often a kind is listed although its watch works.
    pub relist: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            answer: Duration::from_mins(1),
            silence: Duration::from_secs(150),
            relist: Duration::from_hours(1),
        }
    }
}

/// Follows a kind.
pub struct Follower<'a, K: Cached> {
    pub api: Api<DeserializeGuard<K>>,
    pub selector: Option<&'static str>,
    /// What the server is to leave out.
    pub fields: Option<String>,
    pub cache: &'a Cache,
    pub timing: Timing,
    /// Objects that cannot be understood.
    pub malformed: HashSet<Key>,
}

impl<K: Cached + Debug> Follower<'_, K> {
    /// Ends only when it is dropped.
    pub async fn follow(mut self) {
        let kind = K::cached_in(self.cache);
        let mut pause = SHORTEST_PAUSE;
        loop {
            let failure = match self.list(kind).await {
                Ok(version) => {
                    self.cache.follows::<K>();
                    match self.watch(kind, version, &mut pause).await {
                        Some(failure) => failure,
                        None => continue,
                    }
                }
                Err(failure) if K::OPTIONAL && failure.is_missing() => {
                    if !kind.is_missing() {
                        tracing::info!(kind = %K::kind(&()), "the cluster has no such kind; looked for again and again");
                    }
                    kind.missed();
                    // Also where it could not be listed before.
                    self.cache.follows::<K>();
                    self.tell(Changed::new());
                    sleep(MISSING_PAUSE).await;
                    continue;
                }
                Err(failure) => failure,
            };
            if !K::ESSENTIAL && failure.is_forbidden() {
                kind.forbid();
                self.tell(Changed::new());
            }
            self.failed(&failure, &mut pause).await;
        }
    }

    async fn list(&mut self, kind: &Kind<K>) -> Result<String, Failure> {
        // A few at a time: pages of all kinds at once would be most of what the process ever needs.
        let _turn = self.cache.lists.acquire().await;
        kind.listing();
        let mut met = HashSet::new();
        let mut page = ListParams::default().limit(PAGE);
        page.label_selector = self.selector.map(str::to_owned);
        page.field_selector.clone_from(&self.fields);
        let mut at = None;
        loop {
            let answer = timeout(self.timing.answer, self.api.list(&page));
            let list = answer.await.map_err(|_| Failure::Slow)??;
            let listed = list.metadata.resource_version.unwrap_or_default();
            let at = *at.get_or_insert_with(|| version_of(Some(&listed)));
            self.tell(kind.begin(at));
            for object in list.items {
                met.extend(name_of(&object));
                self.take(kind, object, at);
            }
            page.continue_token = list.metadata.continue_.filter(|token| !token.is_empty());
            if page.continue_token.is_none() {
                self.tell(kind.listed(&met, at));
                self.malformed.retain(|name| met.contains(name));
                self.cache.metrics.listed(&K::kind(&()));
                self.count_malformed();
                return Ok(listed);
            }
        }
    }

    /// Returns when a new list is needed, and why, unless it is only time for one.
    async fn watch(&mut self, kind: &Kind<K>, mut version: String, pause: &mut Duration) -> Option<Failure> {
        let parameters = WatchParams {
            label_selector: self.selector.map(str::to_owned),
            field_selector: self.fields.clone(),
            ..WatchParams::default()
        };
        let next_list = Instant::now() + self.timing.relist;
        loop {
            let api = self.api.clone();
            let failure = match timeout(self.timing.answer, api.watch(&parameters, &version)).await {
                Ok(Ok(events)) => {
                    let mut events = std::pin::pin!(events);
                    loop {
                        let silent = Instant::now() + self.timing.silence;
                        let event = match timeout_at(silent.min(next_list), events.next()).await {
                            Ok(event) => event,
                            Err(_) if Instant::now() >= next_list => return None,
                            Err(_) => break Some(Failure::Silent(self.timing.silence)),
                        };
                        match event {
                            Some(Ok(WatchEvent::Added(object) | WatchEvent::Modified(object))) => {
                                version = object.resource_version().unwrap_or(version);
                                self.take(kind, object, 0);
                                self.count_malformed();
                            }
                            Some(Ok(WatchEvent::Deleted(object))) => {
                                version = object.resource_version().unwrap_or(version);
                                self.tell(kind.remove(&object));
                                self.malformed
                                    .retain(|name| name_of(&object).as_ref() != Some(name));
                                self.count_malformed();
                            }
                            Some(Ok(WatchEvent::Bookmark(bookmark))) => {
                                version = bookmark.metadata.resource_version;
                            }
                            Some(Ok(WatchEvent::Error(status))) => {
                                break Some(kube::Error::Api(status).into());
                            }
                            Some(Err(error)) => break Some(error.into()),
                            // The server ends a watch after some minutes.
                            None => break None,
                        }
                        if *pause > SHORTEST_PAUSE {
                            *pause = SHORTEST_PAUSE;
                            self.cache.follows::<K>();
                        }
                    }
                }
                Ok(Err(error)) => Some(error.into()),
                Err(_) => Some(Failure::Slow),
            };
            match failure {
                Some(failure) if failure.needs_a_list() => return Some(failure),
                Some(failure) => self.failed(&failure, pause).await,
                None => {}
            }
            if Instant::now() >= next_list {
                return None;
            }
        }
    }

    /// Takes an object from the list at a version, or from the watch (0). One that cannot be
    /// understood stalls no other.
    fn take(&mut self, kind: &Kind<K>, object: DeserializeGuard<K>, listed: u64) {
        let name = name_of(&object);
        match object.0 {
            Ok(object) => {
                self.malformed
                    .retain(|malformed| Some(malformed) != name.as_ref());
                self.tell(kind.put_listed(object, listed));
            }
            Err(invalid) => {
                tracing::warn!(kind = %K::kind(&()), name = name.as_deref(), error = invalid.error, "not understood, and left alone");
                self.malformed.extend(name);
                self.tell(kind.remove(&DeserializeGuard::<K>(Err(invalid))));
            }
        }
    }

    fn count_malformed(&self) {
        self.cache.metrics.malformed(&K::kind(&()), self.malformed.len());
    }

    fn tell(&self, changed: Changed) {
        self.cache.tell(changed);
    }

    async fn failed(&self, failure: &Failure, pause: &mut Duration) {
        let kind = K::kind(&());
        tracing::warn!(%failure, %kind, ?pause, "the list or watch failed and is tried again");
        self.cache.follows_not::<K>(chain(failure));
        self.cache.metrics.watch_failed(&kind);
        sleep(*pause).await;
        *pause = (*pause * 2).min(LONGEST_PAUSE);
    }
}

//! Follows one kind: a list, and from its version on a watch, for as long as the process lives.

use std::collections::HashSet;
use std::fmt::Debug;
use std::time::Duration;

use futures::StreamExt;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::time::sleep;

use super::Store;
use super::kind::{Changed, Kind, name_of};
use super::matters::Held;

/// Objects in one answer to a list. Small, as whole pages are what memory peaks at.
const PAGE: u32 = 100;
const SHORTEST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Between two looks for a kind that the cluster does not have.
const MISSING_PAUSE: Duration = Duration::from_secs(10);

/// Whether the cluster does not know the kind, or no longer.
fn is_missing(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// A kind as it is read: itself, or what may turn out not to be one.
pub trait Read<K>: Resource + Clone + Debug + DeserializeOwned + Send + 'static {
    /// The object, or why it cannot be understood: one malformed object stalls no other.
    fn understood(self) -> Result<K, Malformed<Self>>;
}

/// An object that cannot be understood, and why.
pub struct Malformed<R> {
    pub object: R,
    pub error: String,
}

impl<K: Held> Read<K> for K {
    fn understood(self) -> Result<K, Malformed<K>> {
        Ok(self)
    }
}

/// Follows a kind.
pub struct Follower<'a, R> {
    pub api: Api<R>,
    pub selector: Option<&'static str>,
    /// What the server is to leave out.
    pub fields: Option<String>,
    pub store: &'a Store,
}

/// Those of ours.
pub const OURS: &str = "app.kubernetes.io/managed-by=rates-operator";

impl<R> Follower<'_, R> {
    /// Ends only when it is dropped.
    pub async fn follow<K>(self)
    where
        K: Held,
        R: Read<K>,
    {
        let kind = K::held_in(self.store);
        let mut pause = SHORTEST_PAUSE;
        loop {
            let version = match self.list(kind).await {
                Ok(version) => version,
                Err(error) if K::OPTIONAL && is_missing(&error) => {
                    if !kind.is_missing() {
                        tracing::info!(kind = %K::kind(&()), "the cluster has no such kind; looked for again and again");
                    }
                    kind.missed();
                    self.tell(Changed::new());
                    sleep(MISSING_PAUSE).await;
                    continue;
                }
                Err(error) => {
                    self.failed::<K>("list", &error, &mut pause).await;
                    continue;
                }
            };
            self.watch(kind, version, &mut pause).await;
        }
    }

    async fn list<K>(&self, kind: &Kind<K>) -> Result<String, kube::Error>
    where
        K: Held,
        R: Read<K>,
    {
        // A few at a time: pages of all kinds at once would be most of what the process ever needs.
        let _turn = self.store.lists.acquire().await;
        kind.listing();
        let mut met = HashSet::new();
        let mut page = ListParams::default().limit(PAGE);
        page.label_selector = self.selector.map(str::to_owned);
        page.field_selector.clone_from(&self.fields);
        loop {
            let list = self.api.list(&page).await?;
            for object in list.items {
                met.extend(name_of(&object));
                self.take(kind, object);
            }
            page.continue_token = list.metadata.continue_.filter(|token| !token.is_empty());
            if page.continue_token.is_none() {
                let version = list.metadata.resource_version.unwrap_or_default();
                self.tell(kind.listed(&met, Some(&version)));
                self.store.metrics.listed(&K::kind(&()));
                return Ok(version);
            }
        }
    }

    /// Returns when a new list is needed.
    async fn watch<K>(&self, kind: &Kind<K>, mut version: String, pause: &mut Duration)
    where
        K: Held,
        R: Read<K>,
    {
        let parameters = WatchParams {
            label_selector: self.selector.map(str::to_owned),
            field_selector: self.fields.clone(),
            ..WatchParams::default()
        };
        loop {
            let error = match self.api.watch(&parameters, &version).await {
                Ok(events) => {
                    let mut events = std::pin::pin!(events);
                    loop {
                        match events.next().await {
                            Some(Ok(WatchEvent::Added(object) | WatchEvent::Modified(object))) => {
                                version = object.resource_version().unwrap_or(version);
                                self.take(kind, object);
                            }
                            Some(Ok(WatchEvent::Deleted(object))) => {
                                version = object.resource_version().unwrap_or(version);
                                self.tell(kind.remove(&object));
                            }
                            Some(Ok(WatchEvent::Bookmark(bookmark))) => {
                                version = bookmark.metadata.resource_version;
                            }
                            // Too old a version to go on from.
                            Some(Ok(WatchEvent::Error(status))) if status.code == 410 => return,
                            Some(Ok(WatchEvent::Error(status))) => break Some(kube::Error::Api(status)),
                            Some(Err(error)) => break Some(error),
                            // The server ends a watch after some minutes.
                            None => break None,
                        }
                        *pause = SHORTEST_PAUSE;
                    }
                }
                Err(kube::Error::Api(status)) if status.code == 410 => return,
                Err(error) if K::OPTIONAL && is_missing(&error) => return,
                Err(error) => Some(error),
            };
            if let Some(error) = error {
                self.failed::<K>("watch", &error, pause).await;
            }
        }
    }

    fn take<K>(&self, kind: &Kind<K>, object: R)
    where
        K: Held,
        R: Read<K>,
    {
        match object.understood() {
            Ok(object) => self.tell(kind.put(object)),
            Err(Malformed { object, error }) => {
                let name = object.name_any();
                tracing::warn!(kind = %K::kind(&()), name, error, "not understood, and left alone");
                self.tell(kind.remove(&object));
            }
        }
    }

    fn tell(&self, changed: Changed) {
        self.store.tell(changed);
    }

    async fn failed<K: Held>(&self, what: &str, error: &kube::Error, pause: &mut Duration) {
        let kind = K::kind(&());
        tracing::warn!(%error, %kind, ?pause, "a {what} failed and is tried again");
        self.store.metrics.watch_failed(&kind);
        sleep(*pause).await;
        *pause = (*pause * 2).min(LONGEST_PAUSE);
    }
}

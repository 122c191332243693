//! Follows every kind that is held.

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;

use futures::future::{BoxFuture, join_all};
use kube::api::ListParams;
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::follower::{Failure, Follower, Timing};
use super::kinds::{Cache, Cached, EachKind, each_kind};
use super::objects::Key;
use crate::error_chain::chain;
use crate::metrics::Metrics;
use crate::settings::Namespaces;

/// The cache, the environments of which something changed, and what keeps it: to be polled for as
/// long as the cache is used.
pub fn follow(
    client: &Client,
    namespaces: &Namespaces,
    metrics: Arc<Metrics>,
    timing: Timing,
) -> (
    Arc<Cache>,
    mpsc::UnboundedReceiver<Key>,
    impl Future<Output = ()> + Send + use<>,
) {
    let (cache, triggered) = Cache::new(metrics, namespaces.clone());
    let cache = Arc::new(cache);
    let (client, namespaces) = (client.clone(), namespaces.clone());
    let kept = cache.clone();
    let keeping = async move {
        let mut followers = Followers {
            cache: &kept,
            client: &client,
            namespaces: &namespaces,
            timing,
            following: Vec::new(),
        };
        each_kind(&mut followers);
        join_all(followers.following).await;
    };
    (cache, triggered, keeping)
}

struct Followers<'a> {
    cache: &'a Cache,
    client: &'a Client,
    namespaces: &'a Namespaces,
    timing: Timing,
    following: Vec<BoxFuture<'a, ()>>,
}

impl EachKind for Followers<'_> {
    fn kind<K: Cached>(&mut self, selector: Option<&'static str>) {
        let follower = Follower::<K> {
            api: api(self.client, self.namespaces),
            selector,
            fields: self.namespaces.field_selector(),
            cache: self.cache,
            timing: self.timing,
            malformed: HashSet::new(),
        };
        self.following.push(Box::pin(follower.follow()));
    }
}

/// Which kinds cannot be listed that nobody can lead without, and why.
pub async fn cannot_list(client: &Client, namespaces: &Namespaces) -> Vec<String> {
    let mut tries = Tries {
        client,
        namespaces,
        lists: Vec::new(),
    };
    each_kind(&mut tries);
    let mut reasons = Vec::new();
    for list in tries.lists {
        reasons.extend(list.await);
    }
    reasons
}

struct Tries<'a> {
    client: &'a Client,
    namespaces: &'a Namespaces,
    lists: Vec<BoxFuture<'a, Option<String>>>,
}

impl EachKind for Tries<'_> {
    fn kind<K: Cached>(&mut self, selector: Option<&'static str>) {
        let list = try_list::<K>(self.client, self.namespaces, selector);
        self.lists.push(Box::pin(list));
    }
}

/// Asks for one object of a kind; gives why it cannot be had, if it is needed.
async fn try_list<K: Cached>(
    client: &Client,
    namespaces: &Namespaces,
    selector: Option<&str>,
) -> Option<String> {
    let mut one = ListParams::default().limit(1);
    one.label_selector = selector.map(str::to_owned);
    let api = api::<K>(client, namespaces);
    let answer = timeout(Timing::default().answer, api.list_metadata(&one)).await;
    let failure = match answer {
        Ok(Ok(_)) => return None,
        Ok(Err(error)) => Failure::Api(error),
        Err(_) => Failure::Slow,
    };
    if (K::OPTIONAL && failure.is_missing()) || (!K::ESSENTIAL && failure.is_forbidden()) {
        return None;
    }
    Some(format!("{}: {}", K::plural(&()), chain(&failure)))
}

fn api<K>(client: &Client, namespaces: &Namespaces) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    match namespaces.only() {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

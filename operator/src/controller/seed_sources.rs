//! People's own `ConfigMaps` and claims, which a seed may name. Only their metadata is asked for, and nothing
//! is kept but a version for each.

use std::collections::HashMap;
use std::fmt::Debug;

use futures::{Stream, StreamExt, stream};
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim};
use kube::core::{NamespaceResourceScope, PartialObjectMeta};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use crate::cache::{Key, name_of};
use crate::identity::{MANAGED_BY_LABEL, MANAGER};
use crate::settings::Namespaces;

/// `KIND/NAMESPACE/NAME` of each that changed, appeared or vanished. Errors of a watch are logged,
/// and it goes on.
pub fn changes(client: &Client, namespaces: &Namespaces) -> impl Stream<Item = String> + Send + use<> {
    stream::select(
        changes_of::<ConfigMap>(client, namespaces),
        changes_of::<PersistentVolumeClaim>(client, namespaces),
    )
}

fn changes_of<K>(client: &Client, namespaces: &Namespaces) -> impl Stream<Item = String> + Send + use<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + 'static,
{
    let api: Api<PartialObjectMeta<K>> = match namespaces.only() {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let others = watcher::Config {
        field_selector: namespaces.field_selector(),
        ..watcher::Config::default().labels(&format!("{MANAGED_BY_LABEL}!={MANAGER}"))
    };
    let mut seen = Seen::default();
    watcher(api, others)
        .default_backoff()
        .filter_map(async |event| match event {
            Ok(event) => Some(event),
            Err(error) => {
                tracing::warn!(%error, kind = %K::kind(&()), "the watch of people's own failed and is tried again");
                None
            }
        })
        .flat_map(move |event| stream::iter(seen.take(event)))
        .map(|name| format!("{}/{name}", K::kind(&())))
}

/// The version of each, and whether it was met in the list that is under way.
#[derive(Default)]
struct Seen(HashMap<Key, (Option<String>, bool)>);

impl Seen {
    fn take<K: Resource<DynamicType = ()>>(&mut self, event: Event<PartialObjectMeta<K>>) -> Vec<Key> {
        match event {
            Event::Init => {
                self.0.values_mut().for_each(|(_, met)| *met = false);
                Vec::new()
            }
            Event::InitApply(object) | Event::Apply(object) => {
                let Some(name) = name_of(&object) else {
                    return Vec::new();
                };
                let version = object.metadata.resource_version;
                let before = self.0.insert(name.clone(), (version.clone(), true));
                let same = before.is_some_and(|(before, _)| before == version);
                (!same).then_some(name).into_iter().collect()
            }
            Event::InitDone => {
                let gone: Vec<Key> = self
                    .0
                    .iter()
                    .filter(|(_, (_, met))| !met)
                    .map(|(name, _)| name.clone())
                    .collect();
                self.0.retain(|_, (_, met)| *met);
                gone
            }
            Event::Delete(object) => {
                let name = name_of(&object);
                if let Some(name) = &name {
                    self.0.remove(name);
                }
                name.into_iter().collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::core::ObjectMeta;
    use kube::core::metadata::PartialObjectMetaExt as _;

    use super::*;

    fn object(name: &str, version: &str) -> PartialObjectMeta<ConfigMap> {
        let metadata = ObjectMeta {
            namespace: Some("quay".to_owned()),
            name: Some(name.to_owned()),
            resource_version: Some(version.to_owned()),
            ..ObjectMeta::default()
        };
        metadata.into_response_partial()
    }

    fn take(seen: &mut Seen, event: Event<PartialObjectMeta<ConfigMap>>) -> Vec<String> {
        let names = seen.take(event);
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_was_seen_already_is_passed_over_also_after_a_new_list() {
        let mut seen = Seen::default();
        assert_eq!(take(&mut seen, Event::Apply(object("a", "1"))), ["quay/a"]);
        assert!(take(&mut seen, Event::Apply(object("a", "1"))).is_empty());
        assert!(take(&mut seen, Event::Init).is_empty());
        assert!(take(&mut seen, Event::InitApply(object("a", "1"))).is_empty());
        assert!(take(&mut seen, Event::InitDone).is_empty());
        assert_eq!(take(&mut seen, Event::Apply(object("a", "2"))), ["quay/a"]);
    }

    #[test]
    fn what_vanished_is_noticed_also_while_nobody_watched() {
        let mut seen = Seen::default();
        take(&mut seen, Event::Apply(object("a", "1")));
        take(&mut seen, Event::Apply(object("b", "1")));
        assert_eq!(take(&mut seen, Event::Delete(object("a", "1"))), ["quay/a"]);
        take(&mut seen, Event::Init);
        assert_eq!(take(&mut seen, Event::InitDone), ["quay/b"]);
    }
}

//! All that a reconcile reads: from the cache, and by name what the cache cannot hold.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Secret};
use kube::{Api, Client, Resource, ResourceExt};

use crate::annotations::HOLDS;
use crate::cache::{self, Cache, Cached};
use crate::copies::{self, Source};
use crate::crd::{ConfigMapSource, RatesEnvironment, Seed};
use crate::digest::short_digest;
use crate::identity::Identity;
use crate::observed::{Dump, Observed, Optional};
use crate::reason::Reason;
use crate::refusals::Refusals;
use crate::surroundings::Surroundings;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {what}")]
    Read { what: String, source: kube::Error },
    #[error("cannot read the {what} that are held")]
    Stored { what: String, source: cache::Error },
}

impl Error {
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Read {
                source: kube::Error::Api(answer),
                ..
            } if answer.code == 403 => Reason::NotPermitted,
            Self::Read { .. } | Self::Stored { .. } => Reason::ReadFailed,
        }
    }
}

/// Takes everything of an environment, `NAMESPACE/NAME`; `None` if it is gone.
///
/// What has our labels is in the cache. What has none is asked for by name where something is missing.
pub async fn observe(client: &Client, cache: &Cache, key: &str) -> Result<Option<Observed>, Error> {
    let environment = all::<RatesEnvironment>(cache, key)?.pop();
    let Some(environment) = environment else {
        return Ok(None);
    };
    let Some(identity) = Identity::of(&environment) else {
        return Ok(None);
    };
    let reader = Reader {
        client,
        namespace: &identity.namespace,
        secrets: all(cache, key)?,
    };
    let names = [
        identity.postgres(),
        identity.postgres_admin(),
        identity.postgres_migrator(),
        identity.api(),
    ];
    let [postgres, admin, migrator, api] = &names;
    let (app_secret, admin_secret, migrator_secret, token_secret) = tokio::try_join!(
        reader.secret(postgres),
        reader.secret(admin),
        reader.secret(migrator),
        reader.secret(api)
    )?;
    let claims = confirmed(client, &environment, &identity, all(cache, key)?).await?;
    let source = unloaded_seed(&environment, &claims, &identity.claim(0));
    let dump = reader.dump(source).await?;
    let stored = |source| Error::Stored {
        what: RatesEnvironment::plural(&()).into_owned(),
        source,
    };
    let source = match source {
        Some(_) => copies::source(cache, &environment).map_err(stored)?,
        None => Source::NotNeeded,
    };
    let readers = copies::readers(cache, &environment).map_err(stored)?;
    let copy = identity.copy();
    let copy_secret = reader.secrets.iter().find(|secret| secret.name_any() == copy);
    let copy_secret = copy_secret.cloned();
    let (stateful_sets, jobs, pods) = (all(cache, key)?, all(cache, key)?, all(cache, key)?);
    let refusals = Refusals::of(
        client,
        &identity.namespace,
        &stateful_sets,
        &jobs,
        &pods,
        Timestamp::now(),
    )
    .await;
    Ok(Some(Observed {
        app_secret,
        admin_secret,
        migrator_secret,
        token_secret,
        copy_secret,
        config_maps: all(cache, key)?,
        service_accounts: all(cache, key)?,
        roles: all(cache, key)?,
        role_bindings: all(cache, key)?,
        claims,
        services: all(cache, key)?,
        endpoint_slices: all(cache, key)?,
        stateful_sets,
        jobs,
        deployments: all(cache, key)?,
        autoscalers: all(cache, key)?,
        disruption_budgets: all(cache, key)?,
        network_policies: all(cache, key)?,
        ingresses: all(cache, key)?,
        routes: optional(cache, key)?,
        pod_monitors: optional(cache, key)?,
        pods,
        refusals,
        dump,
        source,
        readers,
        surroundings: Surroundings::default(),
        identity,
        environment,
        waits_for_turn: false,
    }))
}

/// The claims, where the data's is another one than the status says as the API server has it now: what follows from that
/// is not for a watch that lags to decide.
async fn confirmed(
    client: &Client,
    environment: &RatesEnvironment,
    identity: &Identity,
    mut claims: Vec<PersistentVolumeClaim>,
) -> Result<Vec<PersistentVolumeClaim>, Error> {
    let database = environment
        .status
        .as_ref()
        .and_then(|status| status.database.as_ref());
    let known = database.and_then(|database| database.storage.as_ref()?.claim_uid.as_ref());
    let name = identity.claim(0);
    // Nothing follows from the first claim where any other one holds the data, or it holds a copy itself.
    let is_decided = claims.iter().any(holds_a_copy);
    let is_other = |claim: &PersistentVolumeClaim| {
        claim.name_any() == name && known.is_some() && claim.metadata.uid.as_ref() != known && !is_decided
    };
    if claims.iter().any(is_other) {
        let api: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &identity.namespace);
        let found = api.get_opt(&name).await.map_err(|source| Error::Read {
            what: format!("PersistentVolumeClaim {name}"),
            source,
        })?;
        claims.retain(|claim| claim.name_any() != name);
        claims.extend(found);
    }
    Ok(claims)
}

fn holds_a_copy(claim: &PersistentVolumeClaim) -> bool {
    claim.annotations().contains_key(HOLDS)
}

fn all<K: Cached>(cache: &Cache, key: &str) -> Result<Vec<K>, Error> {
    cache.of(key).map_err(|source| Error::Stored {
        what: K::plural(&()).into_owned(),
        source,
    })
}

fn optional<K: Cached>(cache: &Cache, key: &str) -> Result<Optional<K>, Error> {
    if cache.has::<K>() {
        Ok(Optional::Found(all(cache, key)?))
    } else {
        Ok(Optional::NoSuchKind)
    }
}

/// The seed, until it was loaded into the claim that is there, or into one of which others hold a copy.
fn unloaded_seed<'a>(
    environment: &'a RatesEnvironment,
    claims: &[PersistentVolumeClaim],
    claim: &str,
) -> Option<&'a Seed> {
    let database = environment
        .status
        .as_ref()
        .and_then(|status| status.database.as_ref());
    let loaded_into = database.and_then(|database| database.seed.as_ref()?.claim_uid.as_ref());
    let claim = claims.iter().find(|existing| existing.name_any() == claim);
    let is_there = loaded_into == claim.and_then(|claim| claim.metadata.uid.as_ref());
    if loaded_into.is_some() && (is_there || claims.iter().any(holds_a_copy)) {
        return None;
    }
    environment.spec.database.seed.as_ref()
}

struct Reader<'a> {
    client: &'a Client,
    namespace: &'a str,
    /// Those with our labels.
    secrets: Vec<Secret>,
}

impl Reader<'_> {
    /// A Secret, also a foreign one: it is somebody's password, and nothing is made beside it.
    async fn secret(&self, name: &str) -> Result<Option<Secret>, Error> {
        if let Some(secret) = self.secrets.iter().find(|secret| secret.name_any() == name) {
            return Ok(Some(secret.clone()));
        }
        let api: Api<Secret> = Api::namespaced(self.client.clone(), self.namespace);
        api.get_opt(name).await.map_err(|source| Error::Read {
            what: format!("Secret {name}"),
            source,
        })
    }

    async fn dump(&self, seed: Option<&Seed>) -> Result<Dump, Error> {
        match seed {
            Some(Seed {
                config_map: Some(source),
                ..
            }) => self.config_map(source).await,
            Some(Seed {
                persistent_volume_claim: Some(source),
                ..
            }) => self.claim(&source.claim_name).await,
            Some(_) | None => Ok(Dump::NotNeeded),
        }
    }

    async fn claim(&self, name: &str) -> Result<Dump, Error> {
        let api: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), self.namespace);
        let found = match api.get_opt(name).await {
            Ok(found) => found,
            Err(error) => return unreadable(format!("PersistentVolumeClaim {name}"), error),
        };
        let uid = found
            .filter(|claim| claim.metadata.deletion_timestamp.is_none())
            .and_then(|claim| claim.uid());
        Ok(uid.map_or(Dump::NoClaim, |uid| Dump::Found {
            digest: short_digest(&[uid.as_bytes()]),
        }))
    }

    async fn config_map(&self, source: &ConfigMapSource) -> Result<Dump, Error> {
        let ConfigMapSource { name, key } = source;
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), self.namespace);
        let found = match api.get_opt(name).await {
            Ok(found) => found,
            Err(error) => return unreadable(format!("ConfigMap {name}"), error),
        };
        Ok(found.map_or(Dump::NoConfigMap, |config_map| look_for(key, config_map)))
    }
}

/// What is not permitted lasts, and concerns the seed alone; what else fails may pass.
fn unreadable(what: String, source: kube::Error) -> Result<Dump, Error> {
    match source {
        kube::Error::Api(answer) if answer.code == 403 => Ok(Dump::NotPermitted(answer.message)),
        source => Err(Error::Read { what, source }),
    }
}

fn look_for(key: &str, config_map: ConfigMap) -> Dump {
    let text = config_map.data.unwrap_or_default();
    let binary = config_map.binary_data.unwrap_or_default();
    let content = text
        .get(key)
        .map(String::as_bytes)
        .or_else(|| binary.get(key).map(|b| b.0.as_slice()));
    match content {
        Some(content) => Dump::Found {
            digest: short_digest(&[content]),
        },
        None => Dump::NoKey(text.into_keys().chain(binary.into_keys()).collect()),
    }
}

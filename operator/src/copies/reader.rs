//! The environments whose seed copies a source.

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;

use super::login::{username, verifier};
use super::source::{EnvironmentName, is_seeded};
use crate::cache::{Cache, Error};
use crate::crd::RatesEnvironment;
use crate::identity::Identity;
use crate::password::Password;

/// An environment whose seed copies another one. Not `Debug`: it holds what opens a login.
#[derive(Clone)]
pub struct Reader {
    pub identity: Identity,
    /// The login with which it reads.
    pub username: String,
    /// What its password is checked by, once it has made one.
    pub verifier: Option<Password>,
    /// Whether its data are loaded.
    pub is_complete: bool,
}

/// The environments whose seed copies this one, by name. It is looked for them where some may be.
pub fn readers(cache: &Cache, source: &RatesEnvironment) -> Result<Vec<Reader>, Error> {
    let database = source.status.as_ref().and_then(|status| status.database.as_ref());
    let had_some = database.is_some_and(|database| !database.copies.is_empty());
    if source.spec.sharing.is_empty() && !had_some {
        return Ok(Vec::new());
    }
    let Some(identity) = Identity::of(source) else {
        return Ok(Vec::new());
    };
    let own = EnvironmentName {
        namespace: identity.namespace.clone(),
        name: identity.name.clone(),
    };
    let mut found = Vec::new();
    for key in cache.referring_to(&reference(&own)) {
        let Some(environment) = cache.of::<RatesEnvironment>(&key)?.pop() else {
            continue;
        };
        let Some(reader) = Identity::of(&environment).filter(|reader| *reader != identity) else {
            continue;
        };
        if environment.metadata.deletion_timestamp.is_some() {
            continue;
        }
        let is_complete = is_seeded(&environment);
        let verifier = if is_complete {
            None
        } else {
            let name = reader.copy();
            let secrets = cache.of::<Secret>(&key)?;
            verifier(secrets.iter().find(|secret| secret.name_any() == name))
        };
        found.push(Reader {
            username: username(&reader.uid),
            identity: reader,
            verifier,
            is_complete,
        });
    }
    found.sort_by(|one, other| {
        let name = |reader: &Reader| (reader.identity.namespace.clone(), reader.identity.name.clone());
        name(one).cmp(&name(other))
    });
    Ok(found)
}

/// As the cache knows what environments refer to.
#[must_use]
pub(super) fn reference(source: &EnvironmentName) -> String {
    format!("RatesEnvironment/{source}")
}

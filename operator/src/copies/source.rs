//! What a reader knows of the environment that its seed copies.

use std::fmt::{Display, Formatter};

use crate::cache::{Cache, Error};
use crate::crd::RatesEnvironment;
use crate::identity::Identity;

/// An environment, by namespace and name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EnvironmentName {
    pub namespace: String,
    pub name: String,
}

impl Display for EnvironmentName {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)
    }
}

impl EnvironmentName {
    /// The names of what is made for it; its uid is not known.
    #[must_use]
    pub fn identity(&self) -> Identity {
        Identity {
            name: self.name.clone(),
            namespace: self.namespace.clone(),
            uid: String::new(),
        }
    }

    /// The one that an environment's seed copies.
    #[must_use]
    pub fn copied_by(environment: &RatesEnvironment) -> Option<Self> {
        let source = environment.spec.database.seed.as_ref()?.environment.as_ref()?;
        let own = environment.metadata.namespace.as_ref();
        Some(Self {
            namespace: source.namespace.as_ref().or(own)?.clone(),
            name: source.name.clone(),
        })
    }
}

/// What is known of the environment that a seed copies.
#[derive(Clone, Debug)]
pub enum Source {
    /// The seed copies none, or was loaded already.
    NotNeeded,
    /// In a namespace that this operator does not look into.
    NotServed,
    Missing,
    /// Each copies the next one, and the last one copies one before it.
    Circle(Vec<String>),
    Found(Box<RatesEnvironment>),
}

/// Looks for the environment that a seed copies.
pub fn source(cache: &Cache, reader: &RatesEnvironment) -> Result<Source, Error> {
    let Some(first) = EnvironmentName::copied_by(reader) else {
        return Ok(Source::NotNeeded);
    };
    if !cache.serves(&first.namespace) {
        return Ok(Source::NotServed);
    }
    let Some(found) = get(cache, &first)? else {
        return Ok(Source::Missing);
    };
    Ok(match circle(cache, reader, &first, &found)? {
        Some(circle) => Source::Circle(circle),
        None => Source::Found(Box::new(found)),
    })
}

/// The chain of those that wait for each other, if it has no end.
fn circle(
    cache: &Cache,
    reader: &RatesEnvironment,
    first: &EnvironmentName,
    found: &RatesEnvironment,
) -> Result<Option<Vec<String>>, Error> {
    let own = reader
        .metadata
        .namespace
        .clone()
        .zip(reader.metadata.name.clone());
    let own = own.map(|(namespace, name)| EnvironmentName { namespace, name }.to_string());
    let mut chain: Vec<String> = own.into_iter().chain([first.to_string()]).collect();
    let mut current = found.clone();
    while !is_seeded(&current)
        && let Some(next) = EnvironmentName::copied_by(&current)
    {
        let name = next.to_string();
        let met = chain.contains(&name);
        chain.push(name);
        if met {
            return Ok(Some(chain));
        }
        let Some(found) = get(cache, &next)? else { break };
        current = found;
    }
    Ok(None)
}

fn get(cache: &Cache, name: &EnvironmentName) -> Result<Option<RatesEnvironment>, Error> {
    Ok(cache.of::<RatesEnvironment>(&name.to_string())?.pop())
}

/// Whether the data of an environment are loaded, so that it copies nothing any more.
pub(super) fn is_seeded(environment: &RatesEnvironment) -> bool {
    let status = environment.status.as_ref();
    let database = status.and_then(|status| status.database.as_ref());
    database.is_some_and(|database| database.seed.is_some())
}

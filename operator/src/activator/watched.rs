//! An environment as the activator reads it: the few fields that it needs.

use std::borrow::Cow;
use std::net::SocketAddr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::Deserialize;

use crate::crd::{Phase, RatesEnvironment, SleepStatus};

/// A `RatesEnvironment`; whatever else it holds is skipped.
#[derive(Clone, Debug, Deserialize)]
pub struct Watched {
    pub metadata: ObjectMeta,
    #[serde(default)]
    pub status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Status {
    pub phase: Option<Phase>,
    pub message: Option<String>,
    pub sleep: Option<SleepStatus>,
    pub wake_request: Option<String>,
}

/// The port of an environment that sleeps or wakes, with the addresses of its API's pods that are ready.
pub struct Port<'a> {
    pub since: &'a str,
    pub number: u16,
    pub endpoints: Vec<SocketAddr>,
}

impl Status {
    /// None for an environment that is awake, or that sleeps without a port.
    #[must_use]
    pub fn port(&self) -> Option<Port<'_>> {
        let sleep = self.sleep.as_ref()?;
        Some(Port {
            since: &sleep.since,
            number: u16::try_from(sleep.port?).ok()?,
            endpoints: sleep
                .endpoints
                .iter()
                .filter_map(|text| text.parse().ok())
                .collect(),
        })
    }

    /// Whether it is to wake from its present sleep.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        let since = self.sleep.as_ref().map(|sleep| &sleep.since);
        since.is_some() && since == self.wake_request.as_ref()
    }

    /// Its place among those that wait until they may run.
    #[must_use]
    pub fn place(&self) -> Option<String> {
        let waits = self.phase == Some(Phase::Queued);
        waits.then(|| self.message.clone().unwrap_or_default())
    }

    /// Why the environment, which was asked to wake from this sleep, will not do so by itself.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        let failed = self.is_asked() && self.phase == Some(Phase::Degraded);
        failed.then(|| self.message.clone().unwrap_or_default())
    }
}

impl Resource for Watched {
    type DynamicType = ();
    type Scope = <RatesEnvironment as Resource>::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        RatesEnvironment::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        RatesEnvironment::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        RatesEnvironment::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        RatesEnvironment::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

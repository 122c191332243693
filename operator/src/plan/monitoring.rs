//! How an environment is monitored: its PodMonitors, the exporter beside PostgreSQL, and from where the ports of metrics
//! are reached.

use std::collections::BTreeMap;

use super::invalid::Invalid;
use super::pods::labels;
use super::profile::Amounts;
use super::resources::Resources;
use crate::crd::Profile;
use crate::observed::Observed;
use crate::settings;

const EXPORTER_AMOUNTS: Amounts = Amounts {
    cpu: "5m",
    memory: "24Mi",
    memory_limit: "128Mi",
};

/// The name of the exporter's container.
pub const EXPORTER: &str = "exporter";

/// How a Prometheus collects the metrics.
#[derive(Clone, Debug)]
pub struct Monitoring {
    /// The labels of the PodMonitors, where they are to be made.
    pub pod_monitors: Option<BTreeMap<String, String>>,
    pub exporter: Exporter,
    /// Whose pods reach the ports of metrics.
    pub namespaces: Vec<String>,
}

/// What gives the metrics of PostgreSQL.
#[derive(Clone, Debug)]
pub enum Exporter {
    /// A preview goes without.
    NotWanted,
    /// The operator was not given one.
    NoImage,
    Container {
        image: String,
        resources: Box<Resources>,
    },
}

impl Monitoring {
    /// `database` is what a person says that the main container asks for.
    pub(super) fn of(
        observed: &Observed,
        settings: &settings::Monitoring,
        database: Option<&Resources>,
    ) -> Result<Option<Self>, Invalid> {
        let Some(spec) = &observed.environment.spec.monitoring else {
            return Ok(None);
        };
        let labels = labels(Some(&spec.labels), "monitoring.labels")?;
        Ok(Some(Self {
            pod_monitors: spec.pod_monitor.then_some(labels),
            exporter: Exporter::of(observed, settings, database)?,
            namespaces: settings.namespaces.clone(),
        }))
    }
}

impl Exporter {
    fn of(
        observed: &Observed,
        settings: &settings::Monitoring,
        database: Option<&Resources>,
    ) -> Result<Self, Invalid> {
        let spec = &observed.environment.spec;
        if spec.profile == Profile::Preview {
            return Ok(Self::NotWanted);
        }
        // Another image would restart the database: as the other images, it stays unless the environment follows them.
        let running = running_image(observed).filter(|_| !observed.follows_images());
        let Some(image) = running.or_else(|| settings.exporter.clone()) else {
            return Ok(Self::NoImage);
        };
        let sidecars = spec.database.sidecars.clone().unwrap_or_default();
        let resources = Resources::beside(
            sidecars.exporter.resources.as_ref(),
            "database.sidecars.exporter.resources",
            &EXPORTER_AMOUNTS,
            database,
        )?;
        Ok(Self::Container {
            image,
            resources: Box::new(resources),
        })
    }
}

/// The image of the exporter that the database's pods are made with.
fn running_image(observed: &Observed) -> Option<String> {
    let template = &observed.stateful_set()?.spec.as_ref()?.template;
    let containers = &template.spec.as_ref()?.containers;
    let exporter = containers.iter().find(|container| container.name == EXPORTER)?;
    exporter.image.clone()
}

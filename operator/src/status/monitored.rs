//! `Monitored`: a Prometheus learns what to collect. Only where that is wanted.

use super::conditions::Said;
use crate::apply::Applied;
use crate::plan::{Environment, Exporter};
use crate::reason::Reason;

pub fn said(environment: &Environment, applied: &Applied) -> Option<Said> {
    let monitoring = environment.monitoring.as_ref()?;
    if let Some(error) = &applied.unmonitored {
        return Some(Said::no(
            error.reason().unwrap_or(Reason::Refused),
            error.to_string(),
        ));
    }
    if matches!(monitoring.exporter, Exporter::NoImage) {
        return Some(Said::no(
            Reason::ExporterImageMissing,
            "the operator was given no image for the exporter of PostgreSQL's metrics: set its --exporter-image",
        ));
    }
    let identity = &environment.identity;
    let what = if monitoring.pod_monitors.is_some() {
        format!("PodMonitors {} and {}", identity.api(), identity.postgres())
    } else {
        "no PodMonitors are wanted".to_owned()
    };
    Some(Said::yes(Reason::Applied, what))
}

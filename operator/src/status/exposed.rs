//! `Exposed`: the way in from outside is there, and what the gateway says of it. Only where one is
//! wanted.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::conditions::Said;
use crate::apply::Applied;
use crate::http_route::HTTPRoute;
use crate::plan::{Environment, Exposure};
use crate::reason::Reason;

pub fn said(environment: &Environment, applied: &Applied) -> Option<Said> {
    if environment.exposure == Exposure::Inside {
        return None;
    }
    if let Some(error) = &applied.unexposed {
        return Some(Said::no(
            error.reason().unwrap_or(Reason::Refused),
            error.to_string(),
        ));
    }
    let url = environment.exposure.url(&environment.identity);
    let name = environment.identity.api();
    match (&environment.exposure, &applied.route) {
        (Exposure::Inside, _) => None,
        (Exposure::Ingress { .. }, _) => {
            Some(Said::yes(Reason::Applied, format!("Ingress {name} for {url}")))
        }
        (Exposure::Gateway { .. }, Some(route)) => Some(by_gateways(route, &url)),
        (Exposure::Gateway { .. }, None) => Some(Said::no(
            Reason::Waiting,
            format!("HTTPRoute {name} is not made yet"),
        )),
    }
}

/// A route is refused as soon as one gateway says so of its present form.
fn by_gateways(route: &HTTPRoute, url: &str) -> Said {
    let name = route.metadata.name.as_deref().unwrap_or_default();
    let present = |condition: &&Condition| {
        condition.observed_generation.is_none() || condition.observed_generation == route.metadata.generation
    };
    let conditions = || {
        let parents = route.status.iter().flat_map(|status| &status.parents);
        parents.flat_map(|parent| &parent.conditions).filter(present)
    };
    let refused = conditions().find(|condition| {
        condition.status == "False" && matches!(condition.type_.as_str(), "Accepted" | "ResolvedRefs")
    });
    if let Some(Condition { reason, message, .. }) = refused {
        return Said::no(
            Reason::RouteRefused,
            format!("the gateway refuses HTTPRoute {name}: {reason}: {message}"),
        );
    }
    if conditions().any(|condition| condition.status == "True" && condition.type_ == "Accepted") {
        Said::yes(Reason::Accepted, format!("HTTPRoute {name} for {url}"))
    } else {
        Said::yes(
            Reason::Applied,
            format!("HTTPRoute {name} for {url}; no gateway has said anything of it yet"),
        )
    }
}

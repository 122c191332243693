//! The faults that last long enough for somebody to be told of them, and which alerts each one has to fire. They are those of
//! the failover campaign, by its names, and some of the rest.

use anyhow::{Context as _, Result};
use client::environment::Environment;
use client::http::Client;
use load::failover::{Database, Pod};
use load::rollouts::{Broken, Images, Rest};
use local_cluster::TEST;
use local_cluster::faults::{Fault as Harm, Faults, Inflicted};
use serde_json::{Value, json};

use super::load::{empty, fill};
use crate::failover::{nodes, processes};

/// What is harmed.
pub struct Scene<'a> {
    pub environment: &'a Environment,
    /// Kubernetes' API.
    pub api: &'a Client,
}

/// What ends a fault.
pub type Remedy<'a> = Box<dyn FnOnce() -> Result<()> + 'a>;

pub struct Fault {
    pub name: &'static str,
    pub inflict: for<'a> fn(&'a Scene<'a>) -> Result<Remedy<'a>>,
    /// Whether it goes on until it is ended.
    pub lasts: bool,
    /// All that fires, with the seconds after which the alert's expression holds at the latest; the time for which it then
    /// has to hold is in the rules.
    pub alerts: &'static [(&'static str, u64)],
}

/// Until Prometheus knows of a target that is silent: an interval, and the time that it waits for an answer.
const SILENT: u64 = 15 + 10;

/// In the order in which they are played: what uses up the budgets of an hour comes last.
pub const FAULTS: [Fault; 9] = [
    Fault {
        name: "standby-frozen",
        inflict: |scene| harm(&scene.standbys()?[..1], |node| Harm::Frozen { node }),
        lasts: true,
        alerts: &[("RatesStandbyMissing", SILENT), ("RatesTargetDown", SILENT)],
    },
    Fault {
        name: "standby-volume-fills",
        inflict: |scene| {
            let standby = scene.standbys()?.swap_remove(0).name;
            fill(scene.environment, &standby)?;
            Ok(Box::new(move || empty(scene.environment, &standby)))
        },
        lasts: true,
        // The kubelet looks at a volume every one or two minutes.
        alerts: &[("RatesVolumeFills", 120 + 15 + 15)],
    },
    Fault {
        name: "operator-away",
        inflict: |_| {
            let rest = Rest::begin()?;
            Ok(Box::new(move || {
                drop(rest);
                Ok(())
            }))
        },
        lasts: true,
        alerts: &[("RatesOperatorNotLeading", 30)],
    },
    Fault {
        name: "api-image-crashes",
        inflict: |scene| {
            scene.set_image(&json!(Images::of_environment()?.get(Broken::Crashes.mode())?))?;
            Ok(Box::new(|| scene.set_image(&Value::Null)))
        },
        lasts: true,
        // The old pods serve, and one of the new ones is tried again and again.
        alerts: &[("RatesEnvironmentDegraded", 60), ("RatesTargetDown", 60)],
    },
    Fault {
        name: "api-server-away",
        inflict: |_| inflict(vec![Harm::ApiServerAway]),
        lasts: true,
        // Patroni keeps its leader there: no standby could take over meanwhile.
        alerts: &[("RatesNotHighlyAvailable", 35), ("RatesOperatorNotLeading", 45)],
    },
    Fault {
        name: "all-killed",
        inflict: |scene| {
            processes(&scene.primary()?)?.kill_all()?;
            Ok(Box::new(|| Ok(())))
        },
        lasts: false,
        alerts: &[],
    },
    Fault {
        name: "node-frozen",
        inflict: |scene| harm(&[scene.primary()?], |node| Harm::Frozen { node }),
        lasts: true,
        alerts: &[("RatesStandbyMissing", SILENT), ("RatesTargetDown", SILENT)],
    },
    Fault {
        name: "node-lost",
        inflict: |scene| harm(&[scene.primary()?], |node| Harm::Lost { node }),
        lasts: true,
        alerts: &[("RatesStandbyMissing", SILENT), ("RatesTargetDown", SILENT)],
    },
    Fault {
        name: "two-of-three-lost",
        inflict: |scene| {
            let both = [scene.primary()?, scene.standbys()?.swap_remove(0)];
            harm(&both, |node| Harm::Lost { node })
        },
        lasts: true,
        alerts: &[
            ("RatesNoPrimary", SILENT),
            ("RatesStandbyMissing", SILENT),
            ("RatesTargetDown", SILENT),
            // The node's absence is noticed within a minute; after 15 s more nobody is about to reconnect.
            ("RatesEnvironmentDegraded", 60 + 15 + 15),
            // Nineteen of the 1,200 reads of an hour, and six batches. Each waits for 15 s, and the next one comes 3 or 30 s
            // later; then it is recorded.
            ("RatesReadsBurnBudget", 19 * (15 + 3) + 45),
            ("RatesBatchesBurnBudget", 6 * (15 + 30) + 45),
        ],
    },
];

/// The alerts that no fault here fires, and why.
pub const LEFT_OUT: [(&str, &str); 11] = [
    ("RatesReconcilesFail", TOO_LONG),
    ("RatesApiProcessorsSaturated", A_RUNG),
    ("RatesConnectionsSaturated", A_RUNG),
    ("RatesDatabaseProcessorsSaturated", A_RUNG),
    ("RatesLogSaturated", A_RUNG),
    ("RatesReplicationSaturated", A_RUNG),
    ("RatesLocksSaturated", A_RUNG),
    ("RatesFoldFallsBehind", A_RUNG),
    ("RatesDiskReadsSaturated", A_RUNG),
    (
        "RatesSlotKeepsLog",
        "it waits for 1 GiB of log, half of a volume here",
    ),
    (
        "RatesOperatorKindNotFollowed",
        "a right that the operator lacks is a fault of the installation",
    ),
];
const TOO_LONG: &str = "it takes longer than 15 minutes";
const A_RUNG: &str =
    "it takes 15 minutes: five above 90 % on the mean, and then ten; the bench of the rungs loads that rung";

impl Scene<'_> {
    pub fn database(&self) -> Database<'_> {
        Database {
            environment: self.environment,
            api: self.api,
        }
    }

    fn primary(&self) -> Result<Pod> {
        self.database().primary()
    }

    fn standbys(&self) -> Result<Vec<Pod>> {
        let standbys = self.database().standbys()?;
        standbys.first().context("there is no standby")?;
        Ok(standbys)
    }

    fn set_image(&self, image: &Value) -> Result<()> {
        let target = format!("ratesenvironment/{}", self.environment.name);
        let patch = json!({"spec": {"api": {"image": image}}}).to_string();
        let arguments = ["patch", &target, "--type=merge", "--patch", &patch];
        self.environment.kubectl.run(arguments).map(drop)
    }
}

/// Harms the nodes of these pods.
fn harm<'a>(pods: &[Pod], how: fn(u8) -> Harm) -> Result<Remedy<'a>> {
    inflict(nodes(pods)?.into_iter().map(how).collect())
}

fn inflict<'a>(harms: Vec<Harm>) -> Result<Remedy<'a>> {
    let faults = Faults::of(TEST)?;
    let inflicted = harms
        .into_iter()
        .map(|harm| faults.inflict(harm))
        .collect::<Result<Vec<_>>>()?;
    Ok(Box::new(move || {
        inflicted.into_iter().try_for_each(Inflicted::heal)
    }))
}

//! What protects a failover, taken away: the campaign has to see the loss that it prevents.
//!
//! The operator would put it back, so it rests meanwhile.

use anyhow::{Context as _, Result};
use load::failover::{Expected, Fault, Scene};
use load::rollouts::{Rest, Subject};
use local_cluster::TEST;
use local_cluster::faults::{Fault as Harm, Faults, node_number};
use serde_json::{Value, json};

use super::nodes::{Node, nodes};

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Protection {
    /// The new primary, and the operator, take the label `primary` off the others
    LabelRemoval,
    /// Without a standby writes stop
    Strict,
    /// A commit waits for a standby
    QuorumCommit,
}

/// Refuses that a pod changes another pod's labels; its own it may.
const POLICY: &str = "rates-bench-no-label-removal";

pub struct Removed {
    protection: Protection,
    settings: Option<Value>,
    rest: Option<Rest>,
}

impl Protection {
    pub const ALL: [Self; 3] = [Self::LabelRemoval, Self::Strict, Self::QuorumCommit];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::LabelRemoval => "without the label's removal",
            Self::Strict => "without strict",
            Self::QuorumCommit => "without quorum commit",
        }
    }

    /// The faults from which it protects.
    #[must_use]
    pub fn faults(self) -> Vec<Box<dyn Fault>> {
        match self {
            Self::LabelRemoval => vec![Box::new(Node::Stopped), Box::new(Node::Frozen)],
            Self::Strict | Self::QuorumCommit => vec![Box::new(AloneAndLost)],
        }
    }

    pub fn remove(self, subject: &Subject) -> Result<Removed> {
        let rest = Some(Rest::begin()?);
        let settings = match self {
            Self::LabelRemoval => {
                policy(subject)?;
                None
            }
            Self::Strict => Some(change_settings(
                subject,
                &json!({"synchronous_mode_strict": false}),
            )?),
            Self::QuorumCommit => Some(change_settings(
                subject,
                &json!({"synchronous_mode": false, "synchronous_mode_strict": false}),
            )?),
        };
        Ok(Removed {
            protection: self,
            settings,
            rest,
        })
    }
}

impl Removed {
    pub fn put_back(mut self, subject: &Subject) -> Result<()> {
        let put_back = match (&self.settings, self.protection) {
            (Some(settings), _) => change_settings(subject, settings).map(drop),
            (None, _) => remove_policy(subject),
        };
        drop(self.rest.take());
        put_back
    }
}

/// Changes Patroni's settings; gives what the changed ones were.
fn change_settings(subject: &Subject, changes: &Value) -> Result<Value> {
    let kubectl = &subject.environment.kubectl;
    let name = format!("{}-postgres-config", subject.name());
    let object = kubectl
        .get("configmap", &name)?
        .context("no settings of Patroni")?;
    let text = object["metadata"]["annotations"]["config"]
        .as_str()
        .context("settings without a text")?;
    let mut settings: Value = serde_json::from_str(text)?;
    let mut before = json!({});
    for (name, value) in changes.as_object().into_iter().flatten() {
        before[name] = settings[name].clone();
        settings[name] = value.clone();
    }
    let patch = json!({"metadata": {"annotations": {"config": settings.to_string()}}});
    kubectl.run([
        "patch",
        "configmap",
        &name,
        "--type=merge",
        "--patch",
        &patch.to_string(),
    ])?;
    Ok(before)
}

fn policy(subject: &Subject) -> Result<()> {
    let kubectl = &subject.environment.kubectl;
    let pod_name = "'authentication.kubernetes.io/pod-name'";
    let expression = format!(
        "!has(request.userInfo.extra) || !({pod_name} in request.userInfo.extra) || \
         request.userInfo.extra[{pod_name}][0] == object.metadata.name"
    );
    kubectl.apply(&json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": POLICY},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["pods"]},
            ]},
            "validations": [{"expression": expression, "message": "a bench takes this protection away"}],
        },
    }))?;
    kubectl.apply(&json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": POLICY},
        "spec": {
            "policyName": POLICY, "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": {
                "matchLabels": {"kubernetes.io/metadata.name": kubectl.namespace()},
            }},
        },
    }))?;
    Ok(())
}

fn remove_policy(subject: &Subject) -> Result<()> {
    for kind in ["validatingadmissionpolicybinding", "validatingadmissionpolicy"] {
        subject
            .environment
            .kubectl
            .run(["delete", kind, POLICY, "--ignore-not-found"])?;
    }
    Ok(())
}

/// The primary loses its standbys, goes on if it may, and is lost.
struct AloneAndLost;

impl Fault for AloneAndLost {
    fn name(&self) -> &'static str {
        "alone-and-then-lost"
    }

    fn expected(&self) -> Expected {
        Expected::HEALS
    }

    fn play(&self, scene: &mut Scene<'_>) -> Result<()> {
        let faults = Faults::of(TEST)?;
        let node = node_number(&scene.primary.node)?;
        let from = nodes(&scene.standbys()?)?;
        let cut = faults.inflict(Harm::CutPods { node, from })?;
        scene.hold(20);
        let lost = faults.inflict(Harm::Lost { node })?;
        scene.hold(40);
        let leader = scene.database().leader();
        scene.note(format!("leader 40 s after the loss: {leader:?}"));
        cut.heal()?;
        lost.heal()?;
        scene.written()
    }
}

//! What the operator is carrying out, noted where Patroni finds its orders: another operator goes on with it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What is being carried out.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Act {
    pub kind: Kind,
    /// The annotation's value, where a person asked for it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub asked: String,
    /// The primary at the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The instance that is to become the primary, or to be replaced; none where any may take over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The uids of the claim and of the pod that are to be replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// What it costs, as it was told before, to be told after it, too.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cost: String,
    pub at: Timestamp,
}

/// The kinds of what a person may ask for, and of what the operator does by itself.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    Switchover,
    Failover,
    Replace,
    /// Moves the primary to an instance that stays.
    ScaleDown,
}

impl Act {
    /// As it was noted; what cannot be understood is nothing.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// Whether a standby is promoted in any case.
    #[must_use]
    pub fn is_forced(&self) -> bool {
        self.kind == Kind::Failover
    }

    /// Whether the primary is moved from this instance in order.
    #[must_use]
    pub fn moves_primary_from(&self, instance: &str) -> bool {
        matches!(self.kind, Kind::Switchover | Kind::ScaleDown) && self.from.as_deref() == Some(instance)
    }

    #[must_use]
    pub fn note(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// What is told in an Event.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Notice {
    pub warning: bool,
    pub reason: &'static str,
    pub note: String,
}

impl Notice {
    #[must_use]
    pub fn normal(reason: &'static str, note: impl Into<String>) -> Self {
        Self {
            warning: false,
            reason,
            note: note.into(),
        }
    }

    #[must_use]
    pub fn warning(reason: &'static str, note: impl Into<String>) -> Self {
        Self {
            warning: true,
            reason,
            note: note.into(),
        }
    }
}

//! What pods may do with the Kubernetes API. Those of the database: keep Patroni's state, and label
//! themselves. The others nothing: their accounts have no rights, and no token is mounted.

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};

use crate::identity::Component;
use crate::plan::Environment;

/// The accounts of the database's pods and of the Jobs'.
pub fn service_accounts(environment: &Environment) -> Vec<ServiceAccount> {
    let identity = &environment.identity;
    vec![
        account(environment, identity.postgres(), Component::Postgres),
        account(environment, identity.jobs(), Component::Seed),
    ]
}

pub fn account(environment: &Environment, name: String, component: Component) -> ServiceAccount {
    ServiceAccount {
        metadata: environment.identity.metadata(name, component),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}

/// Patroni lists and watches by label, which RBAC cannot narrow to names; what it changes is.
pub fn role(environment: &Environment) -> Role {
    let identity = &environment.identity;
    // Also of an instance that is to go: until then it may be the primary.
    let instances = environment.database.instances.present;
    let pods = (0..instances.max(environment.replication.kept))
        .map(|ordinal| identity.postgres_pod(ordinal))
        .collect();
    Role {
        metadata: identity.metadata(identity.postgres(), Component::Postgres),
        rules: Some(vec![
            rule("configmaps", &["get", "list", "watch"], None),
            rule(
                "configmaps",
                &["patch", "update"],
                Some(identity.patroni_state().into()),
            ),
            rule("pods", &["get", "list", "watch"], None),
            rule("pods", &["patch"], Some(pods)),
        ]),
    }
}

pub fn role_binding(environment: &Environment) -> RoleBinding {
    let identity = &environment.identity;
    RoleBinding {
        metadata: identity.metadata(identity.postgres(), Component::Postgres),
        role_ref: RoleRef {
            api_group: "rbac.authorization.k8s.io".to_owned(),
            kind: "Role".to_owned(),
            name: identity.postgres(),
        },
        subjects: Some(vec![Subject {
            kind: "ServiceAccount".to_owned(),
            name: identity.postgres(),
            namespace: Some(identity.namespace.clone()),
            ..Subject::default()
        }]),
    }
}

fn rule(resource: &str, verbs: &[&str], names: Option<Vec<String>>) -> PolicyRule {
    PolicyRule {
        api_groups: Some(vec![String::new()]),
        resources: Some(vec![resource.to_owned()]),
        resource_names: names,
        verbs: verbs.iter().map(|&verb| verb.to_owned()).collect(),
        ..PolicyRule::default()
    }
}

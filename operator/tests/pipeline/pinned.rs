//! The images and the size of the volume that stay as they were when an environment was made, and the versions there are.

use crate::fixture;

#[test]
fn what_was_pinned_at_creation_stays_until_told_otherwise() {
    let mut observed = fixture::observed(include_str!("fixtures/running.yaml"));
    let environment = fixture::environment(&observed);
    assert_eq!(environment.api.image, "registry.example/api:of-its-creation");
    assert_eq!(environment.database.image, "registry.example/pg:of-its-creation");
    observed.environment.metadata.annotations = Some(
        [(
            "rates.internal/follow-operator-images".to_owned(),
            "true".to_owned(),
        )]
        .into(),
    );
    let environment = fixture::environment(&observed);
    assert_eq!(environment.api.image, "registry.example/api:newest");
    assert_eq!(environment.database.image, "registry.example/pg:thirteen");
    assert_eq!(
        environment.api.rollout.revision, None,
        "not before its migrations"
    );
}

#[test]
fn an_unknown_version_is_told_with_the_known_ones() {
    let mut observed = fixture::observed(include_str!("fixtures/new.yaml"));
    observed.environment.spec.database.version = Some("12".to_owned());
    let message = fixture::validated(&observed).unwrap_err().to_string();
    assert!(
        message.contains("PostgreSQL 12") && message.contains("one of 13.5, 17"),
        "{message}"
    );
}

#[test]
fn the_size_of_a_volume_never_shrinks_whatever_the_spec_or_a_profile_says() {
    let mut observed = fixture::observed(include_str!("fixtures/running.yaml"));
    assert_eq!(fixture::environment(&observed).database.size.as_str(), "30Gi");
    assert_eq!(
        fixture::environment(&observed).database.template.size.as_str(),
        "20Gi"
    );
    observed.environment.spec.database.storage.size = Some("2Gi".to_owned());
    assert_eq!(fixture::environment(&observed).database.size.as_str(), "20Gi");
    observed.environment.spec.database.storage.size = None;
    assert_eq!(fixture::environment(&observed).database.size.as_str(), "20Gi");
}

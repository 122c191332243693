//! Copies of another environment's data: what the reader and the source consist of meanwhile.

use k8s_openapi::api::core::v1::Secret;
use rates_operator::build::build;
use rates_operator::copies::{Reader, Source};
use rates_operator::crd::{Phase, RatesEnvironment};
use rates_operator::identity::Identity;
use rates_operator::observed::Observed;
use rates_operator::password::Password;
use rates_operator::plan::{Blocked, Seeding};
use rates_operator::reason::Reason;

use crate::fixture;

const VERIFIER: &str = "SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy";

const SOURCE: &str = "
apiVersion: rates.internal/v1alpha1
kind: RatesEnvironment
metadata: {name: mainland, namespace: coast, uid: 66666666-2222-3333-4444-555555555555}
spec:
  sharing: [{namespaces: [moorings], sample: 25, mask: {days: {shift: 7}, portNames: {constant: a berth}}}]
status:
  database:
    primary: mainland-postgres-1
    seed: {source: bundled, rows: 12, seconds: 0.5}
    schema: {version: 4, image: any}
";

fn source() -> RatesEnvironment {
    serde_yaml::from_str(SOURCE).unwrap()
}

/// One that copies `coast/mainland`, which allows it.
fn reader() -> Observed {
    let yaml = include_str!("fixtures/seeding.yaml");
    let copies = yaml.replace(
        "configMap: {name: manifest-of-may, key: may.sql.gz}",
        "environment: {name: mainland, namespace: coast}",
    );
    assert_ne!(copies, yaml);
    let mut observed = fixture::observed(&copies);
    observed.source = Source::Found(Box::new(source()));
    let secret = format!(
        "{{metadata: {{name: breakwater-copy}}, stringData: {{}}, data: {{password: a2VwdA==, verifier: {}}}}}",
        "U0NSQU0tU0hBLTI1NiQ0MDk2OmMyRnNkQT09JGMzUnZjbVZrOmMyVnlkbVZ5"
    );
    let secret: Secret = serde_yaml::from_str(&secret).unwrap();
    observed.copy_secret = Some(secret);
    observed
}

fn blocked(observed: &Observed) -> (Reason, String) {
    let environment = fixture::environment(observed);
    let Seeding::Blocked(Blocked { reason, message, .. }) = environment.seeding else {
        panic!("{:?}", environment.seeding)
    };
    assert!(build(&fixture::environment(observed)).seed_job.is_none());
    (reason, message)
}

fn changed(change: impl FnOnce(&mut RatesEnvironment)) -> Observed {
    let (mut observed, mut source) = (reader(), source());
    change(&mut source);
    observed.source = Source::Found(Box::new(source));
    observed
}

#[test]
fn one_that_copies_another_environment() {
    let children = serde_yaml::to_value(build(&fixture::environment(&reader()))).unwrap();
    insta::assert_yaml_snapshot!("seed_job", children["seedJob"]["job"]["spec"]["template"]["spec"]);
    insta::assert_yaml_snapshot!("login", children["copySecret"]);
    insta::assert_yaml_snapshot!("policy_of_the_jobs", children["networkPolicies"][1]);
}

#[test]
fn one_that_is_copied() {
    let mut observed = fixture::observed(include_str!("fixtures/running.yaml"));
    observed.environment.spec.sharing = source().spec.sharing;
    let reader = |name: &str, namespace: &str, is_complete: bool| Reader {
        identity: Identity {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            uid: format!("{name}-uid"),
        },
        username: format!("rates_copy_{name}"),
        verifier: (!is_complete).then(|| Password::from(VERIFIER.to_owned())),
        is_complete,
    };
    observed.readers = vec![
        reader("buoy", "moorings", false),
        reader("dinghy", "moorings", true),
        reader("pirate", "high-seas", false),
        reader("wreck", "high-seas", true),
    ];
    let environment = fixture::environment(&observed);
    let copies = &environment.readers.copies;
    let shown: Vec<_> = copies
        .iter()
        .map(|copy| (copy.environment.as_str(), copy.complete, copy.shared))
        .collect();
    assert_eq!(
        shown,
        [
            ("moorings/buoy", false, true),
            ("moorings/dinghy", true, true),
            ("high-seas/wreck", true, false)
        ]
    );
    let children = build(&environment);
    let copies = &children.admin_secret.data.as_ref().unwrap()["copies"];
    assert_eq!(
        String::from_utf8(copies.0.clone()).unwrap(),
        format!(
            r#"[{{"username":"rates_copy_buoy","verifier":"{VERIFIER}","sample":25,"mask":{{"days":{{"shift":7}},"portNames":{{"constant":"a berth"}}}}}}]"#
        )
    );
    let policy = serde_yaml::to_value(&children.network_policies[0]).unwrap();
    insta::assert_yaml_snapshot!("policy_of_the_source", policy["spec"]["ingress"][2]);
}

#[test]
fn what_tells_one_copy_from_another_is_what_it_would_hold() {
    let hash = |observed: &Observed| match fixture::environment(observed).seeding {
        Seeding::Run { run, .. } => run.hash,
        other => panic!("{other:?}"),
    };
    let first = hash(&reader());
    assert_eq!(
        hash(&changed(|source| source.metadata.generation = Some(9))),
        first
    );
    let others = vec![
        changed(|source| source.spec.sharing[0].sample = None),
        changed(|source| source.spec.sharing[0].mask = None),
        changed(|source| source.metadata.uid = Some("another".to_owned())),
    ];
    for other in others {
        assert_ne!(hash(&other), first);
    }
}

#[test]
fn what_keeps_a_copy_from_beginning_is_told_with_what_to_do() {
    let at_once = [
        (
            Source::Missing,
            Reason::SourceMissing,
            "there is no RatesEnvironment mainland in namespace coast: create it",
        ),
        (
            Source::NotServed,
            Reason::SourceNotServed,
            "does not serve namespace coast",
        ),
        (
            Source::Circle(vec!["a/b".to_owned(), "a/b".to_owned()]),
            Reason::SourceCircle,
            "a/b, a/b; give one of them another seed",
        ),
    ];
    for (source, expected, says) in at_once {
        let mut observed = reader();
        observed.source = source;
        let (reason, message) = blocked(&observed);
        assert!(
            reason == expected && message.contains(says),
            "{reason:?} {message}"
        );
        assert!(
            fixture::environment(&observed).copy.is_none(),
            "no login: {message}"
        );
    }
    let database = |source: &mut RatesEnvironment| source.status.take().unwrap().database.unwrap();
    let of_the_source = vec![
        (
            changed(|source| source.spec.sharing.clear()),
            Reason::NotShared,
            "have its spec.sharing name that namespace",
        ),
        (
            changed(|source| source.status = None),
            Reason::SourceNotReady,
            "own data are not loaded yet",
        ),
        (
            changed(|source| source.spec.suspend = true),
            Reason::SourceNotReady,
            "which is suspended",
        ),
        (
            changed(|source| source.status.as_mut().unwrap().phase = Some(Phase::Asleep)),
            Reason::SourceNotReady,
            "kubectl renv wake mainland -n coast",
        ),
        (
            changed(|source| {
                let mut database = database(source);
                database.primary = None;
                source.status = Some(rates_operator::crd::RatesEnvironmentStatus {
                    database: Some(database),
                    ..Default::default()
                });
            }),
            Reason::SourceNotReady,
            "has no primary",
        ),
    ];
    for (observed, expected, says) in of_the_source {
        let (reason, message) = blocked(&observed);
        assert!(
            reason == expected && message.contains(says),
            "{reason:?} {message}"
        );
        let has_login = fixture::environment(&observed).copy.is_some();
        assert_eq!(has_login, reason == Reason::SourceNotReady, "{message}");
    }
}

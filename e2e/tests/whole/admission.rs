//! A spec that cannot work is refused by the API server with a sentence. Each rule
//! has its own test beside the CRD; here is what a person at the keyboard meets.

use anyhow::{Result, ensure};
use client::environment::Environment;
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::trial::trial;

pub fn trials() -> Vec<Trial> {
    vec![
        trial(
            "admission::refuses_what_cannot_work_with_a_sentence",
            refuses_what_cannot_work,
        ),
        trial(
            "admission::refuses_another_seed_once_it_was_loaded",
            refuses_another_seed_once_loaded,
        ),
    ]
}

fn refuses_what_cannot_work() -> Result<()> {
    let environment = Environment::new("refused")?;
    let cases: [(&str, Value, &str); 7] = [
        (
            "replicas and autoscaling",
            json!({"profile": "Preview", "api": {"replicas": 2, "autoscaling": {"maxReplicas": 4}}}),
            "autoscaling",
        ),
        (
            "no source",
            json!({"profile": "Preview", "database": {"seed": {}}}),
            "exactly one",
        ),
        (
            "two sources",
            json!({"profile": "Preview",
                   "database": {"seed": {"bundled": {}, "configMap": {"name": "a", "key": "b"}}}}),
            "exactly one",
        ),
        ("an unknown profile", json!({"profile": "Gigantic"}), "Production"),
        (
            "an unknown field",
            json!({"profile": "Preview", "replica": 3}),
            "unknown field",
        ),
        (
            "four instances",
            json!({"profile": "Preview", "database": {"instances": 4}}),
            "database.instances must be 1, 2 or 3",
        ),
        (
            "a negative propagation",
            json!({"profile": "Preview", "api": {"rollout": {"propagationSeconds": -1}}}),
            "propagationSeconds",
        ),
    ];
    for (case, spec, sentence) in cases {
        let refusal = environment.kubectl.refusal(&environment.manifest(&spec))?;
        ensure!(
            refusal.contains(sentence),
            "{case}: {sentence:?} is not in {refusal}"
        );
    }
    let mut long = environment.manifest(&json!({"profile": "Preview"}));
    long["metadata"]["name"] = json!("x".repeat(41));
    let refusal = environment.kubectl.refusal(&long)?;
    ensure!(refusal.contains("40"), "a name that is too long: {refusal}");
    Ok(())
}

fn refuses_another_seed_once_loaded() -> Result<()> {
    let environment = Environment::new("sealed")?;
    environment.apply(&json!({"profile": "Preview", "database": {"seed": {"bundled": {}}}}))?;
    environment.wait_condition("Seeded", "True")?;
    for other in [
        json!({}),
        json!({"seed": {"configMap": {"name": "other", "key": "dump.sql"}}}),
    ] {
        let spec = json!({"profile": "Preview", "database": other});
        // `replace`, because `apply` of an object without the field would be a removal too, but a merged one.
        let manifest = environment.manifest(&spec).to_string();
        match environment
            .kubectl
            .run_with_input(["replace", "-f", "-"], &manifest)
        {
            Ok(accepted) => anyhow::bail!("another seed was accepted: {accepted}"),
            Err(refused) => ensure!(format!("{refused:#}").contains("seed"), "{refused:#}"),
        }
    }
    Ok(())
}

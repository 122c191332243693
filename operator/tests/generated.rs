//! What is generated and committed is what the types say.

#[test]
fn the_committed_definition_is_the_generated_one() {
    let committed = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../crds/ratesenvironments.rates.internal.yaml"
    ))
    .unwrap();
    assert!(
        committed == rates_operator::crd::definition_yaml().unwrap(),
        "crds/ratesenvironments.rates.internal.yaml is not what the types say; write it anew with: \
         rates-operator crd > crds/ratesenvironments.rates.internal.yaml"
    );
}

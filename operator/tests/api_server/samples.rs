//! What `manifests/samples/` holds is what the API server takes, word by word.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::server;

#[test]
fn every_sample_is_accepted_and_each_profile_has_one() {
    let server = server::shared();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests/samples");
    let mut profiles = BTreeSet::new();
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let answer = server.kubectl(
            &["apply", "--dry-run=server", "--validate=strict", "-f", "-"],
            &text,
        );
        assert!(answer.ok, "{}: {}", path.display(), answer.text);
        for document in serde_yaml::Deserializer::from_str(&text) {
            let sample = serde_yaml::Value::deserialize(document).unwrap();
            let profile = sample["spec"]["profile"].as_str().unwrap_or("Preview");
            profiles.insert(profile.to_owned());
        }
        files += 1;
    }
    assert!(files >= 6, "{files} samples");
    assert_eq!(
        profiles.into_iter().collect::<Vec<_>>(),
        ["Preview", "Production", "Staging"]
    );
}

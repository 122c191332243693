//! Whom a source lets copy its data.

use crate::crd::{ReaderNamespace, Sharing};

const EVERY_NAMESPACE: &str = "*";

/// The entry that counts for readers of a namespace: the first that names it.
#[must_use]
pub fn shared_with<'a>(sharing: &'a [Sharing], namespace: &str) -> Option<&'a Sharing> {
    let names = |ReaderNamespace(name): &ReaderNamespace| name == namespace || name == EVERY_NAMESPACE;
    sharing.iter().find(|entry| entry.namespaces.iter().any(names))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(namespaces: &[&str], sample: i32) -> Sharing {
        Sharing {
            namespaces: namespaces
                .iter()
                .map(|&name| ReaderNamespace(name.to_owned()))
                .collect(),
            sample: Some(sample),
            mask: None,
        }
    }

    #[test]
    fn the_first_entry_that_names_the_namespace_counts_and_a_star_names_all() {
        let sharing = [entry(&["quay", "mole"], 1), entry(&["*"], 2), entry(&["pier"], 3)];
        let sample = |namespace| shared_with(&sharing, namespace)?.sample;
        assert_eq!(sample("mole"), Some(1));
        assert_eq!(sample("pier"), Some(2), "the star comes first");
        assert_eq!(shared_with(&sharing[..1], "pier"), None);
        assert_eq!(shared_with(&[], "quay"), None);
    }
}

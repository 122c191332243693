//! What the operator was started with.

use std::collections::BTreeMap;

/// The images that environments run unless they name their own.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Images {
    pub api: String,
    /// By PostgreSQL version.
    pub postgres: BTreeMap<String, String>,
}

impl Images {
    /// Puts the defaults together from `VERSION=IMAGE` pairs.
    pub fn new(api: String, postgres: &[String]) -> Result<Self, String> {
        let mut images = BTreeMap::new();
        for pair in postgres {
            let (version, image) = pair
                .split_once('=')
                .filter(|(version, image)| !version.is_empty() && !image.is_empty())
                .ok_or_else(|| {
                    format!("{pair:?} is no VERSION=IMAGE, such as 13.5=localhost/rates-postgres-13.5:1")
                })?;
            images.insert(version.to_owned(), image.to_owned());
        }
        if images.is_empty() {
            return Err("no PostgreSQL image was given; give at least 13.5=IMAGE".to_owned());
        }
        Ok(Self {
            api,
            postgres: images,
        })
    }

    /// The version and image for a wanted version: that very one, or of a bare major version
    /// the highest release there is.
    #[must_use]
    pub fn postgres_for(&self, wanted: &str) -> Option<(&str, &str)> {
        let pair = |(version, image)| -> (&str, &str) { (version, image) };
        if let Some((version, image)) = self.postgres.get_key_value(wanted) {
            return Some(pair((version, image)));
        }
        let release = |version: &str| -> Option<u32> {
            let (major, minor) = version.split_once('.')?;
            (major == wanted).then(|| minor.parse().ok()).flatten()
        };
        self.postgres
            .iter()
            .filter_map(|(version, image)| Some((release(version)?, version, image)))
            .max_by_key(|(release, ..)| *release)
            .map(|(_, version, image)| pair((version, image)))
    }

    /// The known versions, for a sentence.
    #[must_use]
    pub fn known_versions(&self) -> String {
        self.postgres.keys().cloned().collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::Images;

    fn images(pairs: &[&str]) -> Result<Images, String> {
        let pairs: Vec<String> = pairs.iter().map(|&pair| pair.to_owned()).collect();
        Images::new("api:1".to_owned(), &pairs)
    }

    #[test]
    fn a_version_is_found_exactly_or_by_its_major() {
        let images = images(&["13.5=a", "13.12=b", "17=c"]).unwrap();
        assert_eq!(images.postgres_for("13.5"), Some(("13.5", "a")));
        assert_eq!(images.postgres_for("13"), Some(("13.12", "b")));
        assert_eq!(images.postgres_for("17"), Some(("17", "c")));
        assert_eq!(images.postgres_for("17.2"), None);
        assert_eq!(images.known_versions(), "13.12, 13.5, 17");
    }

    #[test]
    fn a_malformed_pair_is_told_with_an_example() {
        assert!(images(&["13.5"]).unwrap_err().contains("13.5=localhost/"));
        assert!(images(&[]).unwrap_err().contains("at least"));
    }
}

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

    /// Whether an image is one of these.
    #[must_use]
    pub fn has_postgres(&self, image: &str) -> bool {
        self.postgres.values().any(|known| known == image)
    }

    /// The known versions, for a sentence.
    #[must_use]
    pub fn known_versions(&self) -> String {
        self.postgres.keys().cloned().collect::<Vec<_>>().join(", ")
    }
}

/// What monitors environments.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Monitoring {
    /// The image of the exporter beside PostgreSQL.
    pub exporter: Option<String>,
    /// The namespaces whose pods reach the ports of metrics.
    pub namespaces: Vec<String>,
}

impl Monitoring {
    /// What is empty was not given.
    #[must_use]
    pub fn new(exporter: Option<String>, namespaces: Vec<String>) -> Self {
        let given = |name: &String| !name.is_empty();
        Self {
            exporter: exporter.filter(given),
            namespaces: namespaces.into_iter().filter(given).collect(),
        }
    }
}

/// The namespaces whose environments are served.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Namespaces {
    One(String),
    /// All but these, which have operators of their own.
    AllBut(Vec<String>),
}

impl Namespaces {
    /// From the one to watch, if it is one, and those to leave out.
    pub fn new(only: Option<String>, excluded: Vec<String>) -> Result<Self, String> {
        let given = |name: &String| !name.is_empty();
        let excluded: Vec<String> = excluded.into_iter().filter(given).collect();
        match only.filter(given) {
            None => Ok(Self::AllBut(excluded)),
            Some(only) if excluded.is_empty() => Ok(Self::One(only)),
            Some(only) => Err(format!(
                "namespace {only} alone is served, so that none can be left out: set either \
                 --watch-namespace (RATES_WATCH_NAMESPACE) or --exclude-namespace (RATES_EXCLUDE_NAMESPACES)"
            )),
        }
    }

    /// The one namespace that is asked for; `None`: all of them.
    #[must_use]
    pub fn only(&self) -> Option<&str> {
        match self {
            Self::One(namespace) => Some(namespace),
            Self::AllBut(_) => None,
        }
    }

    /// Whether the environments of a namespace are served.
    #[must_use]
    pub fn serves(&self, namespace: &str) -> bool {
        match self {
            Self::One(only) => only == namespace,
            Self::AllBut(excluded) => excluded.iter().all(|name| name != namespace),
        }
    }

    /// The field selector for lists and watches, by which the server leaves namespaces out.
    #[must_use]
    pub fn field_selector(&self) -> Option<String> {
        match self {
            Self::AllBut(excluded) if !excluded.is_empty() => {
                let terms: Vec<_> = excluded
                    .iter()
                    .map(|name| format!("metadata.namespace!={name}"))
                    .collect();
                Some(terms.join(","))
            }
            Self::One(_) | Self::AllBut(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Images, Namespaces};

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

    #[test]
    fn one_namespace_all_of_them_or_all_but_some_are_served() {
        let new = |only: &str, excluded: &[&str]| {
            let excluded = excluded.iter().map(|&name| name.to_owned()).collect();
            Namespaces::new(Some(only.to_owned()), excluded)
        };
        let one = new("a", &[""]).unwrap();
        assert_eq!((one.only(), one.field_selector()), (Some("a"), None));
        assert!(one.serves("a") && !one.serves("b"));
        let all = new("", &[]).unwrap();
        assert_eq!((all.only(), all.field_selector()), (None, None));
        let some = new("", &["a", "b"]).unwrap();
        assert_eq!(some.only(), None);
        assert!(!some.serves("a") && some.serves("c"));
        assert_eq!(
            some.field_selector().unwrap(),
            "metadata.namespace!=a,metadata.namespace!=b"
        );
        assert!(new("a", &["b"]).unwrap_err().contains("RATES_EXCLUDE_NAMESPACES"));
    }
}

//! The packed objects of one kind, and what is known of those that are gone.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::compact::Packer;
use crate::crd::Phase;

/// `NAMESPACE/NAME` of an object, or of the environment that it is of.
pub type Key = Arc<str>;

/// For how long an answer to a write may come after the news that its object is gone.
const LATE: Duration = Duration::from_mins(10);
/// How many of what is gone are remembered before the first are looked through.
const MANY: usize = 1024;

/// The environments to look at again.
pub type Changed = Vec<Key>;

#[derive(Default)]
pub struct Objects {
    pub packer: Packer,
    pub by_name: HashMap<Key, Entry>,
    /// The names by environment.
    pub of: HashMap<Key, Vec<Key>>,
    pub gone: HashMap<Key, Gone>,
    /// How many of `gone` were left when they were last looked through.
    pub recent: usize,
    /// The version of the last list, unless another one is under way.
    pub listed: Option<u64>,
    /// The highest version that was seen before the list that is under way.
    pub newest: u64,
    /// All were listed once, or cannot be.
    pub complete: bool,
    /// The cluster has no such kind.
    pub missing: bool,
    /// The operator may not list the kind.
    pub forbidden: bool,
}

pub struct Entry {
    pub environment: Key,
    pub version: u64,
    /// Of what matters of the object.
    pub digest: u64,
    pub refers_to: Box<[Box<str>]>,
    pub phase: Option<Phase>,
    pub instances: Option<u8>,
    pub port: Option<u16>,
    pub packed: Box<[u8]>,
}

/// An object that was removed, so that what is told of it later is known to be of the past.
pub struct Gone {
    pub version: u64,
    /// Set where the object itself is gone, and not only its label.
    pub uid: Option<String>,
    pub at: Instant,
}

impl Objects {
    pub fn knows_newer(&self, name: &str, version: u64, uid: Option<&str>, listed: u64) -> bool {
        if let Some(entry) = self.by_name.get(name) {
            if listed != 0 {
                return entry.version > listed || entry.version == version;
            }
            return version <= entry.version && version != 0;
        }
        let of_the_past = self.gone.get(name).is_some_and(|gone| {
            version <= gone.version || (gone.uid.is_some() && gone.uid.as_deref() == uid)
        });
        // It was there before the last list, and not in it.
        let missed = self.listed.is_some_and(|listed| version <= listed);
        version != 0 && (of_the_past || missed)
    }

    pub fn insert(&mut self, name: Key, entry: Entry) -> Changed {
        let environment = entry.environment.clone();
        let digest = entry.digest;
        // One copy of each name: with thousands of objects they are a good part of all.
        let (name, before) = match self.by_name.remove_entry(&name) {
            Some((known, before)) => (known, Some(before)),
            None => (name, None),
        };
        let mut changed = Changed::new();
        match &before {
            Some(before) if before.environment == environment => {
                if before.digest != digest {
                    changed.push(environment.clone());
                }
                let kept = Entry {
                    environment: before.environment.clone(),
                    ..entry
                };
                self.by_name.insert(name, kept);
                return changed;
            }
            Some(before) => {
                self.unlist(&before.environment, &name);
                changed.push(before.environment.clone());
            }
            None => {}
        }
        changed.push(environment.clone());
        let shared = self
            .of
            .get_key_value(&environment)
            .map_or(environment, |(known, _)| known.clone());
        self.of.entry(shared.clone()).or_default().push(name.clone());
        self.by_name.insert(
            name,
            Entry {
                environment: shared,
                ..entry
            },
        );
        changed
    }

    pub fn forget(&mut self, name: &str) -> Changed {
        let Some(entry) = self.by_name.remove(name) else {
            return Changed::new();
        };
        self.unlist(&entry.environment, name);
        vec![entry.environment]
    }

    fn unlist(&mut self, environment: &str, name: &str) {
        if let Some(names) = self.of.get_mut(environment) {
            names.retain(|other| &**other != name);
            if names.is_empty() {
                self.of.remove(environment);
            }
        }
    }

    pub fn bury(&mut self, name: &Key, version: u64, uid: Option<String>) {
        let at = Instant::now();
        if self.gone.len() >= MANY.max(self.recent * 2) {
            self.gone.retain(|_, gone| at.duration_since(gone.at) < LATE);
            self.recent = self.gone.len();
        }
        self.gone.insert(name.clone(), Gone { version, uid, at });
    }
}

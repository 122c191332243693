//! The rules that need more than one part of the object, so that they sit at its root.
//!
//! What depends on what was made looks at the old status, which only the operator writes; a
//! field that can be absent is asked for with `has()` on both sides, or adding and removing it
//! would slip past. What did not change always passes: the status may come to contradict it, when a
//! kept or enlarged volume is taken up, and each rule judges every write, also of the status.

/// Leaves room for the names made of it: `data-NAME-postgres-0` and a Job's hash in 63 characters.
pub const NAME: &str =
    "self.metadata.name.size() <= 40 && self.metadata.name.matches('^[a-z]([a-z0-9-]*[a-z0-9])?$')";

/// The seed is fixed once it was loaded.
pub const SEED: &str = "!has(oldSelf.status) || !has(oldSelf.status.database) || !has(oldSelf.status.database.seed) \
    || (has(self.spec.database.seed) == has(oldSelf.spec.database.seed) \
    && (!has(self.spec.database.seed) || self.spec.database.seed == oldSelf.spec.database.seed))";

/// A copy is of another environment. Rules do not see the namespace; where it is written, the operator looks.
pub const COPY_OF_ITSELF: &str = "!has(self.spec.database.seed) || !has(self.spec.database.seed.environment) \
    || has(self.spec.database.seed.environment.namespace) || self.spec.database.seed.environment.name != self.metadata.name";

/// A volume does not shrink below what was asked for it, by the spec or by a profile.
pub const SIZE: &str = "!has(oldSelf.status) || !has(oldSelf.status.database) || !has(oldSelf.status.database.storage) \
    || !has(self.spec.database.storage.size) || !isQuantity(self.spec.database.storage.size) \
    || (has(oldSelf.spec.database.storage.size) && self.spec.database.storage.size == oldSelf.spec.database.storage.size) \
    || quantity(self.spec.database.storage.size).compareTo(quantity(oldSelf.status.database.storage.size)) >= 0";

/// A volume does not move to another class.
pub const STORAGE_CLASS: &str = "!has(oldSelf.status) || !has(oldSelf.status.database) || !has(oldSelf.status.database.storage) \
    || (has(self.spec.database.storage.storageClassName) == has(oldSelf.spec.database.storage.storageClassName) \
    && (!has(self.spec.database.storage.storageClassName) \
    || self.spec.database.storage.storageClassName == oldSelf.spec.database.storage.storageClassName))";

/// The files of a database have the format of its major version.
pub const VERSION: &str = "!has(oldSelf.status) || !has(oldSelf.status.database) || !has(oldSelf.status.database.version) \
    || has(self.spec.database.image) \
    || (!has(oldSelf.spec.database.image) && has(self.spec.database.version) == has(oldSelf.spec.database.version) \
    && (!has(self.spec.database.version) || self.spec.database.version == oldSelf.spec.database.version)) \
    || (has(self.spec.database.version) ? self.spec.database.version : '13.5').split('.')[0] \
    == oldSelf.status.database.version.split('.')[0]";

/// What serves production does not stop by itself.
pub const SLEEP: &str =
    "self.spec.profile != 'Production' || !has(self.spec.lifetime) || !has(self.spec.lifetime.sleepAfter)";

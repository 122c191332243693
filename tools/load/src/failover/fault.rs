//! What a fault is, and what has to be true of it.

use anyhow::Result;

use super::scene::Scene;

/// Something that happens to a database, with its way back.
pub trait Fault {
    fn name(&self) -> &'static str;

    fn expected(&self) -> Expected;

    /// Causes it, waits until it has shown what it does, and ends it.
    fn play(&self, scene: &mut Scene<'_>) -> Result<()>;
}

/// What has to be true of a fault, beside that nothing is lost and no answer is wrong.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// Seconds until a write is acknowledged again: the median of all rounds, and the worst.
    pub writes: Option<(f64, f64)>,
    pub reads: Reads,
    pub primary: Primary,
}

/// What may become of reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// None fails.
    All,
    /// None takes longer than a read may.
    InTime,
    /// The fault takes more away than the promise covers.
    Any,
}

/// Which instance is the primary afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Primary {
    Another,
    Same,
    Any,
}

impl Expected {
    /// Nothing is said but that all of it heals.
    pub const HEALS: Self = Self {
        writes: None,
        reads: Reads::Any,
        primary: Primary::Any,
    };
    /// One process or an ordered change.
    #[must_use]
    pub const fn quick(median: f64, worst: f64) -> Self {
        Self {
            writes: Some((median, worst)),
            reads: Reads::All,
            primary: Primary::Another,
        }
    }
}

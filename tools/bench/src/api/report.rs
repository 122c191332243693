//! Everything that was measured, for other programs.

use std::path::PathBuf;
use std::thread;

use anyhow::Result;
use serde::Serialize;

use super::goals;
use super::plan::Plan;
use super::postgres::SETTINGS;
use super::{batches, mixed, reads, regions};
use crate::figures;
use crate::goal::Goal;

#[derive(Debug, Serialize)]
pub struct Report<'a> {
    pub processors: usize,
    /// Of PostgreSQL, where it is not as by default.
    pub settings: [&'static str; SETTINGS.len()],
    pub plan: &'a Plan,
    pub reads: Option<Vec<reads::Size>>,
    pub batches: Option<Vec<batches::Size>>,
    pub mixed: Option<mixed::Mixed>,
    pub regions: Option<regions::Regions>,
    pub goals: Vec<Goal>,
}

impl<'a> Report<'a> {
    pub fn new(plan: &'a Plan) -> Self {
        Self {
            processors: thread::available_parallelism().map_or(0, usize::from),
            settings: SETTINGS,
            plan,
            reads: None,
            batches: None,
            mixed: None,
            regions: None,
            goals: Vec::new(),
        }
    }

    /// Holds what was measured against what is wanted.
    pub fn judge(&mut self) {
        let reads = self.reads.iter().flat_map(|sizes| goals::of_reads(sizes));
        let batches = self.batches.iter().flat_map(|sizes| goals::of_batches(sizes));
        let mixed = self.mixed.iter().flat_map(goals::of_mixed);
        let regions = self.regions.iter().map(goals::of_regions);
        self.goals = reads.chain(batches).chain(mixed).chain(regions).collect();
    }

    /// Writes it where built things are. A quick or partial run does not replace the figures of
    /// a whole one.
    pub fn write(&self) -> Result<PathBuf> {
        let whole =
            self.reads.is_some() && self.batches.is_some() && self.mixed.is_some() && self.regions.is_some();
        let name = match (self.plan.quick, whole) {
            (true, _) => "api-quick.json",
            (false, false) => "api-part.json",
            (false, true) => "api.json",
        };
        figures::write(name, self)
    }
}

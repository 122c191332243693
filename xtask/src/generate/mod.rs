//! The files that are made from the code: the CRD from the operator's types, the bundled seed from its generator.

use anyhow::Result;

#[derive(clap::Args)]
pub struct Arguments {
    /// Write nothing; fail when a file is not current
    #[arg(long)]
    pub check: bool,
}

pub fn run(_arguments: &Arguments) -> Result<()> {
    Ok(())
}

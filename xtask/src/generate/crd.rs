//! The custom resource definition, as the operator prints it from its own types.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::command;
use crate::workspace;

/// The CRD of the operator as it is in the work tree: built first, so that it is never an old one.
pub fn yaml(root: &Path) -> Result<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    command::run(
        Command::new(cargo)
            .args([
                "build",
                "--quiet",
                "--release",
                "--locked",
                "--package",
                "rates-operator",
            ])
            .current_dir(root),
    )?;
    command::output(Command::new(workspace::binaries().join("rates-operator")).arg("crd"))
}

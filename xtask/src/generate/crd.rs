//! The custom resource definition, as the operator prints it from its own types.

use std::process::Command;

use anyhow::Result;

use host::command;
use host::workspace;

/// The CRD of the operator as it is in the work tree: built first, so that it is never an old one.
pub fn yaml() -> Result<String> {
    command::run(command::cargo().args([
        "build",
        "--quiet",
        "--release",
        "--locked",
        "--workspace",
        "--bins",
    ]))?;
    command::output(Command::new(workspace::binaries().join("rates-operator")).arg("crd"))
}

//! kubectl as a person uses it: the one on PATH, the cluster of KUBECONFIG.

use std::process::Command;

use anyhow::{Result, anyhow};
use serde_json::Value;

use crate::program;

/// A proxy may still lead to a database pod that has gone, where nobody answers for two minutes.
const CONNECT_TIMEOUT: &str = "PGCONNECT_TIMEOUT=5";

const PSQL: [&str; 5] = [
    "psql",
    "--no-psqlrc",
    "--tuples-only",
    "--no-align",
    "--set=ON_ERROR_STOP=1",
];

/// kubectl in one namespace.
#[derive(Clone, Debug)]
pub struct Kubectl {
    namespace: String,
}

impl Kubectl {
    pub fn new(namespace: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
        }
    }

    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Runs kubectl and gives its standard output; an error holds its standard error.
    pub fn run<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Result<String> {
        self.run_with_input(arguments, "")
    }

    /// As `run`, with text on standard input.
    pub fn run_with_input<'a>(
        &self,
        arguments: impl IntoIterator<Item = &'a str>,
        input: &str,
    ) -> Result<String> {
        let mut command = Command::new("kubectl");
        command.arg("--namespace").arg(&self.namespace).args(arguments);
        program::run(&mut command, input)
    }

    /// `kubectl apply -f -` with kubectl's strict validation, as it is by default.
    pub fn apply(&self, manifest: &Value) -> Result<String> {
        self.run_with_input(["apply", "-f", "-"], &manifest.to_string())
    }

    /// The refusal of a manifest that must not be accepted.
    pub fn refusal(&self, manifest: &Value) -> Result<String> {
        match self.apply(manifest) {
            Ok(accepted) => Err(anyhow!(
                "accepted, but should have been refused: {accepted}{manifest}"
            )),
            Err(refused) => Ok(format!("{refused:#}")),
        }
    }

    /// One object, or none.
    pub fn get(&self, kind: &str, name: &str) -> Result<Option<Value>> {
        let json = self.run(["get", kind, name, "--ignore-not-found", "-o", "json"])?;
        if json.trim().is_empty() {
            Ok(None)
        } else {
            Ok(Some(serde_json::from_str(&json)?))
        }
    }

    /// All objects of the kinds (comma-separated) that a label selector chooses.
    pub fn list(&self, kinds: &str, selector: &str) -> Result<Vec<Value>> {
        let json = self.run(["get", kinds, "--selector", selector, "-o", "json"])?;
        let list: Value = serde_json::from_str(&json)?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }

    /// The decoded value of a Secret's key.
    pub fn secret(&self, name: &str, key: &str) -> Result<String> {
        let template = format!("{{{{index .data {key:?} | base64decode}}}}");
        self.run(["get", "secret", name, "-o", &format!("go-template={template}")])
    }

    /// Ends every process of a database pod, as a crash does: a forced deletion would end them in order. An error may
    /// also mean that the command's own shell was among them.
    pub fn crash_database(&self, pod: &str) -> Result<String> {
        let command = ["sh", "-c", "kill -9 -1"];
        self.run(
            ["exec", pod, "--container", "postgres", "--"]
                .into_iter()
                .chain(command),
        )
    }

    /// One value of a query, run by psql in the database pod with the application's own credentials.
    pub fn psql(&self, environment: &str, query: &str) -> Result<String> {
        let uri = self.secret(&format!("{environment}-postgres"), "uri")?;
        let pod = format!("{environment}-postgres-0");
        let rows = self.run(
            ["exec", &pod, "--container=postgres", "--", "env", CONNECT_TIMEOUT]
                .into_iter()
                .chain(PSQL)
                .chain(["--dbname", &uri, "--command", query]),
        )?;
        Ok(rows.trim().to_owned())
    }

    /// All rows of some queries, asked in a database pod as the superuser, through the server's socket.
    pub fn psql_as_superuser(&self, pod: &str, database: &str, queries: &str) -> Result<String> {
        let exec = [
            "exec",
            "--stdin",
            pod,
            "--container=postgres",
            "--request-timeout=20s",
            "--",
        ];
        let login = [
            "--host=/var/run/postgresql",
            "--username=postgres",
            "--dbname",
            database,
        ];
        // By --command psql 13 shows the rows of the last query only.
        let rows = self.run_with_input(exec.into_iter().chain(PSQL).chain(login), queries)?;
        Ok(rows.trim().to_owned())
    }
}

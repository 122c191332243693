//! How a task of the process ends, and why the process does.

use std::net::SocketAddr;

use tokio::task::JoinError;

/// Why the process ends.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no way to reach a Kubernetes API was found: run in a cluster, or set KUBECONFIG")]
    Configuration(#[source] kube::config::InferConfigError),
    #[error("cannot make a client for the Kubernetes API")]
    Client(#[source] kube::Error),
    #[error("cannot listen on {address}: choose another one with --listen")]
    Listen {
        address: SocketAddr,
        source: std::io::Error,
    },
    #[error("cannot watch for signals")]
    Signal(#[source] std::io::Error),
    #[error("the health server ended")]
    Health(#[source] std::io::Error),
    #[error("{0} ended unasked")]
    Ended(&'static str),
    #[error("{task} panicked: {message}")]
    Panicked { task: &'static str, message: String },
}

/// How a task ended; a panic is an error that holds its message.
pub async fn outcome<T>(
    task: &'static str,
    running: impl Future<Output = Result<T, JoinError>>,
) -> Result<T, Error> {
    running.await.map_err(|failed| match failed.try_into_panic() {
        Ok(panic) => {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let message = text.or_else(|| panic.downcast_ref::<String>().cloned());
            Error::Panicked {
                task,
                message: message.unwrap_or_else(|| "without a message".to_owned()),
            }
        }
        Err(_) => Error::Ended(task),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error_that_names_the_task_and_holds_the_message() {
        let panics = tokio::spawn(async { assert_eq!(1, 2, "a claim without a name") });
        let error = outcome("the controller", panics).await.unwrap_err().to_string();
        assert!(
            error.starts_with("the controller panicked: ") && error.contains("a claim without a name"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_task_that_was_cut_off_is_an_error_as_well() {
        let never = tokio::spawn(std::future::pending::<()>());
        never.abort();
        let error = outcome("the health server", never).await.unwrap_err();
        assert_eq!(error.to_string(), "the health server ended unasked");
    }
}

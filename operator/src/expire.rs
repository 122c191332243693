//! Deletes an environment whose time is over.

use http::header::DATE;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use kube::api::{DeleteParams, Preconditions};
use kube::client::Body;
use kube::{Api, Client};

use crate::crd::RatesEnvironment;
use crate::identity::Identity;

/// What came of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    Deleted,
    /// By the API server's clock it is not over yet.
    NotYet,
    /// Somebody changed the environment, perhaps how long it lives.
    Changed,
}

/// Deletes an environment that ends at a time, as it was read.
///
/// This process's clock says that the time is over. The time counts from one that the API server set, so the API
/// server's clock has to say it too: one here that jumps forward deletes nothing.
pub async fn expire(
    client: &Client,
    identity: &Identity,
    environment: &RatesEnvironment,
    at: Timestamp,
) -> kube::Result<Outcome> {
    if server_time(client).await?.is_some_and(|now| now < at) {
        return Ok(Outcome::NotYet);
    }
    let api: Api<RatesEnvironment> = Api::namespaced(client.clone(), &identity.namespace);
    let parameters = DeleteParams::default().preconditions(Preconditions {
        uid: environment.metadata.uid.clone(),
        resource_version: environment.metadata.resource_version.clone(),
    });
    match api.delete(&identity.name, &parameters).await {
        Ok(_) => Ok(Outcome::Deleted),
        Err(kube::Error::Api(answer)) if matches!(answer.code, 404 | 409) => Ok(Outcome::Changed),
        Err(error) => Err(error),
    }
}

/// The time of an answer of the API server; `None` where something in between takes it away.
async fn server_time(client: &Client) -> kube::Result<Option<Timestamp>> {
    let request = http::Request::get("/version").body(Body::empty());
    let answer = client.send(request.map_err(kube::Error::HttpError)?).await?;
    let date = answer.headers().get(DATE).and_then(|date| date.to_str().ok());
    Ok(date.and_then(|date| Some(rfc2822::parse(date).ok()?.timestamp())))
}

//! `GET /batches/{id}`: what became of a batch.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};

use super::answer::BatchAnswer;
use super::problem::of_lookup;
use crate::batches::Status;
use crate::problem::{Problem, ProblemType};
use crate::service::Service;

pub async fn get(
    State(service): State<Service>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<BatchAnswer>, Problem> {
    let unknown = || Problem::new(ProblemType::UnknownBatch, "There is no batch with this id.");
    let Path(id) = id.map_err(|_| unknown())?;
    let id = id.parse().map_err(|_| unknown())?;
    let batch = service.lookup.find(id).await.map_err(of_lookup)?;
    batch
        .filter(|batch| batch.status != Status::Abandoned)
        .map(|batch| Json(batch.into()))
        .ok_or_else(unknown)
}

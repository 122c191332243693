//! `GET /`.

use std::sync::Arc;

use crate::support::postgres::Postgres;
use crate::support::program::Service;
use crate::support::tests;

tests![the_greeting_is_that_of_the_original, it_needs_no_database];

async fn the_greeting_is_that_of_the_original(postgres: Arc<Postgres>) {
    let service = Service::start(&postgres.uri(&postgres.empty().await), &[]);
    let response = service.get("/").await;
    assert_eq!(response.status, 200);
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(response.json(), serde_json::json!({ "message": "Hello world!" }));
}

async fn it_needs_no_database(_: Arc<Postgres>) {
    let service = Service::start("postgres://nobody@127.0.0.1:9/none", &[]);
    assert_eq!(service.get("/?a=b").await.status, 200);
    assert_eq!(service.get("/healthz").await.status, 200);
}

//! `GET /`: the original service's greeting, which callers use as a sign of life.

use axum::Json;
use serde::Serialize;

#[derive(Serialize)]
pub struct Greeting {
    message: &'static str,
}

pub async fn get() -> Json<Greeting> {
    Json(Greeting {
        message: "Hello world!",
    })
}

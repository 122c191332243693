//! Requests at random, made from `/openapi.json` and then spoilt: none is answered 5xx, every answer is as documented,
//! every error is a problem document, and the next request is served.
//!
//! `RATES_TEST_FUZZ_REQUESTS` is how many (600 unless set), `RATES_TEST_FUZZ_SEED` where they begin. A failure names
//! the request and its seed.

mod batch;
mod request;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::batches::Ingest;
use crate::openapi::document::Document;
use crate::support::http::{Connection, EXAMPLE, Response};
use crate::support::postgres::Postgres;
use crate::support::random::Random;
use crate::support::tests;
use request::Request;

tests![no_request_is_answered_5xx_and_every_answer_is_as_documented];

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect(name))
}

async fn no_request_is_answered_5xx_and_every_answer_is_as_documented(postgres: Arc<Postgres>) {
    let requests = setting("RATES_TEST_FUZZ_REQUESTS", 600);
    let seed = setting("RATES_TEST_FUZZ_SEED", 1);
    let arguments = [
        "--max-batch-bytes",
        "100000",
        "--log",
        "info,rates_api::access=warn",
    ];
    let ingest = Ingest::start(&postgres, &arguments).await;
    let document = Document::of(&ingest.service).await;
    let operations: Vec<(String, String)> = document
        .documented()
        .into_iter()
        .map(|(method, path, _)| (method, path))
        .collect();
    let mut connection = ingest.service.connect().await;
    let (mut answered, mut refused) = (0, 0);
    for number in seed..seed + requests {
        let mut random = Random(number.wrapping_mul(0x2545_f491_4f6c_dd1d));
        let (method, path) = random.pick(&operations);
        let request = Request::random(&mut random, &document, method, path);
        let bytes = request.bytes();
        let said = || format!("request {number}: {}", String::from_utf8_lossy(&bytes));
        match exchange(&mut connection, &request, &bytes).await {
            Some(response) => {
                answered += 1;
                refused += u64::from(response.status >= 400);
                assert!(response.status < 500, "{}\n{response:?}", said());
                if let Err(difference) = document.judge(&request.method, &request.target, &response) {
                    panic!("{difference}\n{}\n{response:?}", said());
                }
                if request.ends_connection || response.header("connection") == Some("close") {
                    connection = ingest.service.connect().await;
                }
            }
            // What is no HTTP may end the connection without a word.
            None => connection = ingest.service.connect().await,
        }
        if number % 16 == 0 {
            assert_eq!(ingest.service.get(EXAMPLE).await.status, 200, "after {}", said());
        }
    }
    assert_eq!(ingest.service.get(EXAMPLE).await.status, 200);
    // Neither is everything refused, nor nothing.
    assert!(
        answered > requests * 8 / 10,
        "{answered} of {requests} were answered"
    );
    assert!(
        (requests / 5..answered - requests / 20).contains(&refused),
        "{refused} of {requests} were refused"
    );
    assert!(
        !ingest.service.log().contains("panicked"),
        "{}",
        ingest.service.log()
    );
}

/// The response; none if the connection ended without one.
async fn exchange(connection: &mut Connection, request: &Request, bytes: &[u8]) -> Option<Response> {
    // A refusal may have come, and the connection have ended, before all of it was sent.
    let _ = connection.try_send(bytes, request.ends_connection).await;
    let answer = async {
        loop {
            let response = connection.receive_any(request.method == "HEAD").await.ok()??;
            if response.status != 100 {
                return Some(response);
            }
        }
    };
    timeout(Duration::from_secs(20), answer)
        .await
        .unwrap_or_else(|_| panic!("no answer to {:?}", String::from_utf8_lossy(bytes)))
}

//! Malformed bodies: 400 with the place, and the next request is served.

use std::sync::Arc;

use super::{CSV, Ingest, JSON, NDJSON, count_prices, csv, gzip};
use crate::support::postgres::Postgres;
use crate::support::tests;

tests![
    malformed_content_is_refused_with_its_place,
    every_cut_of_a_gzip_body_is_refused
];

async fn malformed_content_is_refused_with_its_place(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &[]).await;
    let before = count_prices(&postgres, &ingest.database).await;
    let endless = format!("[\"{}", "x".repeat(100_000));
    for (format, body, place) in [
        (JSON, "", "Expected a JSON array of rows"),
        (JSON, "{\"rows\":[]}", "Expected a JSON array of rows"),
        (JSON, "[{\"orig_code\":}]", "Row 1 is not a JSON value"),
        (JSON, "[\"\u{0}\"]", "Row 1 is not a JSON value"),
        (JSON, "[1,2", "The content ends before the JSON text is complete"),
        (JSON, "[] []", "Something follows the end of the JSON text"),
        (JSON, &endless, "Row 1 is longer than 16384 bytes"),
        (NDJSON, "{}\n{\n", "Row 2 is not a JSON value"),
        (CSV, "", "The content has no header line"),
        (CSV, "a,b\n", "The header line has an unknown name \"a\""),
    ] {
        let answer = ingest.post(&[format], body).await;
        assert_eq!(answer.status, 400, "{format} {place}");
        let detail = answer.problem();
        assert!(detail.starts_with(place), "{detail}");
        assert!(detail.ends_with("Nothing was written."), "{detail}");
    }
    let not_utf8 = ingest.post(&[NDJSON], b"{\"orig_code\":\"\xff\"}\n").await;
    assert_eq!(not_utf8.status, 400);
    assert_eq!(count_prices(&postgres, &ingest.database).await, before);
    assert_eq!(ingest.post(&[JSON], "[]").await.status, 201);
}

async fn every_cut_of_a_gzip_body_is_refused(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &[]).await;
    let whole = gzip(csv([("2022-05-01", 1)]));
    let headers = [CSV, "Content-Encoding: gzip"];
    for length in 0..whole.len() {
        let answer = ingest.post(&headers, &whole[..length]).await;
        assert_eq!(answer.status, 400, "{length} bytes: {answer:?}");
        answer.problem();
    }
    let answer = ingest.post(&headers, csv([])).await;
    assert!(
        answer.problem().starts_with("The content is not gzip"),
        "{answer:?}"
    );
    assert_eq!(ingest.post(&headers, whole).await.status, 201);
}

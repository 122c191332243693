//! Malformed bodies: 400 with the place, and the next request is served.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{CSV, DESTINATION, Ingest, JSON, NDJSON, ORIGIN, count_prices, csv, gzip};
use crate::support::postgres::Postgres;
use crate::support::tests;

tests![
    malformed_content_is_refused_with_its_place,
    every_cut_of_a_gzip_body_is_refused,
    quotes_that_are_open_or_followed_by_text_are_refused_with_their_line,
    a_whole_number_is_a_price_however_it_is_written,
    a_byte_order_mark_is_skipped,
    content_that_is_no_utf_8_text_is_named,
    zero_bytes_behind_gzip_are_no_content,
];

const GZIP: &str = "Content-Encoding: gzip";
const DAY: &str = "2031-03-02";

/// One row in each of the formats, with the price as it is written.
fn row(price: &str) -> [(&'static str, String); 3] {
    let object = format!(
        "{{\"orig_code\":\"{ORIGIN}\",\"dest_code\":\"{DESTINATION}\",\"day\":\"{DAY}\",\"price\":{price}}}"
    );
    [
        (JSON, format!("[{object}]")),
        (NDJSON, object),
        (
            CSV,
            format!("orig_code,dest_code,day,price\n{ORIGIN},{DESTINATION},{DAY},{price}\n"),
        ),
    ]
}

/// The prices of the day that the batches here write to.
async fn prices(postgres: &Postgres, ingest: &Ingest) -> Vec<i32> {
    let owner = postgres.owner(&ingest.database).await;
    let query = format!("SELECT price FROM prices WHERE day = '{DAY}' ORDER BY price");
    let rows = owner.query(&query, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

async fn quotes_that_are_open_or_followed_by_text_are_refused_with_their_line(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &[]).await;
    let lines = |rows: &[&str]| {
        let rows = rows
            .iter()
            .map(|price| format!("\n{ORIGIN},{DESTINATION},{DAY},{price}"));
        let rows = rows.collect::<Vec<_>>().concat();
        format!("orig_code,dest_code,day,price{rows}")
    };
    for (body, row, detail) in [
        (
            lines(&["\"1154\"", "\"11"]),
            2,
            "The quote that opens a field in line 3 is not closed",
        ),
        (
            lines(&["\"11\"54\n"]),
            1,
            "Line 2 has text behind a closing quote",
        ),
        (
            lines(&["1154", "11\"54"]),
            2,
            "Line 3 has a quote within a field that does not begin with one",
        ),
    ] {
        for (headers, content) in [
            (&[CSV][..], body.clone().into_bytes()),
            (&[CSV, GZIP], gzip(&body)),
        ] {
            let answer = ingest.post(headers, content).await;
            assert_eq!(answer.status, 400, "{body}: {answer:?}");
            assert!(answer.problem().starts_with(detail), "{body}: {answer:?}");
            assert_eq!(answer.json()["errors"][0]["row"], row, "{body}");
        }
    }
    assert_eq!(prices(&postgres, &ingest).await, [0; 0]);
}

async fn a_whole_number_is_a_price_however_it_is_written(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &[]).await;
    for price in ["1154.0", "1.154e3", "115400E-2"] {
        for (format, body) in row(price) {
            let answer = ingest.post(&[format], &body).await;
            assert_eq!(answer.status, 201, "{body}: {answer:?}");
        }
    }
    for price in ["1154.5", "1154.00000000000000000001", "1e-1", "2147483648.0"] {
        for (format, body) in row(price) {
            let answer = ingest.post(&[format], &body).await;
            assert_eq!(answer.status, 422, "{body}: {answer:?}");
            let expected =
                format!("\"{price}\" is not a price; expected a whole number from 1 to 2147483647");
            assert_eq!(answer.json()["errors"][0]["message"], expected);
        }
    }
    assert_eq!(prices(&postgres, &ingest).await, [1154; 9]);
}

async fn a_byte_order_mark_is_skipped(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &[]).await;
    for (format, body) in row("1154") {
        let body = format!("\u{feff}{body}");
        assert_eq!(ingest.post(&[format], &body).await.status, 201, "{body}");
        assert_eq!(
            ingest.post(&[format, GZIP], gzip(&body)).await.status,
            201,
            "{body}"
        );
    }
    assert_eq!(prices(&postgres, &ingest).await, [1154; 6]);
}

async fn content_that_is_no_utf_8_text_is_named(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &[]).await;
    let detail = async |headers: &[&str], body: Vec<u8>| {
        let answer = ingest.post(headers, body).await;
        assert_eq!(answer.status, 400, "{answer:?}");
        answer.problem()
    };
    for (format, body) in row("1154") {
        let units = |text: &str| {
            text.encode_utf16()
                .flat_map(u16::to_le_bytes)
                .collect::<Vec<u8>>()
        };
        for text in [body.clone(), format!("\u{feff}{body}")] {
            assert_eq!(
                detail(&[format], units(&text)).await,
                "The content is in UTF-16 or UTF-32; expected UTF-8. Nothing was written."
            );
        }
        let packed = "The content is packed with gzip; expected text, or text packed once with gzip and the header \
                      Content-Encoding: gzip. Nothing was written.";
        assert_eq!(detail(&[format], gzip(&body)).await, packed);
        assert_eq!(detail(&[format, GZIP], gzip(gzip(&body))).await, packed);
    }
    assert_eq!(prices(&postgres, &ingest).await, [0; 0]);
}

async fn zero_bytes_behind_gzip_are_no_content(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &[]).await;
    for (format, body) in row("1154") {
        let padded = [gzip(&body), vec![0; 700]].concat();
        let answer = ingest.post(&[format, GZIP], &padded).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        let more = [padded, b"more".to_vec()].concat();
        let answer = ingest.post(&[format, GZIP], more).await;
        assert_eq!(answer.status, 400, "{answer:?}");
        assert_eq!(answer.json()["errors"], Value::Null);
    }
    assert_eq!(prices(&postgres, &ingest).await, [1154; 3]);
    assert_eq!(
        ingest.day(ORIGIN, DESTINATION, DAY).await,
        (json!(3), json!(1154.0))
    );
}

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

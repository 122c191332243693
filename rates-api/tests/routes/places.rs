//! Ports and regions, and regions where a port's code is.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::support::http::rates;
use crate::support::postgres::Postgres;
use crate::support::program::Service;
use crate::support::tests;

tests![
    all_ports_and_regions_are_listed,
    a_region_stands_for_its_ports_and_those_of_the_regions_below,
    a_code_that_is_a_port_and_a_region_is_the_ports,
    regions_in_a_circle_are_answered,
];

async fn all_ports_and_regions_are_listed(postgres: Arc<Postgres>) {
    let database = postgres.seeded().await;
    let service = Service::ready(&postgres.uri(&database), &[]).await;
    let owner = postgres.owner(&database).await;
    for (target, list, statement) in [
        (
            "/ports",
            "ports",
            "SELECT json_agg(p ORDER BY code)::text FROM ports AS p",
        ),
        (
            "/regions",
            "regions",
            "SELECT json_agg(r ORDER BY slug)::text FROM regions AS r",
        ),
    ] {
        let expected: String = owner.query_one(statement, &[]).await.unwrap().get(0);
        let expected: Value = serde_json::from_str(&expected).unwrap();
        let answer = service.get(target).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json(), json!({ list: expected }));
    }
}

/// What the answer has to be for all ports of the two regions, computed by PostgreSQL from the prices.
const EXPECTED: &str = "WITH RECURSIVE below (root, slug) AS (
        SELECT slug, slug FROM regions
        UNION SELECT b.root, r.slug FROM below AS b JOIN regions AS r ON r.parent_slug = b.slug
    ), members (root, code) AS (
        SELECT root, code FROM below JOIN ports ON ports.parent_slug = slug UNION SELECT code, code FROM ports
    )
    SELECT p.day::text, count(*), CASE WHEN count(*) > 2 THEN avg(p.price)::float8 END
    FROM prices AS p
    JOIN members AS o ON o.code = p.orig_code AND o.root = $1
    JOIN members AS d ON d.code = p.dest_code AND d.root = $2
    WHERE p.day BETWEEN '2021-01-01' AND '2021-01-31'
    GROUP BY p.day";

async fn a_region_stands_for_its_ports_and_those_of_the_regions_below(postgres: Arc<Postgres>) {
    let database = postgres.seeded().await;
    let service = Service::ready(&postgres.uri(&database), &[]).await;
    let owner = postgres.owner(&database).await;
    let slugs: Vec<String> = owner
        .query("SELECT slug FROM regions ORDER BY slug", &[])
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    let codes: Vec<&str> = slugs
        .iter()
        .map(String::as_str)
        .chain(["CNGGZ", "EETLL", "nowhere"])
        .collect();
    let mut with_prices = 0;
    for origin in &codes {
        for destination in &codes {
            let expected: BTreeMap<String, Value> = owner
                .query(EXPECTED, &[origin, destination])
                .await
                .unwrap()
                .iter()
                .map(|row| {
                    let (day, count, price): (String, i64, Option<f64>) =
                        (row.get(0), row.get(1), row.get(2));
                    (day.clone(), json!({"day": day, "count": count, "price": price}))
                })
                .collect();
            with_prices += usize::from(!expected.is_empty());
            let answer = service
                .get(&rates("2021-01-01", "2021-01-31", origin, destination))
                .await
                .json();
            for rate in answer["rates"].as_array().unwrap() {
                let day = rate["day"].as_str().unwrap();
                let empty = json!({"day": day, "count": null, "price": null});
                let expected = expected.get(day).unwrap_or(&empty);
                assert_eq!(rate["count"], expected["count"], "{origin} {destination} {day}");
                let (found, expected) = (rate["price"].as_f64(), expected["price"].as_f64());
                let close = match (found, expected) {
                    (Some(found), Some(expected)) => (found - expected).abs() < 1e-9 * expected,
                    (found, expected) => found == expected,
                };
                assert!(close, "{origin} {destination} {day}: {found:?}, not {expected:?}");
            }
        }
    }
    assert!(with_prices > 20, "{with_prices}");
}

async fn a_code_that_is_a_port_and_a_region_is_the_ports(postgres: Arc<Postgres>) {
    let database = postgres.seeded().await;
    let owner = postgres.owner(&database).await;
    owner
        .batch_execute(
            "INSERT INTO ports SELECT slug, 'Odd', slug FROM regions WHERE slug = (SELECT parent_slug FROM ports WHERE code = 'CNGGZ')",
        )
        .await
        .unwrap();
    let slug: String = owner
        .query_one("SELECT parent_slug FROM ports WHERE code = 'CNGGZ'", &[])
        .await
        .unwrap()
        .get(0);
    let service = Service::ready(&postgres.uri(&database), &[]).await;
    let answer = service
        .get(&rates("2021-01-31", "2021-01-31", &slug, "EETLL"))
        .await;
    assert_eq!(answer.json()["rates"][0]["count"], Value::Null);
}

async fn regions_in_a_circle_are_answered(postgres: Arc<Postgres>) {
    let database = postgres.seeded().await;
    let owner = postgres.owner(&database).await;
    owner
        .batch_execute(
            "INSERT INTO regions VALUES ('round', 'Round', NULL), ('about', 'About', 'round');
             UPDATE regions SET parent_slug = 'about' WHERE slug = 'round'",
        )
        .await
        .unwrap();
    let service = Service::ready(&postgres.uri(&database), &[]).await;
    let answer = service
        .get(&rates("2021-01-31", "2021-01-31", "round", "about"))
        .await;
    assert_eq!(answer.status, 200);
}

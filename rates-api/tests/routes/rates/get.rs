//! `GET /rates`: the original's contract.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::support::dump::{self, expected};
use crate::support::http::{EXAMPLE, rates};
use crate::support::postgres::Postgres;
use crate::support::program::Service;
use crate::support::tests;

tests![
    the_example_of_the_documentation_is_answered,
    every_pair_and_day_of_the_bundled_seed_is_answered_as_in_the_dump,
    unknown_and_odd_codes_are_answered_with_nulls,
    a_reversed_range_is_an_empty_list,
    ten_years_are_answered_and_longer_ranges_refused,
    wrong_dates_are_refused_before_wrong_codes,
    of_a_repeated_parameter_the_first_counts,
    prices_that_are_added_show_at_once,
    an_integral_mean_is_a_float,
];

async fn service(postgres: &Postgres) -> Service {
    Service::ready(&postgres.uri(&postgres.seeded().await), &[]).await
}

async fn the_example_of_the_documentation_is_answered(postgres: Arc<Postgres>) {
    let response = service(&postgres).await.get(EXAMPLE).await;
    assert_eq!(response.status, 200);
    assert_eq!(response.header("content-type"), Some("application/json"));
    let text = String::from_utf8(response.body.clone()).unwrap();
    assert!(
        text.starts_with(r#"{"rates":[{"count":3,"day":"2021-01-31","price":1154.3333333333333},"#),
        "{text}"
    );
    let rates = response.json()["rates"].as_array().unwrap().clone();
    let days: Vec<&str> = rates.iter().map(|rate| rate["day"].as_str().unwrap()).collect();
    let newest_first: Vec<String> = (1..=31).rev().map(|day| format!("2021-01-{day:02}")).collect();
    assert_eq!(days, newest_first);
}

async fn every_pair_and_day_of_the_bundled_seed_is_answered_as_in_the_dump(postgres: Arc<Postgres>) {
    let service = service(&postgres).await;
    compare(
        &service,
        rates_api::seed::dump::BUNDLED,
        "2020-12-30",
        "2021-07-02",
    )
    .await;
}

/// Compares the answers for every pair of a dump with what the text of the dump says.
pub async fn compare(service: &Service, text: &str, first: &str, last: &str) {
    let prices = dump::prices(text);
    let mut connection = service.connect().await;
    for ((origin, destination), days) in &prices {
        let response = connection.get(&rates(first, last, origin, destination)).await;
        assert_eq!(response.status, 200, "{response:?}");
        let answered = response.json()["rates"].as_array().unwrap().clone();
        let mut seen = 0;
        for rate in &answered {
            let day = rate["day"].as_str().unwrap();
            assert_eq!(*rate, expected(day, days.get(day)), "{origin} to {destination}");
            seen += usize::from(days.contains_key(day));
        }
        assert_eq!(
            seen,
            days.len(),
            "{origin} to {destination} has days outside of {first} to {last}"
        );
        assert!(
            answered
                .windows(2)
                .all(|pair| pair[0]["day"].as_str() > pair[1]["day"].as_str())
        );
    }
}

async fn unknown_and_odd_codes_are_answered_with_nulls(postgres: Arc<Postgres>) {
    let service = service(&postgres).await;
    for code in [
        "XXXXX",
        "cnggz",
        "CNGGZ%20",
        "+CNGGZ",
        "%27",
        "%27%3B+DROP+TABLE+prices%3B--",
        "%C3%A5",
        "%FF",
        "%25",
        "%",
        "%F0%9F%9A%A2",
        "baltic_sea_x",
        "null",
        "0",
        "%5C",
        "%22",
    ] {
        let response = service
            .get(&rates("2021-01-30", "2021-01-31", code, "EETLL"))
            .await;
        assert_eq!(response.status, 200, "{code}");
        let expected = json!({ "rates": [expected("2021-01-31", None), expected("2021-01-30", None)] });
        assert_eq!(response.json(), expected, "{code}");
    }
    let long = service
        .get(&rates("2021-01-31", "2021-01-31", &"A".repeat(30_000), "EETLL"))
        .await;
    assert_eq!(long.status, 200);
}

async fn a_reversed_range_is_an_empty_list(postgres: Arc<Postgres>) {
    let service = service(&postgres).await;
    for (first, last) in [("2021-02-01", "2021-01-31"), ("9999-12-31", "0001-01-01")] {
        let response = service.get(&rates(first, last, "CNGGZ", "EETLL")).await;
        assert_eq!((response.status, response.json()), (200, json!({ "rates": [] })));
    }
    assert_eq!(
        service
            .get(&rates("2021-02-01", "2021-01-31", "", "EETLL"))
            .await
            .problem(),
        "Invalid location arguments"
    );
}

async fn ten_years_are_answered_and_longer_ranges_refused(postgres: Arc<Postgres>) {
    let service = service(&postgres).await;
    let response = service
        .get(&rates("2012-01-01", "2022-01-01", "CNGGZ", "EETLL"))
        .await;
    assert_eq!(
        (response.status, response.json()["rates"].as_array().map(Vec::len)),
        (200, Some(3654))
    );
    for (first, last) in [("2011-01-01", "2022-01-01"), ("0001-01-01", "9999-12-31")] {
        let response = service.get(&rates(first, last, "CNGGZ", "EETLL")).await;
        assert_eq!(
            (response.status, response.problem().as_str()),
            (400, "Invalid date arguments")
        );
        assert!(
            response.json()["errors"][0]["message"]
                .as_str()
                .unwrap()
                .contains("at most 3660")
        );
    }
    for year in ["0001", "9999"] {
        let response = service
            .get(&rates(
                &format!("{year}-01-01"),
                &format!("{year}-12-31"),
                "CNGGZ",
                "EETLL",
            ))
            .await;
        assert_eq!(
            (response.status, response.json()["rates"].as_array().map(Vec::len)),
            (200, Some(365))
        );
    }
}

async fn wrong_dates_are_refused_before_wrong_codes(postgres: Arc<Postgres>) {
    let service = service(&postgres).await;
    let mut connection = service.connect().await;
    for day in [
        "",
        "2021",
        "2021-02-30",
        "0000-01-01",
        "21-01-01",
        "02021-01-01",
        "2021-001-01",
        "2021-01-01T00:00",
        "2021-01-%201",
        "2021-01-+1",
        "%D9%A2%D9%A0%D9%A2%D9%A1-01-01",
        "2021-01-01%00",
        "2021-01-01%0A",
        "%FF",
        "%",
        "x",
    ] {
        for target in [
            rates(day, "2021-01-31", "", ""),
            rates("2021-01-01", day, "CNGGZ", "EETLL"),
        ] {
            let response = connection.get(&target).await;
            assert_eq!(
                (response.status, response.problem().as_str()),
                (400, "Invalid date arguments"),
                "{target}"
            );
        }
    }
    for (origin, destination) in [("", "EETLL"), ("CNGGZ", ""), ("%00", "EETLL"), ("CNGGZ", "A%00B")] {
        let response = connection
            .get(&rates("2021-01-01", "2021-01-01", origin, destination))
            .await;
        assert_eq!(
            (response.status, response.problem().as_str()),
            (400, "Invalid location arguments")
        );
    }
    for target in [
        "/rates?",
        "/rates?date_from=2021-01-01",
        "/rates?Date_from=2021-01-01&date_to=2021-01-01",
        "/rates?&&==&=",
    ] {
        assert_eq!(
            connection.get(target).await.problem(),
            "Invalid date arguments",
            "{target}"
        );
    }
    let unpadded = connection
        .get(&rates("2021-1-1", "2021-1-31", "CNGGZ", "EETLL"))
        .await;
    assert_eq!(unpadded.json(), connection.get(EXAMPLE).await.json());
}

async fn of_a_repeated_parameter_the_first_counts(postgres: Arc<Postgres>) {
    let service = service(&postgres).await;
    let plain = service.get(EXAMPLE).await.json();
    for tail in [
        "&date_from=x",
        "&orig_code=",
        "&dest_code=XXXXX&dest_code",
        "&unknown=1&&",
        "&ORIG_CODE=x",
    ] {
        assert_eq!(
            service.get(&format!("{EXAMPLE}{tail}")).await.json(),
            plain,
            "{tail}"
        );
    }
    let first_is_wrong = EXAMPLE.replace('?', "?dest_code=&");
    assert_eq!(
        service.get(&first_is_wrong).await.problem(),
        "Invalid location arguments"
    );
}

async fn prices_that_are_added_show_at_once(postgres: Arc<Postgres>) {
    let database = postgres.seeded().await;
    let service = Service::ready(&postgres.uri(&database), &[]).await;
    let owner = postgres.owner(&database).await;
    let target = rates("2021-12-31", "2021-12-31", "CNGGZ", "EETLL");
    for (price, expected) in [
        (100, json!({ "count": 1, "day": "2021-12-31", "price": null })),
        (100, json!({ "count": 2, "day": "2021-12-31", "price": null })),
        (
            300,
            json!({ "count": 3, "day": "2021-12-31", "price": 500.0 / 3.0 }),
        ),
    ] {
        let insert = format!("INSERT INTO prices VALUES ('CNGGZ', 'EETLL', '2021-12-31', {price})");
        owner.batch_execute(&insert).await.unwrap();
        assert_eq!(service.get(&target).await.json()["rates"][0], expected);
    }
}

async fn an_integral_mean_is_a_float(postgres: Arc<Postgres>) {
    let database = postgres.seeded().await;
    let service = Service::ready(&postgres.uri(&database), &[]).await;
    let insert =
        "INSERT INTO prices SELECT 'CNGGZ', 'EETLL', '2021-12-31', 2147483647 FROM generate_series(1, 4)";
    postgres
        .owner(&database)
        .await
        .batch_execute(insert)
        .await
        .unwrap();
    let response = service
        .get(&rates("2021-12-31", "2021-12-31", "CNGGZ", "EETLL"))
        .await;
    assert_eq!(response.json()["rates"][0]["price"], Value::from(2_147_483_647.0));
    assert!(String::from_utf8(response.body).unwrap().contains("2147483647.0"));
}

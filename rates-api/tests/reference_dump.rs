//! A database loaded from the real dump that `RATES_REFERENCE_DUMP` names answers exactly what is in it.
//!
//! Unset, the test is reported as ignored; set and missing, it fails.

use std::sync::Arc;

use crate::routes::rates::get::compare;
use crate::support::Test;
use crate::support::postgres::Postgres;
use crate::support::program::Service;

const VARIABLE: &str = "RATES_REFERENCE_DUMP";

pub fn tests() -> Vec<Test> {
    let unset = std::env::var_os(VARIABLE).is_none();
    if unset {
        eprintln!("{VARIABLE} is not set: the comparison with the real dump is ignored");
    }
    let name = "every_pair_and_day_of_the_real_dump_is_answered_as_in_the_dump";
    vec![
        Test::new(
            module_path!(),
            name,
            every_pair_and_day_is_answered_as_in_the_dump,
        )
        .skipped_if(unset),
    ]
}

async fn every_pair_and_day_is_answered_as_in_the_dump(postgres: Arc<Postgres>) {
    let path = std::env::var(VARIABLE).unwrap();
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{VARIABLE}={path}: {error}"));
    let database = postgres.loaded(&text).await;
    postgres.migrate(&database).await;
    let service = Service::ready(&postgres.uri(&database), &[]).await;
    compare(&service, &text, "2020-06-01", "2021-12-31").await;
}

//! Seeds that fail say why, leave nothing half-loaded, and are tried again when they change.

use anyhow::{Result, ensure};
use client::environment::{Environment, PATIENCE, bundled_rate, condition};
use client::wait::{Look, until};
use libtest_mimic::Trial;
use serde_json::json;

use crate::trial::trial;

pub fn trials() -> Vec<Trial> {
    vec![
        trial(
            "seeds::that_fail_say_it_in_psqls_words_and_are_tried_again",
            that_fail_are_tried_again,
        ),
        trial(
            "seeds::of_none_give_an_empty_migrated_database",
            of_none_give_an_empty_database,
        ),
        trial(
            "seeds::load_into_the_current_major_too",
            load_into_the_current_major_too,
        ),
    ]
}

/// The dump's three tables and a few prices; the line `broken` goes into the prices' COPY.
fn dump(broken: &str) -> String {
    format!(
        "CREATE TABLE public.ports (code text NOT NULL, name text NOT NULL, parent_slug text NOT NULL);\n\
         CREATE TABLE public.prices (orig_code text NOT NULL, dest_code text NOT NULL, day date NOT NULL, \
         price integer NOT NULL);\n\
         CREATE TABLE public.regions (slug text NOT NULL, name text NOT NULL, parent_slug text);\n\
         COPY public.ports (code, name, parent_slug) FROM stdin;\n\
         NOOSL\tOslo\tnorway\nSEGOT\tGothenburg\tsweden\n\\.\n\
         COPY public.prices (orig_code, dest_code, day, price) FROM stdin;\n\
         NOOSL\tSEGOT\t2021-03-01\t100\nNOOSL\tSEGOT\t2021-03-01\t200\n{broken}NOOSL\tSEGOT\t2021-03-01\t330\n\\.\n\
         COPY public.regions (slug, name, parent_slug) FROM stdin;\n\
         norway\tNorway\t\\N\nsweden\tSweden\t\\N\n\\.\n\
         ALTER TABLE ONLY public.ports ADD CONSTRAINT ports_pkey PRIMARY KEY (code);\n\
         ALTER TABLE ONLY public.regions ADD CONSTRAINT regions_pkey PRIMARY KEY (slug);\n"
    )
}

fn config_map(text: &str) -> serde_json::Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "dump"}, "data": {"dump.sql": text}})
}

fn that_fail_are_tried_again() -> Result<()> {
    let environment = Environment::new("mending")?;
    environment
        .kubectl
        .apply(&config_map(&dump("NOOSL\tSEGOT\tnot-a-day\t7\n")))?;
    environment.apply(&json!({
        "profile": "Preview",
        "database": {"seed": {"configMap": {"name": "dump", "key": "dump.sql"}}},
    }))?;
    // Seeded is False from the start; the message tells when the load has been tried.
    let refused = until("Seeded=False with psql's own message", PATIENCE, || {
        let seeded = condition(&environment.object()?, "Seeded");
        let told = seeded["message"]
            .as_str()
            .is_some_and(|message| message.contains("not-a-day"));
        Ok(if told && seeded["status"] == "False" {
            Look::Holds(seeded)
        } else {
            Look::NotYet(seeded.to_string())
        })
    })?;
    let message = refused["message"].as_str().unwrap_or_default();
    ensure!(
        message.contains("invalid input syntax for type date"),
        "psql's own words are missing: {message}"
    );
    let published = "SELECT count(*) FROM pg_database WHERE datname = 'rates'";
    let databases = environment
        .kubectl
        .psql_as_superuser("mending-postgres-0", "postgres", published)?;
    ensure!(
        databases == "0",
        "a half-loaded database was published: {databases}"
    );

    environment.kubectl.apply(&config_map(&dump("")))?;
    environment.wait_ready()?;
    let rates = environment
        .client()?
        .rates("NOOSL", "SEGOT", "2021-03-01", "2021-03-01")?;
    ensure!(
        rates == [json!({"count": 3, "day": "2021-03-01", "price": 210.0})],
        "{rates:?}"
    );
    ensure!(
        environment.psql("SELECT count(*) FROM rates_internal.seed")? == "1",
        "seeded once"
    );
    Ok(())
}

fn of_none_give_an_empty_database() -> Result<()> {
    let environment = Environment::new("empty")?;
    environment.apply(&json!({"profile": "Preview"}))?;
    environment.wait_ready()?;
    let rates = environment
        .client()?
        .rates("CNGGZ", "EETLL", "2021-01-01", "2021-01-02")?;
    let none = |day| json!({"count": null, "day": day, "price": null});
    ensure!(rates == [none("2021-01-02"), none("2021-01-01")], "{rates:?}");
    ensure!(environment.psql("SELECT count(*) FROM prices")? == "0");
    Ok(())
}

fn load_into_the_current_major_too() -> Result<()> {
    let environment = Environment::new("current")?;
    environment
        .apply(&json!({"profile": "Preview", "database": {"version": "17", "seed": {"bundled": {}}}}))?;
    environment.wait_ready()?;
    let version = environment.psql("SELECT version()")?;
    ensure!(version.starts_with("PostgreSQL 17"), "{version}");
    let rates = environment
        .client()?
        .rates("CNGGZ", "EETLL", "2021-01-31", "2021-01-31")?;
    ensure!(rates == [bundled_rate()], "{rates:?}");
    Ok(())
}

//! Settings: by flag or environment variable, exactly as documented, and never a secret in what is printed.

use std::sync::Arc;

use clap::CommandFactory as _;
use rates_api::cli::Cli;

use crate::support::postgres::Postgres;
use crate::support::program::{Service, command, finish, run};
use crate::support::tests;

tests![
    a_variable_that_is_no_setting_is_refused_with_the_accepted_ones,
    the_database_is_named_exactly_once,
    a_setting_that_cannot_be_read_is_named,
    help_documents_every_variable_and_shows_no_secret,
    the_documentation_has_every_setting_as_help_has_it_and_no_others,
    an_address_that_is_taken_is_named,
    it_listens_within_a_moment,
];

async fn a_variable_that_is_no_setting_is_refused_with_the_accepted_ones(_: Arc<Postgres>) {
    let child = command(&["dump", "--output", "/nowhere/x"])
        .env("RATES_LITSEN", "1")
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let finished = finish(child).await;
    assert!(!finished.success);
    assert!(
        finished.message.contains("RATES_LITSEN") && finished.message.contains("RATES_LISTEN,"),
        "{}",
        finished.message
    );
}

async fn the_database_is_named_exactly_once(_: Arc<Postgres>) {
    for arguments in [
        &["serve"][..],
        &[
            "migrate",
            "--database-uri",
            "postgres://u:secret@h/d",
            "--database-uri-file",
            "/f",
        ],
    ] {
        let finished = run(arguments).await;
        assert!(!finished.success);
        assert!(
            finished.message.contains("--database-uri-file"),
            "{}",
            finished.message
        );
        assert!(!finished.message.contains("secret"), "{}", finished.message);
    }
}

async fn a_setting_that_cannot_be_read_is_named(_: Arc<Postgres>) {
    let finished = run(&[
        "serve",
        "--database-uri",
        "postgres://h/d",
        "--drain-seconds",
        "soon",
    ])
    .await;
    assert!(!finished.success);
    assert!(
        finished.message.contains("--drain-seconds") && finished.message.contains("such as 15"),
        "{}",
        finished.message
    );
}

async fn help_documents_every_variable_and_shows_no_secret(_: Arc<Postgres>) {
    let output = command(&["serve", "--help"])
        .env("RATES_DATABASE_URI", "postgres://user:secret@host/rates")
        .stdout(std::process::Stdio::piped())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("RATES_DRAIN_SECONDS") && text.contains("RATES_DATABASE_URI_FILE"),
        "{text}"
    );
    assert!(!text.contains("secret"), "{text}");
}

async fn the_documentation_has_every_setting_as_help_has_it_and_no_others(_: Arc<Postgres>) {
    let page = include_str!("../../docs/running-the-api.md");
    settings_page::compare(&Cli::command(), page).unwrap();
}

async fn an_address_that_is_taken_is_named(_: Arc<Postgres>) {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let finished = run(&["serve", "--database-uri", "postgres://h/d", "--listen", &address]).await;
    assert!(!finished.success);
    assert!(
        finished.message.contains(&format!("cannot listen on {address}")),
        "{}",
        finished.message
    );
}

async fn it_listens_within_a_moment(_: Arc<Postgres>) {
    let started = std::time::Instant::now();
    let service = Service::start("postgres://nobody@127.0.0.1:9/none", &[]);
    let listening = started.elapsed();
    assert!(service.listens().await);
    assert!(listening.as_secs() < 5, "it took {listening:?}");
}

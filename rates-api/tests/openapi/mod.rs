//! `/openapi.json` says what is served: compared with the router, and with a response of every kind.

pub mod document;
mod schema;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use rates_api::problem::ProblemType;

use crate::batches::{CSV, Ingest, JSON, NDJSON, TOKEN, csv, gzip};
use crate::support::http::{EXAMPLE, Response, rates};
use crate::support::postgres::Postgres;
use crate::support::program::Service;
use crate::support::tests;
use document::{Document, Documented};

tests![
    the_document_has_the_routes_and_methods_of_the_router_and_no_others,
    every_reference_and_example_in_the_document_is_sound,
    a_response_of_every_kind_is_as_documented,
    what_is_not_as_documented_is_noticed,
    the_page_has_every_operation_and_loads_nothing,
    every_type_of_problem_has_an_entry_and_a_section_that_its_uri_refers_to,
];

async fn the_document_has_the_routes_and_methods_of_the_router_and_no_others(postgres: Arc<Postgres>) {
    let service = Service::start(&postgres.uri(&postgres.empty().await), &[]);
    let document = Document::of(&service).await;
    let routes: BTreeSet<String> = rates_api::router::paths()
        .into_iter()
        .map(str::to_owned)
        .collect();
    assert_eq!(document.paths(), routes);
    for path in routes {
        let refused = service.connect().await.request("BREW", &path).await;
        assert_eq!(refused.status, 405, "{path}");
        let allowed: BTreeSet<String> = refused
            .header("allow")
            .unwrap()
            .split(',')
            .map(|method| method.trim().to_owned())
            .filter(|method| method != "HEAD")
            .collect();
        assert_eq!(document.methods(&path), allowed, "{path}");
    }
}

async fn every_reference_and_example_in_the_document_is_sound(postgres: Arc<Postgres>) {
    let service = Service::start(&postgres.uri(&postgres.empty().await), &[]);
    let document = Document::of(&service).await;
    let schemas = schema::Schemas {
        document: &document.0,
    };
    let mut examples = 0;
    let mut values = vec![&document.0];
    while let Some(value) = values.pop() {
        if value["$ref"].is_string() {
            schemas.resolve(value);
        }
        if value["schema"].is_object() && !value["example"].is_null() {
            assert_eq!(
                schemas.differences(&value["example"], &value["schema"]),
                Vec::<String>::new()
            );
            examples += 1;
        }
        match value {
            Value::Array(items) => values.extend(items),
            Value::Object(members) => values.extend(members.values()),
            _ => {}
        }
    }
    assert!(examples > 10, "{examples}");
}

/// Responses that were judged.
struct Seen(Document, BTreeSet<Documented>);

impl Seen {
    #[track_caller]
    fn judge(&mut self, method: &str, target: &str, response: &Response) {
        match self.0.judge(method, target, response) {
            Ok(documented) => self.1.extend(documented),
            Err(difference) => panic!("{method} {target}: {difference}: {response:?}"),
        }
    }

    async fn get(&mut self, service: &Service, target: &str) {
        for method in ["HEAD", "GET"] {
            let response = service.connect().await.request(method, target).await;
            self.judge(method, target, &response);
        }
    }

    async fn post(&mut self, ingest: &Ingest, headers: &[&str], body: impl AsRef<[u8]>) -> Response {
        let response = ingest.post(headers, body).await;
        self.judge("POST", "/batches", &response);
        response
    }
}

async fn a_response_of_every_kind_is_as_documented(postgres: Arc<Postgres>) {
    let arguments = ["--max-batch-bytes", "2000", "--body-timeout-seconds", "1"];
    let ingest = Ingest::start(&postgres, &arguments).await;
    let mut seen = Seen(Document::of(&ingest.service).await, BTreeSet::new());
    post_of_every_kind(&ingest, &mut seen).await;
    for path in rates_api::router::paths() {
        seen.get(&ingest.service, path).await;
        let refused = ingest.service.connect().await.request("PUT", path).await;
        seen.judge("PUT", path, &refused);
    }
    for target in [
        EXAMPLE,
        &rates("2021-01-02", "2021-01-01", "CNGGZ", "EETLL"),
        &rates("2021-01-01", "2021-01-03", "unknown", "EETLL"),
        "/batches?limit=2",
        "/batches?limit=0",
        "/batches/1",
        "/batches/0",
        "/batches/%FF",
        "/nowhere",
    ] {
        seen.get(&ingest.service, target).await;
    }
    for target in [EXAMPLE, "/ports", "/regions", "/openapi.json", "/docs"] {
        let answer = ingest.service.connect().await.get_unless(target, "*").await;
        assert_eq!(answer.status, 304, "{target}");
        seen.judge("GET", target, &answer);
    }
    let alone = Service::start(
        "postgres://nobody@127.0.0.1:9/none",
        &["--request-timeout-seconds", "0.2"],
    );
    for target in [EXAMPLE, "/ports", "/regions", "/batches", "/batches/1", "/readyz"] {
        seen.get(&alone, target).await;
    }
    let gone = Ingest::of(
        &postgres,
        postgres.seeded().await,
        &["--request-timeout-seconds", "0.2"],
    )
    .await;
    let admin = postgres.admin("postgres").await;
    let rename = format!("ALTER DATABASE {0} WITH ALLOW_CONNECTIONS false", gone.database);
    admin.batch_execute(&rename).await.unwrap();
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1";
    admin.query(end, &[&gone.database]).await.unwrap();
    let answer = seen.post(&gone, &[CSV], csv([])).await;
    assert_eq!(answer.status, 503);

    let missing: Vec<Documented> = seen.0.documented().difference(&seen.1).cloned().collect();
    // A fault of the service's own is not to be had.
    let unexpected: Vec<_> = missing.iter().filter(|(_, _, status)| *status != 500).collect();
    assert!(unexpected.is_empty(), "these were not seen: {unexpected:?}");
}

async fn post_of_every_kind(ingest: &Ingest, seen: &mut Seen) {
    let rows = csv([("2022-05-01", 1)]);
    let good = json!([{"orig_code": "CNGGZ", "dest_code": "EETLL", "day": "2022-05-01", "price": 1}]);
    for (headers, body) in [
        (&[CSV][..], rows.clone().into_bytes()),
        (&[CSV, "Content-Encoding: gzip"], gzip(&rows)),
        (&[JSON], good.to_string().into_bytes()),
        (&[JSON], json!({ "prices": good }).to_string().into_bytes()),
        (&[NDJSON], format!("{}\n", good[0]).into_bytes()),
        (&[CSV, "Prefer: respond-async"], rows.clone().into_bytes()),
        (
            &[CSV, "Prefer: respond-async"],
            csv([("2022-05-01", 0)]).into_bytes(),
        ),
        (&[JSON], b"{".to_vec()),
        (&[CSV, "Content-Encoding: gzip"], gzip(&rows)[..9].to_vec()),
        (&[CSV, "Idempotency-Key: \"a"], rows.clone().into_bytes()),
        (&[CSV], csv([("2022-05-01", 0), ("x", 1)]).into_bytes()),
        (&[CSV], csv([("2022-05-01", 1); 100]).into_bytes()),
        (&["Content-Type: text/plain"], rows.clone().into_bytes()),
        (&[CSV, "Content-Encoding: br"], rows.clone().into_bytes()),
    ] {
        seen.post(ingest, headers, body).await;
    }
    for headers in [&[CSV][..], &[CSV, "Authorization: Bearer other"]] {
        let refused = ingest
            .service
            .connect()
            .await
            .post("/batches", headers, &rows)
            .await;
        assert_eq!(refused.status, 401);
        seen.judge("POST", "/batches", &refused);
    }
    let key = "Idempotency-Key: slow";
    let mut slow = ingest.service.connect().await;
    slow.send(format!(
        "POST /batches HTTP/1.1\r\nHost: a\r\n{TOKEN}\r\n{CSV}\r\n{key}\r\nContent-Length: 999\r\n\r\n"
    ))
    .await;
    crate::support::eventually("the key is taken", crate::support::SOON, async || {
        (ingest.service.get("/batches").await.json()["batches"][0]["rows"] == 0).then_some(())
    })
    .await;
    let answer = seen.post(ingest, &[CSV, key], &rows).await;
    assert_eq!(answer.status, 409);
    let silent = slow.receive(false).await;
    assert_eq!(silent.status, 408);
    seen.judge("POST", "/batches", &silent);
}

async fn what_is_not_as_documented_is_noticed(postgres: Arc<Postgres>) {
    let service = Service::ready(&postgres.uri(&postgres.seeded().await), &[]).await;
    let document = Document::of(&service).await;
    let whole = service.get(EXAMPLE).await;
    assert!(document.judge("GET", EXAMPLE, &whole).is_ok());
    let change = |change: &dyn Fn(&mut Value)| {
        let mut json = whole.json();
        change(&mut json);
        Response {
            body: json.to_string().into_bytes(),
            ..whole.clone()
        }
    };
    let mut header = whole.clone();
    header.headers.insert("x-new".to_owned(), String::new());
    let mut kind = whole.clone();
    kind.headers
        .insert("content-type".to_owned(), "text/plain".to_owned());
    let wrong = [
        change(&|json| json["rates"][0]["new"] = json!(1)),
        change(&|json| json["rates"][0]["count"] = json!(0)),
        change(&|json| json["rates"][0]["price"] = json!("1")),
        change(&|json| json["rates"][0]["day"] = json!("2021-02-30")),
        change(&|json| json["rates"][0] = json!({"count": 3, "price": 1.5})),
        header,
        kind,
        Response {
            status: 201,
            ..whole.clone()
        },
    ];
    for response in wrong {
        assert!(document.judge("GET", EXAMPLE, &response).is_err(), "{response:?}");
    }
    assert!(document.judge("GET", "/nowhere", &whole).is_err());
    assert!(document.judge("POST", "/rates", &whole).is_err());
}

async fn the_page_has_every_operation_and_loads_nothing(postgres: Arc<Postgres>) {
    let service = Service::start(&postgres.uri(&postgres.empty().await), &[]);
    let document = Document::of(&service).await;
    let response = service.get("/docs").await;
    let policy = response.header("content-security-policy").unwrap();
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-"),
        "{policy}"
    );
    assert!(!policy.contains("unsafe"), "{policy}");
    let page = String::from_utf8(response.body).unwrap();
    for path in document.paths() {
        assert!(page.contains(&format!("<code>{path}</code>")), "{path}");
        for method in document.methods(&path) {
            let id = document.operation(&method, &path)["operationId"]
                .as_str()
                .unwrap();
            assert!(page.contains(&format!("<section id=\"{id}\">")), "{id}");
        }
    }
    for name in document.0["components"]["schemas"].as_object().unwrap().keys() {
        assert!(
            page.contains(&format!("<section id=\"schema-{name}\">")),
            "{name}"
        );
    }
    for loading in [
        "<script",
        "<link",
        "<img",
        "src=",
        "style=",
        "@import",
        "url(",
        "href=\"http",
    ] {
        assert!(!page.contains(loading), "{loading}");
    }
}

async fn every_type_of_problem_has_an_entry_and_a_section_that_its_uri_refers_to(postgres: Arc<Postgres>) {
    let service = Service::start(&postgres.uri(&postgres.empty().await), &[]);
    let document = Document::of(&service).await;
    let entries = document.0["components"]["schemas"]["ProblemType"]["oneOf"]
        .as_array()
        .unwrap();
    assert_eq!(entries.len(), ProblemType::ALL.len());
    for (kind, entry) in ProblemType::ALL.into_iter().zip(entries) {
        assert_eq!(entry["const"], kind.uri());
        assert_eq!(entry["title"], kind.title());
        let status = format!("{}: ", kind.status().as_u16());
        assert!(
            entry["description"].as_str().unwrap().starts_with(&status),
            "{entry}"
        );
        let (path, fragment) = kind.uri().split_once('#').unwrap();
        let page = String::from_utf8(service.get(path).await.body).unwrap();
        assert_eq!(
            page.matches(&format!("id=\"{fragment}\"")).count(),
            1,
            "{fragment}"
        );
    }
}

//! One request: as the document has it, and then perhaps spoilt.

use serde_json::Value;

use super::batch;
use crate::openapi::document::Document;
use crate::support::random::Random;

pub struct Request {
    pub method: String,
    pub target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// Nothing can be sent behind it: its length is not what it says.
    pub ends_connection: bool,
}

/// Values that somebody did not think of.
const ODD: [&str; 24] = [
    "",
    " ",
    "0",
    "-1",
    "9223372036854775808",
    "1e9",
    "NaN",
    "null",
    "%00",
    "%FF%FE",
    "%",
    "%zz",
    "%20",
    "+",
    "a%0d%0ab:c",
    "';DROP%20TABLE%20ports;--",
    "../../etc/passwd",
    "%E2%80%AE",
    "%F0%9F%9A%A2",
    "2021-02-30",
    "0000-00-00",
    "9999-12-31",
    "0001-01-01",
    "2021-01-01T00:00:00Z",
];

const METHODS: [&str; 8] = [
    "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "POST", "BREW",
];

const HEADERS: [(&str, &str); 16] = [
    ("X-Request-Id", "a b"),
    ("X-Request-Id", "\u{e9}"),
    (
        "traceparent",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ),
    ("traceparent", "00--"),
    ("Idempotency-Key", ""),
    ("Idempotency-Key", "\"open"),
    ("Prefer", "respond-async, wait=0; ;="),
    ("Prefer", ","),
    ("Content-Type", "application/json; charset=utf-16"),
    ("Content-Type", ";"),
    ("Content-Encoding", "gzip, gzip"),
    ("Authorization", "Bearer"),
    ("Authorization", "Basic d3JpdGVyLTE="),
    ("Expect", "100-continue"),
    ("Accept", "image/png"),
    ("Range", "bytes=5-1"),
];

impl Request {
    pub fn random(random: &mut Random, document: &Document, method: &str, path: &str) -> Self {
        let mut request = Self {
            method: method.to_owned(),
            target: path.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            ends_connection: false,
        };
        let parameters: Vec<Value> = document.parameters(method, path).into_iter().cloned().collect();
        request.fill(random, &parameters);
        if document.operation(method, path)["requestBody"].is_object() {
            request.fill_body(random);
        }
        if random.one_in(2) {
            for _ in 0..=random.below(2) {
                request.spoil(random);
            }
        }
        request
    }

    fn fill(&mut self, random: &mut Random, parameters: &[Value]) {
        let mut query = Vec::new();
        for parameter in parameters {
            let required = parameter["required"] == true;
            // What is required is missing at times too.
            if random.one_in(if required { 20 } else { 2 }) {
                continue;
            }
            let name = parameter["name"].as_str().unwrap();
            let value = value(random, parameter);
            match parameter["in"].as_str().unwrap() {
                "query" => query.push(format!("{name}={value}")),
                "path" => self.target = self.target.replace(&format!("{{{name}}}"), &value),
                _ => self.headers.push((name.to_owned(), value)),
            }
        }
        if !query.is_empty() {
            let separator = if random.one_in(30) { "&&" } else { "&" };
            self.target = format!("{}?{}", self.target, query.join(separator));
        }
    }

    fn fill_body(&mut self, random: &mut Random) {
        let (media_type, body) = batch::random(random);
        let named = |headers: &[(String, String)], name: &str| headers.iter().any(|(given, _)| given == name);
        let packed = self
            .headers
            .iter()
            .any(|(name, value)| name == "Content-Encoding" && value == "gzip");
        self.body = if packed { crate::batches::gzip(body) } else { body };
        if !named(&self.headers, "Content-Type") {
            self.headers
                .push(("Content-Type".to_owned(), media_type.to_owned()));
        }
        if !random.one_in(20) {
            let token = "Bearer writer-1".to_owned();
            self.headers.push(("Authorization".to_owned(), token));
        }
    }

    fn spoil(&mut self, random: &mut Random) {
        match random.below(10) {
            0 => self.method = String::from(*random.pick(&METHODS)),
            1 => {
                self.target = format!(
                    "{}{}",
                    self.target,
                    random.pick(&["/", "?", "%", "/x", "?a=b", "#x"])
                );
            }
            2 => self.target = format!("/{}", random.pick(&ODD).replace(' ', "")),
            3 => {
                let separator = if self.target.contains('?') { '&' } else { '?' };
                let long = "x".repeat(usize::try_from(random.below(30_000)).unwrap());
                self.target = format!("{}{separator}long={long}", self.target);
            }
            4 | 5 => {
                let (name, value) = *random.pick(&HEADERS);
                self.headers.push((name.to_owned(), value.to_owned()));
            }
            6 => {
                let length = usize::try_from(random.below(200)).unwrap();
                self.headers
                    .push((format!("X-{}", "y".repeat(length + 1)), "z".repeat(length * 100)));
            }
            // Cut off, or a few bytes of it changed: gzip that is none, UTF-8 that is none.
            7 if !self.body.is_empty() => {
                let length = usize::try_from(random.below(self.body.len() as u64)).unwrap();
                self.body.truncate(length);
            }
            8 if !self.body.is_empty() => {
                for _ in 0..3 {
                    let place = usize::try_from(random.below(self.body.len() as u64)).unwrap();
                    self.body[place] = u8::try_from(random.below(256)).unwrap();
                }
            }
            // It announces more than it has, and ends.
            9 => self.ends_connection = true,
            _ => self.headers.reverse(),
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let more = usize::from(self.ends_connection) * 7;
        let mut head = format!("{} {} HTTP/1.1\r\nHost: fuzz\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            head.extend([name.as_str(), ": ", value, "\r\n"]);
        }
        if !self.body.is_empty() || more > 0 || self.method == "POST" {
            let length = (self.body.len() + more).to_string();
            head.extend(["Content-Length: ", &length, "\r\n"]);
        }
        head.push_str("\r\n");
        [head.as_bytes(), &self.body].concat()
    }
}

/// A value as the parameter's schema or example has it, and sometimes another.
fn value(random: &mut Random, parameter: &Value) -> String {
    let in_header = parameter["in"] == "header";
    if random.one_in(8) {
        let odd = random.pick(&ODD);
        return if in_header {
            (*odd).to_owned()
        } else {
            odd.replace(' ', "+")
        };
    }
    let schema = &parameter["schema"];
    if let Some(values) = schema["enum"].as_array() {
        return random.pick(values).as_str().unwrap().to_owned();
    }
    if schema["type"] == "integer" {
        return random.below(600).to_string();
    }
    let example = parameter["example"].as_str().unwrap_or("a");
    match parameter["name"].as_str().unwrap() {
        "date_from" | "date_to" => batch::day(random),
        "orig_code" | "dest_code" => (*random.pick(&batch::CODES)).to_owned(),
        // A few keys, so that some are met again; a few ids, so that some are there.
        "Idempotency-Key" => format!("key-{}", random.below(40)),
        "id" => random.below(60).to_string(),
        _ => example.to_owned(),
    }
}

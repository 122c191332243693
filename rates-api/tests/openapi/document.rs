//! The document as the service gives it, and responses compared with it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::schema::Schemas;
use crate::support::http::Response;
use crate::support::program::Service;

/// Method, template of the path, status.
pub type Documented = (String, String, u16);

/// Headers that any response may have.
const COMMON: [&str; 10] = [
    "allow",
    "cache-control",
    "connection",
    "content-length",
    "content-type",
    "date",
    "referrer-policy",
    "transfer-encoding",
    "x-content-type-options",
    "x-request-id",
];

/// What hyper answers by itself, before there is a request.
const NO_REQUEST: [u16; 3] = [400, 414, 431];

pub struct Document(pub Value);

impl Document {
    pub async fn of(service: &Service) -> Self {
        let response = service.get("/openapi.json").await;
        assert_eq!(response.header("content-type"), Some("application/json"));
        Self(response.json())
    }

    fn schemas(&self) -> Schemas<'_> {
        Schemas { document: &self.0 }
    }

    pub fn paths(&self) -> BTreeSet<String> {
        self.0["paths"].as_object().unwrap().keys().cloned().collect()
    }

    /// The methods of a path, in upper case.
    pub fn methods(&self, path: &str) -> BTreeSet<String> {
        let item = self.0["paths"][path].as_object().unwrap();
        let methods = item.keys().filter(|key| *key != "parameters");
        methods.map(|method| method.to_uppercase()).collect()
    }

    pub fn operation(&self, method: &str, path: &str) -> &Value {
        &self.0["paths"][path][method.to_lowercase()]
    }

    /// The parameters of an operation, references resolved.
    pub fn parameters(&self, method: &str, path: &str) -> Vec<&Value> {
        let own = self.operation(method, path)["parameters"].as_array();
        let common = self.0["paths"][path]["parameters"].as_array();
        own.into_iter()
            .chain(common)
            .flatten()
            .map(|parameter| self.schemas().resolve(parameter))
            .collect()
    }

    pub fn documented(&self) -> BTreeSet<Documented> {
        let mut all = BTreeSet::new();
        for path in self.paths() {
            for method in self.methods(&path) {
                for status in self.operation(&method, &path)["responses"]
                    .as_object()
                    .unwrap()
                    .keys()
                {
                    all.insert((method.clone(), path.clone(), status.parse().unwrap()));
                }
            }
        }
        all
    }

    /// Whether the response is one that the document has for the request, in everything that it says.
    pub fn judge(
        &self,
        method: &str,
        target: &str,
        response: &Response,
    ) -> Result<Option<Documented>, String> {
        if NO_REQUEST.contains(&response.status) && response.header("x-request-id").is_none() {
            return if response.body.is_empty() {
                Ok(None)
            } else {
                Err("content without a request".to_owned())
            };
        }
        let Some(path) = self.template(target) else {
            return self.problem_of_status(response, 404);
        };
        let read_as = if method == "HEAD" { "GET" } else { method };
        if !self.methods(&path).contains(read_as) {
            return match response.header("allow") {
                Some(_) => self.problem_of_status(response, 405),
                None => Err("405 without Allow".to_owned()),
            };
        }
        let status = response.status.to_string();
        let described = self.operation(read_as, &path)["responses"]
            .get(&status)
            .ok_or_else(|| format!("{method} {path} has no {status}"))?;
        let described = self.schemas().resolve(described);
        self.headers(response, described)?;
        if method == "HEAD" {
            return Ok(None);
        }
        if !described["content"].is_null() {
            self.content(response, described)?;
        } else if !response.body.is_empty() {
            return Err("content that is not described".to_owned());
        }
        Ok(Some((method.to_owned(), path, response.status)))
    }

    /// The template that a request's path is an instance of.
    fn template(&self, target: &str) -> Option<String> {
        let path = target.split(['?', '#']).next().unwrap_or_default();
        let fits = |template: &String| {
            let (mut parts, mut wanted) = (path.split('/'), template.split('/'));
            loop {
                match (parts.next(), wanted.next()) {
                    (None, None) => return true,
                    (Some(part), Some(wanted)) if wanted.starts_with('{') && !part.is_empty() => {}
                    (Some(part), Some(wanted)) if part == wanted => {}
                    _ => return false,
                }
            }
        };
        self.paths().into_iter().find(fits)
    }

    fn problem_of_status(&self, response: &Response, status: u16) -> Result<Option<Documented>, String> {
        if response.status != status {
            return Err(format!("expected {status}"));
        }
        // Of HEAD there is nothing more to see.
        if response.body.is_empty() {
            return Ok(None);
        }
        self.content(response, &self.0["components"]["responses"]["BadRequest"])
            .map(|()| None)
    }

    fn headers<'a>(&'a self, response: &Response, described: &'a Value) -> Result<(), String> {
        let known: Vec<(String, &'a Value)> = described["headers"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, header)| (name.to_lowercase(), header))
            .collect();
        for name in response.headers.keys() {
            let is_known = COMMON.contains(&name.as_str()) || known.iter().any(|(known, _)| known == name);
            if !is_known {
                return Err(format!("the header {name} is not described"));
            }
        }
        for (name, header) in known {
            let header = self.schemas().resolve(header);
            match response.header(&name) {
                Some(text) => {
                    let value = if header["schema"]["type"] == "integer" {
                        text.parse::<i64>().map_or(Value::Null, Value::from)
                    } else {
                        Value::from(text)
                    };
                    self.fits(&value, &header["schema"])?;
                }
                None if header["required"] == true => return Err(format!("the header {name} is missing")),
                None => {}
            }
        }
        Ok(())
    }

    fn content<'a>(&'a self, response: &Response, described: &'a Value) -> Result<(), String> {
        let media_type = response.header("content-type").unwrap_or_default();
        let form = described["content"]
            .get(media_type)
            .ok_or_else(|| format!("the type {media_type} is not described"))?;
        if !media_type.ends_with("json") {
            return Ok(());
        }
        let value: Value = serde_json::from_slice(&response.body).map_err(|error| error.to_string())?;
        let is_problem = media_type == "application/problem+json";
        if is_problem && value["status"] != response.status {
            return Err("the problem has another status".to_owned());
        }
        if is_problem && *self.problem_type(&value)? != value["title"] {
            return Err("the problem's type has another title".to_owned());
        }
        self.fits(&value, &form["schema"])
    }

    /// The title of a problem's type, which has to have the problem's status.
    fn problem_type(&self, problem: &Value) -> Result<&Value, String> {
        let types = self.0["components"]["schemas"]["ProblemType"]["oneOf"].as_array();
        let status = format!("{}: ", problem["status"]);
        types
            .into_iter()
            .flatten()
            .find(|kind| kind["const"] == problem["type"])
            .filter(|kind| {
                kind["description"]
                    .as_str()
                    .is_some_and(|text| text.starts_with(&status))
            })
            .map(|kind| &kind["title"])
            .ok_or_else(|| format!("{} is no type of problems of this status", problem["type"]))
    }

    fn fits<'a>(&'a self, value: &Value, schema: &'a Value) -> Result<(), String> {
        let differences = self.schemas().differences(value, schema);
        if differences.is_empty() {
            Ok(())
        } else {
            Err(differences.join("; "))
        }
    }
}

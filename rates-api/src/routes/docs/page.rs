//! The page: what the service is, each operation, each schema.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::Value;

use super::schema::{description, properties, row, summary};
use super::text::{inline, paragraphs};

/// The schema whose forms have sections of their own.
const PROBLEM_TYPE: &str = "ProblemType";

/// The whole page.
pub fn render(document: &Value, style: &str) -> Markup {
    let info = &document["info"];
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (text(&info["title"])) }
                style { (PreEscaped(style)) }
            }
            body {
                main {
                    h1 { (text(&info["title"])) " " small { (text(&info["version"])) } }
                    (paragraphs(text(&info["description"])))
                    p { "The same as a document of OpenAPI: " a href="/openapi.json" { "/openapi.json" } }
                    @for tag in list(&document["tags"]) { (operations(document, tag)) }
                    (problems(&document["components"]["schemas"][PROBLEM_TYPE]))
                    h2 { "Schemas" }
                    @for (name, schema) in members(&document["components"]["schemas"]) {
                        @if name != PROBLEM_TYPE {
                            section id={ "schema-" (name) } {
                                h3 { (name) }
                                (paragraphs(text(&schema["description"])))
                                p { (summary(schema)) }
                                (properties(schema))
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The operations that have a tag.
fn operations(document: &Value, tag: &Value) -> Markup {
    html! {
        h2 { (text(&tag["name"])) }
        (paragraphs(text(&tag["description"])))
        @for (path, item) in members(&document["paths"]) {
            @for (method, operation) in members(item) {
                @if list(&operation["tags"]).contains(&tag["name"]) {
                    (self::operation(document, path, method, operation, item))
                }
            }
        }
    }
}

/// The types of problems, each where its own URI refers to.
fn problems(schema: &Value) -> Markup {
    html! {
        section id={ "schema-" (PROBLEM_TYPE) } {
            h2 { "Problems" }
            (paragraphs(text(&schema["description"])))
        }
        @for kind in list(&schema["oneOf"]) {
            @let uri = text(&kind["const"]);
            section id=(uri.split_once('#').map_or(uri, |(_, fragment)| fragment)) {
                h3 { (text(&kind["title"])) }
                p { code { (uri) } }
                p { (description(kind)) }
            }
        }
    }
}

fn operation(document: &Value, path: &str, method: &str, operation: &Value, item: &Value) -> Markup {
    let parameters = list(&operation["parameters"])
        .iter()
        .chain(list(&item["parameters"]));
    let body = &operation["requestBody"];
    html! {
        section id=(text(&operation["operationId"])) {
            h3 { span.method { (method.to_uppercase()) } " " code { (path) } }
            p.summary { (inline(text(&operation["summary"]))) }
            (paragraphs(text(&operation["description"])))
            @if !list(&operation["security"]).is_empty() {
                p { "It needs a token: " code { "Authorization: Bearer TOKEN" } "." }
            }
            h4 { "Parameters" }
            table {
                @for given in parameters { (parameter(resolve(document, given))) }
            }
            @if !body.is_null() {
                h4 { "Content" }
                p { (description(body)) }
                (content(body))
            }
            h4 { "Answers" }
            @for (status, response) in members(&operation["responses"]) {
                @let response = resolve(document, response);
                details open[status.starts_with('2')] {
                    summary { code { (status) } " " (description(response)) }
                    (headers(document, response))
                    (content(response))
                }
            }
        }
    }
}

fn parameter(parameter: &Value) -> Markup {
    let place = match text(&parameter["in"]) {
        "header" => "header: ",
        "path" => "in the path: ",
        _ => "",
    };
    let what = html! { (place) (summary(&parameter["schema"])) };
    let description = html! {
        (description(parameter))
        @if let Some(example) = parameter["example"].as_str() { " Such as " code { (example) } "." }
    };
    row(
        text(&parameter["name"]),
        is_required(parameter),
        &what,
        &description,
    )
}

fn headers(document: &Value, response: &Value) -> Markup {
    html! {
        @if !response["headers"].is_null() {
            table {
                @for (name, header) in members(&response["headers"]) {
                    @let header = resolve(document, header);
                    (row(name, is_required(header), &summary(&header["schema"]), &description(header)))
                }
            }
        }
    }
}

/// The forms that content may have, each with its example.
fn content(holder: &Value) -> Markup {
    html! {
        @for (media_type, form) in members(&holder["content"]) {
            p { code { (media_type) } ": " (summary(&form["schema"])) ". " (description(&form["schema"])) }
            @match &form["example"] {
                Value::Null => {}
                Value::String(example) => { pre { (example.trim_end()) } }
                example => { pre { (serde_json::to_string_pretty(example).unwrap_or_default()) } }
            }
        }
    }
}

fn is_required(value: &Value) -> bool {
    value["required"] == Value::Bool(true)
}

/// What a reference refers to.
fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    value["$ref"]
        .as_str()
        .and_then(|reference| document.pointer(reference.strip_prefix('#')?))
        .unwrap_or(value)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.as_str(), value))
}

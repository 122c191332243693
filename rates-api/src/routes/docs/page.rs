//! The page: what the service is, each operation, each schema.

use std::fmt::Write as _;

use serde_json::Value;

use super::html::{escape, inline, paragraphs};
use super::schema::{properties, row, summary};

/// The schema whose forms have sections of their own.
const PROBLEM_TYPE: &str = "ProblemType";

/// The whole page.
pub fn render(document: &Value, style: &str) -> String {
    let title = escape(text(&document["info"]["title"]));
    let mut body = format!(
        "<h1>{title} <small>{}</small></h1>\n{}<p>The same as a document of OpenAPI: <a href=\"/openapi.json\">/openapi.json</a></p>\n",
        escape(text(&document["info"]["version"])),
        paragraphs(text(&document["info"]["description"])),
    );
    for tag in list(&document["tags"]) {
        let _ = write!(
            body,
            "<h2>{}</h2>\n{}",
            escape(text(&tag["name"])),
            paragraphs(text(&tag["description"]))
        );
        for (path, item) in members(&document["paths"]) {
            for (method, operation) in members(item) {
                if list(&operation["tags"]).contains(&tag["name"]) {
                    body.push_str(&self::operation(document, path, method, operation, item));
                }
            }
        }
    }
    body.push_str(&problems(document));
    body.push_str("<h2>Schemas</h2>\n");
    for (name, schema) in members(&document["components"]["schemas"]) {
        if name == PROBLEM_TYPE {
            continue;
        }
        let _ = write!(
            body,
            "<section id=\"schema-{0}\">\n<h3>{0}</h3>\n{1}<p>{2}</p>\n{3}</section>\n",
            escape(name),
            paragraphs(text(&schema["description"])),
            summary(schema),
            properties(schema)
        );
    }
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>{style}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )
}

/// The types of problems, each where its own URI refers to.
fn problems(document: &Value) -> String {
    let schema = &document["components"]["schemas"][PROBLEM_TYPE];
    let mut html = format!(
        "<section id=\"schema-{PROBLEM_TYPE}\">\n<h2>Problems</h2>\n{}</section>\n",
        paragraphs(text(&schema["description"]))
    );
    for kind in list(&schema["oneOf"]) {
        let uri = text(&kind["const"]);
        let _ = write!(
            html,
            "<section id=\"{}\">\n<h3>{}</h3>\n<p><code>{}</code></p>\n<p>{}</p>\n</section>\n",
            escape(uri.split_once('#').map_or(uri, |(_, fragment)| fragment)),
            escape(text(&kind["title"])),
            escape(uri),
            inline(text(&kind["description"]))
        );
    }
    html
}

fn operation(document: &Value, path: &str, method: &str, operation: &Value, item: &Value) -> String {
    let mut html = format!(
        "<section id=\"{}\">\n<h3><span class=\"method\">{}</span> <code>{}</code></h3>\n<p class=\"summary\">{}</p>\n{}",
        escape(text(&operation["operationId"])),
        escape(&method.to_uppercase()),
        escape(path),
        inline(text(&operation["summary"])),
        paragraphs(text(&operation["description"])),
    );
    if !list(&operation["security"]).is_empty() {
        html.push_str("<p>It needs a token: <code>Authorization: Bearer TOKEN</code>.</p>\n");
    }
    let parameters: String = list(&operation["parameters"])
        .iter()
        .chain(list(&item["parameters"]))
        .map(|given| parameter(resolve(document, given)))
        .collect();
    let _ = write!(html, "<h4>Parameters</h4>\n<table>\n{parameters}</table>\n");
    let body = &operation["requestBody"];
    if !body.is_null() {
        let _ = write!(
            html,
            "<h4>Content</h4>\n<p>{}</p>\n{}",
            inline(text(&body["description"])),
            content(body)
        );
    }
    html.push_str("<h4>Answers</h4>\n");
    for (status, response) in members(&operation["responses"]) {
        let response = resolve(document, response);
        let _ = write!(
            html,
            "<details{}>\n<summary><code>{}</code> {}</summary>\n{}{}</details>\n",
            if status.starts_with('2') { " open" } else { "" },
            escape(status),
            inline(text(&response["description"])),
            headers(document, response),
            content(response)
        );
    }
    html.push_str("</section>\n");
    html
}

fn parameter(parameter: &Value) -> String {
    let place = match text(&parameter["in"]) {
        "header" => "header: ",
        "path" => "in the path: ",
        _ => "",
    };
    let required = parameter["required"] == Value::Bool(true);
    let mut description = inline(text(&parameter["description"]));
    if let Some(example) = parameter["example"].as_str() {
        let _ = write!(description, " Such as <code>{}</code>.", escape(example));
    }
    let what = format!("{place}{}", summary(&parameter["schema"]));
    row(text(&parameter["name"]), required, &what, &description)
}

fn headers(document: &Value, response: &Value) -> String {
    let rows: String = members(&response["headers"])
        .map(|(name, header)| {
            let header = resolve(document, header);
            let required = header["required"] == Value::Bool(true);
            let description = inline(text(&header["description"]));
            row(name, required, &summary(&header["schema"]), &description)
        })
        .collect();
    if rows.is_empty() {
        return rows;
    }
    format!("<table>\n{rows}</table>\n")
}

/// The forms that content may have, each with its example.
fn content(holder: &Value) -> String {
    members(&holder["content"])
        .map(|(media_type, form)| {
            let description = inline(text(&form["schema"]["description"]));
            let mut html = format!(
                "<p><code>{}</code>: {}. {description}</p>\n",
                escape(media_type),
                summary(&form["schema"])
            );
            let example = match &form["example"] {
                Value::Null => return html,
                Value::String(example) => example.clone(),
                example => serde_json::to_string_pretty(example).unwrap_or_default(),
            };
            let _ = writeln!(html, "<pre>{}</pre>", escape(example.trim_end()));
            html
        })
        .collect()
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

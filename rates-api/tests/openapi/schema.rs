//! Values compared with the schemas of the document.
//!
//! It knows the keywords that the document uses, and fails at any other, so that none is passed over. Of a response it
//! also wants every member of an object to be described.

use serde_json::Value;

/// What else a schema may say, for people.
const WORDS: [&str; 6] = [
    "description",
    "example",
    "examples",
    "default",
    "title",
    "additionalProperties",
];

pub struct Schemas<'a> {
    pub document: &'a Value,
}

impl<'a> Schemas<'a> {
    /// Where and how the value differs from its schema; nothing if it does not.
    pub fn differences(&self, value: &Value, schema: &'a Value) -> Vec<String> {
        let mut found = Vec::new();
        self.check(value, schema, "", &mut found);
        found
    }

    /// What a reference within the document refers to.
    pub fn resolve(&self, schema: &'a Value) -> &'a Value {
        let Some(reference) = schema["$ref"].as_str() else {
            return schema;
        };
        self.document
            .pointer(reference.strip_prefix('#').unwrap())
            .unwrap_or_else(|| panic!("{reference} is not there"))
    }

    fn check(&self, value: &Value, schema: &'a Value, place: &str, found: &mut Vec<String>) {
        let schema = self.resolve(schema);
        for (keyword, argument) in schema.as_object().unwrap() {
            let fits = match keyword.as_str() {
                "type" => is_of_type(value, argument),
                "const" => value == argument,
                "enum" => argument.as_array().unwrap().contains(value),
                "minimum" => value
                    .as_f64()
                    .is_none_or(|value| value >= argument.as_f64().unwrap()),
                "maximum" => value
                    .as_f64()
                    .is_none_or(|value| value <= argument.as_f64().unwrap()),
                "minLength" => length(value).is_none_or(|length| length >= argument.as_u64().unwrap()),
                "maxLength" => length(value).is_none_or(|length| length <= argument.as_u64().unwrap()),
                "maxItems" => value
                    .as_array()
                    .is_none_or(|items| items.len() as u64 <= argument.as_u64().unwrap()),
                "pattern" => value
                    .as_str()
                    .is_none_or(|text| matches(text, argument.as_str().unwrap())),
                "format" => value
                    .as_str()
                    .is_none_or(|text| has_format(text, argument.as_str().unwrap())),
                "required" => value.as_object().is_none_or(|members| {
                    let mut names = argument.as_array().unwrap().iter();
                    names.all(|name| members.contains_key(name.as_str().unwrap()))
                }),
                "oneOf" => {
                    let forms = argument.as_array().unwrap().iter();
                    let fitting = forms.filter(|form| self.differences(value, form).is_empty());
                    fitting.count() == 1
                }
                "items" => {
                    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.check(item, argument, &format!("{place}/{index}"), found);
                    }
                    true
                }
                "properties" => {
                    for (name, member) in value.as_object().into_iter().flatten() {
                        let place = format!("{place}/{name}");
                        match argument.get(name) {
                            Some(schema) => self.check(member, schema, &place, found),
                            None => found.push(format!("{place} is not described")),
                        }
                    }
                    true
                }
                other => {
                    assert!(WORDS.contains(&other), "{other} is not known here");
                    true
                }
            };
            if !fits {
                found.push(format!("{place}: {value} does not fit {keyword}: {argument}"));
            }
        }
    }
}

fn is_of_type(value: &Value, types: &Value) -> bool {
    let is = |name: &Value| match name.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        other => panic!("{other} is not a type"),
    };
    match types {
        Value::Array(several) => several.iter().any(is),
        one => is(one),
    }
}

fn length(value: &Value) -> Option<u64> {
    value.as_str().map(|text| text.chars().count() as u64)
}

fn has_format(text: &str, format: &str) -> bool {
    match format {
        "date" => text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok(),
        "date-time" => text.parse::<jiff::Timestamp>().is_ok(),
        "int64" => true,
        other => panic!("{other} is not a format"),
    }
}

/// The few patterns that the document has: characters, classes, `+`, `*`, `{n}` and `{n,m}`, and both anchors.
pub fn matches(text: &str, pattern: &str) -> bool {
    let pattern: Vec<char> = pattern.strip_prefix('^').expect("an anchor").chars().collect();
    let text: Vec<char> = text.chars().collect();
    matches_here(&text, &pattern)
}

fn matches_here(text: &[char], pattern: &[char]) -> bool {
    match pattern {
        [] => true,
        ['$'] => text.is_empty(),
        _ => {
            let (class, rest) = class(pattern);
            let (least, most, rest) = quantity(rest);
            let longest = text
                .iter()
                .take(most)
                .take_while(|character| {
                    class
                        .iter()
                        .any(|(first, last)| (*first..=*last).contains(*character))
                })
                .count();
            (least..=longest)
                .rev()
                .any(|count| matches_here(&text[count..], rest))
        }
    }
}

/// One character or class, as ranges.
fn class(pattern: &[char]) -> (Vec<(char, char)>, &[char]) {
    match pattern {
        ['\\', escaped, rest @ ..] => (vec![(*escaped, *escaped)], rest),
        ['[', rest @ ..] => {
            let end = rest.iter().position(|character| *character == ']').unwrap();
            let mut ranges = Vec::new();
            let mut inner = &rest[..end];
            while let [first, more @ ..] = inner {
                (ranges, inner) = match more {
                    ['-', last, more @ ..] => ([ranges, vec![(*first, *last)]].concat(), more),
                    more => ([ranges, vec![(*first, *first)]].concat(), more),
                };
            }
            (ranges, &rest[end + 1..])
        }
        [character, rest @ ..] => (vec![(*character, *character)], rest),
        [] => (Vec::new(), pattern),
    }
}

fn quantity(pattern: &[char]) -> (usize, usize, &[char]) {
    match pattern {
        ['+', rest @ ..] => (1, usize::MAX, rest),
        ['*', rest @ ..] => (0, usize::MAX, rest),
        ['{', rest @ ..] => {
            let end = rest.iter().position(|character| *character == '}').unwrap();
            let bounds: String = rest[..end].iter().collect();
            let (least, most) = bounds.split_once(',').unwrap_or((&bounds, &bounds));
            (least.parse().unwrap(), most.parse().unwrap(), &rest[end + 1..])
        }
        rest => (1, 1, rest),
    }
}

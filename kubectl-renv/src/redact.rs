//! Takes out of text and objects what looks like a secret. Values of Secrets are never read, so they need not be known.

use serde_json::Value;

const REDACTED: &str = "REDACTED";

/// Names whose value is a secret wherever they stand, in lower case and without `_` and `-`.
const SECRET_NAMES: [&str; 9] = [
    "password",
    "passwd",
    "secret",
    "token",
    "apikey",
    "privatekey",
    "credential",
    "authorization",
    "passphrase",
];

/// What names a secret without being one.
const HARMLESS: [&str; 6] = [
    "secretname",
    "tokenfile",
    "passwordfile",
    "automountserviceaccounttoken",
    "notoken",
    "imagepullsecrets",
];

/// A text without passwords in URIs, without bearer tokens, and without values of names of secrets.
#[must_use]
pub fn redact(text: &str) -> String {
    let lines: Vec<String> = text
        .split('\n')
        .map(|line| assignments(&bearer(&userinfo(line))))
        .collect();
    lines.join("\n")
}

/// `scheme://user:password@host`
fn userinfo(line: &str) -> String {
    let mut result = String::new();
    let mut rest = line;
    while let Some(start) = rest.find("://") {
        let (before, after) = rest.split_at(start + 3);
        result.push_str(before);
        let end = after
            .find(|character: char| character.is_whitespace() || "/?#\"'<>".contains(character))
            .unwrap_or(after.len());
        let (authority, tail) = after.split_at(end);
        match authority.rsplit_once('@') {
            Some((user, host)) => {
                let name = user.split_once(':').map_or(user, |(name, _)| name);
                result.push_str(name);
                if user.contains(':') {
                    result.push(':');
                    result.push_str(REDACTED);
                }
                result.push('@');
                result.push_str(host);
            }
            None => result.push_str(authority),
        }
        rest = tail;
    }
    result.push_str(rest);
    result
}

/// `Bearer TOKEN`, in any case.
fn bearer(line: &str) -> String {
    const WORD: &str = "bearer ";
    let mut result = String::new();
    let mut rest = line;
    while let Some(start) = rest.to_ascii_lowercase().find(WORD) {
        let (before, after) = rest.split_at(start + WORD.len());
        result.push_str(before);
        let end = after
            .find(|character: char| character.is_whitespace() || "\"',".contains(character))
            .unwrap_or(after.len());
        let (token, tail) = after.split_at(end);
        // "bearer token" is a word of a sentence.
        let is_word = token.len() < 16 || token.bytes().all(|byte| byte.is_ascii_lowercase());
        result.push_str(if is_word { token } else { REDACTED });
        rest = tail;
    }
    result.push_str(rest);
    result
}

/// `password=VALUE`, `"token": "VALUE"`, `PASSWORD 'VALUE'` and the like.
fn assignments(line: &str) -> String {
    let lower = line.to_ascii_lowercase();
    let mut result = String::new();
    let mut position = 0;
    while let Some((start, end)) = next_value(&lower, position) {
        result.push_str(&line[position..start]);
        result.push_str(REDACTED);
        position = end;
    }
    result.push_str(&line[position..]);
    result
}

/// Where the next value of a secret's name begins and ends.
fn next_value(line: &str, from: usize) -> Option<(usize, usize)> {
    let bytes = line.as_bytes();
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    let mut position = from;
    while position < bytes.len() {
        if !is_name(bytes[position]) {
            position += 1;
            continue;
        }
        let start = position;
        while position < bytes.len() && is_name(bytes[position]) {
            position += 1;
        }
        if !names_a_secret(&line[start..position]) {
            continue;
        }
        let mut value = position;
        let skip = |value: &mut usize, what: &[u8]| {
            while *value < bytes.len() && what.contains(&bytes[*value]) {
                *value += 1;
            }
        };
        skip(&mut value, b"\"'\\");
        skip(&mut value, b" ");
        let assigned = bytes.get(value).is_some_and(|byte| b"=:".contains(byte));
        let quoted = bytes.get(value).is_some_and(|byte| b"'\"".contains(byte));
        if !assigned && !quoted {
            continue;
        }
        skip(&mut value, b"=: ");
        let before = value;
        skip(&mut value, b"\"'\\");
        let is_quoted = value > before;
        let ends = |byte: &u8| {
            if is_quoted {
                b"\"'\\".contains(byte)
            } else {
                b" ,;&)]}\"'".contains(byte)
            }
        };
        let end = bytes[value..]
            .iter()
            .position(ends)
            .map_or(bytes.len(), |length| value + length);
        if end > value && line.is_char_boundary(value) && line.is_char_boundary(end) {
            return Some((value, end));
        }
        position = end.max(position);
    }
    None
}

fn names_a_secret(name: &str) -> bool {
    let plain: String = name
        .to_ascii_lowercase()
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect();
    let is_harmless = HARMLESS.iter().any(|harmless| plain.ends_with(harmless));
    !is_harmless
        && SECRET_NAMES
            .iter()
            .any(|secret| plain.ends_with(secret) || plain.ends_with(&format!("{secret}s")))
}

/// Whether a variable's value may be a secret: rather one too many.
fn may_name_a_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["pass", "secret", "token", "key", "cred", "auth"]
        .iter()
        .any(|part| name.contains(part))
}

/// An object without the values of variables and members that look like secrets, and without their copies in
/// annotations of `kubectl apply`.
pub fn redact_object(value: &mut Value) {
    match value {
        Value::Object(members) => {
            let named = members
                .get("name")
                .and_then(Value::as_str)
                .is_some_and(may_name_a_secret);
            for (name, member) in members.iter_mut() {
                let is_secret = named && name == "value" || names_a_secret(name);
                match member {
                    // A name of something, as of a Secret, is an object, and no text.
                    Value::String(text) if is_secret && !text.is_empty() => REDACTED.clone_into(text),
                    Value::String(text) if name == "kubectl.kubernetes.io/last-applied-configuration" => {
                        *text = serde_json::from_str::<Value>(text).map_or_else(
                            |_| REDACTED.to_owned(),
                            |mut applied| {
                                redact_object(&mut applied);
                                applied.to_string()
                            },
                        );
                    }
                    member => redact_object(member),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(redact_object),
        Value::String(text) => *text = redact(text),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_looks_like_a_secret_in_a_line_is_taken_out() {
        for (line, redacted) in [
            (
                "postgresql://rates_a:s3cret@x-postgres:5432/rates",
                "postgresql://rates_a:REDACTED@x-postgres:5432/rates",
            ),
            (
                "see http://x/y and https://a:b@c/d",
                "see http://x/y and https://a:REDACTED@c/d",
            ),
            (
                "Authorization: Bearer abcdefghij0123456789",
                "Authorization: REDACTED REDACTED",
            ),
            ("got \"bearer AbCdEfGhIj0123456789\"", "got \"bearer REDACTED\""),
            ("a bearer token is needed", "a bearer token is needed"),
            ("password=hunter2 user=x", "password=REDACTED user=x"),
            (
                r#"{"ingestToken":"abc","n":1}"#,
                r#"{"ingestToken":"REDACTED","n":1}"#,
            ),
            (
                "ALTER ROLE x PASSWORD 'it is this'",
                "ALTER ROLE x PASSWORD 'REDACTED'",
            ),
            ("PGPASSWORD: \"x y\"", "PGPASSWORD: \"REDACTED\""),
            ("the password was rotated", "the password was rotated"),
            (
                "/etc/rates/app/password is read",
                "/etc/rates/app/password is read",
            ),
            ("secretName: x-postgres", "secretName: x-postgres"),
        ] {
            assert_eq!(redact(line), redacted);
        }
    }

    #[test]
    fn objects_lose_values_and_keep_references() {
        let mut object = json!({
            "metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": r#"{"spec":{"env":[{"name":"API_TOKEN","value":"abc"}]}}"#}},
            "spec": {
                "env": [
                    {"name": "API_TOKEN", "value": "abc"},
                    {"name": "RATES_LOG", "value": "debug"},
                    {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "x", "key": "password"}}},
                ],
                "volumes": [{"secret": {"secretName": "x-postgres"}}],
                "automountServiceAccountToken": true,
            },
        });
        redact_object(&mut object);
        let text = object.to_string();
        assert!(!text.contains("abc"), "{text}");
        assert_eq!(object["spec"]["env"][1]["value"], "debug");
        assert_eq!(object["spec"]["env"][2]["valueFrom"]["secretKeyRef"]["name"], "x");
        assert_eq!(object["spec"]["volumes"][0]["secret"]["secretName"], "x-postgres");
    }
}

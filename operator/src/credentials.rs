//! The database's passwords: made once, kept as they are found, made again only where one is
//! missing or malformed.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;

use crate::ingest_token::IngestToken;

/// What the application and Patroni log in with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Credentials {
    pub username: String,
    pub password: String,
    pub superuser_password: String,
    pub replication_password: String,
    /// Of a login that took over from the other one: what the API's pods that use it are marked with.
    pub id: Option<String>,
}

/// Passwords and a token nobody used yet, for what is missing.
#[derive(Clone, Debug)]
pub struct Fresh {
    pub password: String,
    /// For a rotation that begins now.
    pub next_password: String,
    pub superuser_password: String,
    pub replication_password: String,
    pub ingest_token: IngestToken,
}

impl Fresh {
    pub fn generate() -> Result<Self, getrandom::Error> {
        Ok(Self {
            password: password()?,
            next_password: password()?,
            superuser_password: password()?,
            replication_password: password()?,
            ingest_token: IngestToken::generate()?,
        })
    }
}

pub const SUPERUSER_PASSWORD: &str = "superuser-password";
pub const REPLICATION_PASSWORD: &str = "replication-password";
/// While a password is rotated: the login that takes over, and what tells it from others.
pub const NEXT_USERNAME: &str = "next-username";
pub const NEXT_PASSWORD: &str = "next-password";
pub const NEXT_ID: &str = "next-id";
/// What the last rotation was asked for by, and the login that is out of use since.
pub const ROTATION: &str = "rotation";
pub const RETIRED_USERNAME: &str = "retired-username";
/// An annotation of the application's Secret and of the API's pods: the id of the login.
pub const LOGIN: &str = "rates.internal/login";
const LOGINS: [&str; 2] = ["rates_a", "rates_b"];

/// The login that takes turns with this one.
#[must_use]
pub fn other_login(login: &str) -> &'static str {
    if login == LOGINS[0] { LOGINS[1] } else { LOGINS[0] }
}

impl Credentials {
    #[must_use]
    pub fn take(app: Option<&Secret>, admin: Option<&Secret>, fresh: Fresh) -> Self {
        let username = value(app, "username").filter(|name| LOGINS.contains(&name.as_str()));
        Self {
            username: username.unwrap_or_else(|| LOGINS[0].to_owned()),
            password: value(app, "password").unwrap_or(fresh.password),
            superuser_password: value(admin, SUPERUSER_PASSWORD).unwrap_or(fresh.superuser_password),
            replication_password: value(admin, REPLICATION_PASSWORD).unwrap_or(fresh.replication_password),
            id: app.and_then(|app| app.metadata.annotations.as_ref()?.get(LOGIN).cloned()),
        }
    }

    /// The libpq URI of the application's login.
    #[must_use]
    pub fn uri(&self, host: &str, port: u16, database: &str) -> String {
        format!(
            "postgresql://{}:{}@{host}:{port}/{database}",
            self.username,
            encode(&self.password)
        )
    }
}

/// A Secret's value, unless it is empty or holds what no password may: control characters.
pub(crate) fn value(secret: Option<&Secret>, key: &str) -> Option<String> {
    let data: &BTreeMap<String, ByteString> = secret?.data.as_ref()?;
    let text = String::from_utf8(data.get(key)?.0.clone()).ok()?;
    (!text.is_empty() && !text.chars().any(char::is_control)).then_some(text)
}

/// 32 letters and digits, about 190 bits.
pub(crate) fn password() -> Result<String, getrandom::Error> {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut password = String::with_capacity(32);
    let mut bytes = [0_u8; 64];
    while password.len() < 32 {
        getrandom::fill(&mut bytes)?;
        // Bytes from 248 on would favour the first letters.
        let fair = bytes
            .iter()
            .filter(|&&byte| byte < 248)
            .map(|&byte| ALPHABET[usize::from(byte % 62)]);
        password.extend(fair.take(32 - password.len()).map(char::from));
    }
    Ok(password)
}

/// Percent-encodes what RFC 3986 does not leave unreserved.
fn encode(text: &str) -> String {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| {
            if unreserved(byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(entries: &[(&str, &str)]) -> Secret {
        let data = entries
            .iter()
            .map(|(k, v)| ((*k).to_owned(), ByteString(v.as_bytes().to_vec())));
        Secret {
            data: Some(data.collect()),
            ..Secret::default()
        }
    }

    fn fresh() -> Fresh {
        let [password, next_password, superuser_password, replication_password] =
            ["p", "n", "s", "r"].map(|p| p.repeat(32));
        Fresh {
            password,
            next_password,
            superuser_password,
            replication_password,
            ingest_token: IngestToken::generate().unwrap(),
        }
    }

    #[test]
    fn passwords_are_long_letters_and_digits_and_differ() {
        let made = Fresh::generate().unwrap();
        for password in [
            &made.password,
            &made.next_password,
            &made.superuser_password,
            &made.replication_password,
        ] {
            assert_eq!(password.len(), 32);
            assert!(password.bytes().all(|b| b.is_ascii_alphanumeric()), "{password}");
        }
        assert_ne!(made.password, made.superuser_password);
    }

    #[test]
    fn what_a_secret_holds_is_kept_and_only_what_is_missing_or_malformed_is_made() {
        let app = secret(&[("username", "rates_b"), ("password", "kept")]);
        let admin = secret(&[(SUPERUSER_PASSWORD, "bad\nline"), (REPLICATION_PASSWORD, "")]);
        let taken = Credentials::take(Some(&app), Some(&admin), fresh());
        assert_eq!(
            (taken.username.as_str(), taken.password.as_str()),
            ("rates_b", "kept")
        );
        assert_eq!(taken.superuser_password, "s".repeat(32));
        assert_eq!(taken.replication_password, "r".repeat(32));
    }

    #[test]
    fn an_unknown_login_is_replaced_and_odd_passwords_are_encoded_in_the_uri() {
        let app = secret(&[("username", "postgres"), ("password", "a/b:c@d é")]);
        let taken = Credentials::take(Some(&app), None, fresh());
        assert_eq!(
            taken.uri("harbour-postgres.ns.svc", 5432, "rates"),
            "postgresql://rates_a:a%2Fb%3Ac%40d%20%C3%A9@harbour-postgres.ns.svc:5432/rates"
        );
    }
}

//! The database's passwords: made once, kept as they are found, made again only where one is
//! missing or malformed.

use k8s_openapi::api::core::v1::Secret;

use crate::annotations::LOGIN;
use crate::ingest_token::IngestToken;
use crate::password::{Password, value};

/// What the application and Patroni log in with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Credentials {
    pub username: String,
    pub password: Password,
    pub superuser_password: Password,
    pub replication_password: Password,
    /// Of Patroni's REST API: whoever changes something through it needs it.
    pub patroni_password: Password,
    /// Of the Jobs' login.
    pub migrator_password: Password,
    /// Of a login that took over from the other one: what the API's pods that use it are marked with.
    pub id: Option<String>,
}

/// Passwords and a token nobody used yet, for what is missing.
#[derive(Clone, Debug)]
pub struct GeneratedSecrets {
    pub password: Password,
    /// For a rotation that begins now.
    pub next_password: Password,
    pub superuser_password: Password,
    pub replication_password: Password,
    pub patroni_password: Password,
    pub migrator_password: Password,
    /// Of the login that copies another environment's data.
    pub copy_password: Password,
    pub ingest_token: IngestToken,
}

impl GeneratedSecrets {
    pub fn generate() -> Result<Self, getrandom::Error> {
        Ok(Self {
            password: Password::generate()?,
            next_password: Password::generate()?,
            superuser_password: Password::generate()?,
            replication_password: Password::generate()?,
            patroni_password: Password::generate()?,
            migrator_password: Password::generate()?,
            copy_password: Password::generate()?,
            ingest_token: IngestToken::generate()?,
        })
    }
}

pub const SUPERUSER_PASSWORD: &str = "superuser-password";
pub const REPLICATION_PASSWORD: &str = "replication-password";
pub const PATRONI_PASSWORD: &str = "patroni-password";
/// What the Secret of the Jobs' login holds, for the role manager.
pub const MIGRATOR_PASSWORD: &str = "migrator-password";
/// The login of the Jobs, which make and change tables.
pub const MIGRATOR: &str = "rates_migrator";
/// While a password is rotated: the login that takes over, and what tells it from others.
pub const NEXT_USERNAME: &str = "next-username";
pub const NEXT_PASSWORD: &str = "next-password";
pub const NEXT_ID: &str = "next-id";
/// What the last rotation was asked for by.
pub const ROTATION: &str = "rotation";
/// What the last rotation of the replication's password was asked for by, and when it was: `DIGEST TIME`.
pub const REPLICATION_ROTATION: &str = "replication-rotation";
/// The logins that copy the data, as JSON, for the role manager; absent where there is none.
pub const COPIES: &str = "copies";
/// While no password is rotated: the login that is out of use. The role manager shuts it.
pub const RETIRED_USERNAME: &str = "retired-username";
const LOGINS: [&str; 2] = ["rates_a", "rates_b"];

/// The login that takes turns with this one.
#[must_use]
pub fn other_login(login: &str) -> &'static str {
    if login == LOGINS[0] { LOGINS[1] } else { LOGINS[0] }
}

impl Credentials {
    #[must_use]
    pub fn take(
        app: Option<&Secret>,
        admin: Option<&Secret>,
        migrator: Option<&Secret>,
        fresh: GeneratedSecrets,
    ) -> Self {
        let login = |secret, key| value(secret, key).filter(|name| LOGINS.contains(&name.as_str()));
        // Where the application's Secret is gone, the one in use is that which is not out of use.
        let username = login(app, "username")
            .or_else(|| login(admin, RETIRED_USERNAME).map(|retired| other_login(&retired).to_owned()));
        Self {
            username: username.unwrap_or_else(|| LOGINS[0].to_owned()),
            password: Password::of(app, "password").unwrap_or(fresh.password),
            superuser_password: Password::of(admin, SUPERUSER_PASSWORD).unwrap_or(fresh.superuser_password),
            replication_password: Password::of(admin, REPLICATION_PASSWORD)
                .unwrap_or(fresh.replication_password),
            patroni_password: Password::of(admin, PATRONI_PASSWORD).unwrap_or(fresh.patroni_password),
            migrator_password: Password::of(migrator, "password").unwrap_or(fresh.migrator_password),
            id: app.and_then(|app| app.metadata.annotations.as_ref()?.get(LOGIN).cloned()),
        }
    }
}

/// A libpq URI.
pub(crate) fn uri(username: &str, password: &Password, host: &str, port: u16, database: &str) -> String {
    format!(
        "postgresql://{username}:{}@{host}:{port}/{database}",
        encode(password.reveal())
    )
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
    use k8s_openapi::ByteString;

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

    fn fresh() -> GeneratedSecrets {
        let password = |letter: &str| Password::from(letter.repeat(32));
        GeneratedSecrets {
            password: password("p"),
            next_password: password("n"),
            superuser_password: password("s"),
            replication_password: password("r"),
            patroni_password: password("k"),
            migrator_password: password("m"),
            copy_password: password("c"),
            ingest_token: IngestToken::generate().unwrap(),
        }
    }

    #[test]
    fn no_password_is_formatted() {
        let app = secret(&[("username", "rates_b"), ("password", "unmistakable")]);
        let taken = Credentials::take(Some(&app), None, None, fresh());
        let text = format!("{taken:?} {:?}", fresh());
        assert!(!text.contains("unmistakable"), "{text}");
        for letter in ["p", "n", "s", "r", "k", "m", "c"] {
            assert!(!text.contains(&letter.repeat(32)), "{text}");
        }
    }

    #[test]
    fn what_a_secret_holds_is_kept_and_only_what_is_missing_or_malformed_is_made() {
        let app = secret(&[("username", "rates_b"), ("password", "kept")]);
        let admin = secret(&[(SUPERUSER_PASSWORD, "bad\nline"), (REPLICATION_PASSWORD, "")]);
        let taken = Credentials::take(Some(&app), Some(&admin), None, fresh());
        assert_eq!(
            (taken.username.as_str(), taken.password.reveal()),
            ("rates_b", "kept")
        );
        assert_eq!(taken.superuser_password.reveal(), "s".repeat(32));
        assert_eq!(taken.replication_password.reveal(), "r".repeat(32));
        assert_eq!(
            taken.patroni_password.reveal(),
            "k".repeat(32),
            "a Secret of an earlier release has no such key"
        );
    }

    #[test]
    fn an_unknown_login_is_replaced_and_odd_passwords_are_encoded_in_the_uri() {
        let app = secret(&[("username", "postgres"), ("password", "a/b:c@d é")]);
        let taken = Credentials::take(Some(&app), None, None, fresh());
        assert_eq!(
            uri(
                &taken.username,
                &taken.password,
                "harbour-postgres.ns.svc",
                5432,
                "rates"
            ),
            "postgresql://rates_a:a%2Fb%3Ac%40d%20%C3%A9@harbour-postgres.ns.svc:5432/rates"
        );
    }
}

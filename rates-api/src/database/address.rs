//! The database's address: a libpq URI that holds a password, and is therefore never printed.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::Config;

/// What a session depends on, whatever settings the server, the database or the role has by default.
const SESSION: &str = "-c default_transaction_isolation=read\\ committed -c default_transaction_read_only=off \
     -c default_transaction_deferrable=off -c statement_timeout=0 -c lock_timeout=0 \
     -c idle_in_transaction_session_timeout=0 -c search_path=\"$user\",public -c quote_all_identifiers=off \
     -c standard_conforming_strings=on -c transform_null_equals=off -c array_nulls=on -c row_security=on \
     -c check_function_bodies=on -c default_table_access_method=heap -c DateStyle=ISO,MDY -c IntervalStyle=postgres \
     -c TimeZone=UTC -c extra_float_digits=1 -c bytea_output=hex -c client_min_messages=notice";

/// Exactly one of the two says where the database is.
#[derive(clap::Args)]
#[group(required = true, multiple = false, id = "database")]
pub struct DatabaseArguments {
    /// A file that holds the database's URI (postgres://USER:PASSWORD@HOST:PORT/NAME), read anew for every connection
    #[arg(long, env = "RATES_DATABASE_URI_FILE", value_name = "FILE")]
    database_uri_file: Option<PathBuf>,

    /// The database's URI itself, for trying things out: other users of the machine may see it
    #[arg(long, env = "RATES_DATABASE_URI", hide_env_values = true, value_name = "URI")]
    database_uri: Option<String>,
}

impl DatabaseArguments {
    /// The address that was given.
    #[must_use]
    pub fn address(&self) -> Address {
        match (&self.database_uri_file, &self.database_uri) {
            (Some(path), _) => Address::File(path.clone()),
            (None, uri) => Address::Uri(uri.clone().unwrap_or_default()),
        }
    }
}

/// At most one of the two names a server for reads alone.
#[derive(clap::Args)]
#[group(multiple = false, id = "database-read")]
pub struct ReadArguments {
    /// A file that holds the URI of a standby, read anew for every connection; reads go to it as long as it has all that was acknowledged, else to the database
    #[arg(long, env = "RATES_DATABASE_READ_URI_FILE", value_name = "FILE")]
    database_read_uri_file: Option<PathBuf>,

    /// The standby's URI itself, for trying things out: other users of the machine may see it
    #[arg(
        long,
        env = "RATES_DATABASE_READ_URI",
        hide_env_values = true,
        value_name = "URI"
    )]
    database_read_uri: Option<String>,
}

impl ReadArguments {
    /// The address that was given, if one was.
    #[must_use]
    pub fn address(&self) -> Option<Address> {
        let file = self.database_read_uri_file.clone().map(Address::File);
        file.or_else(|| self.database_read_uri.clone().map(Address::Uri))
    }
}

/// Where the URI is to be found.
#[derive(Clone)]
pub enum Address {
    File(PathBuf),
    Uri(String),
}

impl fmt::Debug for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(formatter, "the URI in {}", path.display()),
            Self::Uri(_) => write!(formatter, "the URI given as a setting"),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    #[error("cannot read the database's URI from {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    // The parser's own message may quote the URI, so it is not kept.
    #[error("{address:?} is not of the form postgres://USER:PASSWORD@HOST:PORT/NAME")]
    Form { address: Address },
    #[error("{address:?} lacks {part}; expected postgres://USER:PASSWORD@HOST:PORT/NAME")]
    Lacks { address: Address, part: &'static str },
}

impl Address {
    /// The address as it is now, with the time-outs that notice a dead or frozen peer, and what a session depends on.
    /// Options of the URI come later, and count.
    ///
    /// # Errors
    /// When the file cannot be read, or the URI is none or lacks the host or the database's name.
    pub fn config(&self) -> Result<Config, AddressError> {
        let uri = match self {
            Self::File(path) => std::fs::read_to_string(path).map_err(|source| AddressError::Read {
                path: path.clone(),
                source,
            })?,
            Self::Uri(uri) => uri.clone(),
        };
        let mut config: Config = uri.trim().parse().map_err(|_| AddressError::Form {
            address: self.clone(),
        })?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(AddressError::Lacks {
                address: self.clone(),
                part: "a host",
            });
        }
        if config.get_dbname().is_none_or(str::is_empty) {
            return Err(AddressError::Lacks {
                address: self.clone(),
                part: "the database's name",
            });
        }
        let given = config.get_options().unwrap_or_default();
        let options = format!("{SESSION} {given}").trim_end().to_owned();
        config
            .application_name("rates-api")
            .options(options)
            .keepalives(true)
            .keepalives_idle(Duration::from_secs(3))
            .keepalives_interval(Duration::from_secs(1))
            .keepalives_retries(3)
            .tcp_user_timeout(Duration::from_secs(6));
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::chain;

    #[test]
    fn a_uri_is_read_from_the_file_as_it_is_at_that_moment() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("uri");
        let address = Address::File(path.clone());

        std::fs::write(&path, "postgres://a:one@host:5432/rates\n").unwrap();
        assert_eq!(address.config().unwrap().get_password(), Some(&b"one"[..]));

        std::fs::write(&path, "postgres://b:two@host:5432/rates\n").unwrap();
        assert_eq!(address.config().unwrap().get_user(), Some("b"));
    }

    #[test]
    fn no_error_and_no_debug_text_shows_the_password() {
        for uri in [
            "postgres://user:secret@host:port/rates",
            "postgres://user:secret@host",
            "secret",
            "postgres://user:secret@/x",
        ] {
            let address = Address::Uri(uri.to_owned());
            let error = address.config().unwrap_err();
            let text = format!("{} {error:?} {address:?}", chain(&error));
            assert!(!text.contains("secret"), "{text}");
            assert!(text.contains("postgres://USER:PASSWORD@HOST:PORT/NAME"), "{text}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = Address::File("/nowhere/uri".into()).config().unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot read the database's URI from /nowhere/uri"
        );
    }
}

//! Whether the schema is one that this program can serve.
//!
//! Both sides have a say. The program names the oldest schema that has all it reads. Every migration names the oldest
//! schema version whose programs still work after it, so that a program meets a newer database without surprise.

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Row};

use super::timelines::{Origin, timeline};
use crate::migrations::{MalformedMigration, migrations};

/// The oldest schema that has everything this program reads.
pub const OLDEST_SERVED: i32 = 8;

/// What a database says of its schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schema {
    /// The highest migration that was applied; 0 for none.
    pub version: i32,
    /// Programs of this schema version and later work with it.
    pub compatible_with: i32,
    /// The server is a standby: what it answers may be old.
    pub standby: bool,
    /// Which database cluster it is; its standbys have the same. And the timeline that a primary writes; 0 for a standby.
    pub origin: Origin,
}

/// What is expected of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// It takes writes, and has all of them.
    Primary,
    /// It may lag behind. One that was promoted is as good.
    Standby,
}

#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    #[error("cannot read the database's schema version")]
    Read(#[source] tokio_postgres::Error),
    #[error(
        "the database's schema is version {found}, older than {OLDEST_SERVED}, which this program needs; `rates-api migrate` brings it up"
    )]
    TooOld { found: i32 },
    #[error(
        "the database's schema is version {found} and works with programs of version {needed} and later; this one is of version {own}"
    )]
    TooNew { found: i32, needed: i32, own: i32 },
    #[error(transparent)]
    Malformed(#[from] MalformedMigration),
    #[error("the server is a standby, which may lag behind; a standby is named by --database-read-uri-file")]
    Standby,
}

/// The version that this program migrates to.
fn own() -> Result<i32, MalformedMigration> {
    Ok(migrations()?.last().map_or(0, |migration| migration.version))
}

impl Schema {
    /// The statement that [`Schema::of_row`] reads.
    pub const STATEMENT: &str = "SELECT coalesce(max(version), 0), coalesce(max(compatible_with), 0), pg_is_in_recovery(), \
                                 (SELECT system_identifier FROM pg_control_system()), \
                                 CASE WHEN NOT pg_is_in_recovery() \
                                      THEN left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) END \
                                 FROM rates_internal.migrations";

    /// Reads the schema's version; a database without migrations has version 0.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn read(client: &Client) -> Result<Self, SchemaError> {
        match client.query_one(Self::STATEMENT, &[]).await {
            Ok(row) => Ok(Self::of_row(&row)),
            Err(error) if is_missing(&error) => Ok(Self {
                version: 0,
                compatible_with: 0,
                standby: false,
                origin: Origin {
                    system: 0,
                    timeline: 0,
                },
            }),
            Err(error) => Err(SchemaError::Read(error)),
        }
    }

    /// What a row of [`Schema::STATEMENT`] says.
    #[must_use]
    pub fn of_row(row: &Row) -> Self {
        Self {
            version: row.get(0),
            compatible_with: row.get(1),
            standby: row.get(2),
            origin: Origin {
                system: row.get(3),
                timeline: timeline(row.get(4)),
            },
        }
    }

    /// The version, if this program can serve it.
    ///
    /// # Errors
    /// With the reason, when it cannot.
    pub fn servable(self, server: Server) -> Result<i32, SchemaError> {
        if self.standby && server == Server::Primary {
            return Err(SchemaError::Standby);
        }
        if self.version < OLDEST_SERVED {
            return Err(SchemaError::TooOld { found: self.version });
        }
        let own = own()?;
        if self.compatible_with > own {
            return Err(SchemaError::TooNew {
                found: self.version,
                needed: self.compatible_with,
                own,
            });
        }
        Ok(self.version)
    }
}

fn is_missing(error: &tokio_postgres::Error) -> bool {
    matches!(error.code(), Some(code) if *code == SqlState::UNDEFINED_TABLE || *code == SqlState::INVALID_SCHEMA_NAME)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servable(version: i32, compatible_with: i32) -> Result<i32, SchemaError> {
        Schema {
            version,
            compatible_with,
            standby: false,
            origin: Origin {
                system: 1,
                timeline: 1,
            },
        }
        .servable(Server::Primary)
    }

    #[test]
    fn the_own_schema_and_a_newer_one_that_says_so_are_served() {
        let own = own().unwrap();
        assert_eq!(servable(own, 1).unwrap(), own);
        assert_eq!(servable(own + 3, own).unwrap(), own + 3);
    }

    #[test]
    fn an_older_or_incompatible_schema_is_refused_with_the_reason() {
        let error = servable(0, 0).unwrap_err().to_string();
        assert!(
            error.contains("version 0") && error.contains("rates-api migrate"),
            "{error}"
        );
        let own = own().unwrap();
        let error = servable(own + 2, own + 1).unwrap_err().to_string();
        assert!(
            error.contains(&format!("works with programs of version {}", own + 1)),
            "{error}"
        );
    }
}

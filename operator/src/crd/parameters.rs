//! `spec.database.parameters`: settings of the server, and which of them are not to be set.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Parameters by name.
pub type Parameters = BTreeMap<String, Parameter>;

/// A parameter's value: a number, or a text such as 64MB or off.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Parameter {
    Number(i64),
    Text(String),
}

impl JsonSchema for Parameter {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Parameter".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "maxLength": 200,
            "pattern": r"^[^\x00-\x1f\x7f]*$",
        })
    }
}

/// Why a parameter is not to be set, and which ones those are: a name, or with `*` its beginning.
/// One list for the rule of the definition and for the operator, which knows capitals too.
pub struct Denied {
    pub message: &'static str,
    pub names: &'static [&'static str],
}

pub const DENIED: [Denied; 4] = [
    Denied {
        message: "database.parameters must not set what runs commands or loads code (archive_*, restore_command, recovery_end_command, *_preload_libraries, dynamic_library_path, jit_provider, ssl_passphrase_command and the like): remove it; set parameters of memory, planning, vacuum, time-outs and logging, such as work_mem: 8MB",
        names: &[
            "archive_*",
            "restore_command",
            "recovery_end_command",
            "shared_preload_libraries",
            "session_preload_libraries",
            "local_preload_libraries",
            "dynamic_library_path",
            "extension_control_path",
            "extension_destdir",
            "oauth_validator_libraries",
            "jit_provider",
            "ssl_passphrase_command*",
            "plperl.*",
            "pltcl.*",
            "pltclu.*",
            "allow_system_table_mods",
            "include*",
        ],
    },
    Denied {
        message: "database.parameters must not set where the server listens, whom it lets in or where it keeps files and logs (listen_addresses, port, unix_socket_*, ssl*, krb_*, password_encryption, hba_file, data_directory, log_directory, logging_collector and the like): remove it; these belong to the operator and the image",
        names: &[
            "listen_addresses",
            "port",
            "unix_socket_*",
            "bonjour*",
            "ssl*",
            "krb_*",
            "gss_*",
            "db_user_namespace",
            "password_encryption",
            "scram_iterations",
            "md5_password_warnings",
            "pre_auth_delay",
            "post_auth_delay",
            "superuser_reserved_connections",
            "reserved_connections",
            "role",
            "session_authorization",
            "hba_file",
            "ident_file",
            "config_file",
            "data_directory*",
            "external_pid_file",
            "stats_temp_directory",
            "temp_tablespaces",
            "default_tablespace",
            "allow_in_place_tablespaces",
            "log_destination",
            "log_directory",
            "log_filename",
            "log_file_mode",
            "log_rotation_*",
            "log_truncate_on_rotation",
            "logging_collector",
            "syslog_*",
            "event_source",
        ],
    },
    Denied {
        message: "database.parameters must not set what Patroni decides (wal_level, hot_standby, cluster_name, primary_*, recovery_*, synchronous_standby_names, track_commit_timestamp and the like) or what gives up acknowledged data (fsync, full_page_writes, synchronous_commit, ignore_checksum_failure and the like): remove it",
        names: &[
            "wal_level",
            "wal_log_hints",
            "hot_standby",
            "cluster_name",
            "primary_*",
            "promote_trigger_file",
            "trigger_file",
            "standby_mode",
            "recovery_*",
            "synchronous_standby_names",
            "synchronized_standby_slots",
            "sync_replication_slots",
            "track_commit_timestamp",
            "restart_after_crash",
            "default_transaction_read_only",
            "transaction_read_only",
            "wal_keep_segments",
            "fsync",
            "full_page_writes",
            "synchronous_commit",
            "wal_sync_method",
            "data_sync_retry",
            "zero_damaged_pages",
            "ignore_checksum_failure",
            "ignore_invalid_pages",
            "ignore_system_indexes",
            "debug_io_direct",
        ],
    },
    Denied {
        message: "database.parameters must not set what the sessions of Patroni and the API or the tables' triggers cannot go without (default_transaction_isolation, session_replication_role, transaction_timeout, idle_session_timeout): remove it, and set it for a role of yours, such as ALTER ROLE reporting SET default_transaction_isolation = serializable",
        names: &[
            // A server is a standby at first, and a standby refuses whatever a serializable session asks.
            "default_transaction_isolation",
            // Without triggers, the sums that reads use are not kept.
            "session_replication_role",
            // They end Patroni's sessions, the pools' and the loading of a dump.
            "transaction_timeout",
            "idle_session_timeout",
        ],
    },
];

impl Denied {
    /// The rule, in which no cost depends on how long a name is.
    #[must_use]
    pub fn rule(&self) -> String {
        let part = |name: &&str| match name.strip_suffix('*') {
            Some(beginning) => format!("n.startsWith('{beginning}')"),
            None => format!("n == '{name}'"),
        };
        let parts: Vec<String> = self.names.iter().map(part).collect();
        format!("!self.exists(n, {})", parts.join(" || "))
    }

    /// Why a parameter is not to be set, if it is not.
    #[must_use]
    pub fn of(parameter: &str) -> Option<&'static Self> {
        DENIED.iter().find(|denied| denied.covers(parameter))
    }

    fn covers(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        self.names.iter().any(|denied| match denied.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => name == *denied,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_denied_is_denied_in_capitals_too() {
        let denied = |name: &str| Denied::of(name).is_some();
        for name in [
            "archive_command",
            "Archive_Command",
            "SSL",
            "ssl_passphrase_command_supports_reload",
            "recovery_target_time",
            "unix_socket_permissions",
            "data_directory_mode",
            "plperl.on_init",
            "FSYNC",
            "default_transaction_isolation",
            "Session_Replication_Role",
        ] {
            assert!(denied(name), "{name}");
        }
        for name in [
            "work_mem",
            "shared_buffers",
            "log_statement",
            "jit",
            "archiver",
            "portal",
        ] {
            assert!(!denied(name), "{name}");
        }
    }
}

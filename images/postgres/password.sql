-- Sets a role's password. psql reads it from a file, so it is on no command line; and no setting makes the server log
-- it. Sessions that were opened with another password are ended at once: the longer that takes, the more who came with the
-- new one would be taken for them. A role that had no password has no such sessions.
\set ON_ERROR_STOP on
\set VERBOSITY terse
\set password `cat "$PASSWORD_FILE"`

SELECT rolpassword IS NOT NULL AS had_another, :'role' = 'replicator' AS streams FROM pg_authid WHERE rolname = :'role' \gset

BEGIN;
SET LOCAL log_statement = 'none';
SET LOCAL log_duration = off;
SET LOCAL log_min_duration_statement = -1;
SET LOCAL log_min_duration_sample = -1;
SET LOCAL log_transaction_sample_rate = 0;
SET LOCAL log_min_error_statement = panic;
SET LOCAL password_encryption = 'scram-sha-256';
SET LOCAL lock_timeout = '10s';
\if :streams
-- No standby may be able to come in before this is committed; a primary that loses it sets it again.
SET LOCAL synchronous_commit = local;
\endif
ALTER ROLE :"role" LOGIN PASSWORD :'password';
\if :had_another
-- Until it is known when this was committed.
COMMENT ON ROLE :"role" IS 'password since infinity';
\endif
COMMIT;
\if :had_another
\ir sessions.sql
\endif

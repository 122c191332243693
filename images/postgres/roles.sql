-- The cluster's roles as the Secrets say. May run any number of times. Passwords are read by psql
-- from files, so they are on no command line; and no setting makes the server log them.
\set ON_ERROR_STOP on
\set VERBOSITY terse
\set superuser_password `cat "$RATES_ADMIN/superuser-password"`
\set replication_password `cat "$RATES_ADMIN/replication-password"`
\set username `cat "$RATES_APP/username"`
\set password `cat "$RATES_APP/password"`

BEGIN;
SET LOCAL log_statement = 'none';
SET LOCAL log_duration = off;
SET LOCAL log_min_duration_statement = -1;
SET LOCAL log_min_duration_sample = -1;
SET LOCAL log_transaction_sample_rate = 0;
SET LOCAL log_min_error_statement = panic;
SET LOCAL password_encryption = 'scram-sha-256';
SET LOCAL lock_timeout = '10s';

SELECT format('CREATE ROLE %I', name)
FROM (VALUES ('replicator'), ('rates_owner'), ('rates_a'), ('rates_b')) AS wanted (name)
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted.name)
\gexec

ALTER ROLE postgres PASSWORD :'superuser_password';

-- Streams the data to standbys, and may read files of the primary to rewind a former one.
ALTER ROLE replicator LOGIN REPLICATION NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'replication_password';
GRANT EXECUTE ON FUNCTION
  pg_catalog.pg_ls_dir(text, boolean, boolean),
  pg_catalog.pg_stat_file(text, boolean),
  pg_catalog.pg_read_binary_file(text),
  pg_catalog.pg_read_binary_file(text, bigint, bigint, boolean)
TO replicator;

-- Owns the application's databases; the two logins take turns when passwords are changed.
ALTER ROLE rates_owner NOLOGIN CREATEDB NOSUPERUSER NOCREATEROLE NOREPLICATION;
ALTER ROLE rates_a NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION INHERIT;
ALTER ROLE rates_b NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION INHERIT;
GRANT rates_owner TO rates_a, rates_b;
ALTER ROLE :"username" LOGIN PASSWORD :'password';
COMMIT;

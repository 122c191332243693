-- The cluster's roles and what they may do, without their passwords. May run any number of times. What they may do in
-- a database is in privileges.sql.
\set ON_ERROR_STOP on
\set VERBOSITY terse

BEGIN;
SET LOCAL lock_timeout = '10s';

SELECT format('CREATE ROLE %I', name)
FROM (VALUES ('replicator'), ('rates_owner'), ('rates_migrator'), ('rates_service'), ('rates_a'), ('rates_b'), ('rates_load'),
  ('rates_monitor'))
  AS wanted (name)
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted.name)
\gexec

-- Streams the data to standbys, and may read files of the primary to rewind a former one.
ALTER ROLE replicator LOGIN REPLICATION NOSUPERUSER NOCREATEDB NOCREATEROLE;
GRANT EXECUTE ON FUNCTION
  pg_catalog.pg_ls_dir(text, boolean, boolean),
  pg_catalog.pg_stat_file(text, boolean),
  pg_catalog.pg_read_binary_file(text),
  pg_catalog.pg_read_binary_file(text, bigint, bigint, boolean)
TO replicator;

-- Owns the application's databases, and everything in them. It renames databases: a seed's gets its name last.
ALTER ROLE rates_owner NOLOGIN CREATEDB NOSUPERUSER NOCREATEROLE NOREPLICATION;
-- The login of what makes and changes tables: the Jobs that seed and migrate.
ALTER ROLE rates_migrator NOCREATEDB NOSUPERUSER NOCREATEROLE NOREPLICATION INHERIT;
GRANT rates_owner TO rates_migrator;
-- Reads and writes rows; the two logins that have it take turns when passwords are changed.
ALTER ROLE rates_service NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION;
ALTER ROLE rates_a NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION INHERIT;
ALTER ROLE rates_b NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION INHERIT;
GRANT rates_service TO rates_a, rates_b;

-- Reads what the server counts, for the exporter beside it, and no rows. It has no password: it is let in by the socket
-- alone (patroni.yml).
ALTER ROLE rates_monitor LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION INHERIT CONNECTION LIMIT 8 PASSWORD NULL;
GRANT pg_monitor TO rates_monitor;

-- Runs dumps, which are programs of strangers: it has no right but those that the loader gives it in its scratch
-- database, and is let in for a minute at a time, with a password that the loader makes (rates-seed-load). The owner
-- takes over what it made. It is told a SCRAM verifier, so that no log can hold the password.
ALTER ROLE rates_load LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
GRANT rates_load TO rates_owner;
CREATE SCHEMA IF NOT EXISTS rates_internal;
GRANT USAGE ON SCHEMA rates_internal TO rates_owner;
CREATE OR REPLACE FUNCTION rates_internal.admit_loader(verifier text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF verifier !~ '^SCRAM-SHA-256\$' THEN
        RAISE EXCEPTION 'admit_loader takes a SCRAM verifier' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- What a dump said of its own role, too, is forgotten.
    ALTER ROLE rates_load RESET ALL;
    EXECUTE format('ALTER ROLE rates_load PASSWORD %L VALID UNTIL %L', verifier, clock_timestamp() + interval '1 minute');
END
$$;
REVOKE ALL ON FUNCTION rates_internal.admit_loader(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION rates_internal.admit_loader(text) TO rates_owner;

-- The databases that the application does not use.
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
REVOKE TEMPORARY ON DATABASE postgres FROM PUBLIC;
-- pg_rewind makes a temporary table there.
GRANT TEMPORARY ON DATABASE postgres TO replicator;
REVOKE ALL ON DATABASE template1 FROM PUBLIC;
COMMIT;

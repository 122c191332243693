-- The login that is out of use: its password opens nothing any more, and nobody stays who used it.
\set ON_ERROR_STOP on
\set VERBOSITY terse
BEGIN;
ALTER ROLE :"name" NOLOGIN PASSWORD NULL;
COMMIT;
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = :'name';

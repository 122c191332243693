-- The login that is out of use: its password opens nothing any more. Then sessions.sql ends its sessions.
\set ON_ERROR_STOP on
\set VERBOSITY terse
BEGIN;
ALTER ROLE :"name" NOLOGIN PASSWORD NULL;
-- Should it come back before its sessions are ended.
COMMENT ON ROLE :"name" IS 'password since infinity';
COMMIT;

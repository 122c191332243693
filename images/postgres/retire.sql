-- The login that is out of use: its password opens nothing any more. Then sessions.sql ends its sessions.
\set ON_ERROR_STOP on
\set VERBOSITY terse
ALTER ROLE :"name" NOLOGIN PASSWORD NULL;

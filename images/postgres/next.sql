-- The login that comes next, beside the one in use. As in roles.sql, no password is logged.
\set ON_ERROR_STOP on
\set VERBOSITY terse
\set username `cat "$RATES_ADMIN/next-username"`
\set password `cat "$RATES_ADMIN/next-password"`

BEGIN;
SET LOCAL log_statement = 'none';
SET LOCAL log_duration = off;
SET LOCAL log_min_duration_statement = -1;
SET LOCAL log_min_duration_sample = -1;
SET LOCAL log_transaction_sample_rate = 0;
SET LOCAL log_min_error_statement = panic;
SET LOCAL password_encryption = 'scram-sha-256';
ALTER ROLE :"username" LOGIN PASSWORD :'password';
COMMIT;

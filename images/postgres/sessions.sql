-- Ends the sessions of roles that may not log in any more, and those from before the role's password was set.
-- Whoever came without a password, over the socket, stays. A comment on the role says since when its password counts.
\set ON_ERROR_STOP on
\set VERBOSITY terse
SELECT format('COMMENT ON ROLE %I IS %L', rolname, 'password since ' || extract(epoch FROM clock_timestamp()))
FROM pg_roles
WHERE shobj_description(oid, 'pg_authid') = 'password since infinity'
\gexec
SELECT count(pg_terminate_backend(a.pid))
FROM pg_stat_activity AS a
JOIN pg_roles AS r ON r.oid = a.usesysid
WHERE a.client_addr IS NOT NULL AND (
  NOT r.rolcanlogin
  OR extract(epoch FROM a.backend_start)
    < substring(shobj_description(r.oid, 'pg_authid') FROM '^password since ([0-9.]+)$')::float8
);

-- Large objects, LISTEN and NOTIFY, statistics of the backend, DDL of every kind, psql's catalogue commands.
BEGIN; SELECT lo_create(4711); SELECT lowrite(lo_open(4711, 131072), '\x48656c6c6f'); COMMIT;
SELECT convert_from(lo_get(4711), 'UTF8'); SELECT lo_put(4711, 5, ' again'); SELECT length(lo_get(4711));
\lo_export 4711 '/dev/null'
\lo_unlink 4711
SELECT lo_get(4711);
LISTEN here; NOTIFY here, 'payload one'; SELECT 'after';
BEGIN; NOTIFY here, 'in a transaction'; SELECT 'not yet'; COMMIT;
SELECT pg_notify('here', 'by function') IS NOT NULL; SELECT pg_listening_channels(); UNLISTEN *; NOTIFY here, 'nobody';
CREATE SCHEMA app; CREATE TABLE app.a (id int GENERATED ALWAYS AS IDENTITY, j jsonb, PRIMARY KEY (id));
CREATE INDEX a_j ON app.a USING gin (j); CREATE TYPE app.mood AS ENUM ('sad', 'ok'); ALTER TYPE app.mood ADD VALUE 'happy';
ALTER TABLE app.a ADD COLUMN m app.mood DEFAULT 'ok', ADD CONSTRAINT positive CHECK (id > 0);
INSERT INTO app.a (j) SELECT jsonb_build_object('n', g) FROM generate_series(1, 5) g;
SELECT j->>'n', m FROM app.a WHERE j @> '{"n": 3}';
CREATE TABLE part (k int, v text) PARTITION BY RANGE (k);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (10);
INSERT INTO part VALUES (5, 'in'), (50, 'out');
INSERT INTO part VALUES (5, 'in'); SELECT tableoid::regclass, * FROM part;
CREATE MATERIALIZED VIEW mv AS SELECT count(*) FROM app.a; REFRESH MATERIALIZED VIEW mv; SELECT * FROM mv;
CREATE DOMAIN positive AS int CHECK (VALUE > 0); SELECT (-1)::positive;
COMMENT ON TABLE part IS 'parts'; GRANT SELECT ON part TO PUBLIC; ANALYZE part; VACUUM part;
VACUUM (ANALYZE, VERBOSE false) app.a; REINDEX TABLE app.a; CLUSTER app.a USING a_pkey;
BEGIN; VACUUM; ROLLBACK;
\dn+ app
\dt+ part
\dT app.*
\sf positive
\l no_such_database
\du no_such_role
SELECT relname FROM pg_class WHERE relnamespace = 'app'::regnamespace ORDER BY 1;
CREATE EXTENSION plpgsql;
DROP SCHEMA app CASCADE; DROP MATERIALIZED VIEW mv; DROP TABLE part; DROP DOMAIN positive;
SELECT query FROM pg_stat_activity WHERE pid = pg_backend_pid();
CREATE TABLE wide AS SELECT g AS id, g::text AS t, g * 1.5 AS f FROM generate_series(1, 100) g;
TABLE wide;
DROP TABLE wide;
\! true
\q

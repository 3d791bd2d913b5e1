-- PL/pgSQL, notices of all levels, raised errors with every field, triggers, DO, procedures with transaction control.
CREATE FUNCTION say(level text) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
  RAISE DEBUG 'debug %', level; RAISE LOG 'log'; RAISE INFO 'info'; RAISE NOTICE 'notice'; RAISE WARNING 'warning';
  RETURN 1;
END $$;
SELECT say('one');
SET client_min_messages = 'debug1'; SELECT say('two'); SET client_min_messages = 'error'; SELECT say('three');
RESET client_min_messages;
\set VERBOSITY verbose
DO $$ BEGIN RAISE EXCEPTION 'bad thing' USING ERRCODE = 'P1234', DETAIL = 'the detail', HINT = 'the hint',
  SCHEMA = 's', TABLE = 't', COLUMN = 'c', DATATYPE = 'dt', CONSTRAINT = 'con'; END $$;
SELECT say(NULL::int);
\set VERBOSITY default
\set SHOW_CONTEXT always
DO $$ BEGIN PERFORM say('x'); RAISE NOTICE 'with context'; END $$;
\set SHOW_CONTEXT errors
CREATE TABLE t (id serial PRIMARY KEY, v int CHECK (v > 0), changed int DEFAULT 0);
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.changed := NEW.changed + 1; RETURN NEW; END $$;
CREATE TRIGGER touch BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION touch();
INSERT INTO t (v) VALUES (1), (2) RETURNING *;
INSERT INTO t (v) VALUES (-1);
INSERT INTO t (id, v) VALUES (1, 5) ON CONFLICT (id) DO UPDATE SET v = excluded.v RETURNING *;
INSERT INTO t (id, v) VALUES (1, 6) ON CONFLICT DO NOTHING;
UPDATE t SET v = v + 10 WHERE id = 2 RETURNING v; DELETE FROM t WHERE id = 2 RETURNING *;
MERGE INTO t USING (VALUES (1, 100), (50, 500)) AS s(id, v) ON t.id = s.id
  WHEN MATCHED THEN UPDATE SET v = s.v WHEN NOT MATCHED THEN INSERT (id, v) VALUES (s.id, s.v);
SELECT * FROM t ORDER BY id;
CREATE PROCEDURE twice() LANGUAGE plpgsql AS $$
BEGIN INSERT INTO t (v) VALUES (1000); COMMIT; INSERT INTO t (v) VALUES (2000); ROLLBACK; END $$;
CALL twice(); SELECT count(*) FROM t;
BEGIN; CALL twice(); ROLLBACK;
CREATE FUNCTION rows_of(n int) RETURNS TABLE (a int, b text) LANGUAGE sql AS $$ SELECT g, 'r' || g FROM generate_series(1, n) g $$;
SELECT * FROM rows_of(3); SELECT rows_of(2);
CREATE FUNCTION out_of(OUT x int, OUT y text) LANGUAGE sql AS $$ SELECT 1, 'y' $$; SELECT * FROM out_of();
WITH RECURSIVE r(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT sum(n) FROM r;
SELECT id, sum(v) OVER (ORDER BY id), rank() OVER (ORDER BY v DESC) FROM t ORDER BY id;
EXPLAIN (COSTS OFF) SELECT * FROM t WHERE id = 1;
DO LANGUAGE plpgsql $$ BEGIN EXECUTE 'select 1/0'; EXCEPTION WHEN division_by_zero THEN RAISE NOTICE 'caught'; END $$;
CREATE VIEW v AS SELECT * FROM t; \d t
\d+ v
\df say
DROP TABLE t CASCADE; DROP FUNCTION say, touch, rows_of, out_of; DROP PROCEDURE twice;

-- Values of many types, in text and through casts, NULLs and errors with positions.
SET datestyle = 'ISO, DMY'; SET intervalstyle = 'postgres_verbose'; SET timezone = 'UTC'; SET extra_float_digits = 0;
SELECT 1::int2, 2::int4, 3::int8, 1.5::float4, 2.25::float8, 123456789012345678901234567890.5::numeric, true, NULL::text;
SELECT 'a'::char, 'bc'::varchar(5), 'def'::text, '\x00ff10'::bytea, E'tab\tand\nline', U&'\00e9\2713';
SELECT '2024-02-29'::date, '12:34:56.789'::time, '2024-02-29 12:34:56+02'::timestamptz, '1 day 02:03:04'::interval;
SELECT '{1,2,NULL,4}'::int[], '{{a,"b c"},{d,NULL}}'::text[], ROW(1, 'x', NULL), '[1,10)'::int4range;
SELECT '192.168.0.0/24'::cidr, '08:00:2b:01:02:03'::macaddr, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid;
SELECT '{"b": [1, 2, {"c": null}], "a": "x"}'::json, '{"b": [1, 2, {"c": null}], "a": "x"}'::jsonb, '<a>b</a>'::text;
SELECT '(1,2)'::point, '((0,0),(1,1))'::box, '<(0,0),2>'::circle, B'1010', 'infinity'::float8, 'NaN'::numeric;
SELECT 'x' AS "name with ""quotes""", 1 AS select, '' AS empty;
SELECT 1/0;
SELECT 'abc'::int;
SELECT no_such_column FROM pg_class;
SELECT * FROM no_such_table;
SELEC 1;
SELECT 'unterminated;
';
SELECT length(repeat('0123456789', 1000000)), md5(repeat('x', 3000000));
SELECT repeat('wide ', 3000);
SELECT g, g * g FROM generate_series(1, 2500) g;
SELECT;
SELECT FROM generate_series(1, 3);
;
SELECT 1 \; SELECT 2 \; SELECT 3;
\x on
SELECT 1 AS a, 'two' AS b;
\x off
SELECT 1 AS one, 'a' || 'b' AS two \gdesc
SELECT 5 AS five \gset
\echo :five
SELECT 'select ' || g || ' as g' FROM generate_series(1, 3) g \gexec
SELECT 1, 2 \crosstabview
SELECT $1::int + $2::int AS sum \bind 3 4 \g

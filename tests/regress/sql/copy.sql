-- COPY both ways: text, csv, binary, errors with lines, programs of psql, empty and large, within transactions.
CREATE TABLE c (a int, b text, d numeric DEFAULT 7);
COPY c FROM stdin;
1	one	1.5
2	\N	2.5
3	tab\there	3.5
\.
COPY c (a, b) FROM stdin WITH (FORMAT csv, HEADER, NULL 'null');
a,b
4,"quoted, ""comma"""
5,null
\.
COPY c TO stdout;
COPY c (b, a) TO stdout WITH (FORMAT csv, HEADER, FORCE_QUOTE *);
COPY (SELECT a, d FROM c WHERE a > 2 ORDER BY a) TO stdout WITH (DELIMITER '|', NULL 'nil');
COPY c FROM stdin;
6	six	not a number
\.
COPY c FROM stdin;
7	too few
\.
COPY c TO stdout WITH (FORMAT binary);
COPY no_such FROM stdin;
SELECT count(*) FROM c;
COPY no_such TO stdout;
BEGIN; COPY c FROM stdin;
8	eight	8
\.
COPY c TO stdout; ROLLBACK;
SELECT count(*) FROM c;
\copy c to pstdout csv
\copy (select g, repeat('x', 100) from generate_series(1, 20000) g) to '/dev/null'
COPY (SELECT g, md5(g::text) FROM generate_series(1, 2000) g) TO stdout;
TRUNCATE c;
COPY c FROM stdin;
\.
SELECT count(*) FROM c;
CREATE TABLE big AS SELECT g AS a, repeat(md5(g::text), 20) AS b FROM generate_series(1, 5000) g;
SELECT sum(length(b)) FROM big;
COPY big TO stdout WITH (FORMAT csv);
DROP TABLE c, big;

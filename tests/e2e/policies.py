#!/usr/bin/python3
"""What the durability policy promises when nodes are away: copies in two cells, two cells in all, and a leader that is left alone."""

import os
import pathlib
import signal
import sys
import threading

import psycopg2

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from harness import Failure, Sandbox, eventually, main  # noqa: E402

HEALS = 60


def connect(s, cell, straight=False):
    """Through that cell's gateway, or straight to its PostgreSQL."""
    status = s.status()
    kind = "postgres" if straight else "multigateway"
    port = next(c["ports"]["postgres"] for c in status["components"] if c["kind"] == kind and c["cell"] == cell)
    password = pathlib.Path(status["rootDirectory"], "pgpass").read_text().splitlines()[0].rsplit(":", 1)[1]
    c = psycopg2.connect(host="127.0.0.1", port=port, user="postgres", dbname="postgres", connect_timeout=15, password=password)
    c.autocommit = True
    return c


def write(s, cell, value):
    """Tries until it is acknowledged."""
    def once():
        try:
            c = connect(s, cell)
            try:
                with c.cursor() as cursor:
                    cursor.execute("insert into written values (%s)", (value,))
                return True
            finally:
                c.close()
        except psycopg2.Error:
            return False
    eventually(once, HEALS, f"value {value} is written")


def insert(c, value, outcome):
    """Once; adds how it ended."""
    try:
        with c.cursor() as cursor:
            cursor.execute("insert into written values (%s)", (value,))
        outcome.append("acknowledged")
    except psycopg2.Error:
        outcome.append("08006")  # with its PostgreSQL


def values(s):
    return s.sql("select string_agg(value::text, ',' order by value) from (select distinct value from written) v")


def primary(s):
    """Name and pid of the PostgreSQL that leads."""
    def one():
        leaders = [c for c in s.status()["components"] if c["kind"] == "postgres" and c["role"] == "primary"]
        return (leaders[0]["cell"], leaders[0]["pid"]) if len(leaders) == 1 else None
    return eventually(one, HEALS, "one primary")


def well(s):
    eventually(lambda: s.status()["state"] == "running", HEALS, "all is well")


def up(s, text):
    (s.work / "multigres.yaml").write_text(text)
    s.run("up")
    s.sql("create table written (value int)")


def rule(s):
    told = s.json("shard", "rule")
    return told["primary"], told["rule"].split(",")[0]  # "{3,1}": the term


def a_write_is_in_two_cells_and_waits_where_there_is_one():
    with Sandbox("cells") as s:
        up(s, "cells: 3\ndurability-policy: MULTI_CELL_AT_LEAST_2\n")
        if s.json("shard", "rule")["durability"] != "MULTI_CELL_AT_LEAST_2":
            raise Failure(s.json("shard", "rule"))
        leader, pid = primary(s)
        other = next(c for c in ("zone1", "zone2", "zone3") if c != leader)
        write(s, other, 1)
        os.kill(pid, signal.SIGKILL)
        write(s, other, 2)
        well(s)
        if values(s) != "1,2":
            raise Failure(f"acknowledged were 1 and 2, there are {values(s)}")

        # Alone in its cell the leader acknowledges nothing. (Straight on its PostgreSQL: its pooler ends sessions soon.)
        leader, _ = primary(s)
        away = [c for c in ("zone1", "zone2", "zone3") if c != leader]
        c = connect(s, leader, straight=True)
        for cell in away:
            s.run("cluster", "stop", f"multipooler/{cell}")
        outcome = []
        waiting = threading.Thread(target=insert, args=(c, 3, outcome), daemon=True)
        waiting.start()
        waiting.join(2)
        if outcome:
            raise Failure(f"with one cell alive a write ended: {outcome}")
        eventually(lambda: "nothing is read or written until another node is back" in s.status()["reason"], 20, "status says it")

        # Left alone, the leader dies. Nobody can be appointed: it comes back as what it was, and is confirmed by the first to return.
        before, (_, pid) = rule(s), primary(s)
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: s.component(f"postgres/{leader}").get("pid") not in (None, 0, pid), 20, "PostgreSQL is started again")
        for cell in away:
            s.run("cluster", "start", f"multipooler/{cell}")
        write(s, leader, 4)
        waiting.join(10)
        if outcome != ["08006"]:
            raise Failure(f"the write that waited was told {outcome}")
        if rule(s) != before:
            raise Failure(f"the rule was {before} and is {rule(s)}: the leader did not go on in place")
        well(s)
        if not {"1", "2", "4"} <= set(values(s).split(",")):
            raise Failure(f"acknowledged were 1, 2 and 4, there are {values(s)}")


def two_cells_say_what_they_can_and_cannot():
    with Sandbox("two") as s:
        up(s, "cells: 2\n")
        leader, pid = primary(s)
        other = next(c for c in ("zone1", "zone2") if c != leader)
        write(s, other, 1)
        os.kill(pid, signal.SIGKILL)
        write(s, other, 2)
        well(s)
        told = s.run("why").stdout
        if "failover: multipooler/" not in told or "rule" not in told or "nobody yet" in told:
            raise Failure(f"why says: {told}")

        # With one of two nodes away nothing can be written, and status says which node is wanting.
        leader, _ = primary(s)
        other = next(c for c in ("zone1", "zone2") if c != leader)
        s.run("cluster", "stop", f"multipooler/{other}")
        eventually(lambda: "nothing is read or written until another node is back" in s.status()["reason"], 20, "status says it")
        if s.run("status", check=False).returncode == 0:
            raise Failure("status says that all is well")
        s.run("cluster", "start", f"multipooler/{other}")
        write(s, leader, 3)
        well(s)
        if values(s) != "1,2,3":
            raise Failure(values(s))


if __name__ == "__main__":
    main([a_write_is_in_two_cells_and_waits_where_there_is_one, two_cells_say_what_they_can_and_cannot])

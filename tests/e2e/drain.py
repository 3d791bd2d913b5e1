#!/usr/bin/python3
"""A node out of service for maintenance: no reads, not the primary, and yet its vote and its copy of every write."""

import os
import pathlib
import select
import sys

import psycopg2

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from harness import Failure, Sandbox, eventually, main  # noqa: E402

CELLS = ("zone1", "zone2", "zone3")


def primary(s):
    return next((c["cell"] for c in s.status()["components"] if c["kind"] == "postgres" and c["role"] == "primary"), None)


def well(s):
    eventually(lambda: s.status()["state"] == "running", 30, "all is well")


def read_from(s, gateway_cell):
    """The port of the PostgreSQL that answers a read through that cell's gateway."""
    status = s.status()
    port = next(c["ports"]["postgres_replica"] for c in status["components"]
                if c["kind"] == "multigateway" and c["cell"] == gateway_cell)
    connection = psycopg2.connect(host="127.0.0.1", port=port, user="postgres", dbname="postgres", connect_timeout=15, sslmode="disable",
                                  passfile=str(pathlib.Path(status["rootDirectory"]) / "pgpass"))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("show port")
        return connection, int(cursor.fetchone()[0])


def shown(s, cell):
    return next(line for line in s.run("pooler", "list").stdout.splitlines() if line.startswith(f"multipooler/{cell} "))


def a_drained_node_takes_no_reads_and_does_not_lead():
    with Sandbox("drain") as s:
        s.run("up")
        leader = primary(s)
        node, other = (c for c in CELLS if c != leader)
        port = s.component(f"postgres/{node}")["ports"]["postgres"]
        idle, served_by = read_from(s, node)
        if served_by != port:
            raise Failure(f"the gateway of {node} reads from {served_by}, not from its own standby")

        told = s.json("pooler", "drain", f"multipooler/{node}", "--reason", "new disk")
        if not told["changed"] or "newLeaderId" in told:
            raise Failure(f"drain said {told}")
        # Told without being asked, in the protocol's own words.
        if not select.select([idle.fileno()], [], [], 10)[0] or b"C57P01" not in os.read(idle.fileno(), 4096):
            raise Failure("an idle session of the drained node was not told 57P01")
        eventually(lambda: read_from(s, node)[1] != port, 10, "reads go elsewhere")
        if "drained" not in shown(s, node) or "drained" not in s.run("topology", "tree").stdout:
            raise Failure("the drain is not shown")
        if "drained" not in s.run("status").stdout:
            raise Failure("status does not say it")
        if "new disk" not in s.json("pooler", "get", node)["lifecycleStatus"]["reason"]:
            raise Failure("the reason is lost")

        # It still counts: the shard loses another node and goes on. And it does not lead, also after a restart.
        s.run("cluster", "restart", f"multipooler/{node}")
        well(s)
        eventually(lambda: "drained" in shown(s, node), 10, "the mark outlives a restart")
        for _ in range(2):
            s.run("shard", "switch-primary")
            if primary(s) == node:
                raise Failure("a drained node leads though others can")
            well(s)

        refused = s.run("shard", "switch-primary", "--to", node, check=False)
        if refused.returncode != 4 or "is drained" not in refused.stderr or "undrain" not in refused.stderr:
            raise Failure(f"a switch to the drained node: {refused}")
        if primary(s) == node:
            raise Failure("a refused switch was made")

        # Two nodes are too few for two copies when one of them goes.
        for victim in (c for c in CELLS if c != node):
            refused = s.run("pooler", "drain", victim, check=False)
            if refused.returncode == 0 or "cannot do without" not in refused.stderr or f"{node} is drained" not in refused.stderr:
                raise Failure(f"drain of {victim}: {refused}")

        back = s.json("pooler", "undrain", node)
        if not back["changed"]:
            raise Failure(f"undrain said {back}")
        eventually(lambda: read_from(s, node)[1] == port, 10, "it answers reads again")

        # The primary: another one leads first.
        leader = primary(s)
        told = s.json("pooler", "drain", f"multipooler/{leader}")
        if told["newLeaderId"]["cell"] == leader or primary(s) != told["newLeaderId"]["cell"]:
            raise Failure(f"drain of the primary said {told}")
        if s.sql("select 42") != "42" or "drained" not in shown(s, leader):
            raise Failure("the shard does not serve, or the old primary is not drained")
        s.run("pooler", "undrain", leader)
        well(s)


if __name__ == "__main__":
    main([a_drained_node_takes_no_reads_and_does_not_lead])

#!/usr/bin/python3
"""A leader that dies, freezes or is cut off from its cohort, as clients of the gateways see it. How fast is measured by the benchmarks;
the bounds here only tell that it happens by itself."""

import os
import pathlib
import signal
import sys
import time

import psycopg2

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from harness import Failure, Sandbox, eventually, main  # noqa: E402

HEALS = 60


class Shard:
    def __init__(self, sandbox):
        self.s = sandbox
        status = sandbox.status()
        self.passfile = str(pathlib.Path(status["rootDirectory"]) / "pgpass")
        self.ports = {c["cell"]: c["ports"]["postgres"] for c in status["components"] if c["kind"] == "multigateway"}
        self.written = 0
        with self.connect("zone1") as c, c.cursor() as cursor:
            cursor.execute("create table written (value int)")

    def connect(self, cell, **more):
        c = psycopg2.connect(host="127.0.0.1", port=self.ports[cell], user="postgres", dbname="postgres", passfile=self.passfile,
                             connect_timeout=15, **more)
        c.autocommit = True
        return c

    def primary(self):
        """The cell that leads, and its PostgreSQL's pid."""
        leader = [c for c in self.s.status()["components"] if c["kind"] == "postgres" and c["role"] == "primary"]
        if len(leader) != 1:
            raise Failure(f"{len(leader)} primaries")
        return leader[0]["cell"], leader[0]["pid"]

    def elsewhere(self, cell):
        return next(c for c in self.ports if c != cell)

    def write(self, cell):
        """Tries until a write is acknowledged; a refusal may be repeated, for a client that was refused has written nothing."""
        end = time.monotonic() + HEALS
        while True:
            try:
                c = self.connect(cell)
                try:
                    with c.cursor() as cursor:
                        cursor.execute("insert into written values (%s)", (self.written + 1,))
                    self.written += 1
                    return
                finally:
                    c.close()
            except psycopg2.Error as e:
                if time.monotonic() > end:
                    raise Failure(f"no write within {HEALS} s: {e}") from e

    def well(self):
        def good():
            status = self.s.status()
            roles = sorted(c["role"] for c in status["components"] if c["kind"] == "postgres")
            return status["state"] == "running" and roles == ["primary", "standby", "standby"]
        eventually(good, HEALS, "three nodes, one of them primary, and all well")
        with self.connect("zone1") as c, c.cursor() as cursor:
            cursor.execute("select array_agg(value order by value) from written")
            values = cursor.fetchone()[0]
            # An attempt whose answer was lost may be there twice; an acknowledged one may not be missing.
            if not set(range(1, self.written + 1)) <= set(values):
                raise Failure(f"{set(range(1, self.written + 1)) - set(values)} were acknowledged and are lost")


def tree(pid):
    """A process and its descendants."""
    found = [pid]
    for entry in pathlib.Path("/proc", str(pid), "task").glob("*/children"):
        for child in entry.read_text().split():
            found += tree(int(child))
    return found


class Frozen:
    def __init__(self, *pids):
        self.pids = [p for pid in pids for p in tree(pid)]

    def __enter__(self):
        for pid in self.pids:
            os.kill(pid, signal.SIGSTOP)

    def __exit__(self, *_):
        for pid in self.pids:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                pass  # it was restarted meanwhile


def ask(connection, text, *values):
    with connection.cursor() as cursor:
        cursor.execute(text, values)
        return cursor.fetchone()[0] if cursor.description else None


class Resting:
    """Sessions through the gateway of a cell that say nothing while something happens. What `fresh` and `settled` hold can be taken elsewhere,
    what the others hold cannot."""
    number = 0

    def __init__(self, shard, cell):
        self.shard, self.cell = shard, cell
        Resting.number += 1
        self.name = f"rest {Resting.number}"
        kinds = ("fresh", "settled", "temporary", "open")
        self.sessions = {kind: shard.connect(cell, application_name=f"{self.name} {kind}") for kind in kinds}
        ask(self.sessions["settled"], "set work_mem = '7MB'")
        ask(self.sessions["settled"], "prepare twice (int) as select 2 * $1")
        ask(self.sessions["temporary"], "create temporary table here (value int)")
        ask(self.sessions["open"], "begin")
        ask(self.sessions["open"], "create table never_committed (value int)")
        for kind in ("settled", "temporary"):
            eventually(lambda: self.look(kind, "query like '/* multigres: %%'"), HEALS, f"the pooler has asked what the {kind} session holds")
        self.began = {kind: self.look(kind) for kind in self.sessions}

    def look(self, kind, condition="true"):
        """When the server connection of a session began; None: there is none of which this is true."""
        try:
            with self.shard.connect(self.cell) as c:
                return ask(c, f"select max(backend_start) from pg_stat_activity where application_name = %s and {condition}",
                           f"{self.name} {kind}")
        except psycopg2.Error:
            return None

    def go_on(self):
        for kind in ("fresh", "settled"):
            eventually(lambda: self.look(kind) not in (None, self.began[kind]), HEALS, f"the {kind} session goes on with another server connection")
        if ask(self.sessions["fresh"], "select 1") != 1:
            raise Failure("the fresh session answers something else")
        settled = [ask(self.sessions["settled"], text) for text in ("show work_mem", "execute twice (21)")]
        if settled != ["7MB", 42]:
            raise Failure(f"the settled session went on with {settled}")
        for kind, text in (("temporary", "select 1"), ("open", "commit")):
            try:
                ask(self.sessions[kind], text)
            except psycopg2.Error as e:
                if e.pgcode not in (None, "57P01", "57P02"):
                    raise Failure(f"the {kind} session was told {e.pgcode}") from e
            else:
                raise Failure(f"the {kind} session went on")
        with self.shard.connect(self.cell) as c:
            if ask(c, "select to_regclass('never_committed')") is not None:
                raise Failure("a transaction that was told to have ended was committed")
        for session in self.sessions.values():
            session.close()


def a_primary_that_dies_or_freezes_is_replaced():
    with Sandbox("failover") as s:
        s.run("up")
        shard = Shard(s)
        cell, pid = shard.primary()
        resting = Resting(shard, cell)
        os.kill(pid, signal.SIGKILL)
        shard.write(shard.elsewhere(cell))
        resting.go_on()
        shard.well()

        cell, _ = shard.primary()
        resting = Resting(shard, shard.elsewhere(cell))
        os.kill(s.component(f"multipooler/{cell}")["pid"], signal.SIGKILL)
        resting.go_on()
        shard.well()

        # One backend: PostgreSQL comes back by itself, as the leader or as whom another one has replaced.
        cell, _ = shard.primary()
        client = shard.connect(cell)
        with client.cursor() as cursor:
            cursor.execute("select pg_backend_pid()")
            backend = cursor.fetchone()[0]
        os.kill(backend, signal.SIGKILL)
        shard.write(shard.elsewhere(cell))
        client.close()
        shard.well()

        cell, pid = shard.primary()
        with Frozen(pid):
            shard.write(shard.elsewhere(cell))
            eventually(lambda: shard.primary()[0] != cell, HEALS, "another leads")
        shard.well()

        cell, _ = shard.primary()
        resting = Resting(shard, cell)
        with Frozen(s.component(f"multipooler/{cell}")["pid"]):
            shard.write(shard.elsewhere(cell))
            resting.go_on()
        shard.well()

        first, _ = shard.primary()
        resting = Resting(shard, shard.elsewhere(first))
        for cell in sorted(shard.ports, key=lambda c: c != first):
            for c in s.status()["components"]:
                if c["cell"] == cell and c["pid"]:
                    os.kill(c["pid"], signal.SIGKILL)
            shard.write(shard.elsewhere(cell))
            if resting is not None:
                resting.go_on()
                resting = None
            shard.well()

        for c in s.status()["components"]:
            os.kill(c["pid"], signal.SIGKILL)
        shard.write("zone2")
        shard.well()


def while_etcd_is_away_a_failover_reaches_the_clients():
    with Sandbox("etcd") as s:
        s.run("up")
        shard = Shard(s)
        cell, pid = shard.primary()
        etcd = s.component("etcd")["pid"]
        with Frozen(etcd, pid):
            shard.write(shard.elsewhere(cell))
            # The agent restarts a silent component after a while; what is shown here happened before.
            if s.component("etcd")["pid"] != etcd:
                raise Failure("etcd was restarted before the write was acknowledged")
        shard.well()


def a_primary_without_its_quorum_stops_serving_reads():
    with Sandbox("quorum") as s:
        s.run("up")
        shard = Shard(s)
        cell, _ = shard.primary()
        reader = shard.connect(cell)
        standbys = [c["pid"] for c in s.status()["components"] if c["kind"] == "postgres" and c["cell"] != cell]
        with Frozen(*standbys):
            def refused():
                try:
                    with reader.cursor() as cursor:
                        cursor.execute("select 1")
                    return False
                except psycopg2.Error as e:
                    return e.pgcode or "closed"
            code = eventually(refused, 10, "reads end")
            if code not in ("57P01", "closed"):
                raise Failure(f"the reader was told {code}")
        shard.write(cell)
        shard.well()


def write_past_everybody(s, cell):
    """On the PostgreSQL of a cell alone, by a commit that waits for no standby: what it wrote is in no other log."""
    port = s.component(f"postgres/{cell}")["ports"]["postgres"]
    directory = next(d for d in pathlib.Path(s.status()["rootDirectory"]).glob("data/pooler_*") if (d / "pg_sockets" / f".s.PGSQL.{port}").exists())
    c = psycopg2.connect(host=str(directory / "pg_sockets"), port=port, user="postgres", dbname="postgres", connect_timeout=5,
                         password=(directory / "postgres-password").read_text().strip())
    c.autocommit = True
    with c.cursor() as cursor:
        cursor.execute("set synchronous_commit = local")
        cursor.execute("create table alone as select generate_series(1, 1000)")
    c.close()


def a_leader_takes_over_with_a_node_that_has_to_be_rewound_first():
    with Sandbox("rewind") as s:
        s.run("up")
        shard = Shard(s)

        def node(cell):
            return Frozen(*(s.component(f"{kind}/{cell}")["pid"] for kind in ("multipooler", "postgres", "pgctld")))

        first, _ = shard.primary()
        nodes = {}
        standbys = Frozen(*(c["pid"] for c in s.status()["components"] if c["kind"] == "postgres" and c["cell"] != first))
        try:
            with standbys:
                write_past_everybody(s, first)
                nodes[first] = node(first)
                nodes[first].__enter__()
            shard.write(shard.elsewhere(first))
            second = eventually(lambda: next((c["cell"] for c in s.status()["components"] if c["kind"] == "postgres" and
                                              c["role"] == "primary" and c["cell"] != first), None), HEALS, "another leads")
            third = next(c for c in shard.ports if c not in (first, second))
            # Two of three are there now: the third, and the first, whose log has gone another way.
            nodes[second] = node(second)
            nodes[second].__enter__()
            nodes[first].__exit__()
            shard.write(third)
            # The agent restarts a node that stands still after a while; what is shown here happened before.
            if s.component(f"multipooler/{second}")["pid"] not in nodes[second].pids:
                raise Failure("the frozen node was restarted before the write was acknowledged")
        finally:
            for frozen in nodes.values():
                frozen.__exit__()
        shard.well()


def leave_behind(shard, cell, leads):
    """Writes so much log that the leader keeps no file that the stopped standby of this cell needs."""
    with shard.connect(leads) as c, c.cursor() as cursor:
        cursor.execute("select pg_walfile_name(pg_current_wal_lsn())")
        needed = cursor.fetchone()[0]
    for _ in range(30):
        with shard.connect(leads) as c, c.cursor() as cursor:
            for _ in range(3):
                shard.written += 1
                cursor.execute("insert into written values (%s)", (shard.written,))
                cursor.execute("select pg_switch_wal()")
            cursor.execute("checkpoint")
            cursor.execute("select count(*) from pg_ls_waldir() where name <= %s and length(name) = 24", (needed,))
            if cursor.fetchone()[0] == 0:
                return
    raise Failure("the leader keeps its log for ever")


def a_standby_left_too_far_behind_is_copied_anew():
    with Sandbox("behind") as s:
        (s.work / "multigres.yaml").write_text(
            "name: behind\npostgres:\n  settings:\n    wal_keep_size: 16MB\n    min_wal_size: 32MB\n    max_wal_size: 48MB\n")
        s.run("up")
        shard = Shard(s)
        leads, _ = shard.primary()
        away = shard.elsewhere(leads)
        shard.write(leads)
        s.run("cluster", "stop", f"multipooler/{away}", f"postgres/{away}", f"pgctld/{away}")
        leave_behind(shard, away, leads)
        s.run("cluster", "start", f"pgctld/{away}", f"postgres/{away}", f"multipooler/{away}", check=False)

        def streams():
            shards = s.json("pooler", "replication", check=False).get("shards", [])
            poolers = {p["name"]: p for one in shards for p in one["poolers"]}
            return poolers.get(f"multipooler/{away}", {}).get("link") == "streaming"
        eventually(streams, HEALS, "the standby follows again, with a new copy")
        shard.well()


def a_leader_that_is_alone_goes_on_in_place():
    """Nobody else can be appointed: PostgreSQL comes back as the leader, under the next number of its rule, with all that was acknowledged."""
    with Sandbox("alone") as s:
        s.run("up", "--cells", "1")
        shard = Shard(s)

        def rule():
            with shard.connect("zone1") as c, c.cursor() as cursor:
                cursor.execute("select decision_coordinator_term, decision_leader_subterm, decision_coordinator_term is not null"
                               " and proposal_coordinator_term is null from multigres.current_rule")
                return cursor.fetchone()
        for _ in range(2):
            shard.write("zone1")
            term, subterm, decided = rule()
            _, pid = shard.primary()
            began = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            shard.write("zone1")
            print(f"  a write {time.monotonic() - began:.2f} s after the death of the only PostgreSQL")
            if rule() != (term, subterm + 1, True) or not decided:
                raise Failure(f"the rule was {term, subterm} and is {rule()}: it did not go on in place")
        with shard.connect("zone1") as c, c.cursor() as cursor:
            cursor.execute("select array_agg(value order by value) from written")
            values = cursor.fetchone()[0]
        if not set(range(1, shard.written + 1)) <= set(values):
            raise Failure(f"{set(range(1, shard.written + 1)) - set(values)} were acknowledged and are lost")


if __name__ == "__main__":
    main([a_leader_that_is_alone_goes_on_in_place, a_standby_left_too_far_behind_is_copied_anew, a_primary_that_dies_or_freezes_is_replaced, a_leader_takes_over_with_a_node_that_has_to_be_rewound_first,
          while_etcd_is_away_a_failover_reaches_the_clients,
          a_primary_without_its_quorum_stops_serving_reads])

#!/usr/bin/python3
"""Planned changes of the primary under clients that never stop: no statement fails."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import psycopg2

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from harness import CLI, Failure, Sandbox, eventually, main  # noqa: E402

CLIENTS = 6


class Clients:
    """Auto-commit clients on all gateways, each on one connection for its whole life, with settings and prepared statements."""

    def __init__(self, sandbox):
        status = sandbox.status()
        self.passfile = str(pathlib.Path(status["rootDirectory"]) / "pgpass")
        self.ports = [c["ports"]["postgres"] for c in status["components"] if c["kind"] == "multigateway"]
        self.stop, self.errors, self.done = threading.Event(), [], [0] * CLIENTS
        with self.connect(0) as c, c.cursor() as cursor:
            cursor.execute("create table ticks (client int, n int, primary key (client, n))")
        self.threads = [threading.Thread(target=self.loop, args=(i,)) for i in range(CLIENTS)]

    def connect(self, i):
        c = psycopg2.connect(host="127.0.0.1", port=self.ports[i % len(self.ports)], user="postgres", dbname="postgres",
                             passfile=self.passfile, connect_timeout=15)
        c.autocommit = True
        return c

    def loop(self, i):
        try:
            connection = self.connect(i)
            with connection.cursor() as cursor:
                cursor.execute("set work_mem = '7MB'")
                cursor.execute("prepare tick (int, int) as insert into ticks values ($1, $2)")
                pid = connection.get_backend_pid()
                while not self.stop.is_set():
                    cursor.execute("execute tick (%s, %s)", (i, self.done[i]))
                    self.done[i] += 1
                cursor.execute("show work_mem")
                if cursor.fetchone()[0] != "7MB" or connection.get_backend_pid() != pid:
                    raise Failure("the session is not what it was")
            connection.close()
        except (psycopg2.Error, Failure) as e:
            self.errors.append(f"client {i} after {self.done[i]}: {e}")

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for t in self.threads:
            t.join()

    def all_go_on(self):
        before = list(self.done)
        eventually(lambda: self.errors or all(n > b for n, b in zip(self.done, before)), 30, "every client goes on")
        if self.errors:
            raise Failure("\n".join(self.errors))

    def judge(self):
        with self.connect(0) as c, c.cursor() as cursor:
            cursor.execute("select client, count(*), max(n) from ticks group by client order by client")
            found = cursor.fetchall()
        if self.errors or found != [(i, n, n - 1) for i, n in enumerate(self.done)]:
            raise Failure(f"{self.errors}\nacknowledged {self.done}\nfound {found}")


def primary(s):
    return next(c["cell"] for c in s.status()["components"] if c["kind"] == "postgres" and c["role"] == "primary")


def well(s):
    eventually(lambda: s.status()["state"] == "running", 30, "all is well")


def planned_switches_fail_no_statement():
    with Sandbox("switch") as s:
        s.run("up")
        clients = Clients(s)
        with clients:
            clients.all_go_on()
            for target in ("zone2", "zone3", "zone1"):
                told = s.json("shard", "switch-primary", "--to", f"multipooler/{target}")
                if told["newLeaderId"]["cell"] != target or primary(s) != target:
                    raise Failure(f"{target} does not lead: {told}")
                clients.all_go_on()
                well(s)
            again = s.json("shard", "switch-primary", "--to", "zone1")
            if again["newLeaderId"] != again["oldLeaderId"]:
                raise Failure(f"it led already: {again}")
            before = primary(s)
            s.run("shard", "switch-primary")
            if primary(s) == before:
                raise Failure("nobody else leads")
            clients.all_go_on()
            well(s)
            rule = s.json("shard", "rule")
            for policy in ("MULTI_CELL_AT_LEAST_2", "AT_LEAST_2"):
                s.run("shard", "apply-rule-change", "--durability", policy)
                clients.all_go_on()
                changed = s.json("shard", "rule")
                same_term = changed["rule"].split(",")[0] == rule["rule"].split(",")[0]
                if changed["durability"] != policy or not same_term or changed["primary"] != rule["primary"]:
                    raise Failure(f"{rule} became {changed}: the leader changes the policy by itself")
        clients.judge()
        well(s)

        # A statement that takes long is waited for, and holds nobody up.
        slow = subprocess.Popen([CLI, "psql", "--", "-XAtqc", "select 'slow' from pg_sleep(4)"], cwd=s.work, env=s.env, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)
        eventually(lambda: s.sql("select count(*) from pg_stat_activity where query like '%pg_sleep(4)%' and state = 'active' and pid <> pg_backend_pid()") == "1",
                   10, "the slow statement runs")
        pauses, over = [0.0], threading.Event()

        def write():
            with contextlib.closing(clients.connect(1)) as c, c.cursor() as cursor:
                n = 0
                while not over.is_set():
                    begun = time.monotonic()
                    n += 1
                    cursor.execute("insert into ticks values (99, %s)", (n,))
                    pauses.append(time.monotonic() - begun)

        writer = threading.Thread(target=write)
        writer.start()
        s.run("shard", "switch-primary")
        over.set()
        writer.join()
        out, err = slow.communicate(timeout=20)
        if out != "slow\n" or max(pauses) > 2:
            raise Failure(f"the slow statement said {out!r} {err!r}, the others paused {max(pauses):.1f} s")
        well(s)

        # What no other node can have is told, and says why.
        held = subprocess.Popen([CLI, "psql", "--", "-XAtq"], cwd=s.work, env=s.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)
        held.stdin.write("create temporary table here (a int);\nselect 'held';\n")
        held.stdin.flush()
        if held.stdout.readline() != "held\n":
            raise Failure("no session")
        s.run("shard", "switch-primary")
        _, told = held.communicate("select 1 from here;\n", timeout=20)
        if "this session holds a temporary table" not in told:
            raise Failure(f"the session was told: {told}")
        # What was set for the role after the login is not for this session; nor is a prepared statement read anew.
        with contextlib.ExitStack() as stack:
            kept, changed, reads = (stack.enter_context(contextlib.closing(clients.connect(i))) for i in range(3))
            with kept.cursor() as k, changed.cursor() as c, reads.cursor() as r:
                s.sql("alter role postgres set work_mem = '5MB'")
                late = stack.enter_context(contextlib.closing(clients.connect(0)))
                k.execute("set statement_timeout = '99s'")
                c.execute("select 1")
                r.execute("set datestyle = 'SQL, DMY'; prepare p as select '01/02/2003'::date")
                r.execute("set datestyle = 'ISO, MDY'")
                with late.cursor() as cursor:
                    cursor.execute("show work_mem")
                    if cursor.fetchone()[0] != "5MB":
                        raise Failure("the role's setting")
                s.sql("alter role postgres set work_mem = '6MB'")
                s.run("shard", "switch-primary")
                with late.cursor() as cursor:
                    cursor.execute("show work_mem")
                    if cursor.fetchone()[0] != "5MB":
                        raise Failure("a setting of the role's that was changed after the login counts")
                for cursor, why in ((k, "work_mem of the role came after its login"), (c, "the same"), (r, "prepared under another DateStyle")):
                    try:
                        cursor.execute("show work_mem")
                        raise Failure(f"goes on: {why}: {cursor.fetchone()}")
                    except psycopg2.Error as e:
                        if e.pgcode not in ("57P01", None):
                            raise Failure(f"{why}: {e.pgcode} {e}") from e
                s.sql("alter role postgres reset work_mem")
        for words in (["--to", "nobody"], ["nodatabase"]):
            refused = s.run("shard", "switch-primary", *words, check=False)
            if refused.returncode != 3:
                raise Failure(f"{words}: {refused}")


def a_rolling_restart_fails_no_statement():
    with Sandbox("rolling") as s:
        s.run("up")
        before = s.pids()
        clients = Clients(s)
        with clients:
            clients.all_go_on()
            told = s.json("cluster", "restart", "--rolling")
            if sorted(told["restarted"]) != ["postgres/zone1", "postgres/zone2", "postgres/zone3"]:
                raise Failure(told)
            clients.all_go_on()
            lines = s.run("cluster", "restart", "--rolling").stderr.splitlines()
            if len(lines) != 3 or not all(line.startswith("postgres/zone") for line in lines):
                raise Failure(f"a line for each node, off a terminal: {lines}")
            clients.all_go_on()
        clients.judge()
        after = s.pids()
        changed = {name for name in after if after[name] != before[name]}
        if changed != set(told["restarted"]):
            raise Failure(f"restarted were {changed}")


def the_rule_changes_under_its_quorum_or_with_a_certificate():
    with Sandbox("rule") as s:
        s.run("up")

        def in_force():
            return s.json("shard", "rule")

        s.run("shard", "apply-rule-change", "--durability", "MULTI_CELL_AT_LEAST_2")
        lead = primary(s)
        if in_force()["durability"] != "MULTI_CELL_AT_LEAST_2":
            raise Failure(in_force())
        names = s.sql("show synchronous_standby_names")
        if not names.startswith("ANY 1 (") or lead in names:
            raise Failure(f"the standbys of other cells are not those that count: {names}")
        other = next(c for c in ("zone1", "zone2", "zone3") if c != lead)
        well(s)
        s.run("shard", "apply-rule-change", "--leader", other)
        well(s)
        s.run("shard", "apply-rule-change", "--durability", "AT_LEAST_2")
        if primary(s) != other or in_force()["durability"] != "AT_LEAST_2":
            raise Failure(in_force())
        s.sql("create table kept (value int); insert into kept values (1)")
        rule = in_force()["rule"]
        for words, exit_status in ((["--durability", "AT_LEAST_9"], 2), (["--durability", ""], 2), (["--leader", "zone9"], 3),
                                   (["--leader", lead, "--cohort", ",".join({"zone1", "zone2", "zone3"} - {lead})], 2),
                                   (["--outgoing-rule-term", "77", "--durability", "AT_LEAST_3"], 1),
                                   (["--outgoing-rule-term", "77", "--leader", lead], 1),
                                   (["--frozen-lsn", "FF/0", "--leader", lead, "--cohort", "zone1,zone2,zone3", "--durability",
                                     "AT_LEAST_2", "--yes"], 2)):
            refused = s.run("shard", "apply-rule-change", *words, check=False)
            if refused.returncode != exit_status:
                raise Failure(f"{words}: {refused}")
        if in_force()["rule"] != rule:
            raise Failure(f"what was refused has changed the rule: {in_force()}, before {rule}")

        # Two of three are gone: no quorum can say anything, so somebody has to certify.
        alone = next(c for c in ("zone1", "zone2", "zone3") if c != other)
        away = [c for c in ("zone1", "zone2", "zone3") if c != alone]
        for cell in away:
            s.run("cluster", "stop", f"multipooler/{cell}")
        wish = ["--leader", alone, "--cohort", alone, "--durability", "AT_LEAST_1"]
        if s.run("shard", "apply-rule-change", *wish, check=False).returncode == 0:
            raise Failure("the rule was changed without its quorum")
        nobody = s.run("shard", "switch-primary", "--yes", check=False)
        if nobody.returncode != 4 or "no primary now" not in nobody.stderr or "orch status" not in nobody.stderr:
            raise Failure(f"switch-primary where nobody leads: {nobody}")
        s.run("shard", "apply-rule-change", *wish, "--unsafe-derive-cert-from-reachable", "--yes")
        if s.sql("insert into kept values (2); select count(*) from kept", cell=alone) != "2":
            raise Failure("what had been acknowledged is not there")
        for cell in away:
            s.run("cluster", "start", f"multipooler/{cell}")
        eventually(lambda: len(in_force().get("cohort", [])) == 3, 60, "those that come back are taken in")
        well(s)


def a_standby_two_changes_behind_in_one_segment_follows():
    """PostgreSQL alone tells it that the segment has been removed: it is there as .partial only."""
    with Sandbox("segment") as s:
        s.run("up")
        lead = primary(s)
        with_it, away = (z for z in ("zone1", "zone2", "zone3") if z != lead)
        nodes = {z: [f"multipooler/{z}", f"postgres/{z}", f"pgctld/{z}"] for z in (with_it, away)}
        s.sql("create table t (i int); insert into t values (1)")
        s.run("cluster", "stop", *nodes[away])
        for target in (with_it, lead):
            s.run("shard", "switch-primary", "--to", target)
            s.sql("insert into t values (1)")
            eventually(lambda: s.json("shard", "get")["primary"] == f"multipooler/{target}", 20, "it leads")
            eventually(lambda: sum(p.get("link") == "streaming" for p in s.json("shard", "get")["poolers"]) == 1, 30, "one streams")
        history = s.sql("select pg_read_file('pg_wal/' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) || '.history')")
        ends = [line.split()[1] for line in history.splitlines() if line.strip()]
        if len({end.split("/")[1][:-6] for end in ends[-2:]}) != 1:
            raise Failure(f"no longer what it shows: the timelines ended in different segments: {ends}")
        s.run("cluster", "stop", *nodes[with_it])
        s.run("cluster", "start", *nodes[away])
        if s.sql("insert into t values (1) returning i") != "1":
            raise Failure("no write")
        gone = s.run("logs", f"postgres/{away}", "--grep", "has already been removed", check=False).stdout
        if gone:
            raise Failure(gone)
        s.run("up")
        well(s)


def child(pid, title):
    """The process of this PostgreSQL whose title begins so."""
    for entry in pathlib.Path("/proc", str(pid), "task").glob("*/children"):
        for number in entry.read_text().split():
            if pathlib.Path("/proc", number, "cmdline").read_bytes().startswith(f"postgres: {title}".encode()):
                return int(number)
    raise Failure(f"PostgreSQL {pid} has no process '{title}'")


def a_standby_that_stands_still_holds_no_switch_up():
    with Sandbox("stuck") as s:
        s.run("up")
        for title in ("walreceiver", "startup"):
            well(s)
            lead = primary(s)
            stuck, other = (c for c in ("zone1", "zone2", "zone3") if c != lead)
            eventually(lambda: s.component(f"postgres/{other}").get("streaming"), 60, f"{other} streams")
            frozen = child(s.component(f"postgres/{stuck}")["pid"], title)
            os.kill(frozen, signal.SIGSTOP)
            try:
                began = time.monotonic()
                s.run("shard", "switch-primary", "--to", other)
                took = time.monotonic() - began
            finally:
                os.kill(frozen, signal.SIGCONT)
            # The recruits' calls of the one that stands still end after 15 s.
            if primary(s) != other or took > 10:
                raise Failure(f"{title}: {primary(s)} leads after {took:.1f} s, and not {other}")
            print(f"{title}: {took:.1f} s", flush=True)
        well(s)


if __name__ == "__main__":
    main([a_standby_two_changes_behind_in_one_segment_follows, planned_switches_fail_no_statement, a_rolling_restart_fails_no_statement,
          a_standby_that_stands_still_holds_no_switch_up, the_rule_changes_under_its_quorum_or_with_a_certificate])

#!/usr/bin/python3
"""Rounds of random faults under a workload through random gateways, and a direct client on each PostgreSQL; the history is judged by
checker.py. Everything random comes from one seed, which is printed. The faults: kill and freeze of one process, partition of one component
or of a cell (by `multigres chaos partition`), and loss of a whole cell by any of these."""

import argparse
import datetime
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time

import psycopg2

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
import checker  # noqa: E402
from harness import CLI, Failure, Sandbox, eventually  # noqa: E402

KINDS = ("postgres", "pgctld", "multipooler", "multiorch", "multigateway", "etcd", "agent")
KEYS = ("a", "b", "c")
# After so many faults new lists and registers are taken: a list that grew over hundreds of rounds would be most of the work, and of the memory.
FAULTS_OF_A_KEY = 8
ACTIONS = ("kill", "freeze", "partition", "cell")
# --stale-read-limit, and the time that a busy machine adds to it.
STALE_READ_LIMIT, SLACK = 3.0, 1.0


class Recorder:
    def __init__(self):
        self.lock, self.history, self.errors, self.next = threading.Lock(), [], {}, 0
        self.cut_off = []  # spans of time in which a leader that was cut off may still answer reads

    def value(self):
        with self.lock:
            self.next += 1
            return self.next

    def acknowledged(self):
        with self.lock:
            return sum(1 for o in self.history if o["ok"] and o["kind"] in ("append", "write"))

    def judged(self):
        """The history, with those reads marked that may be stale."""
        for o in self.history:
            if o["kind"] in ("list", "read") and any(begin <= o["end"] and o["start"] <= end for begin, end in self.cut_off):
                o["may_be_stale"] = True
        return self.history

    def run(self, kind, key, value, connection, statement, arguments, **more):
        """One operation: what was asked, when, and what came back. An error leaves open whether a write took effect."""
        o = {"kind": kind, "key": key, "value": value, "ok": None, "start": time.monotonic(), **more}
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement, arguments)
                if kind in ("list", "read"):
                    row = cursor.fetchone()
                    o["value"] = row[0] if row else ([] if kind == "list" else None)
                elif kind == "probe":
                    # Between its promotion and its rule a new leader still reads the rule of the one before: no term of its own yet.
                    o["timeline"], term, leader = cursor.fetchone()
                    o["term"] = term if leader.endswith(o["node"].removeprefix("pooler_")) else None
            o["ok"] = True
            # PostgreSQL answers a cancelled wait with success and a warning; a direct client knows by it that nothing is promised.
            if any("canceling" in n or "cancelling" in n for n in connection.notices):
                o["interrupted"] = True
                if kind == "probe":
                    o["ok"] = None
            return True
        except psycopg2.Error as e:
            code = e.pgcode or "08006"
            with self.lock:
                self.errors[code] = self.errors.get(code, 0) + 1
            return False
        finally:
            o["end"] = time.monotonic()
            del connection.notices[:]
            with self.lock:
                self.history.append(o)


def connect(**where):
    connection = psycopg2.connect(user="postgres", dbname="postgres", connect_timeout=2, **where)
    connection.autocommit = True
    return connection


def limit_statements(connection, rng):
    """Some sessions give their statements little time: it also ends waits for standbys, which PostgreSQL answers with success."""
    if rng.random() < 0.4:
        with connection.cursor() as cursor:
            cursor.execute("set statement_timeout = %s", (rng.choice((100, 400, 1200)),))


class Chaos:
    def __init__(self, sandbox, seed):
        self.s, self.rng, self.seed, self.record, self.stop = sandbox, random.Random(seed), seed, Recorder(), threading.Event()
        self.faults = 0
        status = sandbox.status()
        self.root = pathlib.Path(status["rootDirectory"])
        self.ports = [c["ports"]["postgres"] for c in status["components"] if c["kind"] == "multigateway"]
        self.passfile = str(self.root / "pgpass")
        self.sockets = sorted(self.root.glob("data/pooler_*/pg_sockets"))
        self.node_ports = [next(p.name.split(".")[-1] for p in d.iterdir() if not p.name.endswith(".lock")) for d in self.sockets]

    def gateway(self, rng=random):
        return connect(host="127.0.0.1", port=rng.choice(self.ports), passfile=self.passfile)

    def loop(self, number):
        rng, connection = random.Random(f"{self.seed}/{number}"), None
        while not self.stop.is_set():
            try:
                if connection is None or connection.closed or rng.random() < 0.1:
                    connection and connection.close()
                    connection = self.gateway(rng)
                    limit_statements(connection, rng)
            except psycopg2.Error:
                self.stop.wait(0.05)
                continue
            key, kind = f"{rng.choice(KEYS)}{self.faults // FAULTS_OF_A_KEY}", rng.choice(("append", "list", "write", "read"))
            value = self.record.value() if kind in ("append", "write") else None
            statement, arguments = {
                "append": ("insert into lists values (%s, array[%s]) on conflict (key) do update set vals = lists.vals || %s", (key, value, value)),
                "list": ("select vals from lists where key = %s", (key,)),
                "write": ("insert into registers values (%s, %s) on conflict (key) do update set value = %s", (key, value, value)),
                "read": ("select value from registers where key = %s", (key,)),
            }[kind]
            if not self.record.run(kind, key, value, connection, statement, arguments):
                connection.close()
            self.stop.wait(0.01)
        connection and connection.close()

    def probe(self, node):
        """Commits on one PostgreSQL past every gateway and pooler, whenever it takes a write."""
        directory, port, connection = self.sockets[node], self.node_ports[node], None
        rng = random.Random(f"{self.seed}/probe/{node}")
        password = (directory.parent / "postgres-password").read_text().strip()
        while not self.stop.is_set():
            try:
                if connection is None or connection.closed:
                    connection = connect(host=str(directory), port=port, password=password)
                    limit_statements(connection, rng)
                with connection.cursor() as cursor:
                    cursor.execute("select pg_is_in_recovery()")
                    if cursor.fetchone()[0]:
                        self.stop.wait(0.05)
                        continue
                value = self.record.value()
                if not self.record.run("probe", "", value, connection,
                                       "insert into probes values (%s) returning ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))"
                                       "::bit(32)::int, (select decision_coordinator_term from multigres.current_rule),"
                                       " (select leader_id from multigres.current_rule)",
                                       (value,), node=directory.parent.name):
                    connection.close()
            except psycopg2.Error:
                connection and connection.close()
            self.stop.wait(0.05)
        connection and connection.close()

    def interrupt(self):
        """Cancels and ends those who wait for a standby, straight on every PostgreSQL that answers."""
        for directory, port in zip(self.sockets, self.node_ports):
            try:
                connection = connect(host=str(directory), port=port, password=(directory.parent / "postgres-password").read_text().strip())
                with connection.cursor() as cursor:
                    what = self.rng.choice(("pg_cancel_backend", "pg_terminate_backend"))
                    cursor.execute(f"select {what}(pid) from pg_stat_activity where wait_event = 'SyncRep'")
                connection.close()
            except psycopg2.Error:
                pass  # it is down or a standby: nobody waits there

    def victims(self, action, cell=None):
        """A name and processes; of a cell, or of a kind that the action can hit."""
        components = [c for c in self.s.status()["components"] if c["pid"]]
        if cell:
            return cell, [c["pid"] for c in components if c["cell"] == cell]
        kinds = KINDS + ("postgres",) if action != "partition" else ("postgres", "postgres", "multipooler", "multiorch", "multigateway", "etcd")
        kind = self.rng.choice(kinds)
        if kind == "agent":
            return kind, [self.s.agent_pid()]
        chosen = self.rng.choice(sorted((c for c in components if c["kind"] == kind), key=lambda c: c["name"]))
        return chosen["name"], [chosen["pid"]]

    def fault(self, action):
        cell = None
        if action == "cell" or (action == "partition" and self.rng.random() < 0.5):
            cell = self.rng.choice(("zone1", "zone2", "zone3"))
            action = self.rng.choice(("kill", "freeze", "partition")) if action == "cell" else action
        name, pids = self.victims(action, cell)
        began = time.monotonic()
        if action == "partition":
            self.partition(name)
        else:
            self.signals(action, pids)
        before = self.record.acknowledged()
        eventually(lambda: self.record.acknowledged() > before, 60, f"a write after {action} {name}")
        self.well(f"{action} {name}")
        print(f"  {action} {name}: all well after {time.monotonic() - began:.1f} s", flush=True)

    def partition(self, name):
        seconds = self.rng.uniform(1.5, 7)
        leader = next((c["cell"] for c in self.s.status()["components"] if c["kind"] == "postgres" and c["role"] == "primary"), "")
        began, offset = time.monotonic(), time.time() - time.monotonic()
        process = subprocess.Popen([CLI, "chaos", "partition", name, "--for", f"{seconds:.2f}s", "--no-probe", "--yes", "--json"],
                                   cwd=self.s.work, env=self.s.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while process.poll() is None:
            self.interrupt()
            self.stop.wait(self.rng.uniform(0.2, 0.6))
        out, errors = process.communicate()
        if process.returncode != 0:
            raise Failure(f"chaos partition {name} exited {process.returncode}\n{out}\n{errors}")
        injected = datetime.datetime.fromisoformat(json.loads(out)["report"]["injectedAt"][:26].rstrip("Z") + "+00:00").timestamp() - offset
        if name in (leader, f"postgres/{leader}", f"multipooler/{leader}"):
            self.record.cut_off.append((began, injected + STALE_READ_LIMIT + SLACK))

    def signals(self, action, pids):
        ours = set(self.s.processes())
        pids = [p for p in pids if p in ours]
        frozen = []
        try:
            for pid in pids:
                send(pid, signal.SIGKILL if action == "kill" else signal.SIGSTOP)
                frozen += [pid] if action == "freeze" else []
            for _ in range(4):
                self.stop.wait(self.rng.uniform(0.2, 0.6))
                self.interrupt()
        finally:
            for pid in frozen:
                send(pid, signal.SIGCONT)

    def well(self, after):
        def good():
            status = self.s.status()
            roles = [c["role"] for c in status["components"] if c["kind"] == "postgres"]
            return status["state"] == "running" and sorted(roles) == ["primary", "standby", "standby"]
        eventually(good, 60, f"all well after {after}")

    def go(self, actions):
        with self.gateway() as connection, connection.cursor() as cursor:
            cursor.execute("create table lists (key text primary key, vals bigint[]); create table registers (key text primary key, value bigint);"
                           "create table probes (value bigint)")
        threads = [threading.Thread(target=self.loop, args=(n,)) for n in range(4)]
        threads += [threading.Thread(target=self.probe, args=(n,)) for n in range(len(self.sockets))]
        for t in threads:
            t.start()
        try:
            for action in actions:
                self.fault(action)
                self.faults += 1
        finally:
            self.stop.set()
            for t in threads:
                t.join()
        with self.gateway() as connection, connection.cursor() as cursor:
            cursor.execute("select key, vals from lists")
            lists = dict(cursor.fetchall())
            cursor.execute("select value from probes")
            probes = {row[0] for row in cursor.fetchall()}
        found = checker.check(self.record.judged(), lists, probes)
        print(f"  {len(self.record.history)} operations, {self.record.acknowledged()} writes acknowledged, errors {self.record.errors}")
        if found:
            raise Failure(f"seed {self.seed}: {len(found)} violations\n" + "\n".join(found[:20]))


def send(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass  # it ended by itself meanwhile


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--rounds", type=int, default=5, help="of each action")
    options.add_argument("--short", action="store_true", help="each action once, and one more")
    options.add_argument("--actions", default=",".join(ACTIONS))
    options = options.parse_args()
    actions = options.actions.split(",")
    seed = os.environ.get("MG_CHAOS_SEED") or str(random.SystemRandom().randrange(1 << 32))
    print(f"seed {seed} (MG_CHAOS_SEED={seed} repeats the choice of faults)", flush=True)
    rng = random.Random(seed)
    schedule = actions + [rng.choice(actions)] if options.short else actions * options.rounds
    rng.shuffle(schedule)
    with Sandbox("chaos") as s:
        s.run("up")
        Chaos(s, seed).go(schedule)


if __name__ == "__main__":
    main()

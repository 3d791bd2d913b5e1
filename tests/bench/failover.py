#!/usr/bin/python3
"""Failover as a client sees it, beside Patroni and pg_auto_failover on the same machine, with the same faults, in the same run.

crash: the leader's postmaster gets SIGKILL. kill: everything of the leader's node (PostgreSQL and what manages it) gets SIGKILL. freeze: the same gets SIGSTOP, and SIGCONT when
another node takes writes. switch: a planned change. Measured is the time from the fault to the first acknowledged write that was begun
after it (for a switch the longest pause between two), and from the return of the old leader's node until it streams. Our client goes
through the gateway of another cell; the peers' has all hosts and target_session_attrs=read-write. Peers that are not installed are
skipped with a line that says so: apt-get install --no-install-recommends patroni pg-auto-failover-cli postgresql-15-auto-failover."""

import argparse
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import time

import psycopg2

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
from harness import Sandbox  # noqa: E402
from peers import Patroni, PgAutoFailover, send_all, tree  # noqa: E402
from writer import Writer  # noqa: E402

# An agent holds back a component that dies again without a healthy spell of 10 s, and one that dies five times in a minute for half a minute
# and more. That is right for what crashes by itself, and would be all that the rejoin figure shows here. So a node is killed again only
# after a healthy spell, and at most three times in a minute, whoever's node it is.
HEALTHY_SPELL, MINUTE, MOST_IN_A_MINUTE = 12, 60, 3

WHAT = ("crash", "kill", "freeze", "switch", "rejoin")
WANTED = {"crash": "median <= 2.0 s, worst <= 4.0 s", "kill": "median <= 2.0 s, worst <= 4.0 s", "freeze": "median <= 4.0 s",
          "switch": "<= 0.5 s", "rejoin": "<= 5 s"}


class Ours:
    name = "multigres"

    @staticmethod
    def missing():
        return []

    def __init__(self):
        self.sandbox = Sandbox("bench")
        self.sandbox.__enter__()
        self.sandbox.run("up")
        self.wait_well()

    def leader(self):
        return next((c["cell"] for c in self.sandbox.status()["components"] if c["kind"] == "postgres" and c["role"] == "primary"), None)

    def where(self):
        """Another cell's gateway."""
        status, leader = self.sandbox.status(), self.leader()
        gateway = next(c for c in status["components"] if c["kind"] == "multigateway" and c["cell"] != leader)
        return {"host": "127.0.0.1", "port": gateway["ports"]["postgres"], "user": "postgres", "dbname": "postgres",
                "passfile": str(pathlib.Path(status["rootDirectory"]) / "pgpass")}

    def wait_well(self, seconds=60):
        """All components run, and both standbys stream."""
        end = time.monotonic() + seconds
        self.sandbox.run("wait", "--timeout", f"{seconds}s", timeout=seconds + 30)
        while True:
            try:
                connection = psycopg2.connect(connect_timeout=2, **self.where())
                with connection, connection.cursor() as cursor:
                    cursor.execute("select count(*) from pg_stat_replication where state = 'streaming'")
                    streams = cursor.fetchone()[0]
                connection.close()
                if streams == 2:
                    return
            except psycopg2.Error:
                pass  # nobody leads at this moment
            if time.monotonic() > end:
                raise TimeoutError(f"not both standbys stream within {seconds} s")
            time.sleep(0.02)

    def node(self, cell):
        return [c["pid"] for c in self.sandbox.status()["components"]
                if c["cell"] == cell and c["kind"] in ("postgres", "pgctld", "multipooler") and c["pid"]]

    def crash(self, cell):
        os.kill(self.sandbox.component(f"postgres/{cell}")["pid"], signal.SIGKILL)

    def kill(self, cell):
        send_all(self.node(cell), signal.SIGKILL)

    def freeze(self, cell):
        pids = [p for root in self.node(cell) for p in tree(root)]
        send_all(pids, signal.SIGSTOP)
        return pids

    def start(self, cell):
        pass  # the agent did

    def switch(self):
        self.sandbox.run("shard", "switch-primary")

    def close(self):
        self.sandbox.__exit__(None, None, None)


def crash_peer(self, node):
    os.kill(int((self.root / node / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)


Patroni.crash = PgAutoFailover.crash = crash_peer


def wait_for_turn(kills):
    """Until a node with these former kills may be killed again."""
    kills[:] = [at for at in kills if at > time.monotonic() - MINUTE]
    if kills:
        may_be = [kills[-1] + HEALTHY_SPELL] + ([kills[-MOST_IN_A_MINUTE] + MINUTE] if len(kills) >= MOST_IN_A_MINUTE else [])
        time.sleep(max(0, max(may_be) - time.monotonic()))


def measure(cluster, what, limit, kills):
    """One round; seconds by what was measured. `kills` has the times of former ones, by node."""
    cluster.wait_well()
    if what == "kill":
        while True:
            leader = cluster.leader()
            wait_for_turn(kills.setdefault(leader, []))
            if cluster.leader() == leader:
                break
        kills[leader].append(time.monotonic())
    with Writer(cluster.where()) as writer:
        leader = cluster.leader()
        begun = time.monotonic()
        if what == "switch":
            cluster.switch()
            writer.wait_after(time.monotonic(), limit)
            return {"switch": writer.longest_pause(begun)}
        frozen = []
        try:
            frozen = getattr(cluster, what)(leader) or []
            # The call itself takes a moment; what counts begins when the fault is there. Sessions outlive a postmaster for a moment.
            now = time.monotonic()
            seconds = writer.wait_after_error(now, limit) if what == "crash" else writer.wait_after(now, limit)
        finally:
            send_all(frozen, signal.SIGCONT)
        if what != "kill":
            return {what: seconds}
        back = time.monotonic()
        cluster.start(leader)
        cluster.wait_well()
        return {"kill": seconds, "rejoin": time.monotonic() - back}


def run(kind, rounds, limit, faults):
    cluster, results, kills = kind(), {w: [] for w in WHAT}, {}
    try:
        for what in faults:
            for i in range(rounds):
                for name, seconds in measure(cluster, what, limit, kills).items():
                    results[name].append(seconds)
                    print(f"  {kind.name:18} {name:8} {seconds:7.3f} s", flush=True)
    except (TimeoutError, OSError, subprocess.SubprocessError, psycopg2.Error) as e:
        if kind is Ours:
            raise
        print(f"  {kind.name}: gave up here, what follows is not measured: {e}", flush=True)
    finally:
        cluster.close()
    return results


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer-rounds", type=int, default=3)
    parser.add_argument("--only", choices=("multigres", "patroni", "pg_auto_failover"))
    parser.add_argument("--what", default="crash,kill,freeze,switch", help="the faults, with commas between; kill has rejoin with it")
    options = parser.parse_args()
    faults = options.what.split(",")
    results = {}
    for kind in (Ours, Patroni, PgAutoFailover):
        if options.only and kind.name != options.only:
            continue
        if kind.missing():
            print(f"{kind.name}: skipped, not installed: {', '.join(kind.missing())}")
            continue
        results[kind.name] = run(kind, options.rounds if kind is Ours else options.peer_rounds, 120, faults)
    print(f"\n{'median (worst), s':18}" + "".join(f"{n:>26}" for n in results) + "   wanted of multigres")
    for what in WHAT:
        line = f"{what:18}"
        base = statistics.median(results["multigres"][what]) if results.get("multigres", {}).get(what) else None
        for name, values in results.items():
            if not values[what]:
                line += f"{'-':>26}"
                continue
            median = statistics.median(values[what])
            ratio = f" {median / base:5.1f} x" if base and name != "multigres" else ""
            line += f"{f'{median:.2f} ({max(values[what]):.2f}){ratio}':>26}"
        print(f"{line}   {WANTED[what]}")


if __name__ == "__main__":
    main()

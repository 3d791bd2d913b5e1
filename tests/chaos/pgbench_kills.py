#!/usr/bin/python3
"""pgbench through every gateway while the primary's PostgreSQL gets SIGKILL again and again. In the end the balances of accounts,
tellers, branches and the history agree, no transaction that pgbench saw committed is missing, and every error was of a class that
docs/consistency.md names."""

import argparse
import collections
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time

import psycopg2

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
from harness import Failure, Sandbox, eventually  # noqa: E402

# What pgbench may be told, as the server and libpq word it; pgbench shows no SQLSTATE. Everything else fails the test.
DOCUMENTED = {
    r"terminating connection|the primary has changed|is being shut down|shutting down": "57P01",
    r"there is no primary now|not accepting|starting up|no writable": "57P03",
    r"server closed the connection unexpectedly|connection to server was lost|Connection reset|Broken pipe|no connection to the server": "08006",
}
# pgbench's own words around them.
AROUND = re.compile(r"aborted (in command|while establishing|in state)|Run was aborted|This probably means|before or while processing|"
                    r"could not create connection|above results are incomplete|^\s*$|perhaps the backend died|^pgbench \(|starting vacuum|"
                    r"connection to server at|^HINT|^DETAIL")


class Bench:
    def __init__(self, sandbox, seconds, every):
        self.s, self.end, self.every = sandbox, time.monotonic() + seconds, every
        status = sandbox.status()
        self.ports = [c["ports"]["postgres"] for c in status["components"] if c["kind"] == "multigateway"]
        self.passfile = str(pathlib.Path(status["rootDirectory"]) / "pgpass")
        self.env = {**sandbox.env, "PGPASSFILE": self.passfile, "PGHOST": "127.0.0.1", "PGUSER": "postgres", "PGDATABASE": "postgres"}
        self.lock, self.committed, self.errors, self.unknown, self.runs = threading.Lock(), 0, collections.Counter(), [], 0

    def pgbench(self, port, *words):
        return subprocess.run(["pgbench", "-p", str(port), *words], env=self.env, capture_output=True, text=True, timeout=900)

    def load(self, port):
        """pgbench gives a client up at its first error, so it is started again until the time is over."""
        while (left := int(self.end - time.monotonic())) > 0:
            result = self.pgbench(port, "-n", "-c", "3", "-j", "1", "-T", str(left))
            with self.lock:
                self.runs += 1
                done = re.search(r"number of transactions actually processed: (\d+)", result.stdout)
                self.committed += int(done.group(1)) if done else 0
                for line in result.stderr.splitlines():
                    self.judge(line)
            if not done:
                time.sleep(0.05)  # it could not even connect; pgbench has no way to wait for that

    def judge(self, line):
        for pattern, code in DOCUMENTED.items():
            if re.search(pattern, line):
                self.errors[code] += 1
                return
        if not AROUND.search(line):
            self.unknown.append(line)

    def primary(self):
        return next((c for c in self.s.status()["components"] if c["kind"] == "postgres" and c["role"] == "primary" and c["pid"]), None)

    def go(self):
        made = self.pgbench(self.ports[0], "-i", "-q", "-s", "5")
        if made.returncode != 0:
            raise Failure(made.stderr)
        threads = [threading.Thread(target=self.load, args=(port,)) for port in self.ports]
        for t in threads:
            t.start()
        kills = 0
        while self.end - time.monotonic() > self.every:
            time.sleep(self.every)  # the rhythm of the kills is what this test is about
            victim = eventually(self.primary, 30, "a primary to kill")
            os.kill(victim["pid"], signal.SIGKILL)
            kills += 1
            print(f"  {time.monotonic() - self.end:7.1f} s killed {victim['name']}, {self.committed} committed in ended runs", flush=True)
        for t in threads:
            t.join()
        self.check(kills)

    def check(self, kills):
        def sums():
            try:
                connection = psycopg2.connect(host="127.0.0.1", port=self.ports[0], user="postgres", dbname="postgres", passfile=self.passfile)
                with connection.cursor() as cursor:
                    cursor.execute("select (select sum(abalance) from pgbench_accounts), (select sum(tbalance) from pgbench_tellers),"
                                   " (select sum(bbalance) from pgbench_branches), (select coalesce(sum(delta), 0) from pgbench_history),"
                                   " (select count(*) from pgbench_history)")
                    return cursor.fetchone()
            except psycopg2.Error:
                return None
        accounts, tellers, branches, history, count = eventually(sums, 60, "the cluster serves in the end")
        print(f"  {kills} kills, {self.runs} runs of pgbench, {self.committed} transactions reported, {count} in the history, errors {dict(self.errors)}")
        if not accounts == tellers == branches == history:
            raise Failure(f"the balances do not agree: accounts {accounts}, tellers {tellers}, branches {branches}, history {history}")
        if count < self.committed:
            raise Failure(f"{self.committed - count} transactions that were reported as committed are lost")
        if self.unknown:
            raise Failure("errors that are not documented:\n" + "\n".join(sorted(set(self.unknown))[:20]))
        if self.committed == 0 or kills == 0:
            raise Failure("nothing was tested")


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--seconds", type=float, default=600)
    options.add_argument("--every", type=float, default=20)
    options = options.parse_args()
    with Sandbox("pgbench") as s:
        s.run("up")
        Bench(s, options.seconds, options.every).go()


if __name__ == "__main__":
    main()

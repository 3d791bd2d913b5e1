#!/usr/bin/env python3
"""Measures what a user waits for and what the agent costs, each beside its floor in the same run, as a ratio.

The cold floor does by hand what a three-node bring-up cannot avoid: etcd beside one initdb (--no-sync), a PostgreSQL start, two
pg_basebackup and starts at once, until both stream. The warm floor is etcd and three PostgreSQL starts at once. The floor of a CLI
call is /bin/true started the same way."""

import argparse
import glob
import os
import pathlib
import pwd
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
from harness import CLI, Sandbox  # noqa: E402

ROWS = []


def row(what, measured, floor, unit, limit):
    ROWS.append((what, measured, floor, unit, limit))
    ratio = f"{measured / floor:6.2f} x" if floor else "      -"
    print(f"{what:34} {measured:10.3f} {unit:4} floor {floor if floor else 0:8.3f} {ratio}   {limit}", flush=True)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def bindir():
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda p: int(p.split("/")[-2]))
    return pathlib.Path(found[-1]) if found else pathlib.Path(shutil.which("postgres")).resolve().parent


class Floor:
    """Three PostgreSQL nodes and an etcd, by hand."""

    def __init__(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="mg-floor-", dir="/tmp"))
        self.root.chmod(0o755)
        self.bin = bindir()
        self.prefix = []
        if os.geteuid() == 0:
            self.prefix = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups", "--"]
        self.ports = [free_port() for _ in range(3)]
        self.processes = []
        self.pg = self.root / "pg"
        self.pg.mkdir()
        if self.prefix:
            user = pwd.getpwnam("postgres")
            os.chown(self.pg, user.pw_uid, user.pw_gid)

    def data(self, i):
        return str(self.pg / f"n{i}")

    def spawn(self, *words, user=True):
        process = subprocess.Popen([*(self.prefix if user else []), *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}, cwd="/")
        self.processes.append(process)
        return process

    def tool(self, *words):
        subprocess.run([*self.prefix, *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")

    def etcd(self):
        client, peer = free_port(), free_port()
        self.spawn("etcd", "--data-dir", str(self.root / "etcd"), "--listen-client-urls", f"http://127.0.0.1:{client}",
                   "--advertise-client-urls", f"http://127.0.0.1:{client}", "--listen-peer-urls", f"http://127.0.0.1:{peer}",
                   "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}", "--initial-cluster", f"default=http://127.0.0.1:{peer}",
                   "--election-timeout", "100", "--heartbeat-interval", "20", user=False)
        return client

    def wait_etcd(self, port):
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
                    if b"true" in answer.read():
                        return
            except OSError:
                time.sleep(0.01)

    def postgres(self, i):
        return self.spawn(str(self.bin / "postgres"), "-D", self.data(i), "-p", str(self.ports[i]), "-c",
                          "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={self.pg}", "-c",
                          "wal_retrieve_retry_interval=100ms")

    def query(self, i, text):
        result = subprocess.run(["psql", "-XAtq", "-h", str(self.pg), "-p", str(self.ports[i]), "-U", "postgres", "-c", text],
                                capture_output=True, text=True)
        return result.stdout.strip() if result.returncode == 0 else None

    def wait(self, i, text, answer):
        while self.query(i, text) != answer:
            time.sleep(0.01)

    def cold(self):
        began = time.monotonic()
        etcd = self.etcd()
        self.tool(str(self.bin / "initdb"), "-D", self.data(0), "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8",
                  "--locale=C.UTF-8", "-k")
        self.postgres(0)
        self.wait(0, "select 1", "1")
        backups = [subprocess.Popen([*self.prefix, str(self.bin / "pg_basebackup"), "-D", self.data(i), "-h", str(self.pg), "-p",
                                     str(self.ports[0]), "-U", "postgres", "-X", "stream", "-c", "fast", "-R", "--no-sync"],
                                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/") for i in (1, 2)]
        for i, backup in zip((1, 2), backups):
            assert backup.wait() == 0
            self.postgres(i)
        self.wait(0, "select count(*) from pg_stat_replication where state = 'streaming'", "2")
        self.wait_etcd(etcd)
        return time.monotonic() - began

    def warm(self):
        began = time.monotonic()
        etcd = self.etcd()
        for i in range(3):
            self.postgres(i)
        for i in range(3):
            self.wait(i, "select 1", "1")
        self.wait_etcd(etcd)
        return time.monotonic() - began

    def stop(self):
        began = time.monotonic()
        for process in self.processes:
            process.send_signal(signal.SIGINT)
        for process in self.processes:
            process.wait()
        self.processes = []
        return time.monotonic() - began

    def close(self):
        self.stop()
        shutil.rmtree(self.root)


def call_time(words, env, runs):
    times = []
    for _ in range(runs):
        began = time.monotonic()
        subprocess.run(words, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        times.append(time.monotonic() - began)
    return statistics.median(times) * 1000


def memory(pid):
    values = {}
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, amount = line.split(":")
        values[name] = int(amount.split()[0])
    return values


def cpu_ticks(pids):
    total = 0
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total


def timed(action):
    began = time.monotonic()
    action()
    return time.monotonic() - began


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--idle-seconds", type=float, default=20)
    options = parser.parse_args()
    cold, warm, down, cold_floor, warm_floor, down_floor = [], [], [], [], [], []
    for _ in range(options.rounds):
        floor = Floor()
        cold_floor.append(floor.cold())
        floor.stop()
        warm_floor.append(floor.warm())
        down_floor.append(floor.stop())
        floor.close()
        with Sandbox("bench") as s:
            s.run("agent", "start")
            cold.append(timed(lambda: s.run("up")))
            down.append(timed(lambda: s.run("down")))
            warm.append(timed(lambda: s.run("up")))
    median = statistics.median
    row("up, cold", median(cold), median(cold_floor), "s", "at most 2.0 x, aim 1.4 x")
    row("up, warm", median(warm), median(warm_floor), "s", "at most 1.2 s, aim 0.8 s")
    row("down", median(down), median(down_floor), "s", "at most 1.0 s")
    with Sandbox("bench") as s:
        s.run("up")
        true = call_time(["/bin/true"], s.env, 50)
        row("status, whole process", call_time([CLI, "status", "--json"], s.env, 50), true, "ms", "at most 30 ms, aim 20 ms")
        row("--help", call_time([CLI, "--help"], s.env, 50), true, "ms", "at most 8 ms")
        row("up on a running cluster", call_time([CLI, "up"], s.env, 10), true, "ms", "at most 150 ms")
        agent = s.agent_pid()
        usage = memory(agent)
        row("agent, PSS", usage["Pss"] / 1024, 0, "MB", "at most 18 MB, aim 14 MB")
        row("agent, anonymous", usage["Anonymous"] / 1024, 0, "MB", "at most 8 MB")
        shims = [p for p in s.processes() if os.readlink(f"/proc/{p}/exe").endswith("multigres-shim")]
        private = max((lambda m: m["Private_Clean"] + m["Private_Dirty"])(memory(p)) for p in shims)
        row("largest shim, private", private / 1024, 0, "MB", "at most 0.3 MB")
        watched = [agent, *shims]
        before, began = cpu_ticks(watched), time.monotonic()
        time.sleep(options.idle_seconds)  # the measurement itself: what idling costs in this time
        spent = (cpu_ticks(watched) - before) / os.sysconf("SC_CLK_TCK")
        row("agent and shims, idle CPU", 100 * spent / (time.monotonic() - began), 0, "%", "under 0.2 % of a core")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""What a gateway's statistics of queries cost: pgbench -S through two gateways of one cluster, alike but for --query-metrics-memory,
in turns. The figure is the ratio of transactions a second in the same run, for the simple and the prepared protocol. Where other
programs run as well that ratio says little; what a transaction costs the gateway in processor time says more."""

import argparse
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
from harness import Sandbox, eventually  # noqa: E402


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def second_gateway(s, memory):
    """Another gateway of zone1, with the command line of the first one but for its own ports, name and statistics."""
    first = s.component("multigateway/zone1")
    words = pathlib.Path("/proc", str(first["pid"]), "cmdline").read_bytes().decode().split("\0")[:-1]
    port = free_port()
    own = {"http-port": free_port(), "grpc-port": free_port(), "pg-port": port, "pg-replica-port": free_port()}
    for flag, value in own.items():
        words[words.index(f"--{flag}") + 1] = str(value)
    words += ["--service-id", f"bench{memory}", "--query-metrics-memory", str(memory)]
    process = subprocess.Popen(words, env=s.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return process, port


def tps(pgbench, port, env, mode, clients, seconds):
    words = [pgbench, "-S", "-n", "-M", mode, "-c", str(clients), "-T", str(seconds), "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "postgres"]
    result = subprocess.run(words, env=env, capture_output=True, text=True, timeout=seconds + 60)
    for line in result.stdout.splitlines():
        if line.startswith("tps = "):
            return float(line.split()[2])
    sys.exit(f"pgbench: {result.stdout}{result.stderr}")


def cpu_seconds(pid):
    fields = pathlib.Path("/proc", str(pid), "stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--seconds", type=int, default=3)
    arguments.add_argument("--clients", type=int, default=4)
    a = arguments.parse_args()
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/pgbench")) or [shutil.which("pgbench")]
    pgbench = str(found[-1])
    with Sandbox("stats-bench") as s:
        s.run("up", "--cells", "1")
        env = {**s.env, "PGPASSWORD": "postgres"}
        gateways = {}
        processes = []
        try:
            for name, memory in (("on", 8 << 20), ("off", 0)):
                process, gateways[name] = second_gateway(s, memory)
                processes.append(process)

            def answers(port):
                return subprocess.run(["psql", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "-Atc", "select 1", "postgres"],
                                      env=env, capture_output=True, text=True, timeout=30).stdout == "1\n"
            for port in gateways.values():
                eventually(lambda: answers(port), 20, "a gateway answers")
            subprocess.run([pgbench, "-i", "-q", "-s", "1", "-h", "127.0.0.1", "-p", str(gateways["off"]), "-U", "postgres", "postgres"],
                           env=env, check=True, capture_output=True)
            for mode in ("simple", "prepared"):
                measured, spent = {"on": [], "off": []}, {"on": [], "off": []}
                pids = dict(zip(("on", "off"), (process.pid for process in processes)))
                for turn in range(a.rounds):
                    for name in ("on", "off") if turn % 2 == 0 else ("off", "on"):
                        before = cpu_seconds(pids[name])
                        measured[name].append(tps(pgbench, gateways[name], env, mode, a.clients, a.seconds))
                        spent[name].append((cpu_seconds(pids[name]) - before) / (measured[name][-1] * a.seconds) * 1e6)
                # Pairs of one round saw the same machine.
                ratio = statistics.median(on / off for on, off in zip(measured["on"], measured["off"]))
                print(f"pgbench -S -M {mode:9} on {statistics.median(measured['on']):9.0f} tps  off {statistics.median(measured['off']):9.0f} tps"
                      f"  ratio {ratio:.3f}   at least 0.97", flush=True)
                print(f"  the gateway's processor time    on {statistics.median(spent['on']):9.1f} us   off {statistics.median(spent['off']):9.1f} us"
                      "   a transaction", flush=True)
        finally:
            for process in processes:
                process.send_signal(signal.SIGTERM)
                process.wait(10)
        s.run("down", "--clean", "--yes")


if __name__ == "__main__":
    os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
    main()

#!/usr/bin/env python3
"""What supervision costs: a thousand supervised processes, and how soon a killed one runs again, beside runit where it is installed
(Debian: runit). Each figure with its bound."""

import argparse
import os
import pathlib
import shutil
import statistics
import signal
import subprocess
import sys
import tempfile
import time

BUILD = pathlib.Path(os.environ.get("MULTIGRES_BUILD_DIR", "build")).resolve()


def row(what, measured, unit, limit):
    print(f"{what:44} {measured:10.3f} {unit:4} {limit}", flush=True)


def supervised(count, kills, idle):
    root = tempfile.mkdtemp(prefix="mg-bench-", dir="/tmp")
    try:
        result = subprocess.run([BUILD / "tests" / "bench-supervised", BUILD / "libexec" / "multigres" / "multigres-shim", root, str(count),
                                 str(kills), str(idle)], capture_output=True, text=True, timeout=600)
        if result.returncode != 0:
            sys.exit(f"bench-supervised failed: {result.stdout}{result.stderr}")
        return {key: float(value) for key, value in (pair.split("=") for pair in result.stdout.split())}
    finally:
        shutil.rmtree(root)


def runit(kills):
    """Median time from a SIGKILL until runsv runs the service again."""
    root = pathlib.Path(tempfile.mkdtemp(prefix="mg-bench-", dir="/tmp"))
    services, times = [], []
    try:
        for i in range(kills):
            directory = root / str(i)
            directory.mkdir()
            (directory / "run").write_text("#!/bin/sh\nexec sleep 100000\n")
            (directory / "run").chmod(0o755)
            services.append((subprocess.Popen(["runsv", directory], stdout=subprocess.DEVNULL), directory / "supervise" / "pid"))

        def pid_of(file):
            while True:
                try:
                    text = file.read_text()
                    if text.strip():
                        return int(text)
                except FileNotFoundError:
                    pass
                time.sleep(0.0005)

        pids = [pid_of(file) for _, file in services]
        time.sleep(2)  # runsv holds back a service that ended within its first second
        for pid, (_, file) in zip(pids, services):
            began = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            while pid_of(file) == pid:
                time.sleep(0.0005)
            times.append((time.monotonic() - began) * 1000)
    finally:
        for process, _ in services:
            process.send_signal(signal.SIGTERM)  # ends the service, too
        for process, _ in services:
            process.wait()
        shutil.rmtree(root)
    return statistics.median(times)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--idle-seconds", type=int, default=10)
    options = parser.parse_args()
    found = supervised(options.count, options.kills, options.idle_seconds)
    name = f"{options.count} sleeps"
    row(f"{name}: start, each", found["start_ms"], "ms", "at most 5 ms")
    row(f"{name}: look at all of them", found["status_ms"], "ms", "at most 60 ms")
    row(f"{name}: supervisor, idle CPU", found["idle_percent"], "%", "at most 0.1 %")
    row(f"{name}: supervisor, PSS", found["pss_kb"] / 1024, "MB", "at most 30 MB, with the rest of the agent")
    row(f"{name}: one shim, private", found["shim_private_kb"] / 1024, "MB", "at most 0.3 MB")
    row("restart after SIGKILL, median", found["restart_ms"], "ms", "at most 20 ms")
    if shutil.which("runsv"):
        row("the same with runit", runit(options.kills), "ms", "for comparison")
    else:
        print("runit not installed")


if __name__ == "__main__":
    main()

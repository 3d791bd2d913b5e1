#!/usr/bin/env python3
"""Measures the Admin API of a running three-cell cluster: GetPoolers a second beside gRPC's own health check in the same process (the
floor of any call), what the agent's forwarding adds to one call, and multiadmin's memory."""

import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
from harness import Sandbox  # noqa: E402

LOAD = pathlib.Path(os.environ.get("MULTIGRES_BUILD_DIR", "build")) / "tests" / "bench-admin"
POOLERS = "/multiadmin.MultiadminService/GetPoolers"
CELLS = "/multiadmin.MultiadminService/GetCellNames"
HEALTH = "/grpc.health.v1.Health/Check"


def load(target, method, token, seconds=3, outstanding=16):
    out = subprocess.run([LOAD, target, method, token, str(seconds), str(outstanding)], check=True, capture_output=True, text=True)
    rate, median = out.stdout.split()
    return float(rate), float(median)


def pss(pid):
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no Pss")


def main():
    with Sandbox("admin") as sandbox:
        sandbox.run("up")
        status = json.loads(sandbox.run("status", "--json").stdout)
        admin = next(c for c in status["components"] if c["kind"] == "multiadmin")
        token = str(pathlib.Path(status["rootDirectory"]) / "admin-token")
        socket = "unix:" + json.loads(sandbox.run("agent", "status", "--json").stdout)["info"]["socket"]
        direct = f"127.0.0.1:{admin['ports']['grpc']}"
        def cpu():
            fields = pathlib.Path("/proc", str(admin["pid"]), "stat").read_text().rsplit(")", 1)[1].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        rates = sorted((load(direct, HEALTH, "-")[0], load(direct, POOLERS, token)[0]) for _ in range(3))
        floor, rate = rates[1]
        print(f"GetPoolers a second               {rate:10.0f}      floor {floor:8.0f} {rate / floor:6.2f} x   at least 5000", flush=True)
        # Whatever else runs on the machine, this is what a call costs multiadmin; two processors have 2,000,000 us a second.
        before = cpu()
        calls = load(direct, POOLERS, token)[0] * 3
        print(f"GetPoolers, multiadmin's processor time {(cpu() - before) / calls * 1e6:5.0f} us a call", flush=True)
        pairs = sorted(load(socket, CELLS, "-", 2, 1)[1] - load(direct, CELLS, token, 2, 1)[1] for _ in range(3))
        print(f"forwarding by the agent, one call {pairs[1] / 1000:10.3f} ms                             at most 1", flush=True)
        print(f"multiadmin, PSS                   {pss(admin['pid']):10.1f} MB                             at most 25", flush=True)
        return 0 if rate >= 5000 and pairs[1] < 1000 and pss(admin["pid"]) <= 25 else 1


if __name__ == "__main__":
    sys.exit(main())

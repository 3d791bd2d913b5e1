#!/usr/bin/env python3
"""What the CLI's questions to the Admin API cost a person, whole process, through the agent, beside /bin/true started the same way:
cells, completion of a cell's name, and the tree of a topology of 3 cells x 50 databases, whose poolers one program plays."""

import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
from bench import call_time, row  # noqa: E402
from harness import BUILD, CLI, Sandbox, eventually  # noqa: E402

DATABASES = 50


def main():
    with Sandbox("bench-admin") as s:
        s.run("up", "--cells", "3")
        true = call_time(["/bin/true"], s.env, 50)
        row("topology cell list", call_time([CLI, "topology", "cell", "list"], s.env, 50), true, "ms", "at most 30 ms")
        row("completion of a cell's name", call_time([CLI, "__complete", "--", "cell", "get", ""], s.env, 50), true, "ms", "at most 30 ms")
        row("completion of a component", call_time([CLI, "__complete", "--", "why", ""], s.env, 50), true, "ms", "at most 30 ms")
        # Gateways and orchs would go on asking poolers that are none.
        for cell in ("zone1", "zone2", "zone3"):
            s.run("cluster", "stop", f"multigateway/{cell}", f"multiorch/{cell}")
        etcd = s.component("etcd")["ports"]
        address = f"127.0.0.1:{etcd.get('client', next(iter(etcd.values())))}"
        played = subprocess.Popen([str(BUILD / "tests" / "bench-poolers"), address, "/multigres/global", "zone1,zone2,zone3", str(DATABASES)],
                                  env=s.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            assert played.stdout.readline() == "ready\n"
            eventually(lambda: len(s.json("topology", "tree")["databases"]) == DATABASES + 1, 20, "all databases in the tree")
            poolers = [p for d in s.json("topology", "tree")["databases"] for h in d["shards"] for p in h["poolers"]]
            assert len(poolers) == 3 * (DATABASES + 1) and not any(p["error"] for p in poolers), poolers
            row(f"topology tree, {len(poolers)} poolers", call_time([CLI, "topology", "tree"], s.env, 30), true, "ms", "at most 150 ms")
        finally:
            played.stdin.close()
            played.wait()


if __name__ == "__main__":
    main()

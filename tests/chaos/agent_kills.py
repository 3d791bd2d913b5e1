#!/usr/bin/env python3
"""Kills the agent (SIGKILL) at random moments of start, steady state and stop, with commands and faults in between. After each kill
the next command's agent must find everything: the same processes where nothing was under way, never a second copy of a component, no
component without its shim; and at the end the cluster must serve, and go without a trace. Everything random comes from one seed."""

import argparse
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
from harness import CLI, Failure, Sandbox, alive, eventually  # noqa: E402

COMPONENTS = ["etcd", "multiadmin", "pgctld/zone1", "multipooler/zone1", "multiorch/zone1", "multigateway/zone1"]


def agents(s):
    return [p for p in s.processes() if exe(p).endswith("multigres-agent")]


def exe(pid):
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return ""


def parent(pid):
    try:
        return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    except OSError:
        return 0


def kill_agent(s):
    killed = agents(s)
    for pid in killed:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    eventually(lambda: not any(alive_quiet(p) for p in killed), what="the agent is gone")


def alive_quiet(pid):
    try:
        return alive(pid)
    except OSError:
        return False


def check_copies(s):
    """At most one shim for each run directory, and no component's process beside its shim's own child."""
    seen = {}
    for pid in s.processes():
        try:
            environment = pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            continue
        name = next((e[20:].decode() for e in environment if e.startswith(b"MULTIGRES_COMPONENT=")), None)
        above = parent(pid)
        if name is None or exe(pid).endswith("multigres-shim") or not exe(above).endswith("multigres-shim"):
            continue
        if alive_quiet(pid):
            seen.setdefault(name, []).append(pid)
    twice = {name: pids for name, pids in seen.items() if len(pids) > 1}
    assert not twice, f"two copies: {twice}"


def check_orphans(s):
    """A component's process whose parent is init has lost its shim."""
    lost = [p for p in s.processes() if parent(p) == 1 and not exe(p).endswith(("multigres-shim", "multigres-agent", "multigres"))]
    lost = [p for p in lost if alive_quiet(p)]
    assert not lost, f"without a shim: {[(p, exe(p)) for p in lost]}"


def background(s, *words):
    return subprocess.Popen([CLI, *words], cwd=s.work, env=s.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)


def steady(s, rng):
    before = s.pids()
    kill_agent(s)
    after = s.pids()
    assert before == after, f"processes changed: {before} -> {after}"
    return "steady"


def during_command(s, rng):
    words = rng.choice([["up"], ["restart", rng.choice(COMPONENTS[1:])], ["cluster", "stop", rng.choice(COMPONENTS[1:])],
                        ["cluster", "start", rng.choice(COMPONENTS[1:])], ["status"], ["cluster", "signal", "multiadmin", "-s", "TERM"]])
    process = background(s, *words)
    time.sleep(rng.uniform(0, 0.4))  # the moment of the kill is what this test varies
    kill_agent(s)
    process.wait(timeout=60)
    return " ".join(words)


def during_down_and_up(s, rng):
    process = background(s, "down")
    time.sleep(rng.uniform(0, 0.5))
    kill_agent(s)
    process.wait(timeout=60)
    s.run("status", check=False)  # its agent finishes what was under way
    process = background(s, "up", "--cells", "1")
    time.sleep(rng.uniform(0, 1.0))
    kill_agent(s)
    process.wait(timeout=60)
    return "down and up"


def with_a_dead_component(s, rng):
    name = rng.choice(COMPONENTS)
    pid = s.component(name)["pid"]
    kill_agent(s)
    if pid:
        os.kill(pid, signal.SIGKILL)
    return f"{name} killed too"


def with_a_dead_shim(s, rng):
    name = rng.choice(COMPONENTS)
    pid = s.component(name)["pid"]
    kill_agent(s)
    if pid and exe(parent(pid)).endswith("multigres-shim"):
        os.kill(parent(pid), signal.SIGKILL)
        eventually(lambda: not alive_quiet(pid), what="a component ends with its shim")
    return f"the shim of {name} killed too"


def broken_state_file(s, rng):
    """A truncated or missing file of a run directory: what runs is looked at instead."""
    name = rng.choice(COMPONENTS)
    before = s.pids()
    root = pathlib.Path(s.status()["rootDirectory"])
    kill_agent(s)
    which = rng.choice(["identity", "exit", "launch"])
    file = root / "run" / name / which
    if file.exists():
        data = file.read_bytes()
        rng.choice([lambda: file.unlink(), lambda: file.write_bytes(data[: len(data) // 2]), lambda: file.write_bytes(b"\0" * 64)])()
    after = s.pids()
    assert before == after, f"{which} of {name} was broken, and processes changed: {before} -> {after}"
    return f"{which} of {name} broken"


def bring_up(s):
    """An agent may still be finishing what the killed one had begun, and says that it is busy."""
    def done():
        result = s.run("up", check=False, timeout=90)
        if result.returncode != 0 and "is under way" not in result.stderr:
            raise Failure(f"up exited {result.returncode}\n{result.stderr}")
        return result.returncode == 0
    eventually(done, seconds=60, what="up")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=int(os.environ.get("MG_CHAOS_SEED", random.randrange(1 << 30))))
    options = parser.parse_args()
    rng = random.Random(options.seed)
    print(f"seed {options.seed}: MG_CHAOS_SEED={options.seed} repeats this run", flush=True)
    acts = [steady, steady, during_command, during_command, during_down_and_up, with_a_dead_component, with_a_dead_shim, broken_state_file]
    with Sandbox("chaos") as s:
        s.run("up", "--cells", "1")
        for i in range(options.kills):
            act = rng.choice(acts)
            if act in (steady, broken_state_file):
                # Nothing may be under way for "the same pids": the state that is wanted is reached first.
                bring_up(s)
                s.run("wait", "--timeout", "60s")
            try:
                what = act(s, rng)
            except AssertionError:
                print(f"{i + 1}: {act.__name__}", flush=True)
                raise
            s.run("status", check=False)
            check_copies(s)
            check_orphans(s)
            s.remember()
            print(f"{i + 1:4} {what}", flush=True)
            if i % 5 == 4:
                bring_up(s)
                assert s.sql("select 1") == "1"
        bring_up(s)
        s.run("wait", "--timeout", "30s")
        assert s.sql("select 1") == "1"
        check_copies(s)
        s.run("down", "--clean", "--yes")
        s.run("agent", "stop")
        if s.processes():
            raise Failure(f"left behind: {s.processes()}")
    print(f"{options.kills} kills survived")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Readers that follow logs, with real processes: over the agent's restarts and deaths, at its stop, and stopped themselves."""

import json
import os
import pathlib
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "chaos"))
from agent_kills import kill_agent  # noqa: E402
from harness import Failure, Sandbox, eventually, main  # noqa: E402
from log_lines import TOOL, Follower, check, number_of  # noqa: E402

NAME = "multiadmin"
UNAVAILABLE = 6


def cluster(s, lines, pause_us):
    """A small one, whose component writes numbered lines after each `go`; the cursor behind what it has written so far."""
    go = s.root / "go"
    s.wrap(NAME, f"if rm '{go}' 2>/dev/null; then '{TOOL}' source lines {lines} {pause_us}; fi")
    (s.work / "multigres.yaml").write_text("cells: 1\n")
    s.run("up")
    return json.loads(s.run("logs", NAME, "--tail", "1", "--json").stdout)["cursor"]


def write_lines(s):
    (s.root / "go").touch()
    s.run("cluster", "signal", NAME, "-s", "TERM")


def agent_runs(s):
    return s.json("agent", "status", check=False)["running"]


def ended(process, seconds):
    _, errors = process.communicate(timeout=seconds)
    if process.returncode != UNAVAILABLE or "the agent was stopped" not in errors:
        raise Failure(f"the follower exited {process.returncode}: {errors}")


def follow(s, *words):
    process = subprocess.Popen([s.cli, "logs", NAME, "--watch", "--tail", "1", *words], cwd=s.work, env=s.env, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline()  # it has what there is, and waits
    return process


def test_followers_and_the_agents_ends():
    count = 200000
    with Sandbox("logs-agent") as s:
        follower = Follower(s, cluster(s, count, 10000))
        write_lines(s)
        for part, end in ((0.2, lambda: s.run("agent", "restart")), (0.5, lambda: kill_agent(s)), (0.8, lambda: s.run("agent", "restart"))):
            eventually(lambda: follower.last() >= part * count, seconds=60, what=f"{part:.0%} of the lines")
            end()
        eventually(lambda: follower.last() >= count, seconds=60, what="the follower has all lines")
        check("the follower", follower.numbers, count)
        follower.end()
        # Who stops the agent means it: nobody starts it again, and each follower says so.
        waiting, stuck = follow(s), follow(s, "--json")
        stuck.send_signal(signal.SIGSTOP)
        s.run("agent", "stop")
        ended(waiting, 5)
        stuck.send_signal(signal.SIGCONT)
        ended(stuck, 15)
        assert not agent_runs(s)
        s.run("status")


def memory_of(pid):
    lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def test_a_stopped_reader_is_told_what_it_missed():
    count = 200000
    with Sandbox("logs-stopped") as s:
        cursor = cluster(s, count, 10000)  # for some seconds, which are much more than the reader's patience
        agent = s.agent_pid()
        output = s.root / "output"
        with output.open("w") as out:
            reader = subprocess.Popen([s.cli, "logs", NAME, "--watch", "--json", "--patience", "200ms", "--cursor", cursor], cwd=s.work,
                                      env=s.env, stdin=subprocess.DEVNULL, stdout=out)
        write_lines(s)
        eventually(lambda: output.stat().st_size > 0, what="the reader reads")
        reader.send_signal(signal.SIGSTOP)
        before = memory_of(agent)
        # Another reader, and the files, have all of it meanwhile: nobody waits for the stopped one.
        def last():
            return number_of(s.run("logs", NAME, "--stream", "out", "--grep", "^[0-9]+ [.]{4}", "--tail", "1", "--no-prefix").stdout)
        eventually(lambda: last() == count, seconds=60, what="all lines are in the files")
        eventually(lambda: s.component(NAME)["state"] in ("running", "ready"), what="the component goes on")
        grown = memory_of(agent) - before
        if grown > 6:
            raise Failure(f"the agent grew by {grown:.1f} MB")
        reader.send_signal(signal.SIGCONT)

        # Each record comes, or is among those that one of the agent's own counts.
        total = len(s.run("logs", NAME, "--cursor", cursor, "--no-prefix").stdout.splitlines())

        def told():
            lines = [line for line in output.read_bytes().splitlines(True) if line.endswith(b"\n")]
            gaps = [json.loads(line) for line in lines if b'"component":"multigres"' in line]
            return len(lines) - len(gaps), sum(int(gap["fields"]["dropped"]) for gap in gaps)

        eventually(lambda: sum(told()) >= total, seconds=60, what="the reader has or knows of all records")
        reader.terminate()
        reader.wait()
        seen, missed = told()
        print(f"of {total} records the reader got {seen} and was told of {missed}; the agent grew by {grown:.1f} MB")
        records = [json.loads(line) for line in output.read_text().splitlines(True) if line.endswith("\n")]
        numbers = [n for n in (number_of(r["message"]) for r in records) if n is not None]
        assert numbers == sorted(set(numbers)), "a line came twice, or out of order"
        assert missed > 0 and seen + missed == total


if __name__ == "__main__":
    main([test_followers_and_the_agents_ends, test_a_stopped_reader_is_told_what_it_missed])

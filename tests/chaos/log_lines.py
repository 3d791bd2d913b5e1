#!/usr/bin/env python3
"""A component prints numbered lines, as fast as it can, and exits at once after them; the agent is killed (SIGKILL) twice meanwhile,
and the log is rotated and compressed several times. Each line must be there once and in order: in the files, for a reader that follows
across the agent's deaths, and for one that is killed itself and goes on by the cursor of the last line that it got."""

import argparse
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from agent_kills import agents, kill_agent  # noqa: E402
from harness import BUILD, Failure, Sandbox, eventually  # noqa: E402

TOOL = BUILD / "tests" / "bench-logging"
NAME = "multiadmin"


def number_of(line):
    """Of a line that the tool wrote; None for one of the component proper."""
    head, _, rest = line.partition(" ")
    return int(head) if head.isdigit() and rest.startswith("....") else None


def check(what, numbers, count):
    if numbers == list(range(1, count + 1)):
        return
    for i, number in enumerate(numbers):
        if number != i + 1:
            raise Failure(f"{what}: {number} stands where {i + 1} was expected ({len(numbers)} lines of {count})")
    raise Failure(f"{what}: ends with {numbers[-1] if numbers else 'nothing'} instead of {count}")


class Follower:
    """Reads `logs --watch` as text."""

    def __init__(self, s, cursor):
        self.numbers = []
        self.process = subprocess.Popen([s.cli, "logs", NAME, "--watch", "--cursor", cursor, "--no-prefix"], cwd=s.work, env=s.env,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        for line in self.process.stdout:
            number = number_of(line)
            if number is not None:
                self.numbers.append(number)

    def last(self):
        if self.process.poll() is not None:
            raise Failure(f"the follower ended: {self.process.stderr.read()}")
        return self.numbers[-1] if self.numbers else 0

    def end(self):
        self.process.terminate()
        self.process.wait()
        self.thread.join()
        self.process.stdout.close()
        self.process.stderr.close()


class Resumer:
    """Reads `logs --watch --json` and is killed after each so many lines; the next one goes on behind the last whole line."""

    def __init__(self, s, cursor, count, lives):
        self.numbers = []
        self.problem = None
        self.s, self.cursor, self.count, self.lives = s, cursor, count, lives
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        try:
            while not self.numbers or self.numbers[-1] < self.count:
                self.live(min(len(self.numbers) + self.count // self.lives, self.count))
        except Exception as problem:  # told by the main thread
            self.problem = problem

    def live(self, until):
        process = subprocess.Popen([self.s.cli, "logs", NAME, "--watch", "--cursor", self.cursor, "--json"], cwd=self.s.work, env=self.s.env,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        for line in process.stdout:
            if not line.endswith("\n"):
                break  # cut off by the kill
            record = json.loads(line)
            self.cursor = record["cursor"]
            number = number_of(record["message"])
            if number is not None:
                self.numbers.append(number)
                if number >= until:
                    process.kill()
                    break
        process.kill()
        process.wait()
        process.stdout.close()


def rotated(s):
    directory = pathlib.Path(s.status()["rootDirectory"]) / "logs" / NAME
    return [f.name for f in directory.iterdir() if f.name[0].isdigit()]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lines", type=int, default=1000000)
    parser.add_argument("--file-size-mb", type=int, default=16)
    parser.add_argument("--pause-us", type=int, default=3000, help="after each thousand lines, so that the kills come in their midst")
    options = parser.parse_args()
    count = options.lines
    with Sandbox("loglines") as s:
        go = s.root / "go"
        s.wrap(NAME, f"if rm '{go}' 2>/dev/null; then exec '{TOOL}' source lines {count} {options.pause_us}; fi")
        (s.work / "multigres.yaml").write_text(f"cells: 1\nlogs:\n  file-size-mb: {options.file_size_mb}\n  files: 40\n")
        s.run("up")
        last = s.run("logs", NAME, "--tail", "1", "--json").stdout
        cursor = json.loads(last)["cursor"]
        follower, resumer = Follower(s, cursor), Resumer(s, cursor, count, 5)
        go.touch()
        s.run("cluster", "signal", NAME, "-s", "TERM")
        for part in (0.2, 0.6):
            eventually(lambda: follower.last() >= part * count, seconds=120, what=f"{part:.0%} of the lines")
            killed = agents(s)
            kill_agent(s)
            print(f"killed the agent {killed} at line {follower.last()} of {count}", flush=True)
        eventually(lambda: follower.last() >= count, seconds=120, what="the follower has all lines")
        follower.end()
        check("the follower", follower.numbers, count)
        resumer.thread.join(timeout=180)
        if resumer.problem or resumer.thread.is_alive():
            raise Failure(f"the resumed reader: {resumer.problem or 'hangs'}, {len(resumer.numbers)} lines")
        check("the resumed reader", resumer.numbers, count)
        s.run("wait", "--timeout", "60s")
        eventually(lambda: not [n for n in rotated(s) if n.endswith(".log")], seconds=60, what="rotated files are compressed")
        files = rotated(s)
        if len(files) < 3:
            raise Failure(f"only {len(files)} rotations")
        text = s.run("logs", NAME, "--no-prefix").stdout
        check("the files", [n for n in map(number_of, text.splitlines()) if n is not None], count)
        previous = s.run("logs", NAME, "--previous", "--no-prefix").stdout
        check("the previous run", [n for n in map(number_of, previous.splitlines()) if n is not None], count)
        s.run("down", "--clean", "--yes")
    print(f"{count} lines, once and in order, over {len(files)} rotations and two deaths of the agent")


if __name__ == "__main__":
    main()

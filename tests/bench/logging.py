#!/usr/bin/env python3
"""What logs cost, each figure beside its floor or a peer in the same run: capture by a shim beside the same writer with a plain file
(and beside s6-log and svlogd where they are installed; Debian: s6, runit), reading beside cat, following, seeking in a large log, and
the agent's memory before and after many lines."""

import argparse
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
from harness import BUILD, Sandbox, eventually  # noqa: E402

TOOL = str(BUILD / "tests" / "bench-logging")
SHIM = str(BUILD / "libexec" / "multigres" / "multigres-shim")
NAME = "multiadmin"


def row(what, measured, unit, floor=None, ratio=None, limit=""):
    floor_text = f"floor {floor:9.2f}" if floor is not None else " " * 15
    ratio_text = f"{ratio:6.2f} x" if ratio is not None else " " * 8
    print(f"{what:52} {measured:9.2f} {unit:5} {floor_text} {ratio_text}   {limit}", flush=True)


def tool(*words):
    result = subprocess.run([TOOL, *map(str, words)], stdout=subprocess.PIPE, text=True, timeout=600)
    if result.returncode != 0:
        sys.exit(f"bench-logging {' '.join(map(str, words))} failed")
    return [float(word) for word in result.stdout.split()]


def capture(mode, count, rounds, limit):
    """Rates of the writer, in MB of its text a second: what a component feels; until all is in the log, too."""
    plain, felt, whole, peers = [], [], [], {}
    loggers = {"s6-log": lambda d: ["s6-log", "-b", "t", "s16777215", "n8", d], "svlogd": lambda d: ["svlogd", "-tt", d]}
    for _ in range(rounds):
        root = pathlib.Path(tempfile.mkdtemp(prefix="mg-bench-", dir="/tmp"))
        try:
            plain.append(tool("plain", root / "plain", mode, count)[0])
            (root / "plain").unlink()
            process, until_log = tool("capture", SHIM, root / "shim", mode, count)
            felt.append(process)
            whole.append(until_log)
            shutil.rmtree(root / "shim")
            for name, words in loggers.items():
                if shutil.which(name):
                    (root / name).mkdir()
                    peers.setdefault(name, []).append(tool("pipe", mode, count, *words(str(root / name)))[0])
        finally:
            shutil.rmtree(root)
    mega = count * 100 / 1e6
    median = statistics.median
    ratio = median(p / w for p, w in zip(plain, felt))
    what = "capture, one write a line" if mode == "lines" else "capture, 4 kB writes"
    row(f"{what}, as the writer feels it", mega / median(felt), "MB/s", mega / median(plain), ratio, limit)
    row("  until the last line is in the log", mega / median(whole), "MB/s", mega / median(plain),
        median(p / w for p, w in zip(plain, whole)))
    for name, times in peers.items():
        row(f"  the same with {name}", mega / median(times), "MB/s", mega / median(plain), median(p / t for p, t in zip(plain, times)))


def timed(words, s, **more):
    began = time.monotonic()
    subprocess.run(words, env=s.env, cwd=s.work, stdin=subprocess.DEVNULL, check=True, **more)
    return time.monotonic() - began


def reading(s, size_mb, rounds):
    """A large log of a component that does not run."""
    directory = pathlib.Path(s.status()["rootDirectory"]) / "logs" / NAME
    for old in directory.glob("*.log*"):
        old.unlink()
    log = directory / "current.log"
    tool("file", log, size_mb << 20)
    null = {"stdout": subprocess.DEVNULL}
    first = log.open().readline()
    lines = log.stat().st_size // len(first)
    text_mb = (log.stat().st_size - 40 * lines) / 1e6  # without the time and ` stdout F `
    timed(["cat", str(log)], s, **null)
    # What comes out, of each form; the floor is to copy as much through a Unix socket.
    median = statistics.median
    for what, words in (("text", []), ("full times, --utc", ["--utc"]), ("--no-prefix", ["--no-prefix"])):
        size = int(subprocess.run(["sh", "-c", f"'{s.cli}' logs {NAME} {' '.join(words)} | wc -c"], env=s.env, cwd=s.work, stdout=subprocess.PIPE,
                                  check=True).stdout)
        floor, ours, pipe = [], [], []
        for _ in range(rounds):
            floor.append(tool("socket", size)[0])
            ours.append(timed([s.cli, "logs", NAME, *words], s, **null))
            pipe.append(timed(["sh", "-c", f"cat '{log}' | cat > /dev/null"], s))
        row(f"agent to CLI, {size_mb} MB log, {what}", text_mb / median(ours), "MB/s", text_mb / median(floor),
            median(f / o for f, o in zip(floor, ours)), f"at least 400 MB/s; {size / 1e6 / median(ours):.0f} MB/s with times and names, "
            f"cat | cat of the file {log.stat().st_size / 1e6 / median(pipe):.0f} MB/s")
    grep = median(timed([s.cli, "logs", NAME, "--grep", "^12345678 "], s, **null) for _ in range(rounds))
    peer = median(timed(["sh", "-c", f"grep -cE '^.{{40}}12345678 ' '{log}' || true"], s, **null) for _ in range(rounds))
    row("  --grep over all of it", text_mb / grep, "MB/s", text_mb / peer, peer / grep, "beside grep on the file")
    true = median(timed(["/bin/true"], s) for _ in range(20)) * 1000
    with log.open("rb") as file:
        file.seek(log.stat().st_size * 2 // 3)
        file.readline()
        when = file.readline()[:30].decode()
    seek, tail = [], []
    for _ in range(15):
        seek.append(timed([s.cli, "logs", NAME, "--since", when, "--until", when[:26] + "999Z"], s, **null) * 1000)
        tail.append(timed([s.cli, "logs", NAME, "--tail", "10"], s, **null) * 1000)
    found = subprocess.run([s.cli, "logs", NAME, "--since", when, "--until", when[:26] + "999Z"], env=s.env, cwd=s.work, capture_output=True)
    assert found.stdout.count(b"\n") == 1, found
    row(f"--since in {size_mb} MB, whole process", median(seek), "ms", true, median(seek) / true, "at most 30 ms; the floor is /bin/true")
    row(f"--tail 10 of {size_mb} MB, whole process", median(tail), "ms", true, median(tail) / true, "at most 30 ms")
    # The same as compressed files of 16 MB.
    data = log.open("rb")
    log.unlink()
    number = 0
    while chunk := data.read(16 << 20):
        chunk += data.readline()
        (directory / f"{chunk[:10].decode().replace('-', '')}T{chunk[11:19].decode().replace(':', '')}.{number:09}Z.log").write_bytes(chunk)
        number += 1
    data.close()
    log.write_text("")
    began = time.monotonic()
    s.run("agent", "restart")
    eventually(lambda: not [f for f in directory.iterdir() if f.name.endswith("Z.log")], seconds=300, what="all are compressed")
    packed = sum(f.stat().st_size for f in directory.glob("*.zst")) / 1e6
    row("compressing it, in the background", text_mb / (time.monotonic() - began), "MB/s")
    row("  to", packed, "MB", size_mb * 1.048576, packed / (size_mb * 1.048576))
    row("  agent to CLI", text_mb / median(timed([s.cli, "logs", NAME], s, **null) for _ in range(rounds)), "MB/s")
    row("  --since", median(timed([s.cli, "logs", NAME, "--since", when, "--until", when[:26] + "999Z"], s, **null) * 1000 for _ in range(15)),
        "ms", true, limit="at most 30 ms")
    row("  --tail 10", median(timed([s.cli, "logs", NAME, "--tail", "10"], s, **null) * 1000 for _ in range(15)), "ms", true, limit="at most 30 ms")


def memory(pid, *names):
    values = {}
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, amount = line.split(":")
        values[name] = int(amount.split()[0])
    return sum(values[name] for name in names) / 1024


def delays_of(process, ticks, seconds):
    """How old the times in its lines are when they come out, in ms."""
    delays = []
    def read():
        for line in process.stdout:
            if line.startswith(b"tick "):
                delays.append((time.monotonic_ns() - int(line[5:])) / 1e6)
                if len(delays) == ticks:
                    return
    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    yield
    thread.join(timeout=seconds)
    process.kill()
    process.wait()
    process.stdout.close()
    yield sorted(delays)


def following(s, ticks, period_us):
    """The time from a component's write until the line comes out of the CLI; the floor is a pipe from the writer to us."""
    seconds = 60 + ticks * period_us / 1e6 * 3
    direct = delays_of(subprocess.Popen([TOOL, "tick", str(ticks), str(period_us)], stdout=subprocess.PIPE), ticks, seconds)
    next(direct)
    floor = next(direct)
    followed = delays_of(subprocess.Popen([s.cli, "logs", NAME, "--watch", "--tail", "0", "--no-prefix"], env=s.env, cwd=s.work,
                                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE), ticks, seconds)
    next(followed)
    (s.root / "tick").touch()
    s.run("cluster", "signal", NAME, "-s", "TERM")
    delays = next(followed)
    for what, part in (("median", 0.5), ("p99", 0.99)):
        ours, pipe = delays[int(len(delays) * part)], floor[int(len(floor) * part)]
        row(f"followed line, {what} of {len(delays)}", ours, "ms", pipe, ours / pipe, "p99 at most 5 ms; the floor is a pipe")


def growth(s, lines):
    """The agent's memory with a cluster, a reader that follows all of it, and one that is stopped."""
    pid = s.agent_pid()
    components = len(s.status()["components"])
    process = subprocess.Popen([s.cli, "logs", "--watch"], env=s.env, cwd=s.work, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    stopped = subprocess.Popen([s.cli, "logs", "--watch", "--tail", "1"], env=s.env, cwd=s.work, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    stopped.stdout.readline()
    stopped.send_signal(signal.SIGSTOP)
    last, end = f" {lines} ....".encode(), threading.Event()
    def read():
        kept = b""
        while chunk := process.stdout.read1(1 << 20):
            if last in kept + chunk:
                end.set()
            kept = chunk[-200:]
    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    (s.root / "source").touch()
    eventually(lambda: s.component(NAME)["state"] in ("running", "ready"), what="the component runs")
    before = memory(pid, "Pss"), memory(pid, "Anonymous")
    s.run("cluster", "signal", NAME, "-s", "TERM")
    assert end.wait(60 + lines / 10000), "the reader has not got the last line"
    during = memory(pid, "Pss"), memory(pid, "Anonymous")
    for reader in (process, stopped):
        reader.kill()
        reader.wait()
    thread.join()
    process.stdout.close()
    stopped.stdout.close()
    directory = pathlib.Path(s.status()["rootDirectory"]) / "logs" / NAME
    eventually(lambda: not [f for f in directory.iterdir() if f.name.endswith("Z.log")], seconds=300, what="all are compressed")
    s.run("wait", "--timeout", "60s")
    after = memory(pid, "Pss"), memory(pid, "Anonymous")
    assert s.agent_pid() == pid
    row(f"agent, PSS, {components} components", before[0], "MB", limit="at most 18 MB, aim 14 MB")
    row(f"  after {lines} lines, followed, and one reader stopped", during[0], "MB")
    row("  after them, without readers", after[0], "MB", before[0], after[0] / before[0], "no growth")
    row("  anonymous before", before[1], "MB", limit="at most 8 MB")
    row("  anonymous after", after[1], "MB", before[1], after[1] / before[1])
    shims = [p for p in s.processes() if os.readlink(f"/proc/{p}/exe").endswith("multigres-shim")]
    row("largest shim, private, after them", max(memory(p, "Private_Clean", "Private_Dirty") for p in shims), "MB", limit="at most 0.3 MB")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--capture-lines", type=int, default=1000000)
    parser.add_argument("--size-mb", type=int, default=1024)
    parser.add_argument("--ticks", type=int, default=2000)
    parser.add_argument("--lines", type=int, default=10000000, help="followed while the agent's memory is watched")
    parser.add_argument("--cells", type=int, default=4)
    parser.add_argument("--only", choices=["capture", "reading", "following", "growth"])
    parser.add_argument("--realtime", action="store_true",
                        help="let all that is measured go before what else the machine does (root); caches and disk are still shared")
    options = parser.parse_args()
    if options.realtime:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    wanted = lambda part: options.only in (None, part)
    if wanted("capture"):
        capture("lines", options.capture_lines, options.rounds, "at least 0.95 x")
        capture("blocks", 5 * options.capture_lines, options.rounds, "at least 0.6 x")
    if not (wanted("reading") or wanted("following") or wanted("growth")):
        return
    with Sandbox("bench-logs") as s:
        s.wrap(NAME, f"if rm '{s.root}/tick' 2>/dev/null; then '{TOOL}' tick {options.ticks} 2500 & fi\n"
                     f"if rm '{s.root}/source' 2>/dev/null; then '{TOOL}' source lines {options.lines}; fi")
        (s.work / "multigres.yaml").write_text(
            f"cells: {options.cells}\nlogs:\n  files: 1000\n  total-size-mb: 8192\n")
        s.run("up")
        if wanted("following"):
            following(s, options.ticks, 2500)
        if wanted("growth"):
            growth(s, options.lines)
        if wanted("reading"):
            s.run("down")
            reading(s, options.size_mb, options.rounds)


if __name__ == "__main__":
    main()

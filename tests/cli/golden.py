#!/usr/bin/env python3
"""What the CLI prints, byte by byte: the help of every command, and every form of output of what an Admin API that always says the
same answers (piped; on a wide and on a narrow terminal; JSON; YAML). `golden.py --renew` writes the references anew."""

import difflib
import fcntl
import os
import pathlib
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios

BUILD = pathlib.Path(os.environ.get("MULTIGRES_BUILD_DIR", "build")).resolve()
CLI = str(BUILD / "bin" / "multigres")
GOLDEN = pathlib.Path(__file__).resolve().parent / "golden"
WIDE, NARROW = 140, 60

UPSTREAM = ["getcell", "getcellnames", "getdatabase", "getdatabasenames", "getgateways", "getorchs", "getpoolers", "getpoolerstatus",
            "createclustermetadata"]

# Answered by the Admin API alone.
OUTPUTS = [
    "topology cell list", "topology cell get zone1", "topology cell get zone9", "topology db list", "topology db get postgres",
    "topology tree", "gateway list", "gateway get zone1", "gateway get zoen1", "gateway queries zone1", "gateway consolidator zone1",
    "gateway queries zone1 --grep (?i)^INSERT --sort calls/s", "gateway queries zone1 --sort rows/s --limit 1",
    "gateway queries zone1 --grep count(*)", "gateway queries zone2", "gateway consolidator zone1 --grep nothing",
    "topology cell delete zone2 --yes",
    "pooler list", "pooler get zone1", "pooler status zone1", "pooler status zone2", "pooler status zone3", "pooler replication",
    "pooler replication zone1", "pooler replication zone2", "pooler replication zone3",
    "orch list", "orch get zone1", "tablegroup list", "shard list", "shard get", "shard get other", "shard rule", "backup list",
]
# These need no agent and no Admin API, and start none.
ALONE = ["schema --list", "context list", "stauts", "topology cel list", "pooler list --databse x", "topology cell get", "agent status",
         "context use nowhere", "schema topology tre", "down --clean --timeout soon"]


def environment(directory):
    return {"PATH": os.environ["PATH"], "HOME": directory, "MULTIGRES_HOME": f"{directory}/home", "XDG_RUNTIME_DIR": directory,
            "TZ": "UTC", "TERM": "xterm", "LANG": "C.UTF-8"}


def piped(words, env, cwd):
    return subprocess.run([CLI, *words], env=env, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)


def on_terminal(words, env, cwd, width):
    """What appears on a terminal of this width; both streams, as a person sees them."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    process = subprocess.Popen([CLI, *words], env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs)
    os.close(theirs)
    seen = b""
    try:
        while chunk := os.read(ours, 65536):
            seen += chunk
    except OSError:  # the terminal's other end is closed
        pass
    os.close(ours)
    process.wait(timeout=30)
    return seen.decode().replace("\r\n", "\n")


def cells(line):
    return len(re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", line))


def stable(text, directory, address):
    text = text.replace(directory, "DIR").replace(address or "\0", "ADDRESS").replace("\x1b", "\\e")
    return re.sub(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|\+00)", "TIME", text)


def sections(words, extra, env, directory, address):
    text = ""
    for title, run in (("piped", lambda: piped(words + extra, env, directory)),
                       (f"terminal of {WIDE} cells", lambda: on_terminal(words + extra, env, directory, WIDE)),
                       (f"terminal of {NARROW} cells", lambda: on_terminal(words + extra, env, directory, NARROW)),
                       ("--json", lambda: piped(words + ["--json"] + extra, env, directory)),
                       ("--yaml", lambda: piped(words + ["--yaml"] + extra, env, directory))):
        result = run()
        if isinstance(result, str):
            printed = result
        else:
            printed = result.stdout + (f"[stderr]\n{result.stderr}" if result.stderr else "") + f"[exit status {result.returncode}]\n"
            assert "\x1b" not in printed and "…" not in printed, f"{words}: what is piped is neither coloured nor cut\n{printed}"
        assert printed.endswith("\n"), (words, title, printed)
        text += f"=== multigres {' '.join(words)}: {title}\n{printed}"
    return stable(text, directory, address)


def helps(env, directory):
    """By the first word of the command: the help of all its commands."""
    reference = piped(["docs"], env, directory).stdout
    paths = re.findall(r"^## multigres (.+)$", reference, re.M)
    assert len(paths) > 70, paths
    nouns = {" ".join(path.split()[:n]) for path in paths for n in range(1, len(path.split()))} - set(paths)
    program = piped(["--help"], env, directory).stdout
    common = program[program.index("GLOBAL FLAGS\n"):program.index("\n\n", program.index("GLOBAL FLAGS\n"))]
    files = {"multigres": f"=== multigres --help\n{program}"}
    for path in sorted(nouns) + paths + UPSTREAM:
        words = path.split()
        result = piped(words + ["--help"], env, directory)
        assert result.returncode == 0 and not result.stderr, (path, result)
        assert "USAGE\n" in result.stdout, path
        if path in UPSTREAM:
            # Their --config-path is another one; their examples have all that they need.
            assert result.stdout.count("--config-path") == 1 and "--admin-server" in result.stdout, path
            example = re.search(r"^  \$ multigres (.+)$", result.stdout, re.M)[1].split()
            tried = piped(example + ["--admin-server", "127.0.0.1:1", "--timeout", "1s"], env, directory)
            assert "required flag" not in tried.stderr and "invalid" not in tried.stderr, (example, tried)
        elif path not in nouns:
            assert common in result.stdout and "EXAMPLES\n  # " in result.stdout, path
        name = "upstream" if path in UPSTREAM else words[0]
        told = re.sub(r"GLOBAL FLAGS\n.*?\n\n", "GLOBAL FLAGS\n  …\n\n", result.stdout, flags=re.S)
        files[name] = files.get(name, "") + f"=== multigres {path} --help\n" + told
        # On a terminal it is wrapped; only what is to be copied is not.
        for line in on_terminal(words + ["--help"], env, directory, NARROW).splitlines():
            copied = re.match(r"  (\$ |multigres |# )", line)
            assert cells(line) <= NARROW or copied or " " not in line.split("  ")[-1], (path, line)
    files["narrow"] = "".join(f"=== multigres {path} --help, on a terminal of {NARROW} cells\n" +
                              on_terminal(path.split() + ["--help"], env, directory, NARROW).replace("\x1b", "\\e")
                              for path in ("", "logs", "topology cell"))
    return {f"help/{name}.txt": text for name, text in files.items()}


def outputs(env, directory):
    files = {}
    admin = subprocess.Popen([str(BUILD / "tests" / "fixed-admin")], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        address = f"127.0.0.1:{admin.stdout.readline().strip()}"
        for line in OUTPUTS:
            files[line] = sections(line.split(), ["--admin-server", address], env, directory, address)
    finally:
        admin.stdin.close()
        admin.wait()
    for line in ALONE:
        files[line] = sections(line.split(), [], env, directory, None)
    return {f"output/{re.sub('[^a-z0-9]+', '-', line.lower()).strip('-')}.txt": text for line, text in files.items()}


def main():
    renew = sys.argv[1:] == ["--renew"]
    with tempfile.TemporaryDirectory(prefix="mg-golden-", dir="/tmp") as directory:
        env = environment(directory)
        try:
            made = {**helps(env, directory), **outputs(env, directory)}
            assert not pathlib.Path(directory, "home", "agent.log").exists(), "an agent was started"
        finally:
            piped(["agent", "stop"], env, directory)
    there = {str(path.relative_to(GOLDEN)) for path in GOLDEN.rglob("*.txt")}
    if renew:
        for name in there - made.keys():
            (GOLDEN / name).unlink()
        for name, text in made.items():
            (GOLDEN / name).parent.mkdir(parents=True, exist_ok=True)
            (GOLDEN / name).write_text(text)
        print(f"{len(made)} references in {GOLDEN}")
        return 0
    failed = False
    for name in sorted(there | made.keys()):
        wanted = (GOLDEN / name).read_text() if name in there else ""
        if wanted != made.get(name, ""):
            failed = True
            sys.stdout.writelines(difflib.unified_diff(wanted.splitlines(True), made.get(name, "").splitlines(True), f"golden/{name}", "now"))
    if failed:
        print("\n'make golden' writes the references anew, where this is meant")
    return failed


if __name__ == "__main__":
    sys.exit(main())

"""A sandbox for end-to-end tests: the CLI and the agent as a user runs them, with a home, sockets and files of their own. On leaving
it stops everything, checks that nothing is left behind, and on failure keeps the directory and says where it is."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

BUILD = pathlib.Path(os.environ.get("MULTIGRES_BUILD_DIR", "build")).resolve()
CLI = str(BUILD / "bin" / "multigres")


class Failure(AssertionError):
    pass


def eventually(predicate, seconds=10.0, what="condition"):
    """Waits until predicate() gives something true, and returns that; looks often, never longer than the bound."""
    end = time.monotonic() + seconds
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure(f"{what}: not within {seconds} s")
        time.sleep(0.02)


class Leftovers:
    """What programs can leave on a machine, looked at before and after. Others run tests at the same time, so what is new counts only
    when it is one of ours, or nobody's."""

    def __init__(self):
        self.before = self.look()
        self.pids = set()

    @staticmethod
    def look():
        found = {"sysv": set(), "posix": set(), "tmp": set(), "cgroup": set()}
        for line in pathlib.Path("/proc/sysvipc/shm").read_text().splitlines()[1:]:
            fields = line.split()
            found["sysv"].add((fields[1], int(fields[4]), int(fields[6])))  # id, creator, attached processes
        found["posix"] = set(os.listdir("/dev/shm"))
        found["tmp"] = {e for e in os.listdir("/tmp") if e.startswith((".s.PGSQL", "multigres-"))}
        for base in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
            # Not a glob: groups of others go while one looks.
            found["cgroup"] |= {os.path.join(at, d) for at, below, _ in os.walk(base) for d in below if d.startswith("multigres-")}
        return found

    @staticmethod
    def in_use(names):
        """Those that a living process has mapped: other programs' PostgreSQL, not what ours left."""
        used = set()
        for maps in pathlib.Path("/proc").glob("[0-9]*/maps") if names else ():
            try:
                text = maps.read_text(errors="replace")
            except OSError:
                continue
            used |= {name for name in names if name in text}
        return used

    def find(self):
        now = self.look()
        known = {segment for segment, _, _ in self.before["sysv"]}  # a process of an older one may have had the same number
        left = [f"SysV shared memory {segment} of process {creator}" for segment, creator, _ in now["sysv"]
                if segment not in known and creator in self.pids and not alive(creator)]
        posix = now["posix"] - self.before["posix"]
        left += [f"/dev/shm/{name}" for name in posix - self.in_use(posix)]
        left += [f"/tmp/{name}" for name in now["tmp"] - self.before["tmp"] if owner_is_gone("/tmp/" + name)]
        left += [f"/tmp/{name}" for name in now["tmp"] - self.before["tmp"] if name.startswith("multigres-") and not any(
            p.is_socket() for p in pathlib.Path("/tmp", name).rglob("*"))]
        left += [f"control group {group}" for group in now["cgroup"] - self.before["cgroup"] if is_empty_group(group)]
        return left


def is_empty_group(path):
    try:
        return pathlib.Path(path, "cgroup.procs").read_text() == ""
    except OSError:
        return False  # it went meanwhile


def owner_is_gone(path):
    """Nobody listens on this socket, or holds anything below this directory."""
    names = {path} if not os.path.isdir(path) else {str(p) for p in pathlib.Path(path).rglob("*")} | {path}
    sockets = pathlib.Path("/proc/net/unix").read_text()
    return not any(name in sockets for name in names)


def listening_sockets():
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in pathlib.Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                found.add((int(fields[1].rsplit(":", 1)[1], 16), int(fields[9])))
    return found


class Sandbox:
    def __init__(self, name):
        self.leftovers = Leftovers()
        self.root = pathlib.Path(tempfile.mkdtemp(prefix=f"mg-e2e-{name}-", dir="/tmp"))
        self.root.chmod(0o755)  # PostgreSQL's user passes through when the tests run as root
        self.home = self.root / "home"
        self.runtime = self.root / "run"
        self.runtime.mkdir(mode=0o700)
        self.cli = CLI
        self.work = self.root / "work"
        self.work.mkdir()
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("MULTIGRES_", "PG", "XDG_", "MT_"))}
        self.env.update(MULTIGRES_HOME=str(self.home), XDG_RUNTIME_DIR=str(self.runtime), MG_SANDBOX=str(self.root))

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        failed = kind is not None
        self.remember()
        ports = self.listening()
        self.run("down", check=False, timeout=60)
        self.run("agent", "stop", check=False)
        left = self.processes()
        things = [] if left else self.look_for_leftovers(ports)
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if failed or left or things:
            print(f"the sandbox is kept: {self.root}", file=sys.stderr)
            log = self.home / "agent.log"
            if log.exists():
                print("".join(log.read_text(errors="replace").splitlines(True)[-30:]), file=sys.stderr)
        else:
            shutil.rmtree(self.root)
        if left and not failed:
            raise Failure(f"processes left behind: {left}")
        if things and not failed:
            raise Failure(f"left behind: {things}")
        return False

    def remember(self):
        """Takes note of the processes that run now, so that what they leave can be told from what others leave."""
        self.leftovers.pids.update(self.processes())

    def listening(self):
        """Ports on which processes of this sandbox listen now, with the socket's number: another one may have the port next."""
        owned = set()
        for pid in self.processes():
            try:
                owned |= {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
            except OSError:
                pass
        return {(port, inode) for port, inode in listening_sockets() if f"socket:[{inode}]" in owned}

    def look_for_leftovers(self, ports):
        """Everything that is not as it was before; what is about to go is given a moment."""
        def look():
            found = self.leftovers.find() + [f"port {port}" for port, _ in ports & listening_sockets()]
            found += [str(p) for p in self.runtime.rglob("*") if p.is_socket()]
            return found
        try:
            eventually(lambda: not look(), seconds=3)
            return []
        except Failure:
            return look()

    def wrap(self, component, script):
        """From here on the sandbox uses a copy of the product in which the shell script runs before the built-in component, in the
        same process and with the same output."""
        prefix = self.root / "prefix"
        (prefix / "bin").mkdir(parents=True)
        (prefix / "libexec" / "multigres").mkdir(parents=True)
        for name in ("multigres", "multigres-agent"):
            shutil.copy2(BUILD / "bin" / name, prefix / "bin" / name)
        for program in (BUILD / "libexec" / "multigres").iterdir():
            place = prefix / "libexec" / "multigres" / program.name
            if program.name == component:
                place.write_text(f"#!/bin/sh\n{script}\nexec '{program}' \"$@\"\n")
                place.chmod(0o755)
            else:
                place.symlink_to(program)
        self.cli = str(prefix / "bin" / "multigres")

    def run(self, *words, check=True, timeout=150, cwd=None, env=None, stdin=subprocess.DEVNULL, program=None):
        """Runs the CLI to its end. With check, a non-zero exit is a failure that shows all of its output."""
        result = subprocess.run([program or self.cli, *words], cwd=cwd or self.work, env={**self.env, **(env or {})}, stdin=stdin,
                                capture_output=True, text=True, timeout=timeout)
        if check and result.returncode != 0:
            raise Failure(f"{' '.join(words)} exited {result.returncode}\n{result.stdout}\n{result.stderr}")
        return result

    def json(self, *words, check=True, **more):
        result = self.run(*words, "--json", check=check, **more)
        if not result.stdout:
            raise Failure(f"{' '.join(words)} exited {result.returncode} without an answer\n{result.stderr}")
        return json.loads(result.stdout)

    def status(self):
        return self.json("status", check=False)

    def component(self, name):
        return next(c for c in self.status()["components"] if c["name"] == name)

    def pids(self):
        return {c["name"]: c["pid"] for c in self.status()["components"]}

    def sql(self, text, cell="zone1", read_only=False, check=True):
        words = ["psql", "--cell", cell] + (["--read-only"] if read_only else []) + ["--", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", text]
        result = self.run(*words, check=check, timeout=60)
        return result.stdout.strip() if check else result

    def processes(self):
        """Every process that was started from this sandbox, however it was detached: it has the sandbox in its environment, or works
        below it."""
        found = []
        mark = f"MG_SANDBOX={self.root}".encode()
        for entry in os.listdir("/proc"):
            if not entry.isdigit() or int(entry) == os.getpid():
                continue
            try:
                environment = pathlib.Path("/proc", entry, "environ").read_bytes().split(b"\0")
                command = pathlib.Path("/proc", entry, "cmdline").read_bytes()
                if command and (mark in environment or str(self.root).encode() in command):
                    found.append(int(entry))
            except (PermissionError, FileNotFoundError, ProcessLookupError):
                pass
        return found

    def agent_pid(self):
        return self.json("agent", "status")["info"]["pid"]


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = pathlib.Path("/proc", str(pid), "stat").read_text().rsplit(")", 1)[1].split()[0]
    return state not in "ZX"


def main(tests):
    """Runs the functions in order; each is told, and the first failure ends the program."""
    wanted = sys.argv[1:]
    ran = 0
    for test in tests:
        if wanted and test.__name__ not in wanted:
            continue
        began = time.monotonic()
        print(f"[ RUN  ] {test.__name__}", flush=True)
        test()
        ran += 1
        print(f"[  OK  ] {test.__name__} ({time.monotonic() - began:.1f} s)", flush=True)
    sys.exit(0 if ran else 1)

"""Patroni and pg_auto_failover with three nodes each on loopback, as their documentation sets them up: their own defaults for time-outs,
synchronous replication to one standby (what an acknowledged write of ours has too), a client with all hosts and
target_session_attrs=read-write. Each class starts its processes itself and ends them all."""

import glob
import json
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request

import psycopg2


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def bindir():
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda p: int(p.split("/")[-2]))
    return found[-1] if found else str(pathlib.Path(shutil.which("postgres")).resolve().parent)


def tree(root):
    """A process and all that descend from it."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                parent = int(pathlib.Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()[1])
                children.setdefault(parent, []).append(int(entry))
            except OSError:
                continue  # it ended meanwhile
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def send_all(pids, number):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


class Peer:
    """Three nodes. A subclass knows how to start one, who leads, and how to hand over."""
    name = ""

    def __init__(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix=f"mg-bench-{self.name}-", dir="/tmp"))
        self.root.chmod(0o755)
        self.prefix = []
        if os.geteuid() == 0:
            self.prefix = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups", "--"]
            user = pwd.getpwnam("postgres")
            os.chown(self.root, user.pw_uid, user.pw_gid)
        self.env = {"PATH": f"{bindir()}:{os.environ['PATH']}", "LANG": "C.UTF-8", "HOME": str(self.root), "XDG_RUNTIME_DIR": str(self.root),
                    "PG_CONFIG": f"{bindir()}/pg_config"}
        self.nodes = [f"n{i}" for i in range(3)]
        self.ports = {n: free_port() for n in self.nodes}
        self.managers, self.others = {}, []

    def spawn(self, log, *words):
        with open(self.root / f"{log}.log", "ab") as out:
            return subprocess.Popen([*self.prefix, *words], stdout=out, stderr=out, stdin=subprocess.DEVNULL, env=self.env, cwd=str(self.root),
                                    start_new_session=True)

    def tool(self, *words, check=True):
        return subprocess.run([*self.prefix, *words], capture_output=True, text=True, env=self.env, cwd=str(self.root), check=check)

    def where(self):
        return {"host": ",".join(["127.0.0.1"] * 3), "port": ",".join(str(self.ports[n]) for n in self.nodes), "user": self.user,
                "dbname": "postgres", "target_session_attrs": "read-write"}

    def query(self, node, text):
        try:
            connection = psycopg2.connect(host="127.0.0.1", port=self.ports[node], user=self.user, dbname="postgres", connect_timeout=2)
            try:
                with connection.cursor() as cursor:
                    cursor.execute(text)
                    return cursor.fetchall()
            finally:
                connection.close()
        except psycopg2.Error:
            return None

    def leader(self):
        for node in self.nodes:
            if self.query(node, "select pg_is_in_recovery()") == [(False,)]:
                return node
        return None

    def streaming(self):
        """How many standbys stream from the leader, and whether writes wait for one."""
        leader = self.leader()
        rows = self.query(leader, "select count(*), current_setting('synchronous_standby_names') from pg_stat_replication"
                                  " where state = 'streaming'") if leader else None
        return (rows[0][0], rows[0][1] != "") if rows else (0, False)

    def wait_well(self, seconds=180):
        """All three nodes stand, and have stood for a second."""
        deadline, since = time.monotonic() + seconds, None
        while time.monotonic() < deadline:
            well = self.streaming() == (2, True) and self.settled()
            since = (since or time.monotonic()) if well else None
            if since and time.monotonic() - since > 1.0:
                return
            time.sleep(0.1)
        raise TimeoutError(f"{self.name}: not all nodes stream within {seconds} s; see {self.root}/*.log")

    def settled(self):
        return True

    def pids(self, node):
        """Everything of a node: PostgreSQL and what manages it."""
        found = tree(self.managers[node].pid)
        try:
            found += tree(int((self.root / node / "postmaster.pid").read_text().split()[0]))
        except (OSError, ValueError, IndexError):
            pass  # PostgreSQL does not run
        return list(dict.fromkeys(found))

    def kill(self, node):
        send_all(self.pids(node), signal.SIGKILL)
        self.managers[node].wait()

    def freeze(self, node):
        pids = self.pids(node)
        send_all(pids, signal.SIGSTOP)
        return pids

    def start(self, node):
        self.managers[node] = self.spawn(node, *self.command(node))

    def close(self):
        for node, manager in self.managers.items():
            pids = self.pids(node)
            send_all(pids, signal.SIGCONT)
            send_all(pids, signal.SIGKILL)
            manager.wait()
        for process in self.others:
            send_all(tree(process.pid), signal.SIGKILL)
            process.wait()
        shutil.rmtree(self.root)


class Patroni(Peer):
    name = "patroni"
    user = "postgres"

    @staticmethod
    def missing():
        return [w for w in ("patroni", "etcd") if shutil.which(w) is None]

    def __init__(self):
        super().__init__()
        self.rest = {n: free_port() for n in self.nodes}
        client, peer = free_port(), free_port()
        self.others.append(self.spawn("etcd", "etcd", "--data-dir", str(self.root / "etcd"), "--listen-client-urls",
                                      f"http://127.0.0.1:{client}", "--advertise-client-urls", f"http://127.0.0.1:{client}",
                                      "--listen-peer-urls", f"http://127.0.0.1:{peer}", "--initial-advertise-peer-urls",
                                      f"http://127.0.0.1:{peer}", "--initial-cluster", f"default=http://127.0.0.1:{peer}"))
        for node in self.nodes:
            # The documented example, with synchronous mode, and without passwords: it all stays on loopback.
            (self.root / f"{node}.json").write_text(json.dumps({
                "scope": "bench", "name": node,
                "restapi": {"listen": f"127.0.0.1:{self.rest[node]}", "connect_address": f"127.0.0.1:{self.rest[node]}"},
                "etcd3": {"hosts": f"127.0.0.1:{client}"},
                "bootstrap": {
                    "dcs": {"ttl": 30, "loop_wait": 10, "retry_timeout": 10, "maximum_lag_on_failover": 1048576, "synchronous_mode": True,
                            "postgresql": {"use_pg_rewind": True, "parameters": {"wal_log_hints": "on", "max_wal_senders": 10}}},
                    "initdb": [{"encoding": "UTF8"}, "data-checksums"]},
                "postgresql": {"listen": f"127.0.0.1:{self.ports[node]}", "connect_address": f"127.0.0.1:{self.ports[node]}",
                               "data_dir": str(self.root / node), "bin_dir": bindir(),
                               "pg_hba": ["local all all trust", "host all all 127.0.0.1/32 trust", "host replication all 127.0.0.1/32 trust"],
                               "authentication": {"superuser": {"username": "postgres"}, "replication": {"username": "replicator"},
                                                  "rewind": {"username": "postgres"}},
                               "parameters": {"unix_socket_directories": str(self.root)}}}))
        for node in self.nodes:
            self.start(node)
        self.wait_well()

    def command(self, node):
        return ["patroni", str(self.root / f"{node}.json")]

    def settled(self):
        """Patroni hands over only to a standby that it holds for synchronous."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.rest[self.leader()]}/cluster", timeout=2) as answer:
                return any(m["role"] == "sync_standby" for m in json.load(answer)["members"])
        except (OSError, KeyError):
            return False

    def switch(self):
        self.tool("patronictl", "-c", str(self.root / "n0.json"), "switchover", "--force", "bench", "--master", self.leader())


class PgAutoFailover(Peer):
    name = "pg_auto_failover"

    @staticmethod
    def missing():
        absent = [w for w in ("pg_autoctl",) if shutil.which(w) is None]
        return absent + ([] if glob.glob("/usr/share/postgresql/*/extension/pgautofailover.control") else ["the extension pgautofailover"])

    def __init__(self):
        super().__init__()
        self.user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
        self.monitor_port = free_port()
        common = ["--hostname", "127.0.0.1", "--auth", "trust", "--no-ssl", "--pgctl", f"{bindir()}/pg_ctl"]
        self.tool("pg_autoctl", "create", "monitor", "--pgdata", str(self.root / "monitor"), "--pgport", str(self.monitor_port), *common)
        self.others.append(self.spawn("monitor", "pg_autoctl", "run", "--pgdata", str(self.root / "monitor")))
        self.monitor = f"postgres://autoctl_node@127.0.0.1:{self.monitor_port}/pg_auto_failover?sslmode=disable"
        for node in self.nodes:
            deadline = time.monotonic() + 60
            while self.tool("pg_autoctl", "create", "postgres", "--pgdata", str(self.root / node), "--pgport", str(self.ports[node]), "--name",
                            node, "--monitor", self.monitor, "--dbname", "postgres", *common, check=False).returncode != 0:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"pg_autoctl create postgres fails; see {self.root}")
                time.sleep(0.5)
            self.start(node)
        self.wait_well()

    def command(self, node):
        return ["pg_autoctl", "run", "--pgdata", str(self.root / node)]

    def settled(self):
        result = self.tool("pg_autoctl", "show", "state", "--pgdata", str(self.root / "monitor"), "--json", check=False)
        try:
            states = sorted(n["current_group_state"] for n in json.loads(result.stdout))
        except (ValueError, KeyError, TypeError):
            return False
        return states == ["primary", "secondary", "secondary"]

    def switch(self):
        self.tool("pg_autoctl", "perform", "switchover", "--pgdata", str(self.root / "monitor"))

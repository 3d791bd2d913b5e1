"""A cluster's whole life, as the README tells it."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import time

from harness import CLI, Sandbox, alive, eventually, main

KINDS = {"etcd", "multiadmin", "pgctld", "postgres", "multipooler", "multiorch", "multigateway"}
FIELDS = {"name", "kind", "cell", "state", "ready", "pid", "restarts", "uptimeSeconds", "ports", "implementation", "reason", "id",
          "database", "desired"}


def structured_logs(s):
    """Levels, fields and cursors of what our components, PostgreSQL and etcd write; the flags that choose."""
    def records(*words):
        return [json.loads(line) for line in s.run("logs", *words, "--json").stdout.splitlines()]
    s.sql("select 1/0", check=False)
    broken = eventually(lambda: records("postgres", "--grep", "division by zero"), what="PostgreSQL logged the error")[-1]
    assert broken["level"] == "error" and broken["message"] == "division by zero", broken
    assert broken["fields"]["severity"] == "ERROR" and broken["fields"]["database"] == "postgres", broken
    # Its statement has no level of its own, and goes with it.
    node = broken["component"]
    behind = eventually(lambda: records(node, "--cursor", broken["cursor"], "--stream", "err"), what="the statement")
    assert behind[0]["message"] == "select 1/0" and behind[0]["fields"]["severity"] == "STATEMENT", behind
    both = [r["message"] for r in records(node, "--level", "error")]
    assert both[both.index("division by zero") + 1] == "select 1/0", both
    assert not records(node, "--stream", "out")
    etcd = records("etcd", "--tail", "5")
    assert all(r["level"] and r["message"] and "caller" in r["fields"] for r in etcd), etcd
    orch = records("multiorch", "--tail", "5")
    assert all(r["level"] and r["message"] and r["message"] != r["text"] for r in orch), orch
    everything = records("etcd")
    for at in (0, len(everything) // 2, len(everything) - 2):
        assert records("etcd", "--cursor", everything[at]["cursor"])[: 1] == everything[at + 1: at + 2]
    assert s.run("logs", "etcd", "--no-prefix", "--tail", "1").stdout == records("etcd", "--tail", "1")[0]["text"] + "\n"
    assert s.run("logs", "etcd", "--utc", "--tail", "1").stdout[:10] == records("etcd", "--tail", "1")[0]["time"][:10]
    assert records("etcd", "--since", "yesterday", "--until", "now")
    assert not records("etcd", "--until", "1w")
    assert s.run("logs", "etcd", "--since", "soon", check=False).returncode == 2
    assert s.run("logs", "etcd", "--cursor", "nonsense", check=False).returncode == 2
    assert s.run("logs", "etcd", "--previous", check=False).returncode == 3
    assert s.run("logs", "etcd", "--previous", "--watch", check=False).returncode == 2
    assert s.run("logs", "etcd", "--watch", "--timeout", "1s").returncode == 0


def check_status(sandbox, cells):
    status = sandbox.json("status")
    assert status["state"] == "running", status
    assert status["schemaVersion"] >= 1 and status["clusterId"], status
    assert len(status["components"]) == 2 + 5 * cells, [c["name"] for c in status["components"]]
    assert {c["kind"] for c in status["components"]} == KINDS
    for component in status["components"]:
        missing = FIELDS - component.keys()
        assert not missing, (component["name"], missing)
        assert component["ready"] and component["state"] == "running" and alive(component["pid"]), component
    roles = sorted(c["role"] for c in status["components"] if c["kind"] == "multipooler")
    assert roles == ["primary"] + ["standby"] * (cells - 1), roles
    endpoints = {(e["kind"], e["name"]) for e in status["endpoints"]}
    for cell in range(1, cells + 1):
        assert ("postgres-rw", f"multigateway/zone{cell}") in endpoints, endpoints
    return status


def of_a_cluster_that_does_not_run(s, message):
    """Every command that needs its Admin API says so, and what to do."""
    for words in (["tree"], ["backup", "create", "--no-wait"], ["cell", "list"]):
        result = s.run(*words, "--json", check=False)
        error = json.loads(result.stderr)["error"]
        assert error["reason"] == "CLUSTER_STOPPED" and error["message"] == message and "multigres up" in error["hint"], error
        assert result.returncode == error["exitCode"] == 4, error


def what_is_stopped_by_name(s):
    """Its endpoints say that nobody serves them."""
    s.run("cluster", "stop", "multigateway/zone2")
    lines = [line for line in s.run("status", check=False).stdout.splitlines() if line.lstrip().startswith("postgresql://")]
    assert [line.split()[-1] for line in lines if "zone2" in line] == ["stopped"] * 2, lines
    assert not any("stopped" in line for line in lines if "zone2" not in line), lines
    s.run("cluster", "start", "multigateway/zone2")
    port = s.component("multiadmin")["ports"]["grpc"]
    s.run("cluster", "stop", "multiadmin")
    with nobody_is_called(port):
        error = json.loads(s.run("cell", "list", "--json", check=False).stderr)["error"]
        assert error["reason"] == "ADMIN_API_UNAVAILABLE" and error["exitCode"] == 6, error
    s.run("cluster", "start", "multiadmin")


@contextlib.contextmanager
def nobody_is_called(port):
    """Whoever listens where a multiadmin is not is shown no token."""
    with socket.create_server(("127.0.0.1", port)) as stranger:
        yield
        stranger.setblocking(False)
        try:
            raise AssertionError(f"the agent called a stranger: {stranger.accept()}")
        except BlockingIOError:
            pass


def tokens_without_etcd(s):
    s.run("admin", "token", "create", "kept", "--role", "viewer")
    s.run("cluster", "stop", "etcd")
    for words in (["create", "q", "--role", "viewer"], ["revoke", "kept", "--yes"]):
        began = time.monotonic()
        error = json.loads(s.run("admin", "token", *words, "--json", check=False).stderr)["error"]
        assert error["reason"] == "TOPOLOGY_UNAVAILABLE" and error["exitCode"] == 6, error
        assert time.monotonic() - began < 4, words
    s.run("cluster", "start", "etcd")
    assert [token["name"] for token in s.json("admin", "token", "list")["tokens"]] == ["local", "kept"]


def whole_life():
    with Sandbox("life") as s:
        never = s.run("restart", "--json", check=False)
        assert never.returncode == 4 and json.loads(never.stderr)["error"]["reason"] == "CLUSTER_STOPPED", never
        of_a_cluster_that_does_not_run(s, "cluster default was never brought up")
        up = s.run("up")
        assert 'psql "host=127.0.0.1 port=' in up.stdout and "passfile=" in up.stdout, up.stdout
        assert "postgres:postgres" not in up.stdout + up.stderr
        status = check_status(s, cells=3)

        s.sql("create table t(a int primary key, b text)")
        s.sql("insert into t values (1, 'through zone1')", cell="zone1")
        s.sql("insert into t values (2, 'through zone2')", cell="zone2")
        for cell in ("zone1", "zone2", "zone3"):
            assert s.sql("select count(*) from t", cell=cell) == "2"
        ro = [e for e in status["endpoints"] if e["kind"] == "postgres-ro"]
        assert len(ro) == 3, status["endpoints"]
        eventually(lambda: s.sql("select count(*) from t", cell="zone2", read_only=True) == "2", what="the standby has both rows")
        assert s.sql("select pg_is_in_recovery()", cell="zone2", read_only=True) == "t"
        assert s.sql("select pg_is_in_recovery()", cell="zone2") == "f"
        assert "ANY 1" in s.sql("show synchronous_standby_names")

        # A second up does nothing.
        again = s.json("up")
        assert again["unchanged"] is True, again
        assert s.pids() == {c["name"]: c["pid"] for c in status["components"]}

        # Logs of everything, merged by time.
        lines = [json.loads(line) for line in s.run("logs", "--json").stdout.splitlines()]
        assert {line["component"].split("/")[0] for line in lines} >= KINDS - {"multiadmin"}, {line["component"] for line in lines}
        times = [line["time"] for line in lines]
        assert [t[:19] for t in times] == sorted(t[:19] for t in times)
        assert len(s.run("logs", "postgres/zone1", "--tail", "3").stdout.splitlines()) == 3
        structured_logs(s)

        # The topology, through the Admin API that the agent forwards to.
        assert s.json("topology", "cell", "list")["names"] == ["zone1", "zone2", "zone3"]
        assert s.json("topology", "cell", "get", "zone1")["cell"]["cell"]["root"] == "/multigres/zone1"
        assert s.json("topology", "db", "list")["names"] == ["postgres"]
        assert s.json("topology", "db", "get", "postgres")["database"]["bootstrapDurabilityPolicy"]["policyName"] == "AT_LEAST_2"
        missing = s.run("topology", "cell", "get", "zone9", check=False)
        assert missing.returncode == 3, missing

        # The agent dies; nothing else does.
        before = s.pids()
        os.kill(s.agent_pid(), signal.SIGKILL)
        assert s.pids() == before
        s.sql("insert into t values (3, 'after the agent died')")

        # Stop, and start with the data and ports still there.
        ports = {c["name"]: c["ports"] for c in s.status()["components"]}
        # Nothing is ready that is being stopped: a gateway that cannot end at once makes that time long enough to be asked in.
        os.kill(s.component("multigateway/zone1")["pid"], signal.SIGSTOP)
        down = subprocess.Popen([CLI, "down"], cwd=s.work, env=s.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        eventually(lambda: "it is being stopped" in s.run("status", check=False).stdout, what="it is being stopped")
        assert s.run("wait", "--timeout", "50ms", check=False).returncode == 4
        out, err = down.communicate(timeout=60)
        assert down.returncode == 0, (out, err)
        stopped = s.run("status", "--json", check=False)
        assert stopped.returncode == 4 and json.loads(stopped.stdout)["state"] == "stopped", stopped
        left = [p for p in s.processes() if p != s.agent_pid()]
        assert not left, left
        with nobody_is_called(status["components"][1]["ports"]["grpc"]):
            of_a_cluster_that_does_not_run(s, "cluster default is stopped")
        s.run("up")
        check_status(s, cells=3)
        after = {c["name"]: c["ports"] for c in s.status()["components"]}
        assert after == ports, [(name, after[name], ports[name]) for name in ports if after[name] != ports[name]]
        assert s.sql("select count(*) from t", cell="zone3") == "3"

        # Something dies, and is started again by itself.
        for name in ("multigateway/zone2", "multiorch/zone2"):
            dead = s.component(name)["pid"]
            os.kill(dead, signal.SIGKILL)
            eventually(lambda: s.component(name)["pid"] not in (0, dead), what="it is started again")
        eventually(lambda: s.status()["state"] == "running", what="it serves again")
        check_status(s, cells=3)
        assert s.sql("select count(*) from t", cell="zone2") == "3"
        # What the dead had registered goes.
        for kind in ("gateway", "orch"):
            eventually(lambda: len(s.json(kind, "list")[kind + "s"]) == 3, what=f"three records of {kind}s")

        what_is_stopped_by_name(s)
        tokens_without_etcd(s)

        # Clean-up needs a word, then leaves nothing.
        refused = s.run("down", "--clean", check=False)
        assert refused.returncode == 2 and "in cluster default of this machine: remove all of it?" in refused.stderr, refused
        assert s.status()["state"] == "running"
        root = pathlib.Path(s.status()["rootDirectory"])
        s.run("down", "--clean", "--yes")
        assert not root.exists(), list(root.rglob("*"))[:20]
        # A later cluster of the name does not tell of this one.
        assert not s.run("events").stdout
        s.run("agent", "stop")
        assert not s.processes()
        assert not list(s.runtime.rglob("*.sock")), list(s.runtime.rglob("*"))


if __name__ == "__main__":
    main([whole_life])

"""Bad input and bad luck: each gives a clear error or the right outcome, and leaves nothing behind."""

import errno
import json
import os
import signal
import socket
import subprocess
import time

from harness import CLI, Sandbox, eventually, main


def start_in_background(s, *words):
    return subprocess.Popen([CLI, *words], cwd=s.work, env=s.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, start_new_session=True)


def two_ups_at_once():
    with Sandbox("two") as s:
        both = [start_in_background(s, "up", "--cells", "1") for _ in range(2)]
        for process in both:
            out, err = process.communicate(timeout=120)
            assert process.returncode == 0, (out, err)
        assert s.status()["state"] == "running"
        assert any("redundancy" in n for n in s.status()["notices"]), s.status()["notices"]
        agents = [p for p in s.processes() if "multigres-agent" in os.readlink(f"/proc/{p}/exe")]
        assert len(agents) == 1, agents


def interrupted_up_goes_on():
    with Sandbox("ctrlc") as s:
        process = start_in_background(s, "up", "--cells", "1")
        eventually(lambda: len(s.processes()) > 4, seconds=20, what="components are started")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert process.returncode in (0, 130), (process.returncode, out, err)
        s.run("up", "--cells", "1")
        assert s.sql("select 1") == "1"


def interrupted_at_any_moment_leaves_nothing():
    with Sandbox("anytime") as s:
        for seconds in (0.05, 0.2, 0.5, 0.9, 1.4):
            process = start_in_background(s, "up", "--cells", "1")
            try:
                process.wait(timeout=seconds)  # the moment of the interruption is what varies
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
            assert process.returncode in (0, 130), (seconds, process.returncode, out, err)
            s.remember()
            ports = s.listening()
            s.run("down", "--clean", "--yes")
            s.run("agent", "stop")
            assert not s.processes(), (seconds, s.processes())
            assert not s.look_for_leftovers(ports), (seconds, s.look_for_leftovers(ports))
            left = [str(p.relative_to(s.home)) for p in s.home.rglob("*") if "cluster" in p.name]
            left = [name for name in left if name != "clusters" or any((s.home / name).iterdir())]
            assert left in ([], ["clusters.json"], ["clusters.json", "clusters.json.previous"]), (seconds, left)


def down_during_up():
    with Sandbox("downup") as s:
        process = start_in_background(s, "up", "--cells", "1")
        eventually(lambda: len(s.processes()) > 4, seconds=20, what="components are started")
        s.run("down")
        process.communicate(timeout=60)
        assert s.status()["state"] == "stopped"
        left = [p for p in s.processes() if p != s.agent_pid()]
        assert not left, left


def busy_fixed_port_names_its_holder():
    with Sandbox("port") as s, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        (s.work / "multigres.yaml").write_text(f"name: busy\ncells: 1\netcd:\n  port: {port}\n")
        result = s.run("up", "--json", check=False)
        assert result.returncode not in (0, 2), result
        error = json.loads(result.stderr)["error"]
        assert str(port) in error["message"] and str(os.getpid()) in error["message"], error
        assert error["reason"] == "PORT_IN_USE" and error["hint"], error


def malformed_configuration_is_located():
    with Sandbox("yaml") as s:
        (s.work / "multigres.yaml").write_text("name: x\ncels: 3\n")
        result = s.run("up", check=False)
        assert result.returncode == 2 and "multigres.yaml:2:1" in result.stderr and "cells" in result.stderr, result
        (s.work / "multigres.yaml").write_text("cells: many\n")
        result = s.run("up", check=False)
        assert result.returncode == 2 and "multigres.yaml:1:8" in result.stderr, result


def unknown_names():
    with Sandbox("names") as s:
        for words, code in ((("status", "--cluster", "nope"), 3), (("logs", "nosuch/zone1"), 3), (("statsu",), 2),
                            (("up", "--cells", "9"), 2), (("up", "--nope"), 2), (("down",), 0)):
            result = s.run(*words, check=False)
            assert result.returncode == code, (words, result)
        assert "did you mean 'multigres status'" in s.run("statsu", check=False).stderr


def missing_programs_are_named():
    with Sandbox("missing") as s:
        result = s.run("up", "--cells", "1", "--json", check=False, env={"PATH": "/nonexistent"})
        # The agent looks for etcd on the PATH that it was started with.
        error = json.loads(result.stderr)["error"]
        assert result.returncode != 0 and "etcd" in error["message"], error
        assert "apt" in error["hint"] or "install" in error["hint"], error


def what_cannot_be_read_or_written_is_named():
    with Sandbox("perm") as s:
        (s.work / "multigres.yaml").mkdir()  # no user may read it as a file, root neither
        result = s.run("up", check=False)
        assert result.returncode == 2 and "multigres.yaml" in result.stderr and "next:" in result.stderr, result
        (s.work / "multigres.yaml").rmdir()
        result = s.run("up", check=False, env={"MULTIGRES_HOME": "/proc/nowhere"})
        assert result.returncode != 0 and "/proc/nowhere" in result.stderr and "MULTIGRES_HOME" in result.stderr, result


def sockets_that_are_not_ours_or_stale():
    with Sandbox("socket") as s:
        s.run("agent", "start")
        path = s.json("agent", "status")["info"]["socket"]
        place = s.runtime / "multigres"
        s.run("agent", "stop")
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(path)
        assert s.json("list").get("clusters", []) == []  # an agent takes the dead one's place
        s.run("agent", "stop")
        place.chmod(0o755)
        result = s.run("list", check=False)
        assert result.returncode == 5 and str(place) in result.stderr, result
        place.chmod(0o700)
        if os.geteuid() == 0:
            os.chown(place, 65534, 65534)
            result = s.run("list", check=False)
            assert result.returncode == 5 and "belongs to uid 65534" in result.stderr, result
            os.chown(place, 0, 0)


def stale_postmaster_pid():
    with Sandbox("pid") as s:
        s.run("up", "--cells", "1")
        s.sql("create table kept(a int)")
        s.run("down")
        data = next((s.home / "clusters" / "default" / "data").glob("pooler_*/pg_data"))
        # Of a process that lives and is no PostgreSQL: what a reboot or a number used again leaves.
        for pid in (os.getpid(), 4_000_000):
            file = data / "postmaster.pid"
            file.write_text(f"{pid}\n{data}\n1700000000\n25432\n/tmp\n127.0.0.1\n  1234567         0\nready   \n")
            os.chown(file, data.stat().st_uid, data.stat().st_gid)
            s.run("up")
            assert s.sql("select count(*) from kept") == "0"
            s.run("down")


def fill_disk(path):
    with open(path, "wb", buffering=0) as fill:
        try:
            while True:
                fill.write(bytes(1 << 20))
        except OSError as error:
            assert error.errno == errno.ENOSPC, error


def full_disk_during_bring_up():
    if os.geteuid() != 0:
        print("skipped: mounting a file system needs root")
        return
    with Sandbox("full") as s:
        s.home.mkdir(exist_ok=True)
        size = 440 << 20  # enough for preflight, with a warning
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=711", "tmpfs", s.home])
        if mounted.returncode != 0:
            print("skipped: mount is not allowed here")
            return
        try:
            process = start_in_background(s, "up", "--cells", "1", "--json")
            eventually(lambda: len(s.processes()) > 4, seconds=20, what="components are started")
            fill_disk(s.home / "fill")
            out, err = process.communicate(timeout=60)
            error = json.loads(err[err.index("{"):])["error"]
            assert process.returncode in (1, 4) and error["reason"] == "DISK_FULL", (process.returncode, out, err)
            assert "make room" in error["hint"], error
            (s.home / "fill").unlink()
            s.run("up", "--cells", "1")
            assert s.sql("select 1") == "1"
            # The agent's own log finds no room either: it goes on, and another one starts, so that room can be made.
            fill_disk(s.home / "fill")
            for _ in range(30):
                assert s.run("db", "create", "template1", check=False).returncode == 2
            s.run("agent", "stop")
            full = s.run("status", check=False)
            assert full.returncode == 4 and "its disk is full" in full.stdout, full
            s.run("down", "--clean", "--yes")
            s.run("agent", "stop")
        finally:
            subprocess.run(["umount", "-l", s.home], check=True)


def a_postmaster_that_stands_still_is_replaced():
    """Its backends go on to answer, so only who connects anew sees it."""
    with Sandbox("postmaster") as s:
        s.run("up")
        eventually(lambda: s.status()["state"] == "running", 30, "all is well")
        lead = next(c for c in s.status()["components"] if c["kind"] == "postgres" and c["role"] == "primary")
        other = next(c for c in ("zone1", "zone2", "zone3") if c != lead["cell"])
        os.kill(lead["pid"], signal.SIGSTOP)  # itself, and no other process of it
        try:
            began = time.monotonic()

            def another_leads():
                return [c for c in s.status()["components"]
                        if c["kind"] == "postgres" and c["role"] == "primary" and c["cell"] != lead["cell"]]
            eventually(another_leads, 10, "another one leads")
            print(f"another leads after {time.monotonic() - began:.1f} s", flush=True)
            assert s.sql("create role newcomer; select 1", cell=other) == "1"
        finally:
            os.kill(lead["pid"], signal.SIGCONT)
        eventually(lambda: s.status()["state"] == "running", 60, "the former leader is back")


if __name__ == "__main__":
    main([two_ups_at_once, interrupted_up_goes_on, interrupted_at_any_moment_leaves_nothing, down_during_up, busy_fixed_port_names_its_holder,
          malformed_configuration_is_located, unknown_names, missing_programs_are_named,
          what_cannot_be_read_or_written_is_named, sockets_that_are_not_ours_or_stale, stale_postmaster_pid,
          full_disk_during_bring_up, a_postmaster_that_stands_still_is_replaced])

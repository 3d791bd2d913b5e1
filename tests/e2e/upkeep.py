"""What keeps a cluster in order: several side by side, an upgrade of the agent, a reboot, an edited configuration, the doctor, and the
archive for a report."""

import fcntl
import json
import os
import pathlib
import pty
import re
import shutil
import signal
import struct
import subprocess
import tarfile
import termios

from harness import BUILD, CLI, Sandbox, alive, eventually, main


def several_clusters_side_by_side():
    with Sandbox("several") as s:
        places = []
        for name in ("left", "right"):
            place = s.work / name
            place.mkdir()
            (place / "multigres.yaml").write_text(f"name: {name}\ncells: 1\n")
            places.append(place)
        for _ in range(int(os.environ.get("MG_ROUNDS", 2))):
            both = [subprocess.Popen([CLI, "up"], cwd=p, env=s.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                     text=True) for p in places]
            for process in both:
                out, err = process.communicate(timeout=120)
                assert process.returncode == 0, (out, err)
            listed = {c["name"]: c for c in s.json("list")["clusters"]}
            assert {n: c["state"] for n, c in listed.items()} == {"left": "running", "right": "running"}, listed
            ports = [port for c in listed.values() for port in c["postgresPorts"]]
            assert len(ports) == len(set(ports)) == 2, listed
            # By directory, by name, and by the environment.
            s.run("psql", "--", "-c", "create table if not exists here (a int)", cwd=places[0])
            assert s.run("psql", "--cluster", "left", "--", "-Atc", "select count(*) from here").stdout.strip() == "0"
            missing = s.run("psql", "--", "-c", "select 1 from here", env={"MULTIGRES_CLUSTER": "right"}, check=False)
            assert missing.returncode != 0 and "here" in missing.stderr, missing
            # In each other's way while they stop, too.
            both = [subprocess.Popen([CLI, "down"], cwd=p, env=s.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                     text=True) for p in places]
            for process in both:
                out, err = process.communicate(timeout=60)
                assert process.returncode == 0, (out, err)


def another_version_of_the_agent_is_told_of_on_stderr_only():
    with Sandbox("skew") as s:
        s.run("agent", "start")
        discovery = next(s.runtime.rglob("agent*.json"))
        info = json.loads(discovery.read_text())
        own = info["version"]
        discovery.write_text(json.dumps({**info, "version": "0.0.9"}))
        status = s.run("status", "--json", check=False)
        assert json.loads(status.stdout)["state"] == "stopped", status
        assert status.stderr.count("warning:") == 1 and "0.0.9" in status.stderr and own in status.stderr, status.stderr
        # One that speaks no protocol of ours is refused, with the way out.
        low = {key: (99 if "rotocol" in key else value) for key, value in info.items()}
        discovery.write_text(json.dumps(low))
        refused = s.run("status", check=False)
        assert refused.returncode not in (0, 4) and "agent restart" in refused.stderr, (low, refused)
        s.run("agent", "restart")
        assert s.run("status", check=False).stderr.count("warning") == 0


def broken_state_files_are_made_up_for():
    with Sandbox("broken") as s:
        s.run("up", "--cells", "1")
        s.sql("create table kept (a int); insert into kept values (1)")
        before = s.pids()
        root = pathlib.Path(s.status()["rootDirectory"])
        for file in (root / "cluster.json", s.home / "clusters.json", s.home / "events.jsonl"):
            for ruin in (lambda data: data[:len(data) // 2], lambda data: b"\0" * 64, lambda data: None):
                os.kill(s.agent_pid(), signal.SIGKILL)
                # One that was unreadable may not have been written again yet: nothing has changed since.
                data = ruin(file.read_bytes() if file.exists() else b"{}")
                file.unlink(missing_ok=True) if data is None else file.write_bytes(data)
                assert s.pids() == before, (file, data)
                eventually(lambda: s.status()["state"] == "running", what=f"running again without {file} as it was")
                s.run("up")  # writes both anew
                assert s.pids() == before, (file, data)
                assert s.json("list")["clusters"][0]["state"] == "running", file
                assert s.run("events", "--json").stdout, file
        assert s.sql("select a from kept") == "1"
        s.run("down", "--clean", "--yes")
        assert not root.exists(), list(root.rglob("*"))


def a_cluster_whose_record_is_lost_is_not_made_anew():
    with Sandbox("lost") as s:
        s.run("up", "--cells", "1")
        root = pathlib.Path(s.status()["rootDirectory"])
        before = s.pids()
        os.kill(s.json("agent", "status")["info"]["pid"], signal.SIGKILL)
        (root / "cluster.json").unlink()
        (root / "cluster.json.previous").write_text("{")
        refused = s.run("up", "--cells", "1", check=False)
        assert refused.returncode == 1 and "cluster.json, is lost" in refused.stderr and "data" in refused.stderr, refused
        assert len(list((root / "data").glob("pooler_*"))) == 1, "data beside the data"
        assert all(alive(pid) for pid in before.values()), "what runs goes on"
        s.run("down", "--clean", "--yes")


def an_agent_is_replaced_and_a_reboot_survived():
    with Sandbox("replace") as s:
        s.run("up", "--cells", "1")
        s.sql("create table t (a int); insert into t values (1)")
        before, agent = s.pids(), s.agent_pid()
        client = subprocess.Popen([CLI, "psql", "--", "-XAtq"], cwd=s.work, env=s.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        client.stdin.write("select 'connected';\n")
        client.stdin.flush()
        assert client.stdout.readline() == "connected\n"
        s.run("agent", "restart")
        assert s.agent_pid() != agent and not alive(agent)
        assert s.pids() == before
        client.stdin.write("select 'still ' || a from t;\n")
        client.stdin.close()
        assert client.stdout.readline() == "still 1\n"
        assert client.wait(timeout=10) == 0

        # Everything ends, and the next agent finds another boot.
        os.kill(s.agent_pid(), signal.SIGKILL)
        for pid in s.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        eventually(lambda: not s.processes(), what="everything has ended")
        s.env["MULTIGRES_TEST_BOOT_ID"] = "another"
        status = s.status()
        assert status["state"] == "stopped" and "reboot" in status["reason"], status["reason"]
        assert not [p for p in s.processes() if p != s.agent_pid()], "a reboot's victims are not started by themselves"
        s.run("up")
        assert {c["name"]: c["ports"] for c in s.status()["components"]}.keys() == before.keys()
        assert s.sql("select a from t") == "1"


def the_last_events(s):
    """`--tail` cuts what is kept, of the components that were asked for; with --watch new ones follow, each once."""
    everything = s.run("events", "--json").stdout.splitlines()
    assert s.run("events", "--json", "--tail", "2").stdout.splitlines() == everything[-2:]
    assert s.run("events", "--json", "-n", "0").stdout == ""
    ones = [line for line in everything if json.loads(line).get("component") == "multigateway/zone1"]
    assert s.run("events", "multigateway", "--json", "--tail", "1").stdout.splitlines() == ones[-1:]
    watch = subprocess.Popen([s.cli, "events", "--watch", "--tail", "1", "--json"], cwd=s.work, env=s.env, stdout=subprocess.PIPE, text=True)
    try:
        assert watch.stdout.readline() == everything[-1] + "\n"
        s.run("restart", "multigateway/zone1")
        new = s.run("events", "--json").stdout.splitlines()[len(everything):]
        assert new and [watch.stdout.readline().rstrip("\n") for _ in new] == new
    finally:
        watch.kill()
        watch.wait()


def a_database_waits_for_the_new_configuration(s, place):
    """It would be made by the new one beside components of the old one."""
    before = place.read_text()
    place.write_text(before.replace("7MB", "9MB"))
    refused = s.run("topology", "db", "create", "shop", "--json", check=False)
    error = json.loads(refused.stderr[refused.stderr.index("{"):])["error"]
    assert error["reason"] == "CONFIGURATION_CHANGED" and "work_mem" in error["message"], error
    assert refused.returncode == error["exitCode"] == 4 and error["hint"] == "run 'multigres up' first, which applies it", error
    assert s.run("topology", "db", "list").stdout == "postgres\n"
    s.run("up")
    assert s.sql("show work_mem") == "9MB"
    s.run("topology", "db", "create", "shop")
    assert s.run("topology", "db", "list").stdout == "postgres\nshop\n"
    s.run("topology", "db", "delete", "shop", "--yes")
    place.write_text(before)
    s.run("up")


def an_edited_file_changes_only_what_it_says():
    with Sandbox("edit") as s:
        place = s.work / "multigres.yaml"
        place.write_text("name: edited\ncells: 1\n")
        s.run("up")
        before = s.pids()
        place.write_text("name: edited\ncells: 1\npostgres:\n  settings:\n    work_mem: 7MB\n")
        changes = s.json("cluster", "diff")
        assert "work_mem" in json.dumps(changes), changes
        s.run("up")
        assert s.sql("show work_mem") == "7MB"
        assert s.pids() == before, "work_mem needs no restart"
        changed = [line for line in s.run("events").stdout.splitlines() if "configuration-changed" in line]
        assert changed and "work_mem" in changed[-1], changed
        the_last_events(s)
        a_database_waits_for_the_new_configuration(s, place)
        before = s.pids()
        place.write_text("name: edited\ncells: 1\npostgres:\n  settings:\n    work_mem: 7MB\n    shared_buffers: 24MB\n")
        s.run("up")
        assert s.sql("show shared_buffers") == "24MB"
        after = s.pids()
        assert {n for n in after if after[n] != before[n]} == {"postgres/zone1"}, (before, after)
        place.write_text("name: edited\ncells: 1\npostgres: [\n")
        refused = s.run("up", check=False)
        assert refused.returncode == 2 and "multigres.yaml:" in refused.stderr, refused
        assert s.pids() == after


def on_a_terminal(s, columns, *words):
    """What a command shows there."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    process = subprocess.Popen([CLI, *words], cwd=s.work, env=s.env, stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.STDOUT)
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 65536):
            shown += piece
    except OSError:
        pass  # its last process has ended
    os.close(ours)
    process.wait()
    return re.sub("\x1b\\[[0-9;]*m", "", shown.decode()).replace("\r\n", "\n")


def the_doctor_finds_and_mends():
    with Sandbox("doctor") as s:
        for columns in (60, 80):
            lines = on_a_terminal(s, columns, "doctor").splitlines()
            assert len(lines) > 10 and lines[0].startswith("binaries"), lines
            # A path may be longer than a line; what is made of words is not.
            assert all(len(line) <= columns or " " not in line.strip() for line in lines if "/" not in line), lines
        well = s.json("doctor", check=False)
        checks = {c["check"] for c in well["checks"]}
        assert checks >= {"binaries", "versions", "configuration", "state", "socket-path", "leftovers", "ports", "limits", "disk", "clock",
                          "locale", "shared-memory", "cgroup"}, checks
        s.run("up", "--cells", "1")
        os.kill(s.agent_pid(), signal.SIGKILL)
        (s.work / "multigres.yaml").write_text("cels: 1\n")
        ill = s.run("doctor", "--json", check=False)
        assert ill.returncode == 4, ill
        found = {c["check"]: c for c in json.loads(ill.stdout)["checks"] if c["state"] != "ok"}
        assert "cels" in found["configuration"]["detail"], found
        assert found["leftovers"]["fixable"], found
        (s.work / "multigres.yaml").unlink()
        s.run("doctor", "--fix", check=False)
        mended = {c["check"]: c["state"] for c in s.json("doctor", check=False)["checks"]}
        assert mended["leftovers"] == "ok", mended
        s.run("up", "--cells", "1")


def a_state_directory_deleted_while_it_runs():
    def delete(s):
        agent, old = s.agent_pid(), [p for p in s.processes() if p != s.agent_pid()]
        shutil.rmtree(s.home, ignore_errors=True)
        eventually(lambda: not alive(agent), what="the agent ends without its state directory")
        shutil.rmtree(s.home, ignore_errors=True)  # what it wrote meanwhile
        assert old and all(alive(p) for p in old), "the components are nobody's now"
        return old

    with Sandbox("deleted") as s:
        s.run("up", "--cells", "1")
        old = delete(s)
        found = [c for c in s.json("doctor", check=False)["checks"] if c["check"] == "leftovers" and c["state"] != "ok"]
        assert found and found[0]["fixable"] and str(s.home) in found[0]["detail"], found
        s.run("up", "--cells", "1")
        assert not [p for p in old if alive(p)], "nothing of the deleted cluster runs beside the new one"
        assert s.sql("select 1") == "1"
        assert s.json("status")["state"] == "running"

        old = delete(s)
        s.run("doctor", "--fix", check=False)
        assert not s.processes(), "the doctor ended them"
        assert not [p for p in old if alive(p)]


def a_bundle_has_what_helps_and_no_secret():
    secrets = {"superuser": "sup3r-s3cret-77", "role": "r0le-s3cret-88", "url": "url-s3cret-99", "token": "tok-s3cret-11"}
    with Sandbox("bundle") as s:
        (s.work / "multigres.yaml").write_text(
            f"name: bundled\ncells: 1\npostgres:\n  password: {secrets['superuser']}\n  settings:\n    log_statement: all\n")
        s.run("up")
        s.sql(f"create role someone login password '{secrets['role']}'")
        s.sql(f"select 'postgresql://someone:{secrets['url']}@example.org/db', '{{\"token\": \"{secrets['token']}\"}}'")
        eventually(lambda: secrets["url"] in s.run("logs", "postgres/zone1").stdout, what="the log has the statement")
        told = s.json("bundle", "--file", "report.tar.gz")
        path = s.work / "report.tar.gz"
        assert told["path"] == str(path) and told["bytes"] == str(path.stat().st_size), told
        assert path.stat().st_mode & 0o777 == 0o600
        with tarfile.open(path) as archive:
            names = [m.name.split("/", 1)[1] for m in archive.getmembers() if m.isfile()]
            texts = {m.name: archive.extractfile(m).read() for m in archive.getmembers() if m.isfile()}
        wanted = {"README", "versions.txt", "machine.txt", "doctor.json", "status.json", "agent/events.jsonl", "config/multigres.yaml", "cluster.json",
                  "logs/postgres/zone1/current.log", "run/multipooler/zone1/launch"}
        assert wanted <= set(names), wanted - set(names)
        for what, secret in secrets.items():
            holders = [name for name, text in texts.items() if secret.encode() in text]
            assert not holders, f"the {what}'s secret is in {holders}"
        whole = b"".join(texts.values())
        assert b"[removed]" in whole and b"create role someone" in whole and b'"running"' in whole

        # Without an agent, and with none started.
        s.run("agent", "stop")
        s.run("bundle", "--file", str(s.work / "second.tar.gz"))
        assert not [p for p in s.processes() if "multigres-agent" in os.readlink(f"/proc/{p}/exe")]
        refused = s.run("bundle", "--file", "/proc/none/b.tar.gz", check=False)
        assert refused.returncode != 0 and "Error" in refused.stderr or "error" in refused.stderr, refused
    assert BUILD.exists() and shutil.which("tar")


if __name__ == "__main__":
    main([several_clusters_side_by_side, another_version_of_the_agent_is_told_of_on_stderr_only, broken_state_files_are_made_up_for,
          a_cluster_whose_record_is_lost_is_not_made_anew, an_agent_is_replaced_and_a_reboot_survived, an_edited_file_changes_only_what_it_says,
          the_doctor_finds_and_mends, a_state_directory_deleted_while_it_runs, a_bundle_has_what_helps_and_no_secret])

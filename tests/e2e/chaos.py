#!/usr/bin/env python3
"""multigres chaos end to end: what it reports, what it refuses, and that whatever it did is undone, whoever dies meanwhile."""

import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time

from harness import CLI, Failure, Sandbox, alive, eventually, main


def process_state(pid):
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


def record(s):
    return pathlib.Path(s.status()["rootDirectory"]) / "run" / "chaos.json"


def start(s, *words):
    return subprocess.Popen([CLI, "chaos", *words, "--yes", "--json"], cwd=s.work, env=s.env, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def well(s):
    eventually(lambda: s.status()["state"] == "running", 60, "all is well again")


def helper_of(s):
    return next((p for p in s.processes() if os.readlink(f"/proc/{p}/exe").endswith("multigres-chaos")), None)


def test_faults():
    with Sandbox("chaos") as s:
        s.run("up")
        refusals(s)
        a_kill_is_reported(s)
        a_kill_that_nobody_notices_is_reported_in_words(s)
        a_partition_moves_the_primary_and_is_mended(s)
        a_postgres_that_is_cut_off_is_replaced(s)
        undone_on_interrupt(s)
        undone_when_the_agent_dies(s)
        undone_when_agent_and_helper_die(s)


def refusals(s):
    for words, status, said in (
            (["kill", "multipooler/nowhere", "--yes"], 3, "no component or cell"),
            (["kill", "etcd"], 2, "confirmation"),
            (["freeze", "etcd", "--for", "soon", "--yes"], 2, "no duration"),
            (["partition", "pgctld/zone1", "--yes"], 2, "nobody outside"),
            (["fill-disk", "multigateway/zone1", "--yes"], 2, "keeps no data"),
            (["fill-disk", "postgres/zone1", "--up-to", "900GB", "--yes"], 4, "too little")):
        result = s.run("chaos", *words, check=False)
        if result.returncode != status or said not in result.stderr:
            raise Failure(f"chaos {words}: exited {result.returncode}, said {result.stderr}")
    data = pathlib.Path(s.status()["rootDirectory"])
    if os.stat(data).st_dev == os.stat("/").st_dev:
        result = s.run("chaos", "fill-disk", "postgres/zone1", "--yes", check=False)
        assert result.returncode == 4 and "other programs may need it" in result.stderr, result.stderr
    report = s.json("chaos", "fill-disk", "postgres/zone1", "--up-to", "3MB", "--for", "500ms", "--yes")["report"]
    assert report["undoneSeconds"] >= 0.4 and report["lostWrites"] == 0, report
    assert not list(data.rglob("multigres-chaos.fill"))


def a_kill_is_reported(s):
    report = s.json("chaos", "kill", "primary", "--yes")["report"]
    assert report["kind"] == "kill" and report["components"] == [report["primaryBefore"]], report
    assert report["detectedSeconds"] < 10 and report["detectedBy"], report
    assert report["verified"] and report["lostWrites"] == 0 and report["firstWriteSeconds"] < 20, report
    assert len(report["gateways"]) == 3 and all(g["acknowledged"] > 0 for g in report["gateways"]), report
    assert not record(s).exists()
    well(s)


def a_kill_that_nobody_notices_is_reported_in_words(s):
    told = s.run("chaos", "kill", "multiorch/zone3", "--yes").stdout
    if not re.search(r"^first write +(writes never stopped|\d+\.)", told, re.M) or re.search(r"first write +0\.[0-4]", told):
        raise Failure(told)
    well(s)


def a_partition_moves_the_primary_and_is_mended(s):
    before = s.status()
    cell = next(c["cell"] for c in before["components"] if c["kind"] == "postgres" and c["role"] == "primary")
    report = s.json("chaos", "partition", cell, "--for", "8s", "--yes", timeout=120)["report"]
    assert report["primaryBefore"] == f"postgres/{cell}" and report["primaryAfter"] not in ("", f"postgres/{cell}"), report
    assert report["verified"] and report["lostWrites"] == 0 and report["firstWriteSeconds"] < 8, report
    well(s)
    names = [f"multipooler/{cell}", f"multiorch/{cell}", f"multigateway/{cell}"]
    pids = s.pids()
    assert all(pids[n] == next(c["pid"] for c in before["components"] if c["name"] == n) for n in names), "a partition restarts nothing"


def a_postgres_that_is_cut_off_is_replaced(s):
    """Its pooler is in everybody's reach, and says that no standby confirms anything."""
    time.sleep(10)  # a rule as young as that is left alone, by its age alone
    report = s.json("chaos", "partition", "primary", "--for", "15s", "--yes", timeout=120)["report"]
    assert report["primaryAfter"] not in ("", report["primaryBefore"]), report
    assert report["verified"] and report["lostWrites"] == 0 and report["firstWriteSeconds"] < 10, report
    well(s)


def undone_on_interrupt(s):
    pid = s.component("multiorch/zone1")["pid"]
    process = start(s, "freeze", "multiorch/zone1", "--for", "60s", "--no-probe")
    eventually(lambda: process_state(pid) == "T", 20, "the orch is frozen")
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=30)
    assert process.returncode == 0 and json.loads(out)["report"]["undoneSeconds"] < 60, (out, errors)
    assert process_state(pid) != "T" and not record(s).exists()


def undone_when_the_agent_dies(s):
    pid = s.component("multiorch/zone2")["pid"]
    process = start(s, "freeze", "multiorch/zone2", "--for", "60s", "--no-probe")
    eventually(lambda: process_state(pid) == "T", 20, "the orch is frozen")
    os.kill(s.agent_pid(), signal.SIGKILL)
    eventually(lambda: process_state(pid) != "T" and helper_of(s) is None, 20, "the helper undoes it by itself")
    process.communicate(timeout=60)
    assert process.returncode != 0 and not record(s).exists()


def undone_when_agent_and_helper_die(s):
    pid = s.component("multiorch/zone3")["pid"]
    process = start(s, "freeze", "multiorch/zone3", "--for", "60s", "--no-probe")
    eventually(lambda: process_state(pid) == "T", 20, "the orch is frozen")
    file, agent, helper = record(s), s.agent_pid(), helper_of(s)
    os.kill(agent, signal.SIGSTOP)  # so that it cannot undo what the helper leaves
    os.kill(helper, signal.SIGKILL)
    os.kill(agent, signal.SIGKILL)
    eventually(lambda: not alive(agent), what="the agent is gone")
    assert process_state(pid) == "T" and file.exists()
    process.communicate(timeout=60)
    s.status()  # its agent finds the record
    eventually(lambda: process_state(pid) != "T" and not file.exists(), 20, "the next agent undoes it")


def test_a_full_disk():
    if os.geteuid() != 0:
        print("skipped: a file system can be mounted by root only")
        return
    with tempfile.TemporaryDirectory(prefix="mg-e2e-disk-", dir="/tmp") as place:
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1g,mode=755", "tmpfs", place], capture_output=True).returncode != 0:
            print("skipped: no file system can be mounted here")
            return
        try:
            with Sandbox("disk") as s:
                s.env["MULTIGRES_HOME"] = f"{place}/home"
                s.run("up")
                report = s.json("chaos", "fill-disk", "primary", "--for", "2s", "--yes")["report"]
                assert report["verified"] and report["lostWrites"] == 0, report
                well(s)
                assert s.sql("select 1") == "1"
                s.run("down", "--clean", "--yes")
                s.run("agent", "stop")
        finally:
            subprocess.run(["umount", place], check=True)


if __name__ == "__main__":
    main([test_faults, test_a_full_disk])

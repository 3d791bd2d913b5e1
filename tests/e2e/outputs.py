"""Every command that only reads, in its three forms of output, on a running cluster."""

import json
import os
import pathlib
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request

from harness import Sandbox, eventually, main

READS = [
    ["status"], ["list"], ["version"], ["doctor"], ["agent", "status"], ["cluster", "diff"], ["events"], ["why", "multipooler/zone1"],
    ["wait", "--for", "ready"], ["connection-string"], ["topology", "cell", "list"], ["topology", "cell", "get", "zone1"],
    ["topology", "db", "list"], ["topology", "db", "list", "--long"], ["topology", "db", "get", "postgres"], ["topology", "tree"], ["gateway", "list"], ["gateway", "list", "--cell", "zone2"],
    ["gateway", "get", "multigateway/zone1"], ["pooler", "list"], ["pooler", "list", "--database", "postgres"], ["pooler", "get", "zone1"],
    ["pooler", "status", "multipooler/zone2"], ["pooler", "replication"], ["orch", "list"], ["orch", "get", "zone2"], ["tablegroup", "list"],
    ["shard", "list"], ["shard", "get"], ["up", "--dry-run"],
    ["gateway", "queries"], ["gateway", "queries", "zone2", "--limit", "0", "--sort", "p99"], ["gateway", "consolidator"],
    ["admin", "whoami"], ["admin", "token", "list"],
]


def every_read_in_every_form():
    with Sandbox("outputs") as s:
        s.run("up", "--cells", "2")
        for words in READS:
            text = s.run(*words, check=False)
            assert text.returncode in (0, 4) and text.stdout and not text.stdout.startswith("{"), (words, text)
            answer = s.run(*words, "--json", check=False)
            lines = answer.stdout.splitlines() if words == ["events"] else [answer.stdout]
            for line in lines:
                assert isinstance(json.loads(line), dict), (words, answer)
            assert s.run(*words, "--output", "json", check=False).stdout[0] == "{", words
            yaml = s.run(*words, "--yaml", check=False).stdout
            assert yaml and not yaml.startswith("{") and ":" in yaml, (words, yaml)
            # Piped, nothing is cut or coloured.
            assert "\x1b" not in text.stdout and "…" not in text.stdout, (words, text.stdout)


def what_gateways_were_asked(s):
    for number in (7, 8):
        s.sql(f"select count(*) from pg_class where oid > {number}", cell="zone2")
    s.sql("select 1 / 0", cell="zone2", check=False)

    def rows(*words):
        return s.json("gateway", "queries", *words)["snapshot"]["queries"]

    here = {row["normalizedSql"]: row for row in rows("zone2", "--limit", "0")}
    counted = [row for text, row in here.items() if "pg_class" in text]
    assert len(counted) == 1 and int(counted[0]["calls"]) == 2 and int(counted[0]["totalRows"]) == 2, here
    assert "7" not in counted[0]["normalizedSql"] and "8" not in counted[0]["normalizedSql"], counted
    assert sum(int(row.get("errors", 0)) for row in here.values()) == 1, here
    assert not [row for row in rows("zone1", "--limit", "0") if "pg_class where oid" in row["normalizedSql"]]
    assert len(rows("zone2", "--limit", "1", "--sort", "calls")) == 1
    assert counted[0]["fingerprint"] in s.run("gateway", "queries", "multigateway/zone2", "--limit", "0").stdout
    assert "connections" in s.run("gateway", "consolidator", "zone2").stdout
    for words, code in ((["queries", "zone9"], 3), (["consolidator", "zone9"], 3), (["queries", "--limit", "x"], 2), (["queries", "--sort", "x"], 2)):
        refused = s.run("gateway", *words, check=False)
        assert refused.returncode == code and refused.stderr, (words, refused)


def what_connections_lead_to(s):
    """A database that is nowhere is refused before anything is started on it; one of PostgreSQL's own is none such."""
    for words in (["connection-string"], ["env"], ["psql"]):
        refused = s.run(*words, "--database", "postgers", "--json", check=False)
        error = json.loads(refused.stderr)["error"]
        assert refused.returncode == 3 and error["reason"] == "UNKNOWN_DATABASE" and "'postgres'" in error["hint"], (words, refused)
    s.run("psql", "--", "-c", "CREATE DATABASE of_its_own")
    assert "dbname=of_its_own" in s.run("connection-string", "--database", "of_its_own").stdout
    assert s.run("psql", "--database", "of_its_own", "--", "-Atc", "SELECT current_database()").stdout == "of_its_own\n"


def what_the_topology_says():
    with Sandbox("reads") as s:
        s.run("up")
        what_gateways_were_asked(s)
        tree = s.json("topology", "tree")
        assert [c["name"] for c in tree["cells"]] == ["zone1", "zone2", "zone3"]
        assert all(len(c["gateways"]) == 1 and len(c["orchs"]) == 1 for c in tree["cells"]), tree["cells"]
        shard = tree["databases"][0]["shards"][0]
        assert shard["durability"] == "AT_LEAST_2" and len(shard["cohort"]) == 3 and shard["rule"] == "{1,0}", shard
        roles = {p["name"]: p["role"] for p in shard["poolers"]}
        assert sorted(roles.values()) == ["primary", "standby", "standby"] and roles[shard["primary"]] == "primary", shard
        for pooler in shard["poolers"]:
            assert pooler["ready"] and pooler["serving"] == "serving" and (pooler["role"] == "primary" or pooler["link"] == "streaming"), pooler
        standby = next(name for name, role in roles.items() if role == "standby")

        # One that does not answer is told as such, and holds nobody up.
        pooler = s.component(standby)["pid"]
        os.kill(pooler, signal.SIGSTOP)
        try:
            told = {p["name"]: p for p in s.json("shard", "get")["poolers"]}
            assert told[standby]["error"] and not any(p["error"] for name, p in told.items() if name != standby), told
            # Its PostgreSQL answers as before, and is not at fault.
            status = json.loads(s.run("status", "--json", check=False).stdout)
            assert [c["name"] for c in status["components"] if not c["ready"]] == [standby], status["components"]
            for words in (["pooler", "status", standby], ["pooler", "replication", standby]):
                begun = time.monotonic()
                silent = s.run(*words, "--json", check=False)
                assert silent.returncode == 6 and json.loads(silent.stderr)["error"]["reason"] == "POOLER_SILENT", (words, silent)
                assert time.monotonic() - begun < 6, words
        finally:
            os.kill(pooler, signal.SIGCONT)
        eventually(lambda: all(p["ready"] for p in s.json("shard", "get")["poolers"]), 20, "it answers again")

        gateway = s.component("multigateway/zone2")["pid"]
        os.kill(gateway, signal.SIGSTOP)
        try:
            begun = time.monotonic()
            told = [(g["name"], g["error"]) for c in s.json("topology", "tree")["cells"] for g in c["gateways"]]
            assert told == [("multigateway/zone1", ""), ("multigateway/zone2", "does not answer"), ("multigateway/zone3", "")], told
            assert time.monotonic() - begun < 5
        finally:
            os.kill(gateway, signal.SIGCONT)

        what_connections_lead_to(s)
        for words in (["gateway", "get", "nobody"], ["pooler", "status", "zone9"], ["orch", "get", "x"], ["shard", "get", "none"]):
            refused = s.run(*words, "--json", check=False)
            assert refused.returncode == 3 and json.loads(refused.stderr)["error"]["hint"], (words, refused)
        assert "restarts" not in s.run("pooler", "status", standby).stdout
        s.run("pooler", "restarts", "off", standby)
        eventually(lambda: re.search("^restarts +off", s.run("pooler", "status", standby).stdout, re.M), 10, "a status that tells of it")
        s.run("pooler", "restarts", "on", standby)
        eventually(lambda: "restarts" not in s.run("pooler", "status", standby).stdout, 10, "the usual state")


def who_may_call_the_admin_api():
    with Sandbox("tokens") as s:
        s.run("up", "--cells", "1")
        status = s.status()
        assert not any("asks nobody" in n for n in status["notices"]), status["notices"]
        own = pathlib.Path(status["rootDirectory"]) / "admin-token"
        assert own.stat().st_mode & 0o777 == 0o600, oct(own.stat().st_mode)
        assert own.read_text().strip() not in pathlib.Path(f"/proc/{s.component('multiadmin')['pid']}/cmdline").read_text()
        port = s.component("multiadmin")["ports"]["http"]

        def cells(token):
            request = urllib.request.Request(f"http://127.0.0.1:{port}/api/v1/cells", headers={"Authorization": f"Bearer {token}"} if token else {})
            try:
                return urllib.request.urlopen(request, timeout=10).status
            except urllib.error.HTTPError as error:
                return error.code

        # Through the agent the CLI is the agent.
        me = s.json("admin", "whoami")
        assert (me["name"], me["role"], me["method"]) == ("local", "ROLE_ADMIN", "AUTH_METHOD_TOKEN"), me
        assert cells("") == 401 and cells("mgt_nothing") == 401

        # A token of another cluster is well-formed, and not known here.
        mark, id_, secret = own.read_text().strip().split("_", 2)
        foreign = f"{mark}_{id_[::-1]}_{secret}"
        request = urllib.request.Request(f"http://127.0.0.1:{port}/api/v1/cells", headers={"Authorization": f"Bearer {foreign}"})
        try:
            urllib.request.urlopen(request, timeout=10)
            raise AssertionError("another cluster's token was taken")
        except urllib.error.HTTPError as error:
            told = json.load(error)
            assert error.code == 401 and told["code"] == 16 and "TOKEN_UNKNOWN" in json.dumps(told["details"]), told
        place = s.work / "foreign"
        place.touch(mode=0o600)
        place.write_text(foreign)
        s.run("context", "add", "foreign", f"127.0.0.1:{s.component('multiadmin')['ports']['grpc']}", "--token-file", str(place))
        refused = s.run("cell", "list", "--context", "foreign", "--json", check=False)
        told = json.loads(refused.stderr)["error"]
        assert refused.returncode == 5 and told["reason"] == "TOKEN_UNKNOWN" and "another cluster" in told["hint"], refused
        s.run("context", "remove", "foreign")

        made = s.run("admin", "token", "create", "reader", "--role", "viewer", "--lifetime", "1h")
        secret = made.stdout.strip()
        assert secret.startswith("mgt_") and "only time" in made.stderr, made
        assert cells(secret) == 200
        listed = {t["name"]: t for t in s.json("admin", "token", "list")["tokens"]}
        assert listed["reader"]["role"] == "ROLE_VIEWER" and listed["reader"]["expiresAt"] and secret not in json.dumps(listed), listed
        assert "reader" in s.run("admin", "token", "list").stdout
        assert s.run("admin", "token", "create", "reader", check=False).returncode != 0
        with open("/dev/full", "w", encoding="utf-8") as full:
            lost = subprocess.run([s.cli, "admin", "token", "create", "lost"], cwd=s.work, env=s.env, stdout=full, stderr=subprocess.PIPE, text=True)
        assert lost.returncode == 1 and "error: the token was not made: cannot write the output" in lost.stderr, lost
        assert "lost" not in {t["name"] for t in s.json("admin", "token", "list")["tokens"]}, "a token whose secret nobody has"
        assert s.run("admin", "token", "create", "other", "--lifetime", "soon", check=False).returncode == 2
        unasked = s.run("admin", "token", "revoke", "reader", check=False)
        assert unasked.returncode == 2 and "revoke token reader (viewer)?" in unasked.stderr and "--yes" in unasked.stderr, unasked
        s.run("admin", "token", "revoke", "reader", "--yes")
        assert cells(secret) == 401
        assert s.run("admin", "token", "revoke", "reader", check=False).returncode == 3
        audit = s.run("logs", "audit").stdout
        assert "TokenService/CreateToken" in audit and "TokenService/RevokeToken" in audit and secret[13:] not in audit, audit

        # Another token for the agent; the old one ends with its file.
        before = own.read_text().strip()
        own.unlink()
        refused = s.run("admin", "whoami", "--json", check=False)
        assert json.loads(refused.stderr)["error"]["reason"] == "ADMIN_TOKEN_MISSING", refused
        s.run("up")
        assert own.read_text().strip() != before and s.json("admin", "whoami")["name"] == "local"
        assert cells(before) == 401


if __name__ == "__main__":
    main([every_read_in_every_form, what_the_topology_says, who_may_call_the_admin_api])

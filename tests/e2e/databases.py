#!/usr/bin/python3
"""Databases on demand: made, used through every gateway, failed over, stopped, repaired, deleted."""

import fcntl
import json
import os
import pathlib
import re
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from harness import Failure, Sandbox, alive, eventually, main  # noqa: E402


def sql(s, text, cell="zone1", database="shop", check=True, read_only=False):
    words = ["psql", "--cell", cell, "--database", database] + (["--read-only"] if read_only else [])
    result = s.run(*words, "--", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", text, check=check, timeout=60)
    return result.stdout.strip() if check else result


def expect(what, found, wanted):
    if found != wanted:
        raise Failure(f"{what}: {found!r} and not {wanted!r}")


def members(s, database="shop"):
    return {c["name"]: c for c in s.status()["components"] if c.get("database") == database
            and c["kind"] in ("pgctld", "postgres", "multipooler")}


def primary(s, database="shop"):
    leaders = [c["name"] for c in members(s, database).values() if c["kind"] == "postgres" and c.get("role") == "primary"]
    return leaders[0] if len(leaders) == 1 else None


def default_pids(s):
    """Processes of the default database, and those that all databases share but for the orchs, which are started anew."""
    return {c["name"]: c["pid"] for c in s.status()["components"] if c.get("database") != "shop" and c["kind"] != "multiorch"}


def well(s):
    eventually(lambda: s.status()["state"] == "running", 40, "all is well")


def begin(s, *words):
    return subprocess.Popen([s.cli, *words, "--json"], env=s.env, cwd=s.work, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True)


def at_once(s):
    """One operation at a time: of two creations one wins, the other is told so, and its name is as good as before."""
    runs = {name: begin(s, "db", "create", name, "--cells", "zone1") for name in ("first", "second")}
    ended = {name: (run.communicate(timeout=90), run.returncode) for name, run in runs.items()}
    losers = [name for name, (_, code) in ended.items() if code != 0]
    reasons = [json.loads(ended[name][0][1])["error"]["reason"] for name in losers]
    if len(losers) > 1 or set(reasons) - {"CLUSTER_BUSY"}:
        raise Failure(f"two at once: {ended}")
    for name in losers:
        s.run("db", "create", name, "--cells", "zone1")
    for name in runs:
        expect(name, sql(s, "select current_database()", "zone2", database=name), name)
        s.run("db", "delete", name, "--purge", "--yes")


def cut_off(run, reason, command):
    """The answer did not arrive: it says who is gone, and how to go on."""
    _, err = run.communicate(timeout=60)
    error = json.loads(err[err.index("{"):])["error"]
    if error["reason"] != reason or f"db {command}" not in error["hint"]:
        raise Failure(f"{command}, cut off: {error}")


def interrupted(s, root):
    """Whoever dies in the middle, what was begun is finished, or goes on when it is said again."""
    creating = begin(s, "db", "create", "other", "--cells", "zone1,zone2")
    eventually(lambda: members(s, "other").get("multipooler/zone1/other", {}).get("pid"), 30, "a creation has begun")
    os.kill(s.pids()["multiadmin"], signal.SIGKILL)
    cut_off(creating, "ADMIN_API_UNAVAILABLE", "create other")
    eventually(lambda: sql(s, "select 1", database="other", check=False).stdout.strip() == "1", 40, "a creation without the Admin API")
    well(s)
    again = s.run("db", "create", "other", "--json", check=False)
    expect("made again", (again.returncode, json.loads(again.stderr)["error"]["reason"]), (1, "DATABASE_EXISTS"))

    pids = [c["pid"] for c in members(s, "other").values()]
    agent = s.agent_pid()
    deleting = begin(s, "db", "delete", "other", "--purge", "--yes")
    eventually(lambda: not all(alive(pid) for pid in pids), 30, "a deletion has begun")
    os.kill(agent, signal.SIGKILL)
    cut_off(deleting, "AGENT_GONE", "delete other")
    eventually(lambda: not members(s, "other"), 40, "a deletion is finished by the next agent")
    well(s)
    expect("processes", [pid for pid in pids if alive(pid)], [])
    expect("directories", list(root.glob("*/*/*.other")), [])

    # An agent that dies while it makes one: the next one goes on.
    creating = begin(s, "db", "create", "other", "--cells", "zone1,zone2")
    eventually(lambda: members(s, "other").get("pgctld/zone1/other", {}).get("pid"), 30, "a creation has begun")
    os.kill(s.agent_pid(), signal.SIGKILL)
    cut_off(creating, "AGENT_GONE", "create other")
    eventually(lambda: sql(s, "select 1", database="other", check=False).stdout.strip() == "1", 40, "a creation by the next agent")
    well(s)


def interrupt(run):
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=90)
    return run.returncode, json.loads(err[err.index("{"):])["error"] if run.returncode else {}


def is_locked(path):
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
        except BlockingIOError:
            return True


def waits_for_a_backup(s, root):
    """The last backup of an interrupted deletion goes on; the next deletion makes its own after it."""
    s.run("db", "create", "saved", "--cells", "zone1")
    deleting = begin(s, "db", "delete", "saved", "--yes")
    eventually(lambda: any(is_locked(lock) for lock in root.glob("data/backups/saved*/**/.lock")), 30, "a backup has begun")
    code, error = interrupt(deleting)
    if code not in (0, 130):
        raise Failure(f"an interrupted backup: {code} {error}")
    if code == 130:
        s.run("db", "delete", "saved", "--yes")
    expect("what is left", members(s, "saved"), {})


def called_off(s):
    """Ctrl-C during a deletion: it says how it is finished, and it is; from afar the cluster goes on by itself."""
    s.run("db", "create", "brief", "--cells", "zone1")
    pids = [c["pid"] for c in members(s, "brief").values()]
    deleting = begin(s, "db", "delete", "brief", "--purge", "--yes")
    eventually(lambda: not all(alive(pid) for pid in pids), 30, "a deletion has begun")
    code, error = interrupt(deleting)
    if code != 0 and (code != 130 or "db delete brief" not in error["hint"]):
        raise Failure(f"an interrupted deletion: {code} {error}")
    if members(s, "brief"):
        s.run("db", "delete", "brief", "--purge", "--yes")
    expect("what is left", members(s, "brief"), {})

    root = pathlib.Path(s.status()["rootDirectory"])
    endpoint = f"127.0.0.1:{s.component('multiadmin')['ports']['grpc']}"
    s.run("context", "add", "far", endpoint, "--token-file", str(root / "admin-token"))
    told = s.run("db", "create", "brief", "--cells", "zone1", "--context", "far")
    if "database brief serves" not in told.stdout or "multipooler/zone1/brief" not in told.stderr:
        raise Failure(f"made from afar: {told.stdout}\n{told.stderr}")
    expect("listed from afar", sorted(s.json("db", "list", "--context", "far")["names"]), sorted(s.json("db", "list")["names"]))
    expect("serves", sql(s, "select current_database()", "zone2", database="brief"), "brief")
    pids = [c["pid"] for c in members(s, "brief").values()]
    deleting = begin(s, "db", "delete", "brief", "--purge", "--yes", "--context", "far")
    eventually(lambda: not all(alive(pid) for pid in pids), 30, "a deletion has begun")
    code, error = interrupt(deleting)
    if code != 0 and (code != 130 or error["reason"] != "INTERRUPTED" or "goes on" not in error["message"]):
        raise Failure(f"an interrupted deletion from afar: {code} {error}")
    eventually(lambda: not members(s, "brief"), 30, "a deletion that goes on without who asked for it")
    s.run("context", "remove", "far")


def a_database_is_made_used_and_deleted():
    with Sandbox("databases") as s:
        s.run("up")
        s.sql("create table here (a int); insert into here values (1)")
        refused = s.run("db", "create", "Bad Name", check=False)
        if refused.returncode != 2 or "lower-case letters" not in refused.stderr:
            raise Failure(f"a bad name: {refused.returncode} {refused.stderr}")
        # Nobody would start anything there, whether the topology knows such a cell or not.
        s.run("cell", "create", "zone9", check=False)
        told = s.run("db", "create", "other", "--cells", "zone9", check=False)
        if told.returncode != 3 or "the cluster's configuration has no such cell" not in told.stderr or "it has zone1, zone2, zone3" not in told.stderr:
            raise Failure(f"a cell that nobody looks after: {told.returncode} {told.stderr}")
        s.run("cell", "delete", "zone9", "--yes", check=False)
        told = s.run("db", "create", "shop")
        if "database shop serves" not in told.stdout or "multipooler/zone3/shop" not in told.stderr:
            raise Failure(f"told: {told.stdout}\n{told.stderr}")
        if s.run("db", "create", "shop", check=False).returncode == 0:
            raise Failure("made twice")
        well(s)

        # Its own PostgreSQL servers, by name through every gateway.
        sql(s, "create table goods (a int); insert into goods values (7)", "zone1")
        expect("through zone2", sql(s, "select a from goods", "zone2"), "7")
        eventually(lambda: sql(s, "select a from goods", "zone3", read_only=True, check=False).stdout.strip() == "7", 10, "a standby reads")
        expect("read-only", sql(s, "select pg_is_in_recovery()", "zone3", read_only=True), "t")
        if sql(s, "select * from here", check=False).returncode == 0 or sql(s, "select * from goods", database="postgres", check=False).returncode == 0:
            raise Failure("the databases see each other's tables")
        unknown = sql(s, "select 1", database="nothing", check=False)
        if "the cluster has no database 'nothing'" not in unknown.stderr:
            raise Failure(f"an unknown database: {unknown.stderr}")
        # Roles are the database's own.
        sql(s, "create role clerk login password 'sesame'")
        status = s.status()
        port = next(c["ports"]["postgres"] for c in status["components"] if c["name"] == "multigateway/zone2")
        import psycopg2
        psycopg2.connect(host="127.0.0.1", port=port, user="clerk", password="sesame", dbname="shop").close()
        try:
            psycopg2.connect(s.json("up")["conninfo"] + " dbname=nothing").close()
            raise Failure("a database that is nowhere was connected to")
        except psycopg2.OperationalError as error:
            if 'database "nothing" does not exist' not in str(error):
                raise
        try:
            psycopg2.connect(host="127.0.0.1", port=port, user="clerk", password="sesame", dbname="postgres")
            raise Failure("a role of shop logs in to postgres")
        except psycopg2.OperationalError as e:
            if "password authentication failed" not in str(e):
                raise Failure(str(e))

        # Everything that looks at components knows its.
        expect("databases", [d["database"]["name"] for d in s.json("db", "list", "--long")["databases"]], ["postgres", "shop"])
        expect("why", s.json("why", "multipooler/zone2/shop")["status"]["ready"], True)
        if "multipooler/zone2/shop" not in s.run("topology", "tree").stdout or not s.run("logs", "multipooler/zone2/shop", "--tail", "3").stdout:
            raise Failure("tree or logs")

        # Its primary dies; the default database is not touched.
        before, others = primary(s), s.pids()["postgres/zone1"]
        os.kill(members(s)[before.replace("postgres/", "multipooler/")]["pid"], signal.SIGKILL)
        os.kill(members(s)[before]["pid"], signal.SIGKILL)
        eventually(lambda: sql(s, "insert into goods values (8) returning a", "zone2", check=False).stdout.strip() == "8", 30, "writes go on")
        well(s)
        expect("the default database's server", s.pids()["postgres/zone1"], others)
        told = s.json("shard", "why", "shop/default/0-inf")
        expect("why of shop", (told["database"], told["oldPrimary"]), ("shop", before.replace("postgres/", "multipooler/")))
        expect("why of another", s.run("shard", "why", "postgres", check=False).returncode, 3)
        if "there is no database 'shp'" not in s.run("shard", "why", "shp", check=False).stderr:
            raise Failure("why of none")

        # A fault is judged by clients of the database that it hurts.
        leader = primary(s)
        report = s.json("chaos", "kill", "primary/shop", "--yes", "--timeout", "60s")["report"]
        expect("whom the fault hit", report["primaryBefore"], leader)
        if not report.get("firstWriteSeconds") or not all(g["acknowledged"] for g in report["gateways"]):
            raise Failure(f"chaos in shop: {report}")
        well(s)

        # Down and up bring it back, at the same ports; so does up after a crash of all that it has.
        ports = {name: c["ports"] for name, c in members(s).items()}
        s.run("down")
        s.run("up")
        expect("ports", {name: c["ports"] for name, c in members(s).items()}, ports)
        expect("rows", sql(s, "select count(*) from goods where a in (7, 8)", "zone3"), "2")
        for c in members(s).values():
            if c["pid"] and c["kind"] != "postgres":
                os.kill(c["pid"], signal.SIGKILL)
        s.run("up")
        expect("rows after a repair", sql(s, "select count(*) from goods where a in (7, 8)"), "2")
        expect("changes", s.json("cluster", "diff").get("changes", []), [])
        sql(s, "insert into goods values (9)")

        # Deletion asks, and makes a last backup.
        refused = s.run("db", "delete", "shop", check=False)
        if refused.returncode == 0 or "data of PostgreSQL in zone2" not in refused.stderr:
            raise Failure(f"deleted without a word: {refused.stderr}")
        if s.run("db", "delete", "postgres", "--yes", check=False).returncode == 0:
            raise Failure("the default database was deleted")
        pids = [c["pid"] for c in members(s).values() if c["pid"]]
        others = default_pids(s)
        told = s.run("db", "delete", "shop", "--yes")
        left = re.search(r"last backup of database shop, (\S+), stays in (\S+); .* --restore (shop\.\S+)'", told.stderr)
        if not left:
            raise Failure(f"told: {told.stderr}")
        expect("the default database's processes", default_pids(s), others)
        expect("processes", [pid for pid in pids if alive(pid)], [])
        expect("components", members(s), {})
        expect("registered", s.json("topology", "db", "list")["names"], ["postgres"])
        root = pathlib.Path(s.status()["rootDirectory"])
        backup = pathlib.Path(left[2])
        if not (backup / "last-backup").exists() or list(root.glob("run/*/*.shop")) or list(root.glob("logs/*/*.shop")):
            raise Failure(f"{told.stderr}; left {list(root.glob('run/*/*.shop'))}")
        expect("data that is left", len(list(root.glob("data/pooler_*"))), 3)
        if "the cluster has no database 'shop'" not in sql(s, "select 1", check=False).stderr:
            raise Failure("it still answers")
        well(s)
        # The name can be used again, in fewer cells.
        s.run("db", "create", "shop", "--cells", "zone1,zone2")
        expect("cells", sorted(c["cell"] for c in members(s).values() if c["kind"] == "postgres"), ["zone1", "zone2"])
        expect("a new one", sql(s, "select count(*) from pg_tables where tablename = 'goods'", "zone3"), "0")
        s.run("db", "delete", "shop", "--purge", "--yes")
        expect("backups that are left", list(root.glob("data/backups/shop.*")), [backup])
        # Or with what it had, in other cells than before.
        expect("restored from nothing", s.run("db", "create", "shop", "--restore", "shop.x", check=False).returncode, 3)
        s.run("db", "create", "shop", "--cells", "zone2,zone3", "--restore", left[3])
        expect("rows of before", sql(s, "select count(*) from goods where a in (7, 8, 9)"), "3")
        sql(s, "insert into goods values (10)")
        expect("backups", [b["backupId"] for b in s.json("backup", "list", "--database", "shop")["backups"]], [left[1]])
        well(s)
        at_once(s)
        called_off(s)
        waits_for_a_backup(s, root)
        interrupted(s, root)
        s.run("down", "--clean", "--yes")
        if root.exists():
            raise Failure(f"left: {list(root.iterdir())}")


def the_first_database_has_another_name():
    """As upstream's configuration may have it: commands that are told no database mean that one."""
    with Sandbox("first") as s:
        (s.work / "multigres.yaml").write_text(
            "provisioner: local\nprovisioner-config:\n  default-db-name: main\n"
            "  topology:\n    cells:\n      - {name: zone1, root-path: /multigres/zone1}\n")
        s.run("up")
        s.run("db", "create", "shop")
        expect("sessions", [sql(s, "select current_database()", database=name) for name in ("main", "shop")], ["main", "shop"])
        expect("psql", s.run("psql", "--", "-Atc", "select current_database()").stdout.strip(), "main")
        expect("rule", s.json("shard", "rule")["name"], "main/default/0-inf")
        expect("shard", s.json("shard", "get")["poolers"][0]["name"], "multipooler/zone1")
        expect("backups", s.json("backup", "list").get("backups", []), [])
        backup = s.json("backup", "create", "--primary")
        expect("backup of", backup["database"], "main")
        expect("backups", [b["database"] for b in s.json("backup", "list")["backups"]], ["main"])
        expect("names to complete", s.run("__complete", "--", "backup", "restore", "").stdout.split(), [backup["backupId"]])
        if "there is no database 'nope'" not in s.run("backup", "create", "--database", "nope", check=False).stderr:
            raise Failure("a backup of no database")
        s.run("down", "--clean", "--yes")


if __name__ == "__main__":
    main([a_database_is_made_used_and_deleted, the_first_database_has_another_name])

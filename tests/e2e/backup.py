"""Backups as a user makes them: create, list, verify, expire; a whole database brought back to a moment; a standby from a backup."""

import datetime
import json
import os
import time

from harness import Sandbox, eventually, main


def healthy(s):
    return s.run("status", check=False).returncode == 0


def standby(s):
    return next(c["name"] for c in s.status()["components"] if c["kind"] == "multipooler" and c.get("role") == "standby")


def term(s):
    return int(s.sql("select decision_coordinator_term from multigres.current_rule"))


def a_damaged_backup_is_told_of_soon(s, backup):
    """pgBackRest would try a file that cannot be unpacked again and again, for 38 s."""
    place = next(s.home.glob(f"clusters/*/data/backups/postgres/default/0-inf/pgbackrest/backup/multigres/{backup}/pg_data"))
    victim = max(place.rglob("*.gz"), key=lambda path: path.stat().st_size)
    whole = victim.read_bytes()
    victim.chmod(0o640)
    victim.write_bytes(whole[:len(whole) // 2] + bytes(16) + whole[len(whole) // 2 + 16:])
    for more in ([], ["--standby", standby(s)]):
        begun = time.monotonic()
        refused = s.run("backup", "restore", backup, *more, "--yes", "--timeout", "60s", "--json", check=False)
        took = time.monotonic() - begun
        error = json.loads(refused.stderr.splitlines()[-1])["error"]  # steps come before it
        assert refused.returncode == 1 and error["reason"] == "BACKUP_DAMAGED", refused
        assert took < 14, took  # pgBackRest's first wait alone is 15 s
        eventually(lambda: healthy(s), 60, "the former data")
    assert s.sql("select count(*) from t") == "3"
    victim.write_bytes(whole)


def a_database_comes_back_from_a_backup_and_the_log_after_it():
    with Sandbox("backup") as s:
        s.run("up")
        s.sql("create table t as select 1 as i")
        assert "has no backups" in s.run("backup", "list").stdout

        first = s.json("backup", "create")
        assert first["status"] == "completed" and first["engine"] in ("pg_basebackup", "pgBackRest"), first
        listed = s.json("backup", "list")["backups"]
        assert [b["backupId"] for b in listed] == [first["backupId"]], listed
        assert listed[0]["status"] == "BACKUP_STATUS_COMPLETE" and listed[0]["routingRole"] == "ROUTING_ROLE_REPLICA", listed
        assert int(listed[0]["backupSizeBytes"]) > 1_000_000, listed
        assert " standby " in s.run("backup", "list").stdout
        assert s.json("backup", "status", first["jobId"])["backupId"] == first["backupId"]
        assert s.run("backup", "status", "nothing", check=False).returncode == 3
        sideways = s.run("backup", "create", "--type", "sideways", check=False)
        assert sideways.returncode == 2 and "sideways" in sideways.stderr, sideways

        # What is written after the backup is in the archive, up to the mistake. Rules too: their terms are not used again.
        s.run("shard", "switch-primary")
        term_before = term(s)
        assert term_before >= 2
        s.sql("insert into t values (2)")
        moment = s.sql("select now()")
        eventually(lambda: s.sql(f"select clock_timestamp() > '{moment}'::timestamptz + interval '1 s'") == "t", what="a second")
        s.sql("drop table t")
        refused = s.run("backup", "restore", check=False)
        assert refused.returncode != 0 and "--yes" in refused.stderr, refused
        stamp = datetime.datetime.fromisoformat(moment.replace("+00", "+00:00")).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        restored = s.json("backup", "restore", "--to-time", stamp, "--yes", "--timeout", "120s")
        assert restored["backupId"] == first["backupId"] and len(restored["kept"]) == 3, restored
        assert s.sql("select string_agg(i::text, ',' order by i) from t") == "1,2"
        eventually(lambda: healthy(s), 60, "a healthy cluster after the restore")
        for kept in restored["kept"]:
            assert os.path.isdir(kept["path"]), kept
        s.sql("insert into t values (3)", cell="zone2")
        assert term(s) > term_before, (term(s), term_before)

        # A standby from a backup, and one that replays the rules of before the restore: no reason for another primary.
        second = s.json("backup", "create")
        term_before = term(s)
        for backup in (second, first):
            s.run("backup", "restore", backup["backupId"], "--standby", standby(s), "--yes", "--timeout", "120s")
            eventually(lambda: healthy(s), 60, "the restored standby streams")
            assert s.sql("select count(*) from t") == "3"
        assert term(s) == term_before, (term(s), term_before)

        # A damaged backup is told of, and expiry removes what is old.
        s.run("backup", "verify")
        if second["engine"] == "pg_basebackup":
            place = s.json("topology", "db", "get", "postgres")["database"]["backupLocation"]["filesystem"]["path"]
            with open(os.path.join(place, "postgres/default/0-inf/base", second["backupId"], "data/PG_VERSION"), "w") as file:
                file.write("99\n")
            bad = s.run("backup", "verify", check=False)
            assert bad.returncode == 1 and second["backupId"] in bad.stderr, bad
            # It is not restored either, and what is there stays.
            refused = s.run("backup", "restore", second["backupId"], "--yes", "--timeout", "60s", check=False)
            assert refused.returncode == 1 and "is damaged" in refused.stderr, refused
            assert s.sql("select count(*) from t") == "3"
        else:
            a_damaged_backup_is_told_of_soon(s, second["backupId"])
        assert first["backupId"] in s.run("backup", "expire", "--keep", "1", "--yes").stdout
        assert [b["backupId"] for b in s.json("backup", "list")["backups"]] == [second["backupId"]]

        # It goes on after a stop, as what it is now.
        s.run("down")
        s.run("up")
        assert s.sql("select count(*) from t") == "3"

        # A cell whose etcd does not answer holds up nothing that the others can do.
        made = s.run("cell", "create", "zone8", "--server-address", "127.0.0.1:1")
        assert "warning: the cell was created, but" in made.stderr and "does not answer" in made.stderr, made
        begun = time.monotonic()
        assert [b["backupId"] for b in s.json("backup", "list")["backups"]] == [second["backupId"]]
        s.run("backup", "expire", "--keep", "1", "--yes")
        took = time.monotonic() - begun
        assert took < 10, took
        s.json("backup", "create")
        s.run("backup", "restore", "--yes", "--timeout", "120s")
        assert s.sql("select count(*) from t") == "3"


def stamp(s):
    """The database's time, as --to-time takes it; returns when a second has passed since."""
    moment = s.sql("select clock_timestamp()")
    eventually(lambda: s.sql(f"select clock_timestamp() > '{moment}'::timestamptz + interval '1 s'") == "t", what="a second")
    return datetime.datetime.fromisoformat(moment.replace("+00", "+00:00")).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def archived(s, failures=False):
    """All nodes have archived what they have to, and it never failed."""
    s.sql("select pg_switch_wal()")
    eventually(lambda: not list(s.home.glob("clusters/*/data/pooler_*/pg_data/pg_wal/archive_status/*.ready")), 20, "archiving")
    failed = s.run("logs", "postgres", "--grep", "archive command failed", check=False).stdout
    assert failures or failed == "", failed


def archiving_outlives_failovers_and_a_restore_that_cannot_be_done_changes_nothing():
    with Sandbox("archive") as s:
        s.run("up")
        s.sql("create table t as select generate_series(1, 100) as i")
        s.json("backup", "create")
        s.run("chaos", "kill", "primary", "--yes", "--timeout", "60s")
        eventually(lambda: healthy(s), 60, "a healthy cluster after the kill")
        for _ in range(2):
            s.run("shard", "switch-primary")
            eventually(lambda: healthy(s), 60, "a healthy cluster after the switch")
            s.sql("insert into t select generate_series(1, 100)")
        archived(s)

        moment = stamp(s)
        s.sql("delete from t")
        s.json("backup", "restore", "--to-time", moment, "--yes", "--timeout", "120s")
        assert s.sql("select count(*) from t") == "300"
        eventually(lambda: healthy(s), 60, "three nodes after the restore")
        s.sql("insert into t values (1)")
        archived(s)

        # An archive that takes nothing is told of, and a restore does not begin before it takes everything again.
        repository = next(s.home.glob("clusters/*/data/backups/postgres/default/0-inf"))
        wal = repository / ("wal" if (repository / "base").exists() else "pgbackrest/archive")
        wal.rename(wal.with_name("away"))
        s.sql("insert into t values (1)")
        s.sql("select pg_switch_wal()")
        eventually(lambda: "cannot archive WAL" in s.status()["reason"], 20, "status about the archive")
        primary = next(c["name"] for c in s.status()["components"] if c["kind"] == "postgres" and c.get("role") == "primary")
        # (A standby may have tried first: each node archives.)
        eventually(lambda: "cannot archive WAL" in s.run("why", primary, check=False).stdout, 20, "why of the primary")
        blocked = s.run("backup", "restore", "--yes", "--timeout", "12s", check=False)
        # (pgBackRest lists no backup without an archive.)
        why = "archiving does not get ahead" if wal.name == "wal" else "there is no complete backup"
        assert blocked.returncode != 0 and why in blocked.stderr, blocked
        wal.with_name("away").rename(wal)
        s.sql("insert into t values (1)")
        archived(s, failures=True)
        eventually(lambda: healthy(s), 20, "archiving again")

        later = s.run("backup", "restore", "--to-time", "2999-01-01T00:00:00Z", "--yes", check=False)
        assert later.returncode != 0 and "yet to come" in later.stderr, later
        early = s.run("backup", "restore", "--to-time", "2001-01-01T00:00:00Z", "--yes", check=False)
        assert early.returncode != 0 and "no backup is as old" in early.stderr, early

        # The archive loses what the way to the moment needs.
        moment = stamp(s)
        primary = s.sql("select inet_server_port(), pg_postmaster_start_time()")
        newest = s.sql("select substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)")
        lost = [path for path in wal.rglob(f"{newest}0*") if path.is_file()]
        assert lost, newest
        for path in lost:
            path.unlink()
        s.sql("insert into t values (2)")
        hopeless = s.run("backup", "restore", "--to-time", moment, "--yes", "--timeout", "120s", check=False)
        assert hopeless.returncode != 0 and "nothing was done" in hopeless.stderr and "fails: " in hopeless.stderr, hopeless
        assert healthy(s) and s.sql("select count(*) from t") == "304"
        assert s.sql("select inet_server_port(), pg_postmaster_start_time()") == primary
        assert not list(s.home.glob("clusters/*/data/pooler_*/pg_data.restored"))


if __name__ == "__main__":
    main([a_database_comes_back_from_a_backup_and_the_log_after_it,
          archiving_outlives_failovers_and_a_restore_that_cannot_be_done_changes_nothing])

"""Backups as a user makes them: create, list, verify, expire; a whole database brought back to a moment; a standby from a backup."""

import datetime
import os

from harness import Sandbox, eventually, main


def healthy(s):
    return s.run("status", check=False).returncode == 0


def standby(s):
    return next(c["name"] for c in s.status()["components"] if c["kind"] == "multipooler" and c.get("role") == "standby")


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
        assert s.json("backup", "status", first["jobId"])["backupId"] == first["backupId"]
        assert s.run("backup", "status", "nothing", check=False).returncode == 3
        sideways = s.run("backup", "create", "--type", "sideways", check=False)
        assert sideways.returncode == 1 and "sideways" in sideways.stderr, sideways

        # What is written after the backup is in the archive, up to the mistake.
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

        # A standby from a backup.
        second = s.json("backup", "create")
        s.run("backup", "restore", second["backupId"], "--standby", standby(s), "--yes", "--timeout", "120s")
        eventually(lambda: healthy(s), 60, "the restored standby streams")
        assert s.sql("select count(*) from t") == "3"

        # A damaged backup is told of, and expiry removes what is old.
        s.run("backup", "verify")
        if second["engine"] == "pg_basebackup":
            place = s.json("topology", "db", "get", "postgres")["database"]["backupLocation"]["filesystem"]["path"]
            with open(os.path.join(place, "postgres/default/0-inf/base", second["backupId"], "data/PG_VERSION"), "w") as file:
                file.write("99\n")
            bad = s.run("backup", "verify", check=False)
            assert bad.returncode == 1 and second["backupId"] in bad.stderr, bad
        assert first["backupId"] in s.run("backup", "expire", "--keep", "1", "--yes").stdout
        assert [b["backupId"] for b in s.json("backup", "list")["backups"]] == [second["backupId"]]

        # It goes on after a stop, as what it is now.
        s.run("down")
        s.run("up")
        assert s.sql("select count(*) from t") == "3"


if __name__ == "__main__":
    main([a_database_comes_back_from_a_backup_and_the_log_after_it])

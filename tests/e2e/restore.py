"""A restore as a person sees it: its steps, an interrupt before and after the data is replaced, and new data that does not start."""

import json
import os
import pty
import signal
import socket
import subprocess
import threading

from harness import Failure, Sandbox, eventually, main


def healthy(s):
    return s.run("status", check=False).returncode == 0


def begin(s, *words):
    return subprocess.Popen([s.cli, "backup", "restore", "--json", "--yes", *words], env=s.env, cwd=s.work, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until(run, step):
    """Reads steps as they end, until this one has."""
    for line in run.stderr:
        if json.loads(line)["step"]["id"] == step:
            return
    raise Failure(f"no step {step}; exit status {run.wait()}")


def on_a_terminal(s, *words):
    """What a person on a terminal is shown."""
    master, slave = pty.openpty()
    run = subprocess.Popen([s.cli, *words], env={**s.env, "TERM": "xterm"}, cwd=s.work, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    shown = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    os.close(master)
    assert run.wait() == 0, shown.decode()
    return shown.decode()


def server(s, cell="zone1"):
    return s.sql("select inet_server_port(), pg_postmaster_start_time()", cell=cell)


class Thief:
    """Takes a server's port in the moment in which it is free."""

    def __init__(self, port):
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.port = port
        self.ended = False
        self.thread = threading.Thread(target=self.take)
        self.thread.start()

    def take(self):
        while not self.ended:
            try:
                self.socket.bind(("127.0.0.1", self.port))
                self.socket.listen()
                return
            except OSError:
                pass

    def give_back(self):
        self.ended = True
        self.thread.join()
        self.socket.close()


def port_of(s, name):
    return next(c["ports"]["postgres"] for c in s.status()["components"] if c["name"] == name)


def a_restore_shows_its_steps_and_can_be_called_off_and_followed():
    with Sandbox("restore") as s:
        s.run("up")
        s.sql("create table t as select 1 as i")
        s.json("backup", "create")
        assert s.run("backup", "restore", "--follow", check=False).returncode == 3

        # Off a terminal a line for each step; on one the steps with their clocks.
        told = s.run("backup", "restore", "--yes").stderr
        for step in ("check", "archive", "rehearse", "set-aside", "start", "serve"):
            assert any(line.startswith(step + ": ") and line.rstrip().endswith("s)") for line in told.splitlines()), told
        eventually(lambda: healthy(s), 60, "three nodes after the restore")
        shown = on_a_terminal(s, "backup", "restore", "--yes")
        assert "⠋ rehearse" in shown.replace("\x1b[36m", "").replace("\x1b[0m", "") or "rehearse" in shown, shown
        assert "✔" in shown and "a primary in " in shown and "is the primary" in shown, shown
        eventually(lambda: healthy(s), 60, "three nodes after the restore")

        # As long as the former data serves, Ctrl-C calls it off.
        before = server(s)
        run = begin(s)
        until(run, "archive")
        busy = s.run("backup", "restore", "--yes", "--json", check=False)
        assert json.loads(busy.stderr.splitlines()[-1] if "{\n" not in busy.stderr else busy.stderr)["error"]["reason"] == "RESTORE_RUNNING", busy
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=60)
        assert run.returncode == 130 and "called off" in err, (run.returncode, err)
        eventually(lambda: not list(s.home.glob("clusters/*/data/pooler_*/pg_data.restored")), 10, "nothing is left of it")
        assert server(s) == before and healthy(s)
        gone = s.run("backup", "restore", "--follow", check=False)
        assert gone.returncode == 130 and "called off" in gone.stderr, gone

        # Afterwards it goes on, and can be followed.
        run = begin(s)
        until(run, "set-aside")
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=60)
        assert run.returncode == 130 and "goes on" in err and "--follow" in err, (run.returncode, err)
        ended = s.json("backup", "restore", "--follow")
        assert len(ended["kept"]) == 3, ended
        assert s.sql("select count(*) from t") == "1"
        eventually(lambda: healthy(s), 60, "three nodes after the restore")


def now_of(s):
    return s.sql("select to_char(clock_timestamp() at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")


def a_moment_that_a_restore_took_back_can_be_had_all_the_same():
    with Sandbox("tookback") as s:
        s.run("up", "--cells", "1")
        s.sql("create table p (a int)")
        s.json("backup", "create", "--primary")
        moments = {}
        for number in (1, 2, 3):
            s.sql(f"insert into p values ({number})")
            moments[number] = now_of(s)
            eventually(lambda: now_of(s) > moments[number][:19] + "~", what="the next second")
        later = s.json("backup", "create", "--primary")["backupId"]

        def rows():
            eventually(lambda: healthy(s), 60, "the node after the restore")
            return s.sql("select string_agg(a::text, ',' order by a) from p")

        # Too far back, and so a little later: what was then, and not what the first restore has made of it.
        s.json("backup", "restore", "--to-time", moments[1], "--yes")
        assert rows() == "1", rows()
        s.json("backup", "restore", "--to-time", moments[2], "--yes")
        assert rows() == "1,2", rows()
        # The newest backup is of what was taken back; nothing leads from it to the present.
        refused = s.run("backup", "restore", later, "--to-time", now_of(s), "--yes", "--json", check=False)
        assert refused.returncode == 4 and '"BACKUP_OF_ANOTHER_TIMELINE"' in refused.stderr, refused
        first = s.json("backup", "restore", "--yes")["backupId"]
        assert first != later
        # The newer one is no reason to let that go from which alone the present data can be had.
        s.run("backup", "expire", "--keep", "1", "--yes")
        assert first in [b["backupId"] for b in s.json("backup", "list")["backups"]]
        assert rows() == "1,2", rows()
        # By its name it gives what it holds, and says so.
        told = s.run("backup", "restore", later, "--yes")
        assert f"{later}, which does not lead to the present data" in told.stderr, told.stderr
        assert rows() == "1,2,3", rows()


def a_gap_in_the_archive_is_not_the_end_of_what_was_written():
    with Sandbox("gap") as s:
        s.run("up", "--cells", "1")
        s.sql("create table h (a int)")
        s.json("backup", "create", "--primary")
        repository = next(s.home.glob("clusters/*/data/backups/postgres/default/0-inf"))
        names = []
        for number in (1, 2, 3):
            s.sql(f"insert into h values ({number})")
            names.append(s.sql("select pg_walfile_name(pg_switch_wal())"))

        def kept(name):
            return [p for p in repository.rglob(name + "*") if "partial" not in p.name and "backup" not in p.name and p.is_file()]

        eventually(lambda: all(kept(name) for name in names), 30, "three segments in the archive")
        s.run("backup", "verify")
        for path in kept(names[1]):
            path.unlink()
        verified = s.run("backup", "verify", "--json", check=False)
        assert verified.returncode == 1 and '"ARCHIVE_GAP"' in verified.stderr and names[1] in verified.stderr, verified
        refused = s.run("backup", "restore", "--yes", "--json", check=False)
        assert refused.returncode == 1 and '"ARCHIVE_GAP"' in refused.stderr, refused
        assert s.sql("select count(*) from h") == "3", "nothing was done"


def new_data_that_does_not_start_gives_way_to_the_former():
    with Sandbox("putback") as s:
        s.run("up")
        s.sql("create table t as select 1 as i")
        backup = s.json("backup", "create")["backupId"]
        s.sql("insert into t values (2)")
        moment = s.sql("select to_char(clock_timestamp() at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
        eventually(lambda: s.sql(f"select clock_timestamp() > '{moment}'::timestamptz + interval '1 s'") == "t", what="a second")
        s.sql("insert into t values (3)")

        # The seed cannot start: its port has another owner.
        claim = "zone1"
        thief = Thief(port_of(s, f"postgres/{claim}"))
        try:
            failed = s.run("backup", "restore", "--to-time", moment, "--yes", "--json", "--timeout", "120s", check=False)
        finally:
            thief.give_back()
        assert failed.returncode == 1 and "RESTORE_FAILED" in failed.stderr and "the former data serves again" in failed.stderr, failed
        assert s.sql("select string_agg(i::text, ',' order by i) from t", cell="zone2") == "1,2,3"
        s.sql("insert into t values (4)", cell="zone2")
        eventually(lambda: healthy(s), 60, "three nodes with their former data")
        for left in ("pg_data.before-restore", "pg_data.restored", "restore.json", "promises-before-restore.json"):
            assert not list(s.home.glob(f"clusters/*/data/pooler_*/{left}")), left

        # The same for one standby; the others do not notice.
        name = next(c["name"] for c in s.status()["components"] if c["kind"] == "postgres" and c.get("role") == "standby")
        thief = Thief(port_of(s, name))
        try:
            failed = s.run("backup", "restore", backup, "--standby", name.replace("postgres", "multipooler"), "--yes", "--timeout", "20s",
                           check=False)
            assert failed.returncode != 0, failed
        finally:
            thief.give_back()
        assert s.sql("select count(*) from t", cell="zone2") == "4"
        eventually(lambda: healthy(s), 60, "the standby with its former data")
        assert not list(s.home.glob("clusters/*/data/pooler_*/restore.json"))

        # And the restore as such works.
        s.run("backup", "restore", "--to-time", moment, "--yes", "--timeout", "120s")
        assert s.sql("select string_agg(i::text, ',' order by i) from t") == "1,2"
        eventually(lambda: healthy(s), 60, "three nodes with the restored data")


if __name__ == "__main__":
    main([a_restore_shows_its_steps_and_can_be_called_off_and_followed, a_moment_that_a_restore_took_back_can_be_had_all_the_same, a_gap_in_the_archive_is_not_the_end_of_what_was_written, new_data_that_does_not_start_gives_way_to_the_former])

#!/usr/bin/env python3
"""What --watch does to a terminal: it draws in place, never more than the terminal holds, as wide and high as that is now, and leaves
the whole of the last answer behind. The Admin API always says the same."""

import fcntl
import os
import pathlib
import pty
import re
import select
import signal
import struct
import subprocess
import tempfile
import termios
import time

BUILD = pathlib.Path(os.environ.get("MULTIGRES_BUILD_DIR", "build")).resolve()
CLI = str(BUILD / "bin" / "multigres")
ENTER, LEAVE, CLEAR = "\x1b[?1049h", "\x1b[?1049l", "\x1b[H\x1b[J"


class Watch:
    """A command on a terminal of its own."""

    def __init__(self, words, env, cwd, rows, columns):
        self.ours, theirs = pty.openpty()
        self.seen = ""
        self.resize(rows, columns)
        self.process = subprocess.Popen([CLI, *words], env=env, cwd=cwd, stdin=theirs, stdout=theirs, stderr=theirs, preexec_fn=self.lead)
        os.close(theirs)

    @staticmethod
    def lead():
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def resize(self, rows, columns):
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def until(self, what, limit=20):
        """Reads until `what` is true of all that was written so far."""
        end = time.monotonic() + limit
        while not what(self.seen):
            assert time.monotonic() < end, repr(self.seen)
            if select.select([self.ours], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self.ours, 65536).decode().replace("\r\n", "\n")
                except OSError:  # its end
                    assert what(self.seen), repr(self.seen)

    def screen(self):
        """What stands on the other screen now."""
        return re.sub(r"\x1b\[[0-9;]*m", "", self.seen.split(CLEAR)[-1])

    def end(self, with_signal):
        self.process.send_signal(with_signal)
        self.until(lambda seen: LEAVE in seen)
        return self.process.wait(timeout=20)


def taller_than_the_terminal(words, env, cwd):
    watch = Watch(words, env, cwd, 6, 80)
    watch.until(lambda seen: "more lines" in seen)
    lines = watch.screen().split("\n")
    assert len(lines) == 6 and lines[0] == "cells" and re.fullmatch(r"… \d+ more lines", lines[-1]), lines
    assert watch.seen.startswith(ENTER) and watch.seen.count(ENTER) == 1, repr(watch.seen)
    watch.resize(40, 30)
    watch.until(lambda seen: seen.count(CLEAR) > 1 and "databases" in watch.screen())
    assert "more lines" not in watch.screen() and all(len(line) <= 30 for line in watch.screen().split("\n")), watch.screen()
    drawn = watch.seen.count(CLEAR)
    assert watch.end(signal.SIGINT) == -signal.SIGINT
    assert watch.seen.count(CLEAR) == drawn, "drawn again, though nothing changed"
    left = watch.seen.split(LEAVE)[1]
    assert left.startswith("cells\n") and "databases\n" in left and left.endswith("\n"), repr(left)


def stopped_and_continued(words, env, cwd):
    """A shell has the usual screen, and the watch goes on."""
    watch = Watch(words, env, cwd, 40, 80)
    watch.until(lambda seen: "databases" in seen)
    watch.process.send_signal(signal.SIGTSTP)
    watch.until(lambda seen: LEAVE in seen)
    os.waitpid(watch.process.pid, os.WUNTRACED)
    watch.process.send_signal(signal.SIGCONT)
    watch.until(lambda seen: seen.count(ENTER) == 2 and "databases" in seen.split(ENTER)[-1])
    watch.seen = ""
    assert watch.end(signal.SIGTERM) == -signal.SIGTERM


def ends_by_itself(words, env, cwd):
    watch = Watch([*words, "--timeout", "1500ms"], env, cwd, 40, 80)
    watch.until(lambda seen: LEAVE in seen)
    assert watch.process.wait(timeout=20) == 0


def what_is_wrong_later(env, cwd):
    """The last answer stays to be seen, and below it what is wrong."""
    admin, address = serve()
    watch = Watch(["topology", "tree", "--watch", "--admin-server", address], env, cwd, 40, 80)
    watch.until(lambda seen: "databases" in seen)
    admin.stdin.close()
    admin.wait()
    watch.until(lambda seen: "error:" in watch.screen())
    assert watch.screen().startswith("cells\n") and "next:" in watch.screen(), watch.screen()
    watch.end(signal.SIGINT)


def not_on_a_terminal_that_is_one(words, env, cwd):
    """A dumb terminal gets one answer after the other, as a pipe does; what fails at once ends it before anything is drawn."""
    watch = Watch([*words, "--timeout", "1s"], {**env, "TERM": "dumb"}, cwd, 5, 80)
    watch.until(lambda seen: "databases" in seen)
    assert watch.process.wait(timeout=20) == 0 and "\x1b" not in watch.seen, repr(watch.seen)
    watch = Watch(["shard", "get", "nosuch", *words[2:]], env, cwd, 24, 80)
    watch.until(lambda seen: "next:" in seen)
    assert watch.process.wait(timeout=20) == 3 and ENTER not in watch.seen, repr(watch.seen)


def serve():
    admin = subprocess.Popen([str(BUILD / "tests" / "fixed-admin")], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    return admin, f"127.0.0.1:{admin.stdout.readline().strip()}"


def main():
    admin, address = serve()
    words = ["topology", "tree", "--watch", "--admin-server", address]
    with tempfile.TemporaryDirectory(prefix="mg-watch-", dir="/tmp") as directory:
        env = {"PATH": os.environ["PATH"], "HOME": directory, "MULTIGRES_HOME": f"{directory}/home", "XDG_RUNTIME_DIR": directory,
               "TERM": "xterm", "LANG": "C.UTF-8"}
        try:
            taller_than_the_terminal(words, env, directory)
            stopped_and_continued(words, env, directory)
            ends_by_itself(words, env, directory)
            what_is_wrong_later(env, directory)
            not_on_a_terminal_that_is_one(words, env, directory)
        finally:
            admin.stdin.close()
            admin.wait()


if __name__ == "__main__":
    main()

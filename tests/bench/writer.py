"""A client that writes one row after the other and keeps when each was acknowledged: what an application sees of a failover."""

import threading
import time

import psycopg2


class Writer:
    """Writes from a thread as long as it lives. `where` is given to psycopg2.connect; a write that is not answered within `limit`
    seconds counts as failed, as a driver's time-out would have it."""

    def __init__(self, where, limit=2.0):
        self.where, self.limit, self.stop = dict(where), limit, threading.Event()
        self.lock, self.acknowledged, self.errors, self.error_times = threading.Lock(), [], {}, []
        self.thread = threading.Thread(target=self.run, daemon=True)

    def connect(self):
        connection = psycopg2.connect(connect_timeout=2, **self.where)
        connection.autocommit = True
        return connection

    def __enter__(self):
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute("create table if not exists bench_writes (value bigint)")
        self.thread.start()
        self.wait_after(time.monotonic(), 30)
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()

    def run(self):
        connection, value = None, 0
        while not self.stop.is_set():
            begun = time.monotonic()
            try:
                if connection is None or connection.closed:
                    connection = self.connect()
                    begun = time.monotonic()
                watchdog = threading.Timer(self.limit, hang_up, (connection,)) if self.limit else None
                watchdog and watchdog.start()
                try:
                    with connection.cursor() as cursor:
                        value += 1
                        cursor.execute("insert into bench_writes values (%s)", (value,))
                finally:
                    watchdog and watchdog.cancel()
                with self.lock:
                    self.acknowledged.append((begun, time.monotonic()))
                self.stop.wait(0.002)
            except psycopg2.Error as e:
                code = e.pgcode or "08006"
                with self.lock:
                    self.errors[code] = self.errors.get(code, 0) + 1
                    self.error_times.append(time.monotonic())
                if connection is not None:
                    connection.close()
                connection = None
                self.stop.wait(0.01)
        if connection is not None:
            connection.close()

    def first_after(self, moment):
        """When the first write that was begun after the moment was acknowledged; None: not yet."""
        with self.lock:
            return next((end for begun, end in self.acknowledged if begun >= moment), None)

    def wait_after(self, moment, seconds):
        """Seconds from the moment to the first write that was begun after it and acknowledged."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            end = self.first_after(moment)
            if end is not None:
                return end - moment
            time.sleep(0.005)
        raise TimeoutError(f"no write was acknowledged within {seconds} s; errors {self.errors}")

    def wait_after_error(self, moment, seconds):
        """The same for a fault that lets some writes pass before it is felt: the write must have been begun after the first error. A
        client that sees no error within two seconds had none."""
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            with self.lock:
                error = next((t for t in self.error_times if t >= moment), None)
            if error is not None:
                return self.wait_after(error, seconds) + error - moment
            time.sleep(0.005)
        return self.longest_pause(moment)

    def longest_pause(self, since):
        with self.lock:
            ends = [end for _, end in self.acknowledged if end >= since]
            before = max((end for _, end in self.acknowledged if end < since), default=since)
        return max((b - a for a, b in zip([before, *ends], ends)), default=0.0)


def hang_up(connection):
    """Ends a wait for an answer that does not come: the socket is shut down under it, and the driver sees a lost connection."""
    import os
    import socket
    try:
        with socket.socket(fileno=os.dup(connection.fileno())) as s:
            s.shutdown(socket.SHUT_RDWR)
    except (OSError, psycopg2.Error):
        pass  # it was closed meanwhile

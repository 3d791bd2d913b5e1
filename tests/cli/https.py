#!/usr/bin/env python3
"""The HTTP port of a server with TLS: who gets in, and a certificate that is renewed while it runs."""

import http.client
import os
import pathlib
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import warnings

BUILD = pathlib.Path(os.environ.get("MULTIGRES_BUILD_DIR", "build")).resolve()


def authority(root, name):
    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=root, check=True, capture_output=True)
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", *key, "-days", "2", "-subj", f"/CN={name}", "-keyout", f"{name}-ca.key", "-out", f"{name}-ca.pem")
    (root / "ext").write_text("subjectAltName=IP:127.0.0.1\n")
    openssl("req", *key, "-subj", "/CN=server", "-keyout", f"{name}.key", "-out", f"{name}.csr")
    openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{name}-ca.pem", "-CAkey", f"{name}-ca.key", "-CAcreateserial", "-days", "2",
            "-extfile", "ext", "-out", f"{name}.pem")


def get(root, port, name, version=ssl.TLSVersion.TLSv1_3):
    """The status of /live, trusting that authority; what is wrong with the connection is raised."""
    context = ssl.create_default_context(cafile=str(root / f"{name}-ca.pem"))
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version = min(version, ssl.TLSVersion.TLSv1_2)
    context.maximum_version = version
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=5)
    try:
        for _ in range(2):  # twice over one connection
            connection.request("GET", "/live")
            answer = connection.getresponse()
            answer.read()
        return answer.status
    finally:
        connection.close()


def refused(root, port, name, **more):
    try:
        get(root, port, name, **more)
    except (ssl.SSLError, ConnectionError):
        return True
    return False


def eventually(predicate, what, seconds=20):
    end = time.monotonic() + seconds
    while not predicate():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def main():
    warnings.simplefilter("ignore", DeprecationWarning)  # an old version is what is tried
    with tempfile.TemporaryDirectory(prefix="mg-https-", dir="/tmp") as directory:
        root = pathlib.Path(directory)
        for name in ("old", "new"):
            authority(root, name)

        def use(name, files=("pem", "key")):
            for file in files:
                shutil.copy(root / f"{name}.{file}", root / f"next.{file}")
                os.rename(root / f"next.{file}", root / f"used.{file}")

        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        argv = [str(BUILD / "libexec" / "multigres" / "multiadmin"), "--topo-global-server-addresses=127.0.0.1:1", "--topo-global-root=/x",
                f"--http-port={port}", "--auth=none", "--http-tls-cert=used.pem", "--http-tls-key=used.key"]

        def ends(more, word):
            ended = subprocess.run(argv + more, cwd=root, capture_output=True, text=True, timeout=20)
            assert ended.returncode == 1 and word in ended.stderr, ended
        ends([], "used.pem")  # no such file yet
        ends(["--http-tls-key="], "--http-tls-key")
        use("old", ("pem",))
        use("new", ("key",))
        ends([], "used.key")  # the key of another certificate
        use("old")
        server = subprocess.Popen(argv, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            def listens():
                assert server.poll() is None, "it ended"
                with socket.socket() as probe:
                    return probe.connect_ex(("127.0.0.1", port)) == 0
            eventually(listens, "it listens")
            assert get(root, port, "old") == 200 and get(root, port, "old", ssl.TLSVersion.TLSv1_2) == 200
            assert refused(root, port, "new"), "of another authority"
            assert refused(root, port, "old", version=ssl.TLSVersion.TLSv1_1), "an old version of TLS"
            plain = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            try:
                plain.request("GET", "/live")
                assert plain.getresponse() is None, "it answers without TLS"
            except (http.client.HTTPException, ConnectionError):
                pass
            # Half of a renewal, then the whole of it.
            use("new", ("pem",))
            assert get(root, port, "old") == 200, "a certificate without its key is not used"
            use("new", ("key",))
            eventually(lambda: not refused(root, port, "new"), "the new certificate")
            assert refused(root, port, "old")
        finally:
            server.terminate()
            assert server.wait(timeout=20) == 0
    return 0


if __name__ == "__main__":
    sys.exit(main())

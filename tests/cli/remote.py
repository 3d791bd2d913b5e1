#!/usr/bin/env python3
"""Remote contexts against an Admin API with TLS, client certificates and a token: what gets in, and what is told to what does not."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

BUILD = pathlib.Path(os.environ.get("MULTIGRES_BUILD_DIR", "build")).resolve()
CLI = str(BUILD / "bin" / "multigres")


def openssl(root, *words):
    subprocess.run(["openssl", *words], cwd=root, check=True, capture_output=True)


def certificates(root):
    openssl(root, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=ca",
            "-keyout", "ca.key", "-out", "ca.pem")
    for name, extension in (("server", "subjectAltName=DNS:admin.test,IP:127.0.0.1"), ("client", "extendedKeyUsage=clientAuth")):
        (root / "ext").write_text(extension + "\n")
        openssl(root, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}", "-keyout",
                f"{name}.key", "-out", f"{name}.csr")
        openssl(root, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile",
                "ext", "-out", f"{name}.pem")


class Server:
    def __init__(self, root, ca):
        self.process = subprocess.Popen([str(BUILD / "tests" / "fixed-admin"), "server.pem", "server.key", ca], cwd=root, text=True,
                                        env={**os.environ, "FIXED_ADMIN_TOKEN": "mgt_right"}, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.address = f"127.0.0.1:{self.process.stdout.readline().strip()}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()


def main():
    with tempfile.TemporaryDirectory(prefix="mg-remote-", dir="/tmp") as directory:
        root = pathlib.Path(directory)
        certificates(root)
        env = {"PATH": os.environ["PATH"], "HOME": directory, "MULTIGRES_HOME": f"{directory}/home", "XDG_RUNTIME_DIR": directory}

        def run(*words, stdin=""):
            return subprocess.run([CLI, *words, "--timeout", "5s"], cwd=root, env=env, input=stdin, capture_output=True, text=True, timeout=30)

        def add(name, server, *flags, token="mgt_right"):
            added = run("context", "add", name, server.address, "--token-file", "-", *flags, "--json", stdin=token + "\n")
            assert added.returncode == 0 and token not in added.stdout, added
            return json.loads(added.stdout)["transport"]

        def reason(name, *words):
            refused = run("--context", name, *(words or ("cell", "list")), "--json")
            # gRPC writes what a handshake failed of before it.
            error = json.loads(refused.stderr[refused.stderr.index("{\n"):])["error"]
            assert not refused.stdout and error["hint"] and error["exitCode"] == refused.returncode, refused
            assert "mgt_" not in refused.stderr, refused
            return error["reason"]

        def works(name):
            result = run("--context", name, "cell", "list")
            assert (result.returncode, result.stdout) == (0, "zone1\nzone2\n"), result

        with Server(root, "") as server:
            assert add("good", server, "--ca-file", "ca.pem") == "tls"
            works("good")
            add("named", server, "--ca-file", "ca.pem", "--server-name", "admin.test")
            works("named")
            add("othername", server, "--ca-file", "ca.pem", "--server-name", "other.test")
            assert reason("othername") == "UNAVAILABLE"
            add("system", server, "--tls")  # the system's authorities do not know it
            assert reason("system") == "UNAVAILABLE"
            add("plain", server)
            assert reason("plain") == "UNAVAILABLE"
            add("badtoken", server, "--ca-file", "ca.pem", token="mgt_wrong")
            assert reason("badtoken") == "UNAUTHENTICATED"
            # Nothing of it is for other eyes, and a token that is opened to them is no longer used.
            for path in (root / "home" / "contexts").iterdir():
                assert path.stat().st_mode & 0o077 == 0, path
            (root / "home" / "contexts" / "good.token").chmod(0o640)
            assert reason("good") == "FILE_NOT_PRIVATE"
            # Whoever had answered and then died may have begun something; now nobody is there.
            assert reason("named", "backup", "verify") == "ADMIN_API_UNAVAILABLE"
            assert reason("named") == "UNAVAILABLE"
        with Server(root, "ca.pem") as server:
            assert add("mutual", server, "--ca-file", "ca.pem", "--cert-file", "client.pem", "--key-file", "client.key") == "mtls"
            works("mutual")
            add("nocert", server, "--ca-file", "ca.pem")
            assert reason("nocert") == "UNAVAILABLE"
            half = run("context", "add", "half", server.address, "--cert-file", "client.pem", "--json")
            assert half.returncode == 2 and json.loads(half.stderr)["error"]["reason"] == "USAGE", half
            missing = run("context", "add", "missing", server.address, "--ca-file", "nowhere.pem", "--json")
            assert missing.returncode == 3 and not (root / "home" / "contexts" / "missing.json").exists(), missing
        assert not (root / "home" / "agent.log").exists(), "a remote context started an agent"
    return 0


if __name__ == "__main__":
    sys.exit(main())

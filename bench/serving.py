"""What the scripts here share: a Keepfast server that is started with a watch in hand, and figures."""

import json
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests"))

from keepfast import Client  # noqa: E402

PROGRAM = os.environ["KEEPFAST"]
TMP = os.environ["TMPDIR"]


class Served:
    """keepfast serve on a free port. ready_ms: from exec until its first line."""

    def __init__(self, data, *arguments, env=None):
        argv = [PROGRAM, "serve", "--data", data, "--listen", "127.0.0.1:0", *arguments]
        with open(os.path.join(TMP, "stderr"), "a", encoding="utf-8") as errors:
            start = time.perf_counter()
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=TMP,
                                            env={**os.environ, **(env or {})})
            line = self.process.stdout.readline()
        self.started, self.ready_ms = start, (time.perf_counter() - start) * 1000
        if not line:
            self.process.wait(15)
            with open(os.path.join(TMP, "stderr"), encoding="utf-8") as errors:
                raise RuntimeError(errors.read())
        self.address = line.split()[-1].removeprefix("http://")

    def client(self, space):
        return Client(self.address, space)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.stdout.close()
        self.process.wait(15)


def pss_mb(pid):
    """Memory of one process, shared pages divided among those who share them."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        for line in file:
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    raise RuntimeError(f"no Pss of {pid}")


def figure(name, value, unit, **rest):
    print(json.dumps({"name": name, "value": round(value, 3), "unit": unit, **rest}), flush=True)

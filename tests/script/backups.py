"""What tests of scheduled backups share: a server with a short `every`, and the folder that its backups go to.

What a backup must hold is known to the test, and read by tests/checker/kfcheck.py, which shares no code with the program."""

import os
import sys
from pathlib import Path

sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests", "checker"))

import keepfast  # noqa: E402
import kfcheck  # noqa: E402
from keepfast import Server, at_time, folder, wait_for  # noqa: E402
from tap import check, equal  # noqa: E402

keepfast.PROGRAM = os.path.join(os.environ["KF_BUILD"], "keepfast")  # with situations and saboteurs
TOP = folder()


class Place:
    """A server's data, and the folder of its backups."""

    def __init__(self, name, every="1s", keep=3, to=None):
        self.data, self.to = TOP / name, Path(to or TOP / f"{name}-backups")
        self.data.mkdir(mode=0o700)
        if to is None:
            self.to.mkdir()
        self.config = f'backup: {{ to: "dir:{self.to}", every: {every}, keep: {keep} }}\n'
        self.side = self.data / "default.db.d"

    def server(self, shift="", sabotage="", **kw):
        env = {"KF_SABOTAGE": sabotage} if sabotage else {}
        return Server(self.data, self.config, env=env | at_time(shift), **kw)

    def files(self, space="default"):
        return sorted(p.name for p in self.to.glob(f"{space}-????-??-??T??.??.??Z*.zip"))

    def parts(self):
        return sorted(p.name for p in self.to.glob(".*.part"))


def backups(client):
    return client.get("/status").json()["backups"]


def metric(client, name):
    for line in client.ask("GET", "/metrics", raw=True).body.decode().splitlines():
        if line.startswith(f'{name}{{space="default"}} '):
            return int(line.split()[-1])
    raise AssertionError(f"{name} is no figure")


def durable(client):
    return client.ask("GET", "/durablez", raw=True)


def drilled(client, good=True, but=""):
    """Waits for a drill of the last backup; another file than `but`."""

    def look():
        b = backups(client)
        d = b["drill"]
        return b if d and d["good"] == good and d["file"] != but and (not good or b["last"] and d["file"] == b["last"]["file"]) else None

    return wait_for(look, 20)


def whole(path, what):
    report = kfcheck.check_zip(str(path))
    equal(report.findings, [], what)
    return report

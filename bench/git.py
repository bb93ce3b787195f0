#!/usr/bin/env python3
"""A branch of 10,000 documents in 256 folders, beside the git program with a checkout of the same files. The host is lighttpd with git
http-backend on loopback, the same for both; the two take turns.

    git.commit.one    one changed document as a commit            git add -A, git commit
    git.push.one      one changed document, until the host has it     git add -A, git commit, git push
    git.push.100      100 documents saved one by one with ?wait=      100 times the same
    git.hydrate.10k   an empty store, from exec until it is open      git clone
    git.hydrate.years the same behind 10,000 commits of one document  git clone
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import time

import serving

sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests"))
from githost import GitHost  # noqa: E402

DOCS = 10000
FOLDERS = 256
ROUNDS = 15
SAVES = 100
DEADLINE_S = 300


def path_of(number):
    return f"f{number % FOLDERS:02x}/doc-{number}.json"


def body(number, turn=0):
    return json.dumps({"number": number, "turn": turn, "text": f"{number * 7919 % 100003:06}" * 30}, indent=2).encode() + b"\n"


def config(host):
    path = os.path.join(serving.TMP, "keepfast.yaml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(json.dumps({"log": {"level": "debug", "format": "json"}, "spaces": {"many": {"remotes": {"host": host.config("store", manual=True)}}}}))
    return path


def saved(client, number, turn):
    """Seconds for one save that the host has confirmed."""
    start = time.perf_counter()
    answer = client.put(f"/docs/{path_of(number)}?wait=host&timeout=60s", body(number, turn))
    if answer.status not in (200, 201):
        raise RuntimeError(str(answer))
    return time.perf_counter() - start


class Commands:
    """How long the commands took that the server ran since it was asked last, without those that reach the host: by its own log."""

    def __init__(self):
        self.file = open(os.path.join(serving.TMP, "stderr"), encoding="utf-8")
        self.local()

    def local(self):
        lines = [json.loads(line) for line in self.file if '"git.ran"' in line]
        return sum(line["us"] for line in lines if "host" not in line["to"]) / 1e6


class Checkout:
    """What somebody without Keepfast does."""

    def __init__(self, host, branch):
        self.host, self.branch, self.path = host, branch, os.path.join(serving.TMP, "checkout")
        self.git("clone", "-q", "-b", branch, host.url("store"), self.path, cwd=serving.TMP)

    def git(self, *words, cwd=None):
        done = self.host.git(*words, cwd=cwd or self.path)
        if done.returncode:
            raise RuntimeError(f"git {words}: {done.stderr}")

    def saved(self, number, turn):
        """Seconds until it is committed, and until the host has it."""
        with open(os.path.join(self.path, path_of(number)), "wb") as file:
            file.write(body(number, turn))
        start = time.perf_counter()
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "one")
        committed = time.perf_counter() - start
        self.git("push", "-q", "origin", self.branch)
        return committed, time.perf_counter() - start


def cloned(host, turn):
    target = os.path.join(serving.TMP, f"clone-{turn}")
    start = time.perf_counter()
    done = host.git("clone", "-q", "-b", "data", host.url("store"), target, cwd=serving.TMP)
    took = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(done.stderr)
    shutil.rmtree(target)
    return took


def hydrated(host, turn):
    data = os.path.join(serving.TMP, f"target-{turn}")
    with serving.Served(data, "--config", config(host), env=host.environment()) as served:
        client = served.client("many")
        while True:
            store = client.get("/status").json()["store"]
            took = time.perf_counter() - served.started
            if store["state"] == "open" and store["docs"] == DOCS:
                break
            if took > DEADLINE_S or store["state"] == "open":
                raise RuntimeError(f"after {took:.0f} s: {store}")
            time.sleep(0.01)
        client.close()
    shutil.rmtree(data)
    return took


def years(host):
    """10,000 commits, an hour apart, of one document each."""
    lines = []
    for n in range(DOCS):
        text = body(n * 7 % DOCS, 1000)
        lines.append(b"commit refs/heads/data\ncommitter Somebody <somebody@example.org> %d +0000\ndata 4\nhour\n" % (1_700_000_000 + 3600 * n))
        if n == 0:
            lines.append(b"from refs/heads/data^0\n")
        lines.append(b"M 100644 inline %s\ndata %d\n%s\n" % (path_of(n * 7 % DOCS).encode(), len(text), text))
    host.at("store", "fast-import", "--quiet", stdin=b"".join(lines))


def main():
    with GitHost("http") as host:
        host.make("store")
        host.commit("store", "data", {".keepfast/format.json": b'{"keepfast":"git","format":1}\n'}, "begin")
        host.commit("store", "data", {path_of(n): body(n) for n in range(DOCS)}, "10,000 documents")
        with serving.Served(os.path.join(serving.TMP, "data"), "--config", config(host), env=host.environment()) as served:
            client = served.client("many")
            while client.get("/status").json()["store"]["state"] != "open":
                time.sleep(0.05)
            saved(client, 0, 1)  # the first push also writes what git cannot know
            host.at("store", "branch", "other", "data")
            checkout = Checkout(host, "other")
            commands, made, ours, theirs = Commands(), [], [], []
            for turn in range(ROUNDS):
                ours.append(saved(client, 7 * turn, turn + 2))
                made.append(commands.local())
                theirs.append(checkout.saved(7 * turn, turn + 2))
            serving.figure("git.commit.one", statistics.median(made) * 1000, "ms", better="less", target=0.3,
                           base=round(statistics.median(t[0] for t in theirs) * 1000, 1), against="git add -A, commit")
            serving.figure("git.push.one", statistics.median(ours) * 1000, "ms", better="less", target=0.8,
                           base=round(statistics.median(t[1] for t in theirs) * 1000, 1), against="git add -A, commit, push")
            start = time.perf_counter()
            for n in range(SAVES):
                saved(client, n, 100)
            many = time.perf_counter() - start
            start = time.perf_counter()
            for n in range(SAVES):
                checkout.saved(n, 100)
            serving.figure("git.push.100", many, "s", better="less", base=round(time.perf_counter() - start, 2),
                           against="100 times git add -A, commit, push")
            client.close()
        for name, target in (("git.hydrate.10k", 2), ("git.hydrate.years", None)):
            ours, theirs = [], []
            for turn in range(3):
                ours.append(hydrated(host, turn))
                theirs.append(cloned(host, turn))
            serving.figure(name, statistics.median(ours), "s", better="less", target=target,
                           base=round(statistics.median(theirs), 3), against="git clone")
            if name == "git.hydrate.10k":
                years(host)


if __name__ == "__main__":
    main()

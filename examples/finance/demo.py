#!/usr/bin/env python3
"""The story of a machine that is thrown away, and its proof.

    python3 demo.py path/to/keepfast

A server keeps the twelve documents of the dashboard on a disk that will not last, and sends what changes to a
folder that does. Four writers save without pause; now and then one waits until a save has reached that folder.
In the middle of it the server is killed and its disk removed. An empty one is started.

The proof, from a ledger that was kept outside: every save that the remote confirmed is back; of the others the
newest is listed, and each was pending in the last status before the kill or made after it; the digest of what is
served equals that of the folder, computed by an independent reader. Ends with 0 when all of it holds.
"""

import http.client
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHECKER = HERE.parent.parent / "tests" / "checker" / "kfcheck.py"
WORK_S = 4.0
CONFIG = """\
spaces:
  finance:
    remotes:
      host: {{ url: "dir:{host}", on_change: 500ms }}
"""


class Server:
    """keepfast serve on a folder of its own."""

    def __init__(self, program, disk, config):
        self.process = subprocess.Popen(
            [program, "serve", "--data", str(disk), "--listen", "127.0.0.1:0", "--config", str(config)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        ready = self.process.stdout.readline()
        if not ready:
            raise SystemExit("the server did not start: " + self.process.stderr.read())
        self.address = urllib.parse.urlparse(ready.split()[-1]).netloc

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        self.process.terminate()
        self.process.wait(20)


class Client:
    """One connection that is kept."""

    def __init__(self, address):
        self.connection = http.client.HTTPConnection(address, timeout=30)

    def ask(self, method, path, body=None):
        headers = {"Content-Type": "application/json"} if body is not None else {}
        self.connection.request(method, "/v1/finance" + path, body, headers)
        answer = self.connection.getresponse()
        return answer.status, answer.headers, answer.read()


class Ledger:
    """What was answered, kept outside the disk that will be thrown away."""

    def __init__(self):
        self.lock = threading.Lock()
        self.saves = {}      # name -> [(version, time, reached the remote)]
        self.statuses = []   # (time asked, names pending)

    def saved(self, name, version, at, remote):
        with self.lock:
            self.saves.setdefault(name, []).append((version, at, remote))

    def count(self, remote=False):
        return sum(1 for saves in self.saves.values() for s in saves if s[2] or not remote)


def say(text=""):
    print(text, flush=True)


def change(document, number, rng):
    """The document as the dashboard would save it next: an entry more, a field newer."""
    document = dict(document) if isinstance(document, dict) else {"wpisy": document}
    document["ostatnia_zmiana"] = {"numer": number, "losowo": rng.randrange(1 << 30)}
    return json.dumps(document, ensure_ascii=False, indent=2).encode()


def writer(address, documents, ledger, seed, stop):
    rng = random.Random(seed)
    client = Client(address)
    number = 0
    try:
        while not stop.is_set():
            name = rng.choice(list(documents))
            number += 1
            waits = number % 10 == 0
            body = change(documents[name], number, rng)
            query = "?wait=host&timeout=10s" if waits else ""
            status, _, answer = client.ask("PUT", f"/docs/{name}{query}", body)
            if status in (200, 201):
                ledger.saved(name, json.loads(answer)["version"], time.time(), waits)
    except (OSError, http.client.HTTPException):
        pass  # the machine is gone


def watcher(address, ledger, stop):
    client = Client(address)
    try:
        while not stop.is_set():
            asked = time.time()
            status, _, answer = client.ask("GET", "/remotes/host/pending?limit=1000")
            if status == 200:
                ledger.statuses.append((asked, {i["name"] for i in json.loads(answer)["items"]}))
            time.sleep(0.05)
    except (OSError, http.client.HTTPException):
        pass


def load(client, documents):
    for name in documents:
        status, _, answer = client.ask("PUT", "/docs/" + name, (HERE / "data" / name).read_bytes())
        assert status in (200, 201), answer


def wait_open(address):
    client = Client(address)
    until = time.time() + 30
    while time.time() < until:
        status, _, answer = client.ask("GET", "/status")
        if status == 200 and json.loads(answer)["store"]["state"] == "open":
            return client
        time.sleep(0.02)
    raise SystemExit("the store was not filled within 30 s")


def restored_versions(client):
    status, _, answer = client.ask("GET", "/docs?limit=1000")
    assert status == 200, answer
    return {i["name"]: i["version"] for i in json.loads(answer)["items"]}


def independent_digest(folder):
    done = subprocess.run([sys.executable, str(CHECKER), "--json", f"dir:{folder}"],
                          capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit("the checker found: " + done.stdout + done.stderr)
    found = json.loads(done.stdout)
    return (found[0] if isinstance(found, list) else found)["digest"]


def judge(ledger, restored):
    """Confirmed saves that are missing, and names whose newest save is not back with the reason why that is right."""
    missing, lost, unexplained = [], [], []
    last_asked, last_pending = ledger.statuses[-1]
    for name, saves in sorted(ledger.saves.items()):
        have = restored.get(name, 0)
        confirmed = max((v for v, _, remote in saves if remote), default=0)
        if have < confirmed:
            missing.append((name, confirmed, have))
        newest, at, _ = max(saves)
        if have < newest:
            why = "pending in the last status" if name in last_pending else \
                  "saved after the last status" if at >= last_asked else None
            (lost if why else unexplained).append((name, newest, have, why))
    return missing, lost, unexplained


def run(program, top):
    disk, host, config = top / "disk", top / "host", top / "keepfast.yaml"
    host.mkdir(mode=0o700)
    config.write_text(CONFIG.format(host=host))
    documents = {p.name: json.loads(p.read_text()) for p in sorted((HERE / "data").glob("*.json"))}

    say("1. A server starts on a disk that will not last; what changes flows to a folder that will.")
    server = Server(program, disk, config)
    load(wait_open(server.address), documents)
    say(f"   {len(documents)} documents of the dashboard are in.")

    say(f"2. Four writers save for {WORK_S:.0f} s; every tenth save waits until the folder has confirmed it.")
    ledger, stop = Ledger(), threading.Event()
    threads = [threading.Thread(target=writer, args=(server.address, documents, ledger, seed, stop))
               for seed in range(4)]
    threads.append(threading.Thread(target=watcher, args=(server.address, ledger, stop)))
    for t in threads:
        t.start()
    time.sleep(WORK_S)

    say("3. The machine is killed in the middle of a save, and its disk is thrown away.")
    server.kill()
    stop.set()
    for t in threads:
        t.join()
    shutil.rmtree(disk)
    say(f"   Until then {ledger.count()} saves were answered, {ledger.count(remote=True)} of them by the folder too.")

    say("4. An empty machine starts.")
    began = time.time()
    server = Server(program, disk, config)
    client = wait_open(server.address)
    restored = restored_versions(client)
    say(f"   {len(restored)} documents are back after {time.time() - began:.2f} s.")

    say("5. The proof.")
    missing, lost, unexplained = judge(ledger, restored)
    served = json.loads(client.ask("GET", "/digest")[2])["digest"]
    independent = independent_digest(host)
    server.stop()
    for name, confirmed, have in missing:
        say(f"   MISSING   {name}: version {confirmed} was confirmed by the folder, {have} is back")
    for name, newest, have, why in lost:
        say(f"   not confirmed  {name}: version {newest} was on the lost disk only, {have} is back ({why})")
    for name, newest, have, _ in unexplained:
        say(f"   UNEXPLAINED  {name}: version {newest} was answered, {have} is back, and it was not pending")
    say(f"   digest of what is served        {served}")
    say(f"   digest of the folder, computed\n   by the independent checker      {independent}")
    good = not missing and not unexplained and served == independent and ledger.count(remote=True) > 0
    say()
    say("Everything that was confirmed is back, and nothing was lost that had not been announced." if good
        else "THE PROOF FAILED.")
    return 0 if good else 1


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    top = Path(tempfile.mkdtemp(prefix="keepfast-demo-"))
    try:
        return run(os.path.abspath(sys.argv[1]), top)
    finally:
        shutil.rmtree(top, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())

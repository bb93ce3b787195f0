#!/usr/bin/env python3
# test: timeout=120
"""The example of a shop's chat: its sessions are what the generator writes, and its backend gives one answer to a message, however often it
is sent, while connections are cut and Keepfast is killed."""

import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

TOP = Path(os.environ.get("KF_TOP", ".")).resolve()
sys.path.insert(0, str(TOP / "tests"))
from faultproxy import FaultProxy  # noqa: E402
from keepfast import Server, folder, run  # noqa: E402
from tap import check, equal, main, test  # noqa: E402

EXAMPLE = TOP / "examples/shop"
CONFIG = re.sub(r"(?ms)^(data|listen):.*?\n|^    remotes:.*", "", (EXAMPLE / "keepfast.yaml").read_text())


class Backend:
    def __init__(self, keepfast):
        self.process = subprocess.Popen([sys.executable, "-B", EXAMPLE / "chat.py", "--keepfast", keepfast, "--listen", "127.0.0.1:0"],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.address = self.process.stdout.readline().strip().removeprefix("http://")

    def ask(self, path, value):
        connection = http.client.HTTPConnection(self.address, timeout=60)
        try:
            connection.request("POST", path, json.dumps(value))
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(20)
        self.process.stdout.close()


@test
def the_sessions_are_what_the_generator_writes():
    with tempfile.TemporaryDirectory() as out:
        subprocess.run([sys.executable, "-B", EXAMPLE / "generate.py", "--out", out], check=True)
        equal(sorted(p.name for p in Path(out).iterdir()), sorted(p.name for p in (EXAMPLE / "data").iterdir()), "files")
        for path in Path(out).iterdir():
            equal(path.read_bytes(), (EXAMPLE / "data" / path.name).read_bytes(), path.name)


@test
def the_sessions_load_and_load_again():
    with Server(folder() / "data", CONFIG) as server:
        at = f"http://{server.address}/shop"
        files = sorted((EXAMPLE / "data").glob("*.ndjson"))
        for _ in range(2):
            for path in files:
                done = run("append", f"chat/{path.stem}", "-", at=at, stdin=path.read_bytes())
                equal(done.status, 0, f"{path.name}: {done.err}")
        client = server.client("shop")
        for line in (EXAMPLE / "data/customers.txt").read_text().splitlines():
            session, customer = line.split()
            equal(run("stream", "set", f"chat/{session}", f"customer={customer}", at=at).status, 0, line)
        listed = client.get("/streams").json()["items"]
        equal({s["key"]: s["count"] for s in listed}, {f"chat/{p.stem}": len(p.read_text().splitlines()) for p in files}, "each line once")
        of_one = client.get("/streams?attr.customer=7").json()["items"]
        check(len(of_one) > 3, f"of one customer: {len(of_one)}")
        context = client.get(f"/{'streams'}/{of_one[0]['key']}/context?across=customer&entries=100").json()["items"]
        equal({e["stream"] for e in context}, {s["key"] for s in of_one}, "a context over all of them")
        check(client.get("/search?q=gdansk").json()["items"], "a search finds what was said")
        check(0 < len(client.get("/streams/chat/1004").json()["rings"]["views"]) <= 10, "what was looked at last")
        server.stop()


@test
def one_answer_to_a_message():
    data = folder() / "data"
    server = Server(data, CONFIG)
    with FaultProxy(("127.0.0.1", int(server.address.rsplit(":", 1)[1]))) as proxy, Backend(f"http://127.0.0.1:{proxy.port}/v1/shop") as backend:
        equal(backend.ask("/did", {"session": "a b/1", "id": "v-0", "kind": "product_view", "body": {"product": "boots"}})[0], 200, "a look")
        first = {}
        for i in range(12):
            if i % 3 == 0:
                proxy.lose_answer(times=2)
            elif i % 3 == 1:
                proxy.cut(up=90, times=1)
            if i == 6:
                server.kill()
                server = Server(data, CONFIG)
                proxy.peer = ("127.0.0.1", int(server.address.rsplit(":", 1)[1]))
            words = {"session": "a b/1", "id": f"m-{i}", "text": f"What does it cost, the {i}th time?"}
            got = []
            phones = [threading.Thread(target=lambda words=words, got=got: got.append(backend.ask("/say", words))) for _ in range(2)]
            for phone in phones:
                phone.start()
            for phone in phones:
                phone.join(60)
            equal(len(got), 2, f"both were answered: {got}")
            equal((got[0][0], got[0]), (200, got[1]), "the same answer")
            first[f"m-{i}"] = got[0][1]
        client = server.client("shop")
        said = client.get("/streams/chat/a%20b%2F1/entries?limit=1000").json()["items"]
        equal([e["id"] for e in said], ["v-0"] + [name for i in range(12) for name in (f"m-{i}", f"m-{i}-answer")], "each once, in order")
        equal({e["id"]: {"text": e["body"]["text"]} for e in said if e["kind"] == "assistant"}, {f"{k}-answer": v for k, v in first.items()}, "as answered")
        equal(backend.ask("/login", {"session": "a b/1", "customer": "9"})[0], 200, "a login")
        equal(backend.ask("/say", {"session": "a b/1"})[0], 400, "what is no message")
        receipt = backend.ask("/forget", {"customer": "9"})
        equal((receipt[0], receipt[1]["entries"]), (200, 25), "forgotten")
        equal(client.get("/streams/chat/a%20b%2F1").status, 404, "gone")
    with server:
        server.stop()


main()

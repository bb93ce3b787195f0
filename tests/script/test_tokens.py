#!/usr/bin/env python3
# test: timeout=240
"""Tokens from their making to their end, over the command line and over HTTP: the text is shown once and is nowhere else; what a token may
not give, it does not give; what was answered about tokens holds after a kill; and a server that asks for tokens goes on asking."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, os.path.join(os.environ.get("KF_TOP", "."), "tests"))
from keepfast import PROGRAM, Server, description, folder, run, wait_for  # noqa: E402
from tap import check, equal, main, note, test  # noqa: E402
from tokens import RIGHTS, TEXT, like_a_token, make, revoke, soon, source, spellings  # noqa: E402
from wire import Wire, once  # noqa: E402

LONG = os.environ.get("KEEPFAST_LONG") == "1"
TOP = folder()
ID = re.compile(r"[a-z0-9]{12}")


def text_of(done):
    """What `token create` printed: the token, alone."""
    check(TEXT.fullmatch(done.out.strip()) and done.out.endswith(b"\n"), f"the token alone on stdout: {done}")
    return done.out.strip().decode()


def status(server, token=None, target="/v1"):
    return once(server.address, "GET", target, source(), token=token).status


def post(server, body, token=None):
    """POST /v1/tokens by who shows a token, or over the socket."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    if token:
        return once(server.address, "POST", "/v1/tokens", source(), token=token, body=body)
    return once(server.socket, "POST", "/v1/tokens", body=body)


def code(answer):
    return json.loads(answer.body).get("code", "") if answer.body else ""


def listed(server):
    found, cursor = [], ""
    while True:
        page = json.loads(once(server.socket, "GET", f"/v1/tokens?limit=2{cursor}").body)
        found += page["items"]
        if not page["next"]:
            return {item["id"]: item for item in found}
        cursor = f"&cursor={page['next']}"


# ------------------------------------------------------------------------------------- the command line


@test
def a_life_on_the_command_line():
    data = folder() / "data"
    made = run("token", "create", "phone", at=data)
    text = text_of(made)
    check(b"phone" in made.err and text.encode() not in made.err, "words on stderr, the token not among them")
    equal(made.status, 0, "exit status")
    more = run("token", "create", "laptop", "--rights", "read", "--space", "shop", "--space", "till", "--prefix", "chat/*", "--expires", "90d",
               "--json", at=data)
    answer = more.json()
    equal((answer["name"], answer["rights"], answer["spaces"], answer["prefixes"], answer["state"]),
          ("laptop", ["read"], ["shop", "till"], ["chat/*"], "live"), "what was asked for")
    check(TEXT.fullmatch(answer["token"].encode()) and ID.fullmatch(answer["id"]), "a token and its id")
    check(answer["id"] not in answer["token"], "the id says nothing of the token")
    rows = run("token", "ls", "--json", at=data).json()["items"]
    equal(sorted(row["name"] for row in rows), ["laptop", "phone"], "the list")
    phone = next(row for row in rows if row["name"] == "phone")
    equal((phone["rights"], phone["spaces"], phone["prefixes"], phone["expires_at"]), (["read", "write", "run"], None, None, None), "what is the default")
    shown = run("token", "ls", at=data)
    check(b"phone" in shown.out and b"laptop" in shown.out and not TEXT.search(shown.out), f"as a table: {shown}")
    with Server(data) as server:
        equal(status(server, text), 200, "a server takes it")
        equal(run("token", "revoke", phone["id"], at=data).status, 0, "revoked beside a running server")
        equal(status(server, text), 401, "which refuses it at once")
        again = text_of(run("token", "create", "third", at=data))
        equal(status(server, again), 200, "one made beside it is taken at once")
    equal(run("token", "revoke", phone["id"], at=data).status, 0, "a second time changes nothing")
    equal(run("token", "revoke", "0" * 12, at=data).status, 1, "one that is not there")
    states = {row["name"]: row["state"] for row in run("token", "ls", "--json", at=data).json()["items"]}
    equal(states, {"phone": "revoked", "laptop": "live", "third": "live"}, "states")
    for words in (("--rights", "all"), ("--rights", ""), ("--space", "NO"), ("--prefix", "a*b"), ("--expires", "soon"), ("--expires", "0s")):
        check(run("token", "create", "x", *words, at=data).status in (2, 11), f"refused: {words}")
    check(run("token", "create", "", at=data).status in (2, 11) and run("token", "create", "n" * 101, at=data).status in (2, 11), "names")


@test
def a_token_in_a_file():
    data, file = folder() / "data", TOP / "token"
    made = run("token", "create", "phone", "--file", file, at=data)
    equal((made.status, made.out), (0, b""), "nothing on stdout")
    equal(file.stat().st_mode & 0o777, 0o600, "the file's mode")
    check(TEXT.fullmatch(file.read_bytes().strip()) and not TEXT.search(made.err), "the token stands in the file alone")
    before = file.read_bytes()
    equal(run("token", "create", "phone", "--file", file, at=data).status, 3, "a file that is there is not written over")
    equal(file.read_bytes(), before, "and stays as it was")
    (TOP / "link").symlink_to(TOP / "elsewhere")
    check(run("token", "create", "phone", "--file", TOP / "link", at=data).status != 0 and not (TOP / "elsewhere").exists(), "nor is a link followed")
    count = len(run("token", "ls", "--json", at=data).json()["items"])
    check(run("token", "create", "phone", "--file", TOP / "no" / "folder", at=data).status != 0, "a folder that is not there")
    equal(len(run("token", "ls", "--json", at=data).json()["items"]), count, "and no token was made that nobody has")
    as_json = run("token", "create", "phone", "--file", TOP / "other", "--json", at=data)
    check(set(as_json.json()) == {"id", "file"} and not TEXT.search(as_json.out), f"as JSON: {as_json}")


@test
def a_command_shows_its_token():
    data, file = folder() / "data", TOP / "mine"
    text = text_of(run("token", "create", "phone", at=data))
    file.write_text(text + "\n")
    file.chmod(0o600)
    with Server(data) as server:
        equal(once(server.socket, "PUT", "/v1/default").status, 201, "a space")
        at = f"http://{server.address}/default"
        put = lambda *words, **kw: run("put", "a.json", *words, at=at, stdin=b"1", **kw)
        equal(put().status, 4, "without a token")
        equal(put(env={"KEEPFAST_TOKEN": text}).status, 0, "by the environment")
        equal(put("--token-file", file).status, 0, "by a file")
        equal(put("--token-file", file, env={"KEEPFAST_TOKEN": like_a_token()}).status, 0, "a file counts before the environment")
        equal(put(env={"KEEPFAST_TOKEN": like_a_token()}).status, 4, "a wrong one")
        for mode in (0o644, 0o640, 0o604, 0o660):
            file.chmod(mode)
            done = put("--token-file", file)
            check(done.status == 3 and str(file).encode() in done.err and text.encode() not in done.err, f"a file of mode {mode:o}: {done}")
        file.chmod(0o600)
        equal(put("--token-file", TOP / "none").status, 3, "no such file")
        (TOP / "empty").write_text("")
        (TOP / "empty").chmod(0o600)
        equal(put("--token-file", TOP / "empty").status, 3, "an empty file")
        for words in (("--token", text), (f"--token={text}",)):
            done = put(*words)
            check(done.status == 2 and b"use --token-file or KEEPFAST_TOKEN" in done.err and done.out == b"", f"as an argument: {done}")
            check(text.encode() not in done.err, "and is not repeated")
        equal(run("get", "a.json", at=data).out, b"1", "over the socket of the same user none is needed")
        equal(run("get", "a.json", at=f"unix:{server.socket}#default").out, b"1", "named, too")
        equal(run("get", "none.json", at=at, env={"KEEPFAST_TOKEN": text}).status, 1, "what is not there")
        equal(run("get", "a.json", at=f"http://{server.address}/foreign", env={"KEEPFAST_TOKEN": text}).status, 1, "nor a space")
        equal(run("token", "ls", at=at, env={"KEEPFAST_TOKEN": text}).status, 4, "tokens are for who has the right")
        check(text not in server.stderr(), "the log has no token")


# ------------------------------------------------------------------------------------- over HTTP


@test
def a_life_over_http():
    with Server(folder() / "data") as server:
        equal(status(server), 200, "nobody is asked before the first")
        boss = make(server, "boss")
        equal(status(server), 401, "and everybody from then on")
        answer = post(server, {"name": "phone", "rights": ["read", "write"], "spaces": ["shop"], "prefixes": None, "expires_in": "1h"}, boss["token"])
        equal(answer.status, 201, "made by who may")
        description().check("POST", "/v1/tokens", answer.status, answer.headers, answer.body)
        check("no-store" in (answer.header("Cache-Control") or ""), f"nobody keeps the answer: {answer.fields}")
        phone = json.loads(answer.body)
        once(server.socket, "PUT", "/v1/shop")
        equal(status(server, phone["token"], "/v1/shop/docs"), 200, "it is taken")
        rows = listed(server)
        equal(set(rows), {boss["id"], phone["id"]}, "the list, page by page")
        check(all("token" not in row and "hash" not in row for row in rows.values()), "without what they are")
        check(rows[phone["id"]]["last_used_at"] and not rows[phone["id"]]["revoked_at"], "used, not revoked")
        with Wire(server.address, source()) as wire:
            equal(wire.ask("GET", "/v1/shop/docs", token=phone["token"]).status, 200, "on a connection that stays")
            equal(once(server.address, "DELETE", f"/v1/tokens/{phone['id']}", source(), token=boss["token"]).status, 204, "revoked")
            refused = wire.ask("GET", "/v1/shop/docs", token=phone["token"])
            equal((refused.status, code(refused)), (401, "token_expired"), "at once")
            equal(wire.ask("GET", "/v1/shop/docs", token=boss["token"]).status, 200, "the connection goes on")
        for target, wanted in (("0" * 12, 404), ("no%20id", 404), (phone["id"].upper(), 404), (phone["id"], 204), ("%00", 404), ("x" * 500, 404)):
            equal(once(server.address, "DELETE", f"/v1/tokens/{target}", source(), token=boss["token"]).status, wanted, f"DELETE {target[:20]}")
        equal(listed(server)[phone["id"]]["state"], "revoked", "the list says so")


@test
def what_a_token_cannot_be():
    with Server(folder() / "data") as server:
        good = {"name": "x", "rights": ["read"]}
        wrong = [
            {}, [], "x", 1, None, {"name": "x"}, {"rights": ["read"]}, {**good, "rights": []}, {**good, "rights": "read"}, {**good, "rights": ["all"]},
            {**good, "rights": ["READ"]}, {**good, "rights": [1]}, {**good, "rights": {"read": True}}, {**good, "name": ""}, {**good, "name": 1},
            {**good, "name": "n" * 101}, {**good, "name": "a\nb"}, {**good, "name": "\u0000"}, {**good, "name": "\u007f"}, {**good, "spaces": []},
            {**good, "spaces": ["NO"]}, {**good, "spaces": ["../x"]}, {**good, "spaces": [""]}, {**good, "spaces": "a"}, {**good, "spaces": [None]},
            {**good, "spaces": ["tokens"]}, {**good, "spaces": [f"s{n}" for n in range(101)]}, {**good, "prefixes": []}, {**good, "prefixes": ["*"]},
            {**good, "prefixes": [""]}, {**good, "prefixes": ["a*b"]}, {**good, "prefixes": ["a**"]}, {**good, "prefixes": ["x" * 1025]},
            {**good, "prefixes": [f"s{n}" for n in range(101)]}, {**good, "expires_in": "0s"}, {**good, "expires_in": "-1h"}, {**good, "expires_in": 90},
            {**good, "expires_in": "99999999999999d"}, {**good, "expires_at": "yesterday"}, {**good, "expires_at": "2001-01-01T00:00:00Z"},
            {**good, "expires_in": "1h", "expires_at": soon(60)}, {**good, "expires_in": "1h", "expires_in ": "1h"},
        ]
        # What stands in an answer cannot be wished: an id, a text of one's own, a state, a life that began earlier.
        for member in ("id", "token", "hash", "created_at", "revoked_at", "last_used_at", "state", "admin", "right", "space", "owner", "__proto__", ""):
            wrong.append({**good, member: "x"})
        for body in wrong:
            answer = post(server, body)
            check(answer.status == 400 and code(answer) in ("bad_request", "bad_json", "json_limit"), f"{str(body)[:100]}: {answer}")
        for body in (b"", b"{", b'{"name":"x","name":"y","rights":["read"]}', b'{"name":"x","rights":["read"]} x', b"\xff", b'{"name":"\\ud800","rights":["read"]}'):
            equal(post(server, body).status, 400, f"{body!r}")
        equal(listed(server), {}, "none of them was made")
        equal(status(server), 200, "so that nobody is asked for one")
        for body in ({**good, "spaces": None, "prefixes": None, "expires_in": None}, {**good, "name": "ż" * 50}, {**good, "rights": ["read", "read"]},
                     {**good, "prefixes": ["chat/*", "one"]}, {**good, "expires_at": soon(3600)}):
            equal(post(server, body).status, 201, f"{body}")


@test
def nobody_gives_more_than_they_have():
    with Server(folder() / "data") as server:
        soon_over = make(server, "a day", rights=("read", "admin"), expires_in="1d")
        scoped = [make(server, "a space", rights=RIGHTS, spaces=["shop"]), make(server, "names", rights=RIGHTS, prefixes=["a/*"]),
                  make(server, "no admin", rights=("read", "write", "run", "query"))]
        given = lambda body, who: post(server, {"name": "x", **body}, who["token"])
        day = {"expires_in": "1h"}
        for body, wanted in (
                ({"rights": ["read"], **day}, 201), ({"rights": ["read", "admin"], **day}, 201), ({"rights": ["admin"], "spaces": ["shop"], **day}, 201),
                ({"rights": ["read"], "prefixes": ["a/*"], **day}, 201), ({"rights": ["write"], **day}, 403), ({"rights": ["read", "query"], **day}, 403),
                ({"rights": ["read"]}, 403), ({"rights": ["read"], "expires_in": "2d"}, 403), ({"rights": ["read"], "expires_at": soon(2 * 86400)}, 403)):
            answer = given(body, soon_over)
            equal((answer.status, code(answer) if wanted == 403 else ""), (wanted, "forbidden" if wanted == 403 else ""), f"{body}")
        for who in scoped:
            for method, target in (("GET", "/v1/tokens"), ("DELETE", f"/v1/tokens/{soon_over['id']}"), ("POST", "/v1/tokens")):
                body = b'{"name":"x","rights":["read"],"spaces":["shop"]}' if method == "POST" else None
                answer = once(server.address, method, target, source(), token=who["token"], body=body)
                equal((answer.status, code(answer)), (403, "forbidden"), f"{who['name']}: {method}")
        equal(status(server, soon_over["token"]), 200, "and nobody has ended another's")


@test
def each_right_is_what_it_says():
    """tests/script/test_tenants.py asks every route; here is what the words mean."""
    with Server(folder() / "data") as server:
        once(server.socket, "PUT", "/v1/shop")
        once(server.socket, "PUT", "/v1/shop/docs/a", body=b"1")
        wants = {("GET", "/v1/shop/docs/a"): "read", ("PUT", "/v1/shop/docs/a"): "write", ("DELETE", "/v1/shop/docs/b"): "write",
                 ("POST", "/v1/shop/verify"): "run", ("PUT", "/v1/more"): "admin", ("GET", "/v1/tokens"): "admin"}
        for right in RIGHTS:
            token = make(server, right, rights=(right,))["token"]
            for (method, target), wanted in wants.items():
                body = b"2" if method == "PUT" and "docs" in target else None
                answer = once(server.address, method, target, source(), token=token, body=body)
                equal(answer.status == 403, right != wanted, f"{right}: {method} {target} is {answer}")
                if answer.status == 403:
                    check(f'"{wanted}"' in json.loads(answer.body)["detail"], f"the missing right is named: {answer}")
        equal(once(server.address, "PUT", "/v1/never/docs/a", source(), token=make(server, "w", rights=("write",))["token"], body=b"1").status, 404,
              "a first write makes no space where there are tokens")


@test
def a_token_ends_when_it_says():
    with Server(folder() / "data") as server:
        once(server.socket, "PUT", "/v1/shop")
        late = make(server, "late", expires_at=soon(1.5))
        with Wire(server.address, source()) as wire:
            equal(wire.ask("GET", "/v1/shop/docs", token=late["token"]).status, 200, "before")
            began, answer = time.monotonic(), None
            while time.monotonic() - began < 8:
                answer = wire.ask("GET", "/v1/shop/docs", token=late["token"])
                if answer.status != 200:
                    break
                time.sleep(0.02)
            equal((answer.status, code(answer)), (401, "token_expired"), "behind")
            check(time.monotonic() - began < 3, "in time")
        equal(listed(server)[late["id"]]["state"], "expired", "the list says so")
    now = int(time.time() * 1000)
    data = folder() / "data"
    with Server(data) as server:
        kept, old, older = make(server, "kept"), make(server, "old"), make(server, "older", expires_in="1h")
        equal(server.stop(), 0, "its end")
    with sqlite3.connect(data / "_keepfast.db") as db:  # 90 days later
        db.execute("UPDATE kf_token SET revoked = ? WHERE id = ?", (now - 91 * 86400000, old["id"]))
        db.execute("UPDATE kf_token SET expires = ? WHERE id = ?", (now - 91 * 86400000, older["id"]))
    db.close()
    with Server(data) as server:
        equal(set(listed(server)), {kept["id"]}, "what ended long ago is forgotten")
        equal((status(server, old["token"]), status(server, older["token"]), status(server, kept["token"])), (401, 401, 200), "and not taken")


@test
def a_server_goes_on_asking():
    data = folder() / "data"
    with Server(data) as server:
        only = make(server)
        revoke(server, only["id"])
        equal(status(server), 401, "all are revoked, and it asks")
    with Server(data) as server:
        equal((status(server), status(server, only["token"])), (401, 401), "after a new start, too")
        equal(server.stop(), 0, "its end")
    with sqlite3.connect(data / "_keepfast.db") as db:
        db.execute("DELETE FROM kf_token")
    db.close()
    with Server(data) as server:
        equal(status(server), 401, "also when all are forgotten")
        equal(status(server, make(server)["token"]), 200, "and a new one is taken")
        equal(server.stop(), 0, "its end")
    (data / "_keepfast.db").write_bytes(b"not a database" * 100)
    done = subprocess.run([PROGRAM, "serve", "--data", data, "--listen", "127.0.0.1:0"], capture_output=True, timeout=30)
    check(done.returncode == 9 and b"_keepfast.db" in done.stderr, f"a file that cannot be read is not taken for none: {done}")


# ------------------------------------------------------------------------------------- where the text is


def memory_dump(process):
    """What is readable of a process's memory: of a core file, if there were one."""
    found = b""
    with open(f"/proc/{process.pid}/maps", encoding="ascii") as maps, open(f"/proc/{process.pid}/mem", "rb", 0) as memory:
        for line in maps:
            words = line.split()
            if words[1].startswith("rw") and len(words) in (5, 6) and "[v" not in line:
                begin, end = (int(part, 16) for part in words[0].split("-"))
                if end - begin > 256 << 20:
                    continue
                try:
                    memory.seek(begin)
                    found += memory.read(end - begin)
                except OSError:
                    pass
    return found


@test
def the_text_is_nowhere():
    data = folder() / "data"
    seen, over = set(), threading.Event()
    texts = []

    def watch():
        while not over.wait(0.01):
            for entry in os.listdir("/proc"):
                if entry.isdigit():
                    try:
                        line = Path(f"/proc/{entry}/cmdline").read_bytes()
                    except OSError:
                        continue
                    seen.update(text for text in texts if text.encode() in line)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    with Server(data, "log: { level: debug }\n") as server:
        once(server.socket, "PUT", "/v1/shop")
        said = []
        for n in range(5):
            made = make(server, f"number {n}", spaces=["shop"])
            texts.append(made["token"])
            said += [once(server.address, "GET", "/v1/shop/docs", source(), token=made["token"]) for _ in range(3)]
            said.append(once(server.address, "GET", f"/v1/shop/docs?token={made['token']}", source()))
            said.append(once(server.address, "GET", f"/v1/shop/docs?limit={made['token']}", source()))
            said.append(once(server.address, "GET", f"/v1/shop/docs?{made['token']}", source()))
            said.append(once(server.address, "GET", "/v1/shop/none", source(), token=made["token"]))
            said.append(once(server.address, "DELETE", "/v1/shop", source(), token=made["token"]))
            said.append(once(server.address, "GET", "/v1/shop/docs", source(), token=made["token"][:-1]))
            said.append(once(server.address, "GET", "/v1/shop/docs", source(), headers=[f"Authorization: Basic {made['token']}"]))
            said.append(once(server.socket, "GET", "/v1/tokens"))
            said.append(once(server.socket, "GET", "/metrics"))
            if n == 0:
                env = {"KEEPFAST_TOKEN": made["token"]}
                equal(run("put", "a", at=f"http://{server.address}/shop", stdin=b"1", env=env).status, 0, "used by a command")
        for n, made in enumerate(texts):
            said.append(once(server.address, "GET", "/v1/shop/docs", source(), token=made))
        for _ in range(300):  # what requests leave behind is used again by others
            once(server.address, "GET", "/healthz")
        dump = memory_dump(server.process)
        check(len(dump) > 1 << 20, "its memory was read")
        log = server.stderr()
        for answer in said:
            check(not any(text.encode() in answer.head + answer.body for text in texts), f"an answer: {answer}")
        equal(server.stop(), 0, "its end")
    over.set()
    watcher.join()
    equal(seen, set(), "in the arguments of a process")
    forms = [form for text in texts for form in spellings(text) | spellings(text[4:])]
    check(not any(form in log.encode() for form in forms), "the log")
    looked = 0
    for path in sorted(data.rglob("*")):
        if path.is_file():
            looked += 1
            raw = path.read_bytes()
            check(not any(form in raw for form in forms), f"{path.name} holds a token")
            equal(path.stat().st_mode & 0o077, 0, f"others may read {path.name}")
    note(f"tokens={len(texts)} answers={len(said)} files={looked} forms={len(forms)}")
    held = [n for n, text in enumerate(texts) if text.encode() in dump]
    note(f"in the memory of the server afterwards: {len(held)} of {len(texts)}")
    check(looked >= 3 and any(name.name == "_keepfast.db" for name in data.iterdir()), "the files were looked at")


# ------------------------------------------------------------------------------------- kills


class Maker(threading.Thread):
    """Makes tokens and revokes some of them until the server is gone. What was answered is kept."""

    def __init__(self, server, number):
        super().__init__()
        self.server, self.number = server, number
        self.made, self.revoked, self.asked, self.odd = {}, set(), set(), None

    def run(self):
        try:
            with Wire(self.server.socket) as wire:
                for n in range(100000):
                    body = json.dumps({"name": f"{self.number} {n}", "rights": ["read"]}).encode()
                    answer = wire.ask("POST", "/v1/tokens", body=body)
                    if answer is None or not answer.whole:
                        return
                    if answer.status != 201:
                        self.odd = answer
                        return
                    made = json.loads(answer.body)
                    self.made[made["id"]] = made["token"]
                    if n % 2:
                        self.asked.add(made["id"])
                        answer = wire.ask("DELETE", f"/v1/tokens/{made['id']}")
                        if answer is None:
                            return
                        if answer.status != 204:
                            self.odd = answer
                            return
                        self.revoked.add(made["id"])
        except (OSError, ValueError):
            return


def kills(rounds, sabotage=None):
    """(tokens made, revoked, what does not hold) over so many kills of one server."""
    data = folder() / "data"
    env = {"KF_SABOTAGE": sabotage} if sabotage else {}
    made, revoked, wrong = {}, set(), []
    for number in range(rounds):
        with Server(data, env=env) as server:
            makers = [Maker(server, f"{number}.{n}") for n in range(3)]
            for maker in makers:
                maker.start()
            wait_for(lambda: sum(len(maker.made) for maker in makers) >= 8, 30)
            time.sleep(0.013 * (number % 9))
            server.process.send_signal(signal.SIGKILL)
            server.process.wait()
            asked = set()
            for maker in makers:
                maker.join(20)
                check(not maker.is_alive() and maker.odd is None, f"an answer is one of the two: {maker.odd}")
                made.update(maker.made)
                revoked |= maker.revoked
                asked |= maker.asked - maker.revoked
        with Server(data, env=env) as server:
            there = listed(server)
            newest = [identity for maker in makers for identity in maker.made]
            for identity in newest:
                state = there.get(identity, {}).get("state", "gone")
                if state != "revoked" if identity in revoked else state not in (("live", "revoked") if identity in asked else ("live",)):
                    wrong.append((identity, state))
            for identity in newest[-3:]:
                wanted = 401 if identity in revoked else 200
                if identity not in asked and status(server, made[identity]) != wanted:
                    wrong.append((identity, "status"))
            if len(made) != len([identity for identity in made if identity in there]):
                wrong.append(("all", f"{len(made)} were made"))
            if made and status(server) != 401:
                wrong.append(("all", "nobody is asked"))
            server.process.send_signal(signal.SIGKILL)
            server.process.wait()
    return made, revoked, wrong


@test
def what_was_answered_holds_after_a_kill():
    made, revoked, wrong = kills(200 if LONG else 8)
    note(f"made={len(made)} revoked={len(revoked)}")
    equal(wrong[:5], [], "what does not hold")
    check(len(made) >= 40 and len(revoked) >= 10, "enough was answered")


@test
def saboteur_token_unwritten_is_found():
    _, _, wrong = kills(1, "token-unwritten")
    check(wrong, "tokens that were never written are missed")


main()

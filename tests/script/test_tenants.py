#!/usr/bin/env python3
# test: timeout=300
"""Tenants are apart: two spaces with the same names, ids and bytes, but for canaries; every route of the program with every method, asked
by everybody who may come. What must be answered is reckoned by tests/tokens.py, not asked of the program.

    what is foreign is answered byte for byte as what is not there, and the connection goes on the same way
    whole answers are searched for the canaries of the other: as they are, in base64, in hex, with %XX, backwards
    who may, is served: a server that refuses everybody fails

Some of it once more over TLS, and with three loops that each have their share.

The rows below are held against the routes of the binary: one that is missing here is a failure."""

import json
import os
import random
import re
import sys

sys.path.insert(0, os.path.join(os.environ.get("KF_TOP", "."), "tests"))
from keepfast import Server, certificate, description, folder, run, wait_for  # noqa: E402
from tap import check, equal, main, note, test  # noqa: E402
from tokens import make, people, source, spellings  # noqa: E402
from wire import Wire, chunked, once  # noqa: E402

LONG = os.environ.get("KEEPFAST_LONG") == "1"
TOP = folder()
KEY = TOP / "key.txt"
CELLS_MIN = 400
METHODS = ("GET", "HEAD", "PUT", "POST", "PATCH", "DELETE")
ANYTHING = "0" * 12


class Row:
    """One request to an operation. `path`: below /v1/SPACE, or whole when it begins with two slashes. `good`: the status for who may.
    `name`: the document that it is about. `before`: makes things as they must be, with operator(method, path, body)."""

    def __init__(self, operation, path, good=200, body=None, name=None, before=None, right=None, space=None, of_names=False, kind=None):
        self.operation, self.path, self.good, self.body, self.name = operation, path, good, body, name
        self.before, self.right, self.space, self.of_names, self.kind = before, right, space, of_names, kind

    def target(self, space):
        return self.path[1:] if self.path.startswith("//") else f"/v1/{space}{self.path}"


def doc(n):
    return json.dumps({"n": n, "text": "the same in both"}).encode()


def new_doc(name):
    def before(t):
        t.operator("DELETE", f"/docs/{name}")
    return before


def old_doc(name):
    def before(t):
        for n in (1, 2, 3):
            t.operator("PUT", f"/docs/{name}", doc(n))
    return before


def old_stream(key, attributes=b"{}"):
    def before(t):
        t.operator("PATCH", f"/streams/{key}", attributes)
        t.operator("POST", f"/streams/{key}/entries", b'{"body":"a word"}')
    return before


def no_remote(t):
    t.operator("DELETE", "/remotes/new")


def old_remote(t):
    t.operator("POST", "/remotes", t.remote("old"))


def another_space(t):
    once(t.server.socket, "PUT", f"/v1/{t.space}-x")
    once(t.server.socket, "PUT", f"/v1/{t.space}-x/docs/a.json", body=doc(1))


def another_token(t):
    answer = once(t.server.socket, "POST", "/v1/tokens", body=b'{"name":"another","rights":["read"]}')
    t.identity = json.loads(answer.body)["id"]


def rows(t):
    """All requests, for a tenant."""
    other, team = f"{t.space}-x", "team/a.json"
    return [
        Row("spaces", "//v1", of_names=True),
        Row("spaces", "//v1?limit=1", of_names=True),
        Row("tokens", "//v1/tokens"),
        Row("token_make", "//v1/tokens", 201, json.dumps({"name": "more", "rights": ["read"], "spaces": [t.space]}).encode()),
        Row("token_revoke", f"//v1/tokens/{t.identity}", 204, before=another_token),
        Row("space_put", "", 200),
        Row("space_delete", f"//v1/{other}?confirm={other}", 204, space=other, before=another_space),
        Row("doc_list", "/docs", of_names=True),
        Row("doc_list", "/docs?limit=1&prefix=te", of_names=True),
        Row("doc_get", "/docs/one.json", name="one.json"),
        Row("doc_get", f"/docs/{team}?version=1", name=team),
        Row("doc_get", f"/docs/{t.secret_name}", name=t.secret_name),
        Row("doc_get", "/docs/secret.json", name="secret.json"),
        Row("doc_put", "/docs/new.json", 201, doc(1), name="new.json", before=new_doc("new.json")),
        Row("doc_put", f"/docs/{team}", 200, t.document, name=team),
        Row("doc_patch", "/docs/one.json", 200, b'{"n":1}', name="one.json"),
        Row("doc_delete", "/docs/old.json", 204, name="old.json", before=old_doc("old.json")),
        Row("doc_versions", "/docs/secret.json/versions", name="secret.json"),
        Row("doc_versions", f"/docs/{team}/versions?limit=1", name=team),
        Row("doc_revert", "/docs/secret.json/revert", 200, b'{"version":1}', name="secret.json"),
        Row("doc_diff", "/docs/secret.json/diff", name="secret.json"),
        Row("stream_list", "/streams", of_names=True),
        Row("stream_list", f"/streams?limit=1&attr.customer={t.customer}", of_names=True),
        Row("stream_get", "/streams/team/chat", name="team/chat"),
        Row("stream_get", "/streams/secret/chat", name="secret/chat"),
        Row("stream_patch", "/streams/team/chat", 200, b'{"more":1}', name="team/chat"),
        Row("stream_erase", "/streams/team/old", 200, name="team/old", before=old_stream("team/old")),
        Row("stream_erase", "/streams/secret/old", 200, name="secret/old", before=old_stream("secret/old")),
        Row("entry_append", "/streams/team/chat/entries", 201, b'{"kind":"user","body":{"text":"hello"}}', name="team/chat"),
        Row("entry_append", "/streams/secret/chat/entries", 200, b'[{"id":"one","body":1}]', name="secret/chat"),
        Row("entries", "/streams/team/chat/entries?last=3", name="team/chat"),
        Row("entries", "/streams/secret/chat/entries?from=2001-01-01T00:00:00Z", name="secret/chat"),
        Row("context", "/streams/secret/chat/context", name="secret/chat"),
        Row("context", "/streams/team/chat/context?across=customer", name="team/chat"),
        Row("search", f"/search?q={t.canary[-10:]}", of_names=True),
        Row("person_erase", "/people/owner/gone", before=old_stream("team/gone", b'{"owner":"gone"}')),
        Row("receipts", "/receipts"),
        Row("import", "/import?file=persona_memory.json", 200, b"{}"),
        Row("export", "/export?file=persona_memory.json"),
        Row("tracked", "/tracked"),
        Row("track", "/tracked/public.t", 501),  # a store in a file has none
        Row("untrack", "/tracked/public.t", 501),
        Row("changes", "/changes", 501),
        Row("status", "/status"),
        Row("remotes", "/remotes"),
        Row("remote_add", "/remotes", 201, t.remote("new"), before=no_remote),
        Row("remote_get", "/remotes/usb"),
        Row("remote_delete", "/remotes/old", 204, before=old_remote),
        Row("remote_run", "/remotes/usb/run"),
        Row("remote_run", "/remotes/usb/run?start=true", 202),
        Row("remote_probe", "/remotes/usb/probe"),
        Row("remote_pending", "/remotes/usb/pending"),
        Row("remote_runs", "/remotes/usb/runs"),
        Row("remote_aside", "/remotes/usb/set-aside"),
        Row("remote_retry", "/remotes/usb/set-aside"),
        Row("remote_drop", "/remotes/usb/set-aside", 204),
        Row("aside", "/set-aside"),
        Row("runs", "/runs"),
        Row("backup", "/backup"),
        Row("backup", "/backup?pending=usb"),
        Row("backup", f"/backup?key_file={KEY}", right="operator"),
        Row("backup", "/backup?key_env=KF_TEST_KEY", right="operator"),
        Row("restore", f"//v1/{other}/restore?replace=true", 200, t.archive, space=other, before=another_space, kind="application/zip"),
        Row("restore", f"//v1/{other}/restore?replace=true&key_file={KEY}", 200, t.sealed, space=other, before=another_space,
            right="operator", kind="application/zip"),
        Row("digest", "/digest"),
        Row("verify", "/verify"),
        Row("doctor", "/doctor"),
        Row("healthz", "//healthz"),
        Row("readyz", "//readyz"),
        Row("durablez", "//durablez"),
        Row("metrics", "//metrics"),
        Row("openapi", "//openapi.json"),
        Row("page", "//"),
        Row("page_file", "//page/style.css"),
        Row("page_guard", "//keepfast-guard.js"),
    ]


def operations():
    """operationId: (method, pattern, right) of the program. Not OPTIONS, which is answered from the table of routes alone."""
    return {o["operationId"]: (method.upper(), pattern, o.get("x-right", ""))
            for pattern, path in description().paths.items() for method, o in path.items() if method != "options"}


class Tenant:
    def __init__(self, server, name, like=None):
        self.server = server
        self.space = f"{name}{os.urandom(4).hex()}"
        self.canary = f"Canary/{name}+{os.urandom(9).hex()}"
        self.secret_name = f"notes/{os.urandom(9).hex()}.json"
        self.place = f"place-{os.urandom(9).hex()}"
        self.customer = os.urandom(9).hex()
        self.identity, self.archive, self.sealed = ANYTHING, b"", b""
        self.document = json.dumps({"text": self.canary}).encode()
        (TOP / self.place).mkdir(mode=0o700)

    def remote(self, name):
        return json.dumps({"name": name, "url": f"dir:{TOP}/{self.place}/{name}", "manual": True}).encode()

    def operator(self, method, path, body=None):
        return once(self.server.socket, method, f"/v1/{self.space}{path}", body=body)

    def fill(self):
        equal(self.operator("PUT", "").status, 201, "a space is made")
        for name in ("usb", "new", "old"):
            (TOP / self.place / name).mkdir(mode=0o700)
        equal(self.operator("POST", "/remotes", self.remote("usb")).status, 201, "a remote is added")
        for name in ("one.json", "team/a.json", "team/b.json", "secret.json", self.secret_name):
            for n in (1, 2):
                check(self.operator("PUT", f"/docs/{name}", doc(n)).status in (200, 201), f"{name} is saved")
        for name in ("secret.json", "team/a.json"):
            self.operator("PUT", f"/docs/{name}", self.document)
        for key in ("team/chat", "team/other", "secret/chat"):
            attributes = json.dumps({"customer": self.customer, "note": self.canary}).encode()
            equal(self.operator("PATCH", f"/streams/{key}", attributes).status, 200, f"{key} has attributes")
            said = [{"id": "one", "body": 1}, {"kind": "user", "body": {"text": f"{key} {self.canary}"}, "attach": {"a": self.canary}}]
            equal(self.operator("POST", f"/streams/{key}/entries", json.dumps(said).encode()).status, 201, f"{key} has entries")
        equal(self.operator("POST", "/remotes/usb/run").status, 200, "what is there goes out")
        self.operator("PUT", "/docs/secret.json", json.dumps({"text": self.canary, "more": self.canary}).encode())
        self.archive = self.operator("GET", "/backup").body
        self.sealed = self.operator("GET", f"/backup?key_file={KEY}").body
        check(self.archive[:2] == b"PK" and len(self.sealed) > 200, "backups are there")

    def secrets(self):
        """What nobody else may see: words, and what they may look like."""
        words = (self.canary, self.secret_name[6:-5], self.place, self.space, self.customer)
        return {word: spellings(word) for word in words}


class World:
    """Two tenants, and everybody who may ask the first. `amiss` gathers what was not as it must be."""

    def __init__(self, server, spread=None):
        self.server, self.spread, self.amiss, self.cells, self.scanned = server, spread, [], 0, 0
        self.mine, self.theirs = Tenant(server, "anna"), Tenant(server, "bert")
        for tenant in (self.mine, self.theirs):
            tenant.fill()
        self.ghost = f"gone{os.urandom(4).hex()}"
        self.people = people(server, [self.mine.space, f"{self.mine.space}-x"], self.ghost)
        self.secrets = {tenant: tenant.secrets() for tenant in (self.mine, self.theirs)}

    def who(self, name):
        return next(who for who in self.people if who.name == name)

    def wrong(self, what):
        self.amiss.append(what)

    def look_for(self, tenant, answer, where, sent=""):
        """Nothing of a tenant's may be in an answer, but what the request itself said."""
        self.scanned += 1
        for word, forms in self.secrets[tenant].items():
            if word in sent:
                continue
            for form in forms:
                if form in answer.head + b"\r\n" + answer.body:
                    self.wrong(f"{where}: shows {word} as {form!r}")

    def ask(self, who, row, space, wire=None):
        method = operations()[row.operation][0]
        headers = [f"Content-Type: {row.kind or 'application/json'}"] if row.body is not None else []
        if self.spread:
            self.spread.turn()
        if wire:
            return wire.ask(method, row.target(space), token=who.text, body=row.body, headers=headers)
        return once(self.server.address, method, row.target(space), source(), token=who.text, body=row.body, headers=headers)

    def judge(self, who, row, answer, wanted, where):
        self.cells += 1
        method = operations()[row.operation][0]
        if answer is None:
            self.wrong(f"{where}: no answer")
            return
        code = json.loads(answer.body)["code"] if answer.header("Content-Type") == "application/problem+json" else ""
        if wanted is None:
            if answer.status != row.good:
                self.wrong(f"{where}: got {answer}, wanted {row.good}")
        elif (answer.status, code) != wanted:
            self.wrong(f"{where}: got {answer}, wanted {wanted}")
        if answer.status == 401 and answer.header("WWW-Authenticate") != 'Bearer realm="keepfast"':
            self.wrong(f"{where}: 401 without WWW-Authenticate")
        description().check(method, row.target("x"), answer.status, answer.headers, answer.body)


def each_row(w, tenant, only=None):
    """Rows are made anew for each, for what stands before them changes the tenant."""
    for number in range(len(rows(tenant))):
        row = rows(tenant)[number]
        if only and row.operation not in only:
            continue
        yield number, row


def matrix(w, only=None, people_only=None):
    table = operations()
    for number, row in each_row(w, w.mine, only):
        method, pattern, right = table[row.operation]
        right = row.right or right
        for who in w.people:
            if people_only and who.name not in people_only:
                continue
            of_space = row.space or (w.mine.space if "{space}" in pattern else None)
            wanted = who.expects(right, of_space, row.name, row.of_names)
            if row.operation == "durablez" and who.state not in ("none", "live"):
                wanted = who.expects("any")  # a token that is shown says of what to tell, or is refused
            if row.operation == "token_make" and "read" not in who.rights:
                wanted = wanted or (403, "forbidden")  # which it asks for
            if wanted is None and row.before:
                row.before(w.mine)
                row = rows(w.mine)[number]
            where = f"{who.name}: {method} {row.path}"
            answer = w.ask(who, row, w.mine.space)
            w.judge(who, row, answer, wanted, where)
            if answer and who.spaces is not None or who.state != "live":
                w.look_for(w.theirs, answer, where)
            if answer and who.state != "live":
                w.look_for(w.mine, answer, where, row.target(w.mine.space))


def foreign(w, only=None):
    """The same of the other tenant: what is not one's own is not there, whatever one may do."""
    table = operations()
    for _, row in each_row(w, w.theirs, only):
        method, pattern, right = table[row.operation]
        if "{space}" not in pattern:
            continue
        for who in w.people:
            if who.state != "live" or who.spaces is None:
                continue
            where = f"{who.name}: {method} {row.path} of the other"
            answer = w.ask(who, row, w.theirs.space)
            w.judge(who, row, answer, (404, "unknown_space"), where)
            if answer:
                w.look_for(w.theirs, answer, where, row.target(w.theirs.space))


def bare(answer, names):
    """An answer without what may differ: its moment, its number, the name that was asked for."""
    text = answer.head + b"\r\n\r\n" + answer.body
    text = re.sub(rb"\r\nDate: [^\r]*", b"", text)
    text = re.sub(rb'"request_id":"[0-9a-f]{16}"', b'"request_id":""', text)
    for name in names:
        text = text.replace(name.encode(), b"SPACE")
    return text


def spoiled(row):
    """The request as it stands, and in forms that a server might look at before it asks whose it is."""
    body, kind = row.body, f"Content-Type: {row.kind or 'application/json'}"
    if body is None:
        yield "as it is", None, []
        yield "a body that it does not take", b"x" * 10, []
        yield "a coding", None, ["Content-Encoding: gzip"]
        return
    yield "as it is", body, [kind]
    yield "in chunks", chunked(body), [kind, "Transfer-Encoding: chunked"]
    yield "broken", body[:-1] + b"{", [kind]
    yield "empty", b"", [kind]
    yield "another type", body, ["Content-Type: text/html"]
    yield "no type", body, []
    yield "a coding", body, [kind, "Content-Encoding: gzip"]
    yield "expected", body, [kind, "Expect: 100-continue"]
    yield "conditional", body, [kind, 'If-Match: "1"', "Idempotency-Key: the same"]
    yield "no length", None, [kind]
    if row.operation != "restore":  # of which any length may come
        yield "too long", None, [kind, "Content-Length: 99999999999"]
    yield "a large one", b"[" + b"1," * 200000 + b"1]", [kind]
    if row.operation in ("doc_put", "restore"):
        yield "a large one in chunks", chunked(b"[" + b"1," * 4500000 + b"1]", 100000), [kind, "Transfer-Encoding: chunked"]


def indistinct(w, only=None, quick=False):
    """Foreign and absent: the same bytes, and the connection goes on in the same way."""
    table = operations()
    asked = 0
    names = (w.theirs.space, w.ghost, f"none{os.urandom(4).hex()}")
    may = lambda row: row.operation != "space_put" and (row.right or table[row.operation][2]) != "operator"
    for number, row in each_row(w, w.theirs, only):
        method, pattern, _ = table[row.operation]
        if "{space}" not in pattern:
            continue
        for form, body, headers in spoiled(row):
            if quick and form not in ("as it is", "in chunks"):
                continue
            seen = []
            for name in names:
                # Who may do all in the space that is not there gets there what is said of absence; but making it is another thing.
                who = w.who("ghost" if name == w.ghost and may(row) else "own")
                target = row.target(w.theirs.space).replace(w.theirs.space, name)
                with Wire(w.server.address) as wire:
                    answer = wire.ask(method, target, token=who.text, body=body, headers=headers)
                    goes_on = answer is not None and not answer.closes and wire.ask("GET", "/healthz") is not None
                seen.append((bare(answer, (f"{name}-x", name)) if answer else None, goes_on))
                asked += 1
            if seen[0] != seen[1] or seen[0] != seen[2]:
                w.wrong(f"{method} {row.path}, {form}: foreign, absent and unknown differ: {seen}")
    return asked


def serve(sabotage=None, tls=False, **env):
    """A server on a fresh folder; a key lies where it finds it."""
    if not KEY.exists():
        equal(run("key", "new", KEY).status, 0, "a key is made")
    env |= {"KF_TEST_KEY": KEY.read_text().strip()} | ({"KF_SABOTAGE": sabotage} if sabotage else {})
    config = "log: { level: debug }\n"
    if tls:
        config += "tls: { cert: %s, key: %s }\n" % certificate()
    server = Server(folder() / "data", config, env=env)
    if tls:
        server.address = f"https://{server.address}"
    return server


# ------------------------------------------------------------------------------------- tests


@test
def every_route_has_a_row():
    class Nobody(Tenant):
        def __init__(self):
            self.space, self.canary, self.secret_name, self.place = "x", "x", "notes/x", "x"
            self.identity, self.archive, self.sealed, self.document, self.customer = ANYTHING, b"", b"", b"", "x"
    here = {row.operation for row in rows(Nobody())}
    equal(sorted(set(operations()) - here), [], "routes of the program without a row")
    equal(sorted(here - set(operations())), [], "rows without a route")


@test
def everybody_gets_what_is_theirs():
    with serve() as server:
        w = World(server)
        matrix(w)
        own = w.cells
        foreign(w)
        asked = indistinct(w)
        lists_show_what_is_ones_own(w)
        methods = every_method(w)
        log = server.stderr()
        for tenant in (w.mine, w.theirs):
            check(tenant.canary not in log, "what documents hold is not in the log")
        for event in ("auth.fail", "auth.expired", "authz.deny", "authz.cross_tenant"):
            check(event in log, f"the log has {event}")
        for who in w.people:
            check(not who.text or who.text == "password" or who.text not in log, f"the log has the token of {who.name}")
        equal(server.stop(), 0, "its end")
    note(f"cells={w.cells} own={own} identical={asked} methods={methods} scanned={w.scanned} amiss={len(w.amiss)}")
    equal(w.amiss[:20], [], "what was not as it must be")
    check(w.cells >= CELLS_MIN and asked >= 300 and w.scanned >= 400, "enough was asked")


SOME = ("own", "nobody", "unknown", "expired", "revoked", "prefixes", "operator", "only read", "all but write")


def once_more(server, spread=None):
    """The same with some of the people, and without the forms that are broken."""
    w = World(server, spread)
    matrix(w, people_only=SOME)
    foreign(w)
    asked = indistinct(w, quick=True)
    lists_show_what_is_ones_own(w)
    note(f"cells={w.cells} identical={asked} scanned={w.scanned} amiss={len(w.amiss)}")
    equal(w.amiss[:20], [], "what was not as it must be")
    check(w.cells >= CELLS_MIN and asked >= 100 and w.scanned >= 400, "enough was asked")


@test
def over_tls_everybody_gets_what_is_theirs():
    with serve(tls=True) as server:
        once_more(server)
        equal(server.stop(), 0, "its end")


class Spread:
    """Connections that are open and silent: a new one goes to the loop that has the fewest, so with none, one and two of them each of three
    loops has its turn."""

    def __init__(self, address):
        self.address, self.open = address, []

    def turn(self):
        if len(self.open) < 2:
            self.open.append(Wire(self.address))
        else:
            self.close()

    def close(self):
        while self.open:
            self.open.pop().close()


@test
def with_three_loops_everybody_gets_what_is_theirs():
    with serve(KEEPFAST_LOOPS="3") as server:
        wait_for(lambda: len(server.turns()) >= 3, 10)  # before the first request there are no other threads than the loops
        spread, before = Spread(server.address), server.turns()
        once_more(server, spread)
        after = server.turns()
        spread.close()
        turns = sorted(after.get(task, 0) - before[task] for task in before)
        note(f"turns of the loops: {turns}")
        check(sum(n >= 100 for n in turns) >= 3, f"each of three loops was asked: {turns}")
        equal(server.stop(), 0, "its end")


def streams_show_what_is_ones_own(w, ask, prefixes):
    """A token with prefixes: of lists and of what goes across streams, the rest is as if it were not there."""
    streams = lambda query: [s["key"] for s in json.loads(ask(prefixes, f"/v1/{w.mine.space}/streams{query}").body)["items"]]
    for query, keys in (("?limit=9", ["team/chat", "team/other"]), (f"?attr.customer={w.mine.customer}", ["team/chat", "team/other"]),
                        ("?prefix=secret/", []), ("?prefix=s", []), ("?prefix=team/o", ["team/other"]), ("?attr.customer=none", [])):
        found = [key for key in streams(query) if key not in ("team/old", "team/gone")]
        if found != keys:
            w.wrong(f"streams with {query}: {found}")
    context = json.loads(ask(prefixes, f"/v1/{w.mine.space}/streams/team/other/context?across=customer&entries=1000").body)
    if {entry["stream"] for entry in context["items"]} != {"team/chat", "team/other"} or context["more"]:
        w.wrong(f"a context across streams: {context}")
    some = json.loads(ask(prefixes, f"/v1/{w.mine.space}/streams/team/other/context?across=customer&entries=2").body)
    if some["items"] != context["items"][-2:] or not some["more"]:
        w.wrong(f"a short context across streams: {some}")
    word, found, cursor = w.mine.canary.rsplit("+", 1)[1], [], ""
    while len(found) < 9:
        page = json.loads(ask(prefixes, f"/v1/{w.mine.space}/search?q={word}&limit=1{cursor}").body)
        found += [hit["stream"] for hit in page["items"]]
        if not page["next"]:
            break
        cursor = f"&cursor={page['next']}"
    if sorted(found) != ["team/chat", "team/other"]:
        w.wrong(f"a search: {found}")
    answer = ask(prefixes, f"/v1/{w.mine.space}/streams/secret/chat/context?across=customer")
    if answer.status != 404:
        w.wrong(f"a context of another's stream: {answer}")


def lists_show_what_is_ones_own(w):
    own, prefixes, read = w.who("own"), w.who("prefixes"), w.who("only read")
    ask = lambda who, target: once(w.server.address, "GET", target, token=who.text)
    another_space(w.mine)
    for who in (own, prefixes, read):
        found, cursor = [], ""
        for _ in range(10):  # by one: a cursor must not say what stands between
            page = ask(who, f"/v1?limit=1{cursor}")
            w.look_for(w.theirs, page, f"{who.name}: a page of spaces")
            page = json.loads(page.body)
            found += [item["name"] for item in page["items"]]
            if not page["next"]:
                break
            cursor = f"&cursor={page['next']}"
        if found != [w.mine.space, f"{w.mine.space}-x"]:
            w.wrong(f"{who.name}: spaces {found}")
    whole = json.loads(ask(prefixes, f"/v1/{w.mine.space}/docs").body)["items"]
    if [item["name"] for item in whole] != ["one.json", "team/a.json", "team/b.json"]:
        w.wrong(f"documents of a token with prefixes: {whole}")
    for prefix, names in (("te", ["team/a.json", "team/b.json"]), ("team/b", ["team/b.json"]), ("s", []), ("notes/", []), ("one.json", ["one.json"])):
        items = json.loads(ask(prefixes, f"/v1/{w.mine.space}/docs?prefix={prefix}").body)["items"]
        if [item["name"] for item in items] != names:
            w.wrong(f"documents with {prefix}: {items}")
    found, cursor = [], ""
    while len(found) < 10:
        page = json.loads(ask(prefixes, f"/v1/{w.mine.space}/docs?limit=1{cursor}").body)
        found += [item["name"] for item in page["items"]]
        if not page["next"]:
            break
        cursor = f"&cursor={page['next']}"
    if found != ["one.json", "team/a.json", "team/b.json"]:
        w.wrong(f"documents by one: {found}")
    streams_show_what_is_ones_own(w, ask, prefixes)
    numbers = ask(read, "/metrics").body.decode()
    shown = set(re.findall(r'space="([^"]*)"', numbers))
    if shown != {w.mine.space, f"{w.mine.space}-x"}:
        w.wrong(f"numbers of {shown}")
    counts = re.findall(r"^(\w+)[ {](?!.*space=)", re.sub(r"^#.*\n", "", numbers, flags=re.M), re.M)
    if any(name.startswith(("keepfast_requests", "keepfast_problems", "keepfast_connections", "keepfast_http")) for name in counts):
        w.wrong(f"numbers that count what others do: {sorted(set(counts))}")
    durable = ask(read, "/durablez")
    if [item["space"] for item in json.loads(durable.body)["items"]] != [w.mine.space, f"{w.mine.space}-x"]:
        w.wrong(f"durable: {durable}")
    if "items" in json.loads(once(w.server.address, "GET", "/durablez").body):
        w.wrong("nobody is told which spaces there are")


def every_method(w):
    """What is not in the table is 405 with Allow or 404, before anybody is asked for a token."""
    table, asked = operations(), 0
    there = {(method, pattern) for method, pattern, _ in table.values()}
    for pattern in sorted({pattern for _, pattern, _ in table.values()}):
        path = pattern.replace("{space}", w.theirs.space).replace("{name}", "secret.json").replace("{remote}", "usb").replace("{id}", ANYTHING).replace("{file}", "style.css").replace("{key}", "secret/chat")
        path = path.replace("{attribute}", "owner").replace("{value}", "nobody").replace("{table}", "public.t")
        allowed = {method for method, where in there if where == pattern}
        for method in METHODS:
            if method in allowed or (method == "HEAD" and "GET" in allowed):
                continue
            for token in (None, w.who("own").text):
                answer = once(w.server.address, method, path, source(), token=token)
                asked += 1
                if answer is None or answer.status != 405 or not allowed <= set(re.split(", *", answer.header("Allow") or "")):
                    w.wrong(f"{method} {pattern}: {answer}")
                if answer:
                    w.look_for(w.theirs, answer, f"{method} {pattern}", path)
        if ("GET", pattern) in there:
            answer = once(w.server.address, "HEAD", path, source(), token=w.who("own").text)
            asked += 1
            if "{space}" in pattern and answer.status != 404:
                w.wrong(f"HEAD {pattern} of the other: {answer}")
    return asked


@test
def connections_do_not_remember_who_asked():
    """Requests of everybody, mixed, over few connections, one behind the other and without waiting: each gets what it alone would."""
    count, wires, checked = 1000000 if LONG else 1500, [], 0
    seed = int.from_bytes(os.urandom(4), "big")
    pick = random.Random(seed)
    note(f"seed={seed}")
    reading = ("doc_get", "doc_list", "doc_versions", "doc_diff", "status", "remotes", "digest", "spaces", "metrics", "runs", "aside")
    with serve() as server:
        w = World(server)
        table = operations()
        crowd = [who for who in w.people if who.state in ("live", "none")]
        mine, theirs = ([row for row in rows(t) if row.operation in reading] for t in (w.mine, w.theirs))
        wires = [Wire(server.address) for _ in range(4)]
        for _ in range(count // 5):
            wire, batch = pick.choice(wires), []
            for _ in range(5):
                who, other = pick.choice(crowd), pick.random() < 0.5
                row = pick.choice(theirs if other else mine)
                batch.append((who, row, w.theirs if other else w.mine))
            for who, row, tenant in batch:
                token = f"Authorization: Bearer {who.text}\r\n" if who.text else ""
                wire.send(f"GET {row.target(tenant.space)} HTTP/1.1\r\nHost: localhost\r\n{token}\r\n".encode())
            for who, row, tenant in batch:
                answer, of = wire.reply(), tenant.space if "{space}" in table[row.operation][1] else None
                where = f"{who.name}: {row.target(tenant.space)}"
                w.judge(who, row, answer, who.expects(table[row.operation][2], of, row.name, row.of_names), where)
                checked += 1
                if who.spaces is not None or who.state != "live":
                    w.look_for(w.theirs, answer, where, row.target(tenant.space))
        for wire in wires:
            wire.close()
    note(f"requests={checked} amiss={len(w.amiss)}")
    equal(w.amiss[:20], [], "what was not as it must be")
    check(checked == count, "all were answered")


@test
def keys_of_writes_are_of_ones_own_names():
    """Two in one space, each with names of its own, who choose the same Idempotency-Key: neither finds out, nor stands in the other's way.
    The next token for the same names goes on with the keys of the one before."""
    with serve() as server:
        equal(once(server.socket, "PUT", "/v1/shared").status, 201, "a space")
        who = [make(server, name, spaces=["shared"], prefixes=prefixes)["token"]
               for name, prefixes in (("a", ["a/*"]), ("b", ["b/*"]), ("next", ["b/*"]), ("both", ["b/*", "a/*"]), ("both again", ["a/*", "b/*", "b/c"]))]

        def put(token, name, body):
            answer = once(server.address, "PUT", f"/v1/shared/docs/{name}", source(), token=token, body=body, headers=["Idempotency-Key: order-1"])
            return answer.status, answer.header("Idempotent-Replay"), json.loads(answer.body).get("code")

        equal(put(who[0], "a/x", b"1"), (201, None, None), "the first of one")
        equal(put(who[1], "b/x", b"2"), (201, None, None), "the same key of another")
        equal(put(who[2], "b/x", b"2"), (200, "true", None), "again, with the next token for the same names")
        equal(put(who[1], "b/y", b"2"), (409, None, "id_reused"), "another request of one's own")
        equal(put(who[0], "a/x", b"3"), (409, None, "id_reused"), "another body")
        equal(put(who[3], "a/z", b"4"), (201, None, None), "one for both")
        equal(put(who[4], "a/z", b"4"), (200, "true", None), "the same names, said in another way")
        answer = once(server.socket, "PUT", "/v1/shared/docs/a/o", body=b"5", headers=["Idempotency-Key: order-1"])
        equal(answer.status, 201, "the space's own")


@test
def waiting_tells_no_more_than_reading():
    """Who has some names of a space may wait for its remotes, and is not told what they say and where they are."""
    with serve() as server:
        equal(once(server.socket, "PUT", "/v1/shared").status, 201, "a space")
        place = json.dumps({"name": "away", "url": f"dir:{TOP}/not-there/hidden", "manual": True}).encode()
        equal(once(server.socket, "POST", "/v1/shared/remotes", body=place).status, 201, "a remote that is away")
        for prefixes, told in ((["a/*"], False), (None, True)):
            token = make(server, "waits", spaces=["shared"], **({"prefixes": prefixes} if prefixes else {}))["token"]
            answer = once(server.address, "PUT", "/v1/shared/docs/a/x?wait=away&timeout=5s", source(), token=token, body=b"1")
            equal((answer.status, json.loads(answer.body)["code"], b"hidden" in answer.body), (503, "level_unavailable", told), f"with {prefixes}")


def seen_with(sabotage, look):
    """What is found amiss in a program with this defect."""
    with serve(sabotage) as server:
        w = World(server)
        look(w)
    note(f"{sabotage}: amiss={len(w.amiss)}, as {w.amiss[:1]}")
    check(w.amiss, f"{sabotage} is not found")
    return w.amiss


@test
def saboteur_skip_tenant_check_http_is_found():
    amiss = seen_with("skip-tenant-check-http", lambda w: foreign(w, only=("doc_get", "status", "backup")))
    check(any("shows" in line for line in amiss), "and what the other has is seen")


@test
def saboteur_skip_tenant_check_lists_is_found():
    amiss = seen_with("skip-tenant-check-lists", lists_show_what_is_ones_own)
    check(any("numbers of" in line for line in amiss) and any("spaces [" in line for line in amiss), "in lists and in numbers")


@test
def saboteur_skip_right_check_is_found():
    seen_with("skip-right-check", lambda w: matrix(w, only=("doc_get", "doc_put", "digest"), people_only=("only read", "all but write")))


@test
def saboteur_foreign_told_apart_is_found():
    seen_with("foreign-told-apart", lambda w: indistinct(w, only=("doc_get", "doc_put"), quick=True))


main()

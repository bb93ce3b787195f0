#!/usr/bin/env python3
# test: timeout=300
"""Requests that are made from the description, as it says and a little beside it, with tokens and without: none is answered with 500,
none with what is not described. And the description held against the code: what handlers read of an address and which problems they
have stands in both.

A failing request is printed. The first half of the examples is the same in each run, the seed of the others is printed."""

import json
import os
import re
import sys
import urllib.parse
from pathlib import Path

sys.path.insert(0, os.path.join(os.environ.get("KF_TOP", "."), "tests"))
from tempfile import gettempdir  # noqa: E402

os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = gettempdir()
from hypothesis import HealthCheck, Phase, given, seed, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from keepfast import Server, description, folder  # noqa: E402
from tap import check, equal, main, note, test  # noqa: E402
from tokens import people, source  # noqa: E402
from wire import Wire, once  # noqa: E402

TOP = Path(os.environ.get("KF_TOP", "."))
LONG = os.environ.get("KEEPFAST_LONG") == "1"
EXAMPLES = 20000 if LONG else 700
PLACES = folder()
NAMES = ["a.json", "b/c.json", "b/d.json", "none", "versions", "b/versions", "ż.json", "a b", "%41"]
KEYS = ["chat/a", "chat/b", "views/a", "none", "entries", "chat/entries", "%41"]
SPACES = ["default", "other", "none", "NO", "tokens", "_keepfast"]
REMOTES = ["usb", "far", "none"]
WORDS = ["", "true", "customer", "user", "2030-01-01T00:00:00Z", "chat/", "false", "1", "0", "2", "99", "-1", "all", "usb", "memory", "disk", "1ms", "50ms", "b/", "x", "YS5qc29u", "default", "none",
         "persona_memory.json", f"{PLACES}/key.txt", "KF_TEST_KEY", "18446744073709551616"]
TIMES = ["2030-01-01T00:00:00Z", "2001-01-01T00:00:00.000Z", "soon"]
METHODS = {"remotes": "POST", "entries": "POST"}
URLS = [f"dir:{PLACES}/one", f"dir:{PLACES}/two", "dir:", "mem:", "http://127.0.0.1:1/x.git", "none:at all", "", "s3://bucket/x"]
TYPES = ["application/json", "application/merge-patch+json", "application/zip", "application/octet-stream", "text/plain",
         "application/x-www-form-urlencoded", ""]
text = st.text(st.characters(blacklist_categories=("Cs",)), max_size=12)


# ------------------------------------------------------------------------------------- values


def json_values():
    leaves = st.none() | st.booleans() | st.integers(-2**70, 2**70) | st.floats(allow_nan=False, allow_infinity=False) | text
    return st.recursive(leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4), max_leaves=12)


def of_schema(schema, name=""):
    """Values that a schema of the description takes."""
    if "$ref" in schema:
        return of_schema(description().schemas[schema["$ref"].rsplit("/", 1)[1]], name)
    if "anyOf" in schema:
        return st.one_of([of_schema(one, name) for one in schema["anyOf"]])
    kinds = schema.get("type", "object")
    if isinstance(kinds, list):
        return st.one_of([of_schema({**schema, "type": kind}, name) for kind in kinds])
    if kinds == "object":
        properties, required = schema.get("properties", {}), schema.get("required", [])
        return st.fixed_dictionaries({n: of_schema(s, n) for n, s in properties.items() if n in required},
                                     optional={n: of_schema(s, n) for n, s in properties.items() if n not in required})
    if kinds == "array":
        return st.lists(of_schema(schema.get("items", {"type": "string"}), name), max_size=3)
    return {"string": strings(schema, name), "integer": st.integers(-1, 5) | st.integers(), "boolean": st.booleans(),
            "null": st.none()}.get(kinds, json_values())


def strings(schema, name):
    if schema.get("format") == "date-time":
        return st.sampled_from(TIMES)
    known = {"url": URLS, "rights": ["read", "write", "run", "query", "admin", "all"], "spaces": SPACES, "prefixes": ["b/*", "a.json", "*"],
             "expires_in": ["1h", "90d", "0s", "x"], "every": ["1h", "1d", "x"], "on_change": ["1h", "x"]}.get(name)
    if name == "url":
        return st.sampled_from(URLS)
    return st.sampled_from(known) | text if known else st.sampled_from(["usb", "far", "x"]) | text


def bodies(operation):
    """Of the description mostly, any JSON sometimes, any bytes now and then."""
    content = operation.get("requestBody", {}).get("content", {})
    schemas = [one.get("schema", {}) for one in content.values()]
    if not content:
        return st.just(None) | st.just(None) | st.just(None) | st.binary(max_size=20)
    as_said = [of_schema(schema).map(lambda v: json.dumps(v, ensure_ascii=False).encode()) for schema in schemas if schema.get("$ref")]
    any_json = json_values().map(lambda v: json.dumps(v, ensure_ascii=False).encode())
    return st.one_of([*as_said, *as_said, *as_said, any_json, st.binary(max_size=40), st.just(None)])


def escaped(value):
    return urllib.parse.quote(value, safe="")


def targets(pattern, operation):
    pieces = {"space": st.sampled_from(["default"] * 6 + SPACES) | text, "name": st.sampled_from(NAMES[:3] * 3 + NAMES) | text,
              "remote": st.sampled_from(REMOTES[:2] * 3 + REMOTES) | text, "id": st.sampled_from(["0" * 12, "x"]) | text,
              "key": st.sampled_from(KEYS[:3] * 3 + KEYS) | text, "attribute": st.sampled_from(["customer", "none"]) | text,
              "value": st.sampled_from(["7", "none"]) | text, "table": st.sampled_from(["public.t", "t", "a.b.c"]) | text,
              "file": st.sampled_from(["main.js", "none.js"]) | text}
    names = re.findall(r"\{(\w+)\}", pattern)
    described = [p["name"] for p in operation["parameters"] if p["in"] == "query"]
    query = st.dictionaries(st.sampled_from(described), st.sampled_from(WORDS) | text, max_size=3) if described else st.just({})
    more = st.just({}) | st.just({}) | st.just({}) | st.just({}) | st.dictionaries(text, text, max_size=1)

    def made(values, asked, beside):
        path = pattern
        for name, value in zip(names, values):
            path = path.replace("{" + name + "}", escaped(value) or "%20")
        return path + ("?" + urllib.parse.urlencode({**asked, **beside}) if asked or beside else "")
    return st.builds(made, st.tuples(*[pieces[name] for name in names]), query, more)


def headers():
    values = st.sampled_from(['"x"', "*", "once", "twice", ""])
    return st.dictionaries(st.sampled_from(["If-Match", "If-None-Match", "Idempotency-Key"]), values, max_size=2)


def operations():
    """(method, pattern, operation) of each, but for OPTIONS, which reads nothing of a request (test_openapi asks it)."""
    return [(method.upper(), pattern, operation) for pattern, path in description().paths.items()
            for method, operation in path.items() if method != "options"]


def requests_of_each():
    found = []
    for method, pattern, operation in operations():
        kinds = list(operation.get("requestBody", {}).get("content", {})) or [""]
        types = st.sampled_from(kinds * 8 + TYPES)
        found.append(st.tuples(st.just(method), targets(pattern, operation), bodies(operation), types, headers()))
    return found


# ------------------------------------------------------------------------------------- asking


class Asked:
    """Sends what is made, and holds each answer against the description."""

    def __init__(self, server, who=()):
        self.server, self.who, self.count = server, who, 0
        self.met = {}  # "operation status-or-code": how often
        self.wire = Wire(server.socket if not who else server.address, source() if who else None)

    def prepare(self):
        """What others have deleted, so that there is something to ask for."""
        if self.count % 50 == 0:
            for target, body in (("/v1/default/docs/a.json", b'{"n":1}'), ("/v1/default/docs/b/c.json", b"[1]"),
                                 ("/v1/default/streams/chat/a", b'{"customer":7}'), ("/v1/default/streams/chat/b", b'{"customer":7}'),
                                 ("/v1/default/streams/chat/a/entries", b'[{"kind":"user","body":{"text":"one"}},{"body":2}]'),
                                 ("/v1/default/remotes", json.dumps({"name": "usb", "url": f"dir:{PLACES}/usb", "manual": True}).encode())):
                once(self.server.socket, "PUT", "/v1/default")
                once(self.server.socket, METHODS.get(target.split("/")[-1], "PATCH" if "streams" in target else "PUT"), target, body=body)

    def ask(self, method, target, body, kind, more, who=None):
        self.prepare()
        self.count += 1
        lines = [f"{name}: {value}" for name, value in more.items()] + ([f"Content-Type: {kind}"] if kind and body is not None else [])
        answer = self.wire.ask(method, target, token=who.text if who else None, body=body, headers=lines)
        if answer is None or answer.closes:
            self.wire.close()
            self.wire = Wire(self.server.socket if not self.who else self.server.address, source() if self.who else None)
        what = f"{method} {target} {lines} {body!r}{' as ' + who.name if who else ''}: {answer}"
        check(answer is not None, f"an answer: {what}")
        check(answer.status != 500, what)
        try:
            met = description().check(method, target, answer.status, answer.headers, answer.body)
        except AssertionError as reason:
            raise AssertionError(f"{reason}: {what}") from reason
        self.met[met] = self.met.get(met, 0) + 1
        return answer


def examples(asked, count):
    options = {"max_examples": count // 2, "deadline": None, "database": None, "suppress_health_check": list(HealthCheck),
               "phases": (Phase.generate,)}
    whom = st.sampled_from(asked.who) if asked.who else st.none()

    def one(request, who):
        asked.ask(*request, who=who)
    each = requests_of_each()
    for of_one in each:  # what is drawn of all may leave one out
        settings(**options | {"derandomize": True, "max_examples": 3})(given(of_one, whom)(one))()
    requests = lambda: st.one_of(each)
    settings(derandomize=True, **options)(given(requests(), whom)(one))()
    fresh = int.from_bytes(os.urandom(4), "big")
    note(f"seed={fresh}")
    seed(fresh)(settings(**options)(given(requests(), whom)(one)))()


def told(asked):
    named = {met.split()[0] for met in asked.met}
    good = {met.split()[0] for met in asked.met if met.split()[1].startswith("2")}
    codes = {met.split()[1] for met in asked.met if not met.split()[1].isdigit()}
    note(f"requests={asked.count} operations={len(named)} served={len(good)} codes={len(codes)} kinds={len(asked.met)}")
    return named, good, codes


def begin(server):
    for name in ("usb", "one", "two"):
        (PLACES / name).mkdir(mode=0o700, exist_ok=True)
    once(server.socket, "PUT", "/v1/default")


# ------------------------------------------------------------------------------------- tests


@test
def requests_from_the_description_without_tokens():
    with Server(folder() / "data") as server:
        begin(server)
        asked = Asked(server)
        examples(asked, EXAMPLES)
        met, good, codes = told(asked)
        every = {operation["operationId"] for _, _, operation in operations()}
        equal(sorted(every - met - {"-"}), [], "operations that were never asked")
        check(len(good) >= len(every) * 2 // 3 and len(codes) >= 8, f"many were served, and not all: never {sorted(every - good)}")
        equal(server.stop(), 0, "its end")


@test
def requests_from_the_description_with_tokens():
    with Server(folder() / "data") as server:
        begin(server)
        asked = Asked(server, [who for who in people(server, ["default", "other"], "none") if who.state == "live"])
        asked.who.append(type(asked.who[0])("nobody", state="none"))
        examples(asked, EXAMPLES)
        _, _, codes = told(asked)
        check({"auth_required", "forbidden", "unknown_space"} <= codes, f"refused in each way: {sorted(codes)}")
        equal(server.stop(), 0, "its end")


# ------------------------------------------------------------------------------------- description and code


@test
def what_handlers_read_is_what_is_described():
    read = set()
    for path in sorted((TOP / "src/api").glob("*.c")):
        code = path.read_text()
        read |= set(re.findall(r'query_(?:get|flag|text|number)\((?:&?\w+(?:->\w+)*), "(\w+)"', code))
        read |= set(re.findall(r'take_time\(c, "(\w+)"', code))
        read |= {"limit", "cursor"} if "query_page(c," in code else set()
        read |= {"attr.NAME"} if '"attr."' in code else set()
    described = {p["name"] for path in description().paths.values() for o in path.values() for p in o["parameters"] if p["in"] == "query"}
    equal(sorted(described - read), [], "parameters that no handler reads")
    equal(sorted(read - described), [], "parameters that are read and not described")


@test
def problems_of_the_code_are_those_of_the_description():
    table = dict(re.findall(r'^P\((\w+), "(\w+)", [1-9]', (TOP / "src/base/problems.def").read_text(), re.M))
    equal(sorted(table.values()), sorted(description().codes), "codes")
    code = "".join(path.read_text() for path in sorted((TOP / "src").rglob("*.[ch]")))
    unused = [name for name in table if not re.search(rf"\bPROBLEM_{name}\b", code)]
    note(f"codes={len(table)} that nothing in the source says: {unused}")
    equal(unused, [], "codes that are described and that nothing can answer")


@test
def parameters_are_taken_where_they_are_described():
    """Each where it stands, and none of them anywhere else."""
    names = sorted({p["name"] for path in description().paths.values() for o in path.values() for p in o["parameters"] if p["in"] == "query"})
    asked = 0
    with Server(folder() / "data") as server:
        begin(server)
        for method, pattern, operation in operations():
            target = pattern.replace("{space}", "nowhere").replace("{name}", "a").replace("{remote}", "usb")
            target = target.replace("{id}", "0" * 12).replace("{file}", "style.css").replace("{key}", "a")
            target = target.replace("{attribute}", "customer").replace("{value}", "7").replace("{table}", "public.t")
            taken = {p["name"] for p in operation["parameters"] if p["in"] == "query"}
            for name in names:
                answer = once(server.socket, method, f"{target}?{name}=1", body=b"1" if "requestBody" in operation else None)
                refused = answer.status == 400 and b"this route has no parameter" in answer.body
                equal(refused, name not in taken, f"{method} {target}?{name}=1: {answer}")
                asked += 1
    note(f"asked={asked}")


main()

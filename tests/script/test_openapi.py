#!/usr/bin/env python3
"""The OpenAPI description and what a server answers: every operation and every status of it met once, each answer as
described. The other tests from outside hold all their answers against it, too (tests/described.py)."""

import json
import os
import re
import shutil
import sys

sys.path.insert(0, os.path.join(os.environ.get("KF_TOP", "."), "tests"))
from described import Description, Misfit  # noqa: E402
from keepfast import Client, Server, description, folder, run  # noqa: E402
from pg import Cluster  # noqa: E402
from tap import check, equal, main, test  # noqa: E402
from wire import once  # noqa: E402

WORK = folder()
METHODS = {"get", "put", "post", "patch", "delete", "options"}
CONFIG = """\
spaces:
  shop:
    docs:
      - { match: "config/*.json", default: { email: null }, schema: notify.json }
"""
(WORK / "notify.json").write_text('{"type":"object","required":["email"]}')


def refused(misfit, *answer):
    try:
        description().check(*answer)
    except Misfit as reason:
        check(misfit in str(reason), f"{misfit!r} is the reason: {reason}")
        return
    raise AssertionError(f"taken, though {misfit}: {answer}")


@test
def the_description_holds_together():
    d = description()
    equal(d.whole["openapi"], "3.1.0", "the format")
    ids = [o["operationId"] for path in d.paths.values() for o in path.values()]
    equal(len(ids), len(set(ids)), "each operation has an id of its own")
    for pattern, path in d.paths.items():
        check(set(path) <= METHODS, f"{pattern}: methods {set(path)}")
        for operation in path.values():
            given = [p["name"] for p in operation["parameters"] if p["in"] == "path"]
            equal(sorted(given), sorted(re.findall(r"\{(\w+)\}", pattern)), f"parameters in the path of {pattern}")
            check(all(p["required"] for p in operation["parameters"] if p["in"] == "path"), f"{pattern}: required")
            check("default" in operation["responses"], f"{pattern}: problems are described")
    for name in re.findall(r'"#/components/(?:schemas|responses)/(\w+)"', json.dumps(d.whole)):
        check(name in d.schemas or name in d.whole["components"]["responses"], f"{name} is there")
    for name, schema in d.schemas.items():
        check(set(schema.get("required", [])) <= set(schema.get("properties", [])), f"{name}: what is required is described")


@test
def what_is_not_described_is_found():
    head, text = {"Content-Type": "application/json"}, b'{"digest":"x","docs":1}'
    digest = ("GET", "/v1/s/digest", 200, head)
    equal(description().check(*digest, text), "digest 200", "one that fits")
    refused("described as integer", *digest, b'{"digest":"x","docs":"1"}')
    refused("described as integer", *digest, b'{"digest":"x","docs":true}')
    refused("lacks docs", *digest, b'{"digest":"x"}')
    refused("not described", *digest, b'{"digest":"x","docs":1,"more":1}')
    refused("status is not described", "GET", "/v1/s/digest", 201, head, text)
    refused("no such operation", "GET", "/v1/s/nothing", 200, head, text)
    refused("no body is described", "DELETE", "/v1/s/docs/a", 204, {}, b"x")
    refused("'text/plain'", "GET", "/v1/s/digest", 200, {"Content-Type": "text/plain"}, text)
    refused("a time", "GET", "/v1/s/docs", 200, head,
            b'{"items":[{"name":"a","version":1,"etag":"x","size":1,"at":"today"}],"next":null}')
    problem = {"type": "urn:keepfast:problem:not_found", "title": "", "status": 404, "detail": "", "code": "not_found",
               "retryable": False, "request_id": "1"}
    absent = ("GET", "/v1/s/docs/a", 404, {"Content-Type": "application/problem+json"})
    equal(description().check(*absent, json.dumps(problem)), "doc_get not_found", "a problem that fits")
    refused("is not described", *absent, json.dumps({**problem, "code": "other"}))
    refused("retryable", *absent, json.dumps({**problem, "retryable": True}))
    refused("lacks detail", *absent, json.dumps({k: v for k, v in problem.items() if k != "detail"}))
    refused("not_found has 404", "GET", "/v1/s/docs/a", 400, absent[3], json.dumps(problem))


@test
def the_server_gives_the_same_description():
    with Server(WORK / "same") as server:
        answer = server.client().get("/openapi.json", raw=True)
        equal(answer.json(), description().whole, "as `keepfast reference --json`")
        check(isinstance(Description(answer.body), Description), "and it is read")


def documents(c):
    made = c.put("/docs/a.json", {"n": 1})
    c.put("/docs/a.json", {"n": 2})
    c.put("/docs/a.json", {"n": 3}, headers={"If-Match": made.headers["ETag"]})  # 412
    c.put("/docs/a.json", {"n": 3}, headers={"Idempotency-Key": "once"})
    c.put("/docs/a.json", {"n": 3}, headers={"Idempotency-Key": "once"})
    c.put("/docs/a.json", {"n": 4}, headers={"Idempotency-Key": "once"})  # 409
    c.patch("/docs/a.json", {"m": None})
    c.ask("HEAD", "/docs/a.json")
    c.get("/docs/a.json", headers={"If-None-Match": c.get("/docs/a.json").headers["ETag"]})
    c.get("/docs/a.json?version=1")
    c.get("/docs/config/x.json")  # a default
    c.put("/docs/config/x.json", {"e": 1})  # not its schema
    c.put("/docs/b.json", b"{")
    c.put("/docs/.", b"1")
    c.put("/docs/b.json", b"1", headers={"Content-Type": "text/plain"})
    for path in ("/docs", "/docs?limit=1", "/docs?limit=0", "/docs/a.json/versions", "/docs/a.json/versions?limit=1",
                 "/docs/a.json/diff", "/docs/none.json", "/docs/none.json/versions", "/docs/none.json/diff"):
        c.get(path)
    c.post("/docs/a.json/revert", {"version": 1})
    c.post("/docs/a.json/revert", {"version": 99})
    c.delete("/docs/a.json")
    c.delete("/docs/a.json")


def streams(c):
    c.patch("/streams/chat/a", {"customer": 7})
    c.patch("/streams/chat/a", [])
    for body in ({"id": "1", "body": "hello"}, {"id": "1", "body": "hello"}, {"id": "1", "body": "other"}, [{"body": 1, "attach": {"a": 1}}], [{}], {}):
        c.post("/streams/chat/a/entries", body)
    for path in ("/streams", "/streams?limit=1&attr.customer=7", "/streams/chat/a", "/streams/none", "/streams/chat/a/entries", "/search?q=hello",
                 "/streams/chat/a/entries?last=1", "/streams/chat/a/context", "/streams/chat/a/context?across=customer", "/search?q=", "/receipts"):
        c.get(path)
    for path in ("/streams/chat/a", "/streams/chat/a", "/streams/none", "/people/customer/7"):
        c.delete(path)
    c.patch("/streams/chat/b", {"customer": 8})
    c.delete("/people/customer/8")
    c.get("/receipts?limit=1")
    for body in ({"a": {"conversations": [{"user_message": "x"}]}}, {"a": {"conversations": [{}]}}):
        c.post("/import?file=persona_memory.json", body)
    c.get("/export?file=persona_memory.json")
    c.get("/export?file=none")


def remotes(c):
    for name in ("usb", "far"):
        (WORK / name).mkdir(mode=0o700)
    c.put("/docs/r.json", {"n": 1})
    c.post("/remotes", {"name": "far", "url": f"dir:{WORK}/far", "on_change": "1h"})
    shutil.rmtree(WORK / "far")
    for body in ({"name": "usb", "url": f"dir:{WORK}/usb", "manual": True}, {"name": "usb", "url": f"dir:{WORK}/usb"},
                 {"name": "no", "url": "no:thing"}, {"name": "no"}, [], {"name": "no", "more": 1}):
        c.post("/remotes", body)
    for name in ("usb", "far", "none"):
        c.get(f"/remotes/{name}")
        c.get(f"/remotes/{name}/pending")
        c.get(f"/remotes/{name}/pending?limit=1")
        c.get(f"/remotes/{name}/runs")
        c.get(f"/remotes/{name}/set-aside")
        c.post(f"/remotes/{name}/set-aside?timeout=2s")
        c.post(f"/remotes/{name}/set-aside?start=true")
        c.delete(f"/remotes/{name}/set-aside?name=a")
        c.delete(f"/remotes/{name}/set-aside")
        c.post(f"/remotes/{name}/probe")
        c.post(f"/remotes/{name}/run?timeout=2s")
        c.post(f"/remotes/{name}/run?start=true")
        c.get(f"/remotes/{name}/pending")
    c.put("/docs/r.json?wait=usb", {"n": 2})
    c.put("/docs/r.json?wait=far&timeout=1s", {"n": 3})
    c.put("/docs/r.json?wait=none", {"n": 4})
    c.put("/docs/r.json?ack=memory", {"n": 5})
    c.get("/remotes")
    c.get("/remotes?limit=1")
    runs = c.get("/runs").json()["items"]
    equal({r["remote"] for r in runs}, {"usb", "far"}, "the log of all remotes")
    first = c.get("/runs?limit=1").json()
    rest = c.get(f"/runs?cursor={first['next']}").json()
    equal(first["items"] + rest["items"], runs, "pages of the log")
    c.get("/runs?limit=0")
    c.get("/set-aside")
    c.get("/set-aside?cursor=abc")
    c.get("/runs?cursor=abc")
    c.get("/status")
    c.get("/doctor")
    c.post("/verify?deep=true")
    c.delete("/remotes/usb")
    c.delete("/remotes/none")


def backups(c):
    archive = c.get("/backup").body
    c.get("/backup?pending=far")
    c.get("/backup?pending=none")
    for path, body in (("/restore", archive), ("/restore?replace=true", archive), ("/restore?replace=true", b"no archive"),
                       ("/restore?replace=true", archive[:-9]), ("/restore?replace=maybe", archive)):
        c.post(path, body, headers={"Content-Type": "application/zip"})
    c.get("/digest")
    c.post("/verify")
    c.post("/verify?deep=maybe")


def tracking():
    """Tables of PostgreSQL, of which a store in a file has none."""
    with Cluster() as pg, Server(pg.url()) as server:
        c = server.client("shop")
        pg.ask("CREATE TABLE orders(id int PRIMARY KEY)")
        pg.ask("INSERT INTO orders VALUES (1)")
        c.put("/docs/a.json", {"n": 1})
        for method, path in (("GET", "/tracked"), ("PUT", "/tracked/orders"), ("PUT", "/tracked/public.orders"), ("PUT", "/tracked/none"),
                             ("GET", "/tracked"), ("GET", "/status"), ("GET", "/changes"), ("GET", "/changes?limit=1&after=1"),
                             ("GET", "/changes?after=x"), ("GET", "/changes?table=none"), ("DELETE", "/tracked/orders"), ("DELETE", "/tracked/orders")):
            c.ask(method, path)


def spaces(c):
    for method, path in (("PUT", "/v1/new"), ("PUT", "/v1/new"), ("PUT", "/v1/NO"), ("DELETE", "/v1/new"),
                         ("DELETE", "/v1/new?confirm=new"), ("DELETE", "/v1/new?confirm=new"),
                         ("DELETE", "/v1/shop?confirm=shop"), ("GET", "/v1"), ("GET", "/v1?limit=1"), ("POST", "/v1"),
                         ("GET", "/v1/none/status"), ("GET", "/v2"), ("GET", "/healthz"), ("GET", "/readyz"),
                         ("GET", "/durablez"), ("GET", "/metrics"), ("GET", "/openapi.json"), ("POST", "/healthz")):
        c.ask(method, path, raw=True)
    for path in ("/", "/page/main.js", "/keepfast-guard.js"):
        c.get(path, raw=True, headers={"If-None-Match": c.get(path, raw=True).headers["ETag"]})
    c.get("/page/none.js", raw=True)


def tokens(server):
    """The last tour: from the first token on, only who comes over the socket needs none."""
    own, other = Client(server.socket), server.client("shop")
    for body in ({"name": "app", "rights": ["read"], "spaces": ["shop"], "expires_in": "1h"}, {"name": "app"}, {"name": "app", "rights": ["read"], "id": 1}):
        made = own.post("/v1/tokens", body, raw=True)
        if made.status == 201:
            bearer = {"Authorization": f"Bearer {made.json()['token']}"}
            identity = made.json()["id"]
    other.get("/docs")
    for path in ("/docs", "/v1/tokens", "/v1/other/docs", "/v1", "/metrics", "/durablez"):
        other.get(path, headers=bearer, raw=path != "/docs")
    other.delete("/docs/a", headers=bearer)
    own.get("/v1/tokens", raw=True)
    own.get("/v1/tokens?limit=0", raw=True)
    for _ in range(2):
        own.delete(f"/v1/tokens/{identity}", raw=True)
    own.delete("/v1/tokens/none", raw=True)
    for _ in range(12):
        other.get("/docs", headers=bearer)
    other.get("/docs?token=x")


def options(c):
    """Allow names the methods that are described for the path, and HEAD where GET is."""
    for pattern, path in description().paths.items():
        answer = c.ask("OPTIONS", re.sub(r"\{\w+\}", "x", pattern), raw=True)
        there = {method.upper() for method in path} | ({"HEAD"} if "get" in path else set())
        equal((answer.status, set(answer.headers["Allow"].split(", "))), (204, there), f"OPTIONS {pattern}")


@test
def every_answer_that_is_described_is_given():
    Client.met.clear()
    with Server(WORK / "data", CONFIG) as server:
        c = server.client("shop")
        for tour in (documents, streams, remotes, backups, spaces, options):
            tour(c)
        for method, path in (("GET", "/tracked"), ("PUT", "/tracked/t"), ("DELETE", "/tracked/t"), ("GET", "/changes")):
            c.ask(method, path)
        tokens(server)
    tracking()
    wanted = {f"{o['operationId']} {status}" for path in description().paths.values() for o in path.values()
              for status in o["responses"] if status != "default"}
    wanted.remove("durablez 503")  # a space that takes no writes: tests/crash/test_full_disk.py and others
    equal(sorted(wanted - Client.met), [], "described, and not met")
    codes = {m.split()[1] for m in Client.met} & set(description().codes)
    check(len(codes) > 15, f"problems of many kinds were met: {sorted(codes)}")


@test
def the_server_as_a_whole_tells_its_methods():
    """OPTIONS of `*`, which is no path and not described."""
    every = {method.upper() for path in description().paths.values() for method in path} | {"HEAD"}
    with Server(WORK / "whole") as server:
        answer = once(server.address, "OPTIONS", "*")
        equal((answer.status, set(answer.header("Allow").split(", "))), (204, every), "OPTIONS *")


@test
def a_store_that_cannot_be_used_answers_as_described():
    data = folder()
    (data / "broken.db").write_bytes(b"no database" * 1000)
    os.chmod(data / "broken.db", 0o600)
    with Server(data) as server:
        c = server.client("broken")
        for path in ("/status", "/docs", "/docs/a", "/backup", "/digest", "/remotes"):
            answer = c.get(path)
            equal(answer.status // 100, 5, path)
            check(str(data).encode() not in answer.body, f"where the data is, is nobody's to know: {answer.body}")
        c.put("/docs/a", b"1")
        c.post("/verify")
        c.get("/v1", raw=True)
        c.get("/durablez", raw=True)
    equal(run("reference", "--json").status, 0, "the description needs no store")


main()

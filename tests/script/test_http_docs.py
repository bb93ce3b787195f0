#!/usr/bin/env python3
"""Documents over HTTP, from outside: statuses, codes, ETags, exact bytes."""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.environ.get("KF_TOP", "."), "tests"))
from keepfast import Server, folder  # noqa: E402
from tap import check, equal, main, test  # noqa: E402

TOP = folder()
CONFIG = """\
spaces:
  default:
    docs:
      - { match: "kept.json", keep: { versions: 3 } }
      - { match: "config/*.json", default: { email: null }, schema: notify.json }
"""
(TOP / "notify.json").write_text(
    '{"type":"object","properties":{"email":{"type":["string","null"]},"n":{"maximum":9}},'
    '"required":["email"],"additionalProperties":false}')
SERVER = Server(TOP / "data", CONFIG)
C = SERVER.client()


def refused(answer, status, code, what):
    equal((answer.status, answer.code), (status, code), what)
    problem = answer.json()
    for member in ("type", "title", "status", "detail", "code", "retryable", "request_id"):
        check(member in problem, f"{what}: the problem has {member}")
    equal(problem["status"], status, what)
    return problem


@test
def bytes_come_back_as_they_went_in():
    for name, body in [("a.json", b'{"b": 1.50, "a":\t"\\u017c\xc3\xb3"}\n'), ("n", b" 1e400 "), ("s", b'""'),
                       ("deep", b"[" * 64 + b"]" * 64), ("big", b'"' + b"x" * 1_000_000 + b'"')]:
        put = C.put(f"/docs/{name}", body)
        equal(put.status, 201, f"{name} is made")
        got = C.get(f"/docs/{name}")
        equal((got.status, got.body), (200, body), f"{name} comes back")
        equal(got.headers["ETag"], put.headers["ETag"], "with the ETag of the answer")
        equal(got.headers["Content-Type"], "application/json", "as JSON")


@test
def made_replaced_unchanged():
    first = C.put("/docs/r.json", b"1")
    second = C.put("/docs/r.json", b"2")
    third = C.put("/docs/r.json", b"2")
    equal([a.status for a in (first, second, third)], [201, 200, 200], "statuses")
    equal([a.json()["version"] for a in (first, second, third)], [1, 2, 2], "versions")
    equal(third.headers["ETag"], second.headers["ETag"], "identical bytes change nothing")
    check(third.json()["unchanged"] and not second.json()["unchanged"], "and say so")
    equal(second.headers["Keepfast-Ack"], "disk", "what was reached is said")
    check(len(first.headers["ETag"]) == 34, "an ETag is 32 hex digits in quotes")


@test
def a_deletion_has_no_etag():
    C.put("/docs/gone.json", b"1")
    gone = C.delete("/docs/gone.json")
    equal(gone.status, 204, "deleted")
    check("ETag" not in gone.headers, "an empty ETag is none")


@test
def a_nul_in_a_prefix_is_no_end_of_it():
    C.put("/docs/nul.json", b"1")
    refused(C.get("/docs?prefix=%00"), 400, "bad_filter", "NUL alone")
    refused(C.get("/docs?prefix=nul%00x"), 400, "bad_filter", "NUL within")


@test
def absent_is_404_with_its_code():
    refused(C.get("/docs/nothing.json"), 404, "not_found", "GET")
    refused(C.delete("/docs/nothing.json"), 404, "not_found", "DELETE")
    refused(C.patch("/docs/nothing.json", b"{}"), 404, "not_found", "PATCH")
    equal(C.ask("HEAD", "/docs/nothing.json").status, 404, "HEAD")
    refused(C.get("/docs/nothing.json/versions"), 404, "not_found", "versions")
    refused(SERVER.client("nowhere").get("/docs/a"), 404, "unknown_space", "another space")
    refused(C.get("/nothing"), 404, "not_found", "another route")


@test
def bad_json_has_its_offset():
    for body, code, offset in [(b'{"a":1,"a":2}', "bad_json", 7), (b"[1,NaN]", "bad_json", 3), (b'"\xff"', "bad_json", 1),
                               (b"[1] x", "bad_json", 4), (b"", "bad_json", 0), (b"\xef\xbb\xbf1", "bad_json", 0),
                               (b"01", "bad_json", 1), (b'{"a"', "bad_json", 4), (b"[" * 65 + b"]" * 65, "json_limit", 64)]:
        problem = refused(C.put("/docs/bad.json", body), 400, code, repr(body[:20]))
        equal(problem["offset"], offset, f"offset of {body[:20]!r}")
    refused(C.put("/docs/bad.json", b"[" + b"1," * 100_000 + b"1]"), 400, "json_limit", "too many tokens")
    refused(C.put("/docs/bad.json", b'"' + b"x" * (8 * 1024 * 1024) + b'"'), 413, "too_large", "over 8 MiB")
    refused(C.get("/docs/bad.json"), 404, "not_found", "nothing of it was kept")


@test
def bad_names():
    for name in ["a//b", "a/../b", "a/./b", ".", "a/", "%00", "%ff", "x" * 1025]:
        refused(C.put(f"/docs/{name}", b"1"), 400, "bad_key", name[:20])
    refused(C.put("/docs/%zz", b"1"), 400, "bad_request", "a broken escape")
    equal(C.put("/docs/" + "y" * 1024, b"1").status, 201, "1,024 bytes are allowed")
    equal(C.put("/docs/za%C5%BC%C3%B3%C5%82%C4%87/ja%C5%BA%C5%84.json", b"1").status, 201, "UTF-8 is allowed")


@test
def route_words_at_the_end_of_a_name():
    equal(C.put("/docs/versions", b"1").status, 201, "`versions` alone is a name")
    refused(C.put("/docs/a/versions", b"1"), 405, "method_not_allowed", "behind a name it is the route")
    equal(C.put("/docs/a%2Fversions", b"7").status, 201, "unless the slash is escaped")
    equal(C.get("/docs/a%2Fversions").body, b"7", "and so it reads")
    names = [d["name"] for d in C.get("/docs?prefix=a/").json()["items"]]
    check("a/versions" in names, f"listed as a/versions: {names}")


@test
def compare_and_set():
    etag = C.put("/docs/cas.json", b"1").headers["ETag"]
    equal(C.put("/docs/cas.json", b"2", headers={"If-Match": etag}).status, 200, "the right ETag")
    answer = C.put("/docs/cas.json", b"3", headers={"If-Match": etag})
    problem = refused(answer, 412, "version_mismatch", "the old one")
    equal(problem["version"], 2, "the current version is told")
    equal(answer.headers["ETag"], C.get("/docs/cas.json").headers["ETag"], "and its ETag")
    refused(C.put("/docs/cas.json", b"3", headers={"If-None-Match": "*"}), 412, "version_mismatch", "it is there")
    answer = C.put("/docs/cas2.json", b"3", headers={"If-Match": etag})
    problem = refused(answer, 412, "version_mismatch", "absent")
    check("version" not in problem and "ETag" not in answer.headers, "absent: neither version nor ETag")
    equal(C.put("/docs/cas2.json", b"3", headers={"If-None-Match": "*"}).status, 201, "only when there is none")
    equal(C.get("/docs/cas.json", headers={"If-None-Match": C.get("/docs/cas.json").headers["ETag"]}).status, 304, "304")


@test
def merge_patch():
    C.put("/docs/p.json", b'{ "a" : 1.00,  "b":{"c": [1, 2]}, "d":"\\u0041" }')
    answer = C.patch("/docs/p.json", b'{"b":{"x":null,"y":2},"e":true}', headers={"Content-Type": "application/merge-patch+json"})
    equal(answer.status, 200, "patched")
    body = C.get("/docs/p.json").body
    check(b'"a" : 1.00' in body and b'"c": [1, 2]' in body and b'"\\u0041"' in body, f"untouched members keep their bytes: {body}")
    equal(json.loads(body), {"a": 1.0, "b": {"c": [1, 2], "y": 2}, "d": "A", "e": True}, "the value")
    refused(C.patch("/docs/p.json", b"{"), 400, "bad_json", "a broken patch")


@test
def delete_and_come_back():
    C.put("/docs/d.json", b'{"v":1}')
    C.put("/docs/d.json", b'{"v":2}')
    gone = C.delete("/docs/d.json")
    equal((gone.status, gone.body), (204, b""), "deleted")
    refused(C.get("/docs/d.json"), 404, "not_found", "gone")
    equal(C.get("/docs/d.json?version=1").body, b'{"v":1}', "its versions stay")
    back = C.post("/docs/d.json/revert", {"version": 2})
    equal((back.status, back.json()["version"]), (200, 4), "a deletion takes a version")
    equal(C.get("/docs/d.json").body, b'{"v":2}', "back")
    C.delete("/docs/d.json")
    equal(C.put("/docs/d.json", b"9").status, 201, "a later write makes it anew")
    equal(C.get("/docs/d.json").headers["Keepfast-Version"], "6", "and numbers go on")
    refused(C.post("/docs/d.json/revert", {"version": 99}), 404, "not_found", "no such version")
    refused(C.post("/docs/d.json/revert", {"versions": 1}), 400, "bad_request", "a wrong body")


@test
def versions_and_difference():
    for i in range(1, 6):
        C.put("/docs/kept.json", {"n": i, "same": [1, 2, 3]})
    items = C.get("/docs/kept.json/versions").json()["items"]
    equal([v["version"] for v in items], [5, 4, 3], "three are kept, newest first")
    check(items[0]["current"] and not items[1]["current"], "the first is current")
    refused(C.get("/docs/kept.json?version=1"), 404, "not_found", "the first is gone")
    refused(C.get("/docs/kept.json?version=0"), 400, "bad_filter", "there is no version 0")
    diff = C.get("/docs/kept.json/diff")
    equal(diff.headers["Content-Type"], "application/json-patch+json", "JSON Patch")
    equal(diff.json(), [{"op": "replace", "path": "/n", "value": 5}], "the last two")
    equal(C.get("/docs/kept.json/diff?from=3&to=5").json()[0]["value"], 5, "any two")
    page = C.get("/docs/kept.json/versions?limit=2").json()
    rest = C.get("/docs/kept.json/versions?limit=2&cursor=" + page["next"]).json()
    equal([v["version"] for v in page["items"] + rest["items"]], [5, 4, 3], "pages")
    equal(rest["next"], None, "the last has no next")


@test
def lists_are_sorted_and_paged():
    names = [f"list/{i:04}" for i in range(250)]
    for n in names:
        C.put("/docs/" + n, b"0")
    seen, cursor = [], ""
    while True:
        page = C.get(f"/docs?prefix=list/&limit=100{cursor}").json()
        seen += [d["name"] for d in page["items"]]
        if not page["next"]:
            break
        cursor = "&cursor=" + page["next"]
    equal(seen, names, "every one, once, in order")
    refused(C.get("/docs?limit=0"), 400, "bad_filter", "limit 0")
    refused(C.get("/docs?limit=1001"), 400, "bad_filter", "limit 1001")
    refused(C.get("/docs?cursor=!"), 400, "bad_filter", "a made-up cursor")
    refused(C.get("/docs?prefx=a"), 400, "bad_filter", "a misspelt parameter")


@test
def defaults_and_shape():
    answer = C.get("/docs/config/a.json")
    equal((answer.status, answer.headers["Keepfast-Default"], "ETag" in answer.headers), (200, "true", False), "a default")
    equal(answer.json(), {"email": None}, "its value")
    equal(C.get("/docs?prefix=config/").json()["items"], [], "nothing was written")
    problem = refused(C.put("/docs/config/a.json", b'{"email":1}'), 400, "schema", "the wrong type")
    check("/email" in problem["detail"], f"the pointer is named: {problem['detail']}")
    refused(C.put("/docs/config/a.json", b'{"email":null,"n":9.5}'), 400, "schema", "over the maximum")
    refused(C.put("/docs/config/a.json", b'{"email":null,"x":1}'), 400, "schema", "a member too many")
    equal(C.put("/docs/config/a.json", b'{"email":"a@b"}').status, 201, "what fits is taken")
    check("Keepfast-Default" not in C.get("/docs/config/a.json").headers, "and beats the default")
    refused(C.patch("/docs/config/a.json", b'{"email":5}'), 400, "schema", "a patch is checked too")
    refused(C.patch("/docs/config/b.json", b'{"email":"x"}'), 404, "not_found", "a default is not patched")


@test
def idempotency_key():
    key = {"Idempotency-Key": "order-17"}
    first = C.put("/docs/once.json", b"1", headers=key)
    C.put("/docs/once.json", b"2")
    again = C.put("/docs/once.json", b"1", headers=key)
    equal((again.status, again.headers.get("Idempotent-Replay")), (200, "true"), "the first result again")
    equal(again.json()["version"], first.json()["version"], "the same version")
    equal(C.get("/docs/once.json").body, b"2", "nothing was written")
    refused(C.put("/docs/once.json", b"3", headers=key), 409, "id_reused", "another request")


@test
def content_types():
    for kind, status in [("application/json", 200), ("application/vnd.x+json", 200), ("application/x-www-form-urlencoded", 200),
                         ("text/plain", 415), ("application/json; charset=utf-8", 200)]:
        C.put("/docs/t.json", b"0")
        equal(C.put("/docs/t.json", b"1", headers={"Content-Type": kind}).status, status, kind)
    refused(C.put("/docs/t.json", b"1", headers={"Content-Encoding": "gzip"}), 415, "media_type", "gzip")
    refused(C.post("/docs/t.json/revert", b'{"version":1}', headers={"Content-Type": "application/x-www-form-urlencoded"}),
            415, "media_type", "a form for another route")


@test
def methods_and_allow():
    answer = C.post("/docs/t.json", b"1")
    refused(answer, 405, "method_not_allowed", "POST of a document")
    equal(sorted(answer.headers["Allow"].split(", ")), ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "PUT"], "Allow")
    refused(C.ask("GET", "/docs/t.json", b"x"), 400, "bad_request", "a body nobody wants")


@test
def ack_memory():
    answer = C.put("/docs/m.json?ack=memory", b"1")
    equal((answer.status, answer.headers["Keepfast-Ack"]), (201, "memory"), "asked for, said")
    equal(C.get("/docs/m.json").status, 200, "there soon")
    refused(C.put("/docs/m.json?ack=shared", b"1"), 400, "bad_filter", "a level a SQLite store never says")


@test
def health():
    for path, word in [("/healthz", "alive"), ("/readyz", "ready"), ("/durablez", "durable")]:
        answer = C.get(path, raw=True)
        equal((answer.status, answer.json()["status"]), (200, word), path)
    text = C.get("/metrics", raw=True).body.decode()
    check("keepfast_docs{space=\"default\"}" in text and "keepfast_requests_total" in text, "metrics")
    description = C.get("/openapi.json", raw=True).json()
    equal(description["openapi"], "3.1.0", "OpenAPI")
    check("/v1/{space}/docs/{name}" in description["paths"], "its routes")


@test
def digest_is_what_the_checker_computes():
    sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests", "checker"))
    import kfcheck
    docs = {}
    cursor = ""
    while True:
        page = C.get(f"/docs?limit=1000{cursor}").json()
        for d in page["items"]:
            path = "/docs/" + "".join(f"%{b:02X}" for b in d["name"].encode())
            docs[d["name"].encode()] = C.get(path).body
        if not page["next"]:
            break
        cursor = "&cursor=" + page["next"]
    equal(C.get("/digest").json(), {"digest": kfcheck.digest(docs), "docs": len(docs)}, "the digest")
    equal(C.post("/verify?deep=true").json()["damaged"], 0, "nothing is damaged")


@test
def it_stops():
    equal(SERVER.stop(), 0, "SIGTERM ends it with 0")


main()

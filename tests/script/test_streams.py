#!/usr/bin/env python3
"""Streams over HTTP, from outside: what is appended comes back byte for byte and once, pages, lists, contexts, what is refused and where."""

import json
import os
import sys
import urllib.parse

sys.path.insert(0, os.path.join(os.environ.get("KF_TOP", "."), "tests"))
from keepfast import Server, folder  # noqa: E402
from tap import check, equal, main, test  # noqa: E402

TOP = folder()
CONFIG = """\
limits: { entry: 64KiB }
spaces:
  default:
    streams:
      - { match: "chat/*", window: 10, kinds: [user, assistant, product_view], rings: { views: { kind: product_view, last: 3 } } }
      - { match: "short/*", keep: { last: 5, age: 3650d }, conversation_gap: 90s }
"""
SERVER = Server(TOP / "data", CONFIG)
C = SERVER.client()


def refused(answer, status, code, what):
    equal((answer.status, answer.code), (status, code), f"{what}: {answer.body[:300]}")
    return answer.json()


def append(key, *entries, query="", client=C):
    return client.post(f"/streams/{key}/entries{query}", list(entries) if len(entries) != 1 else entries[0])


def entries(key, query="", client=C):
    return client.get(f"/streams/{key}/entries{query}").json()


def numbers(page):
    return [e["n"] for e in page["items"]]


def fill(key, count, first=1, **more):
    for at in range(first, first + count, 100):
        batch = [{"body": {"i": i}, **more} for i in range(at, min(at + 100, first + count))]
        equal(C.post(f"/streams/{key}/entries", batch).status, 201, f"{key} is filled")


# ------------------------------------------------------------------------------------- appending


@test
def one_entry_and_many():
    one = append("a/one", {"body": {"text": "hello"}})
    equal((one.status, one.json()), (201, {"n": 1, "count": 1}), "one")
    equal(one.headers["Keepfast-Ack"], "disk", "it is on disk")
    many = append("a/one", {"body": 1}, {"id": "x", "body": 2}, {"kind": "note", "body": 3})
    equal((many.status, many.json()), (201, {"items": [{"n": 2}, {"n": 3}, {"n": 4}], "count": 4}), "many")
    equal(append("a/one", [{"body": 5}]).json(), {"items": [{"n": 5}], "count": 5}, "a list of one is a list")
    got = entries("a/one")
    equal(numbers(got), [1, 2, 3, 4, 5], "all come back")
    equal([e.get("id") for e in got["items"]], [None, None, "x", None, None], "with their ids")
    equal([e.get("kind") for e in got["items"]], [None, None, None, "note", None], "and kinds")
    equal(got["next"], None, "and there is no more")


@test
def bodies_keep_their_bytes():
    bodies = [b'{"b": 1.50, "a":\t"\\u017c\xc3\xb3"}', b"1e400", b'""', b"null", b"[" * 60 + b"]" * 60, b'{ "x" :\n 1 }', b'"' + b"y" * 60000 + b'"']
    for i, body in enumerate(bodies):
        sent = b'{ "id" : "' + str(i).encode() + b'", "attach": { "p":1.0 } , "body":  ' + body + b"  }"
        equal(C.post("/streams/a/bytes/entries", sent).status, 201, f"{body[:20]!r}")
    raw = C.get("/streams/a/bytes/entries").body
    for body in bodies:
        check(b'"body":' + body + b',"attach":{ "p":1.0 }}' in raw, f"{body[:20]!r} comes back as it went in")


@test
def a_list_keeps_its_bytes_too():
    sent = b' [ {"body": 1.0 , "kind":null} ,{"attach":null,"id":null,"at":null,"body":\t[1, 2]}\n] '
    equal(C.post("/streams/a/list/entries", sent).json()["count"], 2, "appended")
    raw = C.get("/streams/a/list/entries").body
    check(b'"body":1.0}' in raw and b'"body":[1, 2]}' in raw, f"as they went in: {raw}")
    check(b"attach" not in raw and b'"kind"' not in raw, "null is as if it were not there")


@test
def once_for_each_id():
    first = append("a/once", {"id": "m1", "kind": "user", "body": {"text": "hi"}, "attach": [1]})
    again = append("a/once", {"id": "m1", "kind": "user", "body": {"text": "hi"}, "attach": [1]})
    equal((first.status, again.status, again.json()), (201, 200, {"n": 1, "duplicate": True, "count": 1}), "the first answer again")
    equal(again.headers.get("Idempotent-Replay"), "true", "and it says so")
    check("Idempotent-Replay" not in first.headers, "the first does not")
    for other in ({"body": {"text": "hi!"}}, {"kind": "assistant"}, {"attach": [2]}, {"at": "2026-01-01T00:00:00Z"}):
        refused(append("a/once", {"id": "m1", "kind": "user", "body": {"text": "hi"}, "attach": [1], **other}), 409, "id_reused", str(other))
    mixed = append("a/once", {"id": "m1", "kind": "user", "body": {"text": "hi"}, "attach": [1]}, {"id": "m2", "body": 2})
    equal((mixed.status, mixed.json()), (201, {"items": [{"n": 1, "duplicate": True}, {"n": 2}], "count": 2}), "one of two is new")
    both = append("a/once", {"id": "m2", "body": 2}, {"id": "m1", "kind": "user", "body": {"text": "hi"}, "attach": [1]})
    equal((both.status, numbers(both.json())), (200, [2, 1]), "both are known: 200")
    refused(append("a/once", {"id": "m3", "body": 3}, {"id": "m2", "body": "other"}), 409, "id_reused", "one of two is another")
    # The log says that a client does not do what it should, at most ten times in ten seconds.
    for n in range(30):
        refused(append("a/once", {"id": "m2", "body": n + 10}), 409, "id_reused", "as often as it is asked")
    lines = [line for line in SERVER.stderr().splitlines() if "id.reused" in line]
    check(1 <= len(lines) <= 20 and all("warn" in line and "m2" not in line for line in lines), f"said: {lines}")
    equal(numbers(entries("a/once")), [1, 2], "and nothing of that was appended")


@test
def times_are_kept():
    append("a/times", {"at": "2026-03-01T12:00:00.250+01:00", "body": 1}, {"at": "2026-03-01T11:00:00Z", "body": 2}, {"body": 3})
    at = [e["at"] for e in entries("a/times")["items"]]
    equal(at[:2], ["2026-03-01T11:00:00.250Z", "2026-03-01T11:00:00.000Z"], "as given, in UTC")
    info = C.get("/streams/a/times").json()
    equal((info["first_at"], info["last_at"]), ("2026-03-01T11:00:00.000Z", at[2]), "the earliest and the latest")


@test
def levels():
    equal(append("a/levels", {"body": 1}, query="?ack=memory").headers["Keepfast-Ack"], "memory", "before the commit")
    equal(append("a/levels", {"body": 2}, query="?ack=disk").headers["Keepfast-Ack"], "disk", "behind it")
    equal(numbers(entries("a/levels")), [1, 2], "both are there")
    refused(append("a/levels", {"body": 3}, query="?ack=shared"), 400, "bad_filter", "a level that is none of this store")
    refused(append("a/levels", {"body": 3}, query="?wait=none"), 404, "unknown_remote", "a remote that is not there")
    refused(append("a/levels", {"body": 3}, query="?wait=all&ack=memory"), 400, "bad_filter", "a contradiction")
    equal(numbers(entries("a/levels")), [1, 2], "and nothing of it was appended")


@test
def what_is_refused_names_its_place():
    key = "/streams/a/bad/entries"
    for body, code, offset in [(b"", "bad_json", 0), (b'{"body":1', "bad_json", 9), (b'{"body":1,"body":2}', "bad_json", 10),
                               (b"7", "bad_request", 0), (b" {}", "bad_request", 1), (b"[]", "bad_request", 0),
                               (b'{"body":1,"text":"x"}', "bad_request", 10), (b'{"body":1,"id":7}', "bad_request", 15),
                               (b'{"body":1,"id":"a\\u0000"}', "bad_request", 15), (b'{"body":1,"at":"yesterday"}', "bad_request", 15),
                               (b'{"body":1,"at":"1970-01-01T00:00:00Z"}', "bad_request", 15), (b'{"body":"\xff"}', "bad_json", 9)]:
        problem = refused(C.post(key, body), 400, code, repr(body))
        equal(problem["offset"], offset, f"offset of {body!r}")
        check("index" not in problem, "no list, no index")
    for body, index, cause, offset in [(b'[{"body":1},2]', 1, "bad_request", 12), (b'[{"body":1},{"body":2},{"x":1}]', 2, "bad_request", 24)]:
        problem = refused(C.post(key, body), 400, "batch_item", repr(body))
        equal((problem["index"], problem["cause"], problem["offset"]), (index, cause, offset), repr(body))
    refused(C.post(key, [{"body": 1}] * 10001), 400, "bad_request", "more than 10,000")
    refused(C.post(key, {"id": "", "body": 1}), 400, "bad_request", "an empty id")
    refused(C.post(key, {"id": "x" * 256, "body": 1}), 400, "bad_request", "a long id")
    equal(C.post("/streams/a/long-id/entries", {"id": "ż" * 127, "body": 1}).status, 201, "254 bytes")
    refused(C.post(key, {"body": "x" * 70000}), 413, "too_large", "over limits.entry")
    problem = refused(C.post(key, [{"body": 1}, {"body": "x" * 70000}]), 400, "batch_item", "one of two over limits.entry")
    equal((problem["index"], problem["cause"]), (1, "too_large"), "which and why")
    refused(C.post("/streams/chat/bad/entries", {"kind": "admin", "body": 1}), 400, "kind_not_allowed", "a kind that is not among them")
    refused(C.post("/streams/chat/bad/entries", {"body": 1}), 400, "kind_not_allowed", "none where there must be one")
    problem = refused(C.post("/streams/chat/bad/entries", [{"kind": "user", "body": 1}, {"kind": "admin", "body": 1}]), 400, "batch_item", "of two")
    equal((problem["index"], problem["cause"]), (1, "kind_not_allowed"), "which and why")
    refused(C.post("/streams/a//b/entries", {"body": 1}), 400, "bad_key", "a bad key")
    refused(C.post(key, {"body": 1}, headers={"Idempotency-Key": "x"}), 400, "bad_request", "entries have ids")
    refused(C.post(key, {"body": 1}, headers={"If-Match": "*"}), 400, "bad_request", "streams have no ETag")
    refused(C.get(key), 404, "not_found", "nothing of all this was kept")
    refused(C.get("/streams/chat/bad"), 404, "not_found", "nor of that")


@test
def a_body_in_a_ring_may_be_less_deep():
    deep = b'{"kind":"product_view","body":' + b"[" * 62 + b"]" * 62 + b"}"
    problem = refused(C.post("/streams/chat/deep/entries", deep), 400, "json_limit", "too deep for a ring")
    equal(deep[problem["offset"]:problem["offset"] + 1], b"[", "the offset is one of the request")
    check(problem["offset"] > 60, "of the bracket that is one too deep")


# ------------------------------------------------------------------------------------- reading


@test
def pages():
    fill("a/pages", 250)
    equal(numbers(entries("a/pages", "?last=20")), list(range(231, 251)), "the last 20")
    equal(numbers(entries("a/pages", "?after=240")), list(range(241, 251)), "behind one")
    equal(numbers(entries("a/pages", "?after=0&limit=3")), [1, 2, 3], "from the first")
    equal(numbers(entries("a/pages", "?before=4")), [1, 2, 3], "before one")
    equal(numbers(entries("a/pages", "?before=200&limit=5")), list(range(195, 200)), "the newest of those before")
    equal(numbers(entries("a/pages", "?before=1")), [], "before the first")
    equal(numbers(entries("a/pages", "?after=250")), [], "behind the last")
    for start in ("?limit=40", "?after=0&limit=40"):
        seen, query = [], start
        while query:
            page = entries("a/pages", query)
            seen += numbers(page)
            query = page["next"] and f"?limit=40&cursor={page['next']}"
        equal(seen, list(range(1, 251)), f"forwards from {start}")
    for start in ("?last=40", "?before=251&limit=40"):
        seen, query = [], start
        while query:
            page = entries("a/pages", query)
            seen = numbers(page) + seen
            query = page["next"] and f"?limit=40&cursor={page['next']}"
        equal(seen, list(range(1, 251)), f"backwards from {start}")
    page, seen = entries("a/pages", "?last=30"), []
    while page:
        seen.append(len(page["items"]))
        page = page["next"] and entries("a/pages", f"?last=30&cursor={page['next']}")
    equal(seen, [30] * 8 + [10], "what the first page was is what the others are")
    for bad in ("?last=0", "?last=1001", "?limit=0", "?limit=1001", "?before=0", "?after=x", "?last=3&after=4", "?last=3&before=4",
                "?after=3&before=9", "?from=yesterday", "?cursor=!", "?cursor=eDE", "?cursor=YTA", "?kind=%00", "?kind=NO",
                "?from=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z"):
        refused(C.get(f"/streams/a/pages/entries{bad}"), 400, "bad_filter", bad)
    refused(C.get("/streams/a/none/entries?last=3"), 404, "not_found", "no such stream")


@test
def by_time_and_kind():
    day = [{"at": f"2026-01-{d:02}T12:00:00Z", "kind": "odd" if d % 2 else "even", "body": d} for d in range(1, 31)]
    append("a/days", *day)
    of = lambda query: [e["body"] for e in entries("a/days", query)["items"]]
    equal(of("?from=2026-01-10T12:00:00Z&until=2026-01-13T12:00:00Z"), [10, 11, 12], "from is in, until is not")
    equal(of("?from=2026-01-29T00:00:00%2B01:00"), [29, 30], "with a zone")
    equal(of("?until=1970-01-01T00:00:00Z"), [], "before all")
    equal(of("?kind=odd&last=3"), [25, 27, 29], "the last of a kind")
    equal(of("?kind=even&after=25"), [26, 28, 30], "behind one, of a kind")
    equal(of("?kind=none"), [], "of a kind that is not there")
    page = entries("a/days", "?kind=odd&limit=4")
    more = entries("a/days", f"?kind=odd&limit=4&cursor={page['next']}")
    equal([e["body"] for e in page["items"] + more["items"]], [1, 3, 5, 7, 9, 11, 13, 15], "pages of a kind")


@test
def a_stream_tells_of_itself():
    append("chat/self", {"kind": "user", "at": "2026-01-01T00:00:00Z", "body": {"text": "a"}},
           *[{"kind": "product_view", "at": f"2026-01-0{d}T00:00:00Z", "body": {"p": d}} for d in range(2, 7)])
    answer = C.patch("/streams/chat/self", {"customer": 7, "cart": {"id": "c1"}, "vip": True})
    equal((answer.status, answer.headers["Keepfast-Ack"]), (200, "disk"), "attributes")
    info = C.get("/streams/chat/self").json()
    equal(info, answer.json(), "the answer is what it is then")
    equal((info["key"], info["count"], info["last_n"], info["bytes"]), ("chat/self", 6, 6, 13 + 5 * 8), "numbers")
    equal((info["first_at"], info["last_at"]), ("2026-01-01T00:00:00.000Z", "2026-01-06T00:00:00.000Z"), "times")
    equal(info["kinds"], {"product_view": 5, "user": 1}, "kinds")
    equal(info["attrs"], {"customer": 7, "cart": {"id": "c1"}, "vip": True}, "attributes")
    equal([(v["n"], v["body"]) for v in info["rings"]["views"]], [(4, {"p": 4}), (5, {"p": 5}), (6, {"p": 6})], "the last views")
    equal(C.patch("/streams/chat/self", {"cart": None, "customer": 8}).json()["attrs"], {"customer": 8, "vip": True}, "null removes")
    refused(C.patch("/streams/chat/self", [1]), 400, "bad_json", "no object")
    refused(C.patch("/streams/chat/self", {"x" * 1001: 1}), 413, "too_large", "a name that is too long to be kept")
    refused(C.patch("/streams/chat/self", b'{"a\\u0000b":1}'), 400, "bad_request", "a name that no database keeps")
    equal(C.patch("/streams/chat/new", {"customer": 8}).json()["count"], 0, "a stream of attributes alone")
    equal(entries("chat/new")["items"], [], "which has no entries")


@test
def a_stream_tells_its_rules_and_how_its_entries_lie_in_time():
    append("short/rules", {"body": 1})
    for ask in (lambda: C.get("/streams/short/rules"), lambda: C.patch("/streams/short/rules", {"a": 1})):
        equal(ask().json()["rules"], {"window": 100, "conversation_gap_ms": 90000, "kinds": [], "keep_last": 5, "keep_age_ms": 3650 * 86400000}, "rules")
    append("chat/rules", {"kind": "user", "body": 1})
    equal(C.get("/streams/chat/rules").json()["rules"],
          {"window": 10, "conversation_gap_ms": 1800000, "kinds": ["user", "assistant", "product_view"]}, "rules of others")
    check("activity" not in C.get("/streams/chat/rules").json(), "nobody has asked for it")
    times = ["2026-03-01T00:00:00Z", "2026-03-01T00:00:04Z", "2026-03-01T00:00:09Z", "2026-03-01T00:00:09.999Z", "2026-03-01T00:00:05Z"]
    append("a/activity", *[{"at": at, "body": "x"} for at in times])
    lies = lambda steps: C.get(f"/streams/a/activity?steps={steps}").json()["activity"]
    equal(lies(10), {"from": "2026-03-01T00:00:00.000Z", "step_ms": 1000, "counts": [1, 0, 0, 0, 1, 1, 0, 0, 0, 2]}, "ten parts")
    equal(lies(1), {"from": "2026-03-01T00:00:00.000Z", "step_ms": 10000, "counts": [5]}, "one")
    equal((sum(lies(1000)["counts"]), len(lies(1000)["counts"])), (5, 1000), "a thousand")
    append("a/moment", *[{"at": times[0], "body": "x"}] * 3)
    equal(C.get("/streams/a/moment?steps=4").json()["activity"]["counts"], [3, 0, 0, 0], "all at one moment")
    C.patch("/streams/a/nothing", {"x": 1})
    equal(C.get("/streams/a/nothing?steps=4").json()["activity"], None, "no entries")
    for steps in ("0", "1001", "x"):
        refused(C.get(f"/streams/a/activity?steps={steps}"), 400, "bad_filter", steps)
    refused(C.get("/streams/a/never?steps=5"), 404, "not_found", "no stream")


@test
def a_pause_cuts_no_context():
    at = ["2026-03-01T00:00:00Z", "2026-03-01T23:00:00Z"]  # the gap is 90 s here
    append("short/pause", *[{"at": t, "body": t} for t in at])
    equal([e["body"] for e in C.get("/streams/short/pause/context").json()["items"]], at, "it goes across conversations")


@test
def lists_by_prefix_and_attribute():
    for i in range(25):
        C.patch(f"/streams/list/{i:02}", {"customer": i % 5, "name": "Zażółć & co" if i == 3 else "x", "on": i % 2 == 0})
    C.patch("/streams/list/07", b'{"price":1.50}')
    of = lambda query: [s["key"] for s in C.get(f"/streams{query}").json()["items"]]
    equal(of("?prefix=list/"), [f"list/{i:02}" for i in range(25)], "by prefix, sorted")
    equal(of("?prefix=list/2"), [f"list/{i}" for i in range(20, 25)], "by a longer one")
    equal(of("?attr.customer=3&prefix=list/"), [f"list/{i:02}" for i in (3, 8, 13, 18, 23)], "by attribute")
    equal(of("?attr.customer=3&attr.on=true&prefix=list/"), ["list/08", "list/18"], "by two")
    equal(of("?attr.name=" + urllib.parse.quote("Zażółć & co")), ["list/03"], "by a text")
    equal((of("?attr.price=1.50"), of("?attr.price=1.5")), (["list/07"], []), "by a number as it was written")
    equal(of("?attr.none=1"), [], "by one that nobody has")
    seen, cursor = [], ""
    while True:
        page = C.get(f"/streams?prefix=list/&limit=7{cursor}").json()
        seen += [s["key"] for s in page["items"]]
        if not page["next"]:
            break
        cursor = f"&cursor={page['next']}"
    equal(seen, [f"list/{i:02}" for i in range(25)], "by pages")
    refused(C.get("/streams?attr.=1"), 400, "bad_filter", "an attribute without a name")
    refused(C.get("/streams?" + "&".join(f"attr.a{i}=1" for i in range(9))), 400, "bad_filter", "nine of them")
    refused(C.get("/streams?attr.a=%00"), 400, "bad_filter", "NUL")


@test
def context_for_a_model():
    fill("a/context", 30)
    page = C.get("/streams/a/context/context").json()
    equal((numbers(page), page["more"], page["next"]), (list(range(11, 31)), True, None), "the last 20, oldest first")
    page = C.get("/streams/a/context/context?entries=100").json()
    equal((numbers(page), page["more"]), (list(range(1, 31)), False), "all of them")
    page = C.get("/streams/a/context/context?entries=100&bytes=24").json()
    equal((numbers(page), page["more"]), ([29, 30], True), "as many as fit whole")
    equal(C.get("/streams/a/context/context?bytes=3").json()["items"], [], "none fits")
    for key in ("one", "two", "three"):
        C.patch(f"/streams/across/{key}", {"customer": "anna" if key != "three" else "bert"})
    for i in range(6):
        append(f"across/{('one', 'two', 'three')[i % 3]}", {"body": i})
    page = C.get("/streams/across/one/context?across=customer").json()
    equal([(e["stream"], e["body"]) for e in page["items"]],
          [("across/one", 0), ("across/two", 1), ("across/one", 3), ("across/two", 4)], "of all streams of a customer, in their order")
    C.patch("/streams/across/two", {"customer": None})
    page = C.get("/streams/across/one/context?across=customer").json()
    equal([e["body"] for e in page["items"]], [0, 3], "without the one that was unlinked")
    refused(C.get("/streams/across/two/context?across=customer"), 400, "bad_filter", "which has no such attribute")
    refused(C.get("/streams/a/none/context"), 404, "not_found", "no such stream")


@test
def search():
    said = ["Where is my blue jacket?", "The BLUE one, size łódź", "blue blue blue", "a jacket, green", "żółta kurtka", "blueberry pie"]
    append("say/one", *[{"kind": "user", "body": {"text": text, "blue": 1}} for text in said[:3]])
    append("say/two", *[{"body": {"text": text}} for text in said[3:]])
    of = lambda q, more="": C.get("/search?q=" + urllib.parse.quote(q) + more).json()
    hits = lambda q, more="": [(h["stream"], h["n"]) for h in of(q, more)["items"]]
    equal(hits("blue"), [("say/one", 3), ("say/one", 2), ("say/one", 1)], "best first, then newest")
    equal(hits("blue jacket"), [("say/one", 1)], "all words")
    equal(hits("LODZ"), [("say/one", 2)], "without marks and case")
    equal(hits('"zolta kurtka"'), [("say/two", 2)], "a phrase")
    equal(sorted(hits("blue*")), [("say/one", 1), ("say/one", 2), ("say/one", 3), ("say/two", 3)], "a beginning")
    equal(hits("jacket", "&prefix=say/two"), [("say/two", 1)], "of some streams")
    hit = of("lodz")["items"][0]
    equal([hit["snippet"][m["from"]:m["to"]] for m in hit["marks"]], ["łódź"], "what was found is marked, by characters")
    equal(hit["kind"], "user", "with its kind")
    seen, cursor = [], ""
    while True:
        page = of("blue*", f"&limit=1{cursor}")
        seen += [(h["stream"], h["n"]) for h in page["items"]]
        if not page["next"]:
            break
        cursor = f"&cursor={page['next']}"
    equal(seen, hits("blue*"), "by pages")
    for bad in ("", "%22x", "*", "%00", "-"):
        refused(C.get(f"/search?q={bad}"), 400, "bad_filter", f"q={bad}")
    refused(C.get("/search"), 400, "bad_filter", "no question")
    refused(C.get("/search?q=x&cursor=YTE"), 400, "bad_filter", "a made-up cursor")


# ------------------------------------------------------------------------------------- keys, keeping, erasing


@test
def keys_are_names():
    for key in ("entries", "context", "za%C5%BC%C3%B3%C5%82%C4%87/1", "a%2Fentries", "x" * 1024, "a+b"):
        equal(append(key, {"body": 1}).status, 201, key[:20])
        equal(numbers(entries(key)), [1], f"{key[:20]} reads")
    keys = [s["key"] for s in C.get("/streams?limit=1000").json()["items"]]
    check({"entries", "context", "zażółć/1", "a/entries", "a+b"} <= set(keys), f"as they are: {keys}")
    equal(C.ask("PUT", "/streams/a/entries").status, 405, "behind a name the word is the route")


@test
def what_is_kept():
    for i in range(1, 13):
        append("short/one", {"id": str(i), "body": i})
    page = entries("short/one")
    check(numbers(page)[-5:] == [8, 9, 10, 11, 12] and page["items"][0]["n"] >= 7, f"the last five are kept: {numbers(page)}")
    again = append("short/one", {"id": "1", "body": 1})
    equal((again.status, again.json()["n"]), (200, 1), "an id outlives its entry")


@test
def erasing_gives_a_receipt():
    for key in ("gone/one", "gone/two"):
        C.patch(f"/streams/{key}", {"person": "anna/k"})
        append(key, {"id": "a", "body": "a secret"}, {"body": 2, "attach": {"key": key}})
    receipt = C.delete("/streams/gone/one")
    equal(receipt.status, 200, "erased")
    check(receipt.json()["streams"] == 1 and receipt.json()["entries"] == 2 and not receipt.json()["again"], f"what it was: {receipt.json()}")
    refused(C.get("/streams/gone/one/entries"), 404, "not_found", "entries")
    refused(C.get("/streams/gone/one"), 404, "not_found", "the stream")
    again = C.delete("/streams/gone/one").json()
    equal((again["id"], again["again"]), (receipt.json()["id"], True), "asked for again: the receipt")
    refused(C.delete("/streams/gone/never"), 404, "not_found", "what never was")
    equal(append("gone/one", {"id": "a", "body": "another"}).json()["count"], 1, "the key is free, the id too")
    equal(append("gone/two", {"body": 3}).status, 201, "the other is there")
    C.patch("/streams/gone/one", {"person": "anna/k"})
    person = C.delete("/people/person/anna%2Fk")
    equal((person.status, person.json()["streams"], person.json()["entries"]), (200, 2, 4), "one person")
    equal(C.get("/streams?prefix=gone/").json()["items"], [], "nothing is left")
    equal(C.delete("/people/person/anna%2Fk").json()["again"], True, "again")
    refused(C.delete("/people/person/nobody"), 404, "not_found", "nobody")
    listed = C.get("/receipts?limit=1").json()
    equal([r["id"] for r in listed["items"]], [person.json()["id"]], "receipts, newest first")
    rest = C.get(f"/receipts?cursor={listed['next']}").json()
    check(receipt.json()["id"] in [r["id"] for r in rest["items"]], "and the older one")
    check(b"anna" not in C.get("/receipts").body and b"secret" not in C.get("/receipts").body, "which do not say of whom")


@test
def a_restart_shows_the_same():
    global SERVER, C  # noqa: PLW0603
    look = lambda: [C.get(target).body for target in ("/streams?limit=1000", "/streams/chat/self", "/streams/a/pages/entries?last=20",
                                                      "/streams/a/bytes/entries", "/streams/chat/self/context", "/receipts")]
    before = look()
    equal(SERVER.stop(), 0, "its end")
    SERVER = Server(TOP / "data", CONFIG)
    C = SERVER.client()
    equal(look(), before, "byte for byte")


@test
def a_space_comes_into_being_with_an_entry():
    fresh = SERVER.client("fresh")
    refused(fresh.get("/streams/a/entries"), 404, "unknown_space", "not yet")
    refused(fresh.post("/streams/a/entries", b"{"), 404, "unknown_space", "not with nonsense")
    refused(fresh.get("/streams/a/entries"), 404, "unknown_space", "still not")
    equal(append("a", {"body": 1}, client=fresh).status, 201, "now")
    equal(SERVER.client("attributes").patch("/streams/a", {"x": 1}).status, 200, "with attributes, too")


main()
SERVER.stop()

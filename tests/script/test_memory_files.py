#!/usr/bin/env python3
# test: timeout=240
"""Memory files of an app's assistants: what goes in comes out with the same value, once more is nothing, what was said since stands behind it, and
what cannot be mapped is refused by its place with nothing written."""

import json
import os
import pty
import random
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

sys.path.insert(0, os.path.join(os.environ.get("KF_TOP", "."), "tests"))
from keepfast import PROGRAM, Server, folder, run  # noqa: E402
from tap import check, equal, main, note, test  # noqa: E402

TOP = folder()
EXAMPLES = Path(os.environ.get("KF_TOP", ".")) / "examples/finance/data"
NAMES = ("persona_memory.json", "partner_conversations.json", "autonomous_conversations.json")


def value(text):
    """Numbers as they are written, but 1.0 and 1 are one; members in any order."""
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


def ok(*words, at, **more):
    done = run(*words, at=at, **more)
    equal(done.status, 0, f"{' '.join(map(str, words))}: {done.err.decode()}")
    return done


def file_of(name, content, place=None):
    path = (place or folder()) / name
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content, ensure_ascii=False, indent=2).encode())
    return path


def seq(at):
    """The number of the last change: it stands still when nothing is written."""
    return ok("status", "--json", at=at).json()["store"]["seq"]


# A file as the app of the first origin writes it: without zones, with what Python's json makes of floats and of letters.
def persona_file(dice, personas, conversations):
    file = {}
    for name in personas:
        said = []
        for n in range(dice.randrange(conversations)):
            said.append({"timestamp": f"2025-{dice.randint(1, 12):02}-{dice.randint(1, 28):02}T10:{n % 60:02}:00.{dice.randrange(10**6):06}",
                         "user_message": dice.choice(["Czy powinienem sprzedać Bitcoin?", "tak", "", "\0 \U0001f464"]),
                         "ai_response": dice.choice(["Pamiętaj że mówiłeś mi…", "nie", "\n\t\"\\"]),
                         "portfolio_snapshot": dice.choice([None, {"total_value": 145230, "debt": 23400.5}, {}, [1e-7, 1e300]])})
            if dice.random() < 0.2:
                del said[-1]["ai_response"]
            if dice.random() < 0.1:
                said.append(said[-1])
        file[name] = {"partner_name": name.replace("_", " "), "conversations": said,
                      "statistics": {"total_messages": 237 + len(said), "first_interaction": "2025-01-15T10:00:00", "last_interaction": None},
                      "insights": {"user_preferences": [], "key": None}}
    file["version"] = 2
    return file


def partner_file():
    return {"Wszyscy": {"messages": [{"role": "user", "content": "tak", "avatar": "\U0001f464"}, {"role": "assistant", "content": "ok", "knowledge": []},
                                     {"role": "user", "content": "tak", "avatar": "\U0001f464"}], "session_id": "2025-11-09 14:00"},
            "Partner (JA)/2": {"messages": []}, "list": [1, {"x": None}]}


def autonomous_file():
    return [{"id": "conv_2", "topic": "x", "participants": ["A", "B"], "messages": [
                {"partner": "A", "message": "m\n", "timestamp": "2025-11-02T19:45:55.864876", "message_number": 1},
                {"partner": "B", "content": "m"}], "status": "completed"},
            {"id": "conv_1", "messages": []}, {"id": "conv_2"}]


def three():
    return dict(zip(NAMES, (persona_file(random.Random(1), ("Michael_Burry", "Warren Buffett", "Ania"), 120), partner_file(), autonomous_file())))


@test
def what_goes_in_comes_out():
    at, place = TOP / "a.db", folder()
    for name, content in three().items():
        file_of(name, content, place)
    (place / "persona_memory_old.json").write_text("{")  # of a folder only what has exactly these names
    done = ok("import", place, "--json", at=at).json()["items"]
    equal([item["file"] for item in done], list(NAMES), "each file")
    check(all(item["added"] == item["entries"] and item["changed"] == item["streams"] for item in done), f"all of it is new: {done}")
    for name in NAMES:
        equal(value(ok("export", name, at=at).out), value((place / name).read_bytes()), f"{name} comes out as it went in")
    before = seq(at)
    done = ok("import", *(place / name for name in NAMES), "--json", at=at).json()["items"]
    check(all(item["added"] == item["changed"] == 0 for item in done), f"once more is nothing: {done}")
    equal(seq(at), before, "and writes nothing")
    for name in NAMES:  # what came out goes into another store, and is known here
        out = folder() / name
        ok("export", name, "--to", out, at=at)
        equal(ok("import", out, "--json", at=at).json()["items"][0]["added"], 0, f"{name} as it came out is known")
        ok("import", out, at=TOP / "b.db")
        equal(value(ok("export", name, at=TOP / "b.db").out), value((place / name).read_bytes()), f"{name} through two stores")
    ok("verify", at=at)


@test
def the_files_of_the_example():
    at = TOP / "example.db"
    ok("import", EXAMPLES, at=at)
    for name in NAMES:
        equal(value(ok("export", name, at=at).out), value((EXAMPLES / name).read_bytes()), name)
    found = ok("search", "obligacje", "--prefix", "persona/", "--json", at=at).json()["items"]
    check(found, "what was imported is found")
    personas = value((EXAMPLES / NAMES[0]).read_bytes())
    listed = ok("stream", "ls", "persona/", "--json", at=at).json()["items"]
    equal({s["key"] for s in listed}, {f"persona/{name}" for name in personas}, "a stream for each persona")
    equal({s["key"]: s["kinds"] for s in listed},
          {f"persona/{name}": {"user": len(p["conversations"]), "assistant": len(p["conversations"])} for name, p in personas.items()}, "two entries an exchange")


@test
def what_was_said_since_stands_behind():
    at = TOP / "since.db"
    old = {"Ala": {"partner_name": "Ala X", "conversations": [{"timestamp": "2025-11-09T14:23:45", "user_message": "tak", "ai_response": "nie"}],
                   "statistics": {"total_messages": 9, "first_interaction": None, "last_interaction": "2025-11-09T14:23:45"}}}
    path = file_of(NAMES[0], old)
    ok("import", path, at=at)
    for kind, text in (("user", "A teraz?"), ("assistant", "Też nie")):
        ok("append", "persona/Ala", json.dumps({"exchange": "e1", "text": text}), "--kind", kind, "--time", "2025-11-10T08:00:00Z", at=at)
    new = json.loads(ok("export", NAMES[0], at=at).out)
    equal(new["Ala"]["conversations"], old["Ala"]["conversations"] + [{"timestamp": "2025-11-10T08:00:00.000", "user_message": "A teraz?", "ai_response": "Też nie"}],
          "behind what was there")
    equal((new["Ala"]["statistics"]["total_messages"], new["Ala"]["statistics"]["last_interaction"]), (10, "2025-11-10T08:00:00.000"), "statistics go on")
    equal(ok("import", path, "--json", at=at).json()["items"][0]["added"], 0, "the old file takes nothing away and adds nothing")
    equal(json.loads(ok("export", NAMES[0], at=at).out), new, "and all is as it was")
    ok("append", "persona/Ala", '{"no":"text"}', "--kind", "user", at=at)
    done = run("export", NAMES[0], at=at)
    check(done.status == 11 and b"entry 5 of persona/Ala" in done.err and done.out == b"", f"what cannot stand in such a file is named: {done}")
    out = folder() / "x.json"
    check(run("export", NAMES[0], "--to", out, at=at).status == 11 and not out.exists(), "and no file is left")


REFUSED = [  # file, content, what is said of the place
    (NAMES[0], b'{"a":{"conversations":[{"user_message":"x"}', b"line 1"),
    (NAMES[0], b'{\n "a": {"conversations": [\n  {"user_message": 7}]}}', b"/a/conversations/0/user_message: it is no string (line 3, column 20)"),
    (NAMES[0], b'{"b":{"conversations":[{"user_message":"good"}]},"a/b":{"conversations":[{}]}}', b"/a~1b/conversations/0: it has neither"),
    (NAMES[0], b'{"a":{"conversations":[{"user_message":"x","timestamp":"wczoraj"}]}}', b"/a/conversations/0/timestamp"),
    (NAMES[0], b'[]', b"no object of personas"),
    (NAMES[0], b'{"a":{},"a":{}}', b"line 1, column 9"),
    (NAMES[0], b'{"..":{}}', b"/..:"),
    (NAMES[0], b'\xff\xfe{}', b"byte 0"),
    (NAMES[0], b'', b"byte 0"),
    (NAMES[0], b'{"a":{"x":"' + b"x" * 66000 + b'"}}', b"/a: what stands beside its list"),
    (NAMES[1], b'{"a":{"messages":[{"role":"Some One","content":"x"}]}}', b"/a/messages/0/role"),
    (NAMES[1], b'{"conversations":[{"id":"a"},{}]}', b"/conversations/1"),
    (NAMES[2], b'[{"id":"a"},{"messages":[]}]', b"/1: it is no object with an id"),
    (NAMES[2], b'{}', b"no array of dialogues"),
]


@test
def what_cannot_be_mapped_is_refused():
    at, good = TOP / "refused.db", file_of(NAMES[2], autonomous_file())
    for name, content, said in REFUSED:
        path = file_of(name, content)
        for words in (("import", path), ("import", good, path), ("import", path, good), ("import", "--check", path)):
            done = run(*words, at=at)
            check(done.status == 11 and said in done.err and name.encode() in done.err, f"{content[:60]}: {done}")
        check(not at.exists(), f"no store was made for {content[:60]}")
    ok("import", good, at=at)
    before = seq(at)
    server = Server(folder() / "data")
    client = server.client()
    client.put("", None)
    for name, content, said in REFUSED:
        equal(run("import", file_of(name, content), at=at).status, 11, "into a store that is there")
        answer = client.post(f"/import?file={name}", content)
        check(answer.code in ("schema", "bad_json", "bad_key", "too_large"), f"over HTTP: {content[:60]}: {answer}")
        check(said in answer.body, f"over HTTP the place is said, too: {answer}")
        if answer.code == "schema":
            check(0 <= answer.json()["offset"] <= len(content), f"an offset: {answer}")
    equal(client.get("/streams").json()["items"], [], "nothing was written over HTTP")
    equal(client.post(f"/import?file={NAMES[0]}&wait=none", {}).code, "unknown_remote", "nor where it could not be waited for")
    equal(client.post(f"/import?file={NAMES[0]}", {}).headers["Keepfast-Ack"], "disk", "what was written is on the disk")
    equal(seq(at), before, "nothing was written")
    server.stop()


@test
def random_damage_writes_nothing_or_is_whole():
    """Bytes that are flipped, cut out or doubled: refused, or a file that comes out as it is."""
    dice, taken, refused = random.Random(7), 0, 0
    whole = json.dumps(persona_file(random.Random(2), ("Ala", "Ola"), 12), ensure_ascii=False).encode()
    with Server(folder() / "data") as server:
        for n in range(200):
            content = bytearray(whole)
            for _ in range(dice.randint(1, 3)):
                at = dice.randrange(len(content))
                if dice.random() < 0.5:
                    content[at] = dice.choice(b'"{}[],:0x\n\xc3')
                else:
                    del content[at:at + dice.randint(1, 40)]
            client = server.client(f"s{n}")
            client.put("", None)
            answer = client.post("/import?file=persona_memory.json", bytes(content))
            if answer.status == 200:
                taken += 1
                equal(value(client.get("/export?file=persona_memory.json").body), value(bytes(content)), "what was taken comes out")
            else:
                refused += 1
                check(answer.code in ("schema", "bad_json", "bad_key"), f"{answer}")
                equal(client.get("/streams").json()["items"], [], "nothing was written")
            client.close()
    note(f"taken={taken} refused={refused}")
    check(taken >= 10 and refused >= 50, f"both happened: {taken}, {refused}")


@test
def over_http_and_with_tokens():
    config = "limits: { body: 1MiB }\n"
    with Server(folder() / "data", config=config) as server:
        client = server.client()
        equal(client.get("/export?file=persona_memory.json").code, "unknown_space", "nothing is made by a read")
        answer = client.post("/import?file=persona_memory.json", {"a": {"conversations": [{"user_message": "x", "ai_response": "y"}]}})
        equal(answer.json(), {"file": NAMES[0], "streams": 1, "entries": 2, "exchanges": 1, "added": 2, "changed": 1}, "what was done")
        equal(client.get("/export?file=persona_memory.json").json(), {"a": {"conversations": [{"user_message": "x", "ai_response": "y"}]}}, "as it was")
        equal(client.get(f"/export?file={NAMES[2]}").json(), [], "a file of nothing")
        for query in ("", "?file=", "?file=memory.json", "?file=persona_memory.txt", "?more=1"):
            equal(client.post(f"/import{query}", {}).code, "bad_filter", f"import{query}")
            equal(client.get(f"/export{query}").code, "bad_filter", f"export{query}")
        equal(client.post(f"/import?file={NAMES[0]}", b" " * 1100000).code, "too_large", "limits.body holds here, too")
        ok("import", file_of(NAMES[1], partner_file()), at=f"http://{server.address}/default")
        equal(value(ok("export", NAMES[1], at=f"{server.data}#default").out), value(json.dumps(partner_file())), "from the owner of the folder")
        client.close()
        ok("token", "create", "some", "--space", "default", "--prefix", "persona/*", "--file", TOP / "some", at=f"unix:{server.socket}#default")
        ok("token", "create", "reader", "--space", "default", "--rights", "read", "--file", TOP / "reader", at=f"unix:{server.socket}#default")
        client = server.client()
        for file, method, path, code in (("some", "POST", "/import", "forbidden"), ("some", "GET", "/export", "forbidden"),
                                         ("reader", "POST", "/import", "forbidden"), ("reader", "GET", "/export", "")):
            bearer = {"Authorization": f"Bearer {(TOP / file).read_text().strip()}"}
            equal(client.ask(method, f"{path}?file={NAMES[0]}", b"{}" if method == "POST" else None, headers=bearer).code, code, f"{file}: {method} {path}")


@test
def words_of_the_command():
    at, path = TOP / "words.db", file_of(NAMES[0], three()[NAMES[0]])
    for words in (("import",), ("import", TOP / "none"), ("import", folder()), ("import", file_of("notes.json", {})), ("export",),
                  ("export", NAMES[0], NAMES[1])):
        equal(run(*words, at=at).status, 2, f"{words}")
    equal(run("export", "notes.json", at=at).status, 1, "no store yet")
    ok("import", path, at=at)
    equal(run("export", "notes.json", at=at).status, 11, "no such file")
    done = ok("import", "--check", path, at=at)
    check(b"nothing was written" in done.err and done.out == b"", f"{done}")
    check(b"0 of them new or changed; 0 new entries" in ok("import", path, at=at).err, "in words")
    out = folder() / "out.json"
    equal(ok("export", NAMES[0], "--to", out, "--json", at=at).json(), {"file": str(out)}, "where it is")
    equal(run("export", NAMES[0], "--to", out, at=at).status, 2, "nothing is written over")
    done = ok("export", NAMES[0], "--json", at=at)
    check(done.err == b"" and value(done.out) == value(path.read_bytes()), "an export is JSON as it is")


@test
def progress_is_shown_on_a_terminal():
    path = file_of(NAMES[0], persona_file(random.Random(3), [f"P{n}" for n in range(30)], 1500))
    check(path.stat().st_size > 2_000_000, "a file of some size")
    ours, theirs = pty.openpty()
    process = subprocess.Popen([PROGRAM, "import", path, "--at", TOP / "large.db"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    equal(process.wait(120), 0, f"imported: {shown[-300:]}")
    check(b"import " in shown and (b"[#" in shown or b"[." in shown), f"a bar: {shown[:300]}")
    check(process.stdout.read() == b"", "and nothing of it on stdout")
    process.stdout.close()
    equal(value(ok("export", NAMES[0], at=TOP / "large.db").out), value(path.read_bytes()), "a large file comes out")


main()

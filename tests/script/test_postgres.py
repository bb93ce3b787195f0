#!/usr/bin/env python3
# test: timeout=300
"""A server on PostgreSQL: documents over HTTP, two servers on one database, a database that is away and comes back, readers with psql."""

import json
import os
import re
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from faultproxy import FaultProxy
from keepfast import Server, folder, run, state, wait_for
from pg import Cluster
from tap import check, equal, main, note, test

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "checker"))
import pgcheck

PG = Cluster(tcp=True)
SPACES = iter(f"s{n}" for n in range(1, 1000))


def serve(url=None):
    return Server(url or PG.url())


def fits(space):
    found = pgcheck.check(PG, space)
    equal(found, [], "what the independent checker finds")


@test
def a_document_goes_its_way():
    space = next(SPACES)
    with serve() as server:
        c = server.client(space)
        body = b' {"a" : 1.0, "\xc5\xbc": [true, null]}\n'
        answer = c.put("/docs/x/y.json", body)
        equal((answer.status, answer.headers["Keepfast-Ack"]), (201, "shared"), "PUT")
        etag = answer.headers["ETag"]
        answer = c.get("/docs/x/y.json")
        equal((answer.status, answer.body, answer.headers["ETag"]), (200, body, etag), "GET")
        equal(c.put("/docs/x/y.json", b"2", headers={"If-Match": '"00000000000000000000000000000000"'}).code, "version_mismatch", "If-Match")
        equal(c.patch("/docs/x/y.json", {"b": 2}, headers={"If-Match": etag}).status, 200, "PATCH")
        equal(c.get("/docs/x/y.json?version=1").body, body, "the first version")
        equal(c.post("/docs/x/y.json/revert", {"version": 1}).status, 200, "revert")
        equal(c.get("/docs/x/y.json").body, body, "reverted")
        equal([v["version"] for v in c.get("/docs/x/y.json/versions").json()["items"]], [3, 2, 1], "versions")
        equal(c.delete("/docs/x/y.json").status, 204, "DELETE")
        equal(c.get("/docs/x/y.json").status, 404, "gone")
        equal(c.put("/docs/x/y.json", b"4").status, 201, "made again")
        equal([d["name"] for d in c.get("/docs").json()["items"]], ["x/y.json"], "list")
        key = {"Idempotency-Key": "k1"}
        first = c.put("/docs/once", b"1", headers=key)
        again = c.put("/docs/once", b"1", headers=key)
        equal((first.status, again.status, again.headers["ETag"]), (201, 200, first.headers["ETag"]), "once")
        equal(c.put("/docs/once", b"2", headers=key).code, "id_reused", "another request under the key")
        equal(c.put("/docs/early?ack=memory", b"1").headers["Keepfast-Ack"], "memory", "ack=memory")
        equal(c.get("/docs/early").body, b"1", "what was told early is there")
        equal(c.put("/docs/disk?ack=disk", b"1").code, "bad_filter", "a store on PostgreSQL never says disk")
        status = c.get("/status").json()["store"]
        equal(status["state"], "open", "state")
        equal(c.post("/verify").status, 200, "verify")
        check(len(c.get("/digest").json()["digest"]) == 64, "digest")
        equal(server.stop(), 0, "a clean stop")
    fits(space)


@test
def the_command_line_and_a_backup():
    space = next(SPACES)
    at = PG.url(space)
    equal(run("get", "a", at=at).status, 1, "nothing there yet")
    equal(run("put", "a", "-", at=at, stdin=b'{"n":1}').status, 0, "put")
    equal(run("get", "a", at=at).out, b'{"n":1}', "get")
    done = run("put", "a", "-", at=at, stdin=b'{"n":2}', env={"KEEPFAST_AT": ""})
    equal(done.status, 0, f"{done}")
    file = os.path.join(os.environ.get("TMPDIR", "/tmp"), f"{space}.zip")
    equal(run("backup", file, at=at).status, 0, "backup")
    other = next(SPACES)
    done = run("restore", file, at=PG.url(other))
    equal(done.status, 0, f"restored into another space: {done}")
    equal(run("get", "a", at=PG.url(other)).out, b'{"n":2}', "with the same document")
    equal(run("digest", at=PG.url(other)).out, run("digest", at=at).out, "and the same digest")
    fits(other)
    beside = os.path.join(os.environ.get("TMPDIR", "/tmp"), f"{space}.db")
    equal(run("restore", file, at=beside).status, 0, "restored into a file")
    equal(run("get", "a", at=beside).out, b'{"n":2}', "with the same document")
    equal(run("digest", at=beside).out, run("digest", at=at).out, "and the same digest")
    fits(space)


@test
def a_restore_replaces_what_several_servers_have_open():
    space = next(SPACES)
    PG.ask("CREATE TABLE orders(id int PRIMARY KEY)")
    with serve() as one, serve() as two:
        a, b = one.client(space), two.client(space)
        a.put("/docs/x", b"1")
        a.post("/streams/chat/0/entries", [{"id": "m1", "body": "of the backup"}])
        archive = a.get("/backup").body
        digest = a.get("/digest").json()["digest"]
        equal(a.ask("PUT", "/tracked/orders").status, 201, "a tracked table")
        for n in range(2, 9):
            b.put("/docs/x", str(n))
        b.put("/docs/y", b"later")
        b.post("/streams/chat/1/entries", [{"id": "m2", "body": "later"}])
        b.post("/streams/chat/2/entries", [{"id": "m1", "body": "later"}])
        wait_for(lambda: a.get("/docs/x").body == b"8" and a.get("/streams/chat/1").status == 200, 5)
        headers = {"Content-Type": "application/zip"}
        equal(a.post("/restore", archive, headers=headers).code, "not_empty", "only when it is said")
        PG.ask("INSERT INTO orders VALUES (1)")
        answer = a.post("/restore?replace=true", archive, headers=headers)
        equal(answer.status, 200, f"{answer}")
        done = answer.json()
        equal(done["digest"], digest, "the digest of the backup")
        for c in (a, b):
            wait_for(lambda: c.get("/docs/x").body == b"1", 5)
            equal(c.get("/docs/y").status, 404, "what came later is gone")
            equal(c.get("/streams/chat/1").status, 404, "and streams")
            equal(c.get("/digest").json()["digest"], digest, "digest")
            equal([e["body"] for e in c.get("/streams/chat/0/entries").json()["items"]], ["of the backup"], "entries are there")
            equal([i["stream"] for i in c.get("/search?q=backup").json()["items"]], ["chat/0"], "and found by their words")
            equal(c.get("/search?q=later").json()["items"], [], "words of before are not found")
        equal(b.put("/docs/x", b"9").status, 200, "the other one writes on")
        equal(b.post("/streams/chat/1/entries", {"id": "m2", "body": "again"}).json(), {"n": 1, "count": 1}, "an id that is free again")
        wait_for(lambda: a.get("/docs/x").body == b"9", 5)
        equal([c["key"] for c in a.get("/changes").json()["items"]], [{"id": 1}], "tracked tables are gone through")
        check(done["kept_as"].startswith("kf-before-"), f"what was there is kept: {done}")
        equal(PG.number(f'SELECT max(version) FROM "{done["kept_as"]}".kf_doc WHERE name = \'x\''), 8, "as tables")
        a.post("/streams/chat/3/entries", {"body": "of somebody"})
        held = [h for h in a.delete("/streams/chat/3").json()["held"] if h["kind"] == "aside"]
        equal([(h["schema"], h["state"]) for h in held], [(done["kept_as"], "kept")], "who erases is told that it is there")
        equal(a.post("/verify").json()["good"], True, "in order")
        sites = PG.ask(f'SELECT value FROM "kf_{space}".kf_meta WHERE key IN (\'site\')')
        equal(a.get("/status").json()["store"]["site"], sites[0][0], "one site")
        equal(b.get("/status").json()["store"]["site"], sites[0][0], "for all")
        cut = a.post("/restore?replace=true", archive[:-20], headers=headers)
        check(cut.status == 400 or cut.status == 422, f"a cut archive changes nothing: {cut}")
        equal(a.get("/docs/x").body, b"9", "nothing was changed")
        one.stop()
        two.stop()
    fits(space)


@test
def what_a_restore_copies_fits_its_tables():
    """Also rows of tables that the scratch store of a restore has none in."""
    with open(os.path.join(os.environ.get("KF_TOP", "."), "src/store/store_pg_swap.c"), encoding="utf-8") as file:
        lines = re.findall(r'T\((kf_\w+), ("[^)]*")\)', file.read())
    check(len(lines) > 10, f"the tables: {lines}")
    for table, text in lines:
        types, columns, values = re.findall(r'"([^"]*)"', re.sub(r'"\s+"', "", text))
        equal((len(types), values), (columns.count(",") + 1, ", ".join(f"${n + 1}" for n in range(len(types)))), table)


@test
def what_is_large_can_be_placed_by_what_it_belongs_to():
    """A distributed PostgreSQL places rows by a column that is in each unique key of their table."""
    space = next(SPACES)
    with serve() as server:
        equal(server.client(space).put("/docs/x", b"1").status, 201, "a space")
        keys = PG.ask("SELECT c.relname, a.attname FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid"
                      " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]"
                      f" WHERE i.indisunique AND c.relnamespace = 'kf_{space}'::regnamespace"
                      " AND c.relname IN ('kf_doc', 'kf_doc_version', 'kf_entry', 'kf_entry_once', 'kf_stream_member')")
        equal(sorted({tuple(row) for row in keys}), [("kf_doc", "name"), ("kf_doc_version", "name"), ("kf_entry", "stream"),
                                                     ("kf_entry_once", "stream"), ("kf_stream_member", "key")], "their unique keys lead with it")
        others = PG.number("SELECT count(*) FROM pg_constraint WHERE contype = 'f'"
                           f" AND connamespace = 'kf_{space}'::regnamespace AND confrelid NOT IN (SELECT oid FROM pg_class"
                           f" WHERE relnamespace = 'kf_{space}'::regnamespace)")
        equal(others, 0, "and nothing of a space refers to another")


@test
def one_of_several_servers_makes_the_backups():
    space = next(SPACES)
    place = folder() / "backups"
    place.mkdir(mode=0o700)
    config = f'backup: {{ to: "dir:{place}", every: 1s, keep: 3 }}\nspaces: {{ {space}: {{}} }}\n'
    run("put", "a", "-", at=PG.url(space), stdin=b'{"n":1}')

    def made():
        return sorted(name for name in os.listdir(place) if name.startswith(f"{space}-") and name.endswith(".zip"))

    with Server(PG.url(), config) as one, Server(PG.url(), config) as two:
        both = {one: one.client(space), two: two.client(space)}
        wait_for(lambda: len(made()) == 3, 20)
        for c in both.values():
            wait_for(lambda: c.get("/status").json()["backups"]["last"], 10)
        makers = [server for server in both if "backup.made" in server.stderr()]
        equal(len(makers), 1, "one of them makes them")
        chief, other = makers[0], (two if makers[0] is one else one)
        wait_for(lambda: both[chief].get("/status").json()["backups"]["drill"], 10)
        check(both[chief].get("/status").json()["backups"]["drill"]["good"], "the newest was tried")
        os.kill(chief.process.pid, signal.SIGKILL)
        chief.process.wait()
        before = made()[-1]
        equal(both[other].put("/docs/a", b'{"n":2}').status, 200, "written after it")
        wait_for(lambda: made()[-1] > before, 10)
        wait_for(lambda: other.stderr().count("backup.made") >= 2, 10)
        check("space=" + space in other.stderr() or space in other.stderr(), "the other one goes on")
        newest = str(place / made()[-1])
        other.stop()
    beside = str(folder() / "x.db")
    equal(run("restore", newest, at=beside).status, 0, "it can be restored")
    equal(run("get", "a", at=beside).out, b'{"n":2}', "with what was written")


@test
def two_servers_on_one_database():
    space = next(SPACES)
    with serve() as one, serve() as two:
        a, b = one.client(space), two.client(space)
        equal(a.put("/docs/d", b"1").status, 201, "written by one")
        equal(b.get("/docs/d").body, b"1", "read by the other")
        wait_for(lambda: one.stderr().count("pg.down") == 0)
        for n in range(2, 60):
            writer, reader = (a, b) if n % 2 else (b, a)
            equal(writer.put("/docs/d", str(n)).status, 200, "written")
            wait_for(lambda: reader.get("/docs/d").body == str(n).encode(), 5)
            equal(writer.get("/docs/d").body, str(n).encode(), "the writer sees its own at once")
        etag = a.get("/docs/d").headers["ETag"]
        equal(b.put("/docs/d", b'"b"', headers={"If-Match": etag}).status, 200, "compare and set")
        equal(a.put("/docs/d", b'"a"', headers={"If-Match": etag}).code, "version_mismatch", "by one alone")

        wins, errors = [], []

        def race(client, who):
            for n in range(20):  # fewer than the versions that are kept
                for _ in range(200):
                    now = client.get("/docs/count")
                    value = json.loads(now.body) if now.status == 200 else 0
                    headers = {"If-Match": now.headers["ETag"]} if now.status == 200 else {"If-None-Match": "*"}
                    answer = client.put("/docs/count", str(value + 1), headers=headers)
                    if answer.status in (200, 201):
                        wins.append((who, value + 1))
                        break
                    if answer.code != "version_mismatch":
                        errors.append(answer)
                        return

        threads = [threading.Thread(target=race, args=(server.client(space), who)) for who, server in enumerate((one, two, one, two))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        equal(errors, [], "no other answers")
        equal(sorted(value for _, value in wins), list(range(1, 81)), "each number was won once")
        check({who for who, _ in wins} == {0, 1, 2, 3}, "by everybody")
    numbers = [int(row[0]) for row in PG.ask(f'SELECT seq FROM "kf_{space}".kf_doc_version ORDER BY seq')]
    kept = PG.number(f'SELECT seq FROM "kf_{space}".kf_state')
    equal(numbers[-1], kept, "the last number is the last version's")
    equal(numbers, list(range(numbers[0], kept + 1)), "numbers have no gaps")
    fits(space)


@test
def a_database_that_is_away_and_comes_back():
    space = next(SPACES)
    with serve() as server:
        c = server.client(space)
        equal(c.put("/docs/a", b"1").status, 201, "before")
        PG.crash()
        try:
            answer = c.put("/docs/a", b"2")
            equal((answer.status, answer.code), (503, "store_unavailable"), "a write")
            wait_for(lambda: c.get("/docs/a").status == 503, 5)
            equal(c.get("/docs/a").code, "store_unavailable", "a read, of what memory has as well")
            equal(c.get("/docs").code, "store_unavailable", "a list")
            equal(state(c), "away", "the state says so")
            found = [item["code"] for item in c.get("/doctor").json()["items"]]
            check("store_away" in found, f"and the doctor: {found}")
            equal(c.get("/healthz", raw=True).status, 200, "the server is alive")
            check("pg.down" in server.stderr(), "and has logged it")
        finally:
            PG.start()
        began = time.monotonic()
        wait_for(lambda: c.get("/docs/a").status == 200 and c.put("/docs/b", b"1").status in (200, 201), 5)
        note(f"healed after {time.monotonic() - began:.1f} s")
        check(c.get("/docs/a").body == b"1", "what was confirmed is there, what was refused is not")
        wait_for(lambda: state(c) == "open", 5)
        check("pg.up" in server.stderr(), "logged")
    fits(space)


@test
def a_server_starts_while_its_database_is_away():
    space = next(SPACES)
    run("put", "a", "-", at=PG.url(space), stdin=b"1")
    PG.stop()
    try:
        server = serve()
        c = server.client(space)
        equal(c.get("/docs/a").code, "store_unavailable", "nobody is let in before tokens are known")
        done = run("get", "a", at=PG.url(space))
        equal(done.status, 6, f"the command line says so: {done}")
    finally:
        PG.start()
    with server:
        wait_for(lambda: c.get("/docs/a").status == 200, 10)


@test
def every_confirmed_write_is_there_after_crashes():
    space = next(SPACES)
    confirmed, refused, stop = {}, [0], threading.Event()

    def write(server, who):
        c = server.client(space)
        n = 0
        while not stop.is_set():
            n += 1
            answer = c.put(f"/docs/w{who}", str(n), headers={"Idempotency-Key": f"{who}-{n}"})
            if answer.status in (200, 201):
                confirmed[who] = n
            else:
                check(answer.status == 503 and answer.json()["retryable"], f"a retryable refusal, not {answer}")
                refused[0] += 1
                n -= 1  # the same again: it happens once
                time.sleep(0.05)

    with serve() as one, serve() as two:
        one.client(space).put("/docs/first", b"1")
        threads = [threading.Thread(target=write, args=((one, two)[who % 2], who)) for who in range(6)]
        for thread in threads:
            thread.start()
        for _ in range(4):
            time.sleep(1.2)
            PG.crash()
            PG.start()
        time.sleep(2)
        stop.set()
        for thread in threads:
            thread.join()
        note(f"confirmed={sum(confirmed.values())} refused={refused[0]}")
        check(sum(confirmed.values()) > 100, "there was work")
        for who, n in confirmed.items():
            for server in (one, two):
                c = server.client(space)
                wait_for(lambda: c.get(f"/docs/w{who}").status == 200, 5)
                wait_for(lambda: json.loads(c.get(f"/docs/w{who}").body) == n, 5)
            versions = PG.number(f"SELECT version FROM \"kf_{space}\".kf_doc WHERE name = 'w{who}'")
            equal(versions, n, "each write happened once")
    fits(space)


@test
def a_commit_without_an_answer_is_looked_up():
    space = next(SPACES)
    found = {"committed": 0, "not committed": 0}
    with FaultProxy(("127.0.0.1", PG.port)) as proxy:
        with serve(PG.url(host="127.0.0.1", port=proxy.port)) as server:
            c = server.client(space)
            equal(c.put("/docs/a", b"0").status, 201, "the first")
            n = 0
            for cut in (dict(lose=True), *[dict(down=k) for k in range(150, 3000, 170)], *[dict(up=k) for k in range(150, 3000, 190)]):
                if "lose" in cut:
                    proxy.drop_connections()
                else:
                    proxy.cut(**cut)
                    proxy.drop_connections()
                for _ in range(3):
                    n += 1
                    answer = c.put("/docs/a", str(n), headers={"Idempotency-Key": f"u{n}"})
                    if answer.status != 200:
                        check(answer.status == 503, f"{answer}")
                proxy.pass_on()
                wait_for(lambda: c.put("/docs/a", str(n), headers={"Idempotency-Key": f"u{n}"}).status == 200, 10)
            proxy.pass_on()
            log = server.stderr()
            for outcome in found:
                found[outcome] = log.count(f"outcome={outcome}") + log.count(f'outcome="{outcome}"')
            equal(json.loads(c.get("/docs/a").body), n, "the last value")
    note(f"outcomes looked up: {found}")
    fits(space)


@test
def tokens_are_of_all_servers():
    admin = run("token", "create", "boss", "--rights", "admin,read,write", at=PG.url())
    equal(admin.status, 0, f"{admin}")
    with serve() as one, serve() as two:
        a, b = one.client(), two.client()
        h = {"Authorization": f"Bearer {admin.out.decode().strip()}"}
        equal(a.get("/v1", raw=True).status, 401, "asked for")
        equal(a.get("/v1", raw=True, headers=h).status, 200, "shown")
        made = a.post("/v1/tokens", {"name": "app", "rights": ["read", "write"]}, raw=True, headers=h)
        equal(made.status, 201, f"{made}")
        app = {"Authorization": f"Bearer {made.json()['token']}"}
        wait_for(lambda: b.get("/v1", raw=True, headers=app).status == 200, 10, every=1)  # fails are counted
        equal(a.delete(f"/v1/tokens/{made.json()['id']}", raw=True, headers=h).status, 204, "revoked at one")
        wait_for(lambda: b.get("/v1", raw=True, headers=app).status == 401, 10, every=1)
    PG.ask("DROP SCHEMA kf__keepfast CASCADE")


@test
def spaces_are_schemas():
    with serve() as server:
        c = server.client("made")
        equal(c.ask("PUT", "/v1/made", raw=True).status, 201, "made")
        check("made" in [s["name"] for s in c.get("/v1", raw=True).json()["items"]], "listed")
        equal(c.put("/docs/a", b"1").status, 201, "used")
        equal(PG.number("SELECT count(*) FROM pg_namespace WHERE nspname = 'kf_made'"), 1, "a schema")
        equal(c.ask("DELETE", "/v1/made?confirm=made", raw=True).status, 204, "removed")
        equal(PG.number("SELECT count(*) FROM pg_namespace WHERE nspname = 'kf_made'"), 0, "gone")
        equal(c.get("/docs/a").code, "unknown_space", "unknown again")


@test
def a_space_that_another_server_removes_is_unknown_there():
    with serve() as one, serve() as two:
        a, b = one.client("shared"), two.client("shared")
        equal(a.put("/docs/a", b"1").status, 201, "made")
        equal(b.get("/docs/a").body, b"1", "open at both")
        equal(a.ask("DELETE", "/v1/shared?confirm=shared", raw=True).status, 204, "removed at one")
        wait_for(lambda: b.get("/docs/a").code == "unknown_space", 10)
        equal(b.put("/docs/b", b"2").status, 201, "made anew by the other")
        wait_for(lambda: a.get("/docs/b").status == 200, 10)
        equal(a.ask("DELETE", "/v1/shared?confirm=shared", raw=True).status, 204, "removed again")
        equal(a.put("/docs/c", b"3").status, 201, "and made at once")
        wait_for(lambda: b.get("/docs/c").status == 200, 10)
        equal(b.get("/docs/b").status, 404, "nothing of what was there before")


@test
def no_password_is_ever_shown():
    space = next(SPACES)
    secret = "hunter2-of-the-database"
    PG.ask(f"CREATE ROLE app LOGIN PASSWORD '{secret}'")
    PG.ask("GRANT CREATE ON DATABASE postgres TO app")
    url = PG.url(host="127.0.0.1", user=f"app:{secret}")
    with serve(url) as server:
        c = server.client(space)
        equal(c.put("/docs/a", b"1").status, 201, "the password is taken")
        shown = [json.dumps(c.get(path).json()) for path in ("/status", "/doctor")]
        with open(f"/proc/{server.process.pid}/environ", "rb") as file:
            check(secret.encode() not in file.read(), "not in the environment")
        PG.crash()
        shown.append(repr(c.put("/docs/a", b"2")))
        wait_for(lambda: c.get("/docs/a").status == 503)
        shown += [repr(c.get("/docs/a")), repr(c.get("/status")), repr(c.get("/metrics", raw=True))]
        PG.start()
        shown.append(server.stderr())
    done = run("config", "--json", env={"KEEPFAST_DATA": url})
    shown += [done.out.decode(), done.err.decode()]
    for words in (["doctor"], ["status"], ["doctor", "--json"], ["verify"], ["get", "nothing"], ["remote", "add", "u", "dir:/tmp/u"], ["space", "ls"]):
        done = run(*words, at=f"{url}#{space}")
        shown += [done.out.decode(), done.err.decode()]
    done = run("get", "a", at=url.replace(f":{PG.port}", ":1") + f"#{space}")
    equal(done.status, 6, f"{done}")
    shown += [done.out.decode(), done.err.decode()]
    for text in shown:
        check(secret not in text, f"the password stands in: {text[:300]}")
        check("hunter2" not in text, "not even a part")


@test
def what_is_not_possible_is_refused_with_the_next_step():
    done = run("put", "a", "-", at="postgres://kf@127.0.0.1:1/postgres#Big", stdin=b"1")
    equal(done.status, 2, f"{done}")
    done = run("put", "a", "-", at=PG.url("x", host="127.0.0.1", database="nowhere"), stdin=b"1")
    check(done.status == 3 and b"nowhere" in done.err, f"a database that is not there: {done}")
    PG.ask("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
    done = run("put", "a", "-", at=PG.url("x", database="latin"), stdin=b"1")
    check(done.status == 3 and b"UTF8" in done.err, f"another encoding: {done}")
    PG.ask("CREATE SCHEMA kf_theirs")
    PG.ask("CREATE TABLE kf_theirs.t(a int)")
    done = run("put", "a", "-", at=PG.url("theirs"), stdin=b"1")
    check(done.status == 9 and b"another space" in done.err, f"a schema of somebody else: {done}")
    space = next(SPACES)
    run("put", "a", "-", at=PG.url(space), stdin=b"1")
    PG.ask(f"UPDATE kf_{space}.kf_format SET format = 99")
    done = run("get", "a", at=PG.url(space))
    equal(done.status, 12, f"a newer format: {done}")
    PG.ask("ALTER DATABASE postgres SET default_transaction_read_only = on")
    done = run("put", "a", "-", at=PG.url(next(SPACES)), stdin=b"1")
    check(done.status == 8, f"a database that takes no writes: {done}")
    PG.ask("BEGIN READ WRITE; ALTER DATABASE postgres RESET default_transaction_read_only; COMMIT")


if __name__ == "__main__":
    try:
        main()
    finally:
        PG.close()

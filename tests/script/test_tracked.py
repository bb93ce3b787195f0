#!/usr/bin/env python3
# test: timeout=300
"""Tables that other clients of PostgreSQL write: every change that commits is told, however late, whatever is open beside it, in this
database and in another; and what goes past triggers is found."""

import json
import os
import random
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from keepfast import Server, folder, run, wait_for
from pg import Cluster
from tap import check, equal, main, note, test

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "checker"))
import pgcheck

PG = Cluster(tcp=True, settings=["max_prepared_transactions=10"])
SPACES = iter(f"s{n}" for n in range(1, 1000))
TABLES = iter(f"t{n}" for n in range(1, 1000))


def quoted(name):
    return name.replace(" ", "%20").replace('"', "%22")


def track(c, table, status=201):
    answer = c.ask("PUT", f"/tracked/{quoted(table)}")
    equal(answer.status, status, f"track {table}: {answer}")


def table(columns="id int PRIMARY KEY, v text", rows=""):
    name = next(TABLES)
    PG.ask(f"CREATE TABLE {name}({columns})")
    if rows:
        PG.ask(f"INSERT INTO {name} VALUES {rows}")
    return name


class Reader:
    """Follows the changes, and knows what the tables hold by them alone."""

    def __init__(self, client, only=None):
        self.client, self.only, self.after, self.rows, self.numbers = client, only, 0, {}, []

    def read(self):
        """The new ones: (table, key, row)."""
        found = []
        while True:
            answer = self.client.get(f"/changes?after={self.after}" + (f"&table={self.only}" if self.only else ""))
            equal(answer.status, 200, f"{answer}")
            page = answer.json()
            for item in page["items"]:
                check(item["n"] > self.after, f"number {item['n']} behind {self.after}")
                self.after = item["n"]
                self.numbers.append(item["n"])
                key = (item["table"], json.dumps(item["key"]))
                if item["row"] is None:
                    self.rows.pop(key, None)
                else:
                    self.rows[key] = item["row"]
                found.append((item["table"], item["key"], item["row"]))
            check(page["last"] >= self.after, "last is never behind what was shown")
            self.after = page["last"]
            if page["next"] is None:
                return found

    def holds(self, name):
        return sorted((row for (of, _), row in self.rows.items() if of == f"public.{name}"), key=json.dumps)


def truth(name, database="postgres"):
    return sorted((json.loads(row[0]) for row in PG.ask(f"SELECT row_to_json(t) FROM {name} t", database=database)), key=json.dumps)


def told(c):
    answer = c.get("/tracked")
    equal(answer.status, 200, f"{answer}")
    return answer.json()


def state_of(c, name):
    return {item["table"]: item["state"] for item in told(c)["items"]}.get(f"public.{name}")


@test
def changes_are_told_in_their_order():
    space, t = next(SPACES), table(rows="(1, 'one'), (2, 'two')")
    with Server(PG.url()) as server:
        c = server.client(space)
        c.put("/docs/first", b"1")
        track(c, t)
        reader = Reader(c)
        name = f"public.{t}"
        equal(reader.read(), [(name, {"id": 1}, {"id": 1, "v": "one"}), (name, {"id": 2}, {"id": 2, "v": "two"})], "what was there")
        PG.ask(f"INSERT INTO {t} VALUES (3, 'three')")
        PG.ask(f"UPDATE {t} SET v = 'TWO' WHERE id = 2")
        PG.ask(f"DELETE FROM {t} WHERE id = 1")
        equal(reader.read(), [(name, {"id": 3}, {"id": 3, "v": "three"}), (name, {"id": 2}, {"id": 2, "v": "TWO"}), (name, {"id": 1}, None)], "in order")
        PG.ask(f"UPDATE {t} SET v = v")
        equal(reader.read(), [], "what writes the same changes nothing")
        PG.ask(f"BEGIN; INSERT INTO {t} VALUES (4, 'no'); ROLLBACK")
        PG.ask(f"BEGIN; INSERT INTO {t} VALUES (5, 'a'); SAVEPOINT s; INSERT INTO {t} VALUES (6, 'no'); DELETE FROM {t} WHERE id = 3;"
               f" ROLLBACK TO s; UPDATE {t} SET v = 'b' WHERE id = 5; COMMIT")
        equal(reader.read(), [(name, {"id": 5}, {"id": 5, "v": "b"})], "nothing of what was rolled back, once what was changed twice")
        PG.ask(f"INSERT INTO {t} VALUES (7, 'x'); DELETE FROM {t} WHERE id = 7")
        equal(reader.read(), [], "what came and went was never there")
        PG.ask(f"INSERT INTO {t} VALUES (2, 'up') ON CONFLICT (id) DO UPDATE SET v = excluded.v")
        PG.ask(f"UPDATE {t} SET id = 30 WHERE id = 3")
        equal(sorted(reader.read(), key=str), sorted([(name, {"id": 2}, {"id": 2, "v": "up"}), (name, {"id": 3}, None),
                                                      (name, {"id": 30}, {"id": 30, "v": "three"})], key=str), "a key that moves")
        PG.ask(f"ALTER TABLE {t} DROP CONSTRAINT {t}_pkey; ALTER TABLE {t} ADD PRIMARY KEY (id) DEFERRABLE INITIALLY DEFERRED")
        PG.ask(f"UPDATE {t} SET id = 7 - id WHERE id IN (2, 5)")
        reader.read()
        equal(reader.holds(t), truth(t), "keys that change places in one statement")
        PG.ask(f"TRUNCATE {t}")
        reader.read()
        equal(reader.holds(t), [], "truncated")
        PG.ask(f"BEGIN; INSERT INTO {t} VALUES (1, 'again'), (50, 'x'); TRUNCATE {t}; INSERT INTO {t} VALUES (50, 'behind it'); COMMIT")
        reader.read()
        equal(reader.holds(t), truth(t), "truncated between writes of one transaction")
        only = Reader(c, only=t)
        only.read()
        equal(only.holds(t), truth(t), "one table alone")
        equal(c.get("/changes?table=nothing").status, 404, "a table that is not tracked")
        status = c.get("/status").json()["tracked"]
        equal([item["table"] for item in status["items"]], [name], "status tells of it")
        equal(reader.numbers, sorted(set(reader.numbers)), "numbers only grow")
    equal(pgcheck.check(PG, space), [], "what the independent checker finds")


@test
def a_late_commit_is_never_skipped():
    space, t = next(SPACES), table()
    PG.ask("CREATE DATABASE other")
    PG.ask("CREATE TABLE x(a int)", database="other")
    with Server(PG.url()) as server, PG.session() as first, PG.session() as second, PG.session(database="other") as away:
        c = server.client(space)
        c.put("/docs/first", b"1")
        track(c, t)
        reader = Reader(c)
        away.ask("BEGIN")
        away.ask("INSERT INTO x VALUES(1)")
        [[held]] = away.ask("SELECT txid_current()")
        first.ask("BEGIN")
        first.ask(f"INSERT INTO {t} VALUES (1, 'late')")
        second.ask("BEGIN")
        second.ask(f"INSERT INTO {t} VALUES (2, 'soon')")
        for n in range(3, 10):
            PG.ask(f"INSERT INTO {t} VALUES ({n}, 'at once')")
        equal([key["id"] for _, key, _ in reader.read()], list(range(3, 10)), "open transactions hold back nothing but what is theirs")
        horizon = PG.number("SELECT txid_snapshot_xmin(txid_current_snapshot())")
        check(horizon <= int(held), f"though the oldest is in another database: {horizon}, {held}")
        status = told(c)
        equal(len(status["held"]), 2, f"those that hold back something are named, the one in another database is none: {status}")
        check(all(h["since"] and h["pid"] and h["who"] == "kf" and h["state"] == "idle in transaction" for h in status["held"]), f"{status['held']}")
        second.ask("COMMIT")
        equal([key["id"] for _, key, _ in reader.read()], [2], "then it comes")
        past = reader.after
        PG.ask(f"INSERT INTO {t} VALUES (20, 'between')")
        first.ask("COMMIT")
        equal(sorted(key["id"] for _, key, _ in reader.read()), [1, 20], "a late one is behind what was read")
        check(reader.numbers[-1] > past, "with a number of its own")
        equal(told(c)["held"], [], "nobody holds anything")
        away.ask("COMMIT")

        first.ask("BEGIN")
        first.ask(f"INSERT INTO {t} VALUES (31, 'prepared')")
        first.ask("PREPARE TRANSACTION 'gone fishing'")
        PG.ask(f"INSERT INTO {t} VALUES (32, 'x')")
        equal([key["id"] for _, key, _ in reader.read()], [32], "a prepared one holds back its own")
        held = told(c)["held"]
        equal([(h["who"], h["state"]) for h in held], [("gone fishing", "prepared")], "and is named")
        check(held[0]["since"] and "pid" not in held[0], f"since when: {held}")
        done = run("track", at=PG.url(space))
        check(b"gone fishing" in done.out and b"COMMIT PREPARED" in done.out, f"{done}")
        PG.crash()
        PG.start()
        wait_for(lambda: c.get("/tracked").status == 200, 10)
        equal(reader.read(), [], "still, after a crash")
        PG.ask("COMMIT PREPARED 'gone fishing'")
        equal([key["id"] for _, key, _ in reader.read()], [31], "until it is committed")
        second.close()

        with PG.session() as dies:
            dies.ask("BEGIN")
            dies.ask(f"INSERT INTO {t} VALUES (40, 'never')")
            equal(len(told(c)["held"]), 1, "held")
            dies.kill()
            wait_for(lambda: told(c)["held"] == [], 10)
        equal(reader.read(), [], "who dies has written nothing")
        equal(reader.holds(t), truth(t), "all is known")


@test
def saboteur_track_by_position():
    """Who reads by position loses a late commit, and the test above sees it."""
    space, t = next(SPACES), table()
    with Server(PG.url(), env={"KF_SABOTAGE": "track-by-position"}) as server, PG.session() as late:
        c = server.client(space)
        c.put("/docs/first", b"1")
        track(c, t)
        reader = Reader(c)
        late.ask("BEGIN")
        late.ask(f"INSERT INTO {t} VALUES (1, 'late')")
        for n in range(2, 8):
            PG.ask(f"INSERT INTO {t} VALUES ({n}, 'soon')")
            reader.read()
        late.ask("COMMIT")
        reader.read()
        check(reader.holds(t) != truth(t), "the late one is missed")


@test
def any_history_is_told():
    """Writers with savepoints, rollbacks and naps; readers at two servers, which are killed; a database that crashes."""
    space, tables = next(SPACES), [table("id int PRIMARY KEY, v int"), table("a text, b int, v int, PRIMARY KEY (b, a)")]
    one, two = tables
    seed = int(os.environ.get("SEED", "7"))
    note(f"SEED={seed}")
    run("put", "first", "-", at=PG.url(space), stdin=b"1")
    for t in tables:
        done = run("track", t, at=PG.url(space))
        equal(done.status, 0, f"{done}")
    stop, broken = threading.Event(), []

    def statement(r):
        n, v = r.randrange(40), r.randrange(10 ** 9)
        return r.choice([
            f"INSERT INTO {one} VALUES ({n}, {v}) ON CONFLICT (id) DO UPDATE SET v = excluded.v",
            f"INSERT INTO {two} VALUES ('k{n % 5}', {n}, {v}) ON CONFLICT (a, b) DO UPDATE SET v = excluded.v",
            f"UPDATE {one} SET v = {v} WHERE id BETWEEN {n} AND {n + 3}",
            f"DELETE FROM {one} WHERE id = {n}",
            f"DELETE FROM {two} WHERE b = {n}",
            f"UPDATE {one} SET id = {n + 100} WHERE id = {n} AND NOT EXISTS (SELECT 1 FROM {one} WHERE id = {n + 100})",
            f"UPDATE {one} SET id = {n} WHERE id = {n + 100} AND NOT EXISTS (SELECT 1 FROM {one} WHERE id = {n})",
            f"TRUNCATE {two}" if r.random() < 0.1 else f"UPDATE {two} SET v = {v} WHERE b < {n}",
        ])

    def write(which):
        r = random.Random(seed * 100 + which)
        session = PG.session()
        while not stop.is_set():
            try:
                session.ask("BEGIN")
                for _ in range(r.randrange(1, 5)):
                    if r.random() < 0.3:
                        session.ask("SAVEPOINT s")
                        session.ask(statement(r))
                        if r.random() < 0.5:
                            session.ask("ROLLBACK TO s")
                    else:
                        session.ask(statement(r))
                    time.sleep(r.random() * 0.02)
                if which == 0 and r.random() < 0.2:
                    time.sleep(0.5)
                session.ask("COMMIT" if r.random() < 0.8 else "ROLLBACK")
            except RuntimeError as error:
                if "deadlock" in str(error) or "duplicate key" in str(error):
                    session.ask("ROLLBACK")
                    continue
                session.close()
                while not stop.is_set():
                    try:
                        session = PG.session()
                        session.ask("SELECT 1")
                        break
                    except (RuntimeError, OSError):
                        session.close()
                        time.sleep(0.1)
            except OSError:
                session.close()
                time.sleep(0.1)
                session = PG.session()
        session.close()

    servers = [Server(PG.url()), Server(PG.url())]
    readers = [Reader(servers[0].client(space)), Reader(servers[1].client(space))]

    def read(reader):
        while not stop.is_set():
            try:
                reader.read()
            except AssertionError as error:
                if "503" not in str(error) and "store_unavailable" not in str(error):
                    broken.append(error)
                    return
            except OSError:
                time.sleep(0.1)
            time.sleep(0.03)

    writers = [threading.Thread(target=write, args=(which,)) for which in range(4)]
    reading = [threading.Thread(target=read, args=(readers[0],))]
    for thread in writers + reading:
        thread.start()
    for turn in range(4):
        time.sleep(1.5)
        if turn == 1:
            PG.crash()
            PG.start()
        else:
            os.kill(servers[1].process.pid, signal.SIGKILL)
            servers[1].process.wait()
            servers[1] = Server(PG.url())
            readers[1].client = servers[1].client(space)
            wait_for(lambda: readers[1].client.get("/changes?limit=1").status == 200, 10)
            readers[1].read()
    stop.set()
    for thread in writers + reading:
        thread.join()
    equal(broken, [], "no reader met anything else than a database that is away")
    for reader in readers:
        wait_for(lambda: reader.client.get("/changes?limit=1").status == 200, 10)
        reader.read()
        for t in tables:
            equal(reader.holds(t), truth(t), f"what was told of {t} is what it holds")
        equal(reader.numbers, sorted(set(reader.numbers)), "in the order of their numbers")
    note(f"changes={len(readers[0].numbers)}")
    check(len(readers[0].numbers) > 100, "there was work")
    wait_for(lambda: told(readers[0].client)["waiting"]["count"] == 0, 5)
    journal = PG.ask(f'SELECT count(*), count(DISTINCT seq) FROM "kf_{space}".kf_row')
    numbered = PG.ask(f'SELECT count(*), count(*) FROM "kf_{space}".kf_journal j JOIN "kf_{space}".kf_row r ON r.seq = j.seq AND r.key = j.key')
    equal(journal, numbered, "each row has one number, which the journal has")
    for server in servers:
        equal(server.stop(), 0, "a clean stop")
    equal(pgcheck.check(PG, space), [], "what the independent checker finds")


@test
def the_chief_numbers_by_itself():
    space, t = next(SPACES), table()
    with Server(PG.url()) as one, Server(PG.url()) as two:
        c = one.client(space)
        c.put("/docs/first", b"1")
        two.client(space).get("/docs/first")
        track(c, t)
        count = f'SELECT count(*) FROM "kf_{space}".kf_captured'
        numbered = f'SELECT count(*) FROM "kf_{space}".kf_row'
        PG.ask(f"INSERT INTO {t} SELECT n, 'x' FROM generate_series(1, 3000) n")
        wait_for(lambda: PG.number(count) == 0 and PG.number(numbered) == 3000, 10)
        os.kill(one.process.pid, signal.SIGKILL)
        one.process.wait()
        PG.ask(f"UPDATE {t} SET v = 'y' WHERE id <= 10")
        began = time.monotonic()
        wait_for(lambda: PG.number(count) == 0, 10)
        note(f"taken over after {time.monotonic() - began:.1f} s")
        reader = Reader(two.client(space))
        reader.read()
        equal(reader.holds(t), truth(t), "and the other one after it")


@test
def a_table_that_is_made_again():
    space, t = next(SPACES), table(rows="(1, 'a'), (2, 'b')")
    with Server(PG.url()) as server:
        c = server.client(space)
        c.put("/docs/first", b"1")
        track(c, t)
        reader = Reader(c)
        reader.read()

        PG.ask(f"DROP TABLE {t}; CREATE TABLE {t}(id int PRIMARY KEY, v text, w int); INSERT INTO {t} VALUES (2, 'B', 1), (3, 'C', 2)")
        reader.read()
        equal(reader.holds(t), truth(t), "what it holds now, and nothing of before")
        PG.ask(f"INSERT INTO {t} VALUES (4, 'D', 3)")
        equal(len(reader.read()), 1, "and is followed")

        PG.ask(f"DROP TABLE {t}")
        wait_for(lambda: state_of(c, t) == "missing", 5)
        equal(reader.read(), [], "a table that is not there tells nothing")
        PG.ask(f"CREATE TABLE {t}(id text PRIMARY KEY)")
        PG.ask(f"INSERT INTO {t} VALUES ('x')")
        wait_for(lambda: state_of(c, t) == "on", 5)
        reader.read()
        equal(reader.holds(t), truth(t), "another key")

        PG.ask(f"CREATE TABLE {t}_new(id text PRIMARY KEY); INSERT INTO {t}_new VALUES ('y')")
        PG.ask(f"BEGIN; ALTER TABLE {t} RENAME TO {t}_old; ALTER TABLE {t}_new RENAME TO {t}; COMMIT")
        PG.ask(f"INSERT INTO {t} VALUES ('z'); INSERT INTO {t}_old VALUES ('no')")
        wait_for(lambda: (reader.read(), reader.holds(t) == truth(t))[1], 5)
        equal(reader.holds(t), truth(t), "tables that have changed names: the one of this name counts")

        PG.ask(f"ALTER TABLE {t} DISABLE TRIGGER ALL; INSERT INTO {t} VALUES ('past'); ALTER TABLE {t} ENABLE TRIGGER ALL")
        reader.read()
        equal(reader.holds(t), truth(t), "what was loaded with triggers off, as pg_restore does")
        PG.ask(f"ALTER TABLE {t} DISABLE TRIGGER ALL")
        wait_for(lambda: state_of(c, t) == "off", 5)
        PG.ask(f"INSERT INTO {t} VALUES ('past too'); DELETE FROM {t} WHERE id = 'past'")
        PG.ask(f"ALTER TABLE {t} ENABLE TRIGGER ALL")
        wait_for(lambda: state_of(c, t) == "on", 5)
        reader.read()
        equal(reader.holds(t), truth(t), "and for longer")
        PG.ask(f"ALTER TABLE {t} ADD COLUMN w int DEFAULT 5")
        reader.read()
        equal(reader.holds(t), truth(t), "a new column")
        PG.ask(f"ALTER TABLE {t} ALTER COLUMN w TYPE bigint USING w * 2")
        reader.read()
        equal(reader.holds(t), truth(t), "a column that was made anew")
        PG.ask(f"ALTER TABLE {t} DROP CONSTRAINT {PG.ask(f'''SELECT conname FROM pg_constraint WHERE conrelid = '{t}'::regclass AND contype = 'p' ''')[0][0]}")
        wait_for(lambda: state_of(c, t) == "unfit", 5)
        check("primary key" in [item for item in told(c)["items"]][0]["detail"], "it says why")
        PG.ask(f"ALTER TABLE {t} ADD PRIMARY KEY (id)")
        wait_for(lambda: state_of(c, t) == "on", 5)
        reader.read()
        equal(reader.holds(t), truth(t), "a key again")


@test
def what_went_is_told_behind_a_restore():
    """A restore takes the store's numbers, not the tables: who was behind hears of what went before it, while it was made and behind it."""
    space, t = next(SPACES), table(rows="(1, 'a'), (2, 'b'), (3, 'c'), (4, 'd'), (5, 'e')")
    at, archive, schema = PG.url(space), str(folder() / "back.zip"), f'"kf_{space}"'
    equal(run("put", "first", "-", at=at, stdin=b"1").status, 0, "put")
    equal(run("backup", archive, at=at).status, 0, "a backup")
    equal(run("track", t, at=at).status, 0, "track")

    def read(after):
        done = run("changes", "--after", str(after), "--json", at=at)
        equal(done.status, 0, f"{done}")
        return json.loads(done.out)["items"]

    def gone(items):
        return sorted(item["key"]["id"] for item in items if item["row"] is None)

    behind = read(0)[-1]["n"]
    PG.ask(f"DELETE FROM {t} WHERE id = 1")
    equal(gone(read(behind)), [1], "one has its number before the restore")
    PG.ask(f"DELETE FROM {t} WHERE id = 2")
    # A pass that is under way begins again: what it has numbered lost its number, too.
    PG.ask(f"UPDATE {schema}.kf_tracked SET state = 'refill', place = '{{\"id\": 4}}'")
    for turn in range(2):
        done = run("restore", archive, "--replace", at=at)
        equal(done.status, 0, f"restored: {done}")
        equal(PG.number(f"SELECT count(*) FROM {schema}.kf_row WHERE seq > 0"), 0, "no number of before is left")
    PG.ask(f"DELETE FROM {t} WHERE id = 3")
    items = read(behind)
    equal(gone(items), [1, 2, 3], f"all that went: {items}")
    equal(sorted(item["key"]["id"] for item in items if item["row"]), [4, 5], f"and all that is there, each once: {items}")
    equal([item["n"] for item in items], sorted(item["n"] for item in items), "in their order")
    equal(gone(read(0)), [1, 2, 3], "also to who begins")
    equal(read(items[-1]["n"]), [], "and that was all")
    equal(pgcheck.check(PG, space), [], "what the independent checker finds")


@test
def keys_and_names_of_all_kinds():
    space = next(SPACES)
    PG.ask('CREATE SCHEMA "My Schema"')
    PG.ask("""CREATE TABLE "My Schema"."T""x%s$kf$"("a ""b'%I" timestamptz, t text, wanted bytea, u uuid, n numeric, f float8, PRIMARY KEY
           ("a ""b'%I", t, wanted, u, n, f))""")
    name = '"My Schema"."T""x%s$kf$"'
    row = "INSERT INTO {} VALUES ('2026-01-02 03:04:05.678+05', E'x''\\n{}', '\\x00ff', '00000000-0000-0000-0000-000000000001', 1.50, 0.1)"
    with Server(PG.url()) as server, PG.session() as other:
        c = server.client(space)
        c.put("/docs/first", b"1")
        answer = c.ask("PUT", "/tracked/" + quoted(name).replace("%s", "%25s"))
        equal(answer.status, 201, f"{answer}")
        other.ask("SET TimeZone TO 'Asia/Tokyo'; SET DateStyle TO 'German'; SET bytea_output TO 'escape'; SET extra_float_digits TO -10")
        other.ask(row.format(name, "a"))
        PG.ask(row.format(name, "b" * 3000))
        found = Reader(c).read()
        equal(len(found), 2, f"{found}")
        equal({item[0] for item in found}, {name}, "its name as SQL writes it")
        equal(found[0][1], {'a "b\'%I': "2026-01-01 22:04:05.678+00", "t": "x'\na", "wanted": "\\x00ff",
                            "u": "00000000-0000-0000-0000-000000000001", "n": 1.50, "f": "0.1"}, "a key looks alike whatever a session has set")
        check(all(item[2] for item in found), "and finds its row")
        other.ask(f"DELETE FROM {name} WHERE length(t) < 10")
        reader = Reader(c)
        reader.read()
        equal(len(reader.rows), 1, "what went from another session is gone")
        PG.ask(f"TRUNCATE {name}")
        reader.read()
        equal(reader.rows, {}, "all of it")


@test
def who_writes_needs_no_rights_here():
    space, t = next(SPACES), table()
    PG.ask("CREATE ROLE clerk LOGIN")
    PG.ask("CREATE ROLE keeper LOGIN")
    PG.ask("GRANT CREATE ON DATABASE postgres TO keeper")
    PG.ask(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {t} TO clerk")
    with Server(PG.url(user="keeper")) as server:
        c = server.client(space)
        c.put("/docs/first", b"1")
        answer = c.ask("PUT", f"/tracked/{t}")
        check(answer.code == "config" and "GRANT" in answer.json()["detail"], f"without the right to: {answer}")
        PG.ask(f"GRANT SELECT, TRIGGER ON {t} TO keeper")
        track(c, t)
        PG.ask(f"INSERT INTO {t} VALUES (1, 'by a clerk')", user="clerk")
        equal(len(Reader(c).read()), 1, "told")
        try:
            PG.ask(f'INSERT INTO "kf_{space}".kf_captured(tracked, xid, at, what, key) VALUES (1, 1, 1, \'p\', \'{{}}\')', user="clerk")
            check(False, "a clerk wrote into our tables")
        except RuntimeError as error:
            check("permission denied" in str(error), f"{error}")
        clerk = PG.session(user="clerk")
        clerk.ask("BEGIN")
        clerk.ask(f"INSERT INTO {t} VALUES (2, 'x')")
        held = told(c)["held"]
        equal([h["who"] for h in held], ["clerk"], "who holds back is told, as far as our role may see")
        clerk.close()
        equal(c.delete(f"/tracked/{t}").status, 204, "untracked by who does not own the table")
        equal(PG.number(f"SELECT count(*) FROM pg_trigger WHERE tgrelid = '{t}'::regclass"), 0, "its triggers are gone")


@test
def tables_of_the_configuration():
    space, t, later = next(SPACES), table(rows="(1, 'a')"), next(TABLES)
    with Server(PG.url(), f"spaces: {{ {space}: {{ track: [{t}, {later}] }} }}\n") as server:
        c = server.client(space)
        wait_for(lambda: state_of(c, t) == "on", 10)
        equal(len(Reader(c).read()), 1, "tracked from the start")
        wait_for(lambda: "track.failed" in server.stderr() and later in server.stderr(), 5)
        PG.ask(f"CREATE TABLE {later}(id int PRIMARY KEY)")
        wait_for(lambda: state_of(c, later) == "on", 40)
    file, place = folder() / "keepfast.yaml", str(folder() / "x.db")
    file.write_text(f"spaces: {{ default: {{ track: {t} }} }}\n")
    done = run("get", "a", "--config", str(file), at=place)
    check(done.status == 3 and b"PostgreSQL" in done.err, f"of a file it is refused: {done}")


@test
def what_cannot_be_tracked_is_refused():
    space = next(SPACES)
    plain = table("a int")
    PG.ask("CREATE VIEW a_view AS SELECT 1 AS id")
    PG.ask("CREATE UNLOGGED TABLE fast(id int PRIMARY KEY)")
    PG.ask("CREATE TABLE parted(id int PRIMARY KEY) PARTITION BY RANGE (id)")
    PG.ask("CREATE TABLE part_one PARTITION OF parted FOR VALUES FROM (0) TO (100)")
    with Server(PG.url()) as server:
        c = server.client(space)
        c.put("/docs/first", b"1")
        for name, status, words in ((plain, 400, "primary key"), ("a_view", 400, "no table"), ("fast", 400, "LOGGED"), ("parted", 400, "partitions"),
                                    ("nothing", 404, "no such table"), ("a.b.c", 404, "no such table"), ("''", 404, "no such table"), ("x" * 300, 400, "bytes"),
                                    (f"kf_{space}.kf_doc", 400, "belongs"), ("pg_catalog.pg_class", 400, "belongs")):
            answer = c.ask("PUT", f"/tracked/{name}")
            check(answer.status == status and words in answer.json()["detail"], f"{name}: {answer}")
        equal(told(c)["items"], [], "nothing is tracked")
        equal(c.get("/changes").json(), {"last": 1, "items": [], "next": None}, "nor told")
        equal(c.delete("/tracked/nothing").status, 404, "what is not tracked cannot be forgotten")
        track(c, "part_one")
        PG.ask("INSERT INTO parted VALUES (7)")
        equal([key["id"] for _, key, _ in Reader(c).read()], [7], "a partition, written through what it is a part of")
        track(c, "part_one", 200)
    beside = str(folder() / "x.db")
    run("put", "a", "-", at=beside, stdin=b"1")
    done = run("track", "t", at=beside)
    check(done.status == 11 and b"PostgreSQL" in done.err, f"{done}")
    equal(run("track", at=beside).status, 0, "a file has none")


@test
def forgotten_and_tracked_again():
    space, t = next(SPACES), table()
    at = PG.url(space)
    PG.ask(f"INSERT INTO {t} SELECT n, 'x' FROM generate_series(1, 1200) n")
    equal(run("put", "first", "-", at=at, stdin=b"1").status, 0, "put")
    done = run("track", t, at=at)
    equal(done.status, 0, f"{done}")
    done = run("changes", "--json", at=at)
    equal((done.status, len(json.loads(done.out)["items"])), (0, 1200), "all of its rows, without a server")
    last = json.loads(done.out)["last"]  # of the second of two pages
    equal(last, json.loads(done.out)["items"][-1]["n"], "where who reads on begins")
    equal(run("put", "second", "-", at=at, stdin=b"1").status, 0, "a number that is no change")
    equal(json.loads(run("changes", "--after", str(last), "--json", at=at).out), {"items": [], "last": last + 1, "next": None}, "nothing behind it")
    PG.ask(f"DELETE FROM {t} WHERE id > 2; UPDATE {t} SET v = 'y' WHERE id = 1")
    done = run("changes", t, "--after", str(last), at=at)
    equal((done.status, done.out.count(b"gone"), done.out.count(b'"v":"y"')), (0, 1198, 1), "changes as a table")
    done = run("track", at=at)
    check(f"public.{t}".encode() in done.out and b" on " in done.out, f"{done}")
    done = run("untrack", f"public.{t}", at=at)
    equal(done.status, 0, f"{done}")
    schema = f'"kf_{space}"'
    for sql in (f"SELECT count(*) FROM {schema}.kf_row", f"SELECT count(*) FROM {schema}.kf_tracked", f"SELECT count(*) FROM {schema}.kf_captured",
                f"SELECT count(*) FROM {schema}.kf_journal WHERE tbl LIKE '%.%'", f"SELECT count(*) FROM pg_trigger WHERE tgrelid = '{t}'::regclass"):
        equal(PG.number(sql), 0, sql)
    PG.ask(f"INSERT INTO {t} VALUES (9, 'unseen')")
    equal(run("track", t, at=at).status, 0, "again")
    equal(len(json.loads(run("changes", "--json", at=at).out)["items"]), 3, "from the beginning")
    with PG.session() as other:
        other.ask("BEGIN")
        other.ask(f"LOCK TABLE {t}")
        began = time.monotonic()
        done = run("untrack", t, at=at)
        check(done.status != 0 and time.monotonic() - began < 40, f"a table that is held: {done}")
        other.ask("COMMIT")
    equal(run("untrack", t, at=at).status, 0, "and then")
    equal(run("verify", at=at).status, 0, "the store is in order")


if __name__ == "__main__":
    try:
        main()
    finally:
        PG.close()

#!/usr/bin/env python3
# test: timeout=400
"""Tracked tables from the side of who looks after them: following changes through what happens to servers, database and network; what the
doctor, the numbers for Prometheus and the lists say; what a configuration names; who may."""

import json
import os
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.environ.get("KF_TOP", "."), "tests"))
from doctored import SHOWN, at_time, finds, finds_no  # noqa: E402
from faultproxy import FaultProxy  # noqa: E402
from keepfast import PROGRAM, Server, folder, run, wait_for  # noqa: E402
from pg import Cluster  # noqa: E402
from tap import check, equal, main, note, test  # noqa: E402

TOP = folder()
PG = Cluster(tcp=True, settings=["max_prepared_transactions=10"])
SPACES = iter(f"c{n}" for n in range(1, 1000))
TABLES = iter(f"k{n}" for n in range(1, 1000))
FLOOR = 8  # findings that were made to happen


def table(columns="id int PRIMARY KEY, v text", rows=""):
    name = next(TABLES)
    PG.ask(f"CREATE TABLE {name}({columns})")
    if rows:
        PG.ask(f"INSERT INTO {name} VALUES {rows}")
    return name


def ok(*words, **kw):
    done = run(*words, **kw)
    equal(done.status, 0, f"{words}: {done}")
    return done


def made(tables=1, **kw):
    """A space with tracked tables, made by commands: nobody looks after it."""
    space = next(SPACES)
    names = [table(**kw) for _ in range(tables)]
    ok("put", "first", "-", at=PG.url(space), stdin=b"1")
    for name in names:
        ok("track", name, at=PG.url(space))
    return space, *names


# ------------------------------------------------------------------------------------- following


class Following:
    """keepfast changes -f --json; `at` is a place."""

    def __init__(self, at, *words):
        self.out = open(TOP / f"followed-{time.monotonic_ns()}", "w+b")
        self.process = subprocess.Popen([PROGRAM, "changes", *words, "-f", "--json", "--at", at], stdin=subprocess.DEVNULL, stdout=self.out,
                                        stderr=subprocess.PIPE)

    def seen(self):
        with open(self.out.name, "rb") as file:
            return [json.loads(line) for line in file.read().splitlines(keepends=True) if line.endswith(b"\n")]

    def keys(self):
        return [item["key"]["id"] for item in self.seen()]

    def end(self):
        self.process.terminate()
        _, said = self.process.communicate(timeout=20)
        self.out.close()
        return said.decode()


def same(seen, wanted):
    """Each once, in the order of their numbers."""
    numbers = [item["n"] for item in seen]
    equal(numbers, sorted(set(numbers)), "numbers that grow")
    equal(sorted(item["key"]["id"] for item in seen), wanted, "each once")


@test
def following_goes_on_through_restarts():
    space, t = made(rows="(1, 'a'), (2, 'b')")
    server = Server(PG.url())
    port = server.address.rsplit(":", 1)[1]
    # An address that stays the same while servers come and go behind it.
    with FaultProxy(("127.0.0.1", int(port))) as proxy:
        far = Following(f"http://127.0.0.1:{proxy.port}/{space}")
        near = Following(PG.url(space))
        wait_for(lambda: far.keys() == [1, 2] and near.keys() == [1, 2], 30)
        wanted, n = [1, 2], 3
        for turn in range(4):
            PG.ask(f"INSERT INTO {t} SELECT n, 'x' FROM generate_series({n}, {n + 4}) n")
            wanted, n = wanted + list(range(n, n + 5)), n + 5
            if turn == 0:  # the server dies and another one comes
                server.kill()
                time.sleep(0.5)
                server = Server(PG.url(), arguments=["--listen", f"127.0.0.1:{port}"])
            elif turn == 1:  # PostgreSQL does
                PG.crash()
                time.sleep(7)  # both have asked meanwhile
                PG.start()
            elif turn == 2:  # the network does
                proxy.stall(down=0)  # nothing moves any more in what is new, and nobody is told
                time.sleep(7)  # the request that waited then has been answered
                PG.ask(f"INSERT INTO {t} VALUES ({n}, 'unseen')")
                wanted, n = wanted + [n], n + 1
                time.sleep(25)  # longer than silence is believed
                proxy.pass_on()
            PG.ask(f"INSERT INTO {t} VALUES ({n}, 'behind it')")
            wanted, n = wanted + [n], n + 1
            wait_for(lambda: len(far.keys()) >= len(wanted) and len(near.keys()) >= len(wanted), 60)
        time.sleep(1.5)
        same(far.seen(), wanted)
        same(near.seen(), wanted)
        check(far.process.poll() is None and near.process.poll() is None, "both go on")
        said = far.end()
        check("waiting" in near.end() and "the connection to" in said and "did not answer within 20 s; waiting" in said, f"they have said so: {said}")
    server.stop()


@test
def following_from_a_number_and_of_a_table():
    space, one, two = made(tables=2, rows="(1, 'a')")
    last = json.loads(ok("changes", "--json", at=PG.url(space)).out)["items"][-1]["n"]
    follow = Following(PG.url(space), two, "--after", str(last))
    time.sleep(1)
    PG.ask(f"INSERT INTO {one} VALUES (7, 'other')")
    PG.ask(f"INSERT INTO {two} VALUES (8, 'this')")
    PG.ask(f"DELETE FROM {two} WHERE id = 1")
    wait_for(lambda: len(follow.seen()) == 2, 20)
    equal([(item["table"], item["key"]["id"], item["row"] and item["row"]["v"]) for item in follow.seen()],
          [(f"public.{two}", 8, "this"), (f"public.{two}", 1, None)], "of one table, behind a number")
    follow.end()
    people = subprocess.Popen([PROGRAM, "changes", two, "-f", "--at", PG.url(space)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    lines = [people.stdout.readline().decode() for _ in range(2)]
    check(re.match(rf"\d+ public\.{two} {{\"id\": 8}}, .*: {{\"id\":8,\"v\":\"this\"}}", lines[0]), f"for people: {lines}")
    check(lines[1].endswith(": gone\n"), f"and what is gone: {lines}")
    people.stdout.close()
    PG.ask(f"INSERT INTO {two} VALUES (9, 'nobody')")
    equal(people.wait(20), 141, "nobody reads any more")
    equal(run("changes", "nothing", "-f", at=PG.url(space)).status, 1, "a table that is not tracked")
    equal(run("changes", "-f", at=str(TOP / "file.db")).status, 1, "a store that is not there")
    equal(run("changes", "-f", "--after", "soon", at=PG.url(space)).status, 2, "no number")


@test
def another_life_of_a_space_is_seen():
    space, t = made(rows="(1, 'a'), (2, 'b')")
    for n in range(20):
        ok("put", f"d{n}", "-", at=PG.url(space), stdin=b"1")
    done = run("changes", "--after", "100000", at=PG.url(space))
    check(done.status == 11 and b"after=0" in done.err, f"a number that there never was: {done}")
    with Server(PG.url()) as server:
        follow = Following(f"http://{server.address}/{space}")
        wait_for(lambda: follow.keys() == [1, 2], 20)
        follow.process.send_signal(signal.SIGSTOP)
        time.sleep(6)  # its request has been answered
        equal(server.client(space).delete(f"/v1/{space}?confirm={space}", raw=True).status, 204, "removed")
        c = server.client(space)
        c.put("/docs/first", b"1")
        equal(c.ask("PUT", f"/tracked/{t}").status, 201, "tracked again")
        follow.process.send_signal(signal.SIGCONT)
        wait_for(lambda: follow.keys() == [1, 2, 1, 2], 30)
        check("begun anew" in follow.end(), "it says so")
        server.stop()


@test
def requests_wait_for_a_change():
    space, t = made(rows="(1, 'a')")
    with Server(PG.url()) as server, Server(PG.url()) as other:
        c = server.client(space)
        last = c.get("/changes").json()["last"]
        began = time.monotonic()
        page = c.get(f"/changes?after={last}&follow=2s").json()
        equal((page["items"], page["next"]), ([], None), "nothing comes")
        check(time.monotonic() - began >= 2, "and it has waited")
        PG.ask(f"INSERT INTO {t} VALUES (2, '{{\"items\":[]}}')")
        began = time.monotonic()
        page = c.get(f"/changes?after={page['last']}&follow=60s").json()
        equal([item["key"]["id"] for item in page["items"]], [2], "what is there is told at once")
        for n in range(3, 6):
            waiting = subprocess.Popen(["curl", "-sSf", f"http://{other.address}/v1/{space}/changes?after={page['last']}&follow=60s"], stdout=subprocess.PIPE)
            time.sleep(0.3)
            PG.ask(f"INSERT INTO {t} VALUES ({n}, 'x')")
            page = json.loads(waiting.communicate(timeout=20)[0])
            equal([item["key"]["id"] for item in page["items"]], [n], "what comes is told when it comes")
        check(time.monotonic() - began < 50, "in time")
        for query in ("follow=10s", "after=1&follow=0s", "after=1&follow=61s"):
            answer = c.get(f"/changes?{query}")
            equal((answer.status, answer.code), (400, "bad_filter"), query)
        waiting = subprocess.Popen(["curl", "-sS", f"http://{server.address}/v1/{space}/changes?after={page['last']}&follow=60s"], stdout=subprocess.PIPE)
        time.sleep(0.5)
        began = time.monotonic()
        equal(server.stop(), 0, "a stop")
        equal(json.loads(waiting.communicate(timeout=20)[0])["items"], [], "it is told that there is nothing")
        check(time.monotonic() - began < 10, "soon")


# ------------------------------------------------------------------------------------- what is found


@test
def a_healthy_space_has_no_finding():
    space, t = made(rows="(1, 'a')")
    PG.ask(f"INSERT INTO {t} VALUES (2, 'b')")
    finds_no(PG.url(space), *[code for code in ("missing", "off", "unfit", "changed", "not_there", "waiting", "held", "repaired")
                              for code in (f"track_{code}",)])


@test
def what_somebody_did_to_a_table():
    """Each is found before anybody has looked, is put right by a look, and is told of afterwards."""
    for words, what in (
            ("DROP TRIGGER {row} ON {t}", "taken away"),
            ("DROP TRIGGER {row} ON {t}; CREATE TRIGGER {row} AFTER INSERT ON {t} FOR EACH ROW EXECUTE FUNCTION {f}", "made anew by somebody else"),
            ("CREATE OR REPLACE TRIGGER {row} AFTER INSERT OR UPDATE OR DELETE ON {t} FOR EACH ROW WHEN (pg_trigger_depth() > 5)"
             " EXECUTE FUNCTION {f}", "made anew by somebody else"),
            ("CREATE OR REPLACE FUNCTION {f} RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'", "function"),
            ("ALTER TABLE {t} ALTER COLUMN v TYPE varchar(9)", "other types"),
            ("ALTER TABLE {t} ALTER COLUMN id TYPE bigint", "primary key"),
            ("ALTER TABLE {t} DISABLE TRIGGER ALL; ALTER TABLE {t} ENABLE TRIGGER ALL", "switched off and on"),
            ("ALTER TABLE {t} RENAME TO {t}_old; CREATE TABLE {t}(id int PRIMARY KEY, v text)", "another table has the name")):
        space, t = made(rows="(1, 'a')")
        schema = f"kf_{space}"
        [[row]] = PG.ask(f"SELECT tgname FROM pg_trigger WHERE tgrelid = '{t}'::regclass AND tgname LIKE '%_row'")
        [[number]] = PG.ask(f'SELECT id FROM "{schema}".kf_tracked')
        PG.ask(words.format(row=row, t=t, f=f'"{schema}".kf_capture_{number}()'))
        finds(PG.url(space), "track_changed", t, what, level="warning")
        PG.ask(f"INSERT INTO {t} VALUES (3, 'past it'); UPDATE {t} SET v = 'b' WHERE id = 3")
        items = json.loads(ok("changes", "--json", at=PG.url(space)).out)["items"]
        equal([item["row"]["v"] for item in items if item["key"]["id"] == 3], ["b"], f"{words}: it is told of")
        PG.ask(f"UPDATE {t} SET v = 'c' WHERE id = 3")
        items = json.loads(ok("changes", "--after", str(items[-1]["n"]), "--json", at=PG.url(space)).out)["items"]
        equal([item["row"]["v"] for item in items], ["c"], f"{words}: and followed again")
        finds_no(PG.url(space), "track_changed")
        finds(PG.url(space), "track_repaired", t, what, level="note")


@test
def a_key_that_grows():
    """What the old type could not hold is told of, too."""
    space, t = made(rows="(1, 'a')")
    last = json.loads(ok("changes", "--json", at=PG.url(space)).out)["items"][-1]["n"]
    PG.ask(f"ALTER TABLE {t} ALTER COLUMN id TYPE bigint")
    PG.ask(f"INSERT INTO {t} SELECT n, 'large' FROM generate_series(5000000000, 5000001100) n")
    items = json.loads(ok("changes", "--after", str(last), "--json", at=PG.url(space)).out)["items"]
    equal(len(items), 1102, "all of its rows")
    check(all(item["row"] for item in items), f"each with what it is: {[item for item in items if not item['row']][:2]}")


@test
def tables_that_stand_still():
    space, gone, off, key, fine = made(tables=4, rows="(1, 'a')")
    with Server(PG.url()) as server:
        c = server.client(space)
        PG.ask(f"ALTER TABLE {gone} RENAME TO {gone}_away")
        PG.ask(f"ALTER TABLE {off} DISABLE TRIGGER ALL")
        PG.ask(f"ALTER TABLE {key} DROP CONSTRAINT {key}_pkey")
        state = lambda: {item["table"]: item["state"] for item in c.get("/tracked").json()["items"]}
        wanted = {f"public.{gone}": "missing", f"public.{off}": "off", f"public.{key}": "unfit", f"public.{fine}": "on"}
        wait_for(lambda: state() == wanted, 10)
        finds(PG.url(space), "track_missing", gone, f"{gone}_away", level="error")
        finds(PG.url(space), "track_off", off, "ENABLE TRIGGER", level="error")
        finds(PG.url(space), "track_unfit", key, "primary key", level="error")
        check({"track_missing", "track_off", "track_unfit"} <= {i["code"] for i in c.get("/doctor").json()["items"]}, "over HTTP")
        said = run("track", at=PG.url(space)).out.decode()
        check(f"is public.{gone}_away now" in said, f"and track says it: {said}")
        said = run("status", at=PG.url(space)).out.decode()
        check("4 tracked tables" in said and f"public.{off}: off, its triggers" in said and f"public.{fine}" not in said, f"and the status: {said}")
        text = c.ask("GET", "/metrics", raw=True).body.decode()
        check(f'keepfast_tracked_tables_stopped{{space="{space}"}} 3' in text and f'keepfast_tracked_tables{{space="{space}"}} 4' in text, "in numbers")
        PG.ask(f"ALTER TABLE {gone}_away RENAME TO {gone}; ALTER TABLE {off} ENABLE TRIGGER ALL; ALTER TABLE {key} ADD PRIMARY KEY (id)")
        wait_for(lambda: set(state().values()) == {"on"}, 10)
        finds_no(PG.url(space), "track_missing", "track_off", "track_unfit", "track_changed")
        server.stop()


@test
def a_table_that_cannot_be_put_right():
    """It is told of, and holds up none of the others; when it can be, it is, and misses nothing."""
    space, bad, fine = made(tables=2, rows="(1, 'a')")
    PG.ask(f"""CREATE FUNCTION forbid() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
           IF EXISTS(SELECT 1 FROM pg_event_trigger_ddl_commands() WHERE object_identity LIKE '% on public.{bad}') THEN
           RAISE 'the owner allows no triggers'; END IF; END $$;
           CREATE EVENT TRIGGER forbids ON ddl_command_end WHEN TAG IN ('CREATE TRIGGER') EXECUTE FUNCTION forbid()""")
    with Server(PG.url()) as server:
        c = server.client(space)
        last = c.get("/changes").json()["last"]
        [[row]] = PG.ask(f"SELECT tgname FROM pg_trigger WHERE tgrelid = '{bad}'::regclass AND tgname LIKE '%_row'")
        PG.ask(f"DROP TRIGGER {row} ON {bad}; INSERT INTO {bad} VALUES (2, 'past it'); INSERT INTO {fine} VALUES (2, 'b')")
        page = c.get(f"/changes?after={last}").json()
        equal([(i["table"], i["key"]["id"]) for i in page["items"]], [(f"public.{fine}", 2)], "the other one goes on, for who reads")
        [item] = [i for i in c.get("/tracked").json()["items"] if i["table"] == f"public.{bad}"]
        check(item["state"] == "unfit" and "the owner allows no triggers" in item["detail"], f"and the list says why: {item}")
        finds(PG.url(space), "track_unfit", bad, "the owner allows no triggers", level="error")
        finds_no(PG.url(space), "track_changed")
        PG.ask(f"INSERT INTO {fine} SELECT n, 'c' FROM generate_series(3, 1500) n")
        wait_for(lambda: PG.number(f'SELECT count(*) FROM "kf_{space}".kf_captured') == 0, 10)  # the chief does, too
        equal(c.get("/changes").status, 200, "nobody who reads is told of a failure")
        PG.ask("DROP EVENT TRIGGER forbids; DROP FUNCTION forbid()")
        wait_for(lambda: {i["state"] for i in c.get("/tracked").json()["items"]} == {"on"}, 30)
        page = c.get(f"/changes?after={last}&table={bad}").json()
        equal([i["key"]["id"] for i in page["items"]], [1, 2], "all of its rows, when it can be put right")
        finds_no(PG.url(space), "track_unfit")
        server.stop()


@test
def a_table_that_cannot_be_read():
    """A page that fails by the table leaves it where it is, and the others go on."""
    PG.ask("CREATE TYPE pair AS (a int); CREATE FUNCTION shown(pair) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN '(' || ($1).a || ')'; END $$;"
           "CREATE CAST (pair AS text) WITH FUNCTION shown(pair)")
    space, bad, fine = next(SPACES), table(columns="id pair PRIMARY KEY"), table(rows="(1, 'a')")
    at = PG.url(space)
    PG.ask(f"INSERT INTO {bad} SELECT ROW(n)::pair FROM generate_series(1, 1200) n")
    ok("put", "first", "-", at=at, stdin=b"1")
    for name in (bad, fine):
        ok("track", name, at=at)
    last = json.loads(ok("changes", "--json", at=at).out)["items"][-1]["n"]
    PG.ask("CREATE OR REPLACE FUNCTION shown(pair) RETURNS text LANGUAGE plpgsql AS"
           " $$ BEGIN IF ($1).a = 1100 THEN RAISE 'not this one'; END IF; RETURN '(' || ($1).a || ')'; END $$")
    PG.ask(f"ALTER TABLE {bad} ADD COLUMN w int; INSERT INTO {fine} VALUES (2, 'b')")
    done = run("changes", fine, "--after", str(last), "--json", at=at)
    equal([i["key"]["id"] for i in json.loads(done.out)["items"]], [2], f"{done}")
    [item] = [i for i in json.loads(run("track", "--json", at=at).out)["items"] if i["table"] == f"public.{bad}"]
    check(item["state"] == "refill" and "not this one" in item["detail"], f"the list says why it does not go on: {item}")
    finds(at, "track_unfit", bad, "not this one", level="error")
    PG.ask("CREATE OR REPLACE FUNCTION shown(pair) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN '(' || ($1).a || ')'; END $$")
    wait_for(lambda: [run("changes", at=at), {i["state"] for i in json.loads(run("track", "--json", at=at).out)["items"]}][1] == {"on"}, 30)
    items = json.loads(ok("changes", bad, "--after", str(last), "--json", at=at).out)["items"]
    equal(len(items), 1200, "then from where it was, each of its rows once")
    finds_no(at, "track_unfit")


@test
def the_reason_is_the_present_one():
    space, t = made(rows="(1, 'a')")
    state = lambda: [(i["state"], i["detail"]) for i in json.loads(run("track", "--json", at=PG.url(space)).out)["items"]][0]
    PG.ask(f"ALTER TABLE {t} DROP CONSTRAINT {t}_pkey")
    ok("changes", at=PG.url(space))
    check(state()[0] == "unfit" and "primary key" in state()[1], f"{state()}")
    PG.ask(f"ALTER TABLE {t} SET UNLOGGED; ALTER TABLE {t} ADD PRIMARY KEY (id)")
    finds(PG.url(space), "track_changed", t)
    ok("changes", at=PG.url(space))
    check(state()[0] == "unfit" and "unlogged" in state()[1], f"another one by now: {state()}")
    finds(PG.url(space), "track_unfit", t, "SET LOGGED")
    PG.ask(f"ALTER TABLE {t} SET LOGGED")
    ok("changes", at=PG.url(space))
    equal(state(), ("on", ""), "in order again")


@test
def rows_that_are_hidden_are_not_gone():
    """Row-level security that hides rows from our role: the table is unfit, and nothing of it is told as gone."""
    if not PG.ask("SELECT 1 FROM pg_roles WHERE rolname = 'warden'"):
        PG.ask("CREATE ROLE warden LOGIN; GRANT CREATE ON DATABASE postgres TO warden")
    space, t, u = next(SPACES), table(rows="(1, 'a'), (2, 'b')"), table(rows="(1, 'a')")
    at = PG.url(space, user="warden")
    PG.ask(f"GRANT SELECT, TRIGGER ON {t}, {u} TO warden; ALTER TABLE {u} ENABLE ROW LEVEL SECURITY")
    ok("put", "first", "-", at=at, stdin=b"1")
    ok("track", t, at=at)
    done = run("track", u, at=at)
    check(done.status == 3 and b"row-level security" in done.err and b"BYPASSRLS" in done.err, f"one that has it is refused: {done}")
    last = json.loads(ok("changes", "--json", at=at).out)["items"][-1]["n"]
    state = lambda: [(i["state"], i["detail"]) for i in json.loads(run("track", "--json", at=at).out)["items"]][0]
    read = lambda: json.loads(ok("changes", "--after", str(last), "--json", at=at).out)["items"]
    PG.ask(f"ALTER TABLE {t} ENABLE ROW LEVEL SECURITY; CREATE POLICY part ON {t} USING (id <> 2)")
    PG.ask(f"UPDATE {t} SET v = 'B' WHERE id = 2; TRUNCATE {u}; ALTER TABLE {t} ADD COLUMN w int")
    equal(read(), [], "what cannot be seen is not told")
    check(state()[0] == "unfit" and "BYPASSRLS" in state()[1], f"{state()}")
    finds(at, "track_unfit", t, "row-level security", level="error")
    PG.ask("ALTER ROLE warden BYPASSRLS")
    equal([(i["key"]["id"], i["row"]["v"]) for i in read()], [(1, "a"), (2, "B")], "then all of its rows, and none is gone")
    PG.ask("ALTER ROLE warden NOBYPASSRLS")
    # A look at a row between the two: it fails, and is not taken for an answer.
    [[number]] = PG.ask(f'SELECT id FROM "kf_{space}".kf_tracked')
    try:
        seen = PG.ask(f"SET search_path TO \"kf_{space}\"; SELECT kf_look({number}, '{{\"id\": 2}}') IS NULL", user="warden")
        check(False, f"a row that is hidden was looked for: {seen}")
    except RuntimeError as error:
        check("is being changed" in str(error), f"{error}")
    PG.ask(f"ALTER TABLE {t} DISABLE ROW LEVEL SECURITY")
    read()
    equal(state(), ("on", ""), "in order again")


@test
def functions_of_an_older_version():
    """Whoever opens the store makes them anew, those of each table too, and tells nothing anew; what is newer stays."""
    space, t = made(rows="(1, 'a')")
    schema = f'"kf_{space}"'
    version = lambda: PG.number(f"SELECT {schema}.kf_track_version()")
    made_with = lambda: PG.number(f"SELECT made FROM {schema}.kf_tracked")
    trigger = lambda: PG.number(f"SELECT oid FROM pg_trigger WHERE tgrelid = '{t}'::regclass AND tgname LIKE '%_row'")
    ours, last = version(), json.loads(ok("changes", "--json", at=PG.url(space)).out)["items"][-1]["n"]

    def of_version(number):
        PG.ask(f"""CREATE OR REPLACE FUNCTION {schema}.kf_track_version() RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT {number}::bigint';
               CREATE OR REPLACE FUNCTION {schema}.kf_key_id(key text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT key';
               UPDATE {schema}.kf_tracked SET made = {number}""")

    def is_ours():
        return version() == made_with() == ours and "sha256" in PG.ask(f"SELECT prosrc FROM pg_proc WHERE oid = '{schema}.kf_key_id'::regproc")[0][0]

    of_version(ours - 1)
    before = trigger()
    equal(json.loads(ok("changes", "--after", str(last), "--json", at=PG.url(space)).out)["items"], [], "nothing is told anew")
    check(is_ours() and trigger() != before, f"by a command: {version()}, {made_with()}, {ours}, {before}, {trigger()}")
    PG.ask(f"DROP FUNCTION {schema}.kf_track_version()")
    ok("changes", at=PG.url(space))
    check(is_ours(), "also those that have no number")
    before = trigger()
    ok("track", t, at=PG.url(space))
    ok("changes", at=PG.url(space))
    equal(trigger(), before, "and once")
    of_version(ours - 1)
    with Server(PG.url()) as server:
        c = server.client(space)
        c.get("/docs/first")
        wait_for(is_ours, 10)
        PG.ask(f"INSERT INTO {t} VALUES (2, 'b')")
        equal([i["key"]["id"] for i in c.get(f"/changes?after={last}").json()["items"]], [2], "it is followed as before")
        of_version(ours + 1)
        later = table(rows="(1, 'a')")
        equal(c.ask("PUT", f"/tracked/{later}").status, 201, "tracked by functions that are newer")
        PG.ask(f"INSERT INTO {later} VALUES (2, 'b'); INSERT INTO {t} VALUES (3, 'c')")
        wait_for(lambda: PG.number(f"SELECT count(*) FROM {schema}.kf_captured") == 0, 10)
        time.sleep(3)
        check(version() == ours + 1 and not is_ours(), "they stay as they are")
        server.stop()


@test
def changes_that_wait():
    space, t = made(rows="(1, 'a')")
    PG.ask(f"INSERT INTO {t} SELECT n, 'x' FROM generate_series(2, 701) n")
    finds_no(PG.url(space), "track_waiting")
    PG.ask(f'UPDATE "kf_{space}".kf_captured SET at = at - 120000')
    finds(PG.url(space), "track_waiting", "700 changes", "2 min", level="warning")
    told = json.loads(ok("track", "--json", at=PG.url(space)).out)
    equal((told["waiting"]["count"], told["items"][0]["changes"]), (700, 1), "in the list")
    check(b"700 changes" in run("track", at=PG.url(space)).out, "and for people")
    said = ok("status", at=PG.url(space)).out.decode()
    check("1 tracked table, 1 change so far" in said and "to be numbered: 700 changes, the first 2 min ago" in said, f"in the status: {said}")
    with Server(PG.url()) as server:
        c = server.client(space)
        value = lambda name: float(re.search(rf'^keepfast_{name}{{space="{space}"}} (\S+)$', c.ask("GET", "/metrics", raw=True).body.decode(), re.M)[1])
        c.get("/docs/first")
        wait_for(lambda: value("changes_waiting") == 0, 10)
        equal((value("changes_total"), value("changes_oldest_waiting_timestamp_seconds"), value("changes_held")), (701, 0, 0), "a server takes them")
        finds_no(PG.url(space), "track_waiting")
        with PG.session() as holds:
            holds.ask("BEGIN")
            holds.ask(f"INSERT INTO {t} VALUES (5000, 'held')")
            wait_for(lambda: value("changes_held") == 1, 10)
            check(abs(value("changes_held_since_timestamp_seconds") - time.time()) < 60, "since when")
            finds_no(PG.url(space), "track_held")
            check("held back: changes of the open transaction of kf" in run("status", at=PG.url(space)).out.decode(), "by whom, in the status")
            holds.ask("COMMIT")
        wait_for(lambda: value("changes_total") == 702 and value("changes_held") == 0, 10)
        server.stop()


@test
def what_is_held_back_for_long():
    """By a doctor whose clock is two hours later."""
    space, t = made(rows="(1, 'a')")
    with PG.session() as holds:
        holds.ask("BEGIN")
        holds.ask(f"INSERT INTO {t} VALUES (2, 'held')")
        finds_no(PG.url(space), "track_held")
        finds(PG.url(space), "track_held", "kf", "idle in transaction", "pid", level="warning", env=at_time("+2h"))
        holds.ask("PREPARE TRANSACTION 'gone fishing'")
        finds(PG.url(space), "track_held", "gone fishing", "prepared", "ROLLBACK PREPARED", env=at_time("+2h"))
        PG.ask("ROLLBACK PREPARED 'gone fishing'")
    finds_no(PG.url(space), "track_held", env=at_time("+2h"))


# ------------------------------------------------------------------------------------- configuration


@test
def what_the_configuration_names_stays():
    space, t, later = next(SPACES), table(rows="(1, 'a')"), next(TABLES)
    config = f"spaces: {{ {space}: {{ track: [{t}, {later}] }} }}\n"
    server = Server(PG.url(), config)
    c = server.client(space)
    source = lambda: {item["table"]: item["source"] for item in c.get("/tracked").json()["items"]}
    wait_for(lambda: source() == {f"public.{t}": "config"}, 10)
    answer = c.delete(f"/tracked/{t}")
    equal((answer.status, answer.code), (409, "not_empty"), f"{answer}")
    check("configuration" in answer.json()["detail"] and "take it out" in answer.json()["detail"], f"{answer}")
    done = run("untrack", t, at=PG.url(space))
    check(done.status == 3 and b"configuration" in done.err, f"also to who has another one: {done}")
    path = TOP / "named.yaml"
    path.write_text(config)
    finds(PG.url(space), "track_not_there", later, level="warning", env={"KEEPFAST_CONFIG": str(path)})
    equal(server.stop(), 0, "stop")
    with Server(PG.url(), f"spaces: {{ {space}: {{}} }}\n") as server:
        c = server.client(space)
        wait_for(lambda: source() == {f"public.{t}": "store"}, 10)
        equal(c.delete(f"/tracked/{t}").status, 204, "taken out, it can be untracked")
        server.stop()


# ------------------------------------------------------------------------------------- who may


@test
def foreign_absent_and_unknown_are_alike():
    mine, theirs, secret = "mine", "theirs", f"secret{os.urandom(4).hex()}"
    with Cluster() as pg, Server(pg.url()) as server:
        pg.ask(f"CREATE TABLE {secret}(id int PRIMARY KEY, v text)")
        pg.ask(f"INSERT INTO {secret} VALUES (1, 'canary')")
        for space in (mine, theirs):
            server.client(space).put("/docs/a", b"1")
        equal(server.client(theirs).ask("PUT", f"/tracked/{secret}").status, 201, "tracked in the other one")
        token = lambda *words: ok("token", "create", *words, "--space", mine, at=pg.url()).out.decode().strip()
        own = token("own", "--rights", "read,write,run,query,admin")
        part = token("part", "--rights", "read", "--prefix", "a*")
        wait_for(lambda: server.client(mine).get("/tracked").status == 401, 20)  # the server has heard of them
        bearer = lambda text: {"Authorization": f"Bearer {text}"}

        def ask(text, space, method, path):
            answer = server.client(space).ask(method, path, headers=bearer(text))
            bare = re.sub(rb'"request_id":"[0-9a-f]+"', b"", answer.body).replace(space.encode(), b"SPACE")
            check(b"canary" not in answer.body, f"{method} {path}: shows it")
            return answer.status, answer.code, bare

        for method, path in (("GET", "/tracked"), ("GET", "/changes"), ("GET", f"/changes?table={secret}"), ("GET", "/changes?after=9999999&follow=1s"),
                             ("PUT", f"/tracked/{secret}"), ("PUT", "/tracked/none"), ("DELETE", f"/tracked/{secret}"), ("DELETE", "/tracked/none")):
            seen = [ask(own, space, method, path) for space in (theirs, "never", f"x{os.urandom(4).hex()}")]
            check(seen[0] == seen[1] == seen[2] and seen[0][:2] == (404, "unknown_space"), f"{method} {path}: {seen}")
        # In one's own space: a table that is another's, and one that is not there.
        for method, path in (("GET", "/changes?table={}"), ("PUT", "/tracked/{}"), ("DELETE", "/tracked/{}")):
            seen = [tuple(re.sub(name.encode(), b"T", part) if isinstance(part, bytes) else part for part in ask(own, mine, method, path.format(name)))
                    for name in (secret, "unheardof")]
            check(seen[0] == seen[1] and seen[0][0] in (403, 404), f"{method} {path}: {seen}")
        equal(ask(own, mine, "PUT", f"/tracked/{secret}")[:2], (403, "forbidden"), "a table of the database is an operator's to name")
        equal(ask(part, mine, "GET", "/changes")[:2], (403, "forbidden"), "who has some names has no tables")
        equal(ask(part, mine, "GET", "/tracked")[:2], (403, "forbidden"), "nor their list")
        equal(ask(own, mine, "GET", "/tracked")[0], 200, "one's own")
        server.stop()


@test
def the_floor():
    codes = sorted(code for code in SHOWN if code.startswith("track_"))
    note(f"findings={len(codes)}")
    equal(len(codes), FLOOR, f"each was made to happen: {codes}")


if __name__ == "__main__":
    try:
        main()
    finally:
        PG.close()

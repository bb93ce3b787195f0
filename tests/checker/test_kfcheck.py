#!/usr/bin/env python3
"""The checker itself: known answers, and every kind of damage that it must see.

The stores here are made with the SQL of src/db/schema_store.c, the archives by hand."""

import hashlib
import io
import json
import os
import re
import sqlite3
import sys
import tempfile
import zipfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import kfcheck
from tap import check, equal, main, test

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SITE, STAMP, WHEN = "00000000000000a1", "0000019a00000001", "2025-11-09T14:23:45.000Z"


RUN = "INSERT INTO kf_run VALUES(1,'usb',%s)"


def h(data):
    return hashlib.blake2b(data, digest_size=32).hexdigest()


def refused(call, *arguments):
    try:
        call(*arguments)
    except kfcheck.Bad:
        return True
    return False


# --- canonical form

@test
def numbers_have_one_form():
    for text, want in (
        ("0", "0"), ("-0", "0"), ("0.000", "0"), ("0e9", "0"), ("-0.0E-99", "0"),
        ("1", "1"), ("1.0", "1"), ("10e-1", "1"), ("0.1e1", "1"), ("100E-2", "1"),
        ("-1", "-1"), ("-1.50", "-15e-1"), ("10", "1e1"), ("1500", "15e2"), ("1.5E+3", "15e2"),
        ("0.05", "5e-2"), ("5e-02", "5e-2"), ("123.456", "123456e-3"),
        ("9007199254740993", "9007199254740993"), ("90071992547409930", "9007199254740993e1"),
        ("0.1", "1e-1"), ("0.1000000000000000055511151231257827", "1000000000000000055511151231257827e-34"),
    ):
        equal(kfcheck.canonical_number(text), want, text)


@test
def exponents_have_no_bound():
    huge = "9" * 30
    equal(kfcheck.canonical_number("1e" + huge), "1e" + huge, "above")
    equal(kfcheck.canonical_number("10e" + huge), "1e1" + "0" * 30, "one more")
    equal(kfcheck.canonical_number("0.1e-" + huge), "1e-1" + "0" * 30, "one less")
    equal(kfcheck.canonical_number("0e" + huge), "0", "nothing")
    equal(kfcheck.canonical_number("1" + "0" * 20000 + "e-20000"), "1", "as many places as digits")
    equal(kfcheck.canonical_number("1e" + "9" * 5000), "1e" + "9" * 5000, "more digits than Python's default")


@test
def strings_have_the_fewest_escapes():
    for text, want in (
        (r'"\u0041\/\""', r'"A/\""'),
        (r'"\\ \b\f\n\r\t"', r'"\\ \u0008\u000c\u000a\u000d\u0009"'),
        (r'"\u001F\u007f"', '"\\u001f\x7f"'),
        (r'"za\u017c\u00f3\u0142\u0107"', '"zażółć"'),
        (r'"\ud83d\ude80"', '"🚀"'),
        (r'"\u2028"', '"\u2028"'),
    ):
        equal(kfcheck.canonical(text.encode()), want.encode(), text)


@test
def members_are_in_order_of_code_points():
    text = r'{"b":1,"a":[ ],"\u0061a":{ },"ż":null,"Z":true,"😀":false,"\uffee":"","":0}'
    want = '{"":0,"Z":true,"a":[],"aa":{},"b":1,"ż":null,"\uffee":"","😀":false}'
    equal(kfcheck.canonical(text.encode()), want.encode(), "order")
    equal(kfcheck.canonical(b' [ 1.0 ,\r\n\t[ "x" , { "k" : [ ] } ] ] '), b'[1,["x",{"k":[]}]]', "blanks")
    equal(kfcheck.canonical(b"null"), b"null", "a document may be any value")


@test
def the_canonical_form_is_its_own():
    for text in (b'{"a":15e2,"b":[5e-2,"\\u0000"]}', b"[]", b'"\\\\"', b"-3e-7"):
        equal(kfcheck.canonical(text), text, "again")


@test
def what_is_no_json_is_refused():
    for text in (b"", b"{", b"01", b"1.", b".5", b"+1", b"1e", b"NaN", b"Infinity", b"-Infinity", b"[1,]",
                 b"{'a':1}", b'{"a":1,"a":2}', b'{"a":1,"\\u0061":2}', b'"\\ud800"', b'{"\\udc00":1}',
                 b'"\x01"', b'"\xff"', b"\xef\xbb\xbf{}", b"{} x", b'"\\x41"', "\u0661".encode(),
                 b"[" * 100_000):
        check(refused(kfcheck.canonical, text), "%r is refused" % text[:40])


@test
def the_digest_is_the_one_described():
    equal(kfcheck.digest({}), "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8", "nothing")
    lines = b'"a" ' + h(b'{"k":1}').encode() + b'\n"b\\"/\xc5\xbc" ' + h(b"15e2").encode() + b"\n"
    docs = {'b"/ż'.encode(): b"1500", b"a": b'{ "k" : 1.0 }'}
    equal(kfcheck.digest(docs), h(lines), "two documents")
    equal(kfcheck.digest({**docs, b"a": b'{"k":10e-1}'}), h(lines), "values, not bytes")
    check(kfcheck.digest({**docs, b"a": b'{"k":2}'}) != h(lines), "another value is another digest")
    check(kfcheck.digest({b"a": docs[b"a"]}) != h(lines), "a missing document too")


# --- names and paths

@test
def names_are_mapped_and_back():
    for name, path in (
        (b"kredyty.json", b"kredyty.json"),
        (b"a/b/c", b"a/b/c"),
        ("Zażółć.json".encode(), b"%5Aa%C5%BC%C3%B3%C5%82%C4%87.json"),
        (b"50%~", b"50%25%7E"),
        (b".git/x", b"%2Egit/x"),
        (b"a b", b"a b"),
        (b" a ", b"%20a%20"),
        (b"-rf", b"%2Drf"),
        (b"end.", b"end%2E"),
        (b"con", b"%63on"),
        (b"nul .txt", b"%6Eul .txt"),
        (b"com7", b"%63om7"),
        (b"conin$.x.y", b"%63onin$.x.y"),
        (b"console", b"console"),
        (b"nul\t.a", b"nul%09.a"),
        (b"con." + b"x" * 200, b"%63on." + b"x" * 196 + b"%~/xxxx"),
        (b"a:b\\c*?", b"a%3Ab%5Cc%2A%3F"),
        (b"tab\there\x7f", b"tab%09here%7F"),
        (b"x" * 450, b"x" * 200 + b"%~/" + b"x" * 200 + b"%~/" + b"x" * 50),
        (b"x" * 199 + b"A", b"x" * 199 + b"%~/%41"),
        (b"con." + b"x" * 197, b"%63on." + b"x" * 196 + b"%~/x"),
        (b"con" + b" " * 197 + b"x", b"con" + b" " * 197 + b"%~/x"),
        (b"x" * 200 + b"con", b"x" * 200 + b"%~/%63on"),
        (b"x" * 199 + b"." * 3, b"x" * 199 + b".%~/%2E%2E"),
        (b"a/" + b"0" * 64 + b".json", b"a/%30" + b"0" * 63 + b".json"),
    ):
        equal(kfcheck.path_of_name(name), path, "path of %r" % name)
        equal(kfcheck.name_of_path(path), name, "name of %r" % path)


@test
def paths_that_no_name_has_are_refused():
    for path in (b"A", b"%61", b"%2e", b"a//b", b"..", b"a/../b", b"%2E%2E", b"/a", b"a/", b"a%~/b", b"%zz",
                 b"50%", b"con", b".git", b"a%00", "ż".encode(), b"~a", b"f" * 64 + b".json", b"x" * 201,
                 b"\xff", b""):
        check(refused(kfcheck.name_of_path, path), "%r is refused" % path)


# --- a store

def schema():
    with open(os.path.join(ROOT, "src", "db", "schema_store.c"), encoding="utf-8") as f:
        text = re.search(r"create_sql\[\] =(.*?)\";\n", f.read(), re.S)[1]
    sql = "".join(re.findall(r'"([^"]*)"', text + '"'))
    # Of the index of words a stock SQLite may know too little: what lies behind it stands for it.
    virtual = sql.index("CREATE VIRTUAL TABLE")
    return sql[:virtual] + "CREATE TABLE kf_search_docsize(id INTEGER PRIMARY KEY, sz BLOB, origin INTEGER);"


class Store:
    """A small store file: two documents, one with a past, and one deleted."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "s.db")
        self.db = sqlite3.connect(self.path)
        self.db.executescript(schema())
        self.db.execute("PRAGMA application_id=%d" % kfcheck.APPLICATION_ID)
        self.db.execute("PRAGMA user_version=1")
        self.seq = 0
        self.put("a.json", b'{"k":1}')
        self.put("a.json", b'{"k": 2}')
        self.put("ż/b", b"[1500]")
        self.put("gone", b"0")
        self.put("gone", None)
        self.db.commit()

    def put(self, name, body):
        self.seq += 1
        version = 1 + self.db.execute("SELECT count(*) FROM kf_doc_version WHERE name=?",
                                      (name,)).fetchone()[0]
        text, size, hash_ = (None, 0, "") if body is None else (body.decode(), len(body), h(body))
        self.db.execute("INSERT INTO kf_doc_version(seq,name,version,stamp,site,at,kind,size,hash,body)"
                        " VALUES(?,?,?,?,?,?,?,?,?,?)",
                        (self.seq, name, version, self.seq, SITE, 1, "put", size, hash_, text))
        self.db.execute("DELETE FROM kf_journal WHERE key=?", (name,))
        self.db.execute("INSERT INTO kf_journal VALUES(?,?,?,?,?)",
                        (self.seq, "doc", name, self.seq, SITE))
        self.db.execute("INSERT OR REPLACE INTO kf_doc(name,version,seq,stamp,site,at,size,hash,deleted)"
                        " VALUES(?,?,?,?,?,?,?,?,?)",
                        (name, version, self.seq, self.seq, SITE, 1, size, hash_, body is None))
        self.db.execute("UPDATE kf_state SET seq=?, stamp=?", (self.seq, self.seq))

    def check(self, *statements):
        for sql in statements:
            self.db.execute(sql)
        self.db.commit()
        return kfcheck.check_store(self.path)


HELD = {b"a.json": b'{"k": 2}', "ż/b".encode(): b"[1500]"}


@test
def a_whole_store_has_no_findings():
    with tempfile.TemporaryDirectory() as folder:
        report = Store(folder).check()
        equal(report.findings, [], "findings")
        equal(report.docs, HELD, "documents")
        equal(report.deleted, {b"gone"}, "deleted")
        equal(report.versions, {b"a.json": 2, "ż/b".encode(): 1}, "versions")
        equal(report.digest, kfcheck.digest(HELD), "digest")


@test
def the_log_beside_a_store_is_read():
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        store.db.execute("PRAGMA journal_mode=WAL")
        store.db.execute("PRAGMA wal_autocheckpoint=0")
        store.put("late", b"1")
        before = os.path.getsize(store.path)
        report = store.check()
        equal(report.docs.get(b"late"), b"1", "what is only in the log")
        equal((report.findings, os.path.getsize(store.path)), ([], before), "nothing was written")


@test
def damage_in_a_store_is_found():
    for what, sql, finding in (
        ("another body", "UPDATE kf_doc_version SET body='{\"k\": 3}' WHERE seq=2", "its hash"),
        ("an old body", "UPDATE kf_doc_version SET body='{\"k\":9}' WHERE seq=1", "its hash"),
        ("a lost version", "DELETE FROM kf_doc_version WHERE seq=3", "no version has"),
        ("a lost head", "DELETE FROM kf_doc WHERE name='a.json'", "no head"),
        ("a head of before", "UPDATE kf_doc SET seq=1 WHERE name='a.json'", "differ"),
        ("a head risen again", "UPDATE kf_doc SET deleted=0 WHERE name='gone'", "deleted is 0"),
        ("a lost journal row", "DELETE FROM kf_journal WHERE key='a.json'", "journal None"),
        ("a journal of before", "UPDATE kf_journal SET stamp=0 WHERE key='a.json'", "journal ("),
        ("a journal of nothing", "INSERT INTO kf_journal VALUES(1,'doc','x',1,'')", "head None"),
        ("a number that is to come", "UPDATE kf_state SET seq=2", "is not in 1 to 2"),
        ("a version of later", "UPDATE kf_doc_version SET stamp=999999 WHERE seq=1", "later than the document"),
        ("a wrong size", "UPDATE kf_doc_version SET size=1 WHERE seq=1", "it has 7 bytes"),
        ("a body in a deletion", "UPDATE kf_doc_version SET body='0' WHERE seq=5", "its hash"),
        ("a watermark that is to come",
         "INSERT INTO kf_remote(name,url,watermark) VALUES('usb','dir:x',9)", "watermark"),
        ("a run of no cause", RUN % "1,2,'whim','','',1,1,1,0,1,1,0,0,0,0,0,0", "the cause b'whim'"),
        ("a run that ends before it begins", RUN % "2,1,'asked','','',1,1,1,0,1,1,0,0,0,0,0,0", "before it began"),
        ("a failure without a word", RUN % "1,2,'asked','busy','',1,1,0,0,0,0,0,0,0,0,0,0", "message b''"),
        ("a run that pushed less than nothing", RUN % "1,2,'asked','','',1,1,-1,0,0,0,0,0,0,0,0,0", "counts [1, -1"),
        ("a run that pushed fewer entries than none", RUN % "1,2,'asked','','',1,1,0,-1,0,0,0,0,0,0,0,0", "counts [1, 0, -1"),
        ("failures counted as one of which one did something", RUN % "1,2,'asked','busy','why',2,1,0,0,1,0,0,0,0,0,0,0", "2 times"),
        ("a good run many times", RUN % "1,2,'asked','','',2,1,0,0,0,0,0,0,0,0,0,0", "2 times"),
        ("a log without end", "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1001) INSERT INTO "
         "kf_run SELECT i,'usb',1,2,'asked','','',1,1,1,0,1,1,0,0,0,0,0,0 FROM n", "1001 runs"),
        ("something aside of no kind", "INSERT INTO kf_aside VALUES('usb','lost','a',1,'x','y',0)", "the kind b'lost'"),
        ("something aside without a reason", "INSERT INTO kf_aside VALUES('usb','refused','a',1,'x','',0)", "reason b''"),
        ("fewer aside than none", "INSERT INTO kf_remote(name,url,aside_more) VALUES('usb','dir:x',-1)", "-1 more"),
        ("another kind of file", "PRAGMA application_id=1", "application_id"),
        ("another format", "PRAGMA user_version=2", "user_version"),
    ):
        with tempfile.TemporaryDirectory() as folder:
            findings = Store(folder).check(sql).findings
            check(any(finding in one for one in findings), "%s: %r" % (what, findings))


@test
def a_body_that_is_no_json_is_found():
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        store.put("bad", b'{"a":1,"a":2}')
        report = store.check()
        check(any("stands twice" in one for one in report.findings), "%r" % report.findings)
        equal(report.docs, HELD, "the others are held")


@test
def a_flipped_byte_in_a_store_is_found():
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        store.db.close()
        with open(store.path, "rb") as f:
            data = bytearray(f.read())
        data[data.index(b'{"k": 2}') + 6] ^= 1
        with open(store.path, "wb") as f:
            f.write(data)
        check(kfcheck.check_store(store.path).findings, "found")
        with open(store.path, "wb") as f:
            f.write(data[:len(data) // 2])
        check(kfcheck.check_store(store.path).findings, "half a file")


# --- the portable form

def doc_line(name, body, version=1, **more):
    line = {"doc": name, "version": version, "stamp": STAMP, "site": SITE, "at": WHEN}
    line.update({"deleted": True} if body is None else {"size": len(body), "hash": h(body)})
    line.update(more)
    return line


def past_line(name, body, version):
    line = doc_line(name, body, version)
    past = {"past": line.pop("doc")}
    for member, value in line.items():
        past[member] = value
        if member == "at":
            past["kind"] = "put"
    return past


def line_of(entry):
    if isinstance(entry, bytes):
        return entry
    return json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def manifest(*lines, holds="state"):
    head = {"keepfast": "manifest", "format": 1, "holds": holds, "site": SITE, "push": 3, "seq": 7,
            "stamp": STAMP, "at": WHEN}
    text = b"".join(line_of(line) for line in (head, *lines))
    return text + line_of({"end": 1 + len(lines), "hash": h(text)})


def portable():
    """{path: bytes} of a small remote: two documents, one deleted, one object no longer named."""
    files = {b"manifest.ndjson": manifest(
        {"seen": SITE, "seq": 7},
        doc_line("a.json", HELD[b"a.json"], 2),
        doc_line("gone", None, 2),
        doc_line("ż/b", b"[1500]"),
        {"retired": "docs/a.json/%s.json" % h(b'{"k":1}'), "at": WHEN})}
    for name, body in (("a.json", HELD[b"a.json"]), ("ż/b", b"[1500]"), ("a.json", b'{"k":1}')):
        files[kfcheck.object_path(name.encode(), h(body))] = body
    return files


def in_folder(files):
    with tempfile.TemporaryDirectory() as folder:
        for path, body in files.items():
            full = os.path.join(folder.encode(), path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "wb") as f:
                f.write(body)
        return kfcheck.check_dir(folder)


@test
def a_whole_remote_has_no_findings():
    report = in_folder({**portable(), b"lock": b"", b"docs/a.json/.tmp-1": b"{"})
    equal(report.findings, [], "findings")
    equal(report.counts["cut_writes"], 1, "writes that were cut")
    equal(report.docs, HELD, "documents")
    equal(report.deleted, {b"gone"}, "deleted")
    equal(report.digest, kfcheck.digest(HELD), "digest")
    equal(report.counts["loose"], 1, "objects that nobody names")


@test
def damage_in_a_remote_is_found():
    object_a = kfcheck.object_path(b"a.json", h(HELD[b"a.json"]))
    loose = kfcheck.object_path(b"a.json", h(b'{"k":1}'))
    text = portable()[b"manifest.ndjson"]
    good = doc_line("a.json", HELD[b"a.json"], 2)
    twin = doc_line("b", b"1")
    for what, change, finding in (
        ("no manifest", {b"manifest.ndjson": None}, "no manifest"),
        ("an object is gone", {object_a: None}, "is not there"),
        ("an object is cut", {object_a: HELD[b"a.json"][:-1]}, "its hash"),
        ("an object nobody names is cut", {loose: b"{"}, "its content"),
        ("a stranger", {b"docs/readme.txt": b""}, "is no file of"),
        ("an object of a strange name", {b"docs/A/" + h(b"1").encode() + b".json": b"1"}, "no name has"),
        ("a flipped byte", {b"manifest.ndjson": text.replace(b'"version":2', b'"version":3', 1)},
         "its hash is wrong"),
        ("a lost line", {b"manifest.ndjson": re.sub(rb'\{"seen".*\n', b"", text)}, "its end counts"),
        ("a cut manifest", {b"manifest.ndjson": text[:-1]}, "is cut"),
        ("a manifest without end", {b"manifest.ndjson": text[:text.index(b'{"end"')]}, "head and end"),
        ("text after the end", {b"manifest.ndjson": text + b"{}\n"}, "head and end"),
        ("a name twice", {b"manifest.ndjson": manifest(good, good)}, "out of order"),
        ("names out of order", {b"manifest.ndjson": manifest(twin, good)}, "out of order"),
        ("a name that climbs", {b"manifest.ndjson": manifest(doc_line("../x", b"1"))}, "doc:"),
        ("a strange member", {b"manifest.ndjson": manifest({**good, "x": 1})}, "members"),
        ("a hash in capitals",
         {b"manifest.ndjson": manifest({**good, "hash": h(b"1").upper()})}, "hash:"),
        ("a time with a zone", {b"manifest.ndjson": manifest({**good, "at": "2025-11-09T14:23:45+01:00"})},
         "at:"),
        ("a blank", {b"manifest.ndjson": manifest(line_of(good).replace(b":", b": ", 1))}, "its one form"),
        ("an escape that need not be",
         {b"manifest.ndjson": manifest(line_of(good).replace(b"a.json", b"\\u0061.json"))}, "its one form"),
        ("members in another order",
         {b"manifest.ndjson": manifest({"version": 2, **good})}, "members"),
        ("a retired path that climbs",
         {b"manifest.ndjson": manifest({"retired": "docs/../x/%s.json" % h(b"1"), "at": WHEN})}, "retired:"),
        ("a site twice", {b"manifest.ndjson": manifest({"seen": SITE, "seq": 1}, {"seen": SITE, "seq": 2})},
         "out of order"),
        ("a negative version", {b"manifest.ndjson": manifest({**good, "version": -1})}, "version:"),
        ("a past outside a backup",
         {b"manifest.ndjson": manifest(good, past_line("a.json", b'{"k":1}', 1))}, "no backup"),
    ):
        files = portable()
        files.update(change)
        report = in_folder({path: body for path, body in files.items() if body is not None})
        check(any(finding in one for one in report.findings), "%s: %r" % (what, report.findings))


def backup_files():
    files = portable()
    files[b"manifest.ndjson"] = manifest(
        doc_line("a.json", HELD[b"a.json"], 2), past_line("a.json", b'{"k":1}', 1),
        doc_line("gone", None, 2), past_line("gone", b"0", 1), doc_line("ż/b", b"[1500]"), holds="backup")
    files[kfcheck.object_path(b"gone", h(b"0"))] = b"0"
    return files


def in_zip(files, spoil=None):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_STORED) as archive:
        for path, body in files:
            archive.writestr(path.decode(), body)
    data = data.getvalue()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "b.zip")
        with open(path, "wb") as f:
            f.write(spoil(data) if spoil else data)
        return kfcheck.check_zip(path)


@test
def a_whole_backup_has_no_findings():
    report = in_zip(backup_files().items())
    equal(report.findings, [], "findings")
    equal((report.docs, report.deleted), (HELD, {b"gone"}), "documents")
    equal(report.counts["versions"], 5, "versions")


@test
def damage_in_a_backup_is_found():
    files = list(backup_files().items())

    def flipped(data):
        at = data.index(b"[1500]")
        return data[:at + 1] + b"2" + data[at + 2:]

    for what, entries, spoil, finding in (
        ("a flipped byte", files, flipped, "ZIP"),
        ("a cut archive", files, lambda data: data[:-30], "ZIP"),
        ("no archive", files, lambda data: b"x" * 100, "ZIP"),
        ("no manifest", files[1:], None, "no manifest"),
        ("a lost object", files[:-1], None, "is not there"),
    ):
        findings = in_zip(entries, spoil).findings
        check(any(finding in one for one in findings), "%s: %r" % (what, findings))


@test
def a_past_without_a_present_is_found():
    files = backup_files()
    files[b"manifest.ndjson"] = manifest(past_line("a.json", b'{"k":1}', 1), holds="backup")
    findings = in_zip(files.items()).findings
    check(any("no present" in one for one in findings), "%r" % findings)


# --- plain files and the command line

@test
def the_command_line_compares():
    finance = os.path.join(ROOT, "examples", "finance", "data")
    report = kfcheck.check_files(finance)
    equal((len(report.docs), report.findings), (12, []), "the finance example")
    with tempfile.TemporaryDirectory() as folder:
        for name, body in report.docs.items():
            with open(os.path.join(folder, name.decode()), "wb") as f:
                f.write(json.dumps(json.loads(body), sort_keys=True).encode())
        places = ["files:" + finance, "files:" + folder]
        out, sys.stdout, sys.stderr = sys.stdout, io.StringIO(), io.StringIO()
        try:
            same = kfcheck.main(["--same", *places])
            with open(os.path.join(folder, "cele.json"), "ab") as f:
                f.write(b" ")
            blank = kfcheck.main(["--same", *places])
            os.remove(os.path.join(folder, "cele.json"))
            less = kfcheck.main(["--same", "--json", *places])
        finally:
            sys.stdout, sys.stderr = out, sys.__stderr__
        equal((same, blank, less), (0, 0, 1), "equal values, a blank more, a document less")


# --- files of streams

S1, S2, T1, T2, AT = "00000000000000a1", "00000000000000b2", "0000000000010000", "0000000000020000", "1970-01-01T00:00:01.000Z"
NOT_THERE = "c2e0d5a1ac7a10f9d24c1f0d0ee0f6d5a0b41a06fb1aa2f5f8b3d4ca2ca52be7"


def stream_head(key, *lines):
    return "".join(['{"keepfast":"stream","format":1,"stream":"%s"}\n' % key, *lines])


def part(key, *lines, first=1):
    return "".join(['{"keepfast":"part","format":1,"stream":"%s","first":%d}\n' % (key, first), *lines])


def entry(n, stamp, rest, site=S1):
    return '{"n":%s,"stamp":"%s","site":"%s","at":"%s"%s}\n' % (n, stamp, site, AT, rest)


def attr(name, rest):
    return '{"attr":"%s","stamp":"%s","site":"%s"%s}\n' % (name, T1, S1, rest)


def erased(site, stamp=T1):
    return '{"erased":"%s","stamp":"%s","at":"%s"}\n' % (site, stamp, AT)


def trimmed(site):
    return '{"trimmed":"%s","stamp":"%s"}\n' % (site, T1)


def last(n):
    return '{"last":%s}\n' % n


def attached(body):
    return '{"attach":"%s","body":%s}\n' % (h(body.encode()), body)


def once(id_, n=1, asked="0a" * 16, more=""):
    return '{"once":"%s","n":%s,"asked":"%s","at":"%s"%s}\n' % (id_, n, asked, AT, more)


HEAD_FILE, PART_FILE = "k/stream.ndjson", "k/000000000001.ndjson"


@test
def files_of_streams_that_are_whole_are_read():
    for name, text in (
        (HEAD_FILE, stream_head("k")),
        (HEAD_FILE, stream_head("k", attr("a", ',"value":1'), attr("b", ',"removed":true'))),
        (HEAD_FILE, stream_head("k", attr("a", ',"value":1'), erased(S1), erased(S2))),
        (HEAD_FILE, stream_head("k", last(7), attr("a", ',"value":1'), trimmed(S1), trimmed(S2))),
        (HEAD_FILE, stream_head("k", attr("a", ',"text":" 1"'))),
        (PART_FILE, part("k", entry(1, T1, ',"body":1'))),
        (PART_FILE, part("k", entry(5, T1, ',"body":1'), entry(9, T2, ',"body":1'))),
        (PART_FILE, part("k", attached('{"p":1}'), entry(1, T1, ',"attach":"%s","body":1' % h(b'{"p":1}')))),
        (PART_FILE, part("k", once("a", 7), once("b", 1, "0a" * 32))),
    ):
        kfcheck.read_stream_file(kfcheck.STREAM_FILES + name.encode(), text.encode())


@test
def strangers_among_files_of_streams_are_refused():
    good = entry(1, T1, ',"body":1')
    for number, (name, text) in enumerate((
        (HEAD_FILE, stream_head("other")), (HEAD_FILE, part("k", good)), ("k/000000000002.ndjson", part("k", entry(2, T1, ',"body":1'))),
        (PART_FILE, stream_head("k")), ("k/000000000000.ndjson", part("k", good)), ("k/other.ndjson", stream_head("k")),
        (HEAD_FILE, stream_head("k", attr("b", ',"value":1'), attr("a", ',"value":1'))),
        (HEAD_FILE, stream_head("k", attr("a", ',"value":1'), attr("a", ',"value":2'))),
        (HEAD_FILE, stream_head("k", erased(S1), attr("a", ',"value":1'))),
        (HEAD_FILE, stream_head("k", last(7), last(8))), (HEAD_FILE, stream_head("k", attr("a", ',"value":1'), last(7))),
        (HEAD_FILE, stream_head("k", last(7), trimmed(S2), trimmed(S1))), (HEAD_FILE, stream_head("k", trimmed(S1))),
        (HEAD_FILE, stream_head("k", last(0))), (HEAD_FILE, stream_head("k", last('"7"'))), (HEAD_FILE, stream_head("k", last(10**12))),
        (HEAD_FILE, stream_head("k", last('7,"more":1'))), (PART_FILE, part("k", last(7), good)),
        (PART_FILE, part("k", good, entry(1, T2, ',"body":1'))), (PART_FILE, part("k", entry(2, T1, ',"body":1'), entry(1, T2, ',"body":1'))),
        (PART_FILE, part("k", good, entry(2, T1, ',"body":1'))), (PART_FILE, part("k", entry(0, T1, ',"body":1'))),
        (PART_FILE, part("k", entry(10**12, T1, ',"body":1'))), (PART_FILE, part("k")), (PART_FILE, part("k", entry(1, T1, ""))),
        (HEAD_FILE, ""), (HEAD_FILE, stream_head("k")[:-1]), (HEAD_FILE, stream_head("k", "\n")), (HEAD_FILE, stream_head("k", attr("a", ""))),
        (HEAD_FILE, stream_head("k", attr("a", ',"text":"1"'))), (HEAD_FILE, stream_head("k", attr("a", ',"text":" x"'))),
        (HEAD_FILE, stream_head("k", attr("a", ',"value":1,"more":1'))),
        (PART_FILE, part("k", entry(1, T1, ',"id":"","body":1'))), (PART_FILE, part("k", entry(1, T1, ',"kind":"A","body":1'))),
        (PART_FILE, part("k", entry(1, T1, ',"id":"a\\u0000","body":1'))), (PART_FILE, part("k", entry(1, "0" * 16, ',"body":1'))),
        (PART_FILE, part("k", entry(1, "f" * 16, ',"body":1'))), (PART_FILE, part("k", entry(1, T1, ',"attach":"%s","body":1' % NOT_THERE))),
        (PART_FILE, part("k", attached("1"), good)), (PART_FILE, part("k", good, attached("1"))),
        (PART_FILE, part("k", attached("1").replace('"body":1', '"body":2'), entry(1, T1, ',"attach":"%s","body":1' % h(b"1")))),
        (PART_FILE, part("k", *[entry(n, "%016x" % (n + 65536), ',"body":1') for n in range(1, 1002)])),
        (HEAD_FILE, stream_head("k", once("a"))), (PART_FILE, part("k", once("a"), good)), (PART_FILE, part("k", good, once("a"))),
        (PART_FILE, part("k", attached("1"), once("a"))), (PART_FILE, part("k", once("b"), once("a"))), (PART_FILE, part("k", once("a"), once("a", 2))),
        (PART_FILE, part("k", once(""))), (PART_FILE, part("k", once("a" * 256))), (PART_FILE, part("k", once("a\\u0000"))),
        (PART_FILE, part("k", once("a", 0))), (PART_FILE, part("k", once("a", 10**12))), (PART_FILE, part("k", once("a", 1, "0a" * 15))),
        (PART_FILE, part("k", once("a", 1, "0A" * 16))), (PART_FILE, part("k", once("a", more=',"more":1'))),
        (PART_FILE, part("k", *[once("%04d" % n) for n in range(1001)])),
    )):
        check(refused(kfcheck.read_stream_file, kfcheck.STREAM_FILES + name.encode(), text.encode()), f"case {number}: {text[:300]}")


@test
def streams_of_a_folder_are_joined():
    files = {
        b"k/stream.ndjson": stream_head("k", attr("a", ',"value":1.0'), attr("b", ',"removed":true'), erased(S2, T1)),
        b"k/000000000001.ndjson": part("k", entry(1, T1, ',"body":1'), entry(2, T1, ',"body":2', S2), entry(3, T2, ',"body":3', S2)),
        b"k/000000000004.ndjson": part("k", attached("7"), entry(4, T2, ',"id":"i","kind":"note","attach":"%s","body":4' % h(b"7")), first=4),
        b"gone/stream.ndjson": stream_head("gone", erased(S1, T2)),
        b"gone/000000000001.ndjson": part("gone", entry(1, T1, ',"body":1')),
    }
    report = kfcheck.Report("")
    streams = kfcheck.StreamFiles(report)
    for name, text in files.items():
        streams.add(kfcheck.STREAM_FILES + name, text.encode())
    streams.end()
    equal((report.findings, list(report.streams)), ([], [b"k"]), "what is erased counts no more")
    one, three = "%d %s \"\" - 1000 %s -\n", "%d %s \"i\" note 1000 %s %s\n"
    lines = h(b'{"a":1}') + "\n" + one % (65536, S1, h(b"1")) + three % (131072, S1, h(b"4"), h(b"7")) + one % (131072, S2, h(b"3"))
    equal(kfcheck.digest({}, report.streams), h(b'stream "k" ' + h(lines.encode()).encode() + b"\n"), "the digest")
    streams.add(kfcheck.STREAM_FILES + b"k/000000000003.ndjson", part("k", entry(3, T1, ',"body":5'), first=3).encode())
    streams.end()
    check(len(report.findings) == 2, f"the same entry with another body, and numbers twice: {report.findings}")


@test
def ids_of_what_was_trimmed_belong_to_a_stream():
    for head, found in ((last(7), 0), (last(6), 1), (erased(S1), 0), (attr("a", ',"value":1'), 1)):
        report = kfcheck.Report("")
        streams = kfcheck.StreamFiles(report)
        streams.add(kfcheck.STREAM_FILES + b"k/stream.ndjson", stream_head("k", head).encode())
        streams.add(kfcheck.STREAM_FILES + b"k/000000000001.ndjson", part("k", once("a", 7), once("b", 2)).encode())
        streams.end()
        equal(len(report.findings), found, f"{head}: {report.findings}")


main()

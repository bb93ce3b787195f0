#!/usr/bin/env python3
# test: timeout=120
"""What the checker knows of streams: a store that the program has written has no findings and the program's digest, and every kind of damage is
seen. The damage is done with SQL, in a copy."""

import os
import shutil
import sqlite3
import sys
from contextlib import closing

sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import kfcheck  # noqa: E402
from keepfast import Server, folder  # noqa: E402
from tap import check, equal, main, test  # noqa: E402

TOP = folder()
CONFIG = """
spaces:
  default:
    streams:
      - { match: "chat/*", window: 5, rings: { views: { kind: view, last: 2 } } }
      - { match: "last/*", keep: { last: 3 } }
"""
GOOD = TOP / "good.db"


def fill(client):
    client.put("/docs/a.json", {"n": 1})
    for n in range(6):
        client.post("/streams/chat/a/entries", {"id": f"m{n}", "kind": "view" if n % 2 else "user", "at": f"2026-01-0{n + 1}T00:00:00Z",
                                                "body": {"text": f"Zażółć {n} gęślą", "more": [1.50, None]}, "attach": {"version": n % 2}})
    client.patch("/streams/chat/a", {"customer": "ann", "cart": 7.0, "vip": True, "other": {"x": None}, "long": "x" * 300})
    client.post("/streams/last/b/entries", [{"body": n} for n in range(9)])
    client.post("/streams/chat/words/entries", [{"body": f"one two three {n} Straße Łódź ﬁn don't"} for n in range(600)])
    client.post("/streams/chat/gone/entries", [{"id": "x", "body": "secret", "attach": [1]}])
    client.patch("/streams/chat/gone", {"customer": "bo"})
    client.delete("/people/customer/bo")
    client.patch("/streams/only/attributes", {"a": 1})
    return client.get("/digest").json()["digest"]


def make():
    with Server(TOP / "data", config=CONFIG) as server:
        digest = fill(server.client())
        server.stop()
    shutil.copyfile(TOP / "data" / "default.db", GOOD)
    return digest


@test
def what_the_program_writes_has_no_findings():
    digest = make()
    report = kfcheck.check_store(str(GOOD))
    equal(report.findings, [], "findings")
    equal({name: report.counts[name] for name in ("streams", "entries", "attachments", "attachments_loose", "entries_going")},
          {"streams": 4, "entries": 609, "attachments": 2, "attachments_loose": 0, "entries_going": 0}, "what there is")
    equal(sorted(report.streams), [b"chat/a", b"chat/words", b"last/b", b"only/attributes"], "streams")
    equal(report.digest, digest, "the digest, reckoned by both")


A = "(SELECT id FROM kf_stream WHERE key = 'chat/a')"
DAMAGE = (
    ("another body", "UPDATE kf_entry SET body = '1' WHERE n = 2 AND stream = %s" % A, "its hash is"),
    ("a lost entry", "DELETE FROM kf_entry WHERE n = 2 AND stream = %s" % A, "a recount gives"),
    ("a count of more", "UPDATE kf_stream SET count = count + 1 WHERE key = 'chat/a'", "statistics"),
    ("bytes of less", "UPDATE kf_stream SET bytes = bytes - 1 WHERE key = 'chat/a'", "statistics"),
    ("an earlier first", "UPDATE kf_stream SET first_at = 1 WHERE key = 'chat/a'", "statistics"),
    ("kinds of another", "UPDATE kf_stream SET kinds = '{\"user\":6}' WHERE key = 'chat/a'", "kinds"),
    ("a kind that is none", "UPDATE kf_entry SET kind = 'No' WHERE n = 1 AND stream = %s" % A, "kind 'No'"),
    ("a smaller last number", "UPDATE kf_stream SET last_n = 5 WHERE key = 'chat/a'", "as the largest ever"),
    ("numbers that fall", "UPDATE kf_entry SET n = 100 - n WHERE stream = (SELECT id FROM kf_stream WHERE key = 'last/b')", "do not grow"),
    ("a number that is to come", "UPDATE kf_entry SET seq = 99999 WHERE n = 6 AND stream = %s" % A, "is not in 1 to"),
    ("an entry of nothing", "UPDATE kf_entry SET stream = 99999 WHERE n = 6 AND stream = %s" % A, "there is no such stream"),
    ("an entry twice", "INSERT INTO kf_entry SELECT 1000000 + seq, -stream, 1000000 + seq, at, stamp, size, 1, kind, id, site, hash, attach, body, 1, 0 "
     "FROM kf_entry WHERE stream = %s AND n = 1" % A, "an entry is there twice"),
    ("a time of another stamp", "UPDATE kf_entry SET timed = 0 WHERE n = 1 AND stream = %s" % A, "is not found by its stamp"),
    ("an entry of nowhere", "UPDATE kf_entry SET behind = 0, timed = 1 WHERE n = 2 AND stream = %s" % A, "taken 0, behind 0"),
    ("stamps that fall", "UPDATE kf_entry SET stamp = 1, timed = 1 WHERE n = 5 AND stream = %s" % A, "do not grow with numbers"),
    ("a lost journal row", "DELETE FROM kf_journal WHERE key = 'chat/a'", "journal None"),
    ("a journal of nothing", "UPDATE kf_journal SET key = 'x' WHERE key = 'chat/a'", "the stream b'x' is not there"),
    ("a lost stream", "DELETE FROM kf_stream WHERE key = 'chat/a'", "there is no such stream"),
    ("a key that is none", "UPDATE kf_stream SET key = 'chat//a' WHERE key = 'chat/a'", "segment"),
    ("an id that is forgotten", "DELETE FROM IDS WHERE id = 'm3'", "is noted for None"),
    ("an id that is there twice", "INSERT INTO OTHER SELECT * FROM IDS WHERE id = 'm3'", "noted twice"),
    ("an id of another", "UPDATE IDS SET n = 5 WHERE id = 'm3'", "is noted for 5"),
    ("an id of no stream", "INSERT INTO kf_entry_once VALUES(99999, 'x', 1, '%s', 1)" % ("0" * 32), "there is no stream 99999"),
    ("an id beyond the last", "INSERT INTO kf_entry_once VALUES(%s, 'x', 7, '%s', 1)" % (A, "0" * 32), "entry 7, hash"),
    ("a lost attachment", "DELETE FROM kf_attachment", "is not there"),
    ("another attachment", "UPDATE kf_attachment SET body = '1'", "attachment"),
    ("attributes of another", "UPDATE kf_stream SET attrs = '{\"customer\":\"bo\"}' WHERE key = 'chat/a'", "members"),
    ("attributes that are none", "UPDATE kf_stream SET attrs = '[]' WHERE key = 'chat/a'", "no object"),
    ("an attribute that is not found", "DELETE FROM kf_stream_attr WHERE name = 'cart'", "not found by its value"),
    ("an attribute of nobody", "UPDATE kf_stream_attr SET value = 'bo' WHERE value = 'ann'", "no stream has it"),
    ("a member of before", "UPDATE kf_stream_member SET value = '8' WHERE name = 'cart'", "members"),
    ("a member of nothing", "INSERT INTO kf_stream_member VALUES('none', 'a', 1, '%s', '1')" % ("0" * 16), "which is no stream"),
    ("a member that is back", "UPDATE kf_stream_member SET value = '\"bo\"' WHERE key = 'chat/gone'", "which is no stream"),
    ("a ring of nothing", "UPDATE kf_stream SET rings = replace(rings, '\"n\":4', '\"n\":44') WHERE key = 'chat/a'", "which is no entry"),
    ("a ring of another body", "UPDATE kf_stream SET rings = replace(rings, 'Zażółć', 'x') WHERE key = 'chat/a'", "another body"),
    ("something erased that is there", "UPDATE kf_erased SET key = 'chat/a' WHERE key = 'chat/gone' AND site <> ''", "it was erased"),
    ("an erasure that nobody knows", "DELETE FROM kf_erased", "erased with None"),
    ("an erasure without a journal", "INSERT INTO kf_erased VALUES('y', '%s', 1, 1, 1)" % ("0" * 16), "the journal does not have it"),
    ("an erasure under way without a receipt", "INSERT INTO kf_erasing VALUES(77777, 5)", "has no receipt"),
    ("an erasure of what is there", "INSERT INTO kf_erasing SELECT %s, 0" % A, "is there"),
    ("a receipt of less than nothing", "UPDATE kf_receipt SET entries = -1", "counts [1, -1"),
    ("something trimmed of nothing", "INSERT INTO kf_trimmed VALUES(77777, '%s', 1)" % ("0" * 16), "trimmed"),
    ("a file of no entries", "INSERT INTO kf_remote_file VALUES('usb', 'chat/a', 1, '%s', 1, 1, '%s', 1, 1, 'x')" % ("0" * 64, "0" * 16), "file 1 of"),
    ("words of less", "UPDATE kf_search_docsize SET sz = x'01' WHERE id = (SELECT min(id) FROM kf_search_docsize)", "words: row"),
    ("words that are lost", "DELETE FROM kf_search_docsize WHERE id = (SELECT min(id) FROM kf_search_docsize)", "not found by them"),
    ("words ahead of their number", "UPDATE kf_meta SET value = '1' WHERE key = 'indexed'", "is behind 1"),
    ("a number of words to come", "UPDATE kf_meta SET value = '99999999' WHERE key = 'indexed'", "indexed up to"),
    ("a twin without an id", "UPDATE kf_entry SET stream = -stream, id = '' WHERE n = 3 AND stream = %s" % A, "a twin without an id"),
)


@test
def damage_is_found():
    for what, sql, finding in DAMAGE:
        copy = TOP / "copy.db"
        shutil.copyfile(GOOD, copy)
        with closing(sqlite3.connect(copy)) as db:
            ids = ["kf_entry_once", "kf_entry_once_new"]
            if db.execute("SELECT 1 FROM kf_entry_once_new WHERE id = 'm3'").fetchone():
                ids.reverse()
            db.execute(sql.replace("IDS", ids[0]).replace("OTHER", ids[1]))
            changed = db.total_changes
            db.commit()
        check(changed > 0, f"{what}: nothing was damaged")
        findings = kfcheck.check_store(str(copy)).findings
        check(any(finding in one for one in findings), f"{what}: {findings}")


@test
def an_earlier_twin_is_found():
    copy = TOP / "twin.db"
    shutil.copyfile(GOOD, copy)
    with closing(sqlite3.connect(copy)) as db:
        db.execute("INSERT INTO kf_entry SELECT 1000000 + seq, -stream, 1000000 + seq, at, stamp + 7, size, 1, kind, id, site, hash, attach, body, 1, 0 "
                   "FROM kf_entry WHERE id = 'm2'")
        db.execute("UPDATE kf_state SET seq = 9999999")
        db.commit()
    equal(kfcheck.check_store(str(copy)).findings, [], "a later one is as it should be")
    with closing(sqlite3.connect(copy)) as db:
        db.execute("UPDATE kf_entry SET stamp = 1 WHERE stream < 0")
        db.commit()
    findings = kfcheck.check_store(str(copy)).findings
    check(any("earlier than the one that is shown" in one for one in findings), f"{findings}")


@test
def what_is_half_gone_is_no_finding():
    """As a crash between the first group of an erasure and the others leaves it."""
    copy = TOP / "half.db"
    shutil.copyfile(GOOD, copy)
    with closing(sqlite3.connect(copy)) as db:
        db.execute("INSERT INTO kf_erasing SELECT id, 0 FROM kf_stream WHERE key = 'last/b'")
        db.execute("INSERT INTO kf_erased SELECT key, site, stamp, 1, seq FROM kf_stream WHERE key = 'last/b'")
        db.execute("DELETE FROM kf_stream WHERE key = 'last/b'")
        db.commit()
    report = kfcheck.check_store(str(copy))
    equal(report.findings, [], "findings")
    equal(report.counts["entries_going"], 3, "what is left")


main()

"""An independent look at a store on PostgreSQL: with psql, from docs/formats.md, without a line of the program.

check(cluster, space) gives a list of what is wrong, empty for a store that is in order. Streams are held against the rules of
kfstreams.py, which are those of a store in a file; tracked tables against the tables themselves."""

import hashlib
import json
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kfformat import parse  # noqa: E402
from kfstreams import Streams, strings  # noqa: E402


def _hash(text):
    return hashlib.blake2b(text.encode(), digest_size=32).hexdigest()


def check(cluster, space):
    schema = f'"kf_{space}"'
    wrong = []

    def rows(sql):
        return cluster.ask(sql.replace("@", schema + "."))

    [[seq, stamp]] = rows("SELECT seq, stamp FROM @kf_state")
    seq, stamp = int(seq), int(stamp)
    if rows("SELECT application, format FROM @kf_format") != [["1265657460", "1"]]:
        wrong.append("kf_format is not that of a store")
    heads = {row[0]: row[1:] for row in rows("SELECT name, version, seq, stamp, site, size, hash, deleted FROM @kf_doc")}
    numbers = set()
    newest = {}
    for name, version, number, when, site, size, digest, kind, is_null, body in rows(
            "SELECT name, version, seq, stamp, site, size, hash, kind, body IS NULL, body FROM @kf_doc_version ORDER BY name, version"):
        number, version, size = int(number), int(version), int(size)
        if number in numbers or not 1 <= number <= seq:
            wrong.append(f"{name}: number {number} twice, or never given")
        numbers.add(number)
        if int(when) > stamp or len(site) != 16:
            wrong.append(f"{name}: stamp or site of version {version}")
        if is_null == "t":
            if kind != "delete" or size or digest:
                wrong.append(f"{name}: version {version} has no body and is no deletion")
        else:
            if _hash(body) != digest or len(body.encode()) != size:
                wrong.append(f"{name}: body of version {version} does not fit its hash")
            json.loads(body)
        newest[name] = (str(version), str(number), when, site, str(size), digest, "1" if is_null == "t" else "0")
    for name, head in heads.items():
        if newest.get(name) != tuple(head):
            wrong.append(f"{name}: head {head} and newest version {newest.get(name)} differ")
    for name in newest.keys() - heads.keys():
        wrong.append(f"{name}: versions without a head")
    journal = {(table, key): (number, when, site) for table, key, number, when, site in
               Reader(cluster, schema).execute("SELECT tbl, key, seq, stamp, site FROM kf_journal")}
    if {key.decode(): row[0] for (table, key), row in journal.items() if table == b"doc"} != {name: int(head[1]) for name, head in heads.items()}:
        wrong.append("the journal is not that of the heads")
    if len({row[0] for row in journal.values()}) != len(journal):
        wrong.append("the journal has a number twice")

    def find(form, *words):
        wrong.append(form % words)

    Words(Reader(cluster, schema), find, seq, journal).check()
    _tracked(rows, cluster, journal, find)
    return wrong


class Rows(list):
    def fetchone(self):
        return self[0] if self else None


class Reader:
    """What reads like a connection of SQLite: numbers as such, texts as bytes."""

    def __init__(self, cluster, schema):
        self.cluster, self.schema = cluster, schema

    def execute(self, sql):
        sql = re.sub(r"\b(kf_\w+)", lambda m: f"{self.schema}.{m[1]}", sql)
        found = self.cluster.ask(f"SELECT row_to_json(x) FROM ({sql}) x")
        return Rows(tuple(v.encode() if isinstance(v, str) else v for _, v in json.loads(row[0], object_pairs_hook=list)) for row in found)


class Words(Streams):
    def _index(self):
        """On PostgreSQL a row has the words themselves, each once."""
        indexed = self.db.execute("SELECT value FROM kf_meta WHERE key = 'indexed'").fetchone()
        indexed = int(indexed[0]) if indexed else 0
        if not 0 <= indexed <= self.seq_max:
            self.find("words: indexed up to %d", indexed)
        rows = {seq: set(json.loads(words)) for seq, words in
                self.db.execute("SELECT seq, array_to_json(tsvector_to_array(words))::text AS words FROM kf_search")}
        bodies = dict(self.db.execute("SELECT seq, body FROM kf_entry"))
        for seq, words in sorted(rows.items()):
            if seq > indexed:
                self.find("words: row %d is behind %d", seq, indexed)
            text = " ".join(strings(parse(bodies[seq]))) if seq in bodies else "-"
            wanted = {word[:128] for word in re.findall("[a-z0-9]+", text.lower())}
            if seq in bodies and text.isascii() and words != wanted:
                self.find("words: row %d has %r, its entry %r", seq, sorted(words), sorted(wanted))
        for seq, count in sorted(self.words.items()):
            if seq <= indexed and count and seq not in rows:
                self.find("words: the entry with number %d is not found by them", seq)
        return len(set(rows) - set(bodies))


def _tracked(rows, cluster, journal, find):
    """Numbers of rows are those of the journal, and of a table that is followed every row has one."""
    tables = {int(row[0]): row[1:] for row in rows("SELECT id, name, state FROM @kf_tracked")}
    numbers = {}
    for tracked, key, number in rows("SELECT tracked, key, seq FROM @kf_row"):
        if int(tracked) not in tables:
            find("row %s of no tracked table: %s", key, tracked)
            continue
        if int(number) > 0:  # else a restore has taken it, and a pass gives it another
            numbers[(tables[int(tracked)][0].encode(), key.encode())] = int(number)
        json.loads(key)
    noted = {name: row[0] for name, row in journal.items() if b"." in name[0]}
    if noted != numbers:
        find("the journal and the numbers of rows differ: %r", sorted(set(noted.items()) ^ set(numbers.items()))[:5])
    waiting = {int(row[0]) for row in rows("SELECT DISTINCT tracked FROM @kf_captured")}
    for number, (name, state) in tables.items():
        if state != "on" or number in waiting:
            continue
        there, known = cluster.number(f"SELECT count(*) FROM {name}"), int(rows(f"SELECT count(*) FROM @kf_row WHERE tracked = {number} AND gone = 0")[0][0])
        if there != known:
            find("the table %s has %d rows, known are %d", name, there, known)

"""An independent look at a store on PostgreSQL: with psql, from docs/formats.md, without a line of the program.

check(cluster, space) gives a list of what is wrong, empty for a store that is in order."""

import hashlib
import json


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
    journal = {row[0]: int(row[1]) for row in rows("SELECT key, seq FROM @kf_journal WHERE tbl = 'doc'")}
    if journal != {name: int(head[1]) for name, head in heads.items()}:
        wrong.append("the journal is not that of the heads")
    return wrong

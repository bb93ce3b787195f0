#!/usr/bin/env python3
"""The doors mean the same: the same steps through C, HTTP, and the command line with and without a server beside it, each held
against what is expected and all against each other: results, codes, exit statuses, bytes, digests."""
# test: timeout=240

import json
import os
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import quote

TOP = os.environ.get("KF_TOP", ".")
sys.path.insert(0, os.path.join(TOP, "tests"))
from keepfast import Server, folder, run  # noqa: E402
from tap import check, equal, main, note, test  # noqa: E402

WORK = folder()
DRIVER = os.path.join(os.environ.get("KF_BUILD", "build-test"), "tests/conform/door_c")
CONFIG = """\
spaces:
  default:
    docs:
      - {{ match: "few.json", keep: {{ versions: 2 }} }}
      - {{ match: "config/*.json", default: {{ email: null }}, schema: "{schema}" }}
    streams:
      - {{ match: "chat/*", window: 3, kinds: [user, tool], rings: {{ tools: {{ kind: tool, last: 2 }} }} }}
      - {{ match: "short/*", keep: {{ last: 2 }} }}
"""
(WORK / "notify.json").write_text('{"type":"object","properties":{"email":{"type":["string","null"]}},'
                                  '"required":["email"],"additionalProperties":false}')


def config_file(name, remotes=""):
    path = WORK / name
    path.write_text(CONFIG.format(schema=WORK / "notify.json") + remotes)
    return path


def digits(items, *keys):
    return [" ".join(str(i[k]) for k in keys) + "".join(f" {f}" for f in ("deleted", "current") if i.get(f))
            for i in items]


def run_lines(items):
    return [f'{r["remote"]} {r["cause"]} {r["pushed"]["docs"]} {r["pushed"]["bytes"]} {r["taken"]["docs"]} '
            f'{r["error"]["code"] if r["error"] else "good"}' for r in items]


def value_of(raw):
    """A JSON value in which numbers stay as they were written."""
    return json.loads(raw, parse_int=str, parse_float=str)


def millis(text):
    return str(round(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000)) if text else "0"


def told(ms):
    return datetime.fromtimestamp(ms / 1000, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def entry_text(entry):
    """An entry as JSON, its values in their own bytes."""
    members = [f'"{name}":{json.dumps(told(entry[name]) if name == "at" else entry[name])}' for name in ("id", "kind", "at") if name in entry]
    members += [f'"{name}":{entry[name].decode()}' for name in ("body", "attach") if name in entry]
    return "{" + ",".join(members) + "}"


def appended(answer):
    return {"held": int(answer["count"]),
            "items": [str(i["n"]) + (" duplicate" if i.get("duplicate") else "") for i in answer.get("items", [answer])]}


def entries_of(answer, key):
    """(items, more)"""
    items = [(f'{e.get("stream", key)} {e["n"]} {millis(e["at"])} {e.get("id", "")} {e.get("kind", "")}', e["body"], e.get("attach"))
             for e in answer["items"]]
    return items, answer["more"] if "more" in answer else answer["next"] is not None


def stream_of(s):
    kinds = "".join(f"{kind}:{count}," for kind, count in sorted(s["kinds"].items()))
    return (f'{s["key"]} {s["count"]} {s["last_n"]} {s["bytes"]} {millis(s["first_at"])} {millis(s["last_at"])} {kinds}', s["attrs"],
            {name: [(e["n"], e["body"]) for e in ring] for name, ring in s.get("rings", {}).items()})


def found_of(items):
    """With the words that are marked: their places are bytes in C, and characters elsewhere."""
    return [f'{f["stream"]} {f["n"]} {millis(f["at"])} {f.get("kind", "")} {f["rank"]} "{f["snippet"]}"'
            + "".join(f' "{f["snippet"][m["from"]:m["to"]]}"' for m in f["marks"]) for f in items]


def receipt_of(r):
    return [f'{r["streams"]} {r["entries"]} {r["attachments"]} {r["bytes"]}' + (" again" if r["again"] else "")]


# ------------------------------------------------------------------------------------------- doors


class C:
    """A program that links the library."""

    name = "C"

    def __init__(self, base, config):
        self.program = subprocess.Popen([DRIVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.base, self.config = base, config
        done = self.ask("open", path=str(base / "default.db"), config=str(config))
        equal(done["code"], "", f"the store opens: {done}")

    def ask(self, verb, several=(), **fields):
        """`several`: fields that may stand there more than once."""
        words = [verb]
        for key, value in [*fields.items(), *several]:
            if value is not None:
                raw = value if isinstance(value, bytes) else str(value).encode()
                words.append(f"{key}={raw.hex()}")
        self.program.stdin.write("\t".join(words) + "\n")
        self.program.stdin.flush()
        answer = {"items": []}
        for part in self.program.stdout.readline().rstrip("\n").split("\t"):
            key, _, value = part.partition("=")
            raw = bytes.fromhex(value)
            if key == "item":
                answer["items"].append(raw.decode())
            elif key == "body":
                answer["body"] = raw
            elif key in ("exit", "version", "offset", "docs", "pending", "damaged", "repaired", "versions", "bytes", "held"):
                answer[key] = int(raw)
            elif key in ("created", "unchanged", "replayed", "default", "more"):
                answer[key] = raw == b"1"
            else:
                answer[key] = raw.decode()
        return answer

    def put(self, **kw):
        return self.ask("put", **kw)

    def patch(self, **kw):
        return self.ask("patch", **kw)

    def rm(self, **kw):
        return {k: v for k, v in self.ask("rm", **kw).items() if k in ("code", "exit", "etag")}

    def revert(self, **kw):
        return self.ask("revert", **kw)

    def get(self, **kw):
        return self.ask("get", **kw)

    def diff(self, **kw):
        answer = self.ask("diff", **kw)
        if "body" in answer:
            answer["body"] = json.loads(answer["body"])
        return answer

    def ls(self, **kw):
        answer = self.ask("ls", **kw)
        answer["items"] = [i.strip() for i in answer["items"]]
        return answer

    def log(self, **kw):
        answer = self.ask("log", **kw)
        answer["items"] = [i.strip() for i in answer["items"]]
        return answer

    def remotes(self):
        return self.ask("remotes")

    def remote_add(self, name, url, every=None, after=None, manual=None, docs=None):
        return self.ask("remote-add", name=name, url=url, every_ms=every and every * 1000, after_items=after,
                        manual=manual, docs=docs)

    def remote_rm(self, name):
        return self.ask("remote-rm", name=name)

    def remote_probe(self, name):
        return self.ask("remote-probe", name=name)

    def sync(self, name):
        return self.ask("sync", name=name, timeout_ms=3000)

    def pending(self, name):
        return self.ask("pending", name=name)

    def runs(self, name=None):
        return self.ask("runs", name=name)

    def aside(self, remote=None, name=None):
        return self.ask("aside", remote=remote, name=name)

    def aside_drop(self, remote, name=None):
        return self.ask("aside-drop", remote=remote, name=name)

    def aside_retry(self, remote):
        return self.ask("aside-retry", remote=remote)

    def backup(self, file, pending=None, key_file=None):
        return self.ask("backup", file=file, pending=pending, key_file=key_file)

    def restore(self, file, replace=None, key_file=None):
        return self.ask("restore", file=file, replace=replace, key_file=key_file)

    def verify(self):
        return self.ask("verify")

    def digest(self):
        return self.ask("digest")

    def status(self):
        return self.ask("status")

    def doctor(self):
        answer = self.ask("doctor")
        answer["items"] = [i.strip() for i in answer["items"] if i.split()[0] not in OF_THE_PLACE]
        return answer

    def append(self, key, entries, wait=None, timeout_ms=None):
        fields = [(name, entry[name]) for entry in entries for name in ("id", "kind", "at", "attach", "body") if name in entry]
        return only_code(self.ask("append", fields, key=key, wait=wait, timeout_ms=timeout_ms))

    def entries(self, verb, **kw):
        answer = self.ask(verb, **kw)
        parts = [item.split("\t") for item in answer["items"]]
        answer["items"] = [(about, value_of(body), value_of(attach) if attach else None) for about, body, attach in parts]
        return answer

    def last(self, key, last):
        return self.entries("last", key=key, last=last)

    def context(self, key, entries=None, bytes_=None, across=None):
        return self.entries("context", key=key, entries=entries, bytes=bytes_, across=across)

    def infos(self, verb, **kw):
        answer = self.ask(verb, **kw)
        parts = [item.split("\t") for item in answer["items"]]
        answer["items"] = [(about, value_of(attrs), {name: [(e["n"], e["body"]) for e in ring] for name, ring in value_of(rings).items()})
                           for about, attrs, rings in parts]
        return answer

    def stream(self, key):
        return self.infos("stream", key=key)

    def stream_set(self, key, **attributes):
        return self.infos("stream-set", key=key, patch=json.dumps(attributes))

    def streams(self, prefix=None, attribute=None, value=None):
        return self.infos("streams", prefix=prefix, attribute=attribute, value=value)

    def search(self, words, prefix=None):
        return only_code(self.ask("search", words=words, prefix=prefix))

    def stream_rm(self, key):
        return self.ask("stream-rm", key=key)

    def erase(self, attribute, value):
        return self.ask("erase", attribute=attribute, value=value)

    def end(self):
        self.program.stdin.close()
        equal(self.program.wait(20), 0, "the program ends")


def only_code(answer):
    """A place in what was refused is one of the request, which looks different at each door."""
    answer.pop("offset", None)
    return answer


# What the disk that the test runs on may have by itself.
OF_THE_PLACE = ("not_lasting", "disk_filling", "disk_slow")


def found(answer):
    """Of the store, not of the process."""
    return [f"{i['code']} {i['level']} {i.get('remote', '')}".strip() for i in answer["items"] if "space" in i and i["code"] not in OF_THE_PLACE]


class Http:
    """A server."""

    name = "HTTP"

    def __init__(self, base, config):
        self.server = Server(base, arguments=["--config", str(config)])
        self.client = self.server.client()
        problems = self.client.get("/openapi.json", raw=True).json()["x-problems"]
        self.exits = {p["code"]: p["exit"] for p in problems}

    @staticmethod
    def path(name, word=""):
        name = quote(name, safe="/")
        for route in ("/versions", "/revert", "/diff"):
            if name.endswith(route) and len(name) > len(route):
                name = name[:-len(route)] + "%2F" + route[1:]
        return f"/docs/{name}{word}"

    def ask(self, method, path, body=None, query=None, headers=None):
        words = [f"{k}={quote(str(v), safe='')}" for k, v in (query or {}).items() if v is not None]
        path += "?" + "&".join(words) if words else ""
        headers = {k: v for k, v in (headers or {}).items() if v is not None}
        answer = self.client.ask(method, path, body, headers=headers)
        result = {"code": answer.code, "exit": self.exits[answer.code] if answer.code else 0, "status": answer.status}
        if answer.code:
            problem = answer.json()
            for key in ("offset", "version", "etag", "detail"):
                if key in problem:
                    result[key] = problem[key]
            equal(problem["status"], answer.status, "the status of the problem is that of the answer")
            equal(answer.headers.get("ETag"), problem.get("etag"), "the ETag of the problem is that of the answer")
        return result, answer

    def write(self, method, name, word="", body=None, if_match=None, if_none_match=None, force=None, key=None,
              wait=None, timeout_ms=None, ack=None):
        result, answer = self.ask(
            method, self.path(name, word), body,
            {"wait": wait, "timeout": timeout_ms and f"{timeout_ms}ms", "ack": ack},
            {"If-Match": "*" if force else if_match, "If-None-Match": if_none_match, "Idempotency-Key": key})
        if not result["code"]:
            if answer.body:
                result.update(answer.json())
                equal(result["ack"], answer.headers["Keepfast-Ack"], "the level in the body and in the header")
                created = method == "PUT" and result["created"] and not result["replayed"]
                equal(answer.status, 201 if created else 200, "201 when it was made")
            else:
                result["etag"] = answer.headers["ETag"]
        return result

    def put(self, name, **kw):
        return self.write("PUT", name, **kw)

    def patch(self, name, **kw):
        return self.write("PATCH", name, **kw)

    def rm(self, name, **kw):
        return self.write("DELETE", name, **kw)

    def revert(self, name, version, **kw):
        return self.write("POST", name, "/revert", body={"version": version}, **kw)

    def get(self, name, version=None):
        result, answer = self.ask("GET", self.path(name), query={"version": version})
        if not result["code"]:
            result.update(body=answer.body, etag=answer.headers.get("ETag") or "",
                          default=answer.headers.get("Keepfast-Default") == "true")
        return result

    def diff(self, name, **query):
        query = {"from": query.get("from_"), "to": query.get("to")} if query else {}
        result, answer = self.ask("GET", self.path(name, "/diff"), query=query)
        if not result["code"]:
            result["body"] = answer.json()
        return result

    def ls(self, prefix=None):
        result, answer = self.ask("GET", "/docs", query={"prefix": prefix})
        result["items"] = [] if result["code"] else digits(answer.json()["items"], "name", "version", "size")
        return result

    def log(self, name):
        result, answer = self.ask("GET", self.path(name, "/versions"))
        result["items"] = [] if result["code"] else digits(answer.json()["items"], "version", "size", "kind")
        return result

    def remotes(self):
        result, answer = self.ask("GET", "/remotes")
        result["items"] = [" ".join([r["name"], r["kind"], r["source"], r["schedule"], str(r["pending"]["count"])])
                           for r in answer.json()["items"]]
        return result

    def remote_add(self, name, url, every=None, after=None, manual=None, docs=None):
        body = {"name": name, "url": url}
        if every:
            body["every"] = f"{every}s"
        if after:
            body["after"] = after
        if manual:
            body["manual"] = True
        if docs:
            body["docs"] = docs.split(",")
        return self.ask("POST", "/remotes", body)[0]

    def remote_rm(self, name):
        return self.ask("DELETE", f"/remotes/{quote(name, safe='')}")[0]

    def remote_probe(self, name):
        return self.ask("POST", f"/remotes/{quote(name, safe='')}/probe")[0]

    def sync(self, name):
        return self.ask("POST", f"/remotes/{quote(name, safe='')}/run", query={"timeout": "3s"})[0]

    def pending(self, name):
        result, answer = self.ask("GET", f"/remotes/{quote(name, safe='')}/pending")
        result["items"] = [] if result["code"] else digits(answer.json()["items"], "name", "version", "size")
        return result

    def runs(self, name=None):
        result, answer = self.ask("GET", f"/remotes/{quote(name, safe='')}/runs" if name else "/runs")
        result["items"] = [] if result["code"] else run_lines(answer.json()["items"])
        return result

    @staticmethod
    def aside_path(remote):
        return f"/remotes/{quote(remote, safe='')}/set-aside"

    def aside(self, remote=None, name=None):
        result, answer = self.ask("GET", self.aside_path(remote) if remote else "/set-aside", query={"name": name})
        result["items"] = [] if result["code"] else digits(answer.json()["items"], "remote", "kind", "name", "code")
        return result

    def aside_drop(self, remote, name=None):
        return self.ask("DELETE", self.aside_path(remote), query={"name": name})[0]

    def aside_retry(self, remote):
        return self.ask("POST", self.aside_path(remote), query={"timeout": "3s"})[0]

    def backup(self, file, pending=None, key_file=None):
        result, answer = self.ask("GET", "/backup", query={"pending": pending, "key_file": key_file})
        if not result["code"]:
            Path(file).write_bytes(answer.body)
        return result

    def restore(self, file, replace=None, key_file=None):
        return self.ask("POST", "/restore", Path(file).read_bytes(), {"replace": replace and "true", "key_file": key_file},
                        {"Content-Type": "application/zip"})[0]

    def verify(self):
        result, answer = self.ask("POST", "/verify")
        result.update({k: answer.json()[k] for k in ("docs", "versions", "bytes", "damaged", "repaired")})
        return result

    def digest(self):
        result, answer = self.ask("GET", "/digest")
        result["digest"] = answer.json()["digest"]
        return result

    def status(self):
        result, answer = self.ask("GET", "/status")
        s = answer.json()
        result.update(state=s["store"]["state"], docs=s["store"]["docs"], doc_bytes=str(s["store"]["doc_bytes"]),
                      pending=s["pending"]["count"])
        return result

    def doctor(self):
        result, answer = self.ask("GET", "/doctor")
        return result | {"items": found(answer.json())}

    @staticmethod
    def key_path(key, word=""):
        return f"/streams/{quote(key, safe='/')}{word}"

    def append(self, key, entries, wait=None, timeout_ms=None):
        body = ",".join(entry_text(e) for e in entries)
        result, answer = self.ask("POST", self.key_path(key, "/entries"), f"[{body}]" if len(entries) > 1 else body,
                                  {"wait": wait, "timeout": timeout_ms and f"{timeout_ms}ms"})
        if not result["code"]:
            result.update(appended(answer.json()), ack=answer.headers["Keepfast-Ack"])
            new = not all("duplicate" in i for i in result["items"])
            equal((answer.status, answer.headers.get("Idempotent-Replay")), (201, None) if new else (200, "true"), "201 when one was new")
        return only_code(result)

    def entries(self, key, word, query):
        result, answer = self.ask("GET", self.key_path(key, word), query=query)
        result["items"] = []
        if not result["code"]:
            result["items"], result["more"] = entries_of(value_of(answer.body), key)
        return result

    def last(self, key, last):
        return self.entries(key, "/entries", {"last": last})

    def context(self, key, entries=None, bytes_=None, across=None):
        return self.entries(key, "/context", {"entries": entries, "bytes": bytes_, "across": across})

    def stream(self, key):
        result, answer = self.ask("GET", self.key_path(key))
        result["items"] = [] if result["code"] else [stream_of(value_of(answer.body))]
        return result

    def stream_set(self, key, **attributes):
        result, answer = self.ask("PATCH", self.key_path(key), attributes, headers={"Content-Type": "application/merge-patch+json"})
        result["items"] = [] if result["code"] else [stream_of(value_of(answer.body))]
        return result

    def streams(self, prefix=None, attribute=None, value=None):
        result, answer = self.ask("GET", "/streams", query={"prefix": prefix, f"attr.{attribute}": value})
        result["items"] = [] if result["code"] else [stream_of(s) for s in value_of(answer.body)["items"]]
        return result

    def search(self, words, prefix=None):
        result, answer = self.ask("GET", "/search", query={"q": words, "prefix": prefix})
        result["items"] = [] if result["code"] else found_of(answer.json()["items"])
        return only_code(result)

    def stream_rm(self, key):
        result, answer = self.ask("DELETE", self.key_path(key))
        result["items"] = [] if result["code"] else receipt_of(answer.json())
        return result

    def erase(self, attribute, value):
        result, answer = self.ask("DELETE", f"/people/{quote(attribute, safe='')}/{quote(value, safe='')}")
        result["items"] = [] if result["code"] else receipt_of(answer.json())
        return result

    def end(self):
        equal(self.server.stop(), 0, "the server stops")


class Cli:
    """The command line. Beside a server when it is given one."""

    name = "command line"

    def __init__(self, base, config, served=False):
        self.at, self.config = f"{base}#default", config
        self.server = Server(base, arguments=["--config", str(config)]) if served else None
        if served:
            self.name = "command line beside a server"

    @staticmethod
    def arguments(options):
        words = []
        for key, value in (options or {}).items():
            for one in value if isinstance(value, list) else [value]:
                if one is not None:
                    words += [f"--{key}"] if one is True else [f"--{key}", str(one)]
        return words

    def ask(self, *words, body=b"", options=None):
        arguments = self.arguments(options)
        done = run(words[0], *arguments, "--json", "--", *words[1:], stdin=body,
                   env={"KEEPFAST_AT": self.at, "KEEPFAST_CONFIG": str(self.config)})
        result = {"code": "", "exit": done.status}
        if done.status:
            check(done.out == b"" or words[0] in ("verify", "sync"), f"nothing on stdout with a failure: {done!r}")
            lines = [json.loads(line) for line in done.err.splitlines() if line.startswith(b"{")]
            check(len(lines) == 1, f"one problem on stderr: {done!r}")
            result.update(lines[0])
        return result, done

    def group(self, *words, body=b"", options=None):
        """Commands of two words."""
        arguments = self.arguments(options)
        done = run(*words[:2], *arguments, "--json", "--", *words[2:], stdin=body,
                   env={"KEEPFAST_AT": self.at, "KEEPFAST_CONFIG": str(self.config)})
        result = {"code": "", "exit": done.status}
        if done.status:
            result.update(json.loads(done.err.splitlines()[-1]))
        return result, done

    def write(self, verb, name, *words, body=b"", if_match=None, if_none_match=None, force=None, key=None, wait=None,
              timeout_ms=None, ack=None):
        result, done = self.ask(verb, name, *words, body=body, options={
            "if-match": if_match, "if-none-match": if_none_match, "force": force and True, "key": key, "wait": wait,
            "timeout": timeout_ms and f"{timeout_ms}ms", "ack": ack})
        if not result["code"]:
            result.update(done.json())
        return result

    def put(self, name, body, **kw):
        return self.write("put", name, "-", body=body, **kw)

    def patch(self, name, body, **kw):
        return self.write("patch", name, "-", body=body, **kw)

    def rm(self, name, **kw):
        return self.write("rm", name, **kw)

    def revert(self, name, version, **kw):
        return self.write("revert", name, str(version), **kw)

    def get(self, name, version=None):
        result, done = self.ask("get", name, options={"version": version})
        if not result["code"]:
            result["body"] = done.out
        return result

    def diff(self, name, **query):
        words = [str(query[k]) for k in ("from_", "to") if k in query]
        result, done = self.ask("diff", name, *words)
        if not result["code"]:
            result["body"] = done.json()
        return result

    def ls(self, prefix=None):
        result, done = self.ask("ls", *([prefix] if prefix else []))
        result["items"] = [] if result["code"] else digits(done.json()["items"], "name", "version", "size")
        return result

    def log(self, name):
        result, done = self.ask("log", name)
        result["items"] = [] if result["code"] else digits(done.json()["items"], "version", "size", "kind")
        return result

    def remotes(self):
        result, done = self.group("remote", "ls")
        result["items"] = [" ".join([r["name"], r["kind"], r["source"], r["schedule"], str(r["pending"]["count"])])
                           for r in done.json()["items"]]
        return result

    def remote_add(self, name, url, every=None, after=None, manual=None, docs=None):
        return self.group("remote", "add", name, url, options={
            "every": every and f"{every}s", "after": after, "manual": manual and True,
            "docs": docs and docs.split(",")})[0]

    def remote_rm(self, name):
        return self.group("remote", "rm", name)[0]

    def remote_probe(self, name):
        return self.group("remote", "probe", name)[0]

    def sync(self, name):
        return self.ask("sync", name, options={"wait": True, "timeout": "3s"})[0]

    def pending(self, name):
        result, done = self.ask("pending", name)
        result["items"] = [] if result["code"] else digits(done.json()["items"], "name", "version", "size")
        return result

    def runs(self, name=None):
        result, done = self.ask("runs", *([name] if name else []))
        result["items"] = [] if result["code"] else run_lines(done.json()["items"])
        return result

    def aside(self, remote=None, name=None):
        result, done = self.group("set-aside", "show" if name else "ls", *(w for w in (remote, name) if w))
        result["items"] = [] if result["code"] else digits(done.json()["items"], "remote", "kind", "name", "code")
        return result

    def aside_drop(self, remote, name=None):
        return self.group("set-aside", "drop", *(w for w in (remote, name) if w), options={"yes": not name or None})[0]

    def aside_retry(self, remote):
        return self.group("set-aside", "retry", remote, options={"timeout": "3s"})[0]

    def backup(self, file, pending=None, key_file=None):
        return self.ask("backup", file, options={"pending": pending, "key-file": key_file})[0]

    def restore(self, file, replace=None, key_file=None):
        return self.ask("restore", file, options={"replace": replace and True, "key-file": key_file})[0]

    def verify(self):
        result, done = self.ask("verify")
        result.update({k: done.json()[k] for k in ("docs", "versions", "bytes", "damaged", "repaired")})
        return result

    def digest(self):
        result, done = self.ask("digest")
        result["digest"] = done.json()["digest"]
        return result

    def status(self):
        result, done = self.ask("status")
        s = done.json()
        result.update(state=s["store"]["state"], docs=s["store"]["docs"], doc_bytes=str(s["store"]["doc_bytes"]),
                      pending=s["pending"]["count"])
        return result

    def doctor(self):
        done = run("doctor", "--json", env={"KEEPFAST_AT": self.at, "KEEPFAST_CONFIG": str(self.config)})
        items = done.json()["items"]
        equal(done.status, int(any(i["level"] != "note" for i in items)), f"its exit status: {done!r}")
        return {"code": "", "exit": 0, "items": found(done.json())}

    def append(self, key, entries, wait=None, timeout_ms=None):
        """One as an argument, when its body can be one; else as lines."""
        options, (first, *others) = {"wait": wait, "timeout": timeout_ms and f"{timeout_ms}ms"}, entries
        if not others and first["body"][:1] in b"{[" and "attach" not in first:
            about = {"id": first.get("id"), "kind": first.get("kind"), "time": told(first["at"])}
            result, done = self.ask("append", key, first["body"].decode(), options=options | about)
        else:
            lines = "".join(entry_text(e) + "\n" for e in entries).encode()  # a last one without its end may be sent by itself
            result, done = self.ask("append", key, "-", body=lines, options=options)
        if not result["code"]:
            result.update(appended(done.json()))
        return only_code(result)

    def entries(self, verb, key, options):
        result, done = self.ask(verb, key, options=options)
        result["items"] = []
        if not result["code"]:
            result["items"], result["more"] = entries_of(value_of(done.out), key)
        return result

    def last(self, key, last):
        return self.entries("tail", key, {"last": last})

    def context(self, key, entries=None, bytes_=None, across=None):
        return self.entries("context", key, {"entries": entries, "bytes": bytes_, "across": across})

    def infos(self, *words, options=None):
        result, done = self.group("stream", *words, options=options)
        answer = {} if result["code"] else value_of(done.out)
        result["items"] = [stream_of(s) for s in answer.get("items", [answer])] if answer else []
        return result

    def stream(self, key):
        return self.infos("show", key)

    def stream_set(self, key, **attributes):
        return self.infos("set", key, *(f"{name}={json.dumps(value)}" for name, value in attributes.items()))

    def streams(self, prefix=None, attribute=None, value=None):
        return self.infos("ls", *([prefix] if prefix else []), options={"attr": attribute and f"{attribute}={value}"})

    def search(self, words, prefix=None):
        result, done = self.ask("search", words, options={"prefix": prefix and f"{prefix}*"})
        result["items"] = [] if result["code"] else found_of(done.json()["items"])
        return only_code(result)

    def stream_rm(self, key):
        result, done = self.group("stream", "rm", key, options={"yes": True})
        result["items"] = [] if result["code"] else receipt_of(done.json())
        return result

    def erase(self, attribute, value):
        result, done = self.ask("erase", attribute, value, options={"yes": True})
        result["items"] = [] if result["code"] else receipt_of(done.json())
        return result

    def end(self):
        if self.server:
            equal(self.server.stop(), 0, "the server stops")


def doors(case, config):
    """A door of each kind, each with a store of its own."""
    for number, make in enumerate((C, Http, Cli, lambda b, c: Cli(b, c, served=True))):
        base = WORK / case / str(number)
        base.mkdir(mode=0o700, parents=True)
        yield make(base, config)


# ------------------------------------------------------------------------------------------- steps


ANY = object()  # as long as all doors agree
MORE = object()  # a door may give more than was asked for: C answers when it is on disk


class Story:
    """Runs a list of steps through every door. A step is (verb, arguments, what is expected of the answer). Text that begins with
    @ stands for something of the door: @NAME for an ETag that was kept by `keep`, @/PATH for a path below a folder of its own."""

    COMPARED = ("code", "exit", "offset", "version", "created", "unchanged", "replayed", "ack", "body", "items", "default",
                "docs", "versions", "bytes", "damaged", "repaired", "digest", "state", "doc_bytes", "pending",
                "held", "more")

    def __init__(self, case, config):
        self.case, self.config, self.steps = case, config, []

    def step(self, _verb, _keep=None, _expect=None, **arguments):
        self.steps.append((_verb, arguments, _expect or {}, _keep))

    def act(self, what):
        """Something done to the folder of each door, outside of it."""
        self.steps.append((None, what, None, None))

    def through(self, door, own):
        kept, answers = {}, []
        for number, (verb, arguments, expect, keep) in enumerate(self.steps):
            if verb is None:
                arguments(own)
                continue
            given = {}
            for key, value in arguments.items():
                if isinstance(value, str) and "@/" in value:
                    value = value.replace("@/", f"{own}/")
                elif isinstance(value, str) and value.startswith("@"):
                    value = kept[value[1:]]
                given[key] = value
            answer = getattr(door, verb)(**given)
            what = f"{door.name}: step {number} {verb} {str(arguments)[:120]}"
            wanted = {"code": "", **expect}
            for key, value in wanted.items():
                if value not in (ANY, MORE) and (key in answer or key == "code"):
                    equal(answer.get(key), value, f"{what}: {key} of {str(answer)[:300]}")
            if keep:
                kept[keep] = answer["etag"]
            answers.append((what, {k: answer[k] for k in self.COMPARED if k in answer and wanted.get(k) is not MORE}))
        return answers

    def run(self):
        everybody = []
        for number, door in enumerate(doors(self.case, self.config)):
            own = WORK / f"{self.case}-own-{number}"
            own.mkdir()
            everybody.append(self.through(door, own))
            door.end()
        compared = 0
        for other in everybody[1:]:
            for (first, a), (what, b) in zip(everybody[0], other):
                for key in a.keys() & b.keys():
                    equal(b[key], a[key], f"{what} against {first}: {key}")
                    compared += 1
        steps = sum(1 for s in self.steps if s[0])
        note(f"steps={steps} doors={len(everybody)} compared={compared}")
        check(compared >= steps * 6, "each step was compared in two things at least with each door")


@test
def documents():
    s = Story("documents", config_file("documents.yaml"))
    s.step("get", name="a.json", _expect={"code": "not_found", "exit": 1})
    body = b'{"b": 1.50, "a":\t"\\u017c\xc3\xb3"}\n'
    s.step("put", name="a.json", body=body, _keep="one", _expect={"version": 1, "created": True, "unchanged": False, "ack": "disk"})
    s.step("get", name="a.json", _expect={"body": body})
    s.step("put", name="a.json", body=body, _expect={"version": 1, "created": False, "unchanged": True})
    s.step("put", name="a.json", body=b'{"a": 2}', _keep="two", _expect={"version": 2, "created": False})
    s.step("patch", name="a.json", body=b'{"b":3}', _expect={"version": 3})
    s.step("get", name="a.json", _expect={"body": b'{"a": 2,"b": 3}'})
    s.step("get", name="a.json", version=1, _expect={"body": body})
    s.step("get", name="a.json", version=9, _expect={"code": "not_found", "exit": 1})
    s.step("log", name="a.json", _expect={"items": ["3 15 patch current", "2 8 put", f"1 {len(body)} put"]})
    s.step("log", name="nothing", _expect={"code": "not_found"})
    s.step("diff", name="a.json", _expect={"body": [{"op": "add", "path": "/b", "value": 3}]})
    s.step("diff", name="a.json", **{"from_": 2, "to": 3})
    s.step("diff", name="a.json", **{"from_": 1, "to": 9}, _expect={"code": "not_found"})
    s.step("revert", name="a.json", version=1, _expect={"version": 4})
    s.step("get", name="a.json", _expect={"body": body})
    s.step("revert", name="a.json", version=99, _expect={"code": "not_found", "exit": 1})
    s.step("revert", name="nothing", version=1, _expect={"code": "not_found"})
    # conditions
    s.step("put", name="a.json", body=b"5", if_match="@two", _expect={"code": "version_mismatch", "exit": 5, "version": 4})
    s.step("patch", name="a.json", body=b"{}", if_match="@two", _expect={"code": "version_mismatch", "version": 4})
    s.step("rm", name="a.json", if_match="@two", _expect={"code": "version_mismatch", "version": 4})
    s.step("revert", name="a.json", version=1, if_match="@two", _expect={"code": "version_mismatch", "version": 4})
    s.step("put", name="a.json", body=b"6", if_match="*", _keep="six", _expect={"version": 5})
    s.step("put", name="a.json", body=b"7", if_match="@six", _expect={"version": 6})
    s.step("put", name="a.json", body=b"8", if_none_match="*", _expect={"code": "version_mismatch", "exit": 5, "version": 6})
    s.step("put", name="new.json", body=b"8", if_none_match="*", _expect={"version": 1, "created": True})
    s.step("put", name="nothing", body=b"8", if_match="@six", _expect={"code": "version_mismatch"})
    s.step("get", name="nothing", _expect={"code": "not_found"})
    # once
    s.step("put", name="once.json", body=b"1", key="k1", _expect={"version": 1, "created": True, "replayed": False})
    s.step("put", name="once.json", body=b"1", key="k1", _expect={"version": 1, "created": True, "replayed": True})
    s.step("put", name="once.json", body=b"2", key="k1", _expect={"code": "id_reused", "exit": 5})
    s.step("put", name="other.json", body=b"1", key="k1", _expect={"code": "id_reused"})
    s.step("get", name="other.json", _expect={"code": "not_found"})
    s.step("patch", name="once.json", body=b'{"x":1}', key="k2", _expect={"version": 2})
    s.step("patch", name="once.json", body=b'{"x":1}', key="k2", _expect={"version": 2, "replayed": True})
    # gone and back
    s.step("rm", name="nothing", _expect={"code": "not_found", "exit": 1})
    s.step("rm", name="a.json")
    s.step("get", name="a.json", _expect={"code": "not_found", "exit": 1})
    s.step("rm", name="a.json", _expect={"code": "not_found"})
    s.step("patch", name="a.json", body=b"{}", _expect={"code": "not_found"})
    s.step("put", name="a.json", body=b"9", _expect={"version": 8, "created": True})
    s.step("get", name="a.json", version=7, _expect={"code": "not_found"})
    s.step("rm", name="a.json")
    s.step("revert", name="a.json", version=8, _expect={"version": 10})
    s.step("log", name="a.json")
    # kept
    for number in range(1, 5):
        s.step("put", name="few.json", body=str(number).encode())
    s.step("log", name="few.json", _expect={"items": ["4 1 put current", "3 1 put"]})
    s.step("get", name="few.json", version=1, _expect={"code": "not_found"})
    # defaults and schema
    s.step("get", name="config/x.json", _expect={"default": True})
    s.step("put", name="config/x.json", body=b'{"email":1}', _expect={"code": "schema", "exit": 11})
    s.step("put", name="config/x.json", body=b'{"email":"a"}', _expect={"version": 1})
    s.step("patch", name="config/x.json", body=b'{"more":1}', _expect={"code": "schema"})
    s.step("get", name="config/x.json", _expect={"default": False, "body": b'{"email":"a"}'})
    # levels
    s.step("put", name="memory.json", body=b"1", ack="memory", _expect={"version": 1, "ack": MORE})
    s.step("ls", prefix="config/", _expect={"items": ["config/x.json 1 13"]})
    s.step("ls")
    s.step("verify", _expect={"damaged": 0})
    s.step("digest")
    s.step("status", _expect={"state": "open", "pending": 0})
    s.run()


@test
def findings():
    s = Story("findings", config_file("findings.yaml"))
    s.step("put", name="a.json", body=b"1")
    s.step("doctor", _expect={"items": ["only_here note"]})
    s.act(lambda own: (own / "usb").mkdir())
    s.step("remote_add", name="usb", url="dir:@/usb", manual=True)
    s.step("remote_add", name="away", url="dir:@/not/there", manual=True)
    s.step("doctor", _expect={"items": ["remote_same_disk warning usb", "remote_manual note away", "remote_manual note usb"]})
    s.step("sync", name="usb")
    s.step("sync", name="away", _expect={"code": "level_unavailable", "exit": 6})
    s.step("doctor", _expect={"items": ["remote_away warning away", "remote_same_disk warning usb"]})
    s.run()


@test
def names():
    s = Story("names", config_file("names.yaml"))
    good = ["versions", "x/versions", "x/diff", "revert", "a b", "za\u017c\u00f3\u0142\u0107/\u2603", "50%", "a?b#c&d=e", "+",
            "--version", "-", "..a", "a..", "%2F", "\\", "\"", "a" * 1024, "x/" * 511 + "yy", "~`'<>|*", "\u0001\u007f"]
    for name in good:
        s.step("put", name=name, body=b"1", _expect={"version": 1})
        s.step("get", name=name, _expect={"body": b"1"})
    for name in ["", "a//b", "/a", "a/", ".", "..", "../x", "a/./b", "a/../b", "a" * 1025]:
        s.step("put", name=name, body=b"1", _expect={"code": "bad_key", "exit": 11})
        s.step("get", name=name, _expect={"code": "bad_key", "exit": 11})
    s.step("log", name="x/versions", _expect={"items": ["1 1 put current"]})
    s.step("digest")
    s.run()


@test
def bodies():
    s = Story("bodies", config_file("bodies.yaml"))
    for body in [b" 1e400 ", b'""', b"[" * 64 + b"]" * 64, b'"' + b"x" * 1_000_000 + b'"', b"-0.0", b'"\\u0000"',
                 b'{"a":{},"b":[],"":null}', b"[1,2 ,\n3]\r\n", "\"\U0001f600\"".encode()]:
        s.step("put", name="b", body=body)
        s.step("get", name="b", _expect={"body": body})
    for body, code, offset in [(b'{"a":1,"a":2}', "bad_json", 7), (b"[1,NaN]", "bad_json", 3), (b'"\xff"', "bad_json", 1),
                               (b"[1] x", "bad_json", 4), (b"", "bad_json", 0), (b"\xef\xbb\xbf1", "bad_json", 0),
                               (b"01", "bad_json", 1), (b'{"a"', "bad_json", 4), (b"[" * 65 + b"]" * 65, "json_limit", 64)]:
        s.step("put", name="bad", body=body, _expect={"code": code, "exit": 11, "offset": offset})
        s.step("patch", name="b", body=body, _expect={"code": code, "exit": 11, "offset": offset})
    s.step("put", name="bad", body=b"[" + b"1," * 100_000 + b"1]", _expect={"code": "json_limit"})
    s.step("put", name="bad", body=b'"' + b"x" * (8 * 1024 * 1024) + b'"', _expect={"code": "too_large", "exit": 11})
    s.step("get", name="bad", _expect={"code": "not_found"})
    s.step("patch", name="b", body=b"[1]")
    s.step("get", name="b", _expect={"body": b"[1]"})
    s.step("digest")
    s.run()


@test
def remotes():
    s = Story("remotes", config_file("remotes.yaml"))
    s.step("put", name="a", body=b"1")
    s.step("put", name="b", body=b"22")
    s.step("remotes", _expect={"items": []})
    s.step("sync", name="usb", _expect={"code": "unknown_remote", "exit": 1})
    s.step("put", name="c", body=b"1", wait="usb", _expect={"code": "unknown_remote", "exit": 1})
    s.step("put", name="c", body=b"1", wait="all", _expect={"code": "unknown_remote", "exit": 1})
    s.step("get", name="c", _expect={"code": "not_found"})
    for name, url in [("usb", "nonsense"), ("usb", "ftp://x"), ("usb", ""), ("Usb", "dir:@/u"), ("", "dir:@/u")]:
        s.step("remote_add", name=name, url=url, _expect={"code": ANY})
    s.step("remote_add", name="usb", url="dir:@/usb", manual=True)
    s.step("remote_add", name="usb", url="dir:@/usb2", manual=True, _expect={"code": ANY})
    s.step("remotes", _expect={"items": ["usb dir store manual: true 2"]})
    s.step("remote_probe", name="usb")
    s.step("remote_probe", name="none", _expect={"code": "unknown_remote", "exit": 1})
    s.step("pending", name="usb", _expect={"items": ["a 1 1", "b 1 2"]})
    s.step("pending", name="none", _expect={"code": "unknown_remote"})
    s.step("sync", name="usb")
    s.step("pending", name="usb", _expect={"items": []})
    s.step("rm", name="b")
    s.step("pending", name="usb", _expect={"items": ["b 2 0 deleted"]})
    s.step("put", name="c", body=b"1", wait="usb", _expect={"ack": "remote"})
    s.step("status", _expect={"pending": 0})
    s.step("runs", name="none", _expect={"code": "unknown_remote", "exit": 1})
    done = ["usb asked 2 1 0 good", "usb asked 2 3 0 good"]
    s.step("runs", name="usb", _expect={"items": done})
    s.act(lambda own: (own / "usb").rename(own / "away"))
    s.act(lambda own: (own / "usb").write_text("in the way"))
    s.step("put", name="d", body=b"1", wait="usb", timeout_ms=2000, _expect={"code": "level_unavailable", "exit": 6})
    s.step("get", name="d", _expect={"body": b"1"})
    s.step("sync", name="usb", _expect={"code": ANY, "exit": 6})
    s.step("pending", name="usb", _expect={"items": ["d 1 1"]})
    s.step("runs", name="usb", _expect={"items": ["usb asked 0 0 0 remote_failed", *done]})
    s.act(lambda own: (own / "usb").unlink())
    s.act(lambda own: (own / "away").rename(own / "usb"))
    s.step("sync", name="usb")
    s.step("status", _expect={"pending": 0})
    s.step("runs", _expect={"items": ["usb asked 1 1 0 good", "usb asked 0 0 0 remote_failed", *done]})
    s.step("remote_add", name="second", url="dir:@/second", manual=True, docs="a,x*")
    s.step("pending", name="second", _expect={"items": ["a 1 1"]})
    # One with a schedule pushes what is there at once: what it has pending is not asked before it is waited for.
    s.step("remote_add", name="third", url="dir:@/third", every=3600, after=50)
    s.step("put", name="e", body=b"1", wait="second,usb", _expect={"ack": "remote"})
    s.step("put", name="e", body=b"2", wait="all", _expect={"ack": "remote"})
    s.step("put", name="e", body=b"3", wait="usb,none", _expect={"code": "unknown_remote"})
    s.step("remotes")
    s.step("remote_rm", name="usb")
    s.step("remote_rm", name="usb", _expect={"code": "unknown_remote", "exit": 1})
    s.step("remotes")
    s.run()


AT = 1767322000000


def entry(number, body, **more):
    return {"at": AT + 1000 * number, "body": body, **more}


@test
def streams():
    s = Story("streams", config_file("streams.yaml"))
    hello = entry(1, b'{"text": "Hello  Gda\\u0144sk", "x": 1.50}', id="m-1", kind="user")
    s.step("last", key="chat/1", last=5, _expect={"code": "not_found", "exit": 1})
    s.step("append", key="chat/1", entries=[hello], _expect={"items": ["1"], "held": 1, "ack": "disk"})
    # once
    s.step("append", key="chat/1", entries=[hello], _expect={"items": ["1 duplicate"], "held": 1})
    other = {**hello, "body": b'{"text":"other"}'}
    s.step("append", key="chat/1", entries=[other], _expect={"code": "id_reused", "exit": 5})
    s.step("append", key="chat/1", entries=[{**hello, "kind": "tool"}], _expect={"code": "id_reused", "exit": 5})
    s.step("append", key="chat/1", entries=[entry(2, b"2", kind="user"), other], _expect={"code": "id_reused"})
    s.step("append", key="chat/2", entries=[other], _expect={"items": ["1"], "held": 1})
    more = [entry(2, b"[1e400]", id="m-2", kind="tool", attach=b'{"model":"small"}'), hello, entry(3, b'{"text":"hello again"}', kind="user")]
    s.step("append", key="chat/1", entries=more, _expect={"items": ["2", "1 duplicate", "3"], "held": 3})
    s.step("append", key="chat/1", entries=more[:2], _expect={"items": ["2 duplicate", "1 duplicate"], "held": 3})
    # read
    first, second, third = (f"chat/1 {n} {AT + 1000 * n} {about}" for n, about in ((1, "m-1 user"), (2, "m-2 tool"), (3, " user")))
    first, second = (first, {"text": "Hello  Gda\u0144sk", "x": "1.50"}, None), (second, ["1e400"], {"model": "small"})
    third = (third, {"text": "hello again"}, None)
    s.step("last", key="chat/1", last=5, _expect={"items": [first, second, third], "more": False})
    s.step("last", key="chat/1", last=2, _expect={"items": [second, third], "more": True})
    s.step("context", key="chat/1", entries=1, _expect={"items": [third], "more": True})
    s.step("context", key="chat/1", bytes_=50, _expect={"items": [second, third], "more": True})
    s.step("context", key="none", _expect={"code": "not_found", "exit": 1})
    # attributes and rings
    about = f"chat/1 3 3 {len(hello['body']) + 7 + 22} {AT + 1000} {AT + 3000} tool:1,user:2,"
    s.step("stream", key="chat/1", _expect={"items": [(about, {}, {"tools": [("2", ["1e400"])]})]})
    s.step("stream_set", key="chat/1", customer=7, name="Anna K", cart={"id": 1})
    s.step("stream_set", key="chat/1", cart=None, _expect={"items": [(about, {"customer": "7", "name": "Anna K"}, {"tools": [("2", ["1e400"])]})]})
    s.step("stream_set", key="new", customer=7, _expect={"items": [("new 0 0 0 0 0 ", {"customer": "7"}, {})]})
    s.step("streams", attribute="customer", value="7", _expect={"items": [(about, {"customer": "7", "name": "Anna K"}, {}),
                                                                          ("new 0 0 0 0 0 ", {"customer": "7"}, {})]})
    s.step("streams", attribute="customer", value="8", _expect={"items": []})
    s.step("streams", prefix="chat/")
    s.step("stream", key="none", _expect={"code": "not_found", "exit": 1})
    s.step("append", key="new", entries=[entry(4, b'"hello here"')], _expect={"items": ["1"]})
    across = ("new 1 " + str(AT + 4000) + "  ", "hello here", None)
    s.step("context", key="chat/1", across="customer", entries=2, _expect={"items": [third, across], "more": True})
    s.step("context", key="chat/2", across="customer", _expect={"code": "bad_filter", "exit": 11})
    # search
    s.step("search", words="gdansk", _expect={"items": [f'chat/1 1 {AT + 1000} user 1 "Hello  Gda\u0144sk" "Gda\u0144sk"']})
    s.step("search", words="hello", _expect={"items": ANY})
    s.step("search", words='"hello again"', prefix="chat/", _expect={"items": [f'chat/1 3 {AT + 3000} user 1 "hello again" "hello again"']})
    s.step("search", words="hel*", prefix="new", _expect={"items": [f'new 1 {AT + 4000}  1 "hello here" "hello"']})
    s.step("search", words='"x', _expect={"code": "bad_filter", "exit": 11})
    # refused
    s.step("append", key="chat/1", entries=[entry(5, b"[1]", kind="assistant")], _expect={"code": "kind_not_allowed", "exit": 11})
    s.step("append", key="chat/1", entries=[entry(5, b"[1]")], _expect={"code": "kind_not_allowed"})
    s.step("append", key="chat/1", entries=[entry(5, b"1", kind="user"), entry(5, b"1", kind="no")], _expect={"code": MORE, "exit": 11})
    s.step("append", key="chat/1", entries=[entry(5, b"[1]", kind="user", id="x" * 256)], _expect={"code": "bad_request", "exit": 2})
    s.step("append", key="a//b", entries=[entry(5, b"[1]")], _expect={"code": "bad_key", "exit": 11})
    s.step("append", key="a", entries=[entry(5, b"[1]")], wait="usb", _expect={"code": "unknown_remote", "exit": 1})
    s.step("last", key="a", last=1, _expect={"code": "not_found"})
    s.step("stream", key="chat/1", _expect={"items": [(about, {"customer": "7", "name": "Anna K"}, {"tools": [("2", ["1e400"])]})]})
    # kept
    for number in range(1, 5):
        s.step("append", key="short/1", entries=[entry(number, b"%d" % number, id=f"s-{number}")], _expect={"items": [str(number)]})
    s.step("last", key="short/1", last=9, _expect={"items": [(f"short/1 {n} {AT + 1000 * n} s-{n} ", str(n), None) for n in (3, 4)]})
    s.step("append", key="short/1", entries=[entry(1, b"1", id="s-1")], _expect={"items": ["1 duplicate"], "held": 2})
    s.step("verify", _expect={"damaged": 0})
    # brought back, and gone for good
    s.step("backup", file="@/streams.zip")
    s.step("append", key="chat/1", entries=[entry(6, b'"later"', id="m-6", kind="user")], _expect={"items": ["4"], "held": 4})
    s.step("restore", file="@/streams.zip", replace=True)
    s.step("last", key="chat/1", last=5, _expect={"items": [first, second, third], "more": False})
    s.step("append", key="chat/1", entries=[hello], _expect={"items": ["1 duplicate"], "held": 3})
    s.step("append", key="chat/1", entries=[entry(6, b'"later"', id="m-6", kind="user")], _expect={"items": ["4"], "held": 4})
    s.step("stream_rm", key="chat/2", _expect={"items": ["1 1 0 16"]})
    s.step("stream_rm", key="chat/2", _expect={"items": ["1 1 0 16 again"]})
    s.step("stream_rm", key="none", _expect={"code": "not_found", "exit": 1})
    s.step("last", key="chat/2", last=1, _expect={"code": "not_found", "exit": 1})
    s.step("erase", attribute="customer", value="7", _expect={"items": [f"2 5 1 {len(hello['body']) + 7 + 22 + 7 + 12}"]})
    s.step("erase", attribute="customer", value="nobody", _expect={"code": "not_found", "exit": 1})
    s.step("search", words="hello", _expect={"items": []})
    s.step("streams")
    s.step("append", key="chat/1", entries=[other], _expect={"items": ["1"], "held": 1})
    s.step("verify", _expect={"damaged": 0})
    s.run()


def somebody_elses(own):
    """A place to which another store has pushed, with an object damaged since."""
    at = ("--at", str(own / "other.db"))
    for words in (("put", "theirs", "-"), ("put", "fine", "-"), ("remote", "add", "bad", f"dir:{own}/bad"), ("sync",)):
        equal(run(*words, *at, stdin=b"[1234]").status, 0, f"{words}")
    (damaged,) = (own / "bad/docs/theirs").iterdir()
    damaged.chmod(0o600)
    damaged.write_bytes(b"[9999]")


def mend(own):
    (damaged,) = (own / "bad/docs/theirs").iterdir()
    damaged.write_bytes(b"[1234]")


@test
def set_aside():
    s = Story("aside", config_file("aside.yaml"))
    s.act(somebody_elses)
    s.step("put", name="own", body=b"1")
    s.step("aside", _expect={"items": []})
    s.step("aside", remote="bad", _expect={"code": "unknown_remote", "exit": 1})
    s.step("remote_add", name="bad", url="dir:@/bad", manual=True)
    s.step("sync", name="bad", _expect={"code": "level_unavailable", "exit": 6})
    s.step("get", name="fine", _expect={"body": b"[1234]"})
    s.step("get", name="theirs", _expect={"code": "not_hydrated", "exit": 8})
    for _ in range(2):
        s.step("aside", _expect={"items": ["bad refused theirs bad_object"]})
        s.step("aside", remote="bad", name="theirs", _expect={"items": ["bad refused theirs bad_object"]})
        s.step("aside_drop", remote="bad", name="other", _expect={"code": "not_found", "exit": 1})
        s.step("aside_drop", remote="bad", name="theirs")
        s.step("aside", remote="bad", _expect={"items": []})
        s.step("aside_retry", remote="bad", _expect={"code": "level_unavailable", "exit": 6})
    s.step("aside_drop", remote="bad")
    s.step("aside", _expect={"items": []})
    s.act(mend)
    s.step("aside_retry", remote="bad")
    s.step("aside_retry", remote="none", _expect={"code": "unknown_remote", "exit": 1})
    s.step("aside_drop", remote="none", _expect={"code": "unknown_remote", "exit": 1})
    s.step("aside", remote="bad", _expect={"items": []})
    s.step("get", name="theirs", _expect={"body": b"[1234]"})
    s.run()


def cut(own):
    whole = (own / "all.zip").read_bytes()
    (own / "cut.zip").write_bytes(whole[:len(whole) // 2])
    flipped = bytearray(whole)
    flipped[whole.index(b"docs/") + 120] ^= 0x10
    (own / "flipped.zip").write_bytes(flipped)
    (own / "none.zip").write_bytes(b"this is no archive")
    (own / "empty.zip").write_bytes(b"")


def make_keys(own):
    for name, digit in (("one", "1"), ("two", "2")):
        key = own / f"{name}.key"
        key.write_text(digit * 64 + "\n")
        key.chmod(0o600)


@test
def backup_and_restore():
    s = Story("backup", config_file("backup.yaml"))
    for number in range(20):
        s.step("put", name=f"d/{number}", body=json.dumps({"n": number, "t": "x" * 100}).encode())
    s.step("put", name="d/1", body=b'"changed"')
    s.step("rm", name="d/2")
    s.step("digest")
    s.step("backup", file="@/all.zip")
    s.step("put", name="later", body=b"1")
    s.step("restore", file="@/all.zip", _expect={"code": "not_empty", "exit": 3})
    s.step("get", name="later", _expect={"body": b"1"})
    s.act(cut)
    for name in ("cut", "flipped", "none", "empty"):
        s.step("restore", file=f"@/{name}.zip", replace=True, _expect={"code": "incomplete" if name == "flipped" else "bad_archive"})
        s.step("get", name="later", _expect={"body": b"1"})
    s.step("restore", file="@/all.zip", replace=True)
    s.step("get", name="later", _expect={"code": "not_found"})
    s.step("log", name="d/1", _expect={"items": ["2 9 put current", "1 117 put"]})
    s.step("digest")
    s.step("verify", _expect={"docs": 19, "damaged": 0})
    s.step("remote_add", name="usb", url="dir:@/usb", manual=True)
    s.step("status", _expect={"pending": 20})
    s.step("sync", name="usb")
    s.step("put", name="d/3", body=b"3")
    s.step("rm", name="d/4")
    s.step("backup", file="@/pending.zip", pending="usb")
    s.step("backup", file="@/x.zip", pending="none", _expect={"code": "unknown_remote"})
    s.step("put", name="d/3", body=b"4")
    s.step("restore", file="@/all.zip", replace=True)
    s.step("restore", file="@/pending.zip")
    s.step("get", name="d/3", _expect={"body": b"3"})
    s.act(make_keys)
    s.step("backup", file="@/sealed", key_file="@/none.key", _expect={"code": "key_needed", "exit": 3})
    s.step("backup", file="@/sealed", key_file="@/one.key")
    s.step("put", name="d/3", body=b"5")
    s.step("restore", file="@/sealed", replace=True, _expect={"code": "key_needed", "exit": 3})
    s.step("restore", file="@/sealed", replace=True, key_file="@/two.key", _expect={"code": "key_needed"})
    s.step("restore", file="@/all.zip", replace=True, key_file="@/one.key", _expect={"code": "bad_archive"})
    s.step("get", name="d/3", _expect={"body": b"5"})
    s.step("restore", file="@/sealed", replace=True, key_file="@/one.key")
    s.step("get", name="d/3", _expect={"body": b"3"})
    s.step("get", name="d/4", _expect={"code": "not_found"})
    s.step("digest")
    s.run()


@test
def while_a_store_is_being_filled():
    place = WORK / "in-the-way"
    place.write_text("no folder")
    s = Story("filling", config_file("filling.yaml", f'    remotes:\n      usb: {{ url: "dir:{place}" }}\n'))
    s.step("get", name="a", _expect={"code": "not_hydrated", "exit": 8})
    s.step("put", name="a", body=b"1", _expect={"code": "load_failed", "exit": 5})
    s.step("patch", name="a", body=b"{}", _expect={"code": "not_hydrated", "exit": 8})
    s.step("rm", name="a", _expect={"code": "load_failed", "exit": 5})
    s.step("log", name="a", _expect={"code": "not_hydrated"})
    s.step("put", name="a", body=b"1", if_match="*", _expect={"version": 1})
    s.step("put", name="b", body=b"1", force=True, _expect={"version": 1})
    s.step("get", name="a", _expect={"body": b"1"})
    s.step("get", name="config/x.json", _expect={"code": "not_hydrated"})
    s.step("status", _expect={"state": "hydrating"})
    s.run()


main()

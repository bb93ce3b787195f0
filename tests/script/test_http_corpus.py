#!/usr/bin/env python3
# test: timeout=300
"""What no well-meaning client sends, against the real program, each input with the exact status that it must get: requests (the tables
tests/http), bodies (tests/json/cases.txt, whole and cut into chunks, as a document and as a patch), methods that a route has not, limits
to the byte. After each 50 inputs a good request must work, and in the end the server must be as it was: alive, as large as before, with
what it held.

tests/script/test_http_hostile.py sends the tables of heads and of chunks, and crowds."""

import ast
import json
import os
import re
import sys

sys.path.insert(0, os.path.join(os.environ.get("KF_TOP", "."), "tests"))
from keepfast import Server, description, folder, wait_for  # noqa: E402
from tap import check, equal, main, note, test  # noqa: E402
from wire import Wire, chunked, once  # noqa: E402

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LITERAL = r'"(?:[^"\\]|\\.)*"'
METHODS = ("GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "TRACE", "PROPFIND", "GETX")
INPUTS_MIN = 1200
ALL = {}  # inputs by test


def requests():
    """(name, status, code, method, target, header lines, body) of each line of the table."""
    found = []
    with open(os.path.join(TOP, "tests/http/requests.def"), encoding="utf-8") as file:
        for line in file:
            if not line.startswith("Q("):
                continue
            pieces = re.fullmatch(rf"Q\(({LITERAL}), (\d+), ({LITERAL}), ({LITERAL}), ({LITERAL}), ({LITERAL})\)\n", line)
            check(pieces, f"a line of the table is read: {line}")
            name, code, first, headers = (ast.literal_eval(pieces[n]) for n in (1, 3, 4, 5))
            method, target = first.split(" ", 1)
            found.append((name, int(pieces[2]), code, method, target, headers.splitlines(), ast.literal_eval("b" + pieces[6])))
    return found


def bodies():
    """(name, "ok" or the code, offset, bytes) of each case of JSON."""
    found = []
    with open(os.path.join(TOP, "tests/json/cases.txt"), encoding="utf-8", newline="\n") as file:
        for line in file:
            if line.startswith("#") or not line.strip():
                continue
            name, verdict, text = (line.rstrip("\n") + " ").split(" ", 2)
            text = text[:-1]
            code, _, offset = verdict.partition("@")
            found.append((name, code, int(offset or 0), written(text)))
    return found


def written(text):
    """Undoes the writing of cases.txt."""
    out, at = b"", 0
    while at < len(text):
        times = re.compile(r"\*(\d+)<").match(text, at)
        if times:
            end = text.index(">", times.end())
            out += written(text[times.end():end]) * int(times[1])
            at = end + 1
        elif text[at] == "\\":
            out += bytes([int(text[at + 2:at + 4], 16)]) if text[at + 1] == "x" else b"\\"
            at += 4 if text[at + 1] == "x" else 2
        else:
            out += text[at].encode()
            at += 1
    return out


class Corpus:
    """A server, and a connection that is made anew when an answer ends it."""

    def __init__(self, server):
        self.server, self.wire, self.count, self.amiss = server, Wire(server.address), 0, []

    def put(self, name, body):
        check(once(self.server.address, "PUT", f"/v1/default/docs/{name}", body=body).status in (200, 201), f"{name} is there")

    def ask(self, method, target, headers=(), body=None):
        """The answer on a connection that goes on, unless the one before has ended it."""
        answer = self.wire.ask(method, target, headers=headers, body=body)
        if answer is None or answer.closes:
            self.wire.close()
            self.wire = Wire(self.server.address)
        self.count += 1
        if self.count % 50 == 0:
            with Wire(self.server.address) as good:
                equal(good.ask("GET", "/healthz").status, 200, "a good request")
        return answer

    def judge(self, name, answer, status, code, method, target):
        if answer is None:
            self.amiss.append(f"{name}: no answer")
            return None
        problem = json.loads(answer.body) if answer.header("Content-Type") == "application/problem+json" and answer.body else {}
        got = problem.get("code", "")
        if method == "HEAD" and code:
            got = code
        if (answer.status, got) != (status, code):
            self.amiss.append(f"{name}: got {answer}, wanted {status} {code}")
        else:
            description().check(method, target, answer.status, answer.headers, answer.body)
        return problem

    def end(self, name):
        self.wire.close()
        equal(once(self.server.address, "GET", "/healthz").status, 200, "alive")
        equal(self.amiss[:20], [], f"what was not as it must be ({len(self.amiss)} of {self.count})")
        ALL[name] = self.count
        note(f"inputs={self.count}")


def serve():
    server = Server(folder() / "data")
    for body in (b"0", b'{"n":1}'):
        once(server.address, "PUT", "/v1/default/docs/there", body=body)
    once(server.address, "PUT", "/v1/default/docs/dir/there", body=b"{}")
    return server


# ------------------------------------------------------------------------------------- tests


@test
def every_request_gets_its_status():
    table = requests()
    check(len({name for name, *_ in table}) == len(table), "each has a name of its own")
    with serve() as server:
        c = Corpus(server)
        for name, status, code, method, target, headers, body in table:
            silent = not body and not any(line.lower().startswith("content-length") for line in headers)
            answer = c.ask(method, target, headers, None if silent or not body else body)
            c.judge(name, answer, status, code, method, target)
        c.end("requests")
        equal(server.stop(), 0, "its end")


@test
def every_body_gets_its_verdict():
    table = bodies()
    check(len(table) > 350, "the cases were read")
    with serve() as server:
        c = Corpus(server)
        for number, (name, code, offset, body) in enumerate(table):
            status = 200 if code == "ok" else 400
            for form in ("whole", "in chunks"):
                # A name of its own each time: what is refused makes nothing, what is taken comes back byte for byte.
                target = f"/v1/default/docs/case/{number}/{form[:2]}"
                headers = ["Transfer-Encoding: chunked"] if form == "in chunks" else [f"Content-Length: {len(body)}"]
                answer = c.ask("PUT", target, headers, chunked(body, max(1, len(body) // 7)) if form == "in chunks" else body)
                problem = c.judge(f"{name}, {form}", answer, 201 if code == "ok" else 400, "" if code == "ok" else code, "PUT", target)
                if problem and problem.get("offset") != offset:
                    c.amiss.append(f"{name}, {form}: offset {problem.get('offset')}, wanted {offset}")
                back = c.wire.ask("GET", target)
                if (back.status, back.body if code == "ok" else b"") != ((200, body) if code == "ok" else (404, b"")):
                    c.amiss.append(f"{name}, {form}: comes back as {back}")
            answer = c.ask("PATCH", "/v1/default/docs/there", [f"Content-Length: {len(body)}"], body)
            c.judge(f"{name}, a patch", answer, status, "" if code == "ok" else code, "PATCH", "/v1/default/docs/there")
        c.end("bodies")
        equal(server.stop(), 0, "its end")


@test
def every_other_method_is_refused():
    with serve() as server:
        c = Corpus(server)
        for pattern, path in description().paths.items():
            target = pattern.replace("{space}", "default").replace("{name}", "there").replace("{remote}", "usb")
            target = target.replace("{id}", "0" * 12).replace("{file}", "style.css").replace("{key}", "there").replace("{table}", "there")
            target = target.replace("{attribute}", "customer").replace("{value}", "7")
            there = {method.upper() for method in path}
            if "GET" in there:
                there.add("HEAD")
            for method in METHODS:
                if method in there:
                    continue
                answer = c.ask(method, target)
                c.judge(f"{method} {pattern}", answer, 405, "method_not_allowed", method, target)
                if answer and not there <= set(re.split(", *", answer.header("Allow") or "")):
                    c.amiss.append(f"{method} {pattern}: Allow is {answer.header('Allow')}, not {sorted(there)}")
        c.end("methods")


@test
def limits_to_the_byte():
    with serve() as server:
        c = Corpus(server)
        base = "/v1/default/docs/"

        def one(name, status, code, method, target, headers=(), body=None):
            answer = c.ask(method, target, headers, body)
            # Beyond a door's limit the connection ends; the answer is told apart by its code all the same.
            c.judge(name, answer, status, code, method, target)

        for length, status, code in ((1023, 201, ""), (1024, 201, ""), (1025, 400, "bad_key"), (2000, 400, "bad_key")):
            one(f"a name of {length}", status, code, "PUT", base + "n" * length, body=b"1")
        two = "%C5%BC"  # two bytes, six in the target
        for count, status, code in ((512, 201, ""), (513, 400, "bad_key")):
            one(f"a name of {count} letters of two bytes", status, code, "PUT", base + two * count, body=b"1")
        whole = 8192
        for length, status, code in ((whole - 1, 400, "bad_key"), (whole, 400, "bad_key"), (whole + 1, 414, "uri_too_long"), (15000, 414, "uri_too_long")):
            one(f"a target of {length}", status, code, "GET", base + "a" * (length - len(base)))
        limit = 8 << 20
        for length, status, code in ((limit - 1, 201, ""), (limit, 200, ""), (limit + 1, 413, "too_large")):
            body = b'"' + b"x" * (length - 2) + b'"'
            one(f"a document of {length}", status, code, "PUT", base + "large", body=body)
            if status < 300:
                one(f"a document of {length} in chunks", 200, "", "PUT", base + "large", ["Transfer-Encoding: chunked"], chunked(body, 1 << 16))
        one("a document beyond, in chunks", 413, "too_large", "PUT", base + "large", ["Transfer-Encoding: chunked"], chunked(b"1" * (limit + 1), 1 << 16))
        for lines, status, code in ((98, 200, ""), (99, 200, ""), (100, 431, "headers_too_large"), (150, 431, "headers_too_large")):
            one(f"{lines} lines and Host", status, code, "GET", base + "there", ["X: a"] * lines)
        for length, status, code in ((10000, 200, ""), (16000, 200, ""), (16384, 431, "headers_too_large"), (40000, 431, "headers_too_large")):
            one(f"a line of {length}", status, code, "GET", base + "there", ["X: " + "a" * length])
        for length, status, code in ((200, 201, ""), (255, 201, "")):
            one(f"a key of {length}", status, code, "PUT", f"{base}key{length}", ["Idempotency-Key: " + "k" * length], b"1")
        one("a key of 5000", 400, "bad_request", "PUT", base + "key", ["Idempotency-Key: " + "k" * 5000], b"1")
        for depth, status, code in ((64, 201, ""), (65, 400, "json_limit"), (100000, 400, "json_limit")):
            one(f"{depth} levels", status, code, "PUT", f"{base}deep{depth}", body=b"[" * depth + b"]" * depth)
        c.end("limits")


@test
def lines_of_the_log_are_one_each():
    """What a client sends cannot make a line of its own."""
    with Server(folder() / "data", "log: { level: debug }\n") as server:
        make = b'{"name":"x","rights":["read"]}'
        equal(once(server.socket, "POST", "/v1/tokens", body=make).status, 201, "a token, so that requests are refused")
        before = len(server.stderr().splitlines())
        evil = ["%0a", "%0d%0a", "%1b[31m", "%00", "%e2%80%a8", "%22", "%5c", "%7f", "%ff", "=", "%20lvl=crit%20ev=forged"]
        asked = 0
        for word in evil:
            for target in (f"/v1/{word}forged/docs", f"/v1/a/docs/{word}forged", f"/v1?token={word}forged", f"/{word}forged", f"/v1/tokens/{word}forged"):
                with Wire(server.address) as wire:
                    check(wire.ask("GET", target, token="kft_forged") is not None, "an answer")
                    asked += 1
        for line in (b"Host: a\nforged: 1", b"Host: localhost\r\nOrigin: http://x\x1b[31mforged", b"Host: forged\"\\", b"Host: localhost\r\nX: a\r\n forged"):
            with Wire(server.address) as wire:
                wire.send(b"GET / HTTP/1.1\r\n" + line + b"\r\n\r\n")
                wire.reply()
                asked += 1
        wait_for(lambda: server.stderr().endswith("\n"))
        lines = server.stderr().splitlines()[before:]
        stamp = re.compile(r"^\d{4}-\d\d-\d\dT")
        odd = [line for line in lines if not stamp.match(line) or re.search(r"[\x00-\x1f\x7f\u2028]", line)]
        equal(odd[:5], [], "lines that are none of ours")
        check(len(lines) <= asked + 5, f"{asked} requests made {len(lines)} lines")
        note(f"requests={asked} lines={len(lines)}")


@test
def problems_say_nothing_of_the_inside():
    """Paths, SQL and versions of what we stand on are the log's."""
    inside = re.compile(rb"/tmp/|/home/|/usr/|\.db\b|\.c:\d|SQLITE|sqlite|SELECT|kf_|errno|llhttp|libcurl|OpenSSL|0x[0-9a-f]{6,}|keepfast/\d", re.I)
    with serve() as server:
        seen = {}
        for _, _, _, method, target, headers, body in requests():
            answer = once(server.address, method, target, headers=headers, body=body or None)
            if answer and answer.status >= 400:
                told = answer.head + answer.body
                for word in re.findall(rb"[^/ ]*kft_[A-Za-z0-9]*|/nowhere/at/all", told):
                    told = told.replace(word, b"")
                told = told.replace(b"keepfast", b"").replace(target.encode(), b"")
                if inside.search(told):
                    seen[method + " " + target] = told
        equal(list(seen.items())[:5], [], "problems that speak of the inside")


@test
def there_were_enough():
    if set(ALL) >= {"requests", "bodies", "methods", "limits"}:
        note(f"inputs={sum(ALL.values())}: {ALL}")
        check(sum(ALL.values()) >= INPUTS_MIN, "inputs in all")


main()

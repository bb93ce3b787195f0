#!/usr/bin/env python3
"""The backend of a shop's chat: what is said to it is kept in streams of Keepfast, once, whatever breaks in between.

    python3 chat.py [--keepfast http://127.0.0.1:7070/v1/shop] [--listen 127.0.0.1:8080]

    POST /say    {"session": "1041", "id": "m-1", "text": "…"}     -> {"text": …}, the same one for each retry
    POST /did    {"session": "1041", "id": "v-1", "kind": "product_view", "body": {"product": "…"}}
    POST /login  {"session": "1041", "customer": "7"}              customer null: not any more
    POST /forget {"customer": "7"}                                 -> the receipt

The ids come from the page, which makes one for each message before it sends it the first time and sends it until it is answered. `answer`
stands where a call of a language model would be."""

import argparse
import http.client
import json
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CATALOGUE = {
    "jacket-blue": {"name": "blue jacket", "price": "59.90", "stock": 3},
    "jacket-green": {"name": "green jacket", "price": "64.90", "stock": 0},
    "boots": {"name": "rain boots", "price": "39.00", "stock": 12},
    "scarf": {"name": "woollen scarf", "price": "19.50", "stock": 7},
    "backpack": {"name": "canvas backpack", "price": "89.00", "stock": 2},
}
PATIENCE_S = 20


def answer(context):
    """What is said next, of the newest entries, oldest first."""
    asked = next((e["body"]["text"].lower() for e in reversed(context) if e["kind"] == "user"), "")
    seen = next((e["body"]["product"] for e in reversed(context) if e["kind"] == "product_view"), None)
    product = next((p for p in CATALOGUE.values() if p["name"] in asked), CATALOGUE.get(seen))
    if "how long" in asked or "wie lange" in asked:
        return "Two working days, wherever that is."
    if "back" in asked and "backpack" not in asked:
        return "Within thirty days, and we pay for the way."
    if product and "cost" in asked:
        return f"The {product['name']} costs {product['price']}."
    if product and product["stock"]:
        return f"There are {product['stock']} of the {product['name']}."
    if product:
        return f"The {product['name']} is sold out; may we write to you when it is back?"
    return "Hello! What are you looking for?"


class Refused(Exception):
    """By Keepfast: another attempt would be refused, too."""

    def __init__(self, problem):
        super().__init__(problem["detail"])
        self.problem = problem


class Keepfast:
    """Requests that may be sent again, until they are answered."""

    def __init__(self, space):
        self.address = urllib.parse.urlparse(space)

    def once(self, method, path, value):
        connection = http.client.HTTPConnection(self.address.netloc, timeout=5)
        try:
            body = None if value is None else json.dumps(value)
            connection.request(method, self.address.path + path, body, {"Content-Type": "application/json"})
            got = connection.getresponse()
            return got.status, json.loads(got.read())
        finally:
            connection.close()

    def ask(self, method, path, value=None):
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                status, said = self.once(method, path, value)
            except (OSError, http.client.HTTPException, ValueError):
                if time.monotonic() > until:
                    raise
            else:
                if status < 400:
                    return said
                if not said["retryable"] or time.monotonic() > until:
                    raise Refused(said)
            time.sleep(0.1)


class Chat:
    def __init__(self, keepfast):
        self.keepfast = keepfast

    @staticmethod
    def stream(session):
        return "/streams/chat/" + urllib.parse.quote(str(session), safe="")

    def append(self, session, entry):
        return self.keepfast.ask("POST", self.stream(session) + "/entries", entry)

    def said_before(self, session, n, identity):
        """The answer that an earlier attempt has left behind message n."""
        page = self.keepfast.ask("GET", f"{self.stream(session)}/entries?after={n}&kind=assistant")
        return next((e["body"]["text"] for e in page["items"] if e.get("id") == identity), None)

    def say(self, session, identity, text):
        """One turn. Its two ids make it one, however often it is asked for, also by two at the same time."""
        mine = self.append(session, {"id": identity, "kind": "user", "body": {"text": text}})
        of_answer = identity + "-answer"
        known = self.said_before(session, mine["n"], of_answer) if mine.get("duplicate") else None
        if known is not None:
            return {"text": known}
        context = self.keepfast.ask("GET", self.stream(session) + "/context?entries=20&bytes=16000")["items"]
        reply = answer([e for e in context if e["n"] <= mine["n"]])
        try:
            self.append(session, {"id": of_answer, "kind": "assistant", "body": {"text": reply}})
        except Refused as refused:
            if refused.problem["code"] != "id_reused":
                raise
            reply = self.said_before(session, mine["n"], of_answer)  # somebody was faster, with other words
        return {"text": reply}

    def did(self, session, identity, kind, body):
        return self.append(session, {"id": identity, "kind": kind, "body": body})

    def login(self, session, customer):
        return self.keepfast.ask("PATCH", self.stream(session), {"customer": customer})

    def forget(self, customer):
        return self.keepfast.ask("DELETE", "/people/customer/" + urllib.parse.quote(str(customer), safe=""))


class Handler(BaseHTTPRequestHandler):
    chat = None

    def do_POST(self):
        calls = {"/say": lambda v: self.chat.say(v["session"], v["id"], v["text"]),
                 "/did": lambda v: self.chat.did(v["session"], v["id"], v["kind"], v["body"]),
                 "/login": lambda v: self.chat.login(v["session"], v["customer"]),
                 "/forget": lambda v: self.chat.forget(v["customer"])}
        try:
            value = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            status, said = 200, calls[self.path](value)
        except Refused as refused:
            status, said = refused.problem["status"], {"error": str(refused)}
        except (KeyError, TypeError, ValueError) as error:
            status, said = 400, {"error": f"not understood: {error!r}"}
        except (OSError, http.client.HTTPException) as error:
            status, said = 503, {"error": f"Keepfast does not answer: {error}"}
        body = json.dumps(said, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keepfast", default="http://127.0.0.1:7070/v1/shop")
    parser.add_argument("--listen", default="127.0.0.1:8080")
    options = parser.parse_args()
    host, port = options.listen.rsplit(":", 1)
    Handler.chat = Chat(Keepfast(options.keepfast))
    server = ThreadingHTTPServer((host, int(port)), Handler)
    print(f"http://{host}:{server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()

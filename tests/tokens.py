"""Tokens for tests from outside: made through the server's Unix socket, where none is needed, and what a request with one of them must
be answered, by rules of its own: not by asking the program."""

import base64
import itertools
import json
import os
import re
import time
import urllib.parse
from datetime import datetime, timedelta, timezone

from wire import once

RIGHTS = ("read", "write", "run", "query", "admin")
TEXT = re.compile(rb"kft_[A-Za-z0-9_-]{43}")
_sources = itertools.count(1)


def source():
    """An address of loopback that nobody has failed from: failures are counted by address."""
    number = next(_sources)
    return f"127.{1 + number // 60000 % 200}.{number // 250 % 240}.{1 + number % 250}"


def like_a_token():
    return "kft_" + base64.urlsafe_b64encode(os.urandom(32)).rstrip(b"=").decode()


def soon(seconds):
    at = datetime.now(timezone.utc) + timedelta(seconds=seconds)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


def make(server, name="a test", rights=RIGHTS, **more):
    """The answer to POST /v1/tokens, over the socket: id, token and all else."""
    body = json.dumps({"name": name, "rights": list(rights), **more}).encode()
    answer = once(server.socket, "POST", "/v1/tokens", body=body)
    if answer.status != 201:
        raise AssertionError(f"a token is made: {answer}")
    return json.loads(answer.body)


def revoke(server, identity):
    answer = once(server.socket, "DELETE", f"/v1/tokens/{identity}")
    if answer.status != 204:
        raise AssertionError(f"a token is revoked: {answer}")


class Who:
    """Somebody who asks. `spaces` and `prefixes`: None = all. `state`: live, none (no token), unknown, expired, revoked."""

    def __init__(self, name, text=None, rights=RIGHTS, spaces=None, prefixes=None, state="live"):
        self.name, self.text, self.state = name, text, state
        self.rights, self.spaces, self.prefixes = set(rights), spaces, prefixes

    def has_space(self, space):
        return self.spaces is None or space in self.spaces

    def has_name(self, name):
        return self.prefixes is None or any(name.startswith(p[:-1]) if p.endswith("*") else name == p for p in self.prefixes)

    def expects(self, right, space=None, name=None, of_names=False):
        """(status, code) that must be answered; None: what the route answers to who may. `of_names`: a route that shows of a space
        nothing but names that are the token's."""
        if right == "":
            return None
        if self.state in ("none", "unknown"):
            return 401, "auth_required"
        if self.state in ("expired", "revoked"):
            return 401, "token_expired"
        if space is not None and not self.has_space(space):
            return 404, "unknown_space"
        if name is not None and not self.has_name(name):
            return 404, "not_found"
        operator = right == "operator"
        if right != "any" and ("admin" if operator else right) not in self.rights:
            return 403, "forbidden"
        if self.prefixes is not None and name is None and not of_names:
            return 403, "forbidden"
        if operator and self.spaces is not None:
            return 403, "forbidden"
        return None


def people(server, own, ghost):
    """Everybody who may come: with the rights to the spaces `own`, and `ghost`, which is not there."""
    def made(name, who=None, **scope):
        return Who(who or name, make(server, name, **scope)["token"], scope.get("rights", RIGHTS), scope.get("spaces"), scope.get("prefixes"))

    late = make(server, "late", spaces=own, expires_at=soon(0.4))
    gone = make(server, "gone", spaces=own)
    revoke(server, gone["id"])
    found = [made("own", spaces=own), Who("nobody", state="none"), Who("unknown", like_a_token(), state="unknown"),
             Who("no token", "password", state="unknown"), Who("expired", late["token"], spaces=own, state="expired"),
             Who("revoked", gone["token"], spaces=own, state="revoked"), made("prefixes", spaces=own, prefixes=["team/*", "one.json"]),
             made("ghost", spaces=[*own, ghost, f"{ghost}-x"]), made("operator")]
    found += [made(f"only {right}", rights=(right,), spaces=own) for right in RIGHTS]
    found += [made(f"all but {right}", rights=tuple(r for r in RIGHTS if r != right), spaces=own) for right in RIGHTS]
    found.append(made("admin of names", rights=("admin",), prefixes=["team/*"]))
    found.append(made("admin everywhere", rights=("admin",)))
    time.sleep(0.5)
    return found


def spellings(text):
    """What it may look like; of base64 the middle, at each of the three places where it may begin."""
    raw = text.encode()
    found = {raw, raw.hex().encode(), raw.hex().upper().encode(), urllib.parse.quote(text, safe="").encode(), raw[::-1]}
    for before in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            middle = encode(b"x" * before + raw)[4:]
            found.add(middle[:len(middle) - 4])
    return found

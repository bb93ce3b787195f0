"""What files of Keepfast are made of, from docs/formats.md: JSON, hashes, names, digests. For kfcheck.py and what it is made of."""

import hashlib
import json
import re
import sys

# An exponent may have more digits than Python converts by default.
sys.set_int_max_str_digits(0)

HASH = re.compile(r"[0-9a-f]{64}\Z")
HEX16 = re.compile(r"[0-9a-f]{16}\Z")


class Bad(Exception):
    """What was read is not what it should be."""


def blake(data):
    return hashlib.blake2b(data, digest_size=32).hexdigest()


# --- canonical JSON and the digest

class Number(str):
    """The text of a number, kept apart from strings."""


NUMBER = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([-+]?[0-9]+))?\Z")


def canonical_number(text):
    """[-]DIGITS or [-]DIGITSe[-]EXP of the exact decimal value; no conversion to a float anywhere."""
    sign, whole, fraction, exponent = NUMBER.match(text).groups()
    fraction = fraction or ""
    digits = (whole + fraction).lstrip("0")
    short = digits.rstrip("0")
    if not short:
        return "0"
    power = int(exponent or "0") - len(fraction) + len(digits) - len(short)
    return sign + short + ("e%d" % power if power else "")


def _string(text, short):
    out = ['"']
    for c in text:
        if c in '"\\':
            out.append("\\" + c)
        elif c < " ":
            out.append(short.get(c, "\\u%04x" % ord(c)))
        else:
            out.append(c)
    out.append('"')
    return "".join(out)


def canonical_string(text):
    return _string(text, {})


def line_string(text):
    """A string as it stands in a line of a manifest or of a stream's file."""
    return _string(text, {"\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def _object(pairs):
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Bad("a member name stands twice")
    return members


def _constant(text):
    raise Bad(text + " is no JSON")


def parse(data):
    """Strict: UTF-8 without mark, no duplicate names, no lone surrogates, numbers as text."""
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_object, parse_int=Number,
                          parse_float=Number, parse_constant=_constant)
    except (ValueError, RecursionError) as e:
        raise Bad("no JSON: %s" % e) from None


def _write(value, out):
    if value is None:
        out.append("null")
    elif value is True:
        out.append("true")
    elif value is False:
        out.append("false")
    elif isinstance(value, Number):
        out.append(canonical_number(value))
    elif isinstance(value, str):
        out.append(canonical_string(value))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            out.append("," if i else "[")
            _write(inner, out)
        out.append("]" if value else "[]")
    else:
        for i, name in enumerate(sorted(value)):    # Python compares strings by code point
            out.append(("," if i else "{") + canonical_string(name) + ":")
            _write(value[name], out)
        out.append("}" if value else "{}")


def canonical(data):
    """The canonical form of a document, from its bytes to bytes."""
    out = []
    try:
        _write(parse(data), out)
        return "".join(out).encode("utf-8")
    except UnicodeEncodeError:
        raise Bad("no JSON: a lone surrogate") from None
    except RecursionError:
        raise Bad("no JSON that Keepfast takes: too deep") from None


def digest(docs, streams=None):
    """Of {name as bytes: body as bytes} and {key as bytes: hash of what the stream says}: 64 hex digits."""
    h = hashlib.blake2b(digest_size=32)
    for name in sorted(docs):
        h.update(canonical_string(name.decode("utf-8")).encode("utf-8"))
        h.update(b" " + blake(canonical(docs[name])).encode() + b"\n")
    for key in sorted(streams or {}):
        h.update(b"stream " + canonical_string(key.decode("utf-8")).encode("utf-8") + b" " + streams[key].encode() + b"\n")
    return h.hexdigest()


# --- names

def name_fault(name):
    """Why these bytes are no name of a document, or None."""
    try:
        name.decode("utf-8")
    except UnicodeDecodeError:
        return "is no UTF-8"
    if not 1 <= len(name) <= 1024:
        return "has %d bytes" % len(name)
    if b"\0" in name:
        return "contains NUL"
    if any(segment in (b"", b".", b"..") for segment in name.split(b"/")):
        return "has an empty, . or .. segment"
    return None

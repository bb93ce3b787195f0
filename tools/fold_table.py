#!/usr/bin/env python3
"""The tables of src/base/fold.c from Unicode's data: tools/fold_table.py > src/base/fold_table.def

Three lists of macros:

    R(first, last, what)   which characters stand in words; what is in none is a separator
                           W  a letter or digit (also a mark that a script cannot be read without)
                           D  a mark or a joiner that is dropped, as if it were not there
                           S  an ideograph or kana: a word of its own, for no blanks stand between words there
    P(at)                  for each high byte of a code point: where its characters begin in the next list; one more at the end
    F(code, "text")        a character that stands for other ones: small letters without marks, in UTF-8

What is indexed was folded with these tables, so a change of them is a new format of the store. They are those of one version
of Unicode; another version's script makes other ones."""

import sys
import unicodedata

VERSION = "14.0.0"

# Marks that are dropped: those on Latin, Greek and Cyrillic letters, the points of Hebrew and Arabic, selectors and joiners.
DROPPED = [
    (0x00AD, 0x00AD), (0x0300, 0x036F), (0x0483, 0x0489), (0x0591, 0x05BD), (0x05BF, 0x05BF), (0x05C1, 0x05C2), (0x05C4, 0x05C5),
    (0x05C7, 0x05C7), (0x064B, 0x065F), (0x0670, 0x0670), (0x1AB0, 0x1ACE), (0x1DC0, 0x1DFF), (0x200C, 0x200F), (0x2060, 0x2060),
    (0x20D0, 0x20F0), (0x2DE0, 0x2DFF), (0xA66F, 0xA672), (0xA674, 0xA67D), (0xA69E, 0xA69F), (0xFE00, 0xFE0F), (0xFE20, 0xFE2F),
    (0xFEFF, 0xFEFF), (0xE0100, 0xE01EF),
]

SINGLE = [
    (0x3005, 0x3007), (0x3041, 0x3096), (0x309D, 0x309F), (0x30A1, 0x30FA), (0x30FC, 0x30FF), (0x31F0, 0x31FF), (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF), (0xF900, 0xFAD9), (0x20000, 0x3134A),
]

# Letters that Unicode does not take apart, and what people type who do not have them.
STANDS_FOR = {
    "ł": "l", "ø": "o", "æ": "ae", "đ": "d", "ð": "d", "þ": "th", "œ": "oe", "ı": "i", "ħ": "h", "ŧ": "t", "ȷ": "j", "ß": "ss",
    "ŀ": "l", "ŉ": "n",
}

# Apostrophes that are said to be letters.
APOSTROPHES = [0x02BB, 0x02BC, 0x02BD]

FOLDED_SCRIPTS = (
    "LATIN ", "GREEK ", "CYRILLIC ", "ARMENIAN ", "GEORGIAN ", "FULLWIDTH LATIN ", "FULLWIDTH DIGIT ", "FEMININE ORDINAL", "MASCULINE ORDINAL",
    "MICRO SIGN", "KELVIN SIGN", "ANGSTROM SIGN", "OHM SIGN", "SUPERSCRIPT ", "SUBSCRIPT ", "MODIFIER LETTER ", "ROMAN NUMERAL ",
    "SMALL ROMAN NUMERAL ",
)


def within(code, ranges):
    return any(first <= code <= last for first, last in ranges)


def what(code):
    """W, D, S, or None for a separator."""
    if within(code, DROPPED):
        return "D"
    if unicodedata.category(chr(code)) == "Cn" or code in APOSTROPHES:
        return None
    if within(code, SINGLE):
        return "S"
    return "W" if unicodedata.category(chr(code))[0] in "LNM" else None


def without_marks(text):
    return "".join(c for c in unicodedata.normalize("NFKD", text) if what(ord(c)) != "D")


def folded(code):
    """What a character of a word stands for, itself in most cases."""
    c = chr(code)
    if unicodedata.category(c) == "Nd":
        return str(unicodedata.digit(c))
    if not unicodedata.name(c, "").startswith(FOLDED_SCRIPTS):
        return c
    text = ""
    for letter in STANDS_FOR.get(c.lower()) or without_marks(c):
        for small in without_marks(letter.casefold()):
            text += STANDS_FOR.get(small, small)
    return text if text and all(what(ord(small)) == "W" for small in text) else c


def c_string(text):
    data = text.encode()
    if all(byte < 0x80 for byte in data):
        return f'"{text}"'
    return '"' + "".join(f"\\x{byte:02x}" for byte in data) + '"'


def ranges():
    rows = []
    for code in range(0x80, 0x110000):
        kind = None if 0xD800 <= code < 0xE000 else what(code)
        if rows and kind and rows[-1][2] == kind and rows[-1][1] == code - 1:
            rows[-1][1] = code
        elif kind:
            rows.append([code, code, kind])
    return rows


def mapped():
    rows = [(code, folded(code)) for code in range(0x80, 0x10000) if what(code) == "W"]
    rows = [(code, text) for code, text in rows if text != chr(code)]
    again = dict(rows)
    for code, text in rows:
        assert len(text.encode()) <= 6, hex(code)
        for c in text:
            assert ord(c) not in again and (c.isascii() and c == c.lower() and c.isalnum() or what(ord(c)) == "W"), hex(code)
    return rows


def print_items(items):
    line = ""
    for item in items:
        if len(line) + 1 + len(item) > 100:
            print(line)
            line = ""
        line += " " * bool(line) + item
    print(line)


def main():
    if unicodedata.unidata_version != VERSION:
        sys.exit(f"fold_table: this Python has Unicode {unicodedata.unidata_version}, the tables are those of {VERSION}")
    rows = mapped()
    print(f"/* Made by tools/fold_table.py of the data of Unicode {VERSION}. */")
    print("#ifdef R")
    print_items([f"R(0x{first:x}, 0x{last:x}, {kind})" for first, last, kind in ranges()])
    print("#endif\n#ifdef P")
    print_items([f"P({sum(code < high << 8 for code, _ in rows)})" for high in range(257)])
    print("#endif\n#ifdef F")
    print_items([f"F(0x{code:x}, {c_string(text)})" for code, text in rows])
    print("#endif")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Writes data/: sessions of a shop's chat, one file of lines for each, and who they belong to. The same bytes on every machine.

    python3 generate.py [--out FOLDER]

What holds: 12 sessions, chat/1001 to chat/1012; those whose number divides by three belong to customer 7, by four to customer 8 (1008:
7), the others to nobody. Ids are unique in a session, times ascend by a minute. Every question has one answer, whose id is made from
its own."""

import argparse
import json
from datetime import datetime, timedelta
from pathlib import Path

from chat import CATALOGUE, answer

SESSIONS = range(1001, 1013)
QUESTIONS = [
    "Hello, is anybody there?",
    "Is the {name} there in my size?",
    "What does the {name} cost?",
    "Does it come to Gdańsk, and how long does it take?",
    "Can I send it back?",
    "Wie lange dauert es bis zur Hauptstraße in Köln?",
    "Har I også en grøn?",
]


def customer_of(number):
    return 7 if number % 3 == 0 or number == 1008 else 8 if number % 4 == 0 else None


def entries(number):
    """What happened in a session, in its order."""
    at = datetime(2026, 11, number % 20 + 1, 9, number % 60)
    products = list(CATALOGUE)
    said = []
    for turn in range(3 + number % 5):
        product = products[(number + turn) % len(products)]
        question = QUESTIONS[(number + turn) % len(QUESTIONS)].format(name=CATALOGUE[product]["name"])
        said.append({"kind": "product_view", "id": f"v{turn}", "body": {"product": product}})
        said.append({"kind": "user", "id": f"m{turn}", "body": {"text": question}})
        said.append({"kind": "assistant", "id": f"m{turn}-answer", "body": {"text": answer(said)}})
        if turn % 2:
            said.append({"kind": "cart_add", "id": f"c{turn}", "body": {"product": product, "count": 1}})
    for minute, entry in enumerate(said):
        yield {**entry, "at": (at + timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%M:%SZ")}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent / "data")
    out = parser.parse_args().out
    for number in SESSIONS:
        lines = [json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries(number)]
        (out / f"{number}.ndjson").write_text("".join(lines), encoding="utf-8")
    linked = [f"{number} {customer_of(number)}\n" for number in SESSIONS if customer_of(number)]
    (out / "customers.txt").write_text("".join(linked), encoding="utf-8")


if __name__ == "__main__":
    main()

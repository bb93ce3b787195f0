#!/usr/bin/env python3
"""The finance example: its documents are what the generator writes, and they are true.

The sums are recomputed from the documents alone; nothing of the generator's code is used.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from datetime import date, timedelta

from tap import equal, main, test

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
EXAMPLE = os.path.join(ROOT, "examples", "finance")
DATA = os.path.join(EXAMPLE, "data")
NAMES = {
    "wyplaty.json", "wydatki.json", "kredyty.json", "cele.json", "krypto.json",
    "persona_memory.json", "partner_conversations.json", "autonomous_conversations.json",
    "notification_config.json", "daily_snapshots.json", "portfolio_history.json", "api_usage.json",
}
TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
SCHEMA_WORDS = {"type", "properties", "required", "items", "enum", "const", "minimum", "maximum",
                "minLength", "maxLength", "pattern", "additionalProperties"}


def read(name):
    with open(os.path.join(DATA, name), encoding="utf-8") as f:
        return json.load(f, parse_float=lambda text: sys.exit("%s: fraction %s" % (name, text)))


DOCS = {name: read(name) for name in sorted(NAMES)}


def grouped(pairs):
    sums = {}
    for key, amount in pairs:
        sums[key] = sums.get(key, 0) + amount
    return sums


def units(text):
    """Decimal text as an integer of its smallest unit, and that unit: "1.50" is (150, 100)."""
    whole, places = text.split(".")
    return int(whole + places), 10 ** len(places)


# --- the tests

@test
def the_documents_are_what_the_generator_writes():
    equal(set(os.listdir(DATA)), NAMES, "files in data")
    with tempfile.TemporaryDirectory() as out:
        subprocess.run([sys.executable, "-B", os.path.join(EXAMPLE, "generate.py"), "--out", out],
                       check=True)
        for name in sorted(NAMES):
            with open(os.path.join(out, name), "rb") as new, \
                 open(os.path.join(DATA, name), "rb") as old:
                assert new.read() == old.read(), name + " differs from what generate.py writes"


@test
def it_is_as_large_as_real_life():
    sizes = {name: os.path.getsize(os.path.join(DATA, name)) for name in NAMES}
    assert max(sizes.values()) < 500_000 and 900_000 < sum(sizes.values()) < 1_500_000, sizes
    assert len(DOCS["wydatki.json"]["wydatki"]) >= 300
    assert len(DOCS["wyplaty.json"]["wyplaty"]) >= 50
    assert len(DOCS["krypto.json"]["transakcje"]) >= 100
    equal(len(DOCS["daily_snapshots.json"]["snapshots"]), 365, "snapshots")
    kinds = {one["kategoria"] for one in DOCS["wydatki.json"]["wydatki"]}
    assert len(kinds) >= 15, kinds
    days = [one["data"] for one in DOCS["wydatki.json"]["wydatki"]]
    equal(days, sorted(days), "expenses in order")
    assert date.fromisoformat(days[-1]) - date.fromisoformat(days[0]) >= timedelta(days=720)


@test
def values_have_the_stated_forms():
    def walk(value, name, path):
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, name, path + [key])
        elif isinstance(value, list):
            for inner in value:
                walk(inner, name, path)
        elif path[-1].endswith("_gr") and not (value is None and path[-1] == "rata_gr"):
            assert type(value) is int, (name, path, value)
        elif path[-1] in ("timestamp", "czas", "zaksiegowano", "utworzono", "started_at", "ended_at",
                          "first_interaction", "last_interaction", "ostatnia_aktualizacja"):
            assert TIME.match(value), (name, path, value)
        elif isinstance(value, str):
            assert value and "{" not in value and value == value.strip(), (name, path, value)

    for name, document in DOCS.items():
        walk(document, name, [name])


@test
def ids_are_unique():
    for name, member in (("wyplaty.json", "wyplaty"), ("wydatki.json", "wydatki"),
                         ("kredyty.json", "kredyty"), ("cele.json", "cele"),
                         ("krypto.json", "transakcje"), ("portfolio_history.json", "transakcje"),
                         ("partner_conversations.json", "conversations"),
                         ("autonomous_conversations.json", "conversations")):
        ids = [one["id"] for one in DOCS[name][member]]
        equal(len(set(ids)), len(ids), name + " ids")


@test
def payouts_add_up():
    doc = DOCS["wyplaty.json"]
    found, sums = doc["wyplaty"], doc["podsumowanie"]
    equal(sums["liczba"], len(found), "count")
    equal(sums["suma_gr"], sum(p["kwota_gr"] for p in found), "sum")
    equal(sums["wg_typu_gr"], grouped((p["typ"], p["kwota_gr"]) for p in found), "by kind")
    equal(sums["wg_roku_gr"], grouped((p["data"][:4], p["kwota_gr"]) for p in found), "by year")


@test
def expenses_add_up():
    doc = DOCS["wydatki.json"]
    found, sums = doc["wydatki"], doc["podsumowanie"]
    for e in found:
        percent = 0 if e["stawka_vat"] == "zw." else int(e["stawka_vat"].rstrip("%"))
        equal(e["vat_gr"], (e["netto_gr"] * percent + 50) // 100, e["id"] + " VAT")
        equal(e["kwota_gr"], e["netto_gr"] + e["vat_gr"], e["id"] + " gross")
        assert 0 <= e["vat_do_odliczenia_gr"] <= e["vat_gr"], e
        assert e["zaksiegowano"].startswith(e["data"]), e
    equal(sums["liczba"], len(found), "count")
    for total, part in (("netto_gr", "netto_gr"), ("vat_gr", "vat_gr"), ("suma_gr", "kwota_gr"),
                        ("vat_do_odliczenia_gr", "vat_do_odliczenia_gr")):
        equal(sums[total], sum(e[part] for e in found), total)
    equal(sums["wg_kategorii_gr"], grouped((e["kategoria"], e["kwota_gr"]) for e in found),
          "by category")
    equal(sums["wg_miesiaca_gr"], grouped((e["data"][:7], e["kwota_gr"]) for e in found), "by month")


@test
def loans_are_paid_down_to_what_is_left():
    doc = DOCS["kredyty.json"]
    for loan in doc["kredyty"]:
        line = "limit_gr" in loan
        balance = 0 if line else loan["kwota_gr"]
        for event in loan["operacje"]:
            balance -= event["kapital_gr"]
            equal(event["saldo_po_gr"], balance, loan["id"] + " balance on " + event["data"])
            assert 0 <= balance <= loan.get("limit_gr", loan.get("kwota_gr")), loan["id"]
        equal(loan["pozostalo_gr"], balance, loan["id"] + " left")
        equal(loan["zaplacone_odsetki_gr"], sum(e["odsetki_gr"] for e in loan["operacje"]), loan["id"])
        equal(loan["status"], "spłacony" if not line and balance == 0 else "aktywny", loan["id"])
    sums = doc["podsumowanie"]
    equal(sums["liczba"], len(doc["kredyty"]), "count")
    equal(sums["aktywne"], sum(one["status"] == "aktywny" for one in doc["kredyty"]), "active")
    for member in ("pozostalo_gr", "zaplacone_odsetki_gr"):
        equal(sums[member], sum(one[member] for one in doc["kredyty"]), member)


@test
def goals_hold_their_deposits():
    doc = DOCS["cele.json"]
    for goal in doc["cele"]:
        equal(goal["zebrano_gr"], sum(d["kwota_gr"] for d in goal["wplaty"]), goal["id"])
        assert 0 <= goal["zebrano_gr"] <= goal["kwota_docelowa_gr"], goal["id"]
        equal(goal["osiagnieto"] is not None, goal["zebrano_gr"] == goal["kwota_docelowa_gr"],
              goal["id"] + " reached")
    sums = doc["podsumowanie"]
    equal(sums["liczba"], len(doc["cele"]), "count")
    equal(sums["osiagniete"], sum(one["osiagnieto"] is not None for one in doc["cele"]), "reached")
    for member in ("zebrano_gr", "kwota_docelowa_gr"):
        equal(sums[member], sum(one[member] for one in doc["cele"]), member)


@test
def positions_follow_from_trades():
    for name in ("krypto.json", "portfolio_history.json"):
        doc = DOCS[name]
        held, cost = {}, {}
        for t in doc["transakcje"]:
            s, (amount, _) = t["symbol"], units(t["ilosc"])
            if t["typ"] == "kupno":
                cost[s] = cost.get(s, 0) + t["wartosc_gr"] + t["prowizja_gr"]
            if t["typ"] == "sprzedaż":
                assert amount <= held[s], t
                cost[s] -= cost[s] * amount // held[s]
                amount = -amount
            held[s] = held.get(s, 0) + amount
        for p in doc["pozycje"]:
            amount, unit = units(p["ilosc"])
            equal(amount, held[p["symbol"]], name + " quantity of " + p["symbol"])
            equal(p["koszt_nabycia_gr"], cost[p["symbol"]], name + " cost of " + p["symbol"])
            equal(p["wartosc_gr"], amount * p["kurs_gr"] // unit, name + " value of " + p["symbol"])
            equal(p["wynik_gr"], p["wartosc_gr"] - p["koszt_nabycia_gr"], name + " result")
        sums = doc["podsumowanie"]
        equal(sums["liczba_transakcji"], len(doc["transakcje"]), name)
        equal(sums["prowizje_gr"], sum(t["prowizja_gr"] for t in doc["transakcje"]), name)
        for member in ("koszt_nabycia_gr", "wartosc_gr", "wynik_gr"):
            equal(sums[member], sum(p[member] for p in doc["pozycje"]), name + " " + member)


@test
def months_of_the_portfolio():
    doc = DOCS["portfolio_history.json"]
    trades = doc["transakcje"]
    for kind, member in (("kupno", "kupiono_gr"), ("sprzedaż", "sprzedano_gr"),
                         ("dywidenda", "dywidendy_gr")):
        want = grouped((t["czas"][:7], t["wartosc_gr"]) for t in trades if t["typ"] == kind)
        for month in doc["miesiace"]:
            equal(month[member], want.get(month["miesiac"], 0), month["miesiac"] + " " + member)
    ends = {one["data"][:7]: one["inwestycje_gr"] for one in DOCS["daily_snapshots.json"]["snapshots"]}
    for month in doc["miesiace"]:
        if month["miesiac"] in ends:
            equal(month["wartosc_na_koniec_gr"], ends[month["miesiac"]], month["miesiac"])


@test
def snapshots_follow_from_the_ledger():
    found = DOCS["daily_snapshots.json"]["snapshots"]
    expected = date.fromisoformat(found[0]["data"])
    previous = None
    for one in found:
        day = one["data"]
        equal(day, expected.isoformat(), "days without a gap")
        expected += timedelta(days=1)
        for name, member in (("krypto.json", "krypto_gr"), ("portfolio_history.json", "inwestycje_gr")):
            held = {}
            for t in DOCS[name]["transakcje"]:
                if t["czas"][:10] <= day:
                    amount, unit = units(t["ilosc"])
                    sign = -1 if t["typ"] == "sprzedaż" else 1
                    held[t["symbol"]] = (held.get(t["symbol"], (0,))[0] + sign * amount, unit)
            equal(one[member], sum(n * one["kursy_gr"][s] // unit for s, (n, unit) in held.items()),
                  day + " " + member)
        equal(one["oszczednosci_gr"], sum(d["kwota_gr"] for g in DOCS["cele.json"]["cele"]
                                          for d in g["wplaty"] if d["data"] <= day), day + " savings")
        debt = 0
        for loan in DOCS["kredyty.json"]["kredyty"]:
            if loan["data_zawarcia"] <= day:
                before = [e["saldo_po_gr"] for e in loan["operacje"] if e["data"] <= day]
                debt += before[-1] if before else loan.get("kwota_gr", 0)
        equal(one["dlug_gr"], debt, day + " debt")
        equal(one["wartosc_calkowita_gr"],
              one["inwestycje_gr"] + one["krypto_gr"] + one["oszczednosci_gr"], day + " total")
        equal(one["majatek_netto_gr"], one["wartosc_calkowita_gr"] - debt, day + " net")
        for name, member, total in (("wydatki.json", "wydatki", "wydatki_od_poczatku_miesiaca_gr"),
                                    ("wyplaty.json", "wyplaty", "wyplaty_od_poczatku_miesiaca_gr")):
            equal(one[total], sum(e["kwota_gr"] for e in DOCS[name][member]
                                  if day[:8] <= e["data"] <= day), day + " " + total)
        if previous:
            equal(one["zmiana_dzienna_gr"],
                  one["majatek_netto_gr"] - previous["majatek_netto_gr"], day + " change")
        previous = one


def check_portfolio(snapshot, when):
    by_day = {one["data"]: one for one in DOCS["daily_snapshots.json"]["snapshots"]}
    before = date.fromisoformat(when[:10]) - timedelta(days=1)
    equal(snapshot["date"], before.isoformat(), "day of the snapshot at " + when)
    equal(snapshot["total_value_gr"], by_day[snapshot["date"]]["wartosc_calkowita_gr"], when)
    equal(snapshot["debt_gr"], by_day[snapshot["date"]]["dlug_gr"], when)


@test
def partners_remember():
    memory = DOCS["persona_memory.json"]
    assert len(memory) >= 5
    total, answers = 0, set()
    for key, partner in memory.items():
        talks, stats = partner["conversations"], partner["statistics"]
        times = [one["timestamp"] for one in talks]
        equal(times, sorted(set(times)), key + " in order of time")
        equal(stats["total_messages"], len(talks), key + " total_messages")
        equal(stats["first_interaction"], min(times), key + " first_interaction")
        equal(stats["last_interaction"], max(times), key + " last_interaction")
        for one in talks:
            check_portfolio(one["portfolio_snapshot"], one["timestamp"])
            answers.add(one["ai_response"])
        total += len(talks)
    assert total >= 300
    equal(len(answers), total, "different answers")
    assert any(c in "ąćęłńóśźż" for c in "".join(answers))


@test
def councils_count_their_messages():
    for name, last in (("partner_conversations.json", lambda one: one["ended_at"]),
                       ("autonomous_conversations.json", lambda one: one["messages"][-1]["timestamp"])):
        doc = DOCS[name]
        talks, stats = doc["conversations"], doc["statistics"]
        first = [one.get("started_at") or one["timestamp"] for one in talks]
        equal(first, sorted(set(first)), name + " in order of time")
        equal(stats["total_conversations"], len(talks), name)
        equal(stats["total_messages"], sum(len(one["messages"]) for one in talks), name)
        equal(stats["first_interaction"], first[0], name)
        equal(stats["last_interaction"], last(talks[-1]), name)
        for one, when in zip(talks, first):
            check_portfolio(one["portfolio_snapshot"], when)
            times = [m["timestamp"] for m in one["messages"]]
            equal(times, sorted(set(times)), one["id"] + " messages in order")
            equal(times[0], when, one["id"] + " begins with its first message")
            speakers = {m["partner"] for m in one["messages"] if "partner" in m}
            assert speakers <= set(DOCS["persona_memory.json"]), speakers
            equal(speakers, set(one.get("uczestnicy") or one["glosowanie"]), one["id"] + " speakers")


@test
def api_usage_counts_the_answers():
    doc = DOCS["api_usage.json"]
    want = {}

    def add(when, sent, received):
        one = want.setdefault(when[:10], [0, 0, 0])
        for i, n in enumerate((1, len(sent), len(received))):
            one[i] += n

    for partner in DOCS["persona_memory.json"].values():
        for one in partner["conversations"]:
            add(one["timestamp"], one["user_message"], one["ai_response"])
    for one in DOCS["partner_conversations.json"]["conversations"]:
        asked = ""
        for m in one["messages"]:
            if m["role"] == "user":
                asked = m["content"]
            else:
                add(m["timestamp"], asked, m["content"])
    for one in DOCS["autonomous_conversations.json"]["conversations"]:
        for m in one["messages"]:
            add(m["timestamp"], one["temat"], m["content"])
    for day in doc["dni"]:
        equal([day["model_odpowiedzi"], day["model_znaki_wyslane"], day["model_znaki_odebrane"]],
              want.pop(day["data"], [0, 0, 0]), "model on " + day["data"])
    equal(want, {}, "days without a counter")
    for member, total in doc["razem"].items():
        equal(total, sum(day[member] for day in doc["dni"]), member)
        for month, sums in doc["miesiace"].items():
            equal(sums[member], sum(d[member] for d in doc["dni"] if d["data"].startswith(month)),
                  month + " " + member)


def fits(value, schema, path=""):
    """The part of JSON Schema that a space's configuration may use."""
    unknown = set(schema) - SCHEMA_WORDS
    assert not unknown, "keywords at %s: %s" % (path, unknown)
    if "type" in schema:
        names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        kinds = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool,
                 "null": type(None)}
        assert type(value) in [kinds[name] for name in names], path
    assert "enum" not in schema or value in schema["enum"], path
    if isinstance(value, int):
        assert schema.get("minimum", value) <= value <= schema.get("maximum", value), path
    if isinstance(value, str):
        assert schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 10**9), path
        assert re.search(schema.get("pattern", ""), value), path
    if isinstance(value, dict):
        assert set(schema.get("required", ())) <= set(value), path
        for key, inner in value.items():
            assert key in schema.get("properties", {}), path + "/" + key
            fits(inner, schema["properties"][key], path + "/" + key)
    if isinstance(value, list):
        for i, inner in enumerate(value):
            fits(inner, schema.get("items", {}), "%s/%d" % (path, i))


@test
def the_configuration_names_every_document_and_its_schema_fits():
    with open(os.path.join(EXAMPLE, "schemas", "notify.json"), encoding="utf-8") as f:
        schema = json.load(f)
    fits(DOCS["notification_config.json"], schema)
    fits({"email": None}, schema)
    with open(os.path.join(EXAMPLE, "keepfast.yaml"), encoding="utf-8") as f:
        named = re.findall(r"^ *- match: (\S+)$", f.read(), re.M)
    equal(sorted(named), sorted(NAMES), "documents in keepfast.yaml")


main()

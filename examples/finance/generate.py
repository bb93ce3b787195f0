#!/usr/bin/env python3
"""Writes the twelve documents of the finance example, the same bytes every time.

    python3 generate.py [--out DIR]        DIR: default `data` beside this file

The documents are what a dashboard of a one-person workshop keeps: two years of bookings
(2023-11-10 to 2025-11-09), 365 daily snapshots, and what its AI partners were asked and answered.
`ledger.py` has the money, `texts.py` the sentences, `dice.py` the fixed chance. Everything is made
up; no person, firm or rate in it is real.

What always holds (and tests/script/test_finance.py checks from the documents alone):
  - money is an integer in grosze (`..._gr`), a quantity is decimal text, a time is UTC with `Z`;
  - each `podsumowanie` is the sum of the list beside it;
  - a daily snapshot is what trades, goals and loans up to that day add up to at that day's rates;
  - a `portfolio_snapshot` in a conversation is the daily snapshot of the day before;
  - `statistics` of a partner count its conversations, first and last time included;
  - api usage counts the answers, and their characters, of the three documents of conversations.

Python 3.11 and its standard library. Written as the app writes: UTF-8, two blanks a level, no
newline at the end.
"""

import argparse
import json
import os
from datetime import date, timedelta

import texts
from dice import Dice
from ledger import (ASSETS, COINS, FIRST_DAY, FUNDS, LAST_DAY, SNAPSHOT_DAYS, Ledger, cost_on, days,
                    half_up, held_on, is_working, month_after, months, stamp, working)

UPDATED = "2025-11-09T22:30:00Z"
TALK_FIRST, TALK_LAST = date(2025, 1, 15), date(2025, 11, 8)
COUNCIL_FIRST = date(2025, 7, 1)
MODEL_IN_GR, MODEL_OUT_GR = 3, 9    # grosze per 1,000 characters

MONTHS_OF = ("stycznia", "lutego", "marca", "kwietnia", "maja", "czerwca", "lipca", "sierpnia",
             "września", "października", "listopada", "grudnia")


# --- how figures read in a Polish sentence

def zl(gr, grosze=False):
    """145 230 zł, with hard blanks; to the grosz if asked for."""
    sign = "−" if gr < 0 else ""
    gr = abs(gr)
    whole = gr // 100 if grosze else half_up(gr, 100)
    digits = format(whole, ",").replace(",", "\u00a0")
    return "%s%s%s\u00a0zł" % (sign, digits, ",%02d" % (gr % 100) if grosze else "")


def tenths(num, den):
    """num/den with one decimal place and a comma, for num >= 0."""
    n = half_up(10 * num, den)
    return "%d,%d" % (n // 10, n % 10)


def percent(num, den):
    return tenths(100 * num, den) + "%"


def change(new, old):
    if old <= 0:
        return "0,0%"
    return ("+" if new >= old else "−") + percent(abs(new - old), old)


def items(n):
    if n == 1:
        return "1 pozycja"
    few = n % 10 in (2, 3, 4) and n % 100 not in (12, 13, 14)
    return "%d %s" % (n, "pozycje" if few else "pozycji")


def spoken(day):
    return "%d %s %d" % (day.day, MONTHS_OF[day.month - 1], day.year)


def rate(bp):
    return "%d,%02d%%" % (bp // 100, bp % 100)


def figures(ledger, day, dice):
    """The slots of texts.py, as the evening of `day` left them."""
    state = ledger.state(day)
    before = ledger.state(day - timedelta(days=30))
    month = ledger.spent(day - timedelta(days=29), day)
    year = ledger.spent(day - timedelta(days=364), day)
    quarter = ledger.spent(day - timedelta(days=89), day)
    rates, rates_before = ledger.rates[day], ledger.rates[day - timedelta(days=30)]

    by_category = {}
    for e in month:
        by_category[e.category] = by_category.get(e.category, 0) + e.gross_gr
    top = max(sorted(by_category), key=lambda c: by_category[c])

    def year_of(*categories):
        return sum(e.gross_gr for e in year if e.category in categories)

    repaid = sum(event[2] + event[3] for loan in ledger.loans for event in loan.events
                 if event[1] != "wypłata z linii" and day - timedelta(days=89) <= event[0] <= day)
    burn = (sum(e.gross_gr for e in quarter) + repaid) // 3

    owed = [loan for loan in ledger.loans if loan.balance_gr(day)]
    loan = dice.pick(owed)
    goal = dice.pick([g for g in ledger.goals if g.deposits[0][0] <= day and not g.reached(day)])
    saved = goal.saved_gr(day)
    left = goal.target_gr - saved

    coins = held_on(ledger.coin_trades, day)
    funds = held_on(ledger.fund_trades, day)
    fund_values = {s: ASSETS[s].value_gr(n, rates[s]) for s, n in funds.items()}
    largest = max(sorted(fund_values), key=lambda s: fund_values[s])
    trades = [t for t in ledger.coin_trades + ledger.fund_trades if t.day <= day]
    eth_rewards = sum(t.amount for t in trades if t.kind == "nagroda")

    def coin_value(symbol):
        return ASSETS[symbol].value_gr(coins.get(symbol, 0), rates[symbol])

    def coin_text(symbol, amount):
        return ASSETS[symbol].text(amount)[:-4].replace(".", ",")    # four places are enough to say

    assets = state["wartosc_calkowita_gr"]
    return {
        "total": zl(assets),
        "debt": zl(state["dlug_gr"]),
        "net": zl(state["majatek_netto_gr"]),
        "crypto": zl(state["krypto_gr"]),
        "invest": zl(state["inwestycje_gr"]),
        "assets": zl(state["inwestycje_gr"] + state["krypto_gr"]),
        "savings": zl(state["oszczednosci_gr"]),
        "crypto_pct": percent(state["krypto_gr"], assets),
        "debt_pct": percent(state["dlug_gr"], assets),
        "chg30": change(assets, before["wartosc_calkowita_gr"]),
        "etf": ASSETS[largest].name,
        "etf_pct": percent(fund_values[largest], state["inwestycje_gr"]),
        "dividends": zl(sum(t.value_gr for t in trades if t.kind == "dywidenda"
                            and t.day > day - timedelta(days=365))),
        "fees": zl(sum(t.fee_gr for t in trades), True),
        "stress": zl(state["krypto_gr"] * 60 // 100 + state["inwestycje_gr"] * 30 // 100),
        "exp30": zl(sum(e.gross_gr for e in month)),
        "n_exp30": items(len(month)),
        "avg_exp": zl(sum(e.gross_gr for e in month) // len(month), True),
        "vat30": zl(sum(e.deduct_gr for e in month), True),
        "topcat": top,
        "topcat_sum": zl(by_category[top], True),
        "burn": zl(burn),
        "cushion": tenths(state["oszczednosci_gr"], burn),
        "insurance": zl(year_of("Ubezpieczenia")),
        "car12": zl(year_of("Paliwo", "Samochód")),
        "hardware12": zl(year_of("Sprzęt")),
        "payout": zl([p for p in ledger.payouts
                      if p.day <= day and p.kind == "wypłata miesięczna"][-1].amount_gr),
        "loan": loan.name,
        "loan_left": zl(loan.balance_gr(day)),
        "loan_rate": rate(loan.rate_bp),
        "max_rate": rate(max(one.rate_bp for one in owed)),
        "goal": goal.name,
        "goal_pct": percent(saved, goal.target_gr),
        "goal_saved": zl(saved),
        "goal_left": zl(left),
        "goal_step": zl(min(left, dice.pick((10_000, 15_000, 20_000, 30_000, 50_000)))),
        "premises": zl(ledger.goals[3].saved_gr(day)),
        "breakfund": zl(ledger.goals[4].saved_gr(day)),
        "btc": zl(rates["BTC"]),
        "btc30": change(rates["BTC"], rates_before["BTC"]),
        "btc_amount": coin_text("BTC", coins["BTC"]),
        "btc_value": zl(coin_value("BTC")),
        "btc_cost": zl(cost_on(ledger.coin_trades, day)["BTC"]),
        "btc_buys": sum(1 for t in trades if t.asset.symbol == "BTC" and t.kind == "kupno"),
        "eth": zl(rates["ETH"]),
        "eth_amount": coin_text("ETH", coins["ETH"]),
        "eth_rewards": coin_text("ETH", eth_rewards),
        "sol": zl(rates["SOL"], True),
        "alts": zl(coin_value("SOL") + coin_value("ADA")),
    }


def portfolio(ledger, day):
    state = ledger.state(day)
    return {"date": day.isoformat(), "total_value_gr": state["wartosc_calkowita_gr"],
            "debt_gr": state["dlug_gr"]}


# --- the five critical documents

def summed(pairs):
    """{key: sum}, sorted by key."""
    sums = {}
    for key, amount in pairs:
        sums[key] = sums.get(key, 0) + amount
    return dict(sorted(sums.items()))


def wyplaty(ledger):
    return {
        "wyplaty": [{
            "id": p.number,
            "data": p.day.isoformat(),
            "zaksiegowano": p.booked,
            "typ": p.kind,
            "opis": p.text,
            "kwota_gr": p.amount_gr,
            "z_konta": "rachunek firmowy",
            "na_konto": "rachunek prywatny",
        } for p in ledger.payouts],
        "podsumowanie": {
            "liczba": len(ledger.payouts),
            "suma_gr": sum(p.amount_gr for p in ledger.payouts),
            "wg_typu_gr": summed((p.kind, p.amount_gr) for p in ledger.payouts),
            "wg_roku_gr": summed((str(p.day.year), p.amount_gr) for p in ledger.payouts),
        },
        "waluta": "PLN",
        "ostatnia_aktualizacja": UPDATED,
    }


def wydatki(ledger):
    found = ledger.expenses
    return {
        "wydatki": [{
            "id": e.number,
            "data": e.day.isoformat(),
            "zaksiegowano": e.booked,
            "kategoria": e.category,
            "opis": e.text,
            "sprzedawca": e.merchant,
            "netto_gr": e.net_gr,
            "stawka_vat": e.vat_rate,
            "vat_gr": e.vat_gr,
            "vat_do_odliczenia_gr": e.deduct_gr,
            "kwota_gr": e.gross_gr,
            "metoda_platnosci": e.method,
            "cykliczny": e.recurring,
            "tagi": e.tags,
        } for e in found],
        "podsumowanie": {
            "liczba": len(found),
            "netto_gr": sum(e.net_gr for e in found),
            "vat_gr": sum(e.vat_gr for e in found),
            "vat_do_odliczenia_gr": sum(e.deduct_gr for e in found),
            "suma_gr": sum(e.gross_gr for e in found),
            "wg_kategorii_gr": summed((e.category, e.gross_gr) for e in found),
            "wg_miesiaca_gr": summed((e.day.isoformat()[:7], e.gross_gr) for e in found),
        },
        "waluta": "PLN",
        "ostatnia_aktualizacja": UPDATED,
    }


def upcoming(loan):
    """The next three instalments, where there are any."""
    paid = sum(1 for event in loan.events if event[1] == "rata")
    if not loan.term or paid == loan.term:
        return []
    return [{"data": working(month_after(loan.opened, n)).isoformat(), "rata_gr": loan.instalment_gr()}
            for n in range(paid + 1, min(paid + 3, loan.term) + 1)]


def kredyty(ledger):
    found = []
    for loan in ledger.loans:
        left = loan.balance_gr(LAST_DAY)
        found.append({
            "id": loan.number,
            "nazwa": loan.name,
            "typ": loan.kind,
            "instytucja": loan.lender,
            "oprocentowanie_roczne_proc": "%d.%02d" % (loan.rate_bp // 100, loan.rate_bp % 100),
            "data_zawarcia": loan.opened.isoformat(),
            ("kwota_gr" if loan.term else "limit_gr"): loan.amount_gr,
            "okres_miesiecy": loan.term or None,
            "rata_gr": loan.instalment_gr() if loan.term else None,
            "status": "spłacony" if loan.term and not left else "aktywny",
            "pozostalo_gr": left,
            "zaplacone_odsetki_gr": sum(event[3] for event in loan.events),
            "najblizsze_raty": upcoming(loan),
            "operacje": [{
                "data": day.isoformat(),
                "typ": kind,
                "kapital_gr": principal,
                "odsetki_gr": interest,
                "saldo_po_gr": balance,
            } for day, kind, principal, interest, balance in loan.events],
        })
    return {
        "kredyty": found,
        "podsumowanie": {
            "liczba": len(found),
            "aktywne": sum(1 for one in found if one["status"] == "aktywny"),
            "pozostalo_gr": sum(one["pozostalo_gr"] for one in found),
            "zaplacone_odsetki_gr": sum(one["zaplacone_odsetki_gr"] for one in found),
        },
        "waluta": "PLN",
        "ostatnia_aktualizacja": UPDATED,
    }


def cele(ledger):
    found = []
    for goal in ledger.goals:
        reached = goal.reached(LAST_DAY)
        saved = goal.saved_gr(LAST_DAY)
        found.append({
            "id": goal.number,
            "nazwa": goal.name,
            "dlaczego": goal.why,
            "priorytet": goal.priority,
            "kwota_docelowa_gr": goal.target_gr,
            "zebrano_gr": saved,
            "postep_proc": "%d.%d" % divmod(saved * 1000 // goal.target_gr, 10),
            "termin": goal.due.isoformat(),
            "status": "osiągnięty" if reached else "opóźniony" if goal.due < LAST_DAY else "w toku",
            "osiagnieto": reached.isoformat() if reached else None,
            "wplaty": [{"data": day.isoformat(), "kwota_gr": amount, "opis": text}
                       for day, amount, text in goal.deposits],
        })
    return {
        "cele": found,
        "podsumowanie": {
            "liczba": len(found),
            "osiagniete": sum(1 for one in found if one["osiagnieto"]),
            "zebrano_gr": sum(one["zebrano_gr"] for one in found),
            "kwota_docelowa_gr": sum(one["kwota_docelowa_gr"] for one in found),
        },
        "waluta": "PLN",
        "ostatnia_aktualizacja": UPDATED,
    }


def trades_json(trades):
    return [{
        "id": t.number,
        "czas": t.time,
        "symbol": t.asset.symbol,
        "typ": t.kind,
        "ilosc": t.asset.text(t.amount),
        "kurs_gr": t.rate_gr,
        "wartosc_gr": t.value_gr,
        "prowizja_gr": t.fee_gr,
        "opis": t.note,
    } for t in trades]


def positions(ledger, trades, assets):
    held, cost, rates = held_on(trades, LAST_DAY), cost_on(trades, LAST_DAY), ledger.rates[LAST_DAY]
    found = []
    for a in assets:
        value = a.value_gr(held.get(a.symbol, 0), rates[a.symbol])
        found.append({
            "symbol": a.symbol,
            "nazwa": a.name,
            "ilosc": a.text(held.get(a.symbol, 0)),
            "koszt_nabycia_gr": cost.get(a.symbol, 0),
            "kurs_gr": rates[a.symbol],
            "wartosc_gr": value,
            "wynik_gr": value - cost.get(a.symbol, 0),
        })
    return found


def position_sums(found, trades):
    return {
        "liczba_transakcji": len(trades),
        "koszt_nabycia_gr": sum(one["koszt_nabycia_gr"] for one in found),
        "wartosc_gr": sum(one["wartosc_gr"] for one in found),
        "wynik_gr": sum(one["wynik_gr"] for one in found),
        "prowizje_gr": sum(t.fee_gr for t in trades),
    }


def krypto(ledger):
    found = positions(ledger, ledger.coin_trades, COINS)
    return {
        "pozycje": found,
        "transakcje": trades_json(ledger.coin_trades),
        "podsumowanie": position_sums(found, ledger.coin_trades),
        "waluta": "PLN",
        "kursy_z_dnia": LAST_DAY.isoformat(),
        "ostatnia_aktualizacja": UPDATED,
    }


# --- what the partners said

def talk_times(key, count):
    dice = Dice("talk times/" + key)
    span = (TALK_LAST - TALK_FIRST).days + 1
    found = set()
    while len(found) < count:
        found.add(stamp(TALK_FIRST + timedelta(days=dice.below(span)), dice, 5, 20))
    return sorted(found)


def answer(partner, topic, variant, slots, lookback, dice):
    """Opening (or a look back), observation, reason, advice, closing."""
    see, why, do = variant // 9, variant // 3 % 3, variant % 3
    parts = [lookback or dice.pick(partner["openers"]), topic["see"][see], topic["why"][why],
             topic["do"][do], dice.pick(partner["closers"])]
    return " ".join(part.format(**slots) for part in parts if part)


def partner_talks(ledger, key, partner):
    dice = Dice("talks/" + key)
    variants = dice.shuffled(range(27 * len(partner["topics"])))
    seen, found = {}, []
    for when, variant in zip(talk_times(key, partner["count"]), variants):
        today = date.fromisoformat(when[:10])
        day = today - timedelta(days=1)
        topic = partner["topics"][variant // 27]
        slots = figures(ledger, day, dice)
        lookback = None
        if topic["name"] in seen and dice.below(2):
            past = seen[topic["name"]]
            then = ledger.state(past - timedelta(days=1))
            slots.update(when=spoken(past), topic=topic["name"], then=zl(then["majatek_netto_gr"]),
                         then_debt=zl(then["dlug_gr"]))
            lookback = dice.pick(texts.LOOKBACK)
        if topic["name"] not in seen or today > seen[topic["name"]]:
            seen[topic["name"]] = today
        found.append({
            "timestamp": when,
            "topic": topic["name"],
            "user_message": dice.pick(topic["ask"]).format(**slots),
            "ai_response": answer(partner, topic, variant % 27, slots, lookback, dice),
            "portfolio_snapshot": portfolio(ledger, day),
        })
    return found


def persona_memory(ledger):
    memory = {}
    for key, partner in texts.PARTNERS.items():
        talks = partner_talks(ledger, key, partner)
        memory[key] = {
            "partner_name": partner["name"],
            "style": partner["style"],
            "conversations": talks,
            "statistics": {
                "total_messages": len(talks),
                "first_interaction": talks[0]["timestamp"],
                "last_interaction": talks[-1]["timestamp"],
            },
        }
    return memory


def later(when, seconds):
    """A time some seconds on; talks never reach midnight."""
    h, m, s = (int(part) for part in when[11:19].split(":"))
    total = h * 3600 + m * 60 + s + seconds
    return "%sT%02d:%02d:%02dZ" % (when[:10], total // 3600, total // 60 % 60, total % 60)


def partner_conversations(ledger):
    """Councils that the user called: two rounds of questions, each partner in turn."""
    dice = Dice("councils")
    span = (TALK_LAST - COUNCIL_FIRST).days + 1
    whens = sorted({stamp(COUNCIL_FIRST + timedelta(days=dice.below(span)), dice, 6, 19)
                    for _ in range(2 * len(texts.COUNCILS))})
    rounds = dice.shuffled(texts.COUNCILS) + dice.shuffled(texts.COUNCILS)
    found = []
    for n, (when, council) in enumerate(zip(whens, rounds), 1):
        day = date.fromisoformat(when[:10]) - timedelta(days=1)
        slots = figures(ledger, day, dice)
        first = 0 if n <= len(texts.COUNCILS) else 1
        messages, time = [], when

        def say(role, text, partner=None):
            nonlocal time
            message = {"id": "R%03d-%02d" % (n, len(messages) + 1), "timestamp": time, "role": role}
            if partner:
                message["partner"] = partner
            message["content"] = text.format(**slots)
            messages.append(message)
            time = later(time, dice.between(4, 95))

        speakers = dice.shuffled(council["say"])
        say("user", council["ask"])
        for key in speakers:
            say("partner", council["say"][key][first], key)
        say("user", council["follow"])
        for key in dice.shuffled(speakers)[:max(2, len(speakers) // 2)]:
            say("partner", council["say"][key][1 - first], key)
        say("user", dice.pick(texts.COUNCIL_CLOSING))
        found.append({
            "id": "ROZ-%03d" % n,
            "temat": council["name"],
            "uczestnicy": sorted(speakers),
            "started_at": when,
            "ended_at": messages[-1]["timestamp"],
            "portfolio_snapshot": portfolio(ledger, day),
            "messages": messages,
        })
    return {
        "conversations": found,
        "statistics": {
            "total_conversations": len(found),
            "total_messages": sum(len(one["messages"]) for one in found),
            "first_interaction": found[0]["started_at"],
            "last_interaction": found[-1]["ended_at"],
        },
    }


def autonomous_conversations(ledger):
    """Every second Sunday the partners take up a subject among themselves and vote."""
    dice = Dice("autonomous")
    sunday, found, queue = date(2025, 1, 19), [], []
    while sunday <= LAST_DAY:
        queue = queue or dice.shuffled(texts.COUNCILS)
        council = queue.pop()
        day = sunday - timedelta(days=1)
        slots = figures(ledger, day, dice)
        when = "%sT17:%02d:%02dZ" % (sunday.isoformat(), dice.below(20), dice.below(60))
        speakers = dice.shuffled(council["say"])
        turns, time = [], when
        for key in speakers:
            turns.append((key, dice.below(2)))
        turns += [(key, 1 - side) for key, side in turns[:dice.between(1, len(turns) - 1)]]
        messages = []
        for key, side in turns:
            messages.append({"timestamp": time, "partner": key,
                             "content": council["say"][key][side].format(**slots)})
            time = later(time, dice.between(15, 140))
        votes = {key: dice.pick(("za", "za", "za", "wstrzymuje się", "przeciw"))
                 for key in sorted(speakers)}
        votes[speakers[0]] = "za"
        ayes = sum(1 for vote in votes.values() if vote == "za")
        noes = sum(1 for vote in votes.values() if vote == "przeciw")
        found.append({
            "id": "AUT-%03d" % (len(found) + 1),
            "temat": council["name"],
            "timestamp": when,
            "wywolane_przez": "harmonogram",
            "portfolio_snapshot": portfolio(ledger, day),
            "messages": messages,
            "glosowanie": votes,
            "wynik": "przyjęto" if ayes > noes else "odłożono",
            "wniosek": council["result"],
        })
        sunday += timedelta(days=14)
    return {
        "conversations": found,
        "statistics": {
            "total_conversations": len(found),
            "total_messages": sum(len(one["messages"]) for one in found),
            "first_interaction": found[0]["timestamp"],
            "last_interaction": found[-1]["messages"][-1]["timestamp"],
        },
    }


# --- configuration and history

def notification_config():
    return {
        "email": "powiadomienia@example.com",
        "enabled": True,
        "jezyk": "pl",
        "strefa_czasowa": "Europe/Warsaw",
        "podsumowanie_dzienne": {"wlaczone": True, "godzina": "18:00"},
        "raport_tygodniowy": {"wlaczone": True, "dzien": "niedziela", "godzina": "09:30"},
        "cisza_nocna": {"od": "22:00", "do": "07:00"},
        "progi": {
            "spadek_portfela_proc": 5,
            "duzy_wydatek_gr": 200000,
            "minimalna_poduszka_gr": 1500000,
            "dni_przed_rata": 3,
        },
        "kategorie": ["kredyty", "cele", "krypto", "wydatki"],
    }


def daily_snapshots(ledger):
    found = []
    dice = Dice("snapshots")
    previous = ledger.state(LAST_DAY - timedelta(days=SNAPSHOT_DAYS))["majatek_netto_gr"]
    for day in days(LAST_DAY - timedelta(days=SNAPSHOT_DAYS - 1)):
        state, first = ledger.state(day), day.replace(day=1)
        found.append({
            "data": day.isoformat(),
            "utworzono": "%sT22:%02d:%02dZ" % (day.isoformat(), dice.between(1, 14), dice.below(60)),
            **state,
            "zmiana_dzienna_gr": state["majatek_netto_gr"] - previous,
            "wydatki_od_poczatku_miesiaca_gr": sum(e.gross_gr for e in ledger.spent(first, day)),
            "wyplaty_od_poczatku_miesiaca_gr": sum(p.amount_gr for p in ledger.payouts
                                                   if first <= p.day <= day),
            "kursy_gr": dict(ledger.rates[day]),
        })
        previous = state["majatek_netto_gr"]
    return {"snapshots": found, "waluta": "PLN", "ostatnia_aktualizacja": UPDATED}


def portfolio_history(ledger):
    trades = ledger.fund_trades
    found = positions(ledger, trades, FUNDS)
    by_month = []
    for y, m in months():
        last = min(month_after(date(y, m, 1), 1) - timedelta(days=1), LAST_DAY)
        here = [t for t in trades if (t.day.year, t.day.month) == (y, m)]

        def total(kind):
            return sum(t.value_gr for t in here if t.kind == kind)

        by_month.append({
            "miesiac": "%04d-%02d" % (y, m),
            "kupiono_gr": total("kupno"),
            "sprzedano_gr": total("sprzedaż"),
            "dywidendy_gr": total("dywidenda"),
            "prowizje_gr": sum(t.fee_gr for t in here),
            "wartosc_na_koniec_gr": ledger.value_gr(trades, last),
        })
    sums = position_sums(found, trades)
    sums["dywidendy_gr"] = sum(t.value_gr for t in trades if t.kind == "dywidenda")
    return {
        "instrumenty": [{"symbol": f.symbol, "nazwa": f.name} for f in FUNDS],
        "pozycje": found,
        "transakcje": trades_json(trades),
        "miesiace": by_month,
        "podsumowanie": sums,
        "waluta": "PLN",
        "od": FIRST_DAY.isoformat(),
        "ostatnia_aktualizacja": UPDATED,
    }


def spoken_by_day(memory, councils, autonomous):
    """{day: [answers, characters sent, characters received]} of the language model."""
    sums = {}

    def add(when, sent, received):
        one = sums.setdefault(when[:10], [0, 0, 0])
        one[0] += 1
        one[1] += len(sent)
        one[2] += len(received)

    for partner in memory.values():
        for talk in partner["conversations"]:
            add(talk["timestamp"], talk["user_message"], talk["ai_response"])
    for council in councils["conversations"]:
        question = ""
        for message in council["messages"]:
            if message["role"] == "user":
                question = message["content"]
            else:
                add(message["timestamp"], question, message["content"])
    for talk in autonomous["conversations"]:
        for message in talk["messages"]:
            add(message["timestamp"], talk["temat"], message["content"])
    return sums


def api_usage(ledger, memory, councils, autonomous):
    dice = Dice("api usage")
    answers = spoken_by_day(memory, councils, autonomous)
    by_day = []
    for day in days(TALK_FIRST):
        n, sent, received = answers.get(day.isoformat(), (0, 0, 0))
        failed = sum(1 for _ in range(n) if dice.one_in(25))
        by_day.append({
            "data": day.isoformat(),
            "model_odpowiedzi": n,
            "model_bledy": failed,
            "model_znaki_wyslane": sent,
            "model_znaki_odebrane": received,
            "model_koszt_gr": (sent * MODEL_IN_GR + received * MODEL_OUT_GR + 999) // 1000,
            "kursy_krypto_zapytania": 24 * len(COINS) - (dice.below(9) if dice.one_in(12) else 0),
            "notowania_zapytania": 9 * len(FUNDS) if is_working(day) else 0,
            "poczta_wyslane": 1 + (day.weekday() == 6) + (1 if dice.one_in(15) else 0),
        })
    counters = [name for name in by_day[0] if name != "data"]
    by_month = {}
    for one in by_day:
        sums = by_month.setdefault(one["data"][:7], dict.fromkeys(counters, 0))
        for name in counters:
            sums[name] += one[name]
    return {
        "dni": by_day,
        "miesiace": by_month,
        "razem": {name: sum(one[name] for one in by_day) for name in counters},
        "cennik": {"model_wyslane_gr_za_1000_znakow": MODEL_IN_GR,
                   "model_odebrane_gr_za_1000_znakow": MODEL_OUT_GR},
        "od": TALK_FIRST.isoformat(),
        "ostatnia_aktualizacja": UPDATED,
    }


def documents():
    ledger = Ledger()
    memory = persona_memory(ledger)
    councils = partner_conversations(ledger)
    autonomous = autonomous_conversations(ledger)
    return {
        "wyplaty.json": wyplaty(ledger),
        "wydatki.json": wydatki(ledger),
        "kredyty.json": kredyty(ledger),
        "cele.json": cele(ledger),
        "krypto.json": krypto(ledger),
        "persona_memory.json": memory,
        "partner_conversations.json": councils,
        "autonomous_conversations.json": autonomous,
        "notification_config.json": notification_config(),
        "daily_snapshots.json": daily_snapshots(ledger),
        "portfolio_history.json": portfolio_history(ledger),
        "api_usage.json": api_usage(ledger, memory, councils, autonomous),
    }


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description="Writes the twelve documents of the finance example.")
    parser.add_argument("--out", default=os.path.join(here, "data"), metavar="DIR")
    out = parser.parse_args().out
    os.makedirs(out, exist_ok=True)
    for name, document in documents().items():
        with open(os.path.join(out, name), "w", encoding="utf-8", newline="\n") as f:
            json.dump(document, f, ensure_ascii=False, indent=2)


if __name__ == "__main__":
    main()

"""The money behind the documents: every booking of two years, and what it adds up to on any day.

All amounts are integers in grosze (1 zł = 100 gr), all quantities integers in the smallest unit of
the asset (10^-8 of a coin, 10^-4 of a fund unit). Nothing here is floating point. The documents are
only views of these lists, which is why their sums agree.

Merchants, funds and rates are made up; the rates of coins only have a likely size.
"""

from dataclasses import dataclass, field
from datetime import date, timedelta
from fractions import Fraction

from dice import Dice

FIRST_DAY = date(2023, 11, 10)
LAST_DAY = date(2025, 11, 9)
SNAPSHOT_DAYS = 365

HOLIDAYS = {
    date(y, m, d)
    for y in (2023, 2024, 2025)
    for m, d in ((1, 1), (1, 6), (5, 1), (5, 3), (8, 15), (11, 1), (11, 11), (12, 25), (12, 26))
} | {
    date(2024, 4, 1), date(2024, 5, 30), date(2025, 4, 21), date(2025, 6, 19),
}


def days(first=FIRST_DAY, last=LAST_DAY):
    while first <= last:
        yield first
        first += timedelta(days=1)


def is_working(day):
    return day.weekday() < 5 and day not in HOLIDAYS


def working(day):
    """The day itself or the next on which banks and offices work."""
    while not is_working(day):
        day += timedelta(days=1)
    return day


def months(first=FIRST_DAY, last=LAST_DAY):
    y, m = first.year, first.month
    while (y, m) <= (last.year, last.month):
        yield y, m
        y, m = (y, m + 1) if m < 12 else (y + 1, 1)


def half_up(num, den):
    """num/den to the nearest integer, halves away from zero, for num >= 0."""
    return (2 * num + den) // (2 * den)


def stamp(day, dice, first_hour=6, last_hour=20):
    """A time on that day, as the documents write it."""
    return "%sT%02d:%02d:%02dZ" % (
        day.isoformat(), dice.between(first_hour, last_hour), dice.below(60), dice.below(60))


# --- rates

@dataclass(frozen=True)
class Asset:
    symbol: str
    name: str
    unit: int            # smallest units in one coin or fund unit
    start_gr: int        # rate on the first day
    drift_ppm: int       # per day of trade
    spread_ppm: int
    weekends: bool       # whether it is traded on all days

    @property
    def decimals(self):
        return len(str(self.unit)) - 1

    def text(self, amount):
        """A quantity as decimal text, with all its places: 1250000 -> 0.01250000."""
        sign = "-" if amount < 0 else ""
        whole, rest = divmod(abs(amount), self.unit)
        return "%s%d.%0*d" % (sign, whole, self.decimals, rest)

    def value_gr(self, amount, rate_gr):
        """What a holding is worth, cut to whole grosze."""
        return amount * rate_gr // self.unit


COINS = (
    Asset("BTC", "Bitcoin", 10**8, 15_238_000, 1150, 24_000, True),
    Asset("ETH", "Ethereum", 10**8, 824_600, 700, 31_000, True),
    Asset("SOL", "Solana", 10**8, 23_180, 1400, 42_000, True),
    Asset("ADA", "Cardano", 10**8, 152, 500, 40_000, True),
)

FUNDS = (
    Asset("SWIAT", "ETF Akcje Świat", 10**4, 34_820, 520, 8_500, False),
    Asset("WSCHOD", "ETF Rynki Wschodzące", 10**4, 12_740, 310, 10_500, False),
    Asset("DYWID", "ETF Spółki Dywidendowe", 10**4, 21_965, 330, 7_400, False),
    Asset("OBLIG", "Fundusz Obligacji Skarbowych", 10**4, 10_412, 215, 900, False),
    Asset("ZLOTO", "ETC Złoto Fizyczne", 10**4, 17_630, 780, 8_200, False),
)

ASSETS = {a.symbol: a for a in COINS + FUNDS}


def make_rates():
    """{day: {symbol: grosze}}: a walk per asset, still on days without trade."""
    rates = {day: {} for day in days()}
    for asset in COINS + FUNDS:
        dice = Dice("rates/" + asset.symbol)
        # Ten more digits than grosze, or cheap coins would hardly move.
        fine = asset.start_gr * 10**10
        for day in days():
            if asset.weekends or is_working(day):
                step = asset.drift_ppm + dice.bell(asset.spread_ppm)
                fine = fine * (10**6 + step) // 10**6
            rates[day][asset.symbol] = max(1, fine // 10**10)
    return rates


# --- expenses

@dataclass
class Expense:
    day: date
    category: str
    text: str
    merchant: str
    net_gr: int
    vat_rate: str        # "23%", "8%", "5%" or "zw." (exempt)
    deduct: int          # per cent of the VAT that may be deducted
    method: str
    recurring: bool
    tags: list
    number: str = ""
    booked: str = ""

    @property
    def vat_gr(self):
        if self.vat_rate == "zw.":
            return 0
        return half_up(self.net_gr * int(self.vat_rate[:-1]), 100)

    @property
    def gross_gr(self):
        return self.net_gr + self.vat_gr

    @property
    def deduct_gr(self):
        return self.vat_gr * self.deduct // 100


CARD, TRANSFER, DEBIT, CASH = "karta firmowa", "przelew", "polecenie zapłaty", "gotówka"

# day of month, every n months, category, text, merchant, net from-to, VAT, deductible, method, tags
RECURRING = (
    (1, 1, "Biuro", "Najem stanowiska w biurze współdzielonym", "Biuro Na Piętrze", (89_000, 89_000),
     "23%", 100, TRANSFER, ["biuro", "stałe"]),
    (2, 1, "Hosting", "Serwer aplikacji i kopie zapasowe", "Serwerownia Nadrzeczna", (18_900, 24_700),
     "23%", 100, CARD, ["it", "stałe"]),
    (4, 1, "Oprogramowanie", "Pakiet graficzny, licencja miesięczna", "Sklep z Licencjami Kontur",
     (12_900, 12_900), "23%", 100, CARD, ["it", "licencje"]),
    (6, 1, "Księgowość", "Obsługa księgowa za poprzedni miesiąc", "Biuro Rachunkowe Saldo",
     (45_000, 52_000), "23%", 100, TRANSFER, ["stałe"]),
    (8, 1, "Telekomunikacja", "Internet światłowodowy", "Sieć Osiedlowa Światło", (7_317, 7_317),
     "23%", 100, DEBIT, ["stałe"]),
    (9, 1, "Telekomunikacja", "Abonament telefoniczny, dwa numery", "Telefonia Zasięg", (8_130, 9_756),
     "23%", 100, DEBIT, ["stałe"]),
    (14, 1, "Bank", "Prowadzenie rachunku i karty", "Bank Rzemiosła", (1_900, 4_300), "zw.", 0, DEBIT,
     ["opłaty"]),
    (19, 2, "Energia", "Energia elektryczna pracowni", "Energetyka Miejska", (21_400, 38_900), "23%",
     100, TRANSFER, ["media"]),
    (22, 3, "Ubezpieczenia", "OC działalności, rata kwartalna", "Towarzystwo Ubezpieczeń Kotwica",
     (31_200, 31_200), "zw.", 0, TRANSFER, ["polisa"]),
    (27, 12, "Ubezpieczenia", "Polisa samochodu dostawczego", "Towarzystwo Ubezpieczeń Kotwica",
     (218_000, 241_000), "zw.", 0, TRANSFER, ["polisa", "samochód"]),
    (17, 6, "Oprogramowanie", "Domeny i certyfikaty na kolejne pół roku", "Rejestr Domen Zakątek",
     (14_200, 19_800), "23%", 100, CARD, ["it"]),
)

# weight, category, (text, merchants) ..., net from-to, VAT, deductible, method, tags
OCCASIONAL = (
    (16, "Paliwo",
     (("Olej napędowy do auta dostawczego", ("Stacja Paliw Przy Obwodnicy", "Paliwa Rondo")),
      ("Tankowanie przed trasą do klienta", ("Stacja Paliw Przy Obwodnicy", "Paliwa Rondo")),
      ("Paliwo, trasa na targi branżowe", ("Stacja Paliw Zajazd",)),
      ("Tankowanie, dostawa materiałów", ("Paliwa Rondo", "Stacja Paliw Zajazd"))),
     (14_800, 36_500), "23%", 50, CARD, ["samochód"]),
    (9, "Materiały",
     (("Papier plotterowy i folie", ("Hurtownia Pracownia", "Skład Papieru Arkusz")),
      ("Farby i podkłady do próbek", ("Hurtownia Pracownia", "Market Budowlany Belka")),
      ("Płyty MDF na makietę", ("Market Budowlany Belka",)),
      ("Kleje, taśmy, ostrza wymienne", ("Market Budowlany Belka", "Hurtownia Pracownia")),
      ("Kartony i wypełniacze do wysyłek", ("Skład Papieru Arkusz",))),
     (4_200, 68_000), "23%", 100, CARD, ["produkcja"]),
    (8, "Kurier",
     (("Wysyłka wydruków do klienta", ("Kurier Na Jutro", "Paczki Osiedlowe")),
      ("Paczka z próbkami, doręczenie następnego dnia", ("Kurier Na Jutro",)),
      ("Zwrot reklamowanego towaru", ("Paczki Osiedlowe",)),
      ("Przesyłka paletowa", ("Spedycja Trakt",))),
     (1_450, 18_900), "23%", 100, CARD, ["logistyka"]),
    (7, "Marketing",
     (("Kampania w wyszukiwarce", ("Agencja Reklamy Zasięg Plus",)),
      ("Reklama w mediach społecznościowych", ("Agencja Reklamy Zasięg Plus",)),
      ("Druk wizytówek i katalogu", ("Drukarnia Offsetowa Pasaż",)),
      ("Zdjęcia produktów do sklepu", ("Studio Packshot",))),
     (9_900, 145_000), "23%", 100, TRANSFER, ["sprzedaż"]),
    (7, "Posiłki",
     (("Obiad z klientem po prezentacji", ("Bistro Pod Kasztanem", "Karczma Trakt")),
      ("Kawa i kanapki na spotkanie projektowe", ("Kawiarnia Na Rogu",)),
      ("Kolacja w delegacji", ("Karczma Trakt", "Bistro Pod Kasztanem"))),
     (3_400, 28_500), "8%", 0, CARD, ["reprezentacja"]),
    (4, "Delegacje",
     (("Nocleg, montaż u klienta", ("Hotel Przystań", "Zajazd Pod Lipami")),
      ("Nocleg na targach branżowych", ("Hotel Przystań",))),
     (18_500, 46_000), "8%", 0, CARD, ["podróż"]),
    (3, "Delegacje",
     (("Bilety kolejowe w obie strony", ("Kolej Regionalna",)),
      ("Przejazd taksówką z dworca", ("Taksówki Miejskie",))),
     (2_400, 17_900), "8%", 100, CARD, ["podróż"]),
    (5, "Biuro",
     (("Tonery i papier ksero", ("Papiernia Narożna", "Sklep Biurowy Spinacz")),
      ("Środki czystości", ("Drogeria Osiedlowa",)),
      ("Segregatory i koperty", ("Papiernia Narożna", "Sklep Biurowy Spinacz")),
      ("Kawa, herbata i woda dla gości", ("Delikatesy Na Parterze",))),
     (2_900, 32_000), "23%", 100, CARD, ["biuro"]),
    (4, "Samochód",
     (("Wymiana oleju i filtrów", ("Warsztat Klucz Nasadowy",)),
      ("Wymiana klocków hamulcowych", ("Warsztat Klucz Nasadowy",)),
      ("Opony sezonowe, wymiana", ("Serwis Opon Bieżnik",))),
     (18_000, 94_000), "23%", 50, CARD, ["samochód", "serwis"]),
    (3, "Samochód",
     (("Myjnia i odkurzanie", ("Myjnia Bąbel",)),
      ("Opłata za autostradę", ("Autostrada, punkt poboru opłat",)),
      ("Płyn do spryskiwaczy i żarówki", ("Stacja Paliw Zajazd",))),
     (1_600, 7_900), "23%", 50, CARD, ["samochód"]),
    (4, "Sprzęt",
     (("Dysk zewnętrzny na archiwum projektów", ("Komputery Tranzystor",)),
      ("Monitor do korekty barw", ("Komputery Tranzystor", "Elektronika Pasaż")),
      ("Skaner dokumentów", ("Elektronika Pasaż",)),
      ("Zasilacz awaryjny", ("Komputery Tranzystor", "Elektronika Pasaż")),
      ("Statyw i oświetlenie", ("Sklep Fotograficzny Przysłona",))),
     (29_000, 320_000), "23%", 100, TRANSFER, ["it", "inwestycja"]),
    (4, "Szkolenia",
     (("Kurs obsługi klienta biznesowego", ("Akademia Rzemiosła",)),
      ("Warsztat z typografii", ("Akademia Rzemiosła", "Kursy Wieczorowe")),
      ("Szkolenie z rozliczeń VAT", ("Kursy Wieczorowe",)),
      ("Dostęp do platformy z kursami", ("Kursy Wieczorowe",))),
     (8_900, 128_000), "23%", 100, CARD, ["rozwój"]),
    (3, "Literatura",
     (("Podręcznik kosztorysowania", ("Księgarnia Zakładka",)),
      ("Prenumerata miesięcznika branżowego", ("Księgarnia Zakładka",)),
      ("Album z wzorami liternictwa", ("Antykwariat Szpargał", "Księgarnia Zakładka"))),
     (3_800, 18_400), "5%", 100, CARD, ["rozwój"]),
    (3, "Opłaty",
     (("Znaczki i listy polecone", ("Poczta",)),
      ("Opłata skarbowa za pełnomocnictwo", ("Urząd Miasta",)),
      ("Wypis z rejestru", ("Urząd Miasta",))),
     (1_700, 12_000), "zw.", 0, CASH, ["urzędy"]),
    (2, "Podwykonawcy",
     (("Montaż szyldu u klienta", ("Usługi Wysokościowe Lina",)),
      ("Korekta tekstów katalogu", ("Redakcja i Korekta Przecinek",)),
      ("Frezowanie liter przestrzennych", ("Pracownia Stolarska Wiór",))),
     (38_000, 420_000), "23%", 100, TRANSFER, ["projekt"]),
)


def make_expenses():
    dice = Dice("expenses")
    weights = [kind for kind in OCCASIONAL for _ in range(kind[0])]
    found = []
    for count, (y, m) in enumerate(months()):
        for dom, every, category, text, merchant, net, rate, deduct, method, tags in RECURRING:
            if (count + dom) % every:
                continue
            day = working(date(y, m, dom))
            # A price list changes once a year, not with every invoice.
            step = (net[1] - net[0]) * min(2, count // 12) // 2
            wobble = dice.between(0, net[1] - net[0]) if category in ("Energia", "Bank") else step
            found.append(Expense(day, category, text, merchant, net[0] + wobble, rate, deduct, method,
                                 True, list(tags)))
        for _ in range(dice.between(8, 14)):
            _, category, options, net, rate, deduct, method, tags = dice.pick(weights)
            text, merchants = dice.pick(options)
            day = working(date(y, m, 1) + timedelta(days=dice.below(28)))
            # Small purchases are the common ones: the lower of two rolls.
            amount = min(dice.between(*net), dice.between(*net))
            found.append(Expense(day, category, text, dice.pick(merchants), amount, rate, deduct,
                                 method, False, list(tags)))
    found = sorted((e for e in found if FIRST_DAY <= e.day <= LAST_DAY), key=lambda e: e.day)
    per_year = {}
    for e in found:
        per_year[e.day.year] = per_year.get(e.day.year, 0) + 1
        e.number = "W-%d-%04d" % (e.day.year, per_year[e.day.year])
        e.booked = stamp(e.day, dice, 7, 18)
    return found


# --- payouts to the owner

@dataclass
class Payout:
    day: date
    kind: str
    text: str
    amount_gr: int
    number: str = ""
    booked: str = ""


def make_payouts():
    dice = Dice("payouts")
    found = []
    for y, m in months():
        base = 1_200_000 if (y, m) < (2024, 7) else 1_350_000 if (y, m) < (2025, 4) else 1_480_000
        found.append(Payout(working(date(y, m, 10)), "wypłata miesięczna",
                            "Wypłata właściciela za %02d/%d" % (m, y), base))
        found.append(Payout(working(date(y, m, 25)), "zaliczka", "Zaliczka na poczet dochodu",
                            dice.between(30, 48) * 10_000))
        if m in (1, 4, 7, 10):
            found.append(Payout(working(date(y, m, 15)), "premia kwartalna",
                                "Premia po zamknięciu kwartału", dice.between(25, 70) * 10_000))
        if dice.below(5) < 3:
            what, low, high = dice.pick((
                ("Zwrot za bilety zapłacone prywatnie", 4_200, 31_000),
                ("Zwrot za materiały kupione prywatną kartą", 3_900, 52_000),
                ("Rozliczenie kilometrówki", 18_000, 74_000),
                ("Zwrot za parking i autostradę", 2_100, 12_500)))
            found.append(Payout(working(date(y, m, dice.between(3, 27))), "zwrot kosztów", what,
                                dice.between(low, high)))
    found = sorted((p for p in found if FIRST_DAY <= p.day <= LAST_DAY), key=lambda p: p.day)
    for i, p in enumerate(found, 1):
        p.number = "WYP-%03d" % i
        p.booked = stamp(p.day, dice, 8, 16)
    return found


# --- loans

@dataclass
class Loan:
    number: str
    name: str
    lender: str
    kind: str
    rate_bp: int                                  # per year, in hundredths of a per cent
    opened: date
    amount_gr: int                                # borrowed, or the limit of a line of credit
    term: int                                     # months, 0 for a line of credit
    events: list = field(default_factory=list)    # (day, kind, principal, interest, balance after)

    def balance_gr(self, day):
        if day < self.opened:
            return 0
        balance = self.amount_gr if self.term else 0
        for event in self.events:
            if event[0] > day:
                break
            balance = event[4]
        return balance

    def instalment_gr(self):
        r = Fraction(self.rate_bp, 120_000)
        grown = (1 + r) ** self.term
        exact = self.amount_gr * r * grown / (grown - 1)
        return half_up(exact.numerator, exact.denominator)


def month_after(day, n):
    m = day.month - 1 + n
    return date(day.year + m // 12, m % 12 + 1, day.day)


def repay(loan):
    """Equal instalments; the last one takes what rounding has left."""
    balance, instalment = loan.amount_gr, loan.instalment_gr()
    for n in range(1, loan.term + 1):
        day = working(month_after(loan.opened, n))
        if day > LAST_DAY:
            break
        interest = half_up(balance * loan.rate_bp, 120_000)
        principal = balance if n == loan.term else instalment - interest
        balance -= principal
        loan.events.append((day, "rata", principal, interest, balance))


def use_line(loan):
    """A line of credit: drawn when a project starts, paid back when it is settled."""
    dice, balance = Dice("line of credit"), 0
    for n in range(1, 40):
        day = working(month_after(loan.opened, n))
        if day > LAST_DAY:
            break
        interest = half_up(balance * loan.rate_bp, 120_000)
        if interest:
            loan.events.append((day, "odsetki", 0, interest, balance))
        if balance < loan.amount_gr // 3 and dice.below(3):
            drawn = dice.between(20, 80) * 10_000
            balance += drawn
            loan.events.append((day, "wypłata z linii", -drawn, 0, balance))
        elif balance:
            paid = min(balance, dice.between(15, 60) * 10_000)
            balance -= paid
            loan.events.append((day, "spłata", paid, 0, balance))


def make_loans():
    loans = [
        Loan("KR-1", "Kredyt inwestycyjny na wyposażenie pracowni", "Bank Rzemiosła",
             "kredyt inwestycyjny", 890, date(2023, 2, 15), 8_000_000, 60),
        Loan("KR-2", "Leasing samochodu dostawczego", "Leasing Wspólna Droga", "leasing", 740,
             date(2023, 9, 20), 6_200_000, 48),
        Loan("KR-3", "Pożyczka na modernizację oświetlenia", "Fundusz Pożyczkowy Region", "pożyczka",
             620, date(2023, 10, 5), 1_800_000, 24),
        Loan("KR-4", "Linia kredytowa w rachunku", "Bank Rzemiosła", "linia kredytowa", 1120,
             date(2023, 11, 13), 2_500_000, 0),
    ]
    for loan in loans:
        (repay if loan.term else use_line)(loan)
    return loans


# --- goals

@dataclass
class Goal:
    number: str
    name: str
    priority: str
    target_gr: int
    due: date
    why: str
    monthly: tuple                                # from-to, whole złote
    start: date
    deposits: list = field(default_factory=list)  # (day, amount, text)

    def saved_gr(self, day):
        return sum(amount for when, amount, _ in self.deposits if when <= day)

    def reached(self, day):
        """First day on which the target was reached, or None."""
        total = 0
        for when, amount, _ in self.deposits:
            total += amount
            if when <= day and total >= self.target_gr:
                return when
        return None


def make_goals():
    goals = [
        Goal("CEL-1", "Poduszka finansowa na pół roku", "wysoki", 6_000_000, date(2026, 6, 30),
             "Sześć miesięcy kosztów stałych bez ani jednej faktury sprzedaży.", (1100, 1900),
             date(2023, 11, 12)),
        Goal("CEL-2", "Nowy komputer do pracowni", "średni", 1_400_000, date(2025, 3, 31),
             "Obecny ma siedem lat i nie otwiera już plików od drukarni.", (700, 1100),
             date(2023, 12, 12)),
        Goal("CEL-3", "Rezerwa na podatek roczny", "wysoki", 2_400_000, date(2026, 4, 30),
             "Dopłata w kwietniu ma nie zaskakiwać.", (600, 1000), date(2024, 1, 12)),
        Goal("CEL-4", "Wkład własny na lokal", "średni", 15_000_000, date(2029, 12, 31),
             "Własna pracownia zamiast najmu.", (900, 1700), date(2024, 2, 12)),
        Goal("CEL-5", "Miesiąc przerwy od zleceń", "niski", 1_800_000, date(2026, 8, 31),
             "Cztery tygodnie bez terminów, z opłaconymi rachunkami.", (300, 600),
             date(2024, 6, 12)),
        Goal("CEL-6", "Kurs konserwacji szyldów", "niski", 680_000, date(2025, 9, 30),
             "Zlecenia na zabytkowe szyldy wymagają uprawnień.", (350, 600), date(2024, 9, 12)),
    ]
    for goal in goals:
        dice, total = Dice("goals/" + goal.number), 0
        for y, m in months(goal.start):
            day = working(date(y, m, 12))
            if day > LAST_DAY or total >= goal.target_gr:
                break
            amount = min(dice.between(*goal.monthly) * 100, goal.target_gr - total)
            total += amount
            goal.deposits.append((day, amount, "Stały przelew po wypłacie"))
            if dice.one_in(9) and total > 400_000:
                back = dice.between(3, 9) * 10_000
                total -= back
                goal.deposits.append((working(day + timedelta(days=9)), -back, dice.pick((
                    "Pożyczone na opłacenie faktury, do oddania", "Przesunięte na bieżące wydatki",
                    "Wycofane na naprawę auta"))))
            elif dice.one_in(8):
                more = min(dice.between(2, 9) * 10_000, goal.target_gr - total)
                if more > 0:
                    total += more
                    goal.deposits.append((working(day + timedelta(days=5)), more, dice.pick((
                        "Dopłata z premii kwartalnej", "Zwrot nadpłaty podatku",
                        "Sprzedaż nieużywanego plotera"))))
        goal.deposits = [d for d in goal.deposits if d[0] <= LAST_DAY]
    return goals


# --- trades in coins and funds

@dataclass
class Trade:
    day: date
    asset: Asset
    kind: str            # kupno, sprzedaż, nagroda (a reward), dywidenda (cash)
    amount: int          # smallest units, always positive; 0 for dividends
    rate_gr: int
    value_gr: int
    fee_gr: int
    note: str = ""
    number: str = ""
    time: str = ""

    @property
    def change(self):
        return {"kupno": 1, "nagroda": 1, "sprzedaż": -1, "dywidenda": 0}[self.kind] * self.amount


def _buy(day, asset, spend_gr, rate_gr, fee_gr, note=""):
    amount = spend_gr * asset.unit // rate_gr
    return Trade(day, asset, "kupno", amount, rate_gr, half_up(amount * rate_gr, asset.unit), fee_gr,
                 note)


def make_coin_trades(rates):
    dice, found, held = Dice("coins"), [], {c.symbol: 0 for c in COINS}

    def add(trade):
        held[trade.asset.symbol] += trade.change
        found.append(trade)

    btc, eth, sol, ada = COINS
    for n, day in enumerate(days()):
        rate = rates[day]
        if n % 14 == 3:
            spend = dice.between(30, 60) * 1_000
            add(_buy(day, btc, spend, rate["BTC"], spend // 250, "Stały zakup co dwa tygodnie"))
        if day.day == 18:
            spend = dice.between(20, 45) * 1_000
            add(_buy(day, eth, spend, rate["ETH"], spend // 250, "Stały zakup miesięczny"))
        if day.day == 28 and held["ETH"]:
            reward = held["ETH"] * dice.between(22, 31) // 10_000
            add(Trade(day, eth, "nagroda", reward, rate["ETH"], eth.value_gr(reward, rate["ETH"]), 0,
                      "Nagroda za staking"))
        if dice.one_in(52):
            spend = dice.between(15, 70) * 1_000
            add(_buy(day, sol, spend, rate["SOL"], spend // 200, "Zakup po spadku"))
        if dice.one_in(95):
            spend = dice.between(10, 35) * 1_000
            add(_buy(day, ada, spend, rate["ADA"], spend // 200, "Mała pozycja na próbę"))
        for asset, chance in ((btc, 180), (sol, 210), (ada, 240)):
            if n > 120 and dice.one_in(chance) and held[asset.symbol]:
                amount = held[asset.symbol] * dice.between(8, 25) // 100
                value = asset.value_gr(amount, rate[asset.symbol])
                add(Trade(day, asset, "sprzedaż", amount, rate[asset.symbol], value, value // 250,
                          "Realizacja części zysku"))
    for i, trade in enumerate(found, 1):
        trade.number = "KT-%03d" % i
        trade.time = stamp(trade.day, dice)
    return found


def make_fund_trades(rates):
    dice, found, held = Dice("funds"), [], {f.symbol: 0 for f in FUNDS}

    def add(trade):
        held[trade.asset.symbol] += trade.change
        found.append(trade)

    swiat, wschod, dywid, oblig, zloto = FUNDS
    plan = ((swiat, 13, 1, 70, 120), (oblig, 13, 1, 40, 80), (dywid, 16, 1, 30, 60),
            (wschod, 21, 2, 20, 50), (zloto, 24, 2, 25, 50))
    for count, (y, m) in enumerate(months()):
        for asset, dom, every, low, high in plan:
            day = working(date(y, m, dom))
            if count % every or not FIRST_DAY <= day <= LAST_DAY:
                continue
            add(_buy(day, asset, dice.between(low, high) * 1_000, rates[day][asset.symbol],
                     dice.between(0, 3) * 100, "Plan miesięczny"))
        day = working(date(y, m, 20))
        if m in (3, 6, 9, 12) and day <= LAST_DAY and held["DYWID"]:
            paid = dywid.value_gr(held["DYWID"], rates[day]["DYWID"]) * dice.between(60, 95) // 10_000
            add(Trade(day, dywid, "dywidenda", 0, rates[day]["DYWID"], paid, 0,
                      "Dywidenda kwartalna na rachunek"))
        day = working(date(y, m, 26))
        if day <= LAST_DAY and count > 5 and dice.one_in(5):
            asset = dice.pick((swiat, wschod, zloto))
            amount = held[asset.symbol] * dice.between(5, 15) // 100
            add(Trade(day, asset, "sprzedaż", amount, rates[day][asset.symbol],
                      asset.value_gr(amount, rates[day][asset.symbol]), 300,
                      "Powrót do założonych udziałów"))
    found.sort(key=lambda t: t.day)
    for i, trade in enumerate(found, 1):
        trade.number = "INW-%03d" % i
        trade.time = stamp(trade.day, dice, 8, 15)
    return found


def held_on(trades, day):
    """{symbol: smallest units} after all trades up to that day."""
    held = {}
    for t in trades:
        if t.day <= day:
            held[t.asset.symbol] = held.get(t.asset.symbol, 0) + t.change
    return held


def cost_on(trades, day):
    """{symbol: grosze} paid for what is held, by average cost: a sale takes its share, cut down."""
    cost, held = {}, {}
    for t in trades:
        s = t.asset.symbol
        if t.day > day:
            continue
        if t.kind == "kupno":
            cost[s] = cost.get(s, 0) + t.value_gr + t.fee_gr
        elif t.kind == "sprzedaż":
            cost[s] -= cost[s] * t.amount // held[s]
        held[s] = held.get(s, 0) + t.change
    return cost


# --- everything, and its state on a day

class Ledger:
    def __init__(self):
        self.rates = make_rates()
        self.expenses = make_expenses()
        self.payouts = make_payouts()
        self.loans = make_loans()
        self.goals = make_goals()
        self.coin_trades = make_coin_trades(self.rates)
        self.fund_trades = make_fund_trades(self.rates)
        self._states = {}

    def value_gr(self, trades, day):
        return sum(ASSETS[s].value_gr(amount, self.rates[day][s])
                   for s, amount in held_on(trades, day).items())

    def state(self, day):
        """The sums of one day, as in daily_snapshots.json."""
        if day not in self._states:
            coins = self.value_gr(self.coin_trades, day)
            funds = self.value_gr(self.fund_trades, day)
            saved = sum(g.saved_gr(day) for g in self.goals)
            debt = sum(loan.balance_gr(day) for loan in self.loans)
            self._states[day] = {
                "inwestycje_gr": funds,
                "krypto_gr": coins,
                "oszczednosci_gr": saved,
                "wartosc_calkowita_gr": funds + coins + saved,
                "dlug_gr": debt,
                "majatek_netto_gr": funds + coins + saved - debt,
            }
        return self._states[day]

    def spent(self, first, last):
        return [e for e in self.expenses if first <= e.day <= last]

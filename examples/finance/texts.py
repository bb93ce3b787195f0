"""What the partners say. Sentences with slots; generate.py fills in the figures of the day.

A partner is a role, never a person. An answer is one observation, one reason and one advice of the
same topic, so each topic gives 27 answers before a sentence set repeats, and the figures differ
each day anyway. Slots are described at `figures` in generate.py; all are in the nominative or are
amounts, so that no sentence depends on a case ending.
"""

PARTNERS = {
    "Analityk_Wartosci": {
        "name": "Analityk Wartości",
        "style": "spokojny, liczy wartość wewnętrzną, nie ufa modom",
        "count": 78,
        "openers": (
            "Zacznijmy od liczb, bo emocje policzymy później.",
            "Cena to jedno, wartość to drugie.",
            "Rozumiem pytanie, choć rynek zada je inaczej.",
            "Odłóżmy na chwilę wykres i spójrzmy na całość.",
            "Krótko i bez fajerwerków:",
        ),
        "closers": (
            "Co musiałoby się wydarzyć, żeby ta decyzja okazała się błędem?",
            "Zapisz powód decyzji, wrócimy do niego za kwartał.",
            "Cierpliwość jest tu tańsza niż jakakolwiek prowizja.",
            "Jeśli nie potrafisz tego wyjaśnić w dwóch zdaniach, poczekaj.",
            "",
        ),
        "topics": (
            {
                "name": "koncentracja portfela",
                "ask": (
                    "Czy nie mam za dużo w jednym funduszu?",
                    "Patrzę na udziały i {etf} wygląda na bardzo dużą pozycję. Zmniejszyć?",
                    "Jak ocenić, czy mój portfel jest dobrze rozłożony?",
                ),
                "see": (
                    "{etf} to dziś {etf_pct} części funduszowej, a cała ta część jest warta {invest}.",
                    "W funduszach leży {invest}, z czego największa pozycja ma udział {etf_pct}.",
                    "Największa pozycja, {etf}, ma {etf_pct}; reszta dzieli się na cztery mniejsze.",
                ),
                "why": (
                    "Fundusz szerokiego rynku to setki spółek, więc duży udział nie jest jeszcze koncentracją.",
                    "Prawdziwa koncentracja jest gdzie indziej: dochód i majątek zależą od jednej firmy, Twojej.",
                    "Udział powyżej połowy zwiększa wahania, ale nie mówi nic o jakości tego, co jest w środku.",
                ),
                "do": (
                    "Nowe wpłaty kieruj przez trzy miesiące do pozycji najmniejszych, niczego nie sprzedając.",
                    "Ustal widełki, na przykład 35–50%, i reaguj dopiero po ich przekroczeniu.",
                    "Zostawiłbym to bez zmian i sprawdził ponownie po kolejnym kwartale.",
                ),
            },
            {
                "name": "kupowanie po wzrostach",
                "ask": (
                    "Wszystko podrożało. Czy jest sens dalej kupować?",
                    "Może przeczekać z wpłatą, aż ceny spadną?",
                    "Portfel zmienił się w miesiąc o {chg30}. Dokupować w takim momencie?",
                ),
                "see": (
                    "Przez ostatnie 30 dni całość zmieniła się o {chg30} i wynosi {total}.",
                    "Całkowita wartość to {total}, zmiana z miesiąca: {chg30}.",
                    "W miesiąc: {chg30}. W skali dwóch lat regularnych wpłat to szum.",
                ),
                "why": (
                    "Czekanie na spadek też jest decyzją, tylko bez daty końcowej.",
                    "Nikt z nas nie wie, gdzie będzie cena w grudniu; wiemy, ile wpłacisz do grudnia.",
                    "Drogi rynek bywa drogi latami, a gotówka traci wtedy po cichu.",
                ),
                "do": (
                    "Trzymaj się planu miesięcznego i nie dokładaj nic ponad plan.",
                    "Podziel większą wpłatę na cztery równe części, jedna co dwa tygodnie.",
                    "Jeżeli chcesz czekać, zapisz konkretny poziom i termin, po którym kupisz mimo wszystko.",
                ),
            },
            {
                "name": "dywidendy",
                "ask": (
                    "Czy warto zwiększyć udział spółek dywidendowych?",
                    "Przyszła dywidenda. Wypłacić ją czy kupić kolejne jednostki?",
                    "Dywidendy dają mi poczucie spokoju. Czy to dobry powód?",
                ),
                "see": (
                    "Dywidendy z ostatnich dwunastu miesięcy to {dividends}.",
                    "Wpływy z dywidend za rok: {dividends}, przy {invest} w funduszach.",
                    "Na tle portfela wartego {invest} dywidendy {dividends} są dodatkiem, nie pensją.",
                ),
                "why": (
                    "Dywidenda nie jest premią: o tyle samo maleje wartość funduszu, a podatek zostaje.",
                    "Spółki płacące regularnie bywają tańsze i nudniejsze, a nuda w portfelu ma swoją cenę.",
                    "Wypłata przydaje się temu, kto z niej żyje; Ty na razie budujesz.",
                ),
                "do": (
                    "Reinwestuj automatycznie i nie zaglądaj do tego przed końcem roku.",
                    "Zostaw udział taki, jaki jest; spokój jest dobrym powodem, ale tylko do pewnej wielkości.",
                    "Skieruj dywidendy na „{goal}”, brakuje tam {goal_left}.",
                ),
            },
            {
                "name": "obligacje w portfelu",
                "ask": (
                    "Po co mi obligacje, skoro akcje rosną szybciej?",
                    "Czy fundusz obligacji to nie stracony czas?",
                    "Ile obligacji przy moim zadłużeniu ma sens?",
                ),
                "see": (
                    "Masz {debt} długu i {invest} w funduszach, część z nich w obligacjach.",
                    "Przy zadłużeniu {debt} obligacje pełnią inną rolę niż u kogoś bez rat.",
                    "Dług to {debt_pct} wartości Twoich aktywów.",
                ),
                "why": (
                    "Obligacja oprocentowana niżej niż kredyt nie zarabia, tylko uspokaja.",
                    "Część stabilna jest po to, żeby nie sprzedawać akcji w złym tygodniu.",
                    "To nie wyścig: obligacje mają być na miejscu, kiedy reszta spada.",
                ),
                "do": (
                    "Trzymaj w obligacjach tyle, ile wynosi sześć najbliższych rat, nie więcej.",
                    "Porównaj ich zysk z oprocentowaniem „{loan}” i nadwyżkę kieruj tam, gdzie procent jest wyższy.",
                    "Zostaw obecny udział do czasu spłaty najdroższego zobowiązania.",
                ),
            },
            {
                "name": "koszty i prowizje",
                "ask": (
                    "Czy prowizje mnie nie zjadają?",
                    "Małe zakupy co miesiąc czy jeden duży raz na kwartał?",
                    "Jak sprawdzić, ile naprawdę kosztuje mnie inwestowanie?",
                ),
                "see": (
                    "Prowizje ze wszystkich transakcji do dziś to {fees}.",
                    "Suma opłat od początku wynosi {fees} przy wartości {assets}.",
                    "Zapłacone prowizje: {fees}. To liczba, którą warto znać na pamięć.",
                ),
                "why": (
                    "Opłata jest pewna, zysk nie, więc od niej zaczyna się każde liczenie.",
                    "Przy kwotach jak Twoje stała opłata boli bardziej niż procentowa.",
                    "Najdroższa jest nie prowizja, tylko zmiana zdania co dwa miesiące.",
                ),
                "do": (
                    "Łącz małe pozycje: dwa zakupy miesięcznie zamiast pięciu.",
                    "Raz w roku porównaj opłaty z innym rachunkiem i zapisz wynik.",
                    "Zostaw rytm zakupów, a zrezygnuj z pozycji poniżej stu złotych.",
                ),
            },
        ),
    },
    "Straznik_Ryzyka": {
        "name": "Strażnik Ryzyka",
        "style": "ostrożny, pyta o najgorszy przypadek",
        "count": 72,
        "openers": (
            "Zanim policzymy zysk, policzmy stratę.",
            "Moje zadanie to psuć dobry nastrój w odpowiedniej chwili.",
            "Sprawdźmy, co się stanie w złym kwartale.",
            "Widzę dwa zagrożenia i jedno z nich jest nudne, a więc prawdziwe.",
            "Dobrze, że pytasz przed decyzją, a nie po niej.",
        ),
        "closers": (
            "Ile nocy przespanych spokojnie jest dla Ciebie warte tę różnicę?",
            "Wrócę do tego po pierwszym dniu następnego miesiąca.",
            "Jeżeli coś z tego jest nieaktualne, popraw dane, zanim podejmiesz decyzję.",
            "Proszę o decyzję na piśmie, choćby w jednym zdaniu.",
            "",
        ),
        "topics": (
            {
                "name": "poduszka finansowa",
                "ask": (
                    "Na ile miesięcy wystarczy mi oszczędności?",
                    "Czy poduszka jest już wystarczająca, żeby inwestować więcej?",
                    "Co jeśli przez kwartał nie wpłynie żadna płatność?",
                ),
                "see": (
                    "Oszczędności na celach to {savings}, a wydatki firmy z 30 dni {exp30}.",
                    "Przy obecnym tempie wydatków i rat oszczędności starczą na {cushion} miesiąca.",
                    "Odłożone jest {savings}; miesięcznie firma i raty pochłaniają {burn}.",
                ),
                "why": (
                    "Poduszka chroni przed sprzedażą w najgorszym możliwym tygodniu.",
                    "Klienci płacą po terminie właśnie wtedy, gdy i Tobie jest ciężko.",
                    "Sześć miesięcy to nie magia, tylko typowy czas szukania dwóch nowych zleceniodawców.",
                ),
                "do": (
                    "Do czasu pełnych sześciu miesięcy połowę każdej premii kieruj na poduszkę.",
                    "Nie zwiększaj inwestycji, dopóki „{goal}” nie przekroczy kolejnych dziesięciu procent.",
                    "Trzymaj pierwsze dwa miesiące na rachunku bez lokaty, żeby pieniądze były od ręki.",
                ),
            },
            {
                "name": "nadpłata zobowiązań",
                "ask": (
                    "Nadpłacać „{loan}” czy inwestować?",
                    "Mam wolne środki. Który dług spłacić pierwszy?",
                    "Czy przy takich ratach powinienem coś jeszcze finansować kredytem?",
                ),
                "see": (
                    "Na pozycji „{loan}” zostało {loan_left} przy oprocentowaniu {loan_rate} rocznie.",
                    "Całe zadłużenie to {debt}, czyli {debt_pct} wartości aktywów.",
                    "Najdroższe zobowiązanie ma oprocentowanie {max_rate}; łącznie do spłaty jest {debt}.",
                ),
                "why": (
                    "Nadpłata daje zysk pewny i równy oprocentowaniu, czego nie obieca żaden fundusz.",
                    "Niższa rata to niższy próg, od którego firma zaczyna tracić.",
                    "Dług o zmiennym oprocentowaniu drożeje wtedy, gdy wszystko inne też.",
                ),
                "do": (
                    "Najpierw najdroższa pozycja, choćby po 500 zł miesięcznie, potem kolejna.",
                    "Sprawdź w umowie opłatę za wcześniejszą spłatę, zanim wyślesz przelew.",
                    "Podziel nadwyżkę po równo: połowa na nadpłatę, połowa na poduszkę.",
                ),
            },
            {
                "name": "próba obciążeniowa",
                "ask": (
                    "Co by się stało, gdyby rynek spadł o połowę?",
                    "Zrób mi symulację naprawdę złego roku.",
                    "Jak duży spadek przetrwa mój plan?",
                ),
                "see": (
                    "Spadek kryptowalut o 60% i funduszy o 30% zabrałby {stress} z {total}.",
                    "W takim scenariuszu z {total} ubywa {stress}, a dług {debt} zostaje co do grosza.",
                    "Strata w próbie obciążeniowej to {stress}; majątek netto dziś wynosi {net}.",
                ),
                "why": (
                    "Zadłużenie nie spada razem z rynkiem, dlatego liczy się majątek netto.",
                    "Najgorsze miesiące przychodzą parami: mniej zleceń i niższe wyceny naraz.",
                    "Plan, który wymaga dobrego rynku, nie jest planem, tylko nadzieją.",
                ),
                "do": (
                    "Ustal już dziś, czego nie sprzedasz w panice, i zapisz to przy celu.",
                    "Zmniejsz część krypto do poziomu, którego strata nie zmieni Twojego miesiąca.",
                    "Powtórz tę próbę po każdej większej zmianie, wynik zapisz w notatkach.",
                ),
            },
            {
                "name": "ubezpieczenia",
                "ask": (
                    "Czy polisa OC działalności jest mi naprawdę potrzebna?",
                    "Zbliża się odnowienie polisy na auto. Na co uważać?",
                    "Które ryzyka mam nieubezpieczone?",
                ),
                "see": (
                    "Na ubezpieczenia z ostatnich 12 miesięcy poszło {insurance}.",
                    "Koszt polis za rok to {insurance}, a samochód wciąż jest w spłacie.",
                    "Polisy kosztowały w rok {insurance}, mniej niż jedno duże zlecenie.",
                ),
                "why": (
                    "Ubezpiecza się to, czego strata zatrzyma firmę, a nie to, co tylko irytuje.",
                    "Uszkodzenie u klienta przy montażu potrafi kosztować więcej niż roczny zysk.",
                    "Najtańsza polisa jest najdroższa w dniu szkody.",
                ),
                "do": (
                    "Podnieś udział własny i za różnicę zwiększ sumę gwarancyjną.",
                    "Zbierz trzy oferty na dwa tygodnie przed końcem okresu, nie w ostatnim dniu.",
                    "Przeczytaj wyłączenia na głos; to, czego nie rozumiesz, wyjaśnij przed podpisem.",
                ),
            },
            {
                "name": "zależność od jednego klienta",
                "ask": (
                    "Jeden klient daje mi większość przychodów. Jak bardzo to ryzykowne?",
                    "Czy mogę sobie pozwolić na rezygnację z trudnego klienta?",
                    "Jak się zabezpieczyć, gdyby największe zlecenie się skończyło?",
                ),
                "see": (
                    "Wydatki z 30 dni to {exp30} i nie znikną wraz ze zleceniem.",
                    "Co miesiąc, niezależnie od przychodu, odpływa {burn}.",
                    "Majątek netto {net} daje oddech, ale nie zastąpi przychodu.",
                ),
                "why": (
                    "Klient z udziałem powyżej połowy jest w praktyce pracodawcą bez okresu wypowiedzenia.",
                    "Rozmowę o cenie wygrywa ta strona, która może odejść.",
                    "Utrata jednego dużego zlecenia boli dwa razy: brak wpłaty i brak czasu na szukanie.",
                ),
                "do": (
                    "Przez kwartał przeznaczaj jeden dzień w tygodniu wyłącznie na nowych zleceniodawców.",
                    "Wprowadź zaliczkę 30% przy zamówieniu i skróć termin płatności do 14 dni.",
                    "Zanim zrezygnujesz, doprowadź poduszkę do sześciu miesięcy.",
                ),
            },
        ),
    },
    "Doradca_Krypto": {
        "name": "Doradca Krypto",
        "style": "zna rynek całodobowy, trzyma się reguł zamiast przeczuć",
        "count": 84,
        "openers": (
            "Rynek nie śpi, ale my możemy.",
            "Najpierw reguła, potem wykres.",
            "Sprawdzam pozycję i od razu odpowiadam.",
            "Widzę, skąd to pytanie: ostatnie dni były nerwowe.",
            "Bez zgadywania, tylko to, co jest w portfelu:",
        ),
        "closers": (
            "Pamiętaj: to, czego nie ma na własnym kluczu, jest obietnicą giełdy.",
            "Decyzję podejmij jutro, po przespanej nocy.",
            "Ustaw alert i zamknij aplikację.",
            "Daj znać, jeśli zmieni się horyzont, bo wtedy zmieni się odpowiedź.",
            "",
        ),
        "topics": (
            {
                "name": "sprzedaż bitcoina",
                "ask": (
                    "Czy powinienem sprzedać Bitcoin?",
                    "BTC po {btc}. Realizować zysk?",
                    "Kusi mnie, żeby sprzedać połowę BTC i mieć spokój. Co o tym myślisz?",
                ),
                "see": (
                    "Kurs BTC to {btc}, zmiana z 30 dni: {btc30}; pozycja jest warta {btc_value}.",
                    "Masz {btc_amount} BTC, dziś warte {btc_value}, kupione za {btc_cost}.",
                    "Na BTC koszt nabycia to {btc_cost}, wartość {btc_value}.",
                ),
                "why": (
                    "Sprzedaż ze strachu i sprzedaż według planu wyglądają na wykresie tak samo, w życiu nie.",
                    "Pozycja jest mała na tle całości: krypto to {crypto_pct} aktywów.",
                    "Każda sprzedaż to wpis do rozliczenia rocznego, więc niech będzie warta zachodu.",
                ),
                "do": (
                    "Sprzedaj tyle, żeby wrócić do założonego udziału, i ani satoshi więcej.",
                    "Nie sprzedawaj teraz; ustal dwa poziomy, przy których oddasz po 10% pozycji.",
                    "Jeśli potrzebujesz pieniędzy na „{goal}”, sprzedaj dokładnie {goal_step}, resztę zostaw.",
                ),
            },
            {
                "name": "regularne zakupy",
                "ask": (
                    "Czy dalej kupować co dwa tygodnie?",
                    "Może lepiej kupować tylko w dołkach?",
                    "Zwiększyć stały zakup BTC po podwyżce wypłaty?",
                ),
                "see": (
                    "Do tej pory było {btc_buys} zakupów BTC, łącznie {btc_amount} BTC.",
                    "Stałe zakupy dały {btc_amount} BTC o wartości {btc_value}.",
                    "Ostatnia wypłata to {payout}, a stały zakup pochłania z niej ułamek.",
                ),
                "why": (
                    "Dołek widać dopiero z góry; stały rytm nie wymaga zgadywania.",
                    "Regularność chroni przed kupowaniem wyłącznie wtedy, gdy wszyscy o tym mówią.",
                    "Kwota ma być tak nudna, żeby nie przyszło do głowy jej pilnować.",
                ),
                "do": (
                    "Zostaw rytm dwutygodniowy i przejrzyj kwotę dopiero w styczniu.",
                    "Podnieś zakup najwyżej o tyle procent, o ile wzrosła wypłata.",
                    "Wstrzymaj zakupy na miesiąc tylko wtedy, gdy poduszka spadnie poniżej trzech miesięcy.",
                ),
            },
            {
                "name": "staking ETH",
                "ask": (
                    "Czy staking ETH jest wart ryzyka?",
                    "Nagrody ze stakingu: trzymać czy sprzedawać?",
                    "Jak rozliczyć nagrody za staking?",
                ),
                "see": (
                    "ETH jest po {eth}, nagrody do dziś to {eth_rewards} ETH.",
                    "W portfelu jest {eth_amount} ETH, w tym {eth_rewards} ETH z nagród.",
                    "Nagrody zebrały się do {eth_rewards} ETH przy kursie {eth}.",
                ),
                "why": (
                    "Nagroda w tokenie jest warta tyle, ile token; procent brzmi lepiej niż złotówki.",
                    "Blokada środków bywa dłuższa, niż pokazuje ekran zakupu.",
                    "Pośrednik stakingu to dodatkowe ryzyko, za które ktoś musi zapłacić.",
                ),
                "do": (
                    "Trzymaj staking na najwyżej połowie pozycji ETH.",
                    "Zapisuj każdą nagrodę z kursem dnia, w kwietniu podziękujesz sobie sam.",
                    "Sprawdź czas wyjścia ze stakingu, zanim dołożysz kolejną transzę.",
                ),
            },
            {
                "name": "bezpieczeństwo kluczy",
                "ask": (
                    "Czy przy tej kwocie potrzebny mi portfel sprzętowy?",
                    "Gdzie trzymać kopię frazy odzyskiwania?",
                    "Giełda zmienia regulamin. Wyprowadzić środki?",
                ),
                "see": (
                    "Krypto jest dziś warte {crypto}, to już więcej niż kilka wypłat z bankomatu.",
                    "Pozycja {crypto} stanowi {crypto_pct} aktywów.",
                    "Na szali leży {crypto}, a urządzenie kosztuje kilkaset złotych.",
                ),
                "why": (
                    "Najczęstszą przyczyną strat nie jest włamanie, tylko zgubiona kartka.",
                    "Giełda jest wygodna do zakupów, nie do przechowywania.",
                    "Kopia w chmurze ze zdjęcia to kopia dla wszystkich.",
                ),
                "do": (
                    "Dwie kopie na metalu w dwóch miejscach, żadnej w telefonie.",
                    "Wyprowadź BTC i ETH, zostaw na giełdzie tyle, ile wynoszą dwa zakupy.",
                    "Zanim przelejesz wszystko, odzyskaj portfel z kopii na pustym urządzeniu.",
                ),
            },
            {
                "name": "mniejsze monety",
                "ask": (
                    "Czy dokupić SOL po tym ruchu?",
                    "Co zrobić z ADA, która nic nie wnosi?",
                    "Ile mniejszych monet ma sens przy moim portfelu?",
                ),
                "see": (
                    "SOL jest po {sol}, a mniejsze monety razem to {alts}.",
                    "Poza BTC i ETH masz {alts}, przy całym krypto {crypto}.",
                    "Mniejsze monety są warte {alts}; kurs SOL {sol}.",
                ),
                "why": (
                    "Pozycja zbyt mała, żeby cieszyć, jest wystarczająco duża, żeby zajmować głowę.",
                    "W spadkach wszystkie mniejsze monety zachowują się jak jedna.",
                    "Pomysł był na próbę; próba powinna mieć datę końca.",
                ),
                "do": (
                    "Wyznacz limit: mniejsze monety razem nie więcej niż jedna piąta krypto.",
                    "Nie dokupuj, dopóki nie zapiszesz powodu innego niż cena.",
                    "Zamknij najmniejszą pozycję i zamień ją na BTC przy następnym zakupie.",
                ),
            },
        ),
    },
    "Partner_Podatkowy": {
        "name": "Partner Podatkowy",
        "style": "dokładny, pilnuje terminów i dokumentów",
        "count": 60,
        "openers": (
            "Najpierw dokument, potem odliczenie.",
            "Sprawdzam zapisy za ostatnie tygodnie.",
            "To jedno z pytań, na które odpowiedź zależy od faktury.",
            "Termin jest ważniejszy od kwoty, więc zacznę od kalendarza.",
            "Odpowiem ogólnie, wątpliwości potwierdź w biurze rachunkowym.",
        ),
        "closers": (
            "Faktury bez numeru NIP odłóż od razu na osobny stos.",
            "Do dwudziestego wszystko powinno być w biurze rachunkowym.",
            "Zapisz, skąd pochodzi kwota; za rok nikt nie będzie pamiętał.",
            "Jeśli dostawca zwleka z korektą, przypomnę się za tydzień.",
            "",
        ),
        "topics": (
            {
                "name": "rezerwa na VAT",
                "ask": (
                    "Ile odłożyć na VAT w tym miesiącu?",
                    "Czy VAT z zakupów wystarczy, żeby obniżyć wpłatę?",
                    "Znów zaskoczyła mnie kwota VAT. Jak tego uniknąć?",
                ),
                "see": (
                    "Z wydatków ostatnich 30 dni do odliczenia jest {vat30}.",
                    "VAT naliczony w 30 dni: {vat30} przy wydatkach {exp30}.",
                    "Odliczenie za ostatnie 30 dni to {vat30} ({n_exp30}).",
                ),
                "why": (
                    "VAT ze sprzedaży nigdy nie był Twój, tylko u Ciebie przenocował.",
                    "Zakupy odroczone o tydzień przesuwają odliczenie o cały miesiąc.",
                    "Zaskoczenie bierze się z jednego rachunku na wszystko.",
                ),
                "do": (
                    "Po każdej wpłacie od klienta przelej VAT na osobny rachunek tego samego dnia.",
                    "Duży zakup zrób przed końcem miesiąca, jeśli i tak był planowany.",
                    "Ustaw stały przelew rezerwy na dziesiątego i nie traktuj jej jak oszczędności.",
                ),
            },
            {
                "name": "samochód w firmie",
                "ask": (
                    "Ile VAT mogę odliczyć od paliwa?",
                    "Czy opłaca się prowadzić ewidencję przebiegu?",
                    "Rata leasingu i paliwo: co właściwie jest kosztem?",
                ),
                "see": (
                    "Auto kosztowało w ostatnich 12 miesiącach {car12} brutto, bez rat.",
                    "Paliwo i serwis za rok: {car12}.",
                    "Wydatki na samochód z 12 miesięcy to {car12}, VAT odliczany w połowie.",
                ),
                "why": (
                    "Połowa odliczenia przysługuje bez ewidencji, pełna wymaga przebiegu i regulaminu.",
                    "Ewidencja z pamięci na koniec kwartału nie obroni się przy kontroli.",
                    "Jazda mieszana jest wygodna, ale kosztuje połowę podatku.",
                ),
                "do": (
                    "Policz kilometry przez jeden miesiąc i dopiero wtedy zdecyduj.",
                    "Zostań przy połowie; pełne odliczenie nie pokryje Twojego czasu.",
                    "Zbieraj faktury z numerem rejestracyjnym, paragony nic nie dadzą.",
                ),
            },
            {
                "name": "zakup sprzętu",
                "ask": (
                    "Kupić sprzęt w tym roku czy w styczniu?",
                    "Czy zakup mogę zaliczyć w koszty jednorazowo?",
                    "Raty czy gotówka przy sprzęcie do pracowni?",
                ),
                "see": (
                    "Na sprzęt poszło w ciągu 12 miesięcy {hardware12}.",
                    "Wydatki na sprzęt za rok to {hardware12}, ostatnia wypłata wyniosła {payout}.",
                    "Sprzęt z ostatnich 12 miesięcy: {hardware12} brutto.",
                ),
                "why": (
                    "Odliczenie jest rabatem od potrzebnej rzeczy, a nie powodem zakupu.",
                    "Grudniowy zakup obniża podatek tego roku, styczniowy dopiero następnego.",
                    "Raty rozkładają wydatek, ale nie zmieniają daty ujęcia w kosztach.",
                ),
                "do": (
                    "Jeśli sprzęt zarabia od pierwszego dnia, kup teraz i ujmij jednorazowo.",
                    "Poproś o ofertę z fakturą na firmę i przedłużoną gwarancją osobno.",
                    "Wstrzymaj się do stycznia, w tym roku koszty są już wystarczająco wysokie.",
                ),
            },
            {
                "name": "porządek w fakturach",
                "ask": (
                    "Brakuje mi kilku faktur. Co teraz?",
                    "Jak szybko muszę oddać dokumenty?",
                    "Czy paragon z NIP wystarczy?",
                ),
                "see": (
                    "W ostatnich 30 dniach zapisano {n_exp30} na łącznie {exp30}.",
                    "Za 30 dni mamy {n_exp30}; największa kategoria to „{topcat}”, {topcat_sum}.",
                    "Najwięcej dokumentów dotyczy kategorii „{topcat}”: {topcat_sum} w 30 dni.",
                ),
                "why": (
                    "Brak dokumentu to brak kosztu, nawet jeśli przelew jest na wyciągu.",
                    "Po trzech miesiącach nikt nie odtworzy, co było na zgubionym paragonie.",
                    "Paragon z NIP do 450 zł jest fakturą uproszczoną, powyżej już nie.",
                ),
                "do": (
                    "Poproś o duplikaty jednym zbiorczym mailem jeszcze dziś.",
                    "Zdjęcie faktury rób przy kasie, nie przy biurku.",
                    "Raz w tygodniu porównaj wyciąg z listą wydatków, dziesięć minut wystarczy.",
                ),
            },
            {
                "name": "podatek od inwestycji",
                "ask": (
                    "Kiedy płacę podatek od zysków z krypto?",
                    "Czy stratę na monetach odliczę od zysku na funduszach?",
                    "Co przygotować do rocznego zeznania?",
                ),
                "see": (
                    "Prowizje do dziś to {fees}, dywidendy z roku {dividends}.",
                    "Do zeznania wejdą sprzedaże monet, dywidendy {dividends} i opłaty {fees}.",
                    "Zapisane opłaty to {fees}; każda z numerem transakcji, to dobrze.",
                ),
                "why": (
                    "Krypto i fundusze to dwa osobne koszyki, straty jednego nie pokryją zysków drugiego.",
                    "Podatek powstaje przy sprzedaży za złotówki, zamiana monet na monety go nie tworzy.",
                    "Koszty zakupu monet wykazuje się w roku zakupu, nawet bez sprzedaży.",
                ),
                "do": (
                    "Wyeksportuj historię transakcji w grudniu, zanim giełda zmieni format.",
                    "Odkładaj 19% każdego zrealizowanego zysku na rezerwę podatkową.",
                    "Wpisz koszty tegoroczne do zeznania, przejdą na kolejne lata.",
                ),
            },
        ),
    },
    "Planista_Celow": {
        "name": "Planista Celów",
        "style": "rozkłada cele na miesiące i daty",
        "count": 66,
        "openers": (
            "Zobaczmy, gdzie jesteśmy na mapie.",
            "Cel bez daty jest życzeniem, więc zaczynam od daty.",
            "Dobra wiadomość: plan nadal się domyka.",
            "Policzyłem to w trzech wariantach, podaję środkowy.",
            "Ruszyło się więcej, niż się wydaje.",
        ),
        "closers": (
            "Który z tych kroków zrobisz jeszcze dziś?",
            "Przypomnę o tym po najbliższej wypłacie.",
            "Wpisz to do kalendarza, nie do głowy.",
            "Następny przegląd celów proponuję w pierwszą sobotę miesiąca.",
            "",
        ),
        "topics": (
            {
                "name": "postęp celów",
                "ask": (
                    "Jak mi idzie z celem „{goal}”?",
                    "Czy zdążę z celem „{goal}” na czas?",
                    "Które cele są zagrożone?",
                ),
                "see": (
                    "„{goal}”: {goal_pct} z planu, brakuje {goal_left}.",
                    "Na celu „{goal}” zebrało się {goal_saved}, do końca {goal_left}.",
                    "Wszystkie cele razem to {savings}; „{goal}” ma {goal_pct}.",
                ),
                "why": (
                    "Tempo z ostatniego kwartału mówi więcej niż średnia z całego okresu.",
                    "Każdy miesiąc bez wpłaty przesuwa termin o więcej niż miesiąc, bo traci się też rytm.",
                    "Największą różnicę robi nie kwota, tylko stały dzień przelewu.",
                ),
                "do": (
                    "Dodaj do stałego przelewu {goal_step} i zostaw resztę bez zmian.",
                    "Przesuń termin o kwartał świadomie, zamiast spóźnić się po cichu.",
                    "Z następnej premii przeznacz jedną trzecią właśnie tutaj.",
                ),
            },
            {
                "name": "kolejność celów",
                "ask": (
                    "Który cel powinien być pierwszy?",
                    "Czy mogę odkładać na wszystko naraz?",
                    "Zawiesić mniejszy cel, żeby przyspieszyć większy?",
                ),
                "see": (
                    "Odłożone jest {savings}, a zadłużenie {debt}.",
                    "Cele mają razem {savings}; miesięczne obciążenia to {burn}.",
                    "Najbliżej mety albo najdalej, zależnie jak liczyć, jest „{goal}”: {goal_pct}.",
                ),
                "why": (
                    "Cel z karą za spóźnienie zawsze wyprzedza cel z nagrodą.",
                    "Odkładanie na sześć rzeczy naraz daje sześć razy poczucie, że nic nie rośnie.",
                    "Mały cel domknięty do końca roku doda więcej energii niż procent na dużym.",
                ),
                "do": (
                    "Ułóż kolejność: podatek, poduszka, potem reszta według daty.",
                    "Zostaw na „{goal}” wpłatę symboliczną i skieruj różnicę na poduszkę.",
                    "Zamknij jeden cel w całości, zanim otworzysz kolejny.",
                ),
            },
            {
                "name": "automatyczne przelewy",
                "ask": (
                    "Ustawić przelew w dniu wypłaty czy na koniec miesiąca?",
                    "Zapomniałem o wpłacie. Nadrabiać?",
                    "Jak ustalić kwotę, żeby jej potem nie cofać?",
                ),
                "see": (
                    "Ostatnia wypłata wyniosła {payout}, na „{goal}” brakuje {goal_left}.",
                    "Z wypłaty {payout} stałe cele zabierają część, którą da się przewidzieć.",
                    "Cel „{goal}” ma {goal_saved}, wypłata {payout}.",
                ),
                "why": (
                    "Pieniądze odłożone od razu nie konkurują z weekendem.",
                    "Cofnięta wpłata kosztuje więcej zaufania do planu niż mniejsza wpłata.",
                    "Kwota, której nie czuć, wytrzyma słabszy miesiąc.",
                ),
                "do": (
                    "Ustaw przelew na dwunastego, dwa dni po wypłacie.",
                    "Nie nadrabiaj, tylko wznów; zaległość rozłóż na trzy miesiące.",
                    "Zacznij od 80% kwoty, którą uważasz za rozsądną.",
                ),
            },
            {
                "name": "wkład na lokal",
                "ask": (
                    "Czy realne jest uzbierać na lokal do końca dekady?",
                    "Najem czy zakup pracowni?",
                    "O ile trzeba zwiększyć wpłaty na lokal?",
                ),
                "see": (
                    "Na „Wkład własny na lokal” jest {premises}, cel to 150 000 zł.",
                    "Najem stanowiska to stały koszt, a na lokal odłożono już {premises}.",
                    "Odłożone na lokal: {premises}; majątek netto {net}.",
                ),
                "why": (
                    "Bank zapyta o zadłużenie, a to dziś {debt}.",
                    "Własny lokal to także podatek, remont i brak możliwości przeprowadzki.",
                    "Czas działa dla Ciebie, jeśli wpłaty rosną razem z wypłatą.",
                ),
                "do": (
                    "Zwiększaj wpłatę o 100 zł po każdej podwyżce wypłaty.",
                    "Spłać najpierw leasing, potem przenieś jego ratę w całości na lokal.",
                    "Obejrzyj trzy lokale bez zamiaru kupna, żeby znać prawdziwe ceny.",
                ),
            },
            {
                "name": "przerwa od pracy",
                "ask": (
                    "Kiedy mogę zrobić miesiąc przerwy?",
                    "Ile kosztuje mnie miesiąc bez zleceń?",
                    "Czy przerwa latem to dobry pomysł?",
                ),
                "see": (
                    "Miesiąc bez zleceń kosztuje {burn} wydatków i rat.",
                    "Na przerwę odłożono {breakfund}, miesięczne obciążenia to {burn}.",
                    "Fundusz przerwy ma {breakfund}.",
                ),
                "why": (
                    "Przerwa bez pieniędzy jest urlopem z telefonem w ręku.",
                    "Klienci lepiej znoszą zapowiedziany miesiąc niż cztery tygodnie opóźnień.",
                    "Zmęczenie też ma koszt, tylko nie ma go na wyciągu.",
                ),
                "do": (
                    "Zapowiedz termin klientom z trzymiesięcznym wyprzedzeniem.",
                    "Zacznij od dwóch tygodni i sprawdź, co się zepsuje.",
                    "Przełóż płatności roczne na inny miesiąc niż przerwa.",
                ),
            },
        ),
    },
    "Trener_Nawykow": {
        "name": "Trener Nawyków",
        "style": "życzliwy, interesuje się zachowaniem, nie wykresem",
        "count": 54,
        "openers": (
            "Dzięki za szczerość, to już połowa roboty.",
            "Bez oceniania, tylko fakty.",
            "Zauważ, że sam fakt pytania to nowy nawyk.",
            "Małe kroki, ale w dobrą stronę.",
            "Spójrzmy na to jak na eksperyment.",
        ),
        "closers": (
            "W skali od 1 do 10, jak łatwe to będzie?",
            "Napisz jutro jedno zdanie, jak poszło.",
            "Jeśli się nie uda, zmniejsz krok, nie cel.",
            "Świętuj przez pięć minut, naprawdę.",
            "",
        ),
        "topics": (
            {
                "name": "małe wydatki",
                "ask": (
                    "Na co właściwie rozchodzą się pieniądze?",
                    "Drobne zakupy mnie pokonują. Co z tym zrobić?",
                    "Czy {exp30} w miesiąc to dużo?",
                ),
                "see": (
                    "W 30 dni: {n_exp30} na {exp30}, najwięcej „{topcat}”: {topcat_sum}.",
                    "Kategoria „{topcat}” wzięła {topcat_sum} z {exp30}.",
                    "Średnio wypada {avg_exp} na zakup ({n_exp30} w 30 dni).",
                ),
                "why": (
                    "Pojedynczy zakup nie boli, dlatego nikt go nie liczy.",
                    "Kupujemy częściej, gdy jesteśmy zmęczeni, a nie gdy czegoś brakuje.",
                    "Lista zakupów działa, bo decyzja zapada przed wejściem do sklepu.",
                ),
                "do": (
                    "Przez tydzień zapisuj każdy zakup przed zapłatą, nie po.",
                    "Wprowadź jeden dzień w tygodniu bez żadnych płatności.",
                    "Zamów materiały raz na dwa tygodnie, a nie wtedy, gdy się skończą.",
                ),
            },
            {
                "name": "przegląd tygodnia",
                "ask": (
                    "Jak nie porzucić przeglądu po dwóch tygodniach?",
                    "Ile czasu powinien trwać przegląd finansów?",
                    "Znów nie zajrzałem do panelu przez tydzień. I co teraz?",
                ),
                "see": (
                    "Dziś widać {total} po stronie aktywów i {debt} zobowiązań; to wystarczy na początek.",
                    "Zapisy z 30 dni: {n_exp30}, dane są więc aktualne.",
                    "Ostatni miesiąc: zmiana {chg30}, wydatki {exp30}.",
                ),
                "why": (
                    "Nawyk trzyma się miejsca i pory, nie silnej woli.",
                    "Przerwa nie kasuje nawyku, robi to dopiero druga przerwa z rzędu.",
                    "Krótki przegląd, który się odbył, wygrywa z dokładnym, który się nie odbył.",
                ),
                "do": (
                    "Piątek, kawa, dziesięć minut, trzy liczby i koniec.",
                    "Wróć dziś na dwie minuty, bez nadrabiania zaległości.",
                    "Połącz przegląd z czymś, co i tak robisz, na przykład z podlewaniem kwiatów.",
                ),
            },
            {
                "name": "zakupy pod wpływem chwili",
                "ask": (
                    "Prawie kupiłem nowy monitor tylko dlatego, że była promocja.",
                    "Jak odróżnić potrzebę od zachcianki?",
                    "Promocja kończy się dziś o północy. Pomóż.",
                ),
                "see": (
                    "Sprzęt kosztował w ostatnich 12 miesiącach {hardware12}.",
                    "Na „{goal}” brakuje {goal_left}, a promocja tego nie zmieni.",
                    "Ostatnia wypłata to {payout}; warto przeliczyć zakup na godziny pracy.",
                ),
                "why": (
                    "Licznik promocji odlicza czas sklepu, nie Twój.",
                    "Po trzech dniach połowa zachcianek przestaje istnieć.",
                    "Zakup z listy cieszy dłużej niż zakup z reklamy.",
                ),
                "do": (
                    "Zapisz rzecz na liście i wróć do niej po 72 godzinach.",
                    "Zadaj jedno pytanie: czy kupiłbyś to za pełną cenę?",
                    "Przelej cenę promocyjną na „{goal}” i zobacz, co cieszy bardziej.",
                ),
            },
            {
                "name": "radość z postępów",
                "ask": (
                    "Czy to normalne, że nie czuję postępów?",
                    "Jak świętować, nie wydając?",
                    "Spadło mi tempo i zapał. Pomysły?",
                ),
                "see": (
                    "Odłożone jest {savings}, majątek netto to {net}.",
                    "Cel „{goal}” ma już {goal_pct}.",
                    "Dług zmalał do {debt}, a to też postęp, choć cichy.",
                ),
                "why": (
                    "Głowa porównuje z metą, a nie ze startem.",
                    "Postęp rozłożony na miesiące jest niewidoczny z dnia na dzień.",
                    "Zapał wraca po działaniu, rzadko przed nim.",
                ),
                "do": (
                    "Porównaj dzisiejszy stan ze stanem sprzed roku i zapisz jedno zdanie.",
                    "Wybierz nagrodę, która nic nie kosztuje: wolne popołudnie, długi spacer.",
                    "Zmniejsz wpłatę o połowę na miesiąc, ale jej nie przerywaj.",
                ),
            },
            {
                "name": "sprawdzanie kursów",
                "ask": (
                    "Sprawdzam kursy kilkanaście razy dziennie. Jak przestać?",
                    "Po spadku nie mogłem zasnąć. Co robić?",
                    "Czy wyłączyć powiadomienia o cenach?",
                ),
                "see": (
                    "Krypto to {crypto_pct} aktywów, a zabiera większość uwagi.",
                    "Zmiana z 30 dni to {chg30}; żadne z tych sprawdzeń jej nie zmieniło.",
                    "Część krypto, {crypto}, jest mniejsza niż oszczędności {savings}.",
                ),
                "why": (
                    "Losowa nagroda uzależnia najmocniej, a kurs jest właśnie losową nagrodą.",
                    "Im częściej patrzysz, tym częściej widzisz stratę, nawet gdy rok jest dobry.",
                    "Sen jest częścią planu finansowego.",
                ),
                "do": (
                    "Zostaw jeden alert dzienny o osiemnastej i usuń ikonę z ekranu.",
                    "Zamień sprawdzanie kursu na dwadzieścia przysiadów, serio.",
                    "Umów się ze mną na sprawdzanie tylko w poniedziałki i czwartki.",
                ),
            },
        ),
    },
}

LOOKBACK = (
    "W rozmowie z {when} o temacie „{topic}” majątek netto wynosił {then}, dziś {net}.",
    "Wracam do {when}: wtedy też padł temat „{topic}”, przy majątku netto {then}.",
    "Ten temat był już {when}; od tamtej pory zadłużenie zmieniło się z {then_debt} na {debt}.",
)

# Councils: a question to several partners, or a subject they take up on their own. Each partner
# who has something to say on it has two ways to say it.
COUNCILS = (
    {
        "name": "Podział najbliższej premii",
        "ask": "Wpłynęła premia. Jak ją podzielić między dług, cele i inwestycje?",
        "follow": "A gdyby połowa miała zostać na bieżące wydatki?",
        "say": {
            "Analityk_Wartosci": ("Dokupiłbym to, co jest najmniejsze w portfelu; całość wynosi {total}.",
                                  "Premia nie jest zyskiem, tylko wcześniejszą pracą. Inwestuję ją powoli."),
            "Straznik_Ryzyka": ("Najpierw dług: {debt}, oprocentowanie najdroższego to {max_rate}.",
                                "Poduszka ma {cushion} miesiąca. Dopóki nie ma sześciu, głosuję za nią."),
            "Planista_Celow": ("Jedna trzecia na „{goal}”, tam brakuje {goal_left}.",
                               "Trzy koperty: podatek, poduszka, marzenie. W tej kolejności."),
            "Trener_Nawykow": ("Odłóż pięć procent na czystą przyjemność, inaczej plan się zbuntuje.",
                               "Podziel od razu, w dniu wpływu. Po tygodniu premia znika sama."),
        },
        "result": "Premia dzielona na trzy: nadpłata, poduszka, cele; 5% na przyjemności.",
    },
    {
        "name": "Udział kryptowalut w majątku",
        "ask": "Krypto to teraz {crypto_pct} aktywów. Za dużo, za mało, w sam raz?",
        "follow": "Jaki limit byłby dla Was wszystkich do przyjęcia?",
        "say": {
            "Doradca_Krypto": ("{crypto} to pozycja, z którą można spać, o ile BTC stanowi jej trzon.",
                               "Nie zwiększałbym udziału, ale stałych zakupów bym nie ruszał."),
            "Straznik_Ryzyka": ("Przy spadku o 60% z tej części zostałoby niewiele. Limit 15%.",
                                "Mój limit to kwota, którą można stracić bez zmiany planów na rok."),
            "Analityk_Wartosci": ("Nie umiem tego wycenić, więc nie dam temu więcej niż jedną szóstą.",
                                  "Skoro nie ma przepływów pieniężnych, pozostaje dyscyplina udziału."),
            "Partner_Podatkowy": ("Każde przycięcie pozycji to wpis do zeznania; róbmy to raz na pół roku.",
                                  "Sprzedaż przed końcem grudnia wchodzi do tegorocznego rozliczenia."),
        },
        "result": "Limit 15% aktywów, sprawdzany co pół roku, bez sprzedaży w pośpiechu.",
    },
    {
        "name": "Wydatki ostatniego miesiąca",
        "ask": "Wydatki za 30 dni to {exp30}. Gdzie można ciąć bez bólu?",
        "follow": "Co zostawić, choćby wyglądało na zbędne?",
        "say": {
            "Trener_Nawykow": ("Zacząłbym od kategorii „{topcat}”, {topcat_sum}, bo tam decyduje nawyk.",
                               "Nie tnij wszystkiego. Jedna kategoria na miesiąc, inaczej wróci z odsetkami."),
            "Partner_Podatkowy": ("Do odliczenia jest {vat30}, więc realny koszt jest niższy niż brutto.",
                                  "Ubezpieczeń i księgowości nie ruszamy, to tanie w porównaniu z błędem."),
            "Straznik_Ryzyka": ("Interesują mnie koszty stałe: razem z ratami {burn} co miesiąc.",
                                "Wydatek jednorazowy wybaczam, stały sprawdzam dwa razy."),
            "Planista_Celow": ("Każde zaoszczędzone 200 zł miesięcznie przybliża „{goal}” o całe tygodnie.",
                               "Oszczędność bez przelewu na cel zniknie w następnym miesiącu."),
        },
        "result": "Przegląd jednej kategorii miesięcznie, oszczędność od razu na cel.",
    },
    {
        "name": "Wcześniejsza spłata leasingu",
        "ask": "Czy wykupić auto z leasingu przed czasem?",
        "follow": "A jeśli auto i tak będę zmieniać za dwa lata?",
        "say": {
            "Straznik_Ryzyka": ("Gotówka na rachunku jest warta więcej niż szybsza własność auta.",
                                "Sprawdźmy opłatę za zakończenie; bywa wyższa niż oszczędzone odsetki."),
            "Partner_Podatkowy": ("Wykup zmienia rozliczenie kosztów i VAT, a późniejsza sprzedaż ma swój podatek.",
                                  "Rata jest kosztem co miesiąc; po wykupie zostaje amortyzacja."),
            "Analityk_Wartosci": ("Leasing nie jest najdroższym długiem, tym jest pozycja z {max_rate}.",
                                  "Auto traci na wartości niezależnie od tego, kto jest właścicielem."),
            "Planista_Celow": ("Po ostatniej racie cała kwota może przejść na lokal, warto poczekać.",
                               "Zapisuję koniec leasingu jako datę startu większych wpłat."),
        },
        "result": "Leasing do końca umowy, nadpłacana jest najdroższa pozycja.",
    },
    {
        "name": "Stan poduszki finansowej",
        "ask": "Czy poduszka jest już w bezpiecznej wysokości?",
        "follow": "Gdzie ją trzymać, żeby nie traciła?",
        "say": {
            "Straznik_Ryzyka": ("Dziś to {cushion} miesiąca kosztów razem z ratami. Cel: sześć.",
                                "Bezpieczna będzie, gdy przestaniesz o nią pytać."),
            "Planista_Celow": ("Na cele odłożono {savings}, z czego nie wszystko wolno ruszyć.",
                               "Rozdzielmy poduszkę i podatek, bo dziś udają to samo."),
            "Analityk_Wartosci": ("Krótkie obligacje albo lokata; poduszka nie musi zarabiać, ma być.",
                                  "Akcji w poduszce nie chcę widzieć nawet w dobrym roku."),
            "Trener_Nawykow": ("Nazwij rachunek „nie dotykać”. Działa lepiej niż regulamin.",
                               "Każdy pełny miesiąc kosztów warto odhaczyć na ścianie."),
        },
        "result": "Poduszka rośnie do sześciu miesięcy, trzymana osobno i bez ryzyka.",
    },
    {
        "name": "Przygotowanie do zamknięcia kwartału",
        "ask": "Kończy się kwartał. Co sprawdzić przed zamknięciem?",
        "follow": "Co z tego można zrobić już w tym tygodniu?",
        "say": {
            "Partner_Podatkowy": ("Komplet dokumentów: w 30 dni {n_exp30} i {vat30} VAT do odliczenia.",
                                  "Korekty, noty i faktury z końca miesiąca giną najczęściej."),
            "Planista_Celow": ("Przejrzyjmy terminy celów; „{goal}” ma {goal_pct}.",
                               "Po zamknięciu kwartału przychodzi premia, plan powinien być przed nią."),
            "Analityk_Wartosci": ("Porównałbym udziały z założeniami: {etf} ma {etf_pct}.",
                                  "Kwartał to dobry moment na jedno pytanie: czy kupiłbym to dziś ponownie?"),
            "Trener_Nawykow": ("Zrób listę trzech rzeczy, które w tym kwartale poszły dobrze.",
                               "Godzina w piątek wystarczy, jeśli przegląd tygodnia działał."),
        },
        "result": "Dokumenty do dwudziestego, przegląd udziałów i celów w jednym dniu.",
    },
    {
        "name": "Reakcja na zmianę kursu BTC",
        "ask": "BTC zmienił się w 30 dni o {btc30}. Robimy coś?",
        "follow": "Kiedy w ogóle powinniśmy reagować?",
        "say": {
            "Doradca_Krypto": ("Kurs to {btc}, pozycja {btc_value}. Reguły mówią: stały zakup i nic więcej.",
                               "Reagujemy na udział w majątku, nie na kurs."),
            "Straznik_Ryzyka": ("Zmiana kursu nie zmienia rat. Dług wynosi {debt}.",
                                "Ruch w górę też jest ryzykiem, bo usypia."),
            "Trener_Nawykow": ("Zamknijmy wykres do poniedziałku i zobaczmy, czy świat wytrzyma.",
                               "Pytanie pada zwykle po północy, odpowiedź lepiej dać po śniadaniu."),
            "Analityk_Wartosci": ("Trzydzieści dni to nie jest dla mnie okres inwestycyjny.",
                                  "Nic nie zrobić to też decyzja, dziś najlepsza."),
        },
        "result": "Brak reakcji; sprawdzany jest wyłącznie udział w majątku.",
    },
    {
        "name": "Inwestycja w sprzęt pracowni",
        "ask": "Zastanawiam się nad nowym ploterem. Za i przeciw?",
        "follow": "A używany, z gwarancją na rok?",
        "say": {
            "Analityk_Wartosci": ("Ile zleceń odmówionych w tym roku wynikało z braku plotera? Od tej liczby zacznę.",
                                  "Używany za połowę ceny ma czas zwrotu krótszy o połowę, jeśli działa."),
            "Partner_Podatkowy": ("Na sprzęt poszło w rok {hardware12}; jednorazowe ujęcie jest nadal możliwe.",
                                  "Przy zakupie od osoby prywatnej nie będzie VAT do odliczenia."),
            "Straznik_Ryzyka": ("Bez nowego kredytu. Zadłużenie {debt} wystarczy.",
                                "Urządzenie stoi też wtedy, gdy nie ma zleceń, a rata nie stoi."),
            "Planista_Celow": ("To powinien być cel z datą, nie zakup z impulsu.",
                               "Jeśli ploter, to zamiast, a nie obok celu „{goal}”."),
        },
        "result": "Najpierw lista odmówionych zleceń z trzech miesięcy, potem decyzja.",
    },
    {
        "name": "Plan na kolejne dwanaście miesięcy",
        "ask": "Co powinno się zmienić przez następny rok?",
        "follow": "Gdyby wolno było zmienić tylko jedną rzecz?",
        "say": {
            "Planista_Celow": ("Za rok chcę widzieć „{goal}” zamknięty, dziś ma {goal_pct}.",
                               "Jedna rzecz: stałe przelewy rosną razem z wypłatą."),
            "Analityk_Wartosci": ("Majątek netto {net} może rosnąć samym spłacaniem rat.",
                                  "Jedna rzecz: mniej pozycji, więcej cierpliwości."),
            "Straznik_Ryzyka": ("Zadłużenie poniżej połowy obecnego: z {debt} w dół.",
                                "Jedna rzecz: drugi duży klient."),
            "Doradca_Krypto": ("Własne klucze do końca kwartału, reszta bez zmian.",
                               "Jedna rzecz: zapisane reguły sprzedaży."),
            "Trener_Nawykow": ("Przegląd tygodnia 40 razy na 52. To wystarczy.",
                               "Jedna rzecz: dzień bez płatności w każdym tygodniu."),
            "Partner_Podatkowy": ("Osobny rachunek na VAT i koniec z niespodziankami.",
                                  "Jedna rzecz: zdjęcie faktury przy kasie."),
        },
        "result": "Plan roczny zapisany: klienci, stałe przelewy, osobny rachunek na VAT.",
    },
    {
        "name": "Ceny usług",
        "ask": "Koszty rosną. Czy podnieść stawki od nowego roku?",
        "follow": "Jak powiedzieć o tym stałym klientom?",
        "say": {
            "Straznik_Ryzyka": ("Stawka musi pokryć {burn} miesięcznie także w słabszym miesiącu.",
                                "Podwyżka dla wszystkich naraz to test, którego nie chcę w grudniu."),
            "Analityk_Wartosci": ("Cena mówi klientowi, ile warta jest praca. Za niska też coś mówi.",
                                  "Podnieśmy najpierw nowym, starym z zapowiedzią na kwartał."),
            "Trener_Nawykow": ("Przećwicz to zdanie na głos, zanim je wyślesz.",
                               "Podwyżka bez przepraszania jest krótsza i działa lepiej."),
            "Partner_Podatkowy": ("Nowe stawki netto, VAT osobno, od pełnego miesiąca. Mniej korekt.",
                                  "Umowy roczne wymagają aneksu, mail nie wystarczy."),
        },
        "result": "Nowe stawki od pełnego miesiąca, stali klienci z kwartalną zapowiedzią.",
    },
)

COUNCIL_CLOSING = (
    "Dzięki, zapisuję ustalenia i wracam do tego za miesiąc.",
    "To mi wystarczy. Zrobię pierwszy krok jeszcze dziś.",
    "Nie we wszystkim się zgadzacie, ale kierunek jest jasny.",
    "Dobrze, przyjmuję. Proszę o przypomnienie w poniedziałek.",
)

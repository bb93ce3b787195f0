/* How fast texts are checked and taken apart, beside jansson and simdjson on the same texts in the
 * same run.
 *
 * The three do not do the same: jansson builds a tree and refuses duplicate names when asked, as
 * here, but keeps no offsets of all faults; simdjson builds a tape (DOM) or walks on demand, looks
 * for no duplicates and has no offsets for bad UTF-8. Each figure is the best of several rounds in
 * which all take turns. */
#include "base/json.h"

#include "json_others.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROUNDS   9
#define ROUND_NS 30000000u

/* ------------------------------------------------------------------------------------- inputs */

static uint64_t seed = 88172645463325252u;

static unsigned chance(unsigned below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)(seed % below);
}

static const char *one_of(const char *const *list, unsigned count)
{
    return list[chance(count)];
}
#define ONE_OF(list) one_of(list, sizeof(list) / sizeof *(list))

static void put_entry(struct buf *b, int id)
{
    static const char *const kinds[] = {"żywność", "mieszkanie", "transport", "zdrowie",
                                        "rozrywka"};
    static const char *const notes[] = {"Rata kredytu hipotecznego", "Zakupy spożywcze w sklepie",
                                        "Przelew własny", "Bilet miesięczny — strefa 1",
                                        "Zwrot\\nnadpłaty"};
    buf_printf(b,
               "{\"id\":%d,\"data\":\"2024-%02u-%02u\",\"kwota\":%s%u.%02u,\"kategoria\":\"%s\","
               "\"opis\":\"%s\",",
               id, 1 + chance(12), 1 + chance(28), chance(2) ? "-" : "", chance(5000), chance(100),
               ONE_OF(kinds), ONE_OF(notes));
    buf_printf(b,
               "\"konto\":\"PL%013u%013u\",\"saldo_po\":%u.%02u,\"zaksiegowane\":%s,\"tagi\":["
               "\"dom\",\"%s\"],",
               chance(1000000000), chance(1000000000), chance(90000), chance(100),
               chance(5) ? "true" : "false", ONE_OF(kinds));
    buf_c(b, "\"uwagi\":null}");
}

static void make_finance(struct buf *b, size_t size)
{
    buf_c(b, "{\"wersja\":3,\"waluta\":\"PLN\",\"wpisy\":[");
    for (int id = 0; b->len < size; id++) {
        buf_c(b, id ? "," : "");
        put_entry(b, id);
    }
    buf_c(b, "]}");
}

static void make_pretty(struct buf *b, size_t size)
{
    struct buf compact = BUF_INIT;
    make_finance(&compact, size * 2 / 3);
    if (json_pretty(buf_view(&compact), b, NULL) != KF_OK)
        abort();
    buf_release(&compact);
}

static void make_strings(struct buf *b, size_t size)
{
    static const char *const words[] = {"lorem", "ipsum", "dolor",      "zażółć",
                                        "gęślą", "jaźń",  "sit\\tamet", "consectetur"};
    buf_byte(b, '[');
    for (int i = 0; b->len < size; i++) {
        buf_c(b, i ? ",\"" : "\"");
        for (unsigned n = 10 + chance(60); n > 0; n--)
            buf_printf(b, "%s ", ONE_OF(words));
        buf_byte(b, '"');
    }
    buf_byte(b, ']');
}

static void make_numbers(struct buf *b, size_t size)
{
    buf_byte(b, '[');
    for (int i = 0; b->len < size; i++) {
        buf_c(b, i ? ",[" : "[");
        for (int k = 0; k < 8; k++)
            buf_printf(b, "%s%s%u.%0*u", k ? "," : "", chance(3) ? "" : "-", chance(10000),
                       1 + (int)chance(6), chance(10));
        buf_byte(b, ']');
    }
    buf_byte(b, ']');
}

static void make_members(struct buf *b, size_t size)
{
    for (int i = 0; b->len < size; i++)
        buf_printf(b, "%c\"klucz-%d\":%u", i ? ',' : '{', i, chance(1000));
    buf_byte(b, '}');
}

/* ------------------------------------------------------------------------------------ measuring */

static const struct json_limits limits = {0, UINT32_MAX};

static bool ours_check(str text, void *ctx)
{
    (void)ctx;
    return json_check(text, &limits, NULL, NULL) == KF_OK;
}

static bool ours_parse(str text, void *ctx)
{
    struct json_node *root;
    bool good = json_parse(text, &limits, ctx, &root, NULL) == KF_OK;
    arena_clear(ctx);
    return good;
}

static bool jansson(str text, void *ctx)
{
    (void)ctx;
    return others_jansson(text.p, text.len);
}

static bool simdjson_dom(str text, void *ctx)
{
    return others_dom(ctx, text.p, text.len);
}

static bool simdjson_walk(str text, void *ctx)
{
    return others_walk(ctx, text.p, text.len);
}

struct runner {
    bool (*run)(str text, void *ctx);
    void *ctx;
    double mb_per_s; /* best so far */
};

static uint64_t now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void measure_once(struct runner *r, str text)
{
    uint64_t begin = now_ns(), ns = 0, times = 0;
    do {
        if (!r->run(text, r->ctx)) {
            (void)fprintf(stderr, "bench_json: a text was refused\n");
            exit(1);
        }
        times++;
        ns = now_ns() - begin;
    } while (ns < ROUND_NS);
    double mb_per_s = (double)text.len * (double)times * 1000.0 / (double)ns;
    if (mb_per_s > r->mb_per_s)
        r->mb_per_s = mb_per_s;
}

static void report(const char *input, size_t bytes, const struct runner *r)
{
    double check = r[0].mb_per_s, tree = r[1].mb_per_s, dom = r[3].mb_per_s;
    printf(
        "{\"name\":\"json.scan.%s\",\"value\":%.0f,\"unit\":\"MB/"
        "s\",\"target\":400,\"aim\":800,\"bytes\":%zu,"
        "\"jansson\":%.0f,\"simdjson\":%.0f,\"simdjson_on_demand\":%.0f,\"ratio_simdjson\":%.2f}\n",
        input, check, bytes, r[2].mb_per_s, dom, r[4].mb_per_s, check / dom);
    printf("{\"name\":\"json.tree.%s\",\"value\":%.0f,\"unit\":\"MB/"
           "s\",\"base\":%.0f,\"against\":\"simdjson, DOM\"}\n",
           input, tree, dom);
    (void)fflush(stdout);
}

static void measure(const char *input, void (*make)(struct buf *b, size_t size), size_t size)
{
    struct buf text = BUF_INIT;
    struct arena arena = ARENA_INIT;
    make(&text, size);
    size_t len = text.len;
    /* simdjson reads behind the end. */
    char *padding = buf_room(&text, OTHERS_PADDING);
    void *parser = others_new();
    if (!padding || !parser)
        abort();
    memset(padding, 0, OTHERS_PADDING);
    struct runner runners[] = {
        {ours_check, NULL, 0},     {ours_parse, &arena, 0},    {jansson, NULL, 0},
        {simdjson_dom, parser, 0}, {simdjson_walk, parser, 0},
    };
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < sizeof runners / sizeof *runners; i++)
            measure_once(&runners[i], str_make(text.p, len));
    }
    report(input, len, runners);
    others_free(parser);
    arena_release(&arena);
    buf_release(&text);
}

/* A hundred thousand opening brackets are refused at the 65th, however many follow. */
static void measure_brackets(void)
{
    enum { COUNT = 100000 };
    static char text[COUNT];
    memset(text, '[', COUNT);
    uint64_t best = UINT64_MAX;
    for (int i = 0; i < 100; i++) {
        uint64_t begin = now_ns();
        if (json_check(str_make(text, COUNT), NULL, NULL, NULL) != KF_LIMIT)
            exit(1);
        uint64_t ns = now_ns() - begin;
        best = ns < best ? ns : best;
    }
    printf("{\"name\":\"json.brackets\",\"value\":%.4f,\"unit\":\"ms\",\"target\":5,\"better\":"
           "\"less\"}\n",
           (double)best / 1e6);
}

int main(void)
{
    measure("finance-2k", make_finance, 2048);
    measure("finance-64k", make_finance, 65536);
    measure("finance-1m", make_finance, 1 << 20);
    measure("pretty-1m", make_pretty, 1 << 20);
    measure("strings-1m", make_strings, 1 << 20);
    measure("numbers-1m", make_numbers, 1 << 20);
    measure("members-50k", make_members, 900000);
    measure_brackets();
    return 0;
}

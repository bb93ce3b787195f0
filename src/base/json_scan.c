/* json_scan: the scanner.
 *
 *                      ┌────────────────────── `,` in an array ───────────────────────┐
 *                      v                                                              │
 *     (begin) ──────> VALUE ── string, number, literal, `]`, `}` ────────────────> AFTER ──> DONE
 *                      ^ │ └─ `[` ──> FIRST_ELEMENT ── `]` ─────────────────────────> ^ │ ^
 *                      │ │              └─ else VALUE                                 │ │ └ depth
 *                      │ └─── `{` ──> FIRST_NAME ──── `}` ────────────────────────────┘ │   0, text
 *                      │                └─ else NAME                                    │   ends
 *                      └──── `:` ────── NAME <──────── `,` in an object ────────────────┘
 *
 * A stack of frames remembers which containers are open, so depth costs no C stack. Between two
 * events the whole state is in struct json_scan; json_scan_next goes on there.
 *
 * Strings and blanks are crossed 16 bytes at a time with SSE2, elsewhere 8 at a time. Nothing is
 * read behind the end of the text, which need not have a NUL there.
 *
 * Duplicates. Each name leaves its 64 bit hash. A set of 64 classes per object shows cheaply that
 * most objects cannot have two equal names. The others are looked through when they end: up to
 * NAMES_SMALL names through a table of 256 places; more in buckets, where large ones are sorted by
 * hash (and name, where hashes are equal), so the time is O(n log n) whatever the names are. As
 * this looks at an object only when it ends, a fault found earlier makes us look at all objects
 * still open: the smaller offset counts. */
#include "base/json_internal.h"

#include "base/err.h"
#include "base/hooks.h"
#include "base/mem.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { VALUE, FIRST_ELEMENT, FIRST_NAME, NAME, AFTER, DONE };

#define NAMES_SMALL 128
#define BUCKET_FEW  8

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

const struct json_limits json_limits_none = {JSON_DEPTH_MAX, UINT32_MAX};

/* ------------------------------------------------------------------------------ runs of bytes */

static inline unsigned char byte(const char *p)
{
    return (unsigned char)*p;
}

static inline bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static inline bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Bytes that may stand in a string as they are: neither control byte, quote nor backslash, and
 * ASCII. */
static inline bool is_plain(char c)
{
    return (signed char)c >= 0x20 && c != '"' && c != '\\';
}

#ifdef __SSE2__

#define WIDE 16

static inline __m128i wide_load(const char *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

/* Bit i is set where p[i] is not plain. Signed, so that "less than a blank" holds for non-ASCII,
 * too. */
static inline unsigned wide_not_plain(const char *p)
{
    __m128i v = wide_load(p);
    __m128i special = _mm_cmplt_epi8(v, _mm_set1_epi8(0x20));
    special = _mm_or_si128(special, _mm_cmpeq_epi8(v, _mm_set1_epi8('"')));
    special = _mm_or_si128(special, _mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));
    return (unsigned)_mm_movemask_epi8(special);
}

static inline unsigned wide_not_blank(const char *p)
{
    __m128i v = wide_load(p);
    __m128i blank = _mm_cmpeq_epi8(v, _mm_set1_epi8(' '));
    blank = _mm_or_si128(blank, _mm_cmpeq_epi8(v, _mm_set1_epi8('\n')));
    blank = _mm_or_si128(blank, _mm_cmpeq_epi8(v, _mm_set1_epi8('\r')));
    blank = _mm_or_si128(blank, _mm_cmpeq_epi8(v, _mm_set1_epi8('\t')));
    return (unsigned)_mm_movemask_epi8(blank) ^ 0xffffu;
}

static inline unsigned wide_digits(const char *p)
{
    __m128i v = _mm_sub_epi8(wide_load(p), _mm_set1_epi8('0'));
    __m128i digit = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(9)), v);
    return (unsigned)_mm_movemask_epi8(digit);
}

#else

#define WIDE 8

/* The same answers without vectors; the compiler keeps the 8 bytes in a register. */
static inline unsigned wide_not_plain(const char *p)
{
    unsigned mask = 0;
    for (unsigned i = 0; i < WIDE; i++)
        mask |= (unsigned)!is_plain(p[i]) << i;
    return mask;
}

static inline unsigned wide_not_blank(const char *p)
{
    unsigned mask = 0;
    for (unsigned i = 0; i < WIDE; i++)
        mask |= (unsigned)!is_blank(p[i]) << i;
    return mask;
}

static inline unsigned wide_digits(const char *p)
{
    unsigned mask = 0;
    for (unsigned i = 0; i < WIDE; i++)
        mask |= (unsigned)is_digit(p[i]) << i;
    return mask;
}

#endif

static inline bool has_wide(const char *p, const char *end)
{
    return end - p >= WIDE;
}

static inline const char *skip_plain(const char *p, const char *end)
{
    while (likely(has_wide(p, end))) {
        unsigned mask = wide_not_plain(p);
        if (mask)
            return p + __builtin_ctz(mask);
        p += WIDE;
    }
    while (p < end && is_plain(*p))
        p++;
    return p;
}

static const char *skip_many_blanks(const char *p, const char *end)
{
    while (has_wide(p, end)) {
        unsigned mask = wide_not_blank(p);
        if (mask)
            return p + __builtin_ctz(mask);
        p += WIDE;
    }
    while (p < end && is_blank(*p))
        p++;
    return p;
}

/* Mostly there are none, or a single one. */
static inline const char *skip_blanks(const char *p, const char *end)
{
    if (likely(p < end && byte(p) > ' '))
        return p;
    if (end - p >= 2 && p[0] == ' ' && byte(p + 1) > ' ')
        return p + 1;
    return skip_many_blanks(p, end);
}

/* -------------------------------------------------------------------------------------- faults */

/* NULL, so that `return fault(…)` ends a step. */
static __attribute__((noinline, cold)) const char *fault(struct json_scan *s, enum json_fault why,
                                                         const char *at)
{
    s->fault = why;
    s->fault_at = at;
    return NULL;
}

/* --------------------------------------------------------------------------------------- UTF-8 */

/* For each lead byte from 0xC2 to 0xF4: how many bytes follow, and what the first of them may be.
 * Everything that is overlong, a surrogate or beyond U+10FFFF is shut out by that first one (RFC
 * 3629). */
static bool utf8_lead(unsigned char lead, unsigned *ret_more, unsigned char *ret_low,
                      unsigned char *ret_high)
{
    if (lead < 0xC2 || lead > 0xF4)
        return false;
    *ret_more = lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
    *ret_low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    *ret_high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    if (KF_SABOTAGE("json-overlong"))
        *ret_low = 0x80;
    return true;
}

/* Behind the non-ASCII characters that begin at `p`. A sequence that the text breaks off is a text
 * that ends too early. */
static const char *skip_utf8(struct json_scan *s, const char *p, const char *end)
{
    while (p < end && byte(p) >= 0x80) {
        unsigned more;
        unsigned char low, high;
        if (!utf8_lead(byte(p), &more, &low, &high))
            return fault(s, JSON_FAULT_UTF8, p);
        for (unsigned i = 1; i <= more; i++) {
            if (p + i == end)
                return fault(s, JSON_FAULT_STRING_END, end);
            if (byte(p + i) < low || byte(p + i) > high)
                return fault(s, JSON_FAULT_UTF8, p);
            low = 0x80;
            high = 0xBF;
        }
        p += more + 1;
    }
    return p;
}

/* ------------------------------------------------------------------------------------- strings */

static int hex_value(char c)
{
    if (is_digit(c))
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Whether the text behind a high surrogate is, as far as it goes, the escape of a low one: \uDC00
 * to \uDFFF. 6 when it is whole, 0 when it cannot become one, -1 when the text ends before that
 * shows. */
static int low_surrogate(const char *p, const char *end)
{
    for (int i = 0; i < 6; i++) {
        if (p + i == end)
            return -1;
        bool fits = i == 0   ? p[i] == '\\'
                    : i == 1 ? p[i] == 'u'
                    : i == 2 ? (p[i] | 0x20) == 'd'
                    : i == 3 ? hex_value(p[i]) >= 0xc
                             : hex_value(p[i]) >= 0;
        if (!fits)
            return 0;
    }
    return 6;
}

/* Behind the \uXXXX that begins at `p`, or the pair of them. */
static const char *skip_unicode_escape(struct json_scan *s, const char *p, const char *end)
{
    unsigned code = 0;
    for (int i = 2; i < 6; i++) {
        if (p + i == end)
            return fault(s, JSON_FAULT_STRING_END, end);
        int digit = hex_value(p[i]);
        if (digit < 0)
            return fault(s, JSON_FAULT_HEX, p + i);
        code = code << 4 | (unsigned)digit;
        if (i == 3 && code >= 0xdc && code <= 0xdf)
            return fault(s, JSON_FAULT_SURROGATE, p);
    }
    if (code < 0xd800 || code > 0xdbff)
        return p + 6;
    int low = low_surrogate(p + 6, end);
    if (low < 0)
        return fault(s, JSON_FAULT_STRING_END, end);
    if (low == 0)
        return fault(s, JSON_FAULT_SURROGATE, p);
    return p + 6 + low;
}

static const char *skip_escape(struct json_scan *s, const char *p, const char *end)
{
    if (p + 1 == end)
        return fault(s, JSON_FAULT_STRING_END, end);
    switch (p[1]) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't': return p + 2;
    case 'u': return skip_unicode_escape(s, p, end);
    default: return fault(s, JSON_FAULT_ESCAPE, p + 1);
    }
}

/* The rest of a string from its first byte that is not plain. */
static __attribute__((noinline)) const char *skip_rich_string(struct json_scan *s, const char *p,
                                                              const char *end)
{
    for (;;) {
        if (p == end)
            return fault(s, JSON_FAULT_STRING_END, end);
        if (*p == '"')
            return p + 1;
        if (*p == '\\')
            p = skip_escape(s, p, end);
        else if (byte(p) >= 0x80)
            p = skip_utf8(s, p, end);
        else
            return fault(s, JSON_FAULT_CONTROL, p);
        if (!p)
            return NULL;
        p = skip_plain(p, end);
    }
}

/* Behind the closing quote of the string whose opening quote is at `p`. *ret_rich: there is more in
 * it than plain bytes. */
static inline const char *skip_string(struct json_scan *s, const char *p, const char *end,
                                      bool *ret_rich)
{
    p = skip_plain(p + 1, end);
    *ret_rich = !(p < end && *p == '"');
    return likely(!*ret_rich) ? p + 1 : skip_rich_string(s, p, end);
}

/* -------------------------------------------------------------------------- numbers, literals */

/* At least one digit, and all that follow. */
static const char *skip_digits(struct json_scan *s, const char *p, const char *end)
{
    if (p == end || !is_digit(*p))
        return fault(s, JSON_FAULT_DIGIT, p);
    while (p < end && is_digit(*p))
        p++;
    return p;
}

/* -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)? */
static __attribute__((noinline)) const char *skip_long_number(struct json_scan *s, const char *p,
                                                              const char *end)
{
    if (*p == '-')
        p++;
    p = p < end && *p == '0' ? p + 1 : skip_digits(s, p, end);
    if (p && p < end && *p == '.')
        p = skip_digits(s, p + 1, end);
    if (p && p < end && (*p | 0x20) == 'e') {
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        p = skip_digits(s, p, end);
    }
    return p;
}

/* Behind the number that begins at `p`. Those of the usual shape are measured at once by the mask
 * of their digits, without a loop whose end the processor would have to guess; the others are left
 * to the long way. */
static inline const char *skip_number(struct json_scan *s, const char *p, const char *end)
{
    if (unlikely(!has_wide(p, end)))
        return skip_long_number(s, p, end);
    unsigned digits = wide_digits(p);
    unsigned at = *p == '-';
    unsigned run = (unsigned)__builtin_ctz(~(digits >> at));
    if (unlikely(run == 0 || (p[at] == '0' && run > 1)))
        return skip_long_number(s, p, end);
    at += run;
    if (at < WIDE && p[at] == '.') {
        at++;
        run = (unsigned)__builtin_ctz(~(digits >> at));
        if (unlikely(run == 0))
            return skip_long_number(s, p, end);
        at += run;
    }
    if (unlikely(at >= WIDE || (p[at] | 0x20) == 'e'))
        return skip_long_number(s, p, end);
    return p + at;
}

/* The four bytes at `a` against a word of four letters: one comparison. */
static inline bool four(const char *a, const char *b)
{
    return memcmp(a, b, 4) == 0;
}

static const char *bad_literal(struct json_scan *s, const char *p, const char *end,
                               const char *word)
{
    while (p < end && *word && *p == *word) {
        p++;
        word++;
    }
    return fault(s, JSON_FAULT_LITERAL, p);
}

/* --------------------------------------------------------------------------------- duplicates */

static inline uint64_t hash_step(uint64_t h, uint64_t word)
{
    h = (h ^ word) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 32;
}

static inline uint64_t load_some(const char *p, size_t len)
{
    uint64_t word = 0;
    memcpy(&word, p, len);
    return word;
}

/* Of words of 8 bytes, the last one filled with zeros, and the length. */
static inline uint64_t hash_plain(const char *p, size_t len, const char *end)
{
    uint64_t h = len;
    for (; len > 8; p += 8, len -= 8)
        h = hash_step(h, load_some(p, 8));
    if (len == 0)
        return h;
    uint64_t word;
    if (likely(end - p >= 8)) {
        word = load_some(p, 8);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        word &= ~UINT64_C(0) >> (64 - 8 * len);
#else
        word &= ~UINT64_C(0) << (64 - 8 * len);
#endif
    } else {
        word = load_some(p, len);
    }
    return hash_step(h, word);
}

/* The same hash of a name with escapes. The length comes first, so the name is read twice. */
static __attribute__((noinline)) uint64_t hash_escaped(str raw)
{
    uint64_t h = 0;
    struct json_unescape u = json_unescape_begin(raw);
    for (str run = json_unescape_next(&u); run.len; run = json_unescape_next(&u))
        h += run.len;
    char word[8] = {0};
    size_t n = 0;
    u = json_unescape_begin(raw);
    for (str run = json_unescape_next(&u); run.len; run = json_unescape_next(&u)) {
        for (size_t i = 0; i < run.len; i++) {
            if (n == 8) {
                h = hash_step(h, load_some(word, 8));
                memset(word, 0, 8);
                n = 0;
            }
            word[n++] = run.p[i];
        }
    }
    return n ? hash_step(h, load_some(word, 8)) : h;
}

static __attribute__((noinline)) bool names_grow(struct json_scan *s)
{
    size_t cap = s->names_cap * 2;
    bool on_heap = s->names != s->names_inline;
    struct json_name *names = mem_realloc(on_heap ? s->names : NULL, cap * sizeof *names);
    if (!names)
        return false;
    if (!on_heap)
        memcpy(names, s->names_inline, s->names_len * sizeof *names);
    s->names = names;
    s->names_cap = cap;
    return true;
}

static inline bool name_add(struct json_scan *s, const char *at, const char *behind, bool rich)
{
    size_t len = (size_t)(behind - at) - 2;
    uint64_t hash = likely(!rich || !memchr(at + 1, '\\', len))
                        ? hash_plain(at + 1, len, s->end)
                        : hash_escaped(str_make(at, len + 2));
    if (unlikely(s->names_len == s->names_cap) && !names_grow(s))
        return false;
    s->names[s->names_len++] = (struct json_name){hash, at};
    struct json_frame *f = &s->frames[s->depth - 1];
    uint64_t class = UINT64_C(1) << (hash & 63);
    f->suspect |= (f->seen & class) != 0;
    f->seen |= class;
    return true;
}

static bool same_name(const struct json_name *a, const struct json_name *b)
{
    return a->hash == b->hash && json_raw_cmp(json_raw_at(a->at), json_raw_at(b->at)) == 0;
}

/* The first name that was there before, NULL when all differ. Open addressing; a place holds 1 +
 * the index of a name. */
static const char *duplicate_of_few(const struct json_name *names, size_t count)
{
    unsigned char table[2 * NAMES_SMALL] = {0};
    for (size_t i = 0; i < count; i++) {
        size_t at = names[i].hash >> 8 & (sizeof table - 1);
        for (; table[at]; at = (at + 1) & (sizeof table - 1)) {
            if (same_name(&names[table[at] - 1], &names[i]))
                return names[i].at;
        }
        table[at] = (unsigned char)(i + 1);
    }
    return NULL;
}

static int order_names(const void *va, const void *vb)
{
    const struct json_name *a = va, *b = vb;
    if (a->hash != b->hash)
        return a->hash < b->hash ? -1 : 1;
    return json_raw_cmp(json_raw_at(a->at), json_raw_at(b->at));
}

/* Of `count` names in the order of the text: the first that was there before, or `best` if that is
 * earlier. A few are compared each with each, more are sorted; the sort is stable, so equal names
 * are neighbours in their order. */
static const char *duplicate_of_bucket(const void **items, const void **scratch, size_t count,
                                       const char *best)
{
    bool few = count <= BUCKET_FEW;
    if (!few)
        json_sort(items, scratch, count, order_names);
    for (size_t j = 1; j < count; j++) {
        const struct json_name *name = items[j];
        for (size_t i = few ? 0 : j - 1; i < j; i++) {
            if ((!best || name->at < best) && same_name(items[i], name))
                best = name->at;
        }
    }
    return best;
}

/* As duplicate_of_few for many: dealt to buckets by the upper bits of their hashes, mostly one or
 * two to a bucket. Names made to fall into one bucket are sorted, no worse. */
static bool duplicate_of_many(const struct json_name *names, size_t count, const char **ret_at)
{
    unsigned bits = 63u - (unsigned)__builtin_clzll(count), shift = 64 - bits;
    size_t buckets = (size_t)1 << bits;
    const void **items = mem_alloc(2 * count * sizeof *items);
    size_t *ends = mem_calloc(buckets + 1, sizeof *ends);
    if (!items || !ends) {
        mem_free(items);
        mem_free(ends);
        return false;
    }
    for (size_t i = 0; i < count; i++)
        ends[(names[i].hash >> shift) + 1]++;
    for (size_t k = 0; k < buckets; k++)
        ends[k + 1] += ends[k];
    /* ends[k] is the beginning of bucket k up to here, and moves to its end. */
    for (size_t i = 0; i < count; i++)
        items[ends[names[i].hash >> shift]++] = &names[i];
    const char *first = NULL;
    for (size_t k = 0, begin = 0; k < buckets; begin = ends[k++])
        first = duplicate_of_bucket(items + begin, items + count, ends[k] - begin, first);
    mem_free(items);
    mem_free(ends);
    *ret_at = first;
    return true;
}

/* Looks through the names of the frame at `level` that end at `names_end`. False after noting a
 * fault. */
static __attribute__((noinline)) bool no_duplicate(struct json_scan *s, uint32_t level,
                                                   size_t names_end)
{
    const struct json_frame *f = &s->frames[level];
    size_t count = names_end - f->names;
    const char *at = NULL;
    if (count <= NAMES_SMALL) {
        at = duplicate_of_few(s->names + f->names, count);
    } else if (!duplicate_of_many(s->names + f->names, count, &at)) {
        fault(s, JSON_FAULT_MEMORY, s->start);
        return false;
    }
    /* Called for an object that ends, and for those still open after a fault: the first in the text
     * counts. */
    if (at && (s->fault == JSON_FAULT_NONE || at < s->fault_at))
        fault(s, JSON_FAULT_DUPLICATE, at);
    return !at;
}

/* After a fault: a duplicate in an object that is still open lies before it. */
static void look_back(struct json_scan *s)
{
    size_t names_end = s->names_len;
    for (uint32_t level = s->depth; level-- > 0 && s->fault != JSON_FAULT_MEMORY;) {
        const struct json_frame *f = &s->frames[level];
        if (!f->object)
            continue;
        if (f->suspect)
            no_duplicate(s, level, names_end);
        names_end = f->names;
    }
}

/* --------------------------------------------------------------------------------- containers */

static inline bool frame_open(struct json_scan *s, bool object, const char *at)
{
    if (unlikely(s->depth == s->depth_max)) {
        fault(s, JSON_FAULT_DEPTH, at);
        return false;
    }
    struct json_frame *f = &s->frames[s->depth++];
    f->seen = 0;
    f->names = s->names_len;
    f->suspect = false;
    f->object = object;
    return true;
}

static inline bool frame_close(struct json_scan *s)
{
    struct json_frame *f = &s->frames[s->depth - 1];
    if (f->suspect && !no_duplicate(s, s->depth - 1, s->names_len))
        return false;
    s->names_len = f->names;
    s->depth--;
    return true;
}

static inline bool in_object(const struct json_scan *s)
{
    return s->frames[s->depth - 1].object;
}

/* ------------------------------------------------------------------------------ the machine */

static inline bool count_token(struct json_scan *s, const char *at)
{
    if (unlikely(s->tokens_left == 0)) {
        fault(s, JSON_FAULT_TOKENS, at);
        return false;
    }
    s->tokens_left--;
    return true;
}

/* Goes on from s->state until the text has ended, a fault is noted or (with `events`) `max` events
 * are filled. Returns the number of events. Inlined twice: with events, and without for a plain
 * check. */
static inline __attribute__((always_inline)) size_t run(struct json_scan *s, bool with_events,
                                                        struct json_event *events, size_t max)
{
    const char *p = s->p, *const end = s->end, *from;
    size_t count = 0;
    int what;
    bool rich;
#define EMIT(w, at, n)                                                       \
    do {                                                                     \
        if (with_events)                                                     \
            events[count++] = (struct json_event){(w), {(at), (size_t)(n)}}; \
    } while (0)
#define PAUSE(where)                       \
    do {                                   \
        if (with_events && count == max) { \
            s->state = (where);            \
            goto out;                      \
        }                                  \
    } while (0)
#define FAIL(why)           \
    do {                    \
        fault(s, (why), p); \
        goto out;           \
    } while (0)

    switch (s->state) {
    case VALUE: goto value;
    case FIRST_ELEMENT: goto first_element;
    case FIRST_NAME: goto first_name;
    case NAME: goto name;
    case AFTER: goto after;
    default: goto out;
    }

first_element:
    PAUSE(FIRST_ELEMENT);
    p = skip_blanks(p, end);
    if (p < end && *p == ']')
        goto close;
    goto value_here;
value:
    PAUSE(VALUE);
    p = skip_blanks(p, end);
value_here:
    if (unlikely(p == end))
        FAIL(JSON_FAULT_VALUE);
    from = p;
    switch (*p) {
    case '"':
        if (!count_token(s, from) || !(p = skip_string(s, p, end, &rich)))
            goto out;
        what = JSON_STRING;
        break;
    case '-':
    case '0' ... '9':
        if (!count_token(s, from) || !(p = skip_number(s, p, end)))
            goto out;
        what = JSON_NUMBER;
        break;
    case '{':
        if (!count_token(s, from) || !frame_open(s, true, from))
            goto out;
        EMIT(JSON_OBJECT, p, 1);
        p++;
        goto first_name;
    case '[':
        if (!count_token(s, from) || !frame_open(s, false, from))
            goto out;
        EMIT(JSON_ARRAY, p, 1);
        p++;
        goto first_element;
    case 't':
        if (!count_token(s, from))
            goto out;
        if (unlikely(end - p < 4 || !four(p, "true"))) {
            bad_literal(s, p, end, "true");
            goto out;
        }
        p += 4;
        what = JSON_TRUE;
        break;
    case 'f':
        if (!count_token(s, from))
            goto out;
        if (unlikely(end - p < 5 || !four(p + 1, "alse"))) {
            bad_literal(s, p, end, "false");
            goto out;
        }
        p += 5;
        what = JSON_FALSE;
        break;
    case 'n':
        if (!count_token(s, from))
            goto out;
        if (unlikely(end - p < 4 || !four(p, "null"))) {
            bad_literal(s, p, end, "null");
            goto out;
        }
        p += 4;
        what = JSON_NULL;
        break;
    default: FAIL(JSON_FAULT_VALUE);
    }
    EMIT(what, from, p - from);

after:
    PAUSE(AFTER);
    p = skip_blanks(p, end);
    if (s->depth == 0) {
        if (unlikely(p != end))
            FAIL(JSON_FAULT_TRAILING);
        s->state = DONE;
        goto out;
    }
    if (in_object(s)) {
        if (likely(p < end && *p == ',')) {
            p++;
            goto name;
        }
        if (likely(p < end && *p == '}'))
            goto close;
        FAIL(JSON_FAULT_MEMBER_NEXT);
    }
    if (likely(p < end && *p == ',')) {
        p++;
        goto value;
    }
    if (likely(p < end && *p == ']'))
        goto close;
    FAIL(JSON_FAULT_ELEMENT_NEXT);

first_name:
    PAUSE(FIRST_NAME);
    p = skip_blanks(p, end);
    if (p < end && *p == '}')
        goto close;
    if (unlikely(p == end || *p != '"'))
        FAIL(JSON_FAULT_NAME_OR_END);
    goto name_here;
name:
    PAUSE(NAME);
    p = skip_blanks(p, end);
    if (unlikely(p == end || *p != '"'))
        FAIL(JSON_FAULT_NAME);
name_here:
    from = p;
    if (!count_token(s, from) || !(p = skip_string(s, p, end, &rich)))
        goto out;
    if (unlikely(!name_add(s, from, p, rich))) {
        fault(s, JSON_FAULT_MEMORY, from);
        goto out;
    }
    EMIT(JSON_EVENT_NAME, from, p - from);
    p = skip_blanks(p, end);
    if (unlikely(p == end || *p != ':'))
        FAIL(JSON_FAULT_COLON);
    p++;
    goto value;

close:
    /* A close right behind an open bracket has no PAUSE of its own: first_* had one. */
    if (!frame_close(s))
        goto out;
    EMIT(JSON_EVENT_END, p, 1);
    p++;
    goto after;

out:
    s->p = p;
    return count;
#undef EMIT
#undef PAUSE
#undef FAIL
}

/* ------------------------------------------------------------------------------- entry points */

void json_scan_begin(struct json_scan *s, str text, const struct json_limits *limits)
{
    uint32_t depth_max = limits && limits->depth_max ? limits->depth_max : JSON_DEPTH_MAX;
    s->start = s->p = text.len ? text.p : "";
    s->end = s->start + text.len;
    s->state = VALUE;
    s->depth = 0;
    s->depth_max = depth_max < JSON_DEPTH_MAX ? depth_max : JSON_DEPTH_MAX;
    s->tokens_max = limits && limits->tokens_max ? limits->tokens_max : JSON_TOKENS_MAX;
    s->tokens_left = s->tokens_max;
    s->fault = JSON_FAULT_NONE;
    s->fault_at = NULL;
    s->names = s->names_inline;
    s->names_len = 0;
    s->names_cap = JSON_NAMES_INLINE;
}

void json_scan_release(struct json_scan *s)
{
    if (s->names != s->names_inline)
        mem_free(s->names);
    s->names = s->names_inline;
}

static __attribute__((noinline, cold)) kf_rc refuse(struct json_scan *s, struct kf_err *err)
{
    look_back(s);
    s->state = DONE;
    return json_fault_report(s, err);
}

kf_rc json_scan_next(struct json_scan *s, struct json_event *events, size_t max, size_t *ret_count,
                     struct kf_err *err)
{
    size_t count = run(s, true, events, max);
    if (s->fault != JSON_FAULT_NONE)
        return refuse(s, err);
    *ret_count = count;
    return KF_OK;
}

/* What the top value is shows in its first byte. */
static enum json_type type_of(str text)
{
    switch (*skip_blanks(text.p, text.p + text.len)) {
    case '{': return JSON_OBJECT;
    case '[': return JSON_ARRAY;
    case '"': return JSON_STRING;
    case 't': return JSON_TRUE;
    case 'f': return JSON_FALSE;
    case 'n': return JSON_NULL;
    default: return JSON_NUMBER;
    }
}

kf_rc json_check(str text, const struct json_limits *limits, enum json_type *ret_type,
                 struct kf_err *err)
{
    struct json_scan s;
    json_scan_begin(&s, text, limits);
    run(&s, false, NULL, 0);
    kf_rc rc = s.fault == JSON_FAULT_NONE ? KF_OK : refuse(&s, err);
    if (rc == KF_OK && ret_type)
        *ret_type = type_of(text);
    json_scan_release(&s);
    return rc;
}

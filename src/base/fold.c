/* fold: words out of text. The tables (fold_table.def) come from Unicode's data. */
#include "base/fold.h"

#include "base/err.h"
#include "base/json_internal.h"

#include <assert.h>

/* -------------------------------------------------------------------------------------- tables */

enum what { SEPARATOR, WORD, DROPPED, SINGLE };

/* Runs of characters that stand in words; the gaps between them are separators. */
static const struct run {
    uint32_t first;
    uint32_t last : 24, what : 8;
} runs[] = {
#define W                    WORD
#define D                    DROPPED
#define S                    SINGLE
#define R(first, last, what) {first, last, what},
#include "base/fold_table.def"
#undef R
#undef S
#undef D
#undef W
};

/* Characters that stand for others, all of them below U+10000. */
static const struct stand {
    uint16_t code;
    char text[6]; /* UTF-8, NULs behind it */
} stands[] = {
#define F(code, text) {code, text},
#include "base/fold_table.def"
#undef F
};

/* Where the stands of each high byte begin. */
static const uint16_t pages[257] = {
#define P(at) at,
#include "base/fold_table.def"
#undef P
};

static const struct stand *stand_of(uint32_t code)
{
    if (code > 0xFFFF)
        return NULL;
    size_t low = pages[code >> 8], high = pages[(code >> 8) + 1];
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (stands[middle].code == code)
            return &stands[middle];
        if (stands[middle].code < code)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static enum what what_is(uint32_t code)
{
    size_t low = 0, high = sizeof runs / sizeof *runs;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (code < runs[middle].first)
            high = middle;
        else if (code > runs[middle].last)
            low = middle + 1;
        else
            return (enum what)runs[middle].what;
    }
    return SEPARATOR;
}

/* The folded form of an ASCII byte, 0 for a separator. */
static char ascii(char c)
{
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
        return c;
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : '\0';
}

/* --------------------------------------------------------------------------------------- words */

/* A character of the text and what becomes of it. */
struct letter {
    enum what what;
    size_t bytes;
    str text; /* of WORD and SINGLE; in the text or in a table, or in `few` */
    char few;
};

static void read_letter(const char *p, const char *end, struct letter *ret)
{
    if ((signed char)*p >= 0) {
        ret->few = ascii(*p);
        ret->bytes = 1;
        ret->what = ret->few ? WORD : SEPARATOR;
        ret->text = str_make(&ret->few, 1);
        return;
    }
    uint32_t code = 0;
    ret->bytes = str_utf8_first(str_make(p, (size_t)(end - p)), &code);
    if (!ret->bytes) {
        ret->bytes = 1;
        ret->what = SEPARATOR;
        return;
    }
    const struct stand *stand = stand_of(code);
    if (stand) {
        ret->what = WORD;
        ret->text = str_make(stand->text, strnlen(stand->text, sizeof stand->text));
        return;
    }
    ret->what = what_is(code);
    ret->text = str_make(p, ret->bytes);
}

void fold_begin(struct fold_reader *r, str text)
{
    *r = (struct fold_reader){.start = text.p, .p = text.p, .end = text.p};
    if (text.len)
        r->end += text.len;
}

/* Moves to the first character of a word. */
static bool skip_separators(struct fold_reader *r, struct letter *first)
{
    for (; r->p < r->end; r->p += first->bytes) {
        read_letter(r->p, r->end, first);
        if (first->what == WORD || first->what == SINGLE)
            return true;
    }
    return false;
}

bool fold_next(struct fold_reader *r)
{
    struct letter l = {0};
    bool full = false;
    r->len = 0;
    if (!skip_separators(r, &l))
        return false;
    r->from = (size_t)(r->p - r->start);
    bool single = l.what == SINGLE;
    do {
        if (l.what != DROPPED && !full) {
            full = r->len + l.text.len > FOLD_WORD_MAX;
            if (!full) {
                memcpy(r->word + r->len, l.text.p, l.text.len);
                r->len += l.text.len;
            }
        }
        r->p += l.bytes;
        if (r->p == r->end)
            break;
        read_letter(r->p, r->end, &l);
    } while (l.what == DROPPED || (l.what == WORD && !single));
    r->to = (size_t)(r->p - r->start);
    assert(r->len > 0 && r->from < r->to);
    return true;
}

/* ---------------------------------------------------------------------------------------- text */

kf_rc fold_text(str text, struct buf *out, struct kf_err *err)
{
    struct fold_reader r;
    size_t before = out->len;
    fold_begin(&r, text);
    /* A blank before each word and one at the end. */
    while (fold_next(&r) && out->len - before + r.len + 2 <= FOLD_TEXT_MAX) {
        buf_byte(out, ' ');
        buf_add(out, r.word, r.len);
    }
    if (out->len > before)
        buf_byte(out, ' ');
    return json_finish(out, before, KF_OK, err);
}

static void put_string(str raw, struct buf *out)
{
    struct json_unescape u = json_unescape_begin(raw);
    for (str run = json_unescape_next(&u); run.len; run = json_unescape_next(&u))
        buf_str(out, run);
}

kf_rc fold_strings(str json, struct buf *out, struct kf_err *err)
{
    struct json_scan s;
    struct json_event events[64];
    size_t before = out->len, count = 0;
    bool any = false;
    kf_rc rc;
    json_scan_begin(&s, json, &json_limits_none);
    do {
        rc = json_scan_next(&s, events, sizeof events / sizeof *events, &count, err);
        for (size_t i = 0; rc == KF_OK && i < count; i++) {
            if (events[i].what != JSON_STRING)
                continue;
            if (any)
                buf_byte(out, '\n');
            any = true;
            put_string(events[i].raw, out);
        }
    } while (rc == KF_OK && count > 0);
    json_scan_release(&s);
    return json_finish(out, before, rc, err);
}

kf_rc fold_json(str json, struct buf *out, struct kf_err *err)
{
    struct buf text = BUF_INIT;
    kf_rc rc = fold_strings(json, &text, err);
    if (rc == KF_OK)
        rc = fold_text(buf_view(&text), out, err);
    buf_release(&text);
    return rc;
}

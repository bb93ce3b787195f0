/* A stream as it stands, and drafts of what it becomes.
 *
 *     state --draft_begin--> draft --count, ring, attributes--> draft_end --> another state
 *
 * Kinds lie in a state as {u64 count, u8 length, name} one behind the other, sorted by name, so
 * that a stream with two kinds takes some forty bytes for them. */
#include "shape/stream_internal.h"

#include "base/when.h"

/* -------------------------------------------------------------------------------------- states */

struct stream_state *state_keep(struct stream_state *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void state_drop(struct stream_state *s)
{
    if (s && atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) == 1)
        mem_free(s);
}

static size_t data_len(const struct stream_state *s)
{
    return (size_t)s->key_len + 1 + s->rings_len + 1 + s->attrs_len + 1 + s->kinds_len;
}

size_t state_cost(const struct stream_state *s)
{
    return sizeof *s + data_len(s);
}

static const char *kinds_of(const struct stream_state *s)
{
    return state_data(s) + s->key_len + 1 + s->rings_len + 1 + s->attrs_len + 1;
}

bool state_kind(const struct stream_state *s, uint32_t *at, str *ret_kind, uint64_t *ret_count)
{
    const char *p = kinds_of(s) + *at;
    if (*at >= s->kinds_len)
        return false;
    memcpy(ret_count, p, sizeof *ret_count);
    *ret_kind = str_make(p + sizeof *ret_count + 1, (unsigned char)p[sizeof *ret_count]);
    *at += (uint32_t)(sizeof *ret_count + 1 + ret_kind->len);
    return true;
}

void state_kinds_json(const struct stream_state *s, struct buf *out)
{
    uint32_t at = 0;
    uint64_t count;
    str kind;
    const char *before = "{\"";
    while (state_kind(s, &at, &kind, &count)) {
        buf_c(out, before); /* a kind has nothing that would have to be escaped */
        buf_str(out, kind);
        buf_c(out, "\":");
        buf_u64(out, count);
        before = ",\"";
    }
    buf_c(out, at ? "}" : "{}");
}

/* -------------------------------------------------------------------------------------- drafts */

static kf_rc room_for_kinds(struct stream_draft *d, size_t count)
{
    if (!d->kinds) {
        d->kinds = d->few;
        d->kind_cap = STREAM_KINDS_MAX;
    }
    if (count <= d->kind_cap)
        return KF_OK;
    size_t cap = count * 2;
    struct stream_count *p = mem_alloc(cap * sizeof *p);
    if (!p)
        return KF_NOMEM;
    memcpy(p, d->kinds, d->kind_count * sizeof *p);
    if (d->kinds != d->few)
        mem_free(d->kinds);
    d->kinds = p;
    d->kind_cap = cap;
    return KF_OK;
}

kf_rc draft_begin(struct stream_draft *d, const struct stream_state *from, struct kf_err *err)
{
    uint32_t at = 0;
    struct stream_count kind;
    *d = (struct stream_draft){.rings = STR("{}"), .attrs = STR("{}"), .key = state_key(from)};
    d->head.erased_seq = from->head.erased_seq;
    if (!from->head.there)
        return KF_OK;
    d->head = from->head;
    d->rings = state_rings(from);
    d->attrs = state_attrs(from);
    while (state_kind(from, &at, &kind.kind, &kind.count)) {
        if (room_for_kinds(d, d->kind_count + 1) != KF_OK)
            return err_nomem(err);
        d->kinds[d->kind_count++] = kind;
    }
    return KF_OK;
}

void draft_release(struct stream_draft *d)
{
    if (d->kinds != d->few)
        mem_free(d->kinds);
    buf_release(&d->rings_made);
}

/* The place of a kind, or where it would be. */
static size_t find_kind(const struct stream_draft *d, str kind, bool *ret_there)
{
    size_t i = 0;
    while (i < d->kind_count && str_cmp(d->kinds[i].kind, kind) < 0)
        i++;
    *ret_there = i < d->kind_count && str_eq(d->kinds[i].kind, kind);
    return i;
}

kf_rc draft_count(struct stream_draft *d, str kind, size_t size, int64_t at_ms, size_t kinds_max,
                  struct kf_err *err)
{
    bool there;
    size_t i = find_kind(d, kind, &there);
    if (!there && d->kind_count >= kinds_max)
        return err_set(err, PROBLEM_KIND_NOT_ALLOWED,
                       "\"%.*s\" has entries of %zu kinds already, and %zu are the most: name the "
                       "kinds in `streams:` of the configuration",
                       STR_SHOWN(d->key), d->kind_count, kinds_max);
    if (!there && room_for_kinds(d, d->kind_count + 1) != KF_OK)
        return err_nomem(err);
    if (!there) {
        memmove(&d->kinds[i + 1], &d->kinds[i], (d->kind_count - i) * sizeof d->kinds[0]);
        d->kinds[i] = (struct stream_count){kind, 0};
        d->kind_count++;
    }
    d->kinds[i].count++;
    if (!d->head.count || at_ms < d->head.first_at)
        d->head.first_at = at_ms;
    if (!d->head.count || at_ms > d->head.last_at)
        d->head.last_at = at_ms;
    d->head.count++;
    d->head.bytes += size;
    return KF_OK;
}

void draft_uncount(struct stream_draft *d, str kind, size_t size)
{
    bool there;
    size_t i = find_kind(d, kind, &there);
    /* What a damaged row says less than it should stays at nothing; stream_check tells. */
    d->head.count -= d->head.count > 0;
    d->head.bytes -= d->head.bytes < size ? d->head.bytes : size;
    if (!there || --d->kinds[i].count > 0)
        return;
    d->kind_count--;
    memmove(&d->kinds[i], &d->kinds[i + 1], (d->kind_count - i) * sizeof d->kinds[0]);
}

kf_rc draft_kinds(struct stream_draft *d, str json, struct arena *arena)
{
    struct json_node *root;
    d->kind_count = 0;
    kf_rc rc = json_parse(json, NULL, arena, &root, NULL);
    if (rc != KF_OK)
        return rc == KF_NOMEM ? KF_NOMEM : KF_DAMAGED;
    if (root->type != JSON_OBJECT || root->count > STREAM_KINDS_ALL)
        return KF_DAMAGED;
    if (room_for_kinds(d, root->count) != KF_OK)
        return KF_NOMEM;
    for (const struct json_node *n = root->child; n; n = n->next) {
        struct stream_count one = {.kind = json_text(n->name, arena)};
        bool there;
        if (!one.kind.p)
            return KF_NOMEM;
        size_t i = find_kind(d, one.kind, &there);
        if (one.kind.len > STREAM_KIND_MAX || !json_u64(n, &one.count))
            return KF_DAMAGED;
        memmove(&d->kinds[i + 1], &d->kinds[i], (d->kind_count - i) * sizeof d->kinds[0]);
        d->kinds[i] = one;
        d->kind_count++;
    }
    return KF_OK;
}

static char *put_text(char *at, str s)
{
    memcpy(at, s.p, s.len);
    at[s.len] = 0;
    return at + s.len + 1;
}

kf_rc draft_end(const struct stream_draft *d, struct stream_state **ret, struct kf_err *err)
{
    size_t kinds = 0;
    for (size_t i = 0; i < d->kind_count; i++)
        kinds += sizeof(uint64_t) + 1 + d->kinds[i].kind.len;
    size_t len = d->key.len + 1 + d->rings.len + 1 + d->attrs.len + 1 + kinds;
    if (d->rings.len > UINT32_MAX / 4)
        return err_set(err, PROBLEM_TOO_LARGE, "the rings of \"%.*s\" have %zu bytes, at most %u",
                       STR_SHOWN(d->key), d->rings.len, UINT32_MAX / 4);
    struct stream_state *s = mem_alloc(sizeof *s + len);
    if (!s)
        return err_nomem(err);
    *s = (struct stream_state){.key_len = (uint32_t)d->key.len,
                               .rings_len = (uint32_t)d->rings.len,
                               .attrs_len = (uint32_t)d->attrs.len,
                               .kinds_len = (uint32_t)kinds,
                               .head = d->head};
    atomic_init(&s->refs, 1);
    char *at = put_text((char *)(s + 1), d->key);
    at = put_text(put_text(at, d->rings), d->attrs);
    for (size_t i = 0; i < d->kind_count; i++) {
        str kind = d->kinds[i].kind;
        memcpy(at, &d->kinds[i].count, sizeof(uint64_t));
        at[sizeof(uint64_t)] = (char)kind.len;
        memcpy(at + sizeof(uint64_t) + 1, kind.p, kind.len);
        at += sizeof(uint64_t) + 1 + kind.len;
    }
    *ret = s;
    return KF_OK;
}

kf_rc state_bare(str key, struct stream_state **ret, struct kf_err *err)
{
    struct stream_draft d = {.rings = STR(""), .attrs = STR(""), .key = key};
    return draft_end(&d, ret, err);
}

/* --------------------------------------------------------------------------------------- rings
 *
 *     {"product_views":[{"n":7,"at":"2026-11-09T14:23:45.123Z","body":{…}}, …], …}
 *
 * Written anew as a whole: only streams with rings pay for them, and only with entries of their
 * kinds. A body stands three levels deep in it, so one that goes into a ring may be that much less
 * deep (stream_append.c). */

static const struct json_limits ring_limits = {.tokens_max = UINT32_MAX};

static void put_element(struct buf *out, uint64_t n, int64_t at_ms, str body)
{
    char at[WHEN_LEN + 1];
    when_format(at_ms, at);
    buf_c(out, "{\"n\":");
    buf_u64(out, n);
    buf_c(out, ",\"at\":\"");
    buf_c(out, at);
    buf_c(out, "\",\"body\":");
    buf_str(out, body);
    buf_c(out, "}");
}

/* Whether an element stays; ns ascends. */
static bool is_among(const struct json_node *element, const uint64_t *ns, size_t count)
{
    uint64_t n = 0;
    size_t low = 0, high = count;
    if (!json_u64(json_member(element, "n"), &n))
        return false;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (ns[middle] == n)
            return true;
        if (ns[middle] < n)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

static bool is_behind(const struct json_node *element, uint64_t n)
{
    uint64_t own = 0;
    return json_u64(json_member(element, "n"), &own) && own > n;
}

struct ring_entry {
    str ring;
    uint32_t last;
    uint64_t n;
    int64_t at_ms;
    str body;
};

/* By number: the elements of a ring without those in ns, and `add`; the first go that are too many.
 */
static void put_ring(const struct json_node *ring, const struct ring_entry *add, const uint64_t *ns,
                     size_t count, struct buf *out)
{
    const struct json_node *e = ring ? ring->child : NULL;
    bool first = true;
    uint32_t has = ring ? ring->count : 0, skip = add && has >= add->last ? has - add->last + 1 : 0;
    buf_byte(out, '[');
    while (e || add) {
        bool here = add && (!e || is_behind(e, add->n));
        if (skip)
            skip--;
        else if (here || !is_among(e, ns, count)) {
            buf_c(out, first ? "" : ",");
            first = false;
            if (here)
                put_element(out, add->n, add->at_ms, add->body);
            else
                buf_str(out, e->raw);
        }
        if (here)
            add = NULL;
        else
            e = e->next;
    }
    buf_byte(out, ']');
}

/* All rings anew, with `add` (may be NULL) in its ring and without the entries in ns. */
static void put_rings(const struct json_node *root, const struct ring_entry *add,
                      const uint64_t *ns, size_t count, struct buf *out)
{
    bool found = false, first = true;
    buf_byte(out, '{');
    for (const struct json_node *ring = root->child; ring; ring = ring->next) {
        bool mine = add && json_text_is(ring->name, add->ring);
        found = found || mine;
        buf_c(out, first ? "" : ",");
        buf_str(out, ring->name);
        buf_byte(out, ':');
        put_ring(ring, mine ? add : NULL, ns, count, out);
        first = false;
    }
    if (add && !found) {
        buf_c(out, first ? "" : ",");
        buf_json_string(out, add->ring);
        buf_byte(out, ':');
        put_ring(NULL, add, ns, count, out);
    }
    buf_byte(out, '}');
}

static kf_rc remake_rings(struct stream_draft *d, const struct ring_entry *add, const uint64_t *ns,
                          size_t count, struct kf_err *err)
{
    struct arena arena = ARENA_INIT;
    struct json_node *root = NULL;
    struct buf made = BUF_INIT;
    kf_rc rc = json_parse(d->rings, &ring_limits, &arena, &root, err);
    if (rc != KF_OK && rc != KF_NOMEM)
        rc = stream_damaged(d->key, 0, err);
    if (rc == KF_OK) {
        put_rings(root, add, ns, count, &made);
        rc = buf_ok(&made, err);
    }
    arena_release(&arena);
    if (rc != KF_OK) {
        buf_release(&made);
        return rc;
    }
    buf_release(&d->rings_made);
    d->rings_made = made;
    d->rings = buf_view(&d->rings_made);
    d->rings_changed = true;
    return KF_OK;
}

kf_rc draft_ring(struct stream_draft *d, str ring, uint32_t last, uint64_t n, int64_t at_ms,
                 str body, struct kf_err *err)
{
    struct ring_entry add = {ring, last, n, at_ms, body};
    return remake_rings(d, &add, NULL, 0, err);
}

kf_rc draft_unring(struct stream_draft *d, const uint64_t *ns, size_t count, struct kf_err *err)
{
    if (d->rings.len <= 2) /* {} */
        return KF_OK;
    return remake_rings(d, NULL, ns, count, err);
}

/* -------------------------------------------------------------------------------------- errors */

kf_rc stream_damaged(str key, uint64_t n, struct kf_err *err)
{
    if (!n)
        return err_set(err, PROBLEM_DAMAGED,
                       "what is stored of the stream \"%.*s\" is damaged; `keepfast verify` lists "
                       "what is. Bring it back from a backup or a remote",
                       STR_SHOWN(key));
    kf_rc rc = err_set(
        err, PROBLEM_DAMAGED,
        "the stored bytes of entry %llu of \"%.*s\" are damaged; `keepfast verify` lists "
        "what is. Read around it by number, and bring it back from a backup or a remote",
        (unsigned long long)n, STR_SHOWN(key));
    if (err)
        err->entry = n;
    return rc;
}

kf_rc stream_unknown(str key, struct kf_err *err)
{
    return err_set(err, PROBLEM_NOT_FOUND, "there is no stream \"%.*s\"", STR_SHOWN(key));
}

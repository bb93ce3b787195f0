/* The list `streams` of a space:
 *
 *     streams: [ { match, window, kinds, keep: { age, last }, conversation_gap,
 *                  rings: { NAME: { kind, last } } } ] */
#include "base/config_internal.h"

#define WINDOW_MAX 10000
#define RING_MAX   1000
#define RINGS_MAX  16
#define KEEP_MAX   1000000000

bool config_kind_ok(str kind)
{
    if (kind.len == 0 || kind.len > CONFIG_KIND_MAX)
        return false;
    for (size_t i = 0; i < kind.len; i++) {
        char c = kind.p[i];
        bool other = c == '_' || c == '.' || c == '-';
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && !other)
            return false;
    }
    return true;
}

static kf_rc check_kind_name(struct config_reader *r, const struct yaml_node *n, str kind)
{
    if (config_kind_ok(kind))
        return KF_OK;
    return REFUSE(r, n, "\"%.*s\" cannot be a kind: 1 to %d of a-z, 0-9, _, . and -", SHOWN(kind),
                  CONFIG_KIND_MAX);
}

static kf_rc read_match(struct config_reader *r, const struct yaml_node *n, void *target)
{
    struct config_stream *s = target;
    return reader_text(r, n, "match", &s->match);
}

static kf_rc read_window(struct config_reader *r, const struct yaml_node *n, void *target)
{
    struct config_stream *s = target;
    return reader_count(r, n, "window", 0, WINDOW_MAX, &s->window);
}

static kf_rc read_kinds(struct config_reader *r, const struct yaml_node *n, void *target)
{
    struct config_stream *s = target;
    const struct yaml_node *one = n->type == YAML_LIST ? n->child : n;
    kf_rc rc = reader_texts(r, n, "kinds", &s->kinds, &s->kind_count);
    if (rc == KF_OK && s->kind_count > CONFIG_KINDS_MAX)
        rc = REFUSE(r, n, "kinds are at most %d", CONFIG_KINDS_MAX);
    for (size_t i = 0; rc == KF_OK && i < s->kind_count; i++, one = one->next)
        rc = check_kind_name(r, one, s->kinds[i]);
    return rc;
}

static kf_rc read_keep_age(struct config_reader *r, const struct yaml_node *n, void *target)
{
    struct config_stream *s = target;
    return reader_duration(r, n, "age", 1, &s->keep_age_ms);
}

static kf_rc read_keep_last(struct config_reader *r, const struct yaml_node *n, void *target)
{
    struct config_stream *s = target;
    return reader_count(r, n, "last", 1, KEEP_MAX, &s->keep_last);
}

static kf_rc read_keep(struct config_reader *r, const struct yaml_node *n, void *target)
{
    static const struct config_key keys[] = {
        {"age", read_keep_age}, {"last", read_keep_last}, {"versions", NULL}, {0}};
    return reader_map(r, n, "keep", keys, target);
}

static kf_rc read_gap(struct config_reader *r, const struct yaml_node *n, void *target)
{
    struct config_stream *s = target;
    return reader_duration(r, n, "conversation_gap", 1000, &s->gap_ms);
}

/* --------------------------------------------------------------------------------------- rings */

static kf_rc read_ring_kind(struct config_reader *r, const struct yaml_node *n, void *target)
{
    struct config_ring *ring = target;
    kf_rc rc = reader_text(r, n, "kind", &ring->kind);
    return rc == KF_OK ? check_kind_name(r, n, ring->kind) : rc;
}

static kf_rc read_ring_last(struct config_reader *r, const struct yaml_node *n, void *target)
{
    struct config_ring *ring = target;
    return reader_count(r, n, "last", 1, RING_MAX, &ring->last);
}

static kf_rc read_ring(struct config_reader *r, const struct yaml_node *n, struct config_ring *ring)
{
    static const struct config_key keys[] = {
        {"kind", read_ring_kind}, {"last", read_ring_last}, {0}};
    *ring = (struct config_ring){.last = 10};
    if (!config_kind_ok(n->key->text))
        return REFUSE(r, n->key, "\"%.*s\" cannot name a ring: 1 to %d of a-z, 0-9, _, . and -",
                      SHOWN(n->key->text), CONFIG_KIND_MAX);
    kf_rc rc = reader_keep(r, n->key->text, &ring->name);
    if (rc == KF_OK)
        rc = reader_map(r, n, "a ring", keys, ring);
    if (rc == KF_OK && !ring->kind.p)
        rc = REFUSE(r, n->key, "the ring \"%.*s\" has no \"kind\"", STR_ARGS(ring->name));
    return rc;
}

static kf_rc read_rings(struct config_reader *r, const struct yaml_node *n, void *target)
{
    struct config_stream *s = target;
    if (n->type != YAML_MAP)
        return REFUSE(r, n, "rings is a map of names");
    if (n->count > RINGS_MAX)
        return REFUSE(r, n, "rings are at most %d", RINGS_MAX);
    s->rings = arena_alloc(&r->c->arena, n->count * sizeof *s->rings);
    if (!s->rings)
        return err_nomem(r->err);
    for (const struct yaml_node *one = n->child; one; one = one->next) {
        kf_rc rc = read_ring(r, one, &s->rings[s->ring_count]);
        if (rc != KF_OK)
            return rc;
        s->ring_count++;
    }
    return KF_OK;
}

/* A ring of a kind that no entry can have would stay empty for ever. */
static kf_rc check_rings(struct config_reader *r, const struct yaml_node *n,
                         const struct config_stream *s)
{
    for (size_t i = 0; s->kind_count && i < s->ring_count; i++)
        if (!config_stream_kind(s, s->rings[i].kind))
            return REFUSE(r, reader_value(n, "rings"),
                          "the ring \"%.*s\" is of kind \"%.*s\", which is not among kinds",
                          STR_ARGS(s->rings[i].name), STR_ARGS(s->rings[i].kind));
    return KF_OK;
}

/* ------------------------------------------------------------------------------------- the list */

static kf_rc read_stream(struct config_reader *r, const struct yaml_node *n,
                         struct config_stream *s)
{
    static const struct config_key keys[] = {{"match", read_match},
                                             {"window", read_window},
                                             {"kinds", read_kinds},
                                             {"keep", read_keep},
                                             {"conversation_gap", read_gap},
                                             {"rings", read_rings},
                                             {0}};
    *s = CONFIG_STREAM_DEFAULT;
    kf_rc rc = reader_map(r, n, "an entry of streams", keys, s);
    if (rc == KF_OK && !s->match.p)
        rc = REFUSE(r, n, "this entry of streams has no \"match\"");
    return rc == KF_OK ? check_rings(r, n, s) : rc;
}

kf_rc config_read_streams(struct config_reader *r, const struct yaml_node *n, void *target)
{
    struct config_space *space = target;
    if (n->type != YAML_LIST)
        return REFUSE(r, n, "streams is a list of entries with \"match\"");
    space->streams = arena_alloc(&r->c->arena, n->count * sizeof *space->streams);
    if (!space->streams)
        return err_nomem(r->err);
    for (const struct yaml_node *one = n->child; one; one = one->next) {
        kf_rc rc = read_stream(r, one, &space->streams[space->stream_count]);
        if (rc != KF_OK)
            return rc;
        space->stream_count++;
    }
    return KF_OK;
}

/* ------------------------------------------------------------------------------------- looking */

const struct config_stream *config_stream(const struct config_space *space, str key)
{
    static const struct config_stream none = CONFIG_STREAM_DEFAULT_INIT;
    for (size_t i = 0; space && i < space->stream_count; i++) {
        if (str_glob(space->streams[i].match, key))
            return &space->streams[i];
    }
    return &none;
}

bool config_stream_kind(const struct config_stream *s, str kind)
{
    for (size_t i = 0; i < s->kind_count; i++)
        if (str_eq(s->kinds[i], kind))
            return true;
    return s->kind_count == 0;
}

/* Members: attributes as stores exchange them, a row for each name that was ever set. The object in
 * kf_stream is what those say that are not removed.
 *
 * Stamps of members are beside those of entries: a patch is later than what it changes, whatever
 * clock has written that, and so may be far ahead of what this site appends. */
#include "shape/stream_internal.h"

#include "store/clock.h"

kf_rc member_put(struct db *db, str key, const struct member_row *m, struct kf_err *err)
{
    static const char sql[] =
        "INSERT INTO kf_stream_member(key, name, stamp, site, value) VALUES($1, $2, $3, $4, $5) "
        "ON CONFLICT(key, name) DO UPDATE SET stamp = excluded.stamp, site = excluded.site, "
        "value = excluded.value";
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, key);
    db_bind_text(s, 2, m->name);
    db_bind_i64(s, 3, m->stamp);
    db_bind_text(s, 4, m->site);
    db_bind_text(s, 5, m->value);
    return db_run(s, err);
}

kf_rc members_stamp(struct db *db, str key, int64_t *ret, struct kf_err *err)
{
    static const char sql[] = "SELECT max(stamp) FROM kf_stream_member WHERE key = $1";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, key);
    rc = db_step(s, &row, err);
    if (rc == KF_OK)
        *ret = row && !db_null(s, 0) ? db_i64(s, 0) : 0;
    db_done(s);
    return rc;
}

kf_rc members_remove(struct group *g, str key, struct kf_err *err)
{
    static const char sql[] = "UPDATE kf_stream_member SET value = NULL, stamp = $1, site = $2 "
                              "WHERE key = $3 AND value IS NOT NULL";
    int64_t stamp = group_stamp(g), latest = 0;
    struct db_stmt *s;
    kf_rc rc = members_stamp(group_db(g), key, &latest, err);
    if (rc == KF_OK)
        rc = db_use(group_db(g), sql, &s, err);
    if (rc != KF_OK)
        return rc;
    if (stamp <= latest)
        stamp = latest < CLOCK_STAMP_MAX ? latest + 1 : CLOCK_STAMP_MAX;
    db_bind_i64(s, 1, stamp);
    db_bind_text(s, 2, str_of(group_site(g)));
    db_bind_text(s, 3, key);
    return db_run(s, err);
}

kf_rc member_check(str name, struct kf_err *err)
{
    if (str_index(name, '\0') < name.len)
        return err_set(err, PROBLEM_BAD_ARCHIVE, "the name of an attribute has a NUL byte");
    if (name.len > STREAM_NAME_MAX)
        return err_set(err, PROBLEM_TOO_LARGE,
                       "the name of an attribute has %zu bytes, at most %d can be kept", name.len,
                       STREAM_NAME_MAX);
    return KF_OK;
}

static const struct json_node *named(const struct json_node *object, str name)
{
    const struct json_node *n = object->child;
    while (n && !json_text_is(n->name, name))
        n = n->next;
    return n;
}

kf_rc members_patch(struct group *g, str key, str patch, str before, str after, int64_t stamp,
                    struct kf_err *err)
{
    struct arena arena = ARENA_INIT;
    struct json_node *p = NULL, *b = NULL, *a = NULL;
    kf_rc rc = json_parse(patch, NULL, &arena, &p, err);
    if (rc == KF_OK)
        rc = json_parse(before, &attrs_limits, &arena, &b, err);
    if (rc == KF_OK)
        rc = json_parse(after, &attrs_limits, &arena, &a, err);
    for (const struct json_node *n = rc == KF_OK ? p->child : NULL; n && rc == KF_OK; n = n->next) {
        str name = json_text(n->name, &arena);
        if (!name.p) {
            rc = err_nomem(err);
            break;
        }
        const struct json_node *was = named(b, name), *is = named(a, name);
        struct member_row m = {.name = name, .site = str_of(group_site(g)), .stamp = stamp};
        if (is)
            m.value = is->raw;
        if (is && !was)
            rc = member_check(name, err);
        if (rc == KF_OK && (is || was) && (!is || !was || !str_eq(is->raw, was->raw)))
            rc = member_put(group_db(g), key, &m, err);
    }
    arena_release(&arena);
    return rc;
}

struct object {
    struct buf *out;
    bool any;
};

static kf_rc add_member(void *ctx, const struct member_row *m, struct kf_err *err)
{
    struct object *o = ctx;
    if (!m->value.p)
        return KF_OK;
    buf_c(o->out, o->any ? "," : "");
    buf_json_string(o->out, m->name);
    buf_byte(o->out, ':');
    buf_str(o->out, m->value);
    o->any = true;
    return buf_ok(o->out, err);
}

kf_rc members_object(struct db *db, str key, struct buf *out, struct kf_err *err)
{
    struct object o = {.out = out};
    buf_byte(out, '{');
    kf_rc rc = stream_members(db, key, add_member, &o, err);
    buf_byte(out, '}');
    return rc == KF_OK ? buf_ok(out, err) : rc;
}

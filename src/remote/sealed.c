/* The connection: its keys, its positions, and the calls of a remote.
 *
 * Position: "sealed ID POSITION"; "sealed ID+POSITION" while something was left under the old key:
 * then everything is offered again to whoever still has that key, for the push that takes it away
 * may be another run's than the pull that found it. */
#include "remote/sealed_internal.h"

#include "base/err.h"
#include "base/mem.h"

#define MARK "sealed "

static struct sealed *sealed_of(struct remote *r)
{
    return (struct sealed *)r;
}

/* ----------------------------------------------------------------------------------------- keys */

static struct seal_source source_of(const struct remote_place *p)
{
    return (struct seal_source){p->key_file, p->key_env};
}

static struct seal_source old_source_of(const struct remote_place *p)
{
    return (struct seal_source){p->old_key_file, p->old_key_env};
}

bool sealed_wanted(const struct remote_place *place)
{
    return place->key_file.len || place->key_env.len;
}

kf_rc sealed_check(const struct remote_place *place, struct kf_err *err)
{
    struct seal_source old = old_source_of(place);
    if ((place->key_file.len && place->key_env.len) || (old.file.len && old.variable.len))
        return err_set(err, PROBLEM_CONFIG,
                       "a key is named twice, by file and by variable: leave "
                       "one out");
    if (seal_source_named(&old) && !sealed_wanted(place))
        return err_set(err, PROBLEM_CONFIG,
                       "an old key is named and no new one: name the new one as key_file or "
                       "key_env");
    return KF_OK;
}

kf_rc sealed_id(const struct env *env, const struct remote_place *place, char ret_id[SEAL_ID + 1],
                struct kf_err *err)
{
    struct seal_source source = source_of(place);
    struct seal_key *key = NULL;
    ret_id[0] = '\0';
    if (!sealed_wanted(place))
        return KF_OK;
    kf_rc rc = seal_key_load(env, &source, &key, err);
    if (rc == KF_OK)
        memcpy(ret_id, seal_key_id(key), SEAL_ID + 1);
    seal_key_free(key);
    return rc;
}

const char *sealed_key_of(const struct remote *r)
{
    const struct sealed *s = (const struct sealed *)r;
    return s->now ? seal_key_id(s->now) : "";
}

/* ------------------------------------------------------------------------------------ positions */

bool sealed_position_fits(str position, const char *id)
{
    bool marked = str_starts(position, STR(MARK));
    if (position.len == 0 || !*id)
        return !marked;
    str rest = str_from(position, sizeof(MARK) - 1);
    return marked && rest.len > SEAL_ID && memcmp(rest.p, id, SEAL_ID) == 0 &&
           (rest.p[SEAL_ID] == ' ' || rest.p[SEAL_ID] == '+');
}

/* Of a position that fits: something was left under the old key. */
static bool says_left(str position)
{
    str rest = str_from(position, sizeof(MARK) - 1 + SEAL_ID);
    return str_starts(position, STR(MARK)) && str_starts(rest, STR("+"));
}

static kf_rc check_position(const struct sealed *s, str position, str *ret_inner,
                            struct kf_err *err)
{
    if (!sealed_position_fits(position, sealed_key_of(&s->remote)))
        return err_set(err, PROBLEM_INTERNAL, "a position of another key came to a place");
    *ret_inner = s->now ? str_from(position, sizeof(MARK) + SEAL_ID) : position;
    return KF_OK;
}

/* `before`: the position that this one follows. */
static void put_position(const struct sealed *s, str before, str inner, struct buf *out)
{
    bool left = s->left.count > 0 || (says_left(before) && !s->looked);
    if (s->now && inner.len)
        buf_printf(out, MARK "%s%c", seal_key_id(s->now), left ? '+' : ' ');
    buf_str(out, inner);
}

/* ------------------------------------------------------------------------------------ the calls */

/* What each call begins with: what the wrapper set after it opened us is the inner one's, too. */
static struct sealed *begin(struct remote *r)
{
    struct sealed *s = sealed_of(r);
    s->inner->log = s->remote.log;
    s->inner->call_ms = s->remote.call_ms;
    s->inner->body_max = s->now && s->remote.body_max ? SEAL_ROOM(s->remote.body_max)
                                                      : s->remote.body_max;
    s->inner->stop = s->remote.stop;
    return s;
}

/* What the place asked for, what time it said it was, and the answer. */
static kf_rc told(struct sealed *s, kf_rc rc)
{
    s->remote.retry_ms = s->inner->retry_ms;
    s->remote.clock = s->inner->clock;
    return rc;
}

static void close_sealed(struct remote *r)
{
    struct sealed *s = sealed_of(r);
    if (!s)
        return;
    if (s->inner)
        s->inner->driver->close(s->inner);
    seal_key_free(s->now);
    seal_key_free(s->old);
    arena_release(&s->arena);
    mem_free(s->left.p);
    mem_free(s->removed.p);
    mem_free(s);
}

static kf_rc probe(struct remote *r, struct kf_err *err)
{
    struct sealed *s = begin(r);
    return told(s, s->inner->driver->probe(s->inner, err));
}

static kf_rc look(struct remote *r, int64_t *ret_stamp, struct kf_err *err)
{
    struct sealed *s = begin(r);
    return told(s, s->inner->driver->look(s->inner, ret_stamp, err));
}

static kf_rc is_public(struct remote *r, bool *ret, struct kf_err *err)
{
    struct sealed *s = begin(r);
    return told(s, s->inner->driver->is_public(s->inner, ret, err));
}

static kf_rc pull(struct remote *r, str since, bool all, struct remote_sink *sink,
                  struct buf *position, struct kf_err *err)
{
    struct sealed *s = begin(r);
    struct buf after = BUF_INIT;
    str before = STR("");
    kf_rc rc = check_position(s, since, &before, err);
    if (rc != KF_OK)
        return rc;
    all |= s->old && says_left(since);
    s->looked = s->old && (all || before.len == 0);
    rc = told(s, sealed_pull(s, before, all, sink, &after, err));
    if (rc == KF_OK)
        rc = buf_ok(&after, err);
    if (rc == KF_OK) {
        put_position(s, since, buf_view(&after), position);
        rc = buf_ok(position, err);
    }
    buf_release(&after);
    return rc;
}

static kf_rc push(struct remote *r, str on, struct remote_set *set, struct buf *position,
                  struct remote_pushed *ret, struct kf_err *err)
{
    struct sealed *s = begin(r);
    struct buf after = BUF_INIT;
    str before = STR("");
    kf_rc rc = check_position(s, on, &before, err);
    if (rc == KF_OK)
        rc = told(s, s->now ? sealed_push(s, before, set, &after, ret, err)
                            : s->inner->driver->push(s->inner, before, set, &after, ret, err));
    if (rc == KF_OK)
        rc = buf_ok(&after, err);
    if (rc == KF_OK) {
        put_position(s, on, buf_view(&after), position);
        rc = buf_ok(position, err);
    }
    buf_release(&after);
    return rc;
}

static kf_rc verify(struct remote *r, struct remote_sink *sink, struct kf_err *err)
{
    struct sealed *s = begin(r);
    return told(s, sealed_verify(s, sink, err));
}

static kf_rc repair(struct remote *r, const struct remote_doc *doc, struct kf_err *err)
{
    struct sealed *s = begin(r);
    return told(s,
                s->now ? sealed_repair(s, doc, err) : s->inner->driver->repair(s->inner, doc, err));
}

static kf_rc versions(struct remote *r, struct remote_history *h, bool *ret_more,
                      struct kf_err *err)
{
    struct sealed *s = begin(r);
    return told(s, s->now ? sealed_past(s, s->now, h, ret_more, err)
                          : s->inner->driver->versions(s->inner, h, ret_more, err));
}

/* One from before a key change stands under the name that the old key gave. */
static kf_rc version(struct remote *r, struct remote_history *h, struct kf_err *err)
{
    struct sealed *s = begin(r);
    if (!s->now)
        return told(s, s->inner->driver->version(s->inner, h, err));
    kf_rc rc = sealed_past(s, s->now, h, NULL, err);
    if (rc == KF_ABSENT && s->old)
        rc = sealed_past(s, s->old, h, NULL, err);
    return told(s, rc);
}

/* -------------------------------------------------------------------------------------- opening */

static kf_rc load_keys(struct sealed *s, const struct remote_place *place, struct kf_err *err)
{
    struct seal_source now = source_of(place), old = old_source_of(place);
    kf_rc rc = sealed_check(place, err);
    if (rc == KF_OK && sealed_wanted(place))
        rc = seal_key_load(s->remote.env, &now, &s->now, err);
    if (rc == KF_OK && seal_source_named(&old))
        rc = seal_key_load(s->remote.env, &old, &s->old, err);
    if (rc == KF_OK && s->old && strcmp(seal_key_id(s->old), seal_key_id(s->now)) == 0) {
        seal_key_free(s->old);
        s->old = NULL;
    }
    return rc;
}

kf_rc sealed_open(const struct remote_driver *driver, const struct env *env,
                  const struct remote_place *place, struct remote **ret, struct kf_err *err)
{
    struct sealed *s = mem_calloc(1, sizeof(*s));
    if (!s)
        return err_nomem(err);
    s->driver = (struct remote_driver){
        .kind = driver->kind,
        .prefixes = driver->prefixes,
        .caps = driver->caps,
        .open = driver->open,
        .close = close_sealed,
        .probe = probe,
        .look = look,
        .pull = pull,
        .push = push,
        .verify = verify,
        .repair = repair,
        .versions = driver->versions ? versions : NULL,
        .version = driver->version ? version : NULL,
        .is_public = driver->is_public ? is_public : NULL,
    };
    s->remote = (struct remote){.driver = &s->driver, .env = env};
    kf_rc rc = load_keys(s, place, err);
    if (s->old) /* a push must know what it takes away */
        s->driver.caps &= ~(unsigned)REMOTE_PUSH_FIRST;
    if (rc == KF_OK)
        rc = driver->open(env, place, &s->inner, err);
    if (rc != KF_OK) {
        close_sealed(&s->remote);
        return rc;
    }
    *ret = &s->remote;
    return KF_OK;
}

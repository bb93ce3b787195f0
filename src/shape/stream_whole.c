/* Whether rows of streams are such as were written.
 *
 * A hash covers the bytes of a body and nothing beside them. What stands beside them is held
 * against what it can be, and against what it follows from: of an entry that was appended here the
 * time is that of its stamp unless `timed` says that it has one of its own; its number is none that
 * its stream has not given; a twin has that of the store. So a bit that flips there is found by
 * whoever reads the row, and costs that row alone: what a reader at another place would refuse is
 * not sent there in the first place, in one file with what is good.
 *
 * A letter of a kind that became another letter, or another moment of one that a client told, is
 * not found here. `stream_check.c` compares what stands twice. */
#include "shape/stream_internal.h"

#include "store/clock.h"

bool site_is_whole(str site)
{
    return str_is_hex(site, STREAM_SITE_LEN);
}

static bool stamp_is_whole(int64_t stamp)
{
    return stamp > 0 && stamp <= CLOCK_STAMP_MAX;
}

static bool time_is_whole(int64_t at_ms)
{
    return at_ms >= 0 && at_ms <= clock_stamp_ms(CLOCK_STAMP_MAX);
}

static bool text_is_whole(str s, size_t max)
{
    return s.len <= max && str_utf8_valid(s) == s.len && str_index(s, '\0') == s.len;
}

/* -------------------------------------------------------------------------------------- entries */

void entry_facts(struct db_stmt *s, struct entry_row *ret)
{
    int64_t stream = db_i64(s, 0);
    *ret = (struct entry_row){
        .stream = stream < 0 ? -stream : stream,
        .twin = stream < 0,
        .n = (uint64_t)db_i64(s, 1),
        .seq = db_i64(s, 2),
        .stamp = db_i64(s, 3),
        .at_ms = db_i64(s, 4),
        .site = db_text(s, 5),
        .id = db_text(s, 6),
        .kind = db_text(s, 7),
        .hash = db_text(s, 8),
        .attach = db_text(s, 9),
        .attached = !db_null(s, 9),
        .size = (size_t)db_i64(s, 10),
        .taken = db_i64(s, 11),
        .timed = db_i64(s, 12),
        .behind = db_null(s, 13) ? STREAM_OWN : db_i64(s, 13),
        .last_n = (uint64_t)db_i64(s, 14),
    };
}

static bool number_is_whole(const struct entry_row *e)
{
    if (e->seq <= 0)
        return false;
    return e->twin ? e->n == (uint64_t)e->seq
                   : e->n > 0 && e->n <= STREAM_N_MAX && e->n <= e->last_n;
}

/* How it is found (stream_order.c). */
static bool place_is_whole(const struct entry_row *e)
{
    bool prompt = e->at_ms == clock_stamp_ms(e->stamp);
    if (e->taken == 1)
        return e->timed == 1 && e->behind >= 0 && e->behind <= CLOCK_STAMP_MAX;
    return e->taken == 0 && e->behind == STREAM_OWN && e->timed == !prompt;
}

static const char *wrong_entry(const struct entry_row *e)
{
    if (!number_is_whole(e))
        return "its number is none that it can have";
    if (!site_is_whole(e->site) || !stamp_is_whole(e->stamp))
        return "its site or stamp is none that can be";
    if (!time_is_whole(e->at_ms) || !place_is_whole(e))
        return "its time is not that of its stamp";
    if (!text_is_whole(e->id, STREAM_ID_MAX) || (e->twin && !e->id.len))
        return "its id is none that can be";
    if (e->kind.len && !config_kind_ok(e->kind))
        return "its kind is none that can be";
    if (e->attached && !str_is_hex(e->attach, HASH_HEX))
        return "the hash of its attachment is none";
    if (e->body.p && (e->body.len != e->size || !doc_hash_fits(e->body, e->hash)))
        return "its bytes do not match their hash";
    return NULL;
}

bool entry_is_whole(struct entry_row *e)
{
    e->wrong = KF_SABOTAGE("skip-hash-check") ? NULL : wrong_entry(e);
    e->damaged = e->wrong != NULL;
    return !e->damaged;
}

/* ---------------------------------------------------------------------- what stands beside them */

bool once_is_whole(const struct once_row *o)
{
    return o->id.len && text_is_whole(o->id, STREAM_ID_MAX) && o->n > 0 && o->n <= STREAM_N_MAX &&
           time_is_whole(o->at_ms) &&
           (str_is_hex(o->asked, HASH_HEX / 2) || str_is_hex(o->asked, HASH_HEX));
}

bool erased_is_whole(const struct erased_row *e)
{
    return site_is_whole(e->site) && stamp_is_whole(e->stamp) && time_is_whole(e->at_ms);
}

kf_rc member_is_whole(const struct member_row *m, bool *ret, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    *ret = site_is_whole(m->site) && stamp_is_whole(m->stamp) &&
           text_is_whole(m->name, STREAM_NAME_MAX);
    if (*ret && m->value.p)
        rc = json_check(m->value, NULL, NULL, NULL);
    if (rc == KF_NOMEM)
        return err_nomem(err);
    *ret = *ret && rc == KF_OK;
    return KF_OK;
}

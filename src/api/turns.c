/* Turns: when a database may be asked, which does not answer or in which a space is slow. Of a
 * folder all may be asked at any time. On the loop of the stores.
 *
 * A database that is away is not asked again for twice what that has taken, AWAY_MOST_MS at most,
 * so that who comes meanwhile is told at once; what it does answer ends that.
 *
 * A space that could not be had in time, because somebody holds a lock there, is slow until it was
 * had. It is paused for in the same way, and slow spaces together have all errands but one: those
 * that are not slow do not wait for those that are. */
#include "api/api_internal.h"

#include "base/hooks.h"

#define PAUSE_LEAST_MS 250
#define PAUSE_MOST_MS  2000 /* and with what asking takes it is in use within 5 s of its return */

static bool is_of(const struct kf_err *err, enum problem problem)
{
    return problem_find(err->code) == &problem_table[problem];
}

static int64_t pause_until(const struct api *api, int64_t began_ms)
{
    int64_t now_ms = env_mono_ms(api->o.env), pause_ms = PAUSE_LEAST_MS + 2 * (now_ms - began_ms);
    return now_ms + (pause_ms < PAUSE_MOST_MS ? pause_ms : PAUSE_MOST_MS);
}

/* -------------------------------------------------------------------------------- slow spaces */

static struct slow_space *slow_of(struct api_home *home, str name)
{
    for (size_t i = 0; i < API_SLOW_SPACES; i++)
        if (name.len && str_is(name, home->slow[i].name))
            return &home->slow[i];
    return NULL;
}

bool space_is_slow(struct api_home *home, str name)
{
    return slow_of(home, name) != NULL;
}

/* Of more than there is room for, that is forgotten which may be asked the soonest. */
static void note_slow(struct api *api, str name, int64_t began_ms)
{
    struct api_home *home = api->home;
    struct slow_space *s = slow_of(home, name);
    for (size_t i = 0; !s && i < API_SLOW_SPACES; i++)
        if (!home->slow[i].name[0])
            s = &home->slow[i];
    for (size_t i = 0; !s && i < API_SLOW_SPACES; i++)
        if (!s || home->slow[i].until_ms < s->until_ms)
            s = &home->slow[i];
    s->until_ms = pause_until(api, began_ms);
    snprintf(s->name, sizeof s->name, "%.*s", STR_ARGS(name));
}

/* -------------------------------------------------------------------------------------- asking */

kf_rc spaces_may_ask(const struct api *api, struct kf_err *err)
{
    if (!db_is_url(api->o.data_dir) || env_mono_ms(api->o.env) >= api->home->away_until_ms)
        return KF_OK;
    KF_SOMETIMES("database-not-asked");
    return err_set(err, PROBLEM_STORE_UNAVAILABLE,
                   "the database of this server cannot be reached; it is tried again by itself");
}

kf_rc space_may_ask(const struct api *api, str name, struct kf_err *err)
{
    const struct slow_space *s = slow_of(api->home, name);
    if (!s || env_mono_ms(api->o.env) >= s->until_ms)
        return spaces_may_ask(api, err);
    KF_SOMETIMES("slow-space-not-asked");
    return err_set(err, PROBLEM_BUSY,
                   "others hold this space in the database; try again in a few seconds");
}

void spaces_note_asked(struct api *api, str name, int64_t began_ms, kf_rc rc,
                       const struct kf_err *err)
{
    struct slow_space *s = slow_of(api->home, name);
    if (!db_is_url(api->o.data_dir))
        return;
    if (rc == KF_OK || rc == KF_ABSENT) {
        api->home->away_until_ms = 0;
        if (s)
            s->name[0] = '\0';
    } else if (is_of(err, PROBLEM_STORE_UNAVAILABLE)) {
        api->home->away_until_ms = pause_until(api, began_ms);
    } else if (is_of(err, PROBLEM_BUSY) && name.len) {
        note_slow(api, name, began_ms);
    }
}

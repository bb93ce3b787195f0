/* The router without memory: each allocation of each request fails once, and all from it on. */
#include "api_rig.h"

/* ------------------------------------------------------------------------------- lack of memory */

struct scarce {
    long left;
    bool sticky;
    long fired;
};

static bool scarce_hook(void *ctx, size_t size)
{
    struct scarce *s = ctx;
    (void)size;
    s->left--;
    if (s->left > 0 || (s->left < 0 && !s->sticky))
        return true;
    s->fired++;
    return false;
}

static const char *etag_line(const struct door *d)
{
    const char *at = strstr(d->headers, "ETag: ");
    return at ? at : "";
}

/* An erasure takes thousands of allocations, more with each that was before it, and so does a look
 * at everything, most of them in the database's own index of words: the first are enough here,
 * oom_streams.c has all. */
#define LONG_MAX_TRIES 400
static bool is_long(const struct request *r)
{
    return r->route == ROUTE_STREAM_ERASE || r->route == ROUTE_PERSON_ERASE ||
           r->route == ROUTE_VERIFY;
}

/* To make a store takes ten thousand allocations, each time: oom.c fails each of them. */
static bool makes_a_store(const struct request *r)
{
    return r->route == ROUTE_RESTORE || r->route == ROUTE_SPACE_PUT;
}

/* The answer without memory is the one with memory, or says that there was none. */
static void judge(const struct request *r, const struct scarce *s, long n)
{
    bool refused = door.status == 503 &&
                   (door.len == 0 || strcmp(member(&door, "code"), "no_memory") == 0);
    if (door.status == 0 || (s->fired && (refused || (door.ends && !door.ok))))
        return;
    const char *what = NULL;
    if (door.status != kept.status)
        what = "another status";
    else if (r->steady && (door.len != kept.len || memcmp(door.body, kept.body, door.len) != 0))
        what = "another body";
    else if (r->steady && strcmp(door.headers, kept.headers) != 0)
        what = "other headers";
    else if ((*etag_line(&door) != '\0') != (*etag_line(&kept) != '\0'))
        what = "no ETag";
    if (what)
        fail_msg("%s %s, allocation %ld%s: %s: %d\n%s%s", route_method_name(info_of(r)->method),
                 r->target, n, s->sticky ? " and all later ones" : "", what, door.status,
                 door.headers, door.body);
}

static long starve(const struct request *r, bool sticky, long stride)
{
    long fired = 0;
    for (long n = 1;; n += stride) {
        struct scarce s = {.left = n, .sticky = sticky};
        if (!*unmatched)
            lay_out_for(r);
        mem_set_hook(scarce_hook, &s);
        ask_request(r, info_of(r)->method);
        while (api_busy(rig.api))
            loop_turn(rig.loop, 50);
        mem_set_hook(NULL, NULL);
        judge(r, &s, n);
        fired += s.fired;
        if (!s.fired || (is_long(r) && n > LONG_MAX_TRIES))
            return fired;
    }
}

static void a_follower_without_memory_is_answered(void **unused)
{
    (void)unused;
    rig_enter(OPEN);
    peer = API_PEER_UNIX;
    ask_request(&following, API_GET);
    kept = door;
    for (int sticky = 0; sticky < 2; sticky++)
        for (long n = 1, fired = 1; fired; n++) {
            struct scarce s = {.left = n, .sticky = sticky};
            mem_set_hook(scarce_hook, &s);
            ask_request(&following, API_GET);
            while (api_busy(rig.api))
                loop_turn(rig.loop, 50);
            mem_set_hook(NULL, NULL);
            judge(&following, &s, n);
            fired = s.fired;
        }
    peer = API_PEER_SELF;
    rig_close();
}

/* The memory of a call comes in blocks; a header of the client's choice moves what stands at their
 * ends, so that each part of an answer is once the one for which there is no room. */
static void any_part_may_lack_room(void **unused)
{
    static const enum route routes[] = {ROUTE_DOC_GET, ROUTE_SPACES, ROUTE_DOC_DIFF,
                                        ROUTE_REMOTE_PROBE};
    (void)unused;
    rig_enter(OPEN);
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
        for (size_t len = 3000; len < sizeof unmatched - 1; len += 16) {
            memset(unmatched, 'x', len);
            unmatched[len] = '\0';
            ask_request(&requests[routes[i]], info_of(&requests[routes[i]])->method);
            kept = door;
            starve(&requests[routes[i]], false, 1);
        }
    unmatched[0] = '\0';
    rig_close();
}

static void each_allocation_may_fail(void **unused)
{
    (void)unused;
    const char *longer = getenv("KEEPFAST_LONG");
    bool all = longer && *longer == '1';
    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        const struct request *r = &requests[i];
        rig_enter(OPEN);
        ask_request(r, info_of(r)->method);
        kept = door;
        long stride = makes_a_store(r) && !all ? 97 : 1;
        long fired = starve(r, false, stride) + starve(r, true, stride);
        print_message("# %s %s: %ld allocations failed\n", route_method_name(info_of(r)->method),
                      r->target, fired);
        rig_close();
    }
}

TESTING_SABOTEUR(answer_without_etag, "answer-without-etag", any_part_may_lack_room)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_follower_without_memory_is_answered),
        cmocka_unit_test(each_allocation_may_fail),
        cmocka_unit_test(any_part_may_lack_room),
        cmocka_unit_test(saboteur_answer_without_etag),
    };
    testing_only(argc, argv);
    return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}

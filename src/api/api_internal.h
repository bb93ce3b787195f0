/* What the files of src/api share: the call in progress, the spaces, the answers.
 *
 *   api.c       the routers, and what they share           route.c    target -> route, parameters
 *   request.c   a head and a body, taken in                call.c     a call's life, work, waits
 *   answer.c    answers and problems                       spaces.c   names -> open stores
 *   once.c      keys of writes that take long              confirm.c  levels, waits for remotes
 *   own.c       lists for who is shown some names only     entries.c  bodies of appends
 *   follow.c    calls that wait for an entry        errands.c  what may wait for a database
 *   turns.c     when a database may be asked        unasked.c  spaces opened without a request
 *   auth.c      whose request it is                        tokens.c   who may do what, kept
 *   res_*.c     one file per resource                      openapi.c  the tables as text
 *   page_files  web/, made at build time
 *   direct.c    the door without a socket */
#ifndef KF_API_API_INTERNAL_H
#define KF_API_API_INTERNAL_H

#include "api/api.h"
#include "api/auth.h"
#include "move/backup.h"
#include "remote/remotes.h"
#include "shape/doc.h"
#include "shape/stream.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/when.h"
#include "store/store.h"

#include <assert.h>
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define API_LIST_DEFAULT       100
#define API_LIST_MAX           1000
#define API_QUERY_MAX          16
#define API_ANSWER_HEADERS_MAX 12
/* Spaces that one server has open at a time: each has its file, its connections and its cache. */
#define API_SPACES_MAX   512
#define API_ONCE_LISTS   256
#define API_FOLLOW_LISTS 256
#define API_SLOW_SPACES  32 /* that are remembered */

/* ------------------------------------------------------------------------------------- routes */

enum route {
#define R(id, method, pattern, body, handler, query, right, summary) ROUTE_##id,
#include "api/routes.def"
#undef R
    ROUTE_COUNT,
    ROUTE_NONE = ROUTE_COUNT
};
enum route_body { BODY_NONE, BODY_JSON, BODY_DOC, BODY_STREAM };

typedef void api_handler(struct api_call *c);
struct route_info {
    const char *id;
    enum api_method method;
    const char *pattern;
    enum route_body body;
    api_handler *handle;
    const char *query, *right, *summary;
};
extern const struct route_info route_table[ROUTE_COUNT];
const char *route_method_name(enum api_method m);
/* What a parameter of a query means (openapi.c). */
struct parameter_info {
    const char *name, *type, *help;
};
extern const struct parameter_info parameter_table[];
extern const size_t parameter_count;

struct api_query {
    str key, value; /* decoded */
};
/* What a target says. Slices lie in the arena or in the target. */
struct route_match {
    enum route route;
    str space, name, remote, id, file, attribute, value, table;
    struct api_query query[API_QUERY_MAX];
    size_t query_count;
    unsigned allowed; /* bit per api_method, when the path is known and the method is not */
};
/* Whether a name of the route is the key of a stream. */
bool route_is_of_stream(const struct route_info *route);
/* The same of a route with the right `write`, also of those that are about many streams. */
bool route_writes_streams(const struct route_info *route);
/* The byte of "%XX" at the start of `s`, -1 when it is none. */
int route_percent(str s);
/* Pure. KF_OK; KF_ABSENT not_found; method_not_allowed (ret->allowed is filled); bad_request,
 * bad_key, bad_filter, uri_too_long. */
kf_rc route_match(enum api_method method, str target, struct arena *arena, struct route_match *ret,
                  struct kf_err *err);

/* ------------------------------------------------------------------------------------- spaces */

struct space {
    struct space *next;
    struct api_home *home;
    char *name;
    struct kf_store *store;
    const struct config_space *config;
    size_t users;    /* calls that hold it; it is closed only without any */
    bool leaving;    /* it is to be closed: nobody holds it any more; with home->lock */
    int64_t rate_ns; /* monotonic: when all requests so far had come, had they come evenly */
    bool listens;    /* its streams tell; false: the store may be closed by whoever gave it */
};
/* NULL when it is not open, whether there is one or not. On the loop of the stores, where nobody
 * closes it meanwhile. */
struct space *space_if_open(struct api *api, str name);
/* Whether one more request to a space is within limits.rate: as many in a row as a second brings
 * evenly. Counts it; `rate` when not. Any loop. A space that is not open has had none. */
kf_rc space_admit(struct api *api, str name, struct kf_err *err);
/* Finds and holds the call's space (c->space, c->store) until the call has ended. False when it is
 * not open. Any loop. */
bool call_hold_space(struct api_call *c);
/* Holds the call's space, opening it first where it must be, then `then`: c->rc says why not. */
void call_enter(struct api_call *c, void (*then)(struct api_call *c));
/* Its work (call_errand): opens the space, or makes it if the route makes spaces and no token was
 * needed to get here. */
void call_open_space(struct api_call *c);
/* DIR/NAME.db or postgres://…#NAME, appended; the latter is a secret. */
void space_path(const struct api *api, str name, struct buf *out);
/* The same as it may be shown: the address of a database without its password. */
void space_shown(const struct api *api, str name, struct buf *out);
/* unknown_space, as of any space that is not there. */
kf_rc space_unknown(const struct api *api, str name, struct kf_err *err);
/* Whether a token was ever made: then spaces are made by who may, not by a first write. */
bool api_asks_for_tokens(const struct api *api);
/* Holds every open space (c->held), in the order of their names; where a token was shown, only
 * those that it is for. */
kf_rc call_hold_all(struct api_call *c, struct kf_err *err);
/* Lets go of what was held. May be called again. */
void call_leave_spaces(struct api_call *c);
/* Whether those who follow are told of what its streams get. */
void space_listen(struct space *s, bool on);
/* Closes all: nobody holds one any more. */
void spaces_close(struct api *api);

/* The life of one; on the loop of the stores, but space_reach (any thread).
 *
 *      new -> reach -> enter -> (listed) -> leave -> its store closed -> free
 *       \______\________\__________________________________________->
 */
kf_rc space_new(struct api *api, str name, struct space **ret, struct kf_err *err);
/* unknown_space when it is not there and may not be made. */
kf_rc space_reach(struct api *api, struct space *s, bool create, struct kf_err *err);
kf_rc space_enter(struct api *api, struct space *s, struct kf_err *err);
/* Takes it from the list. False: some call holds it, or one of its remotes runs; from now on nobody
 * else holds it, until it is asked again or space_stay. */
bool space_leave(struct api *api, struct space *s);
void space_stay(struct api *api, struct space *s);
void space_free(struct space *s);
/* Whether another server has removed it. Of a folder what is there is this server's. */
bool space_is_left(const struct api *api, const struct space *s);
/* Whether one of this name could be opened (`create`: made): bad_key, unknown_space, quota. */
kf_rc space_may_open(const struct api *api, str name, bool create, struct kf_err *err);
/* The names of all spaces that are there, open or not, NUL after each. Any thread. */
kf_rc spaces_there(const struct api *api, struct buf *out, struct kf_err *err);
/* What a closed space has left: its files or its schema. Any thread. */
kf_rc space_remove_files(struct api *api, str name, struct kf_err *err);
/* False: the server is stopping, and a database that says nothing is not waited for. A db_go_on,
 * ctx = the api_home; any thread. */
bool spaces_live(void *ctx);

/* --- turns.c */

/* store_unavailable while a database that did not answer is not asked again. */
kf_rc spaces_may_ask(const struct api *api, struct kf_err *err);
/* The same of one space: `busy` also while it is not asked for again, because others held it. */
kf_rc space_may_ask(const struct api *api, str name, struct kf_err *err);
/* Whether it could not be had in time when it was asked for last. */
bool space_is_slow(struct api_home *home, str name);
/* What came of asking, since began_ms; of a space, or (.len 0) of the database. */
void spaces_note_asked(struct api *api, str name, int64_t began_ms, kf_rc rc,
                       const struct kf_err *err);

/* --- unasked.c */

/* What came of space_fetch or, `list`, of names_fetch. `names` as of spaces_there. */
void unasked_told(struct api *api, bool list, str names, kf_rc rc, const struct kf_err *why);
/* No more are opened; what is under way ends by itself. */
void unasked_end(struct api *api);

/* --- errands.c: work of calls (call_errand) that goes on elsewhere */

/* Finds the space, opens it, or (`create`) makes it, and holds it: c->rc says why not.
 * c->made_space: it was made for this call. */
void space_seek(struct api_call *c, bool create);
/* Closes the space and removes what it has left, when nobody else uses it: busy, forbidden,
 * unknown_space. */
void space_remove(struct api_call *c);
/* list_names, with the names of what is there. */
void spaces_seek_names(struct api_call *c);
/* Without a call: opens (`create`: or makes) a space, or reads the names of all. unasked_told is
 * called, once, later or before it returns, unless this fails: `busy` when something else is under
 * way for that name. Until then api->working counts it. */
kf_rc space_fetch(struct api *api, str name, bool create, struct kf_err *err);
kf_rc names_fetch(struct api *api, struct kf_err *err);
/* Answers a list with these, NUL after each, and those that are open, as c->out (res_spaces.c). */
void list_names(struct api_call *c, str names);

/* --------------------------------------------------------------------------------------- calls */

/* What a token does not show to who has it: answered as what is not there. */
enum call_hidden { HIDDEN_NOT, HIDDEN_SPACE, HIDDEN_NAME };

enum call_state {
    CALL_IDLE,
    CALL_BODY,   /* the request's body is coming */
    CALL_WORK,   /* all of it is here */
    CALL_ANSWER, /* the head of the answer is out, more follows */
};

struct api_call {
    struct api *api;
    const struct api_door *door;
    void *ctx; /* the door's; NULL once abandoned */
    enum call_state state;
    _Atomic bool abandoned; /* long work asks for it on its worker */
    bool pending;           /* something will come back: a group, a job, a wait */
    bool close;             /* the request was not read to its end */
    bool eof;

    /* the request */
    struct arena arena;
    const struct route_info *route;
    struct route_match match;
    enum api_method method; /* HEAD is GET here, with head_only */
    bool head_only;
    enum api_peer peer;
    const struct token *token; /* that it came with; NULL = none was needed */
    bool known;                /* somebody who may ask stands behind it */
    enum call_hidden hidden;
    str if_match, if_none_match, idempotency_key;
    struct buf body;
    size_t body_max, body_taken; /* of a body that is gathered; what is hidden is only counted */
    uint64_t id;

    struct space *space;
    struct kf_store *store;
    struct space **held; /* in the arena */
    size_t held_count;

    /* the answer being made */
    struct kf_err err;
    kf_rc rc;
    int status;
    struct buf out;
    bool secret; /* `out` holds one: wiped when the answer has gone */
    struct api_header headers[API_ANSWER_HEADERS_MAX];
    size_t header_count;

    /* work under way; one at a time */
    struct loop_job job;
    void (*work)(struct api_call *c);
    void (*then)(struct api_call *c);
    struct loop_msg msg;
    struct doc_write *write; /* until it is done: then c->rc, c->err and what follows */
    struct kf_written written;
    struct kf_doc doc;                 /* until its answer has ended */
    const char *past_remote, *past_id; /* which version of which remote becomes the current one */
    bool looks_back;                   /* counted in api->past */
    struct stream_append *append;      /* until it is done, as `write`; then the next three */
    struct kf_appended *appended;      /* in the arena: append_count of them */
    size_t append_count;
    uint64_t stream_count;
    uint64_t receipt; /* of what was erased */
    bool receipt_again;
    bool of_list;                          /* entries came as a list: so goes the answer */
    void (*confirmed)(struct api_call *c); /* behind a wait for remotes that was a good one */
    struct remotes_wait wait;
    str wait_names;
    bool waiting;     /* for remotes */
    bool taking_back; /* such a wait, whose door has left */
    struct loop_msg back_msg;
    uint32_t timeout_ms;

    /* bodies that stream */
    str rest; /* of the answer: not yet given to the door */
    struct backup *backup;
    struct restore *restore;
    struct buf spool; /* of the request: taken, not yet written */
    bool draining;    /* the door is full */
    bool paused;      /* we are full */
    bool entering;    /* its space is being opened */

    /* of an errand; the home loop's while it is under way */
    struct api_call *errand_next;
    void (*errand_again)(struct api_call *c);
    bool errand_late;  /* it had begun already */
    bool seeks_create; /* space_seek */
    bool made_space;

    struct api_call *watch_prev, *watch_next; /* of api->watched */
    bool watched;

    char once_of[DOC_ONCE_LEN + 1]; /* whose idempotency key it is; doc_write.once_of */
    struct hash once;
    struct api_call *once_prev, *once_next; /* of home->once; with its lock */
    bool once_listed;

    /* waiting for an entry (follow.c); the first four with home->follow_lock */
    struct api_call *follow_prev, *follow_next; /* of home->follows */
    bool follow_told, follow_waits;
    bool follows, follow_shared;
    bool follow_none; /* what was looked at last has no entry */
    struct loop_timer follow_timer;
    int64_t follow_until_ms;
    void (*follow_look)(struct api_call *c);
};

/* What the routers of all loops share. Spaces are opened, made and closed on the loop of the stores
 * alone; every loop finds and holds them. */
struct api_home {
    struct loop *loop;  /* of the stores */
    int64_t started_ms; /* wall clock */
    struct auth *auth;
    struct loop_timer note_timer; /* writes down when tokens were used */
    struct loop_job note_job;
    /* its loop's, down to `unasked` */
    int64_t away_until_ms; /* a database that did not answer is not asked before */
    struct slow_space {
        char name[64]; /* "" = none */
        int64_t until_ms;
    } slow[API_SLOW_SPACES];
    struct errand *errands;
    bool errands_begin;
    struct wanted *wanted; /* spaces that are to be opened by themselves */
    bool wanted_list;      /* and all that are there */
    struct loop_timer wanted_timer;
    bool unasked;    /* an errand for one of them is under way */
    db_go_on *lives; /* api_options */
    void *lives_ctx;
    _Atomic size_t past; /* workers that read the past of remotes, in any space */
    struct api *routers; /* the first is that of the loop of the stores; constant while they run */

    pthread_mutex_t lock; /* of the list, and of the `users` of each; of the rest */
    struct space *spaces;
    size_t space_count;
    struct api_call *once[API_ONCE_LISTS];
    pthread_mutex_t follow_lock; /* of the next; behind it those of loops alone */
    struct api_call *follows[API_FOLLOW_LISTS];
    atomic_size_t follow_count;
    int durable; /* what /durablez answered without a token, at durable_ms; 0 = nothing yet */
    int64_t durable_ms;
};

/* The router of one loop. */
#define API_TOLD 2 /* problems that the log tells of (answer.c) */
struct api {
    struct api_options o; /* o.loop: its own */
    struct api_home *home;
    struct api *next; /* of home->routers */
    bool stopping;
    size_t calls, working;               /* working: calls for which something will come back */
    struct api_call *watched, *watch_at; /* watch_at: the next one, while they are gone through */
    struct loop_timer watch_timer;
    uint64_t next_id;
    unsigned char id_key[crypto_shorthash_KEYBYTES];
    _Atomic uint64_t requests, problems[PROBLEM_COUNT]; /* written by its loop, read by any */
    struct log_quiet told[API_TOLD];
    struct api_metrics *metrics;
};
/* Adds one to a number that only this loop writes. */
static inline void count_one(_Atomic uint64_t *n)
{
    atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

/* Runs `work` on the loop of the stores, then `then` on the call's own, if its door is still there;
 * both before it returns where that is one loop. `work` has the call to itself meanwhile. */
void call_at_home(struct api_call *c, void (*work)(struct api_call *c),
                  void (*then)(struct api_call *c));
/* The same for what may wait for somebody else: `work` sees to it that call_come_back is called, on
 * that loop, once, now or later. The call may be gone behind it. */
void call_errand(struct api_call *c, void (*work)(struct api_call *c),
                 void (*then)(struct api_call *c));
void call_come_back(struct api_call *c);
/* Waits for remotes as c->wait says (done and ctx are this call's), then `then`: w->rc, w->err. */
void call_wait(struct api_call *c, str names, void (*then)(struct api_call *c));

/* The id of a request as its client and the log read it. */
#define REQUEST_ID_LEN 16
const char *call_id_text(const struct api_call *c, char out[REQUEST_ID_LEN + 1]);

/* Ready for a new request, memory kept, but not that of a large one. */
void call_reset(struct api_call *c);
/* Answers before the body is complete: the door reads no more of it than its linger. */
void call_refuse_early(struct api_call *c, const struct kf_err *err);
/* Another one for each request, which tells nothing of how many there were. */
uint64_t api_next_id(struct api *api);
/* Runs `work` on a worker, then `then` on the loop; c->arena, c->out, c->rc and c->err are the
 * worker's meanwhile. Not called when the client has gone. c->rc is token_expired where the call's
 * token is over before `work` begins, which is left out then; on routes that show what there is,
 * also where it is over behind it. */
void call_work(struct api_call *c, void (*work)(struct api_call *c),
               void (*then)(struct api_call *c));
/* The same, holding meanwhile all spaces that the call may be told of (call_hold_all). */
void call_work_on_all(struct api_call *c, void (*work)(struct api_call *c),
                      void (*then)(struct api_call *c));
/* As call_work, for what reads the past of a remote, which may take minutes. Answered with `busy`
 * where the workers that others need would be out for it. */
void call_look_back(struct api_call *c, void (*work)(struct api_call *c),
                    void (*then)(struct api_call *c));
/* The usual `then`: a problem when c->rc says so, else c->out as JSON with c->status. */
void call_answer_out(struct api_call *c);
/* Marks that something comes back, and takes it back: false when the door has left and the call is
 * gone. */
void call_begin_work(struct api_call *c);
bool call_end_work(struct api_call *c);
/* Looks at the call's token again every two seconds until it ends: for a call that waits for its
 * client. */
void call_watch(struct api_call *c);
void call_unwatch(struct api_call *c);
/* A kf_progress of long work, ctx = the call: false once the door has left. */
bool call_goes_on(void *ctx, uint64_t done, uint64_t total);

/* --- once.c; all of it on the call's loop, and without a key nothing */

/* in_progress: another call with this key of this store takes long. Wants c->store, c->once_of. */
kf_rc once_check(struct api_call *c, struct kf_err *err);
/* The call takes long from now on, until its answer has ended or its door has left. Behind
 * once_check. */
void once_begin(struct api_call *c);
void once_end(struct api_call *c);

/* --- follow.c. A call that waits for an entry of its stream, or for a change of a tracked table:
 * follow_begin, then it looks. Where nothing is there, follow_wait(look), and it looks again or is
 * answered with c->out as it is; where something is, follow_end and its answer. On the call's
 * loop. */

/* `follow` of the query: *ret_ms is 0 without it. bad_filter. */
kf_rc follow_read(const struct api_call *c, uint32_t *ret_ms, struct kf_err *err);

void follow_begin(struct api_call *c, uint32_t wait_ms);
/* It waits no more. May be called again, also when its door has left. */
void follow_end(struct api_call *c);
/* Leaves its space meanwhile. `look`: with the space held and c->out empty. */
void follow_wait(struct api_call *c, void (*look)(struct api_call *c));
/* Entries of a stream may have come, of any where key.p == NULL. Any thread. */
void follow_tell(struct api_home *home, str space, str key);
/* Calls of this router that wait are answered. */
void follow_end_waits(struct api *api);

/* --- confirm.c */

/* What `ack`, `wait`, `timeout` and `ride` ask for: c->timeout_ms; *ret_level becomes
 * KF_LEVEL_MEMORY, or stays as it is. bad_filter, unknown_remote. */
kf_rc write_level(struct api_call *c, kf_level *ret_level, struct kf_err *err);
/* Behind a write that stands: waits for remotes when that was asked for, then `then`, with
 * c->written.level set; answers level_unavailable otherwise. doc: what of it matters, "" = all. */
void write_confirm(struct api_call *c, str doc, void (*then)(struct api_call *c));

/* Behind work (call_work) that wrote to streams, with c->rc: its problem, or what write_confirm
 * does and then `then`, which ends with write_answer_out. */
void write_worked(struct api_call *c, void (*then)(struct api_call *c));
/* call_answer_out, with the level that was reached. */
void write_answer_out(struct api_call *c);

/* --- own.c: lists of names, for tokens that are shown some of them only */

/* What a token with prefixes may see of the names that begin with `wanted`, as prefixes (one that
 * ends in a star, or a whole name) of which none begins another, sorted; in the arena. KF_NOMEM. */
kf_rc own_prefixes(struct api_call *c, str wanted, str **ret, size_t *ret_count,
                   struct kf_err *err);
/* One of the lists that a list is put together of. */
struct own_ask {
    const char *prefix, *after; /* after: NULL = from the start */
    bool whole;                 /* only the name that is `prefix` itself */
    size_t room;                /* 0: show none, only say whether there is one */
    size_t shown;               /* by those before it: then a comma stands first */
};
struct own_got {
    size_t shown;
    str last; /* of the names shown; in the arena */
    bool more;
};
/* Appends items to c->out. On a worker. */
typedef kf_rc own_page(struct api_call *c, const struct own_ask *ask, struct own_got *ret);
/* Answers `prefix`, `limit` and `cursor` with pages put together, as c->rc, c->out. On a worker. */
void own_list(struct api_call *c, own_page *show);
/* For pages: how many items to ask for; what of them is shown (`got` says how many there are and
 * whether there are more, `first` names the first); where they end. */
size_t own_room(const struct own_ask *ask);
void own_cut(const struct own_ask *ask, const char *first, struct own_got *got);
kf_rc own_last(struct api_call *c, const char *last, struct own_got *got);
/* A stream_sees, ctx = the call. */
bool own_sees(void *ctx, str name);

/* -------------------------------------------------------------------------------------- answers */

void answer_header(struct api_call *c, const char *name,
                   str value); /* value must outlive the answer */
void answer_bytes(struct api_call *c, int status, const char *type, str body);
void answer_json(struct api_call *c, int status, str body);
void answer_empty(struct api_call *c, int status);
/* The answer is over; `ok` false: it broke off. The call is idle then. */
void answer_over(struct api_call *c, bool ok);
/* Whether If-None-Match, "*" or a list of ETags, names this one; a weak one is as good for
 * reading. */
bool etag_listed(str list, const char *etag);
/* The door takes more of a body. */
void answer_go_on(struct api_call *c);
void answer_problem(struct api_call *c, const struct kf_err *err);
/* With further members: JSON text beginning with a comma, "" = none. */
void answer_problem_with(struct api_call *c, const struct kf_err *err, str extra);
/* The body of a problem, appended. `extra`: further members as JSON text beginning with a comma, ""
 * = none. */
void problem_json(const struct kf_err *err, const char *request_id, str extra, struct buf *out);

/* Members of an object, with a comma before all but the first. `first` is kept by the caller. */
void json_key(struct buf *b, bool *first, const char *key);
void json_put_str(struct buf *b, bool *first, const char *key, str v);
void json_put_u64(struct buf *b, bool *first, const char *key, uint64_t v);
void json_put_bool(struct buf *b, bool *first, const char *key, bool v);
/* RFC 3339, or null for 0. */
void json_put_time(struct buf *b, bool *first, const char *key, int64_t ms);
/* Strings; null where there are none, which stands for all. */
void json_put_list(struct buf *b, bool *first, const char *key, const str *list, size_t count);
/* The words of enum token_right. */
void json_put_rights(struct buf *b, bool *first, unsigned rights);
/* The member `born` of a stream: a text that can only be compared. */
void json_put_born(struct buf *b, bool *first, uint64_t born);

/* Query: "" when it is not there. */
str query_get(const struct api_call *c, const char *key);
/* A parameter for a call of keepfast.h, in the arena; NULL when it is not there. bad_filter. */
kf_rc query_text(struct api_call *c, const char *key, char **ret, struct kf_err *err);
/* A number, 0 when it is not there. bad_filter. */
kf_rc query_number(const struct api_call *c, const char *key, uint64_t min, uint64_t max,
                   uint64_t *ret, struct kf_err *err);
/* The key that the last page ended with; .p == NULL without a cursor. bad_filter. */
kf_rc query_cursor(struct api_call *c, str *ret_after, struct kf_err *err);
kf_rc cursor_foreign(struct kf_err *err);
/* limit and cursor of a list; bad_filter. The cursor is opaque: the last key, base64url. */
kf_rc query_page(struct api_call *c, size_t *ret_limit, str *ret_after, struct kf_err *err);
void answer_next(struct buf *out, bool more, str last_key);
kf_rc query_timeout(const struct api_call *c, uint32_t *ret_ms, struct kf_err *err);
kf_rc query_flag(const struct api_call *c, const char *key, bool *ret, struct kf_err *err);

/* One remote as JSON, appended; for status, lists and single answers. */
/* {"code":…,"detail":…} under `member`; null without a code. */
void last_error_json(const char *member, const char *code, const char *detail, bool *first,
                     struct buf *out);
void remote_json(const struct kf_remote_info *r, int64_t now_ms, struct buf *out);

/* {"items":[…],"waiting":{…},"held":[…]}, appended; null where no table is tracked. On a
 * worker. */
kf_rc tracked_json(struct api_call *c, struct kf_err *err);

/* What the parameters of a list of entries ask for, over *q, which is INIT (res_entries.c).
 * bad_filter. Looks at c->match and c->arena alone. */
kf_rc entries_query(struct api_call *c, struct kf_entry_query *q, struct kf_err *err);

/* --- streams (res_streams.c) */

/* bad_request where a wait is asked for and no remote takes the stream. */
kf_rc stream_wait_check(const struct api_call *c, struct kf_err *err);

#define R(id, method, pattern, body, handler, query, right, summary) api_handler handler;
#include "api/routes.def"
#undef R
/* Pieces of a STREAM body, and its end. */
bool restore_data(struct api_call *c, str bytes);
void restore_eof(struct api_call *c);
void restore_gone(struct api_call *c);
void backup_drained(struct api_call *c);

#endif

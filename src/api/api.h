/* api: the router. A request (method, target, headers, body) in, a response out, with calls of
 * keepfast.h. It knows no sockets.
 *
 * Two doors use it: the server's connections (server/request.c) and the command line in its own
 * process (api/direct).
 *
 * A call, from its head to its end; all on the loop's thread:
 *
 *     door                                   router
 *     api_begin(head)          ->            route, rights, conditions
 *     api_data(bytes)*         ->            body gathered (JSON) or taken piece by piece (restore)
 *     api_eof                  ->            work: a group, a job on a worker, a wait for remotes
 *                              <-  head      once
 *                              <-  body*     false = the door is full; goes on after api_drained
 *                              <-  end       once; the call is idle again, or gone
 *
 * The router may answer before the body is complete (an error): `end` then comes with close = true
 * and the door reads no more than 64 KiB on.
 *
 * A door that loses its client calls api_abandon: what was submitted stands, nothing more is sent,
 * and the call frees itself when its work is done. A call is used again for the next request of its
 * connection, memory kept, so that a small request costs no allocation.
 *
 * Answers. JSON, `application/problem+json` for problems; every answer has a request id; every
 * write `Keepfast-Ack`. Long answers (backup) are pulled from their producer as the door drains.
 *
 * Threads: a router's calls are its loop's; several loops may have a router each, over the same
 * spaces. Results that come back on another thread are posted to the call's loop first. The stores
 * have one loop, that of the first router, where spaces are opened and closed: what must happen
 * there is posted to it (call_at_home), so it has to turn as long as any call is under way. */
#ifndef KF_API_API_H
#define KF_API_API_H

#include "base/config.h"
#include "base/log.h"
#include "base/err.h"
#include "base/loop.h"
#include "db/db.h"

#include <keepfast.h>

#define API_HEADERS_MAX 100
#define API_TARGET_MAX  8192
#define API_HEAD_MAX    16384

enum api_method {
    API_GET = 1,
    API_HEAD,
    API_PUT,
    API_POST,
    API_PATCH,
    API_DELETE,
    API_OPTIONS,
    API_OTHER
};
/* Who is at the other end. UNIX: of a Unix socket, with the uid of this process or of root;
 * UNIX_OTHER: with another. LOOPBACK: over TCP, from this machine; NET: from another. */
enum api_peer {
    API_PEER_SELF,
    API_PEER_UNIX,
    API_PEER_UNIX_OTHER,
    API_PEER_LOOPBACK,
    API_PEER_NET
};
struct api_peer_address {
    unsigned char ip[16]; /* IPv6, or IPv4 as mapped */
    bool is_uid;          /* of a Unix socket: `uid` instead */
    uint32_t uid;
};

struct api_header {
    str name, value;
};
/* Borrowed during api_begin only. */
struct api_head {
    enum api_method method;
    str method_text;
    str target; /* raw: path and query */
    const struct api_header *headers;
    size_t header_count;
    int64_t content_length; /* -1: there is no body; -2: chunked, the length is not known */
    enum api_peer peer;
    struct api_peer_address from;
};

struct api_answer {
    int status;
    const struct api_header *headers; /* without Content-Length, Connection, Date: the door's */
    size_t header_count;
    int64_t body_len; /* -1: not known, the door chunks */
};

/* What a door does; ctx is the door's. None of them may call back into the same call but where
 * said. */
struct api_door {
    void (*head)(void *ctx, const struct api_answer *answer);
    /* Takes the bytes at once. False: please no more until api_drained. */
    bool (*body)(void *ctx, str bytes);
    /* close: the request was not read to its end; ok: false when a body that had begun cannot be
     * completed (the door must break the connection so that the client sees it). */
    void (*end)(void *ctx, bool close, bool ok);
    /* A body that was not taken (api_data answered false) may go on. */
    void (*more)(void *ctx);
};

struct api;
struct api_call;
struct tokens;

/* How the spaces of a server are opened and closed: given by lib/, which is a floor above.
 *
 *      reach -> enter -> (it works by itself) -> leave -> close
 *
 * reach and close may wait for a disk or a network, on any thread. The other two do not, on the
 * loop of the stores; when `enter` fails, it has closed the store. close is right behind reach,
 * too. */
struct api_space_path {
    const char *path;
    str space;
    bool create;
};
struct api_spaces_ops {
    kf_rc (*reach)(void *ctx, const struct api_space_path *path, struct kf_store **ret,
                   struct kf_err *err);
    kf_rc (*enter)(void *ctx, struct kf_store **store, struct kf_err *err);
    void (*leave)(void *ctx, struct kf_store *store);
    void (*close)(void *ctx, struct kf_store **store);
    void *ctx;
};

/* Whom a look is at: an open store, or the file of one that could not be opened, and why. */
struct api_patient {
    const struct env *env;
    struct kf_store *store; /* NULL: it could not be opened */
    const char *path;
    const struct kf_err *why;
    bool machine; /* also what is for operators alone */
};
/* What is wrong with it: given by lib/. On a worker. */
struct api_doctor {
    kf_rc (*look)(void *ctx, const struct api_patient *patient, struct kf_finding_list *ret_list,
                  struct kf_err *err);
    void *ctx;
};

struct api_options {
    const struct env *env;
    struct loop *loop;
    struct log *log;
    const struct config *config;
    /* One of the two: a data folder with a file per space, or one store that is open already, under
     * one name. */
    const char *data_dir;
    struct kf_store *store;
    const char *store_space;
    struct api_spaces_ops spaces;
    struct api_doctor doctor;
    struct tokens *tokens; /* of the data folder; NULL: there can be none. Outlives it */
    /* False: the server is to be gone (store_options.lives). Any thread; NULL = nobody is asked. */
    db_go_on *lives;
    void *lives_ctx;
};
kf_rc api_new(const struct api_options *options, struct api **ret_api, struct kf_err *err);
/* A router for another loop, with the same spaces: its calls are made and answered on that loop's
 * thread. Before any of them runs; freed before `first`. */
kf_rc api_new_beside(struct api *first, struct loop *loop, struct api **ret_api,
                     struct kf_err *err);
/* Opens (and so begins to hydrate) the spaces that the configuration names, and, where backups are
 * wanted, all that are there: they are made of what is open. Of a database that is away, or where
 * somebody holds them, later, by itself. */
kf_rc api_open_spaces(struct api *api, struct kf_err *err);
/* Runs, at the end, every remote with on_change that has something pending, timeout_ms in all.
 * KF_UNAVAILABLE names what is left. */
kf_rc api_flush_spaces(struct api *api, uint32_t timeout_ms, struct kf_err *err);
/* Whether a space is still being filled from its remotes, by one at least that has not failed. */
bool api_hydrating(const struct api *api);
/* New requests are refused with `stopping`; calls that run go on, for STORE_STOP_MS those that do
 * long work in slices, but for looks at the past of a remote, which end. Upkeep ends as well. */
void api_stop(struct api *api);
size_t api_calls(
    const struct api *api); /* that have begun and not ended, and whose door is there */
/* Whether work of a call is still under way, also of one whose door has left: a group, a job. What
 * is long (verify, restore) ends early once its door has left. */
bool api_busy(const struct api *api);
/* The store that it was given is about to be closed, before the router: it tells nothing more, and
 * is not touched again. NULL is fine. */
void api_leave_store(struct api *api);
/* Closes the spaces it opened. Nothing may be under way: api_busy is false. */
void api_free(struct api *api);

kf_rc api_call_new(struct api *api, const struct api_door *door, void *ctx,
                   struct api_call **ret_call, struct kf_err *err);
void api_begin(struct api_call *c, const struct api_head *head);
/* False: not now; the door keeps the bytes and stops reading until `more`. */
bool api_data(struct api_call *c, str bytes);
void api_eof(struct api_call *c);
void api_drained(struct api_call *c);
/* The door is gone, whatever the call was doing; never used again by the door. Also how an idle
 * call is freed. */
void api_abandon(struct api_call *c);

/* Answers a request that never became one (the door's own errors: bad head, time-out, too many
 * connections): `head`, `body` and `end` are called before it returns, `end` with close = true.
 * Cannot fail: without memory it answers with a fixed text. */
void api_refuse(struct api *api, const struct api_door *door, void *ctx, enum problem problem,
                const char *detail);

/* For /metrics: doors add their own numbers, to the first router, for all loops, on its loop. A
 * sample is appended in the Prometheus text format. */
struct api_metrics {
    struct api_metrics *next;
    void (*write)(struct api_metrics *m, struct buf *out);
};
void api_add_metrics(struct api *api, struct api_metrics *m);
void api_remove_metrics(struct api *api, struct api_metrics *m);

/* The OpenAPI 3.1 description and the reference pages, made from the tables. */
kf_rc api_openapi(struct buf *out, struct kf_err *err);
kf_rc api_reference(struct buf *out, struct kf_err *err);

#endif

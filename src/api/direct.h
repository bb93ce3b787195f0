/* direct: the door without a socket. A request is answered by the router in this process; the loop
 * turns until it has ended.
 *
 * For the command line when no process owns the store. Bodies stream: `send` is asked for the
 * request's, `take` is given the answer's. */
#ifndef KF_API_DIRECT_H
#define KF_API_DIRECT_H

#include "api/api.h"
#include "base/arena.h"

struct direct_request {
    enum api_method method;
    const char *method_text;
    str target;
    const struct api_header *headers;
    size_t header_count;
    str body;               /* the request's body, when it is in memory */
    int64_t content_length; /* with send: -2 = not known */
    /* Appends the next piece of the body; KF_ABSENT behind the last. NULL: `body`. */
    kf_rc (*send)(void *ctx, struct buf *piece, struct kf_err *err);
    /* NULL: the answer's body is gathered in direct_answer.body. KF_OK, or anything else to end the
     * call. */
    kf_rc (*take)(void *ctx, int status, str bytes, struct kf_err *err);
    /* Called now and then while the answer is waited for. May be NULL. */
    void (*tick)(void *ctx);
    void *ctx;
};
struct direct_answer {
    int status;
    struct arena arena;
    struct api_header *headers; /* in the arena */
    size_t header_count;
    struct buf body;
};
/* KF_OK whatever the status; another code when the door itself failed (memory, send, take, a body
 * that was cut). */
kf_rc direct_call(struct api *api, struct loop *loop, const struct direct_request *request,
                  struct direct_answer *ret, struct kf_err *err);
void direct_answer_release(struct direct_answer *a);
/* "" when the answer has no such header. */
str direct_header(const struct direct_answer *a, const char *name);

#endif

/* api_rig: a router without sockets, over a space `s` that can be open, being filled, read-only or
 * closing; a door that keeps what it is given; one request for each route.
 *
 * All is of one thread: loops turn only within these calls. One rig at a time; a helper that fails,
 * fails the test. */
#ifndef KF_TESTS_API_RIG_H
#define KF_TESTS_API_RIG_H

#include "testing.h"

#include "api/api_internal.h"
#include "lib/house.h"

enum state { OPEN, FILLING, READ_ONLY, CLOSING, STATES };
extern const char *const state_names[STATES];

/* Of a test program's main: setup and teardown of its group. */
int rig_setup(void **state);
int rig_teardown(void **state);

/* ------------------------------------------------------------------------------------- the door */

/* Keeps what it is given in memory of its own: it needs none while there is none. */
struct door {
    int heads, ends;
    int status;
    bool close, ok, gone, more;
    size_t full_at; /* the door is full from this many bytes on; 0 = never */
    char headers[1024];
    char body[1024 * 1024];
    size_t len;
};

extern struct door door; /* of what is asked */
extern struct door kept; /* an earlier answer */

/* The member of a JSON answer, without its quotes; good until the next call. */
const char *member(const struct door *d, const char *name);
bool has_header(const struct door *d, const char *line);
bool is_problem(const struct door *d);

/* -------------------------------------------------------------------------------------- the rig */

struct rig {
    struct testing_env env;
    const char *dir;
    struct config *config;
    struct house *house;
    struct api *api;
    struct loop *loop;
    enum state state;
};

extern struct rig rig;
extern struct buf description; /* /openapi.json */

/* What requests are asked with. */
extern enum api_peer peer;
extern bool insist;          /* If-Match: *, which a store that is being filled wants */
extern char unmatched[4200]; /* If-None-Match; "" = none */

void rig_open(enum state state);
void rig_close(void);
/* The space `s` gets into the state, with everything laid out that can be. */
void rig_enter(enum state state);
/* What the requests of the table ask about: a document of two versions, a remote that may go, a
 * space that may go, and nothing yet of what they make. May be called again. */
void lay_out(void);

/* --------------------------------------------------------------------------------------- asking */

/* A call of its own; NULL without memory. */
struct api_call *begin(enum api_method method, const char *target, str body, bool zip);
/* On a call that has none under way. */
void begin_on(struct api_call *c, enum api_method method, const char *target, str body, bool zip);
/* Body and end of a request that was begun; what comes back comes with the loop. */
void send_rest(struct api_call *c, str body);
void until_answered(void);
/* The status of the answer, which is in `door`; 0 when there was no memory to ask. */
int ask_bytes(enum api_method method, const char *target, str body, bool zip);
int ask(enum api_method method, const char *target, const char *body);
/* As `ask`, and it is this status. */
void want(int status, enum api_method method, const char *target, const char *body);

/* ------------------------------------------------------------------------------------ the table */

/* What is answered: "" = the route's own answer, else a problem. */
struct request {
    enum route route;
    const char *target, *body, *open, *filling, *read_only;
    bool steady; /* the body is the same whenever it is asked */
};
/* One for each route, in the order of their table. */
extern const struct request requests[ROUTE_COUNT];
/* Somebody beside whom others append. */
extern const struct request following;

const struct route_info *info_of(const struct request *r);
bool is_stream(const struct request *r);
str body_of(const struct request *r);
int ask_request(const struct request *r, enum api_method method);
/* lay_out before it is asked again: what reads leaves everything as it is. */
void lay_out_for(const struct request *r);

#endif

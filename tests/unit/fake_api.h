/* fake_api: a router for tests of the server and for measuring it alone. It implements api/api.h
 * and is linked instead of the real one.
 *
 *     /const/N         N bytes, at once
 *     /soon            answered in api_begin
 *     /late            answered at the end of the turn, as a group is
 *     /delay/MS        answered after a while
 *     /never           not at all
 *     /stream/N/SIZE   N pieces of SIZE bytes, length unknown
 *     /drip/N          N pieces of 1 byte, 10 ms apart
 *     /echo            the body again, when it is whole
 *     /hold            takes the body only 10 ms later, then as /echo
 *     /what            method, target and headers as they came
 *     /nobody          204
 *     /early           413 before the body, and close
 *     /broken          an answer that breaks off
 *     /inject          a header's value with CR LF in it
 *     /close           an answer after which the router wants the connection closed
 *
 * Everything else: 404. */
#ifndef KF_TESTS_FAKE_API_H
#define KF_TESTS_FAKE_API_H

#include "api/api.h"

struct fake_counts {
    int calls, begun, ended, abandoned, refused;
    size_t data_bytes;
    enum problem last_refused;
    char last_detail[200];
    int64_t last_length; /* as the head said */
    enum api_peer last_peer;
};
struct api *fake_api_new(struct loop *loop);
void fake_api_free(struct api *api); /* asserts that every call was freed and all metrics removed */
struct fake_counts *fake_api_counts(struct api *api);
void fake_api_metrics(struct api *api, struct buf *out);

#endif

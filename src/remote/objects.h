/* objects: remotes that keep immutable objects and one manifest (dir, mem, later s3 and azure). All
 * of the remote seam is written here once; a kind gives a few primitives.
 *
 * A push, and what a cut behind each step leaves for readers:
 *
 *     1  get the manifest and its tag                     the old state
 *     2  put each object that it does not name, settle    the old state; objects that nobody names
 *                                                         (the next try finds them)
 *     3  hold: nobody else replaces or removes            the old state
 *        put again what it listed as retired              the old state
 *        remove what was retired an hour ago              the old state: nothing that it names is
 *                                                         removed
 *        put the manifest on condition of the tag         the new state
 *     4  release                                          the new state
 *
 * A reader that began with the old manifest finds its objects for at least an hour
 * (OBJECTS_GRACE_MS). What a pusher found in step 2 and did not write again is safe until its step
 * 3, for only what is retired is ever removed, and that it puts again while nobody else can remove.
 *
 * Position: "1 PUSH HASH SITE SEQ": number and hash of the manifest, and what it said that SITE,
 * the one that pushed it, had pushed. */
#ifndef KF_REMOTE_OBJECTS_H
#define KF_REMOTE_OBJECTS_H

#include "remote/remote.h"

#define OBJECTS_GRACE_MS     (60 * 60 * 1000)
#define OBJECTS_MANIFEST_MAX (256u * 1024 * 1024)
#define OBJECTS_BODY_MAX     (64u * 1024 * 1024) /* where remote.body_max says nothing */

struct object_store;
struct object_ops {
    /* Appends the bytes; KF_ABSENT; KF_LIMIT over max. `tag` (may be NULL) gets the version to put
     * on condition of. */
    kf_rc (*get)(struct object_store *o, str path, size_t max, struct buf *out, struct buf *tag,
                 struct kf_err *err);
    /* Durable when it answers KF_OK, or at the latest after `settle`. An object that is there with
     * these bytes is left. */
    kf_rc (*put)(struct object_store *o, str path, str bytes, struct kf_err *err);
    /* Everything put so far is durable, names included. */
    kf_rc (*settle)(struct object_store *o, struct kf_err *err);
    /* From here to `release` nobody else replaces `path` or removes anything. KF_CONFLICT when its
     * tag is another by now ("" = it is not there). */
    kf_rc (*hold)(struct object_store *o, str path, str tag, struct kf_err *err);
    void (*release)(struct object_store *o);
    /* Replaces on condition of the tag, between hold and release: in one step, durable.
     * KF_CONFLICT. */
    kf_rc (*put_if)(struct object_store *o, str path, str bytes, str tag, struct kf_err *err);
    /* KF_OK also when it is not there. */
    kf_rc (*drop)(struct object_store *o, str path, struct kf_err *err);
};
struct object_store {
    struct remote remote; /* first */
    const struct object_ops *ops;
};

/* The slots of remote_driver, for every kind that is an object_store. */
kf_rc objects_probe(struct remote *r, struct kf_err *err);
kf_rc objects_look(struct remote *r, int64_t *ret_stamp, struct kf_err *err);
kf_rc objects_pull(struct remote *r, str since, bool all, struct remote_sink *sink,
                   struct buf *position, struct kf_err *err);
kf_rc objects_push(struct remote *r, str on, struct remote_set *set, struct buf *position,
                   struct remote_pushed *ret, struct kf_err *err);
kf_rc objects_verify(struct remote *r, struct remote_sink *sink, struct kf_err *err);
kf_rc objects_repair(struct remote *r, const struct remote_doc *doc, struct kf_err *err);
/* The current version, and what it has replaced within the last hour, each known by its hash. When
 * that was replaced is all that is known of it beside its bytes. */
kf_rc objects_versions(struct remote *r, struct remote_history *h, bool *ret_more,
                       struct kf_err *err);
kf_rc objects_version(struct remote *r, struct remote_history *h, struct kf_err *err);

/* The hash of bytes as a tag, for kinds whose place knows no versions. Appended. */
void objects_tag(str bytes, struct buf *tag);

#endif

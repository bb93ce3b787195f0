/* objects: remotes that keep immutable objects and one manifest (dir, mem, later s3 and azure). All of the remote seam is written
 * here once; a kind gives five primitives.
 *
 * A push, and what a cut at each step leaves:
 *
 *     1  get the manifest and its tag              nothing
 *     2  put each object that it does not name     objects nobody names yet (found and used by the next try)
 *     3  put the manifest on condition of the tag  the new state
 *     4  remove what was retired an hour ago       objects nobody names
 *
 * A reader that began with the old manifest finds its objects for at least an hour (OBJECTS_GRACE_MS). */
#ifndef KF_REMOTE_OBJECTS_H
#define KF_REMOTE_OBJECTS_H

#include "remote/remote.h"

#define OBJECTS_GRACE_MS     (60 * 60 * 1000)
#define OBJECTS_MANIFEST_MAX (256u * 1024 * 1024)

struct object_store;
struct object_ops {
    /* Appends the bytes; KF_ABSENT; KF_LIMIT over max. `tag` (may be NULL) gets the version to put on condition of. */
    kf_rc (*get)(struct object_store *o, str path, size_t max, struct buf *out, struct buf *tag,
                 struct kf_err *err);
    /* Durable when it answers KF_OK, or at the latest after `settle`. An object that is there already is left. */
    kf_rc (*put)(struct object_store *o, str path, str bytes, struct kf_err *err);
    /* Everything put so far is durable, names included. */
    kf_rc (*settle)(struct object_store *o, struct kf_err *err);
    /* Replaces on condition: `tag` "" = it must not be there. KF_CONFLICT when it has changed. Durable. */
    kf_rc (*put_if)(struct object_store *o, str path, str bytes, str tag, struct kf_err *err);
    /* KF_OK also when it is not there. */
    kf_rc (*remove)(struct object_store *o, str path, struct kf_err *err);
};
struct object_store {
    struct remote remote; /* first */
    const struct object_ops *ops;
};

/* The slots of remote_driver, for every kind that is an object_store. */
kf_rc objects_probe(struct remote *r, struct kf_err *err);
kf_rc objects_look(struct remote *r, int64_t *ret_stamp, struct kf_err *err);
kf_rc objects_pull(struct remote *r, str since, struct remote_sink *sink, struct buf *position,
                   struct kf_err *err);
kf_rc objects_push(struct remote *r, str on, struct remote_set *set, struct buf *position,
                   struct remote_pushed *ret, struct kf_err *err);
kf_rc objects_verify(struct remote *r, struct remote_sink *sink, struct kf_err *err);

#endif

/* objects_internal: what the files of `objects` share: the manifest in memory, and reading what it
 * names.
 *
 *     objects.c       the manifest; pull, verify, repair
 *     objects_push.c  push, probe
 *     objects_past.c  versions of a document: what the manifest names, and what it named within the
 *                     last hour
 *
 * Threads: as the connection. */
#ifndef KF_REMOTE_OBJECTS_INTERNAL_H
#define KF_REMOTE_OBJECTS_INTERNAL_H

#include "base/arena.h"
#include "remote/objects.h"
#include "remote/portable.h"

/* The connection of a kind that is an object_store. */
struct object_store *objects_store_of(struct remote *r);

/* Lines of a manifest, in an array of their own (mem_free). Their slices are borrowed. */
struct objects_lines {
    struct portable_entry *p;
    size_t count, cap;
};
/* KF_NOMEM. */
kf_rc objects_lines_add(struct objects_lines *l, const struct portable_entry *e,
                        struct kf_err *err);
/* The order of lines by their names, for qsort. */
int objects_by_name(const void *a, const void *b);
/* The line of this name, NULL when there is none. The lines are in the order of their names. */
const struct portable_entry *objects_lines_find(const struct objects_lines *l, str name);

/* A manifest that was read. The slices of its lines live as long as it does. */
struct objects_manifest {
    struct buf text, tag; /* the tag: to replace it on condition of */
    struct arena arena;   /* names that stand escaped in the text */
    struct portable_entry head;
    struct objects_lines seen, docs, retired; /* each in the order of the text: by name, or site */
    char hash[HASH_HEX + 1];                  /* of the text */
    bool there;                               /* false: there is none, and all else is empty */
};
/* Reads and checks it; KF_OK with m->there false when there is none. Damage is `bad_object`, so
 * that it does not look like damage of the store; KF_TOO_NEW, KF_NOMEM, or what `get` answers.
 * Owns: *m is the caller's (objects_manifest_release), after errors too.
 * Cost: one request, and memory for the whole manifest. */
kf_rc objects_manifest_load(struct object_store *o, struct objects_manifest *m, struct kf_err *err);
/* *m is as {0} afterwards. */
void objects_manifest_release(struct objects_manifest *m);

/* What was seen of a place: its push, and of the site that has it the number. "1 PUSH HASH SITE
 * SEQ"; slices are those of the token. */
struct objects_position {
    uint64_t push, seq;
    str hash, site;
};
/* False, and *ret untouched, when it is no position. */
bool objects_position_parse(str token, struct objects_position *ret);
void objects_position_write(uint64_t push, const char *hash, str site, uint64_t seq,
                            struct buf *out);

/* What the line of a document says of it, without its body; slices are those of the line. */
void objects_doc_of(const struct portable_entry *e, struct remote_doc *ret);
/* Gets the body of a line into `body` and holds it against size and hash. `path` is scratch, and
 * afterwards the object's name. bad_object when it is too large, not there or not what the line
 * says. */
kf_rc objects_fetch(struct object_store *o, const struct portable_entry *e, struct buf *path,
                    struct buf *body, struct kf_err *err);
/* Whether a failure to read an object concerns that one alone. A place that is gone, our lack of
 * memory and the end of the store concern all. False for KF_OK. */
bool objects_concerns_one(kf_rc rc, const struct kf_err *why);

#endif

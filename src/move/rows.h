/* rows: what a backup's manifest will say, gathered while its objects are written; sorted when they
 * all are. */
#ifndef KF_MOVE_ROWS_H
#define KF_MOVE_ROWS_H

#include "remote/portable.h"
#include "shape/doc.h"

/* A version without its body. About 100 bytes, and its name once. */
struct row {
    const char *name, *kind; /* in the arena */
    uint64_t version, size;
    int64_t stamp, at_ms;
    struct hash hash;
    char site[PORTABLE_SITE + 1];
    bool deleted;
};
struct rows {
    struct arena arena;
    struct row *items;
    size_t count, cap;
    struct seen *objects; /* paths that were written or read */
};
void rows_release(struct rows *r);
kf_rc rows_add(struct rows *r, const struct doc_row *row, struct kf_err *err);
/* By name as bytes, then the newest version first: the manifest's order. */
void rows_sort(struct rows *r);
/* *ret_new: whether this object was not there before. */
kf_rc rows_object(struct rows *r, str object, bool *ret_new, struct kf_err *err);
bool rows_has_object(const struct rows *r, str object);
size_t rows_objects(const struct rows *r);

#endif

/* yaml: a small tree with positions, out of YAML 1.2 text.
 *
 * libfyaml does the reading; this module takes its events and refuses what a configuration has no
 * need for and what a hostile file could use: aliases, anchors, tags, keys that are no scalars, the
 * same key twice, a second document, more than YAML_DEPTH_MAX levels or YAML_NODES_MAX nodes,
 * control characters, bytes that are no UTF-8.
 *
 * Every refusal is KF_CONFIG "FILE:LINE:COLUMN: ..."; lines and columns count from 1, a column is a
 * character.
 *
 * Threads: pure. Memory of the tree is the arena's; libfyaml's own comes from the C heap and is
 * given back before the return. */
#ifndef KF_BASE_YAML_H
#define KF_BASE_YAML_H

#include "base/arena.h"
#include "base/buf.h"

#define YAML_DEPTH_MAX 32
#define YAML_NODES_MAX 50000

enum yaml_type { YAML_SCALAR = 1, YAML_LIST, YAML_MAP };

struct yaml_node {
    enum yaml_type type;
    bool plain;            /* a scalar without quotes, whose meaning follows from its text */
    uint32_t line, column; /* of an empty value: those of its key */
    str text;              /* of a scalar */
    struct yaml_node *key; /* when the parent is a map; always a scalar */
    struct yaml_node *child, *next;
    uint32_t count; /* of children */
};

/* `file` is what errors call it; the tree does not borrow from `text`. *ret_root is NULL for an
 * empty document. */
kf_rc yaml_parse(str text, const char *file, struct arena *arena, struct yaml_node **ret_root,
                 struct kf_err *err);

/* An empty value, or a plain null or ~. */
bool yaml_is_null(const struct yaml_node *n);
/* A plain true or false. */
bool yaml_bool(const struct yaml_node *n, bool *ret);

/* The value as JSON without blanks, appended to `out`. Plain scalars have the types of the YAML 1.2
 * core schema: null, bool, int (also 0x and 0o), float, else string; digits are kept as they are
 * written, but for what JSON does not allow (a plus, leading zeros, a point without digits on both
 * sides). Keys are their text. Refused: .inf and .nan, hexadecimal beyond 64 bits. */
kf_rc yaml_to_json(const struct yaml_node *n, const char *file, struct buf *out,
                   struct kf_err *err);

/* Fills *err with "FILE:LINE:COLUMN: sentence"; returns KF_CONFIG. */
kf_rc yaml_refuse(const char *file, const struct yaml_node *n, struct kf_err *err, const char *fmt,
                  ...) __attribute__((format(printf, 4, 5)));

#endif

/* memory_file_internal: what reading and writing of memory files share, which are the names of
 * members. For src/move/memory_file*.c alone.
 *
 * The attributes of a stream that came from a file (docs/formats.md):
 *
 *   {"persona": "Michael Burry",
 *    "memory": [{"file": "persona_memory.json", "place": 0, "list": "conversations", "count": 237,
 *                "object": {"partner_name": "Michael Burry", "conversations": null, …}}]}
 *
 * `object` is the element of the file, with null where its list stood. It is in an array because a
 * merge patch takes an array as a whole: in an object it would drop members that are null, and keep
 * those of an older import. */
#ifndef KF_MOVE_MEMORY_FILE_INTERNAL_H
#define KF_MOVE_MEMORY_FILE_INTERNAL_H

#include "base/err.h"
#include "base/json.h"
#include "move/memory_file.h"

#define MEMORY_EXCHANGES "conversations"
#define MEMORY_MESSAGES  "messages"
/* The stream for what stands in a file beside its personas or dialogues. */
#define MEMORY_REST "~file"
/* What ids of entries that came from a file begin with. */
#define MEMORY_ID "memory-"
/* Levels of a file, whose members stand up to three levels deeper in attributes. */
#define MEMORY_DEPTH (JSON_DEPTH_MAX - 3)

struct memory_kind {
    const char *name, *prefix;
    const char *list; /* of streams that came from no file */
    bool array;       /* of dialogues, else an object of personas */
};
extern const struct memory_kind memory_kinds[MEMORY_AUTONOMOUS + 1];

/* The time of a text like 2025-11-09T14:23:45.123456, with a zone or without, which is UTC then;
 * also with a blank for the T, without seconds, or of a day alone. False for others, and before
 * 1970. */
bool memory_time(str text, int64_t *ret_ms);

/* --------------------------------------------------------------------------------- from a file */

struct met;

/* A file is gone through three times, so that nothing is left that could be refused behind the
 * first callback. */
enum memory_stage {
    MEMORY_LOOK,  /* as it was written: can all of it be mapped */
    MEMORY_WEIGH, /* without blanks, as the next: is anything larger than a store takes */
    MEMORY_GIVE
};
struct memory_reader {
    enum memory_stage stage;
    const struct memory_kind *kind;
    const struct memory_sink *sink;
    str file;
    bool wrapped; /* its dialogues are the member `conversations` of an object */
    size_t body_max;
    struct arena arena;
    struct met *elements;  /* of the stream at hand */
    struct met *dialogues; /* of the file */
    struct buf where;      /* the JSON Pointer to what is being looked at */
    struct buf key, body, text;
    struct memory_counts counts;
};

/* Fills *err with `what` is wrong with the member of this name (NULL = with what is at r->where).
 * */
kf_rc memory_refuse(struct memory_reader *r, enum problem problem, const struct json_node *at,
                    const char *member, const char *what, struct kf_err *err);
/* Counts a value; *ret_before: how often it was met before. */
kf_rc memory_meet(struct memory_reader *r, struct met **table, const struct hash *what,
                  uint64_t *ret_before, struct kf_err *err);
/* The elements of a list, which belong to the stream whose key is in r->key. memory_file_parts.c */
kf_rc memory_read_list(struct memory_reader *r, const struct json_node *list, struct kf_err *err);

/* The member of this name when it is a string, else NULL. */
const struct json_node *memory_string(const struct json_node *object, const char *name);
static inline void memory_cut(struct buf *b, size_t len)
{
    if (b->len > len) {
        b->len = len;
        b->p[len] = '\0';
    }
}

/* ----------------------------------------------------------------------------------- to a file */

/* The elements of a stream: memory_file_elements.c. A zeroed one is empty. */
struct memory_element;
struct memory_elements {
    const struct memory_kind *kind;
    bool exchanges; /* else messages */
    str key;
    struct arena arena;
    struct memory_element *first, *last, *by_exchange;
    uint64_t count;
};
void memory_elements_release(struct memory_elements *e);
/* Empty again, for the next stream. */
void memory_elements_clear(struct memory_elements *e);
/* Takes an entry in. KF_INVALID schema, with `e` as before. */
kf_rc memory_elements_take(struct memory_elements *e, const struct memory_entry *entry,
                           struct kf_err *err);
/* Appends them as an array. */
kf_rc memory_elements_put(const struct memory_elements *e, struct buf *out, struct kf_err *err);
/* Calls `fn` with the hash of each one's value. */
kf_rc memory_elements_values(const struct memory_elements *e, memory_value *fn, void *ctx,
                             struct kf_err *err);
/* The timestamps of the first and the last one that has one, raw; .p NULL = none has. */
void memory_elements_times(const struct memory_elements *e, str *ret_first, str *ret_last);

/* A JSON text that is copied into the arena. */
kf_rc memory_parse(struct arena *arena, str json, const struct json_node **ret, struct kf_err *err);
/* The raw string of this name; .p NULL when it is absent or no string. */
str memory_raw(const struct json_node *object, const char *name);
/* `,"name":raw`, without the comma behind a `{`; nothing when raw.p is NULL. */
void memory_put_member(struct buf *out, const char *name, str raw);

#endif

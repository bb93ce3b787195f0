/* memory_file: what an app that kept its assistants' memory in three JSON files has in them, as
 * streams, and back as files of equal value.
 *
 *   file                            what it is            a stream for each   its key
 *   persona_memory.json             {NAME: PERSONA, …}    persona             persona/NAME
 *   partner_conversations.json      {NAME: PERSONA, …}    persona             partner/NAME
 *   autonomous_conversations.json   [DIALOGUE, …]         dialogue            autonomous/ID
 *
 * The last two may also be an object whose member `conversations` is an array of DIALOGUE; the key
 * is then partner/ID or autonomous/ID.
 *
 *   PERSONA    an object; `conversations`, if it is there, an array of EXCHANGE, or `messages` one
 *              of MESSAGE; `statistics` is kept going
 *   DIALOGUE   the same with a string `id`, which may stand twice
 *   EXCHANGE   an object with a string `user_message`, a string `ai_response` or both: an entry of
 *              kind `user` and one of kind `assistant`, which share an `exchange`
 *   MESSAGE    an object with strings `role` and `content`: an entry of the kind that `role` says;
 *              or with strings `partner` and `message`, or `partner` and `content`: one of
 *              kind `assistant`
 *
 * EXCHANGE and MESSAGE may have a `timestamp` (without a zone it is kept as it was written and
 * taken for UTC) and a `portfolio_snapshot`, which is attached. Other members of any object are
 * kept.
 *
 * docs/formats.md has the attributes and bodies. A file that cannot be mapped is refused as a
 * whole, with a JSON Pointer to the member: nothing is guessed and nothing left out.
 *
 * The codec is pure: streams go out and come in through callbacks. move/memory_store.h has those of
 * a store.
 *
 * Threads: any. Memory: about ten times the file. */
#ifndef KF_MOVE_MEMORY_FILE_H
#define KF_MOVE_MEMORY_FILE_H

#include "base/buf.h"
#include "base/hash.h"

enum memory_file { MEMORY_PERSONA, MEMORY_PARTNER, MEMORY_AUTONOMOUS };

/* Which one a file of this path is, by how its last segment begins (persona_memory_old.json is one,
 * too). False: none. */
bool memory_file_known(str path, enum memory_file *ret);
/* "persona_memory.json" */
const char *memory_file_name(enum memory_file file);
/* "persona/": what the keys of its streams begin with. */
const char *memory_file_prefix(enum memory_file file);

/* Borrowed until the callback returns, or until the next call of the one that gave it. */
struct memory_stream {
    str key;
    str attrs; /* a JSON object; from a file: a merge patch */
};
struct memory_entry {
    uint64_t n; /* its number; 0 from a file */
    str id;     /* "" = none; from a file: made of key and content, so that a file that comes
                      twice has the same */
    str kind;
    int64_t at_ms; /* 0 = not said */
    str body;      /* JSON */
    str attach;    /* JSON; .p == NULL: none */
};
struct memory_counts {
    uint64_t streams, entries;
    uint64_t exchanges; /* elements of `conversations` and `messages` */
};

/* ---------------------------------------------------------------------------------- from a file */

/* Called for each stream and then for its entries, in their order. What they return but KF_OK ends
 * the reading and is returned. */
struct memory_sink {
    kf_rc (*stream)(void *ctx, const struct memory_stream *stream, struct kf_err *err);
    /* Before the entries of an element, with the hash of its value; *ret_wanted = false leaves them
     * out. NULL: all are wanted. */
    kf_rc (*element)(void *ctx, const struct hash *value, bool *ret_wanted, struct kf_err *err);
    kf_rc (*entry)(void *ctx, const struct memory_entry *entry, struct kf_err *err);
    void *ctx;
};
/* The whole file is looked through before the first callback. body_max: largest body and
 * attachment. KF_INVALID schema with the pointer and, in err->offset, the place in the file;
 * bad_json and json_limit as json_check (61 levels, any number of tokens; in one entry
 * json_check's); bad_key for a name that no stream can have; KF_LIMIT too_large for an entry or for
 * attributes, and json_limit for an entry, without an offset; KF_NOMEM. ret (may be NULL): what was
 * given out. */
kf_rc memory_file_read(enum memory_file file, str json, size_t body_max,
                       const struct memory_sink *sink, struct memory_counts *ret,
                       struct kf_err *err);

/* ----------------------------------------------------------------------------------- to a file */

/* Gives streams one after the other, in any order, and the entries of each in theirs. Only those
 * whose keys begin with memory_file_prefix are asked for. */
struct memory_source {
    kf_rc (*stream)(void *ctx, struct memory_stream *ret, bool *ret_there, struct kf_err *err);
    kf_rc (*entry)(void *ctx, struct memory_entry *ret, bool *ret_there, struct kf_err *err);
    void *ctx;
};
/* Appends the file: pretty, with a newline at its end. Streams that came from a file are in their
 * old order, others behind them by key. What was appended later stands behind the old elements, and
 * statistics go on: total_messages by the number of new exchanges, last_interaction to the last.
 *
 * KF_INVALID schema names the stream and the entry that cannot stand in such a file: of another
 * kind than it has words for, without a text, or a third one of an exchange. On failure `out` is as
 * before. */
kf_rc memory_file_write(enum memory_file file, const struct memory_source *source, struct buf *out,
                        struct memory_counts *ret, struct kf_err *err);

/* Calls `fn` with the hash of the value of each element that memory_file_write would make of the
 * stream, whose entries source->entry gives. Entries that cannot stand in a file are
 * passed over. */
typedef kf_rc memory_value(void *ctx, const struct hash *value, struct kf_err *err);
kf_rc memory_file_values(enum memory_file file, const struct memory_stream *stream,
                         const struct memory_source *source, memory_value *fn, void *ctx,
                         struct kf_err *err);

#endif

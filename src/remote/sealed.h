/* sealed: what is encrypted on its way to a place, for every kind of it.
 *
 * A connection around a connection. Outwards each document becomes another document, whose name is
 * sealed and whose body is a sealed one (base/seal.h); inwards it becomes itself again. So no kind
 * knows of it, and the wrapper above hardly.
 *
 *     wrapper  <-- documents -->  sealed  <-- sealed documents -->  kind  <-->  place
 *
 * Without a key it lets documents through, and looks at names alone: a place that holds sealed ones
 * is not taken for an empty one.
 *
 * E1  Nothing leaves but sealed documents, and deletions of what stands under the old key. A
 *     document that was deleted is a sealed document, too.
 * E2  What a pull hands out was sealed by a key that is configured, under its name and for the
 *     write that the place says it is (stamp, site): else it is bad, or set aside where not even
 *     its name is one. Who has no key can neither write, change, move nor delete a document; only
 *     bring older states back, of all (R5) or of one, and leave documents out, of which nothing
 *     there tells a store that never had them.
 * E3  A place that holds documents under a key that is not configured, or plain ones where a key
 *     is, is `key_needed`: nothing is handed out of it that is not ours, and nothing is pushed.
 * E4  The old key: what stands under it is handed out as `elsewhere`, and the push that brings a
 *     document under the new key takes the old one away, in the same step.
 *
 * A position begins with the id of its key, and says whether something was left under the old one;
 * to another key it says nothing, and the wrapper begins anew.
 *
 * Threads: as a remote. */
#ifndef KF_REMOTE_SEALED_H
#define KF_REMOTE_SEALED_H

#include "base/seal.h"
#include "remote/remote.h"

/* Whether the place names a key. */
bool sealed_wanted(const struct remote_place *place);
/* What is named together and must not be: KF_CONFIG. Reads nothing. */
kf_rc sealed_check(const struct remote_place *place, struct kf_err *err);
/* The id of the key that the place names, "" when it names none or it cannot be read. */
kf_rc sealed_id(const struct env *env, const struct remote_place *place, char ret_id[SEAL_ID + 1],
                struct kf_err *err);

/* A connection of this kind, with what the place names of keys: they are read first, KF_CONFIG
 * `key_needed` when one cannot be. */
kf_rc sealed_open(const struct remote_driver *driver, const struct env *env,
                  const struct remote_place *place, struct remote **ret, struct kf_err *err);
/* The id of the key of a connection that sealed_open made, "" = none. */
const char *sealed_key_of(const struct remote *r);
/* Whether a position ("" = none, which is) was made with the key of this id. */
bool sealed_position_fits(str position, const char *id);

#endif

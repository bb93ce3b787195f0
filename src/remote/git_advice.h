/* git_advice: what git, ssh and hosts say when something fails, and what to do about it.
 *
 * Words of other programs are no interface: they are looked for, the first that fits counts, and
 * where none does nothing is claimed. What is decided by them is a sentence for people, whether to
 * wait for a new token or key, and whether one document or all were refused.
 *
 * Pure. Threads: any. */
#ifndef KF_REMOTE_GIT_ADVICE_H
#define KF_REMOTE_GIT_ADVICE_H

#include "base/err.h"
#include "remote/git_url.h"
#include "remote/remote.h"

/* What to do about a child that could not do its work, when `said` (the end of its stderr) tells:
 * appended as one sentence. *ret_problem: remote_auth, when it is the key or the token that the
 * host did not accept; remote_full; else remote_failed. False, and nothing, for any other
 * failure. */
bool git_advice(const struct remote_place *place, const struct git_url *url, str said,
                enum problem *ret_problem, struct buf *out);

/* What a sentence of git_advice is about: for who has only the sentence, which is kept with
 * the remote. */
enum git_cause {
    GIT_CAUSE_OTHER,
    GIT_CAUSE_NO_TOKEN,
    GIT_CAUSE_TOKEN,
    GIT_CAUSE_KEY,
    GIT_CAUSE_RIGHT,
    GIT_CAUSE_HOST, /* it does not prove who it is */
    GIT_CAUSE_ABSENT,
    GIT_CAUSE_ELSEWHERE,
    GIT_CAUSE_PAUSE
};
enum git_cause git_advice_cause(str sentence);

/* Whether a guest was sent away: the host wants to know who asks, or shows him nothing. */
bool git_advice_guest_refused(str said);

/* Whether a push failed for what was in it (remote.h, R7), as far as git and hosts have words for
 * that; `said` as above. */
bool git_advice_content_refused(str said);

#endif

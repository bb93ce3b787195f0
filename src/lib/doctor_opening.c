/* Why a store could not be opened or asked. */
#include "lib/doctor.h"

#include "base/err.h"
#include "db/db.h"

#include <stdio.h>
#include <unistd.h>

static bool is(const struct kf_err *why, enum problem problem)
{
    return problem_find(why->code) == &problem_table[problem];
}

static enum finding finding_of_problem(const struct kf_err *why)
{
    static const struct {
        enum problem problem;
        enum finding finding;
    } table[] = {
        {PROBLEM_NOT_FOUND, FINDING_NOT_THERE},
        {PROBLEM_UNKNOWN_SPACE, FINDING_NOT_THERE},
        {PROBLEM_BUSY, FINDING_IN_USE},
        {PROBLEM_PERMISSION, FINDING_NOT_PERMITTED},
        {PROBLEM_CONFIG, FINDING_CONFIG_BROKEN},
        {PROBLEM_DAMAGED, FINDING_STORE_DAMAGED},
        {PROBLEM_FORMAT_TOO_NEW, FINDING_FORMAT_TOO_NEW},
        {PROBLEM_DISK_FULL, FINDING_DISK_FULL},
        {PROBLEM_STORE_UNAVAILABLE, FINDING_STORE_AWAY},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (is(why, table[i].problem))
            return table[i].finding;
    return FINDING_CANNOT_OPEN;
}

/* Whose it is, where it is not ours. */
static void tell_owner(const struct env *env, const char *path, char *out, size_t size)
{
    struct stat st;
    out[0] = '\0';
    if (path_stat(env, path, &st, NULL) == KF_OK && st.st_uid != geteuid())
        snprintf(out, size, " (it belongs to user %u, this is user %u)", (unsigned)st.st_uid,
                 (unsigned)geteuid());
}

void doctor_opening(const struct env *env, const char *path, bool own_folder,
                    const struct kf_err *why, struct findings *f)
{
    char owner[80];
    enum finding found = finding_of_problem(why);
    if (db_is_url(path)) { /* there is no file to look at */
        findings_add(f, found == FINDING_IN_USE ? FINDING_CANNOT_OPEN : found, NULL, "%s",
                     why->detail);
        return;
    }
    tell_owner(env, path, owner, sizeof(owner));
    doctor_place(env, path, own_folder, f);
    doctor_gone(env, path, f);
    /* What the files show is the cause, and the failure is what followed. */
    if (found == FINDING_CONFIG_BROKEN && findings_has(f, FINDING_NETWORK_FS, NULL))
        findings_level(f, FINDING_NETWORK_FS, NULL, KF_FINDING_ERROR);
    else if (!findings_has(f, FINDING_LOG_ALONE, NULL) &&
             !findings_has(f, FINDING_DISK_READ_ONLY, NULL))
        findings_add(f, found, NULL, "%s%s", why->detail,
                     found == FINDING_NOT_PERMITTED || found == FINDING_CANNOT_OPEN ? owner : "");
}

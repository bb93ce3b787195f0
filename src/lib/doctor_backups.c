#include "lib/doctor.h"

#include "base/when.h"

#include <stdio.h>

static void look_at_schedule(const struct kf_backups *b, struct findings *f)
{
    char since[WHEN_LEN + 1], last[WHEN_LEN + 1];
    when_format(b->overdue_ms, since);
    when_format(b->last.at_ms, last);
    if (b->overdue_ms)
        findings_add(f, FINDING_BACKUP_LATE, NULL,
                     "one was due at %s; the newest good one is %s%s%s", since,
                     b->last.at_ms ? "of " : "none", b->last.at_ms ? last : "",
                     b->last_error[0] ? "; the last attempt failed, see below" : "");
    if (b->last_code[0])
        findings_add(f, FINDING_BACKUP_FAILING, NULL, "%s (%u time%s in a row)", b->last_error,
                     (unsigned)b->failures, b->failures == 1 ? "" : "s");
}

static void look_at_drill(const struct kf_backups *b, struct findings *f)
{
    char at[WHEN_LEN + 1];
    when_format(b->drill.at_ms, at);
    if (b->drill.at_ms && !b->drill.good)
        findings_add(f, FINDING_DRILL_FAILED, NULL, "%s, tried at %s: %s", b->drill.file, at,
                     b->drill.error);
}

/* Settings as C strings: they are short, and what is longer is told cut. */
static const char *text(str s, char *out, size_t size)
{
    snprintf(out, size, "%.*s", STR_ARGS(s));
    return out;
}

static void look_at_place(const struct doctor_view *v, struct findings *f)
{
    char path[4096], file[4096], variable[256];
    str to = v->config->backup_to;
    if (!str_starts(to, STR("dir:")))
        return;
    text(str_from(to, 4), path, sizeof(path));
    if (doctor_same_disk(v->env, path, v->path))
        findings_add(f, FINDING_BACKUP_SAME_DISK, NULL,
                     "%s and %s are on one file system: when that is lost, both are", path,
                     v->path);
    doctor_secret_file(v->env, text(v->config->backup_key_file, file, sizeof(file)),
                       "backup.key_file", NULL, f);
    doctor_secret_env(text(v->config->backup_key_env, variable, sizeof(variable)), "backup.key_env",
                      NULL, f);
}

void doctor_backups(const struct doctor_view *v, struct findings *f)
{
    if (!v->status.backups.on)
        return;
    look_at_schedule(&v->status.backups, f);
    look_at_drill(&v->status.backups, f);
    if (v->config)
        look_at_place(v, f);
}

/* In a file of its own, for what it calls is not in every test. */
#include "testing.h"

kf_rc testing_backup(kf_store *store, const char *path, const char *pending_to,
                     kf_progress *progress, void *ctx, struct kf_err *err)
{
    struct kf_backup_options o = KF_BACKUP_OPTIONS_INIT;
    o.pending_to = pending_to;
    o.progress = progress;
    o.ctx = ctx;
    return kf_backup(store, path, &o, err);
}

kf_rc testing_restore(kf_store *store, const char *path, bool replace, kf_progress *progress,
                      void *ctx, struct kf_err *err)
{
    struct kf_restore_options o = KF_RESTORE_OPTIONS_INIT;
    o.replace = replace;
    o.progress = progress;
    o.ctx = ctx;
    return kf_restore(store, path, &o, err);
}

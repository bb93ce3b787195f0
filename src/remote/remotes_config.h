/* remotes_config: what of a configuration's remotes only their kinds can judge: addresses and
 * branches. For whoever has just read one, so that a mistake is told with its place in the file,
 * and before a store is opened; opening it looks once more.
 *
 * Threads: any. */
#ifndef KF_REMOTE_REMOTES_CONFIG_H
#define KF_REMOTE_REMOTES_CONFIG_H

#include "base/config.h"
#include "base/err.h"

/* KF_CONFIG with line and column. Touches nothing outside. */
kf_rc remotes_config_check(const struct config *config, struct kf_err *err);

#endif

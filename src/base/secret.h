/* secret: what looks like one, and reading one that a file holds.
 *
 * A configuration says where a secret is and never what it is. People mix that up, and what they
 * wrote would then be stored, printed and logged: so names and addresses are looked at for what is
 * plainly a token, and refused without being repeated. That a text does not look like a secret
 * says nothing.
 *
 * Threads: any. */
#ifndef KF_BASE_SECRET_H
#define KF_BASE_SECRET_H

#include "base/env.h"

#define SECRET_MAX 4096 /* bytes of a token */

/* Whether a word is what a git host gives out as a token: by the beginnings that the hosts use, or
 * 32 and more hex digits. */
bool secret_like(str word);
/* Whether an address "SCHEME://USER:PASSWORD@…" holds one: a password, or a token for a user. */
bool secret_in_url(str url);
/* Where hosts begin in an address "SCHEME://USER:PASSWORD@HOSTS…", as libpq finds it: a password
 * may hold ? and #, and what ends it is the first @ before a slash. */
size_t secret_url_hosts(str url);
/* An address as it may be shown, appended to `out`: without a password behind its user and without
 * parameters (?NAME=VALUE…), which may hold one. */
void secret_hide_url(str url, struct buf *out);

/* [A-Za-z_][A-Za-z0-9_]*, as shells and services can set it. */
bool secret_variable_ok(str name);

/* KF_CONFIG `permission`, naming file and mode, when others than its owner may read or write it;
 * KF_ABSENT when it is not there. A link is followed as by FILE_LINKED. */
kf_rc secret_file_check(const struct env *env, const char *path, struct kf_err *err);
/* Checks the same of the file that it then reads: at most `cap` bytes into `to`. *ret_len is what
 * was there, `cap` when there is more. */
kf_rc secret_file_read(const struct env *env, const char *path, char *to, size_t cap,
                       size_t *ret_len, struct kf_err *err);
/* The same of a file that may also be root's and readable by its group (0640): so a machine gives
 * keys of its own to services (Debian's ssl-cert). Only to one that is not root, who needs none. */
kf_rc secret_file_read_given(const struct env *env, const char *path, char *to, size_t cap,
                             size_t *ret_len, struct kf_err *err);

#endif

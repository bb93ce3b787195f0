/* The remotes in keepfast.yaml.
 *
 *     remotes:
 *       NAME: { url, kind, every, after, on_change, manual, docs, warn_pending, allow_secrets,
 *               encrypt: { key_file, key_env, old_key_file, old_key_env },
 *               branch, token_env, token_file, ssh_key_file, known_hosts_file, ca_file, insecure,
 *               public }
 *
 * The keys of the last two lines are of access.def and for remotes of kind git alone. They name
 * where a secret is, as those of seal.def in `encrypt` do; one that stands in the file itself is
 * refused, and repeated nowhere. Whether an address or a branch is one is the kind's to say, to
 * whoever asks (remote/remotes_config.h) and when the store opens; whether a key is one is found by
 * each run, so that a lost one does not stop the store. */
#include "base/config_internal.h"

#include "base/json.h"
#include "base/secret.h"
#include "version.h"

#include <stddef.h>

/* Kinds and how their addresses begin; what an error shows is the first of its kind. Those of this
 * build first; mem and fail do not last and are for tests. git is built when the reader says so. */
static const struct kind {
    const char *name, *prefix;
    bool built;
} kinds[] = {
    {"dir", "dir:", true},
    {"mem", "mem:", true},
    {"fail", "fail:", true},
    {"sqlite", "sqlite:", false},
    {"postgres", "postgres:", false},
    {"postgres", "postgresql:", false},
    {"s3", "s3:", false},
    {"azure", "azure:", false},
    {"gist", "gist:", false},
    {"github", "github:", false},
    {"keepfast", "keepfast+", false},
    {"git", "https:", false},
    {"git", "git+https:", false},
    {"git", "git@", false},
    {"git", "ssh:", false},
    {"git", "file:", false},
    {"git", "http:", false},
    {"git", "git:", false},
};
#define KIND_COUNT (sizeof kinds / sizeof *kinds)

static const struct kind *kind_named(str name)
{
    for (size_t i = 0; i < KIND_COUNT; i++) {
        if (str_is(name, kinds[i].name))
            return &kinds[i];
    }
    return NULL;
}

static const struct kind *kind_of(str url)
{
    for (size_t i = 0; i < KIND_COUNT; i++) {
        if (str_starts(url, str_of(kinds[i].prefix)))
            return &kinds[i];
    }
    return NULL;
}

/* A remote while it is read: what its parts must agree on is checked when all were seen. */
struct remote_read {
    struct config_remote *remote;
    const struct yaml_node *url, *kind, *manual,
        *timed,  /* where they stand; timed: the first of every, after, on_change */
        *access; /* the first of those of access.def */
};

static void note_timed(struct remote_read *t, const struct yaml_node *n)
{
    if (!t->timed)
        t->timed = n->key;
}

static kf_rc read_url(struct config_reader *r, const struct yaml_node *n, void *target)
{
    struct remote_read *t = target;
    t->url = n;
    return reader_text(r, n, "url", &t->remote->url);
}

static kf_rc read_kind(struct config_reader *r, const struct yaml_node *n, void *target)
{
    struct remote_read *t = target;
    t->kind = n;
    return reader_text(r, n, "kind", &t->remote->kind);
}

static kf_rc read_every(struct config_reader *r, const struct yaml_node *n, void *target)
{
    struct remote_read *t = target;
    note_timed(t, n);
    return reader_duration(r, n, "every", 100, &t->remote->schedule.every_ms);
}

static kf_rc read_on_change(struct config_reader *r, const struct yaml_node *n, void *target)
{
    struct remote_read *t = target;
    note_timed(t, n);
    return reader_duration(r, n, "on_change", 1, &t->remote->schedule.on_change_ms);
}

static kf_rc read_after(struct config_reader *r, const struct yaml_node *n, void *target)
{
    struct remote_read *t = target;
    note_timed(t, n);
    return reader_count(r, n, "after", 1, 1000000000, &t->remote->schedule.after);
}

static kf_rc read_manual(struct config_reader *r, const struct yaml_node *n, void *target)
{
    struct remote_read *t = target;
    if (!yaml_bool(n, &t->remote->schedule.manual))
        return REFUSE(r, n, "manual is true or false");
    t->manual = n->key;
    return KF_OK;
}

static kf_rc read_globs(struct config_reader *r, const struct yaml_node *n, void *target)
{
    struct remote_read *t = target;
    return reader_texts(r, n, "docs", &t->remote->docs, &t->remote->doc_count);
}

static kf_rc read_warn_pending(struct config_reader *r, const struct yaml_node *n, void *target)
{
    struct remote_read *t = target;
    if (n->type != YAML_SCALAR || !size_parse(n->text, &t->remote->warn_pending_bytes))
        return REFUSE(r, n, "warn_pending is a size such as 500, 16KiB, 8MiB or 1GiB");
    return KF_OK;
}

/* --------------------------------------------------------------------------- access to a remote */

static kf_rc read_flag(struct config_reader *r, const struct yaml_node *n, const char *what,
                       bool *ret)
{
    return yaml_bool(n, ret) ? KF_OK : REFUSE(r, n, "%s is true or false", what);
}

/* A path from the configuration's folder, as a whole one: a child process may run elsewhere. */
static kf_rc read_file(struct config_reader *r, const struct yaml_node *n, const char *what,
                       str *ret)
{
    struct buf path = BUF_INIT, whole = BUF_INIT;
    kf_rc rc = reader_text(r, n, what, ret);
    if (rc != KF_OK)
        return rc;
    if (ret->p[0] != '/')
        buf_str(&path, r->dir);
    buf_str(&path, *ret);
    if ((rc = buf_ok(&path, r->err)) == KF_OK)
        rc = path_absolute(path.p, &whole, r->err);
    if (rc == KF_OK)
        rc = reader_keep(r, buf_view(&whole), ret);
    buf_release(&path);
    buf_release(&whole);
    return rc;
}

/* One that is not there yet is looked for by each run of the remote. */
static kf_rc read_secret_file(struct config_reader *r, const struct yaml_node *n, const char *what,
                              str *ret)
{
    struct kf_err why = KF_ERR_INIT;
    kf_rc rc = read_file(r, n, what, ret);
    if (rc != KF_OK)
        return rc;
    rc = secret_file_check(r->env, ret->p, &why);
    if (rc == KF_NOMEM)
        return err_nomem(r->err);
    return rc == KF_OK || rc == KF_ABSENT ? KF_OK : REFUSE(r, n, "%s: %s", what, why.detail);
}

#define READER(member, word, read)                                                               \
    static kf_rc read_##member(struct config_reader *r, const struct yaml_node *n, void *target) \
    {                                                                                            \
        struct remote_read *t = target;                                                          \
        if (!t->access)                                                                          \
            t->access = n->key;                                                                  \
        return read(r, n, word, &t->remote->access.member);                                      \
    }
#define T(member, key, help) READER(member, key, reader_text)
#define F(member, key, help) READER(member, key, read_file)
#define S(member, key, help) READER(member, key, read_secret_file)
#define B(member, key, help) READER(member, key, read_flag)
#define ACCESS_OF_GIT_ALONE
#include "base/access.def"
#undef S
#undef READER
#define READER(member, word, read)                                                               \
    static kf_rc read_##member(struct config_reader *r, const struct yaml_node *n, void *target) \
    {                                                                                            \
        return read(r, n, word, &((struct remote_read *)target)->remote->access.member);         \
    }
#define S(member, key, help) READER(member, key, read_file)
#include "base/seal.def"
#undef T
#undef F
#undef S
#undef B

/* A token that was written where its name belongs, or into the address. */
static kf_rc check_secrets(struct config_reader *r, const struct yaml_node *map,
                           const struct remote_read *t)
{
    const struct config_access *a = &t->remote->access;
    const struct yaml_node *variable = reader_value(map, "token_env");
    if (secret_in_url(t->remote->url))
        return REFUSE(r, t->url,
                      "the address holds a password or token, which would be stored and shown: "
                      "take it out, make a new one, and name the variable (token_env) or the file "
                      "(token_file) that holds it");
    if (variable && secret_like(a->token_env))
        return REFUSE(r, variable,
                      "token_env is the name of a variable, and this looks like a token itself: "
                      "make a new one, for this one stands in a file, and name its variable");
    if (variable && !secret_variable_ok(a->token_env))
        return REFUSE(r, variable, "token_env is the name of a variable: letters, digits and _");
    if (variable && a->token_file.p)
        return REFUSE(r, variable->key,
                      "token_env and token_file both name a token: leave one out");
    return KF_OK;
}

/* A key that was written where its name belongs is not repeated. */
static kf_rc check_variable(struct config_reader *r, const struct yaml_node *map, const char *word,
                            str name)
{
    const struct yaml_node *n = reader_value(map, word);
    if (n && secret_like(name))
        return REFUSE(r, n,
                      "%s is the name of a variable, and this looks like a key itself: make a new "
                      "one, for this one stands in a file, and name where it is",
                      word);
    if (n && !secret_variable_ok(name))
        return REFUSE(r, n, "%s is the name of a variable: letters, digits and _", word);
    return KF_OK;
}

static kf_rc read_allow_secrets(struct config_reader *r, const struct yaml_node *n, void *target)
{
    struct remote_read *t = target;
    return read_flag(r, n, "allow_secrets", &t->remote->access.allow_secrets);
}

static kf_rc read_encrypt(struct config_reader *r, const struct yaml_node *n, void *target)
{
    static const struct config_key keys[] = {
#define T(member, key, help) {key, read_##member},
#define S(member, key, help) T(member, key, help)
#include "base/seal.def"
#undef T
#undef S
        {0}};
    struct remote_read *t = target;
    const struct config_access *a = &t->remote->access;
    kf_rc rc = reader_map(r, n, "encrypt", keys, target);
    if (rc == KF_OK)
        rc = check_variable(r, n, "key_env", a->key_env);
    if (rc == KF_OK)
        rc = check_variable(r, n, "old_key_env", a->old_key_env);
    if (rc != KF_OK)
        return rc;
    if (!a->key_file.len == !a->key_env.len)
        return REFUSE(r, n, "encrypt names one key: key_file, or key_env");
    if (a->old_key_file.len && a->old_key_env.len)
        return REFUSE(r, n, "old_key_file and old_key_env both name a key: leave one out");
    return KF_OK;
}

static kf_rc check_access(struct config_reader *r, const struct yaml_node *map,
                          const struct remote_read *t)
{
    if (str_is(t->remote->kind, "git"))
        return check_secrets(r, map, t);
    if (!t->access)
        return KF_OK;
    return REFUSE(r, t->access, "\"%.*s\" is for remotes of kind git alone",
                  SHOWN(t->access->text));
}

/* ------------------------------------------------------------------------------------ the whole */

static kf_rc check_kind(struct config_reader *r, const struct remote_read *t)
{
    const struct kind *from_url = kind_of(t->remote->url);
    const struct kind *kind = t->kind ? kind_named(t->remote->kind) : from_url;
    if (!kind && t->kind)
        return REFUSE(r, t->kind, "there is no kind \"%.*s\" of remote", SHOWN(t->remote->kind));
    if (!kind)
        return REFUSE(r, t->url, "this address names no kind of remote; write dir:PATH");
    bool git = strcmp(kind->name, "git") == 0;
    if (git ? !r->git : !kind->built)
        return REFUSE(r, t->kind ? t->kind : t->url,
                      "remotes of kind %s are not part of this version (%s) yet", kind->name,
                      KF_VERSION);
    if (git && !from_url) /* USER@HOST:PATH has any beginning */
        from_url = str_index(t->remote->url, '@') < t->remote->url.len ? kind : NULL;
    if (!from_url || strcmp(from_url->name, kind->name) != 0)
        return REFUSE(r, t->url, "an address of kind %s begins with %s", kind->name, kind->prefix);
    if (strcmp(kind->name, "dir") == 0 && t->remote->url.len == strlen(kind->prefix))
        return REFUSE(r, t->url, "dir: needs the path of a folder behind it");
    t->remote->kind = str_of(kind->name);
    return KF_OK;
}

static kf_rc read_remote(struct config_reader *r, const struct yaml_node *n,
                         struct config_remote *remote)
{
    static const struct config_key keys[] = {{"url", read_url},
                                             {"kind", read_kind},
                                             {"every", read_every},
                                             {"after", read_after},
                                             {"on_change", read_on_change},
                                             {"manual", read_manual},
                                             {"docs", read_globs},
                                             {"warn_pending", read_warn_pending},
#define T(member, key, help) {key, read_##member},
#define F(member, key, help) T(member, key, help)
#define S(member, key, help) T(member, key, help)
#define B(member, key, help) T(member, key, help)
#include "base/access.def"
#undef ACCESS_OF_GIT_ALONE
#undef T
#undef F
#undef S
#undef B
                                             {"allow_secrets", read_allow_secrets},
                                             {"encrypt", read_encrypt},
                                             {"layout", NULL},
                                             {"streams", NULL},
                                             {"endpoint", NULL},
                                             {"region", NULL},
                                             {0}};
    struct remote_read t = {.remote = remote};
    *remote = (struct config_remote){.warn_pending_bytes = CONFIG_WARN_PENDING};
    if (!config_name_ok(n->key->text) || str_is(n->key->text, "all"))
        return REFUSE(
            r, n->key,
            "\"%.*s\" cannot name a remote: a-z, 0-9, _ and -, at most %d, and not \"all\"",
            SHOWN(n->key->text), CONFIG_NAME_MAX);
    kf_rc rc = reader_keep(r, n->key->text, &remote->name);
    if (rc == KF_OK)
        rc = reader_map(r, n, "a remote", keys, &t);
    if (rc != KF_OK)
        return rc;
    if (!t.url)
        return REFUSE(r, n->key, "the remote \"%.*s\" has no \"url\"", STR_ARGS(remote->name));
    if (remote->schedule.manual && t.timed)
        return REFUSE(r, t.manual, "manual: true contradicts \"%.*s\" in line %u",
                      STR_ARGS(t.timed->text), t.timed->line);
    const struct yaml_node *branch = reader_value(n, "branch");
    remote->url_at = (struct config_at){t.url->line, t.url->column};
    if (branch)
        remote->branch_at = (struct config_at){branch->line, branch->column};
    rc = check_kind(r, &t);
    return rc == KF_OK ? check_access(r, n, &t) : rc;
}

kf_rc config_read_remotes(struct config_reader *r, const struct yaml_node *n, void *target)
{
    struct config_space *space = target;
    if (n->type != YAML_MAP)
        return REFUSE(r, n, "remotes is a map of names");
    space->remotes = arena_alloc(&r->c->arena, n->count * sizeof *space->remotes);
    if (!space->remotes)
        return err_nomem(r->err);
    for (const struct yaml_node *one = n->child; one; one = one->next) {
        kf_rc rc = read_remote(r, one, &space->remotes[space->remote_count]);
        if (rc != KF_OK)
            return rc;
        space->remote_count++;
    }
    return KF_OK;
}

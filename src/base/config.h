/* config: keepfast.yaml, the environment and flags, as one struct.
 *
 *     defaults (settings.def) < file < environment (KEEPFAST_POOL_MAX) < flag
 *
 * The file is YAML 1.2 read by libfyaml: aliases, tags and duplicate keys are refused, size and
 * depth limited. An unknown key, a key whose part is not built yet, or a value out of range is an
 * error with line and column. Settings outside `spaces` are the lines of settings.def; `spaces` has
 * a reader of its own.
 *
 * Threads: immutable once loaded. */
#ifndef KF_BASE_CONFIG_H
#define KF_BASE_CONFIG_H

#include "base/arena.h"
#include "base/env.h"

#define CONFIG_FILE_MAX     (1024 * 1024)
#define CONFIG_NAME_MAX     60
#define CONFIG_ON_CHANGE_MS 10000               /* of a remote without a schedule */
#define CONFIG_WARN_PENDING ((uint64_t)1 << 30) /* of a remote that does not say */

enum config_source { CONFIG_DEFAULT, CONFIG_FILE, CONFIG_ENV, CONFIG_FLAG };

/* One line of settings.def each: S(path, type, member, default text, help). */
enum setting {
#define S(id, path, type, member, def, help) SETTING_##id,
#include "base/settings.def"
#undef S
    SETTING_COUNT
};

enum log_level;
enum log_format;

/* How many and how long versions of a document are kept; 0 = no bound. */
struct config_keep {
    uint32_t versions;
    uint64_t age_ms;
};
#define CONFIG_KEEP_DEFAULT ((struct config_keep){100, 0})

/* A line of `docs:`; the first whose match fits a name counts. */
struct config_doc {
    str match;
    str klass; /* "critical", "config" …; "" = none */
    struct config_keep keep;
    str def; /* the default document as JSON text; .p == NULL = none */
    /* .p == NULL = none; the file is read when the configuration is loaded */
    str schema_path, schema_text;
};

/* The last so many entries of a kind, kept beside a stream. */
struct config_ring {
    str name, kind;
    uint32_t last;
};

/* A line of `streams:`; the first whose match fits a key counts. */
struct config_stream {
    str match;
    uint32_t window; /* entries in memory */
    str *kinds;      /* that entries may have; none = any */
    size_t kind_count;
    uint64_t keep_age_ms; /* 0 = no bound */
    uint32_t keep_last;   /* 0 = no bound */
    uint64_t gap_ms; /* a longer pause begins a conversation: for who shows it; nothing is cut */
    struct config_ring *rings;
    size_t ring_count;
};
#define CONFIG_STREAM_DEFAULT_INIT              \
    {                                           \
        .window = 100, .gap_ms = 30 * 60 * 1000 \
    }
#define CONFIG_STREAM_DEFAULT ((struct config_stream)CONFIG_STREAM_DEFAULT_INIT)
#define CONFIG_KIND_MAX       64 /* bytes of a kind */
#define CONFIG_KINDS_MAX      64 /* of them in a stream */

struct config_schedule {
    uint64_t every_ms, on_change_ms; /* 0 = not set */
    uint32_t after;                  /* 0 = not set */
    bool manual;
};

/* What a remote of kind git names beside its address (access.def); "" = not said. Files are whole
 * paths. */
struct config_access {
    str branch, token_env, token_file, ssh_key_file, known_hosts_file, ca_file;
    str key_file, key_env, old_key_file, old_key_env;
    bool insecure, public_ok;
    bool allow_secrets; /* of any kind */
};

struct config_remote {
    str name, url, kind;
    struct config_access access;
    struct config_schedule schedule; /* nothing set: on_change 10 s */
    str *docs;                       /* globs; none = all */
    size_t doc_count;
    uint64_t warn_pending_bytes;
    struct config_at {
        uint32_t line, column;
    } url_at, branch_at; /* where they stand in the file; 0 = nowhere */
};

struct config_space {
    str name;
    struct config_doc *docs;
    size_t doc_count;
    struct config_stream *streams;
    size_t stream_count;
    struct config_remote *remotes;
    size_t remote_count;
    str *tracked; /* tables of PostgreSQL, as in SQL */
    size_t tracked_count;
};

struct config {
    struct arena arena; /* owns everything */
    str file;           /* path it came from; "" = none */

    /* settings.def */
    str data;
    str *listen;
    size_t listen_count;
    bool listen_insecure;
    str *allow_hosts;
    size_t allow_hosts_count;
    str *allow_origins;
    size_t allow_origins_count;
    str tls_cert, tls_key; /* both "" = no TLS */
    uint64_t loops;
    uint64_t pool_min, pool_max, pool_idle_ms;
    uint64_t limit_doc, limit_entry, limit_body, limit_memory, limit_connections, limit_per_address;
    uint64_t limit_rate, limit_quota; /* 0 = none */
    str backup_to;                    /* "dir:PATH", "" = none */
    uint64_t backup_every_ms, backup_keep;
    str backup_key_file, backup_key_env; /* "" = not encrypted */
    str log_format, log_level;

    struct config_space *spaces;
    size_t space_count;
    enum config_source source[SETTING_COUNT];
};

/* A flag of the command line: --pool.max=5 is {"pool.max", "5"}. */
struct config_flag {
    const char *path, *value;
};

/* Reads `path` (NULL = no file) and puts environment and flags over it. `environ`: "KEY=VALUE"
 * strings ended by NULL. KF_CONFIG with "FILE:LINE:COLUMN: …" for anything that is not right. */
kf_rc config_load(const struct env *env, const char *path, char *const *environ,
                  const struct config_flag *flags, size_t flag_count, struct config **ret_config,
                  struct kf_err *err);
void config_free(struct config *config);

/* Where the file is: `given`, else KEEPFAST_CONFIG, else keepfast.yaml in `data_dir`, else in the
 * working directory. *ret is "" when there is none. KF_CONFIG when one that was named is not
 * there. */
kf_rc config_find(const struct env *env, const char *given, char *const *environ,
                  const char *data_dir, struct buf *ret, struct kf_err *err);

/* NULL when the configuration does not name it. */
const struct config_space *config_space(const struct config *config, str name);
/* The first line that fits, NULL when none does. */
const struct config_doc *config_doc(const struct config_space *space, str name);
/* The same for the key of a stream; the defaults when none fits. */
const struct config_stream *config_stream(const struct config_space *space, str key);
/* Whether an entry of this stream may have this kind. */
bool config_stream_kind(const struct config_stream *s, str kind);
/* Kinds of entries: [a-z0-9_.-]{1,64}. */
bool config_kind_ok(str kind);

/* Names of remotes: [a-z0-9][a-z0-9_-]{0,59}; of spaces: the same without `tokens`. */
bool config_name_ok(str name);
bool config_space_name_ok(str name);

/* Every setting with value and source, as JSON or as lines for people. */
void config_print(const struct config *config, bool json, struct buf *out);

/* The table itself, for help, reference and completion. */
struct setting_info {
    const char *path, *env, *type, *def, *help;
};
extern const struct setting_info setting_table[SETTING_COUNT];

/* A schedule as it would stand in the file: "every: 5m, after: 5"; with nothing set what holds
 * then. Appended. */
void config_schedule_format(const struct config_schedule *s, struct buf *out);

#endif

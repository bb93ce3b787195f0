/* cli: the command line. A command makes the same request that a client of the server would send,
 * and prints the answer.
 *
 *     words -> command, options -> place (--at) -> request -> answer
 *                                          -> stdout (data), stderr (talk), exit status
 *
 * Where the request goes: to the owner's socket when a process owns the store, to a server for
 * http://, else to a router in this process.
 *
 *   main.c     words to commands, help           place.c   --at to a place; a request to its answer
 *   table.c    the tables of commands and options   man.c, completion.c  other forms of them
 *   print.c    tables, people's forms, progress  wire.c    requests over a socket (libcurl)
 *   follow.c   what comes, until Ctrl-C
 *   cmd_*.c    the commands                      words.c   words as parts of requests */
#ifndef KF_CLI_CLI_H
#define KF_CLI_CLI_H

#include "api/direct.h"
#include "base/err.h"
#include "base/json.h"

enum option {
#define O(id, name, value, help) OPT_##id,
#include "cli/options.def"
#undef O
    OPT_COUNT
};

#define CLI_REPEAT_MAX 16
#define CLI_ARGS_MAX   64

struct cli {
    struct arena arena;
    const struct env *env;
    const char *args[CLI_ARGS_MAX]; /* behind the command's words */
    size_t arg_count;
    const char *opt[OPT_COUNT]; /* NULL = not given; "" = a flag */
    const char *repeat[OPT_COUNT][CLI_REPEAT_MAX];
    size_t repeat_count[OPT_COUNT];
    struct config_flag flags[SETTING_COUNT]; /* --pool.max and the like */
    size_t flag_count;
    bool json, tty; /* tty: stderr is a terminal */
    int status;     /* of a command that did what it was asked and has bad news */
    bool starved;   /* memory lacked for something that was to be shown: the command fails */
    struct place *closing;
    /* An answer over a socket in which nothing has moved for so long is given up: the network may
     * be gone, and nobody says so. 0 = its whole time is waited. */
    uint32_t stall_ms;
};
typedef kf_rc cli_command(struct cli *cli, struct kf_err *err);

#define C(words, function, args, options, summary) cli_command function;
#include "cli/commands.def"
#undef C

/* --- requests */

struct place;
/* The place of --at, KEEPFAST_AT or the default. *ret is to be freed by place_close. Opens nothing
 * yet. */
kf_rc place_open(struct cli *cli, struct place **ret, struct kf_err *err);
/* The same of a text that --at could have. */
kf_rc place_open_at(struct cli *cli, const char *at, struct place **ret, struct kf_err *err);
/* What --at or KEEPFAST_AT says; NULL = nothing was said. */
const char *place_named(const struct cli *cli);
#define PLACE_DEFAULT "./data#default"
/* The store's file, where the place is one of this machine's disks; else NULL. */
const char *place_file(const struct place *place);
/* As whoever answers calls it: known behind a request. */
const char *place_space(const struct place *place);
/* Says that nothing more is asked of it. */
void place_close(struct place *place);
/* Ends the place that was closed: runs remotes with on_change that have something pending; what is
 * left is said on stderr, for the command has done what it was asked. At the next place_open, and
 * when the command's output is out: a place that hangs keeps nobody from reading it. */
void place_finish(struct cli *cli);
/* The process ends with `status` after so many seconds, whatever hangs; 0 = no more. A run of a
 * remote in a call of the system (a dead network disk) cannot be asked to end, and nothing that was
 * answered depends on it: everything is on disk. May be called by a signal handler. */
void cli_end_within(unsigned seconds, int status);
/* After a request: whether somebody else answered it, who goes on when this command has ended. */
bool place_is_served(const struct place *place);

struct cli_request {
    enum api_method method;
    const char *target; /* behind /v1/SPACE: "/docs/a.json?…"; or absolute when it begins with "//":
                           "//v1" */
    struct api_header headers[8];
    size_t header_count;
    str body;              /* .p == NULL: none */
    const char *body_file; /* streamed instead of `body` */
    const char *sink_file; /* the answer's body of a success goes into this new file, synced */
    uint32_t timeout_ms;   /* longer than the server's own; 0 = 60 s */
    /* Shown before a growing count of bytes, or of seconds where none pass; NULL = silent. */
    const char *progress;
};
struct cli_answer {
    int status;
    str body, etag, ack; /* in the arena */
    bool is_default;
};
/* KF_OK for a status below 400; else the problem of the answer, as the router said it. */
kf_rc place_request(struct place *place, const struct cli_request *request, struct cli_answer *ret,
                    struct kf_err *err);

/* One request of a command; with --json the answer's body is printed. `ret_root`: the body taken
 * apart; NULL = it is not wanted. */
kf_rc cli_ask(struct cli *cli, struct cli_request *request, struct cli_answer *ret,
              struct json_node **ret_root, struct kf_err *err);

/* The same request as direct_call, over a socket. `base`: "http://host:port" or "unix:PATH".
 * `size`: of what `send` gives, -1 = not known. The answer's body goes to request->take; ret->body
 * stays empty. */
kf_rc wire_request(struct cli *cli, const char *base, const struct direct_request *request,
                   int64_t size, uint32_t timeout_ms, struct cli_answer *ret, struct kf_err *err);
/* Fills err from the JSON of a problem. */
kf_rc wire_problem(struct cli *cli, int status, str body, struct kf_err *err);

/* --- words */

/* A name as part of a target: everything but unreserved bytes and `/` escaped; a last segment that
 * is a route word gets its slash escaped. */
char *cli_escape_name(struct cli *cli, const char *name);
char *cli_escape(struct cli *cli, const char *text);
/* The same as one segment: a slash belongs to it. */
char *cli_escape_segment(struct cli *cli, const char *text);
/* Adds ?KEY=VALUE to a target, or &KEY=VALUE behind others; nothing for a value of NULL. Without
 * memory `target` has failed. */
void cli_query(struct cli *cli, struct buf *target, const char *key, const char *value);
/* How long --timeout says, else the usual. */
kf_rc cli_timeout(const struct cli *cli, uint64_t usual_ms, uint64_t *ret_ms, struct kf_err *err);
/* How long an answer is waited for that the server itself makes wait for so long: it has the last
 * word. */
uint32_t cli_patience(uint64_t wait_ms);
/* Adds to a target what --ack, --wait, --timeout and --ride of a write ask for, and says how long
 * its answer is waited for. */
kf_rc cli_write_query(struct cli *cli, struct buf *target, uint32_t *ret_timeout_ms,
                      struct kf_err *err);
/* The configuration in force for a folder or a file beside it. */
kf_rc cli_config(struct cli *cli, const char *dir, struct config **ret, struct kf_err *err);
/* A path as seen from anywhere, in the arena. NULL without memory or without a working
 * directory. */
char *cli_absolute(struct cli *cli, const char *path);
/* The bytes of FILE, of stdin for `-`, or of stdin when nothing is named and it is no terminal. */
kf_rc cli_read_body(struct cli *cli, const char *from, str *ret, struct kf_err *err);
/* Asks on a terminal, unless --yes was said; off one --yes is needed. KF_OK: go on. `question`:
 * what would happen, without a point. */
kf_rc cli_confirm(const struct cli *cli, const char *question, struct kf_err *err);
/* bad usage: fills PROBLEM_USAGE. */
kf_rc cli_usage(struct kf_err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* --- output */

/* Colours of stdout, where it is a terminal that has them, NO_COLOR is not set and no JSON is asked
 * for: told once, before anything is printed. Without them a tint is nothing. */
enum tint { TINT_NONE, TINT_STRONG, TINT_DIM, TINT_GOOD, TINT_WARN, TINT_BAD };
void print_begin(const struct cli *cli);
/* For printf: what begins a tint, and what ends it. */
const char *tint_on(enum tint tint);
const char *tint_off(void);
/* Columns of the terminal, 0 = stdout is none. */
size_t print_width(void);

/* From begin to end what is printed is gathered, then shown in the place of the frame before, cut
 * to the terminal. */
void print_frame_begin(void);
void print_frame_end(void);
/* What was gathered is not shown. */
void print_frame_drop(void);

void print_out(str bytes); /* stdout, whole */
/* In words, each line after the first indented, none wider than the terminal. Off a terminal it
 * is one line. Control characters are shown. */
void print_wrapped(size_t indent, str text);
/* "NAME: TEXT" likewise, with a tint for the name. */
void print_about(enum tint tint, str name, str text);
/* Appends a text as it is shown, on one line and cut to so many columns; 0 = whole. */
void print_brief(struct buf *out, str text, size_t columns);
/* "NAME: TEXT" on one line, on a terminal cut to it. */
void print_about_line(struct cli *cli, size_t indent, enum tint tint, str name, str text);
/* stderr: "keepfast: DETAIL" */
void print_failure(const char *detail);
void print_line(str line);
void print_fmt(const char *fmt, ...) __attribute__((format(printf, 1, 2)));  /* stdout */
void print_talk(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* stderr */
void print_question(const char *question); /* stderr: "QUESTION. Go on? [y/N] " */
void print_progress(struct cli *cli, const char *word, uint64_t done, uint64_t total);
/* For what tells nothing of how far it is: "WORD, 12 s", from the second second on. */
void print_waiting(struct cli *cli, const char *word, int64_t since_ms);
void print_progress_end(struct cli *cli);
/* 0, or the errno value with which stdout went away. */
int print_flush(void);

/* With --json: that something is gone, {"name":NAME,"removed":true}. */
void print_removed(const char *name);
/* With --json: that a file was written, {"file":PATH}. */
void print_written(const char *path);

/* A table for people: rows of cells, widths by content; numbers to the right. Control characters
 * are shown, not sent. */
struct table;
struct table *table_new(struct cli *cli, const char *const *heads, size_t columns);
void table_cell(struct table *t, str text);
void table_tint(struct table *t, enum tint tint); /* of the last cell */
void table_u64(struct cli *cli, struct table *t, uint64_t v);
void table_size(struct cli *cli, struct table *t, uint64_t v); /* "1.2 MiB" */
void table_print(struct table *t);
/* Every page of the list at `target`: through `row` into the table, or as one JSON object. `target`
 * and `t` may be NULL for lack of memory. */
kf_rc list_show(struct cli *cli, const char *target, struct table *t,
                void (*row)(struct cli *cli, struct table *t, const struct json_node *item),
                struct kf_err *err);

/* Values of a parsed answer. */
kf_rc answer_parse(struct cli *cli, const struct cli_answer *a, struct json_node **ret,
                   struct kf_err *err);
str node_text(struct cli *cli, const struct json_node *object, const char *member);
uint64_t node_u64(const struct json_node *object, const char *member);
bool node_true(const struct json_node *object, const char *member);
/* "1.2 MiB". In the arena. */
str cli_size(struct cli *cli, uint64_t bytes);
/* "1 entry", "2 entries". In the arena. */
str cli_count(struct cli *cli, uint64_t n, const char *one, const char *many);
/* "3 min ago", "never", "in 20 s" of a time member. */
str node_age(struct cli *cli, const struct json_node *object, const char *member);
/* What a text was: */
struct append_found {
    bool has_id;  /* an entry that brings its id */
    bool as_text; /* it begins as an object does, and cannot be read as JSON */
};
/* Appends what becomes of a text as JSON: an entry as HTTP takes it (cmd_append.c). of_lines: one
 * that is an entry already stays one. PROBLEM_USAGE when it is no UTF-8. */
kf_rc append_line(const struct cli *cli, str text, bool of_lines, struct buf *out,
                  struct append_found *ret_found, struct kf_err *err);
/* What the body of an entry, or of what a ring holds of one, says: its text where it has one, as
 * layouts of remotes take it, else its JSON (cmd_tail.c). */
str entry_text(struct cli *cli, const struct json_node *entry);
/* An entry for people: number, kind, age, and what its body says (cmd_tail.c). */
void print_entry(struct cli *cli, const struct json_node *entry);
/* --- what comes (follow.c) */

/* How long a server is asked to wait for what is next; a store of our own in a file has nothing to
 * wait for. */
#define FOLLOW_MS 5000
/* Prints what is behind the last one seen, which `ctx` knows. *ret_any: there was something, so
 * that there may be more at once. */
typedef kf_rc follow_behind(struct cli *cli, struct place *place, void *ctx, bool *ret_any,
                            struct kf_err *err);
/* Again and again, in a place that is opened each time. Numbers only grow, so what is asked for
 * behind the last one seen is neither shown twice nor left out, whatever happened to the server in
 * between. Ends by Ctrl-C, when nobody reads any more, or with a failure that does not pass. */
kf_rc follow_on(struct cli *cli, follow_behind *behind, void *ctx, struct kf_err *err);
/* One question of it. target: NULL = there was no memory for it. */
kf_rc follow_ask(struct cli *cli, struct place *place, const char *target,
                 struct json_node **ret_root, struct kf_err *err);
/* An item of a list as one line of JSON. */
kf_rc print_json_line(const struct json_node *item, struct kf_err *err);

/* "/streams/KEY" + tail, in the arena. NULL without memory. */
char *stream_target(struct cli *cli, const char *tail);
/* What the status says of tracked tables (cmd_track.c). */
void print_tracked(struct cli *cli, const struct json_node *tracked);
/* A table of remotes, as status and lists give them (cmd_status.c). */
void print_remotes(struct cli *cli, const struct json_node *remotes);

#endif

/* keepfast doctor: what is wrong, and what to do.
 *
 *     --at DIR                every space of the folder
 *     --at DIR#SPACE, FILE    that one
 *     --at http://…, unix:…   that space; without one all that the server shows
 *
 * Each is looked at from outside first (its files, before opening them changes their modes), then
 * asked: its owner's doctor answers, or the one of a router in this process. One that cannot be
 * asked is no failure of the command but what it has found. */
#include "cli/cli.h"
#include "lib/doctor.h"

#include "base/mem.h"

#include <stdio.h>

struct item {
    kf_finding_level level;
    str code, title, detail, next, space, remote; /* in the arena */
};

struct look {
    struct cli *cli;
    struct item *items; /* in the arena */
    size_t count, cap;
    struct buf said; /* lines of what was looked at */
    struct buf json; /* the same */
    size_t places;
};

/* ------------------------------------------------------------------------------------ gathering */

static bool is_known(const struct look *l, const struct item *item)
{
    for (size_t i = 0; i < l->count; i++)
        if (str_eq(l->items[i].code, item->code) && str_eq(l->items[i].space, item->space) &&
            str_eq(l->items[i].remote, item->remote))
            return true;
    return false;
}

static void add(struct look *l, const struct item *item)
{
    if (is_known(l, item))
        return;
    if (l->count == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 32;
        struct item *more = arena_alloc(&l->cli->arena, cap * sizeof *more);
        l->cli->starved |= !more;
        if (!more)
            return;
        if (l->count)
            memcpy(more, l->items, l->count * sizeof *more);
        l->items = more;
        l->cap = cap;
    }
    l->items[l->count++] = *item;
}

static str keep(struct look *l, const char *text)
{
    str s = arena_str(&l->cli->arena, str_of(text));
    l->cli->starved |= !s.p;
    return s.p ? s : (str){"", 0};
}

/* What was seen from here; *f is empty then. */
static void add_findings(struct look *l, struct findings *f, const char *space)
{
    struct kf_finding_list list = {0};
    if (findings_give(f, &list, NULL) != KF_OK) {
        l->cli->starved = true;
        return;
    }
    for (size_t i = 0; i < list.count; i++) {
        const struct kf_finding *k = &list.items[i];
        add(l, &(struct item){.level = k->level,
                              .code = keep(l, k->code),
                              .title = keep(l, k->title),
                              .detail = keep(l, k->detail),
                              .next = keep(l, k->next),
                              .space = keep(l, k->of_machine ? "" : space),
                              .remote = keep(l, k->remote)});
    }
    kf_finding_list_free(&list);
}

static kf_finding_level level_of(str word)
{
    return str_is(word, "error")     ? KF_FINDING_ERROR
           : str_is(word, "warning") ? KF_FINDING_WARNING
                                     : KF_FINDING_NOTE;
}

static void add_answer(struct look *l, const struct json_node *root)
{
    const struct json_node *items = json_member(root, "items");
    for (const struct json_node *n = items ? items->child : NULL; n; n = n->next)
        add(l, &(struct item){.level = level_of(node_text(l->cli, n, "level")),
                              .code = node_text(l->cli, n, "code"),
                              .title = node_text(l->cli, n, "title"),
                              .detail = node_text(l->cli, n, "detail"),
                              .next = node_text(l->cli, n, "next"),
                              .space = node_text(l->cli, n, "space"),
                              .remote = node_text(l->cli, n, "remote")});
}

/* ---------------------------------------------------------------------- what was looked at */

static void say_remote(struct look *l, const struct json_node *n)
{
    uint64_t pending = node_u64(json_member(n, "pending"), "count");
    buf_printf(&l->said, "; %.*s: ", STR_ARGS(node_text(l->cli, n, "name")));
    if (pending)
        buf_printf(&l->said, "%llu pending", (unsigned long long)pending);
    else
        buf_c(&l->said, "nothing pending");
    buf_printf(&l->said, ", confirmed %.*s", STR_ARGS(node_age(l->cli, n, "confirmed")));
}

static void say_status(struct look *l, const char *space, const struct json_node *root)
{
    const struct json_node *s = json_member(root, "store"), *remotes = json_member(root, "remotes");
    uint64_t docs = node_u64(s, "docs");
    buf_printf(&l->said, "  %s: %.*s, %llu document%s", space,
               STR_ARGS(node_text(l->cli, s, "state")), (unsigned long long)docs,
               docs == 1 ? "" : "s");
    for (const struct json_node *n = remotes ? remotes->child : NULL; n; n = n->next)
        say_remote(l, n);
    buf_byte(&l->said, '\n');
}

static void note_place(struct look *l, const char *at, const char *space, bool asked, bool served)
{
    if (l->places++)
        buf_byte(&l->json, ',');
    buf_c(&l->json, "{\"at\":");
    buf_json_string(&l->json, str_of(at));
    buf_c(&l->json, ",\"space\":");
    buf_json_string(&l->json, str_of(space));
    buf_printf(&l->json, ",\"asked\":%s,\"server\":%s}", asked ? "true" : "false",
               served ? "true" : "false");
}

/* --------------------------------------------------------------------------------- one place */

static kf_rc ask(struct look *l, struct place *p, const char *target, struct json_node **ret_root,
                 struct kf_err *err)
{
    struct cli_answer a;
    struct cli_request r = {.method = API_GET, .target = target};
    kf_rc rc = place_request(p, &r, &a, err);
    return rc == KF_OK ? answer_parse(l->cli, &a, ret_root, err) : rc;
}

static bool is(const struct kf_err *why, enum problem problem)
{
    return problem_find(why->code) == &problem_table[problem];
}

/* Nobody could be asked. */
static void tell_unasked(struct look *l, struct place *p, const char *file, bool own_folder,
                         const struct kf_err *why, struct findings *f)
{
    bool served = place_is_served(p);
    if (file)
        doctor_gone(l->cli->env, file, f);
    if (served && file && (is(why, PROBLEM_BUSY) || is(why, PROBLEM_TIMEOUT)))
        findings_add(f, FINDING_OWNER_SILENT, NULL, "%s", why->detail);
    else if (served && is(why, PROBLEM_UNKNOWN_SPACE))
        findings_add(f, FINDING_NOT_THERE, NULL, "%s", why->detail);
    else if (served)
        findings_add(f, FINDING_CANNOT_ASK, NULL, "%s", why->detail);
    else
        doctor_opening(l->cli->env, file, own_folder, why, f);
}

/* `name`: for people. `config_broken` was told already. */
static kf_rc look_at(struct look *l, const char *at, const char *name, bool own_folder,
                     bool config_broken, struct kf_err *err)
{
    struct place *p = NULL;
    struct findings f = FINDINGS_INIT;
    struct kf_err why = KF_ERR_INIT;
    struct json_node *root = NULL, *status = NULL;
    kf_rc rc = place_open_at(l->cli, at, &p, err);
    if (rc != KF_OK)
        return rc;
    const char *file = place_file(p);
    if (file && !db_is_url(file))
        doctor_place(l->cli->env, file, own_folder, &f);
    rc = ask(l, p, "/doctor", &root, &why);
    bool asked = rc == KF_OK;
    if (!asked && rc != KF_NOMEM && !(config_broken && is(&why, PROBLEM_CONFIG)))
        tell_unasked(l, p, file, own_folder, &why, &f);
    if (asked)
        rc = ask(l, p, "/status", &status, &why);
    l->cli->starved |= f.failed || rc == KF_NOMEM;
    add_findings(l, &f, place_space(p));
    add_answer(l, root);
    note_place(l, file && db_is_url(at) ? file : at, place_space(p), asked, place_is_served(p));
    if (status)
        say_status(l, name, status);
    else
        buf_printf(&l->said, "  %s%s\n", name, asked ? "" : ": could not be asked");
    findings_release(&f);
    place_close(p);
    return KF_OK;
}

/* ------------------------------------------------------------------------------------ a folder */

/* Names of spaces, NUL behind each, each once. */
static void add_name(struct buf *names, str name)
{
    for (size_t at = 0; at < names->len; at += strlen(names->p + at) + 1)
        if (str_is(name, names->p + at))
            return;
    buf_str(names, name);
    buf_byte(names, 0);
}

/* "NAME.db"; and what may be all that is left of one. */
static void add_file(struct buf *names, str file)
{
    static const char *const tails[] = {".db", ".db-wal", ".db-redo"};
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++)
        if (str_ends(file, str_of(tails[i]))) {
            str name = {file.p, file.len - strlen(tails[i])};
            if (config_space_name_ok(name))
                add_name(names, name);
        }
}

static kf_rc look_at_spaces(struct look *l, const char *dir, const struct buf *names,
                            bool config_broken, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    for (size_t at = 0; rc == KF_OK && at < names->len; at += strlen(names->p + at) + 1) {
        const char *space = names->p + at;
        char *place = arena_printf(&l->cli->arena, "%s#%s", dir, space);
        rc = place ? look_at(l, place, space, true, config_broken, err) : err_nomem(err);
    }
    return rc;
}

/* The files of the folder say which spaces there are, whoever has them open; and the configuration
 * which there are to be. */
static kf_rc look_at_folder(struct look *l, const char *dir, const struct config *config,
                            bool config_broken, struct kf_err *err)
{
    struct buf files = BUF_INIT, names = BUF_INIT;
    struct findings f = FINDINGS_INIT;
    struct kf_err why = KF_ERR_INIT;
    kf_rc rc = dir_list(l->cli->env, dir, &files, &why);
    for (size_t at = 0; at < files.len; at += strlen(files.p + at) + 1)
        add_file(&names, str_of(files.p + at));
    for (size_t i = 0; config && i < config->space_count; i++)
        add_name(&names, config->spaces[i].name);
    if (rc == KF_NOMEM || names.failed || files.failed) {
        rc = err_nomem(err);
        goto out;
    }
    if (rc != KF_OK && rc != KF_ABSENT)
        doctor_opening(l->cli->env, dir, false, &why, &f);
    else if (!names.len)
        findings_add(&f, FINDING_NOT_THERE, NULL,
                     rc == KF_ABSENT ? "there is no folder %s" : "the folder %s holds no store",
                     dir);
    rc = look_at_spaces(l, dir, &names, config_broken, err);
out:
    l->cli->starved |= f.failed;
    add_findings(l, &f, "");
    buf_release(&files);
    buf_release(&names);
    return rc;
}

/* -------------------------------------------------------------------------------- a server */

/* http://HOST:PORT/SPACE, unix:PATH#SPACE; without a space all that there are. */
static bool names_a_space(str at)
{
    if (str_starts(at, STR("unix:")))
        return str_index(at, '#') < at.len;
    str rest = str_from(at, str_starts(at, STR("https://")) ? 8 : 7);
    return str_index(rest, '/') + 1 < rest.len;
}

static kf_rc look_at_server(struct look *l, const char *at, struct kf_err *err)
{
    struct place *p = NULL;
    struct json_node *root = NULL;
    struct kf_err why = KF_ERR_INIT;
    struct findings f = FINDINGS_INIT;
    bool is_unix = str_starts(str_of(at), STR("unix:"));
    str base = str_of(at);
    while (!is_unix && base.len && base.p[base.len - 1] == '/')
        base.len--;
    kf_rc rc = place_open_at(l->cli, at, &p, err);
    if (rc != KF_OK)
        return rc;
    rc = ask(l, p, "//v1?limit=1000", &root, &why);
    const struct json_node *items = rc == KF_OK ? json_member(root, "items") : NULL;
    if (rc != KF_OK)
        findings_add(&f, FINDING_CANNOT_ASK, NULL, "%s", why.detail);
    else if (!items || !items->child)
        findings_add(&f, FINDING_NOT_THERE, NULL, "the server at %s shows no space", at);
    add_findings(l, &f, "");
    place_close(p);
    rc = KF_OK;
    for (const struct json_node *n = items ? items->child : NULL; n && rc == KF_OK; n = n->next) {
        str name = node_text(l->cli, n, "name");
        char *space = arena_dup(&l->cli->arena, name);
        char *one = arena_printf(&l->cli->arena, "%.*s%c%.*s", STR_ARGS(base), is_unix ? '#' : '/',
                                 STR_ARGS(name));
        rc = space && one ? look_at(l, one, space, false, false, err) : err_nomem(err);
    }
    return rc;
}

/* -------------------------------------------------------------------------------------- all of it
 */

static bool is_server(str at)
{
    return str_starts(at, STR("http://")) || str_starts(at, STR("https://")) ||
           str_starts(at, STR("unix:"));
}

static const char *space_of(struct look *l, str at)
{
    size_t from = at.len;
    bool file = str_ends(at, STR(".db"));
    while (from > 0 && at.p[from - 1] != '#' && at.p[from - 1] != '/')
        from--;
    str name = str_from(at, from);
    if (file && name.len > 3)
        name.len -= 3;
    return keep(l, arena_dup(&l->cli->arena, name)).p;
}

static const char *database_space(struct look *l, const char *at)
{
    str space = db_url_space(at);
    return keep(l, arena_dup(&l->cli->arena, space.len ? space : STR("default"))).p;
}

/* A store or a folder of this machine, with the configuration that holds there. */
static kf_rc look_here(struct look *l, const char *at, struct kf_err *err)
{
    struct config *config = NULL;
    struct kf_err why = KF_ERR_INIT;
    struct findings f = FINDINGS_INIT;
    struct buf dir = BUF_INIT;
    if (db_is_url(at))
        return look_at(l, at, database_space(l, at), false, false, err);
    bool file = str_ends(str_of(at), STR(".db"));
    size_t hash = str_index(str_of(at), '#'), len = strlen(at);
    if (file)
        path_parent(at, &dir);
    else
        buf_add(&dir, at, hash);
    kf_rc rc = buf_ok(&dir, err);
    if (rc == KF_OK)
        rc = cli_config(l->cli, dir.p, &config, &why);
    bool broken = rc != KF_OK && rc != KF_NOMEM;
    if (broken)
        findings_add(&f, FINDING_CONFIG_BROKEN, NULL, "%s", why.detail);
    add_findings(l, &f, "");
    if (rc == KF_OK || broken)
        rc = file || hash < len ? look_at(l, at, space_of(l, str_of(at)), !file, broken, err)
                                : look_at_folder(l, dir.p, config, broken, err);
    config_free(config);
    buf_release(&dir);
    return rc;
}

/* ----------------------------------------------------------------------------------- showing */

static void json_text_member(struct buf *b, const char *key, str value)
{
    buf_printf(b, ",\"%s\":", key);
    buf_json_string(b, value);
}

/* Errors first; within a level as they were found, space by space. */
static void sort_items(struct look *l)
{
    for (size_t i = 1; i < l->count; i++) {
        struct item item = l->items[i];
        size_t to = i;
        for (; to > 0 && l->items[to - 1].level < item.level; to--)
            l->items[to] = l->items[to - 1];
        l->items[to] = item;
    }
}

static kf_rc show_json(struct look *l, struct kf_err *err)
{
    struct buf b = BUF_INIT;
    buf_c(&b, "{\"looked_at\":[");
    buf_str(&b, buf_view(&l->json));
    buf_c(&b, "],\"items\":[");
    for (size_t i = 0; i < l->count; i++) {
        const struct item *k = &l->items[i];
        buf_printf(&b, "%s{\"code\":", i ? "," : "");
        buf_json_string(&b, k->code);
        json_text_member(&b, "level", str_of(kf_finding_level_name(k->level)));
        json_text_member(&b, "title", k->title);
        json_text_member(&b, "detail", k->detail);
        json_text_member(&b, "next", k->next);
        if (k->space.len)
            json_text_member(&b, "space", k->space);
        if (k->remote.len)
            json_text_member(&b, "remote", k->remote);
        buf_byte(&b, '}');
    }
    buf_c(&b, "],\"next\":null}\n");
    kf_rc rc = buf_ok(&b, err);
    if (rc == KF_OK)
        print_out(buf_view(&b));
    buf_release(&b);
    return rc;
}

static enum tint level_tint(kf_finding_level level)
{
    return level == KF_FINDING_ERROR     ? TINT_BAD
           : level == KF_FINDING_WARNING ? TINT_WARN
                                         : TINT_STRONG;
}

static void show_item(struct look *l, const struct item *k)
{
    str space = l->places > 1 ? k->space : (str){"", 0};
    print_fmt("  %s%.*s%s  %s", tint_on(TINT_STRONG), STR_ARGS(k->title), tint_off(),
              tint_on(TINT_DIM));
    print_fmt("%.*s%s%.*s", STR_ARGS(space), space.len && k->remote.len ? ", " : "",
              STR_ARGS(k->remote));
    print_fmt("%s[%.*s]%s\n", space.len || k->remote.len ? " " : "", STR_ARGS(k->code), tint_off());
    print_wrapped(4, k->detail);
    char *next = arena_printf(&l->cli->arena, "-> %.*s", STR_ARGS(k->next));
    l->cli->starved |= !next;
    print_wrapped(4, str_of(next ? next : ""));
}

static size_t show_level(struct look *l, kf_finding_level level, const char *head)
{
    size_t n = 0;
    for (size_t i = 0; i < l->count; i++) {
        if (l->items[i].level != level)
            continue;
        if (n++ == 0)
            print_fmt("\n%s%s%s\n", tint_on(level_tint(level)), head, tint_off());
        show_item(l, &l->items[i]);
    }
    return n;
}

/* Next steps name commands as they are where nothing else is said; here something else was. */
static void show_where(struct look *l, const char *at)
{
    str place = str_of(at);
    bool is_http = str_starts(place, STR("http://")) || str_starts(place, STR("https://"));
    bool whole = is_server(place)
                     ? names_a_space(place)
                     : str_ends(place, STR(".db")) || str_index(place, '#') < place.len;
    if (!l->cli->opt[OPT_AT] && l->places < 2)
        return;
    while (!whole && is_http && place.len && place.p[place.len - 1] == '/')
        place.len--;
    char *words = arena_printf(&l->cli->arena, "The commands are meant with --at '%.*s%s'",
                               STR_ARGS(place),
                               whole     ? ""
                               : is_http ? "/SPACE"
                                         : "#SPACE");
    l->cli->starved |= !words;
    print_wrapped(0, str_of(words ? words : ""));
}

static void show_people(struct look *l, const char *at)
{
    print_fmt("Looked at %s%s\n", at, l->places ? ":" : "");
    print_fmt("%.*s", STR_ARGS(buf_view(&l->said)));
    size_t errors = show_level(l, KF_FINDING_ERROR, "Errors"),
           warnings = show_level(l, KF_FINDING_WARNING, "Warnings"),
           notes = show_level(l, KF_FINDING_NOTE, "Notes");
    if (errors + warnings + notes == 0) {
        print_fmt("%sNothing is wrong.%s\n", tint_on(TINT_GOOD), tint_off());
        return;
    }
    print_out(STR("\n"));
    show_where(l, at);
    print_fmt("%zu error%s, %zu warning%s, %zu note%s; docs/troubleshooting.md explains "
              "each by its word\n",
              errors, errors == 1 ? "" : "s", warnings, warnings == 1 ? "" : "s", notes,
              notes == 1 ? "" : "s");
}

static bool is_bad(const struct look *l)
{
    for (size_t i = 0; i < l->count; i++)
        if (l->items[i].level >= KF_FINDING_WARNING)
            return true;
    return false;
}

kf_rc cmd_doctor(struct cli *cli, struct kf_err *err)
{
    struct look l = {.cli = cli};
    const char *at = place_named(cli);
    struct buf shown = BUF_INIT;
    kf_rc rc;
    if (!at)
        at = "./data";
    if (!is_server(str_of(at)))
        rc = look_here(&l, at, err);
    else if (names_a_space(str_of(at)))
        rc = look_at(&l, at, space_of(&l, str_of(at)), false, false, err);
    else
        rc = look_at_server(&l, at, err);
    if (db_is_url(at) && db_url_show(at, NULL, &shown, NULL) == KF_OK)
        at = shown.p; /* from here on it is shown */
    if (rc == KF_OK && (l.said.failed || l.json.failed || cli->starved))
        rc = err_nomem(err);
    sort_items(&l);
    if (rc == KF_OK && cli->json)
        rc = show_json(&l, err);
    else if (rc == KF_OK)
        show_people(&l, at);
    if (rc == KF_OK && is_bad(&l))
        cli->status = 1;
    buf_release(&l.said);
    buf_release(&l.json);
    buf_release(&shown);
    return rc;
}

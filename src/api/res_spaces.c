/* Spaces as a resource: the list of them, making one, removing one with all that is in it. */
#include "api/api_internal.h"

/* ---------------------------------------------------------------------------------------- list */

static int compare_names(const void *a, const void *b)
{
    return str_cmp(*(const str *)a, *(const str *)b);
}

/* Names of all spaces in `c`'s arena, sorted, each once: files of the folder, and those that are
 * open. */
static kf_rc all_names(struct api_call *c, str files, str **ret, size_t *ret_count,
                       struct kf_err *err)
{
    struct api *api = c->api;
    size_t n = 0, cap = 0;
    for (struct space *s = api->home->spaces; s; s = s->next)
        cap++;
    for (size_t i = 0; i < files.len; i++)
        cap += files.p[i] == 0;
    str *names = arena_alloc(&c->arena, (cap + 1) * sizeof *names);
    if (!names)
        return err_nomem(err);
    for (struct space *s = api->home->spaces; s; s = s->next)
        names[n++] = str_of(s->name); /* as long as the list is made: this loop alone closes them */
    for (size_t at = 0; at < files.len; at += strlen(files.p + at) + 1) {
        str name = str_of(files.p + at);
        if (space_if_open(api, name))
            continue;
        names[n] = arena_str(&c->arena, name);
        if (!names[n++].p)
            return err_nomem(err);
    }
    qsort(names, n, sizeof *names, compare_names);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || !str_eq(names[i], names[kept - 1]))
            names[kept++] = names[i];
    *ret = names;
    *ret_count = kept;
    return KF_OK;
}

/* What whoever asks may do there, so that nobody is offered what would be refused. */
static void may_json(const struct api_call *c, bool *first, struct buf *out)
{
    static const struct token_scope all = {.rights = (1u << TOKEN_RIGHT_COUNT) - 1};
    const struct token_scope *scope = auth_scope(c) ? auth_scope(c) : &all;
    json_put_rights(out, first, scope->rights);
    json_put_list(out, first, "prefixes", scope->prefixes, scope->prefix_count);
}

static void put_names(struct api_call *c, str there)
{
    size_t limit, count = 0, shown = 0, i = 0;
    str after, last = {"", 0}, *names = NULL;
    c->rc = query_page(c, &limit, &after, &c->err);
    if (c->rc == KF_OK)
        c->rc = all_names(c, there, &names, &count, &c->err);
    if (c->rc != KF_OK)
        return;
    while (i < count && after.p && str_cmp(names[i], after) <= 0)
        i++;
    buf_c(&c->out, "{\"items\":[");
    for (; i < count && shown < limit; i++) {
        bool first = true;
        if (!auth_sees(c, names[i]))
            continue;
        buf_c(&c->out, shown++ ? ",{" : "{");
        json_put_str(&c->out, &first, "name", names[i]);
        json_put_bool(&c->out, &first, "open", space_if_open(c->api, names[i]) != NULL);
        may_json(c, &first, &c->out);
        buf_c(&c->out, "}");
        last = names[i]; /* the cursor says no name that was not shown */
    }
    while (i < count && !auth_sees(c, names[i]))
        i++;
    answer_next(&c->out, i < count, last);
}

void list_names(struct api_call *c, str names)
{
    put_names(c, names);
    call_come_back(c);
}

void spaces_list(struct api_call *c)
{
    call_errand(c, spaces_seek_names, call_answer_out);
}

/* ------------------------------------------------------------------------------------- making */

static void answer_space(struct api_call *c)
{
    bool first = true;
    if (c->rc == KF_OK) {
        buf_c(&c->out, "{");
        json_put_str(&c->out, &first, "name", c->match.space);
        buf_c(&c->out, "}");
        c->status = c->made_space ? 201 : 200;
    }
    call_answer_out(c);
}

static void make(struct api_call *c)
{
    space_seek(c, true);
}

static void seek(struct api_call *c)
{
    space_seek(c, false);
}

static void was_sought(struct api_call *c)
{
    if (c->rc == KF_ABSENT)
        call_errand(c, make, answer_space);
    else
        answer_space(c);
}

void space_put(struct api_call *c)
{
    call_errand(c, seek, was_sought);
}

/* ------------------------------------------------------------------------------------ removing */

/* The side folder: scratch files, and the folders of remotes. */
static kf_rc remove_side(struct api *api, str name, struct kf_err *err)
{
    struct buf dir = BUF_INIT;
    space_path(api, name, &dir);
    buf_c(&dir, ".d");
    kf_rc rc = buf_ok(&dir, err);
    if (rc == KF_OK)
        rc = dir_unmake_all(api->o.env, dir.p, err);
    buf_release(&dir);
    return rc == KF_ABSENT ? KF_OK : rc;
}

static kf_rc remove_schema(struct api *api, str name, struct kf_err *err)
{
    struct buf url = BUF_INIT;
    space_path(api, name, &url);
    struct db_options o = {
        .env = api->o.env, .path = url.p, .lives = spaces_live, .lives_ctx = api->home};
    kf_rc rc = buf_ok(&url, err);
    if (rc == KF_OK)
        rc = db_space_drop(&o, err);
    if (url.p)
        mem_wipe(url.p, url.len);
    buf_release(&url);
    return rc == KF_ABSENT ? KF_OK : rc;
}

/* The files of a closed space: what SQLite and a crash left, the side folder, the lock, and last
 * the database: until then a name that is looked for is found. What was set aside stays: that is
 * the operator's to remove. */
kf_rc space_remove_files(struct api *api, str name, struct kf_err *err)
{
    static const char *const tails[] = {"-wal", "-shm", "-redo", ".lock", ""};
    struct buf path = BUF_INIT;
    if (db_is_url(api->o.data_dir))
        return remove_schema(api, name, err);
    kf_rc rc = remove_side(api, name, err);
    for (size_t i = 0; i < sizeof tails / sizeof *tails && rc == KF_OK; i++) {
        buf_clear(&path);
        space_path(api, name, &path);
        buf_c(&path, tails[i]);
        rc = buf_ok(&path, err);
        if (rc == KF_OK)
            rc = file_unlink(api->o.env, path.p, err);
        if (rc == KF_ABSENT)
            rc = KF_OK;
    }
    if (rc == KF_OK)
        rc = dir_sync(api->o.env, api->o.data_dir, err);
    buf_release(&path);
    return rc;
}

static void was_deleted(struct api_call *c)
{
    if (c->rc == KF_OK)
        answer_empty(c, 204);
    else
        answer_problem(c, &c->err);
}

static void delete_found(struct api_call *c)
{
    if (c->rc == KF_OK)
        call_errand(c, space_remove, was_deleted);
    else
        answer_problem(c, &c->err);
}

void space_delete(struct api_call *c)
{
    struct kf_err err = KF_ERR_INIT;
    if (str_eq(query_get(c, "confirm"), c->match.space)) {
        call_errand(c, seek, delete_found);
        return;
    }
    err_set(&err, PROBLEM_BAD_FILTER,
            "removing a space removes everything in it; repeat its name as ?confirm=%.*s",
            STR_ARGS(c->match.space));
    answer_problem(c, &err);
}

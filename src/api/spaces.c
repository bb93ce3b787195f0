/* Spaces: names to open stores. A space named in the configuration is there from the start; another
 * is opened when its file is there, and made by the first write. The list of a folder is what its
 * files say. */
#include "api/api_internal.h"

bool space_name_ok(str name)
{
    if (name.len < 1 || name.len > 60 || str_is(name, "tokens"))
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.p[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!word && (i == 0 || (c != '_' && c != '-')))
            return false;
    }
    return true;
}

static kf_rc unknown_space(str name, struct kf_err *err)
{
    return err_set(err, PROBLEM_UNKNOWN_SPACE,
                   "there is no space \"%.*s\"; a first write makes one",
                   (int)(name.len < 60 ? name.len : 60), name.p);
}

static struct space *find_open(struct api *api, str name)
{
    for (struct space *s = api->spaces; s; s = s->next)
        if (str_is(name, s->name))
            return s;
    return NULL;
}

static void space_path(struct api *api, str name, struct buf *out)
{
    buf_c(out, api->o.data_dir);
    buf_byte(out, '/');
    buf_str(out, name);
    buf_c(out, ".db");
}

static void space_free(struct space *s)
{
    if (s)
        mem_free(s->name);
    mem_free(s);
}

static kf_rc space_open(struct api *api, str name, bool create, struct space **ret,
                        struct kf_err *err)
{
    struct buf path = BUF_INIT;
    struct space *s = mem_calloc(1, sizeof *s);
    kf_rc rc = KF_OK;
    space_path(api, name, &path);
    if (!s || !(s->name = mem_dup(name.p, name.len)) || path.failed)
        rc = err_nomem(err);
    if (rc == KF_OK) {
        s->config = config_space(api->o.config, name);
        rc = api->o.spaces.open(api->o.spaces.ctx, path.p, str_of(s->name), create, &s->store, err);
    }
    buf_release(&path);
    if (rc != KF_OK) {
        space_free(s);
        return rc == KF_ABSENT ? unknown_space(name, err) : rc;
    }
    s->next = api->spaces;
    api->spaces = s;
    *ret = s;
    return KF_OK;
}

kf_rc space_find(struct api *api, str name, bool create, struct space **ret, struct kf_err *err)
{
    struct space *s = find_open(api, name);
    if (s) {
        *ret = s;
        return KF_OK;
    }
    if (!space_name_ok(name)) {
        if (!create)
            return unknown_space(name, err);
        return err_set(err, PROBLEM_BAD_KEY,
                       "a space is named with a-z, 0-9, _ and -, 1 to 60 of them, and is not "
                       "\"tokens\"");
    }
    if (!api->o.data_dir)
        return unknown_space(name, err);
    return space_open(api, name, create, ret, err);
}

bool call_enter_space(struct api_call *c, bool create)
{
    if (space_find(c->api, c->match.space, create, &c->space, &c->err) != KF_OK) {
        answer_problem(c, &c->err);
        return false;
    }
    c->store = c->space->store;
    return true;
}

kf_rc api_open_spaces(struct api *api, struct kf_err *err)
{
    const struct config *config = api->o.config;
    for (size_t i = 0; i < config->space_count; i++) {
        struct space *s;
        kf_rc rc = space_find(api, config->spaces[i].name, true, &s, err);
        if (rc != KF_OK)
            return rc;
    }
    return KF_OK;
}

bool api_hydrating(const struct api *api)
{
    for (const struct space *s = api->spaces; s; s = s->next)
        if (store_state(s->store) == STORE_HYDRATING)
            return true;
    return false;
}

kf_rc api_flush_spaces(struct api *api, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    for (struct space *s = api->spaces; s; s = s->next) {
        kf_rc one = remotes_flush_on_close(store_remotes(s->store), rc == KF_OK ? err : NULL);
        if (rc == KF_OK)
            rc = one;
    }
    return rc;
}

void api_free(struct api *api)
{
    if (!api)
        return;
    while (api->spaces) {
        struct space *s = api->spaces;
        api->spaces = s->next;
        if (api->o.data_dir)
            api->o.spaces.close(api->o.spaces.ctx, &s->store);
        space_free(s);
    }
    mem_free(api);
}

/* ------------------------------------------------------------------------------------ the routes
 */

static int compare_names(const void *a, const void *b)
{
    return str_cmp(*(const str *)a, *(const str *)b);
}

/* Names of all spaces in `c`'s arena, sorted: files of the folder, and those that are open. */
static kf_rc all_names(struct api_call *c, str **ret, size_t *ret_count, struct kf_err *err)
{
    struct api *api = c->api;
    struct buf files = BUF_INIT;
    size_t n = 0, cap = 0;
    for (struct space *s = api->spaces; s; s = s->next)
        cap++;
    kf_rc rc = api->o.data_dir ? dir_list(api->o.env, api->o.data_dir, &files, err) : KF_OK;
    if (rc != KF_OK)
        goto out;
    for (size_t i = 0; i < files.len; i++)
        cap += files.p[i] == 0;
    str *names = arena_alloc(&c->arena, (cap + 1) * sizeof *names);
    if (!names) {
        rc = err_nomem(err);
        goto out;
    }
    for (struct space *s = api->spaces; s; s = s->next)
        names[n++] = arena_str(&c->arena, str_of(s->name));
    for (size_t at = 0; at < files.len; at += strlen(files.p + at) + 1) {
        str file = str_of(files.p + at);
        str name = {file.p, file.len >= 3 ? file.len - 3 : 0};
        if (str_ends(file, STR(".db")) && space_name_ok(name) && !find_open(api, name))
            names[n++] = arena_str(&c->arena, name);
    }
    qsort(names, n, sizeof *names, compare_names);
    *ret = names;
    *ret_count = n;
out:
    buf_release(&files);
    return rc;
}

void spaces_list(struct api_call *c)
{
    size_t limit, count = 0, shown = 0, i = 0;
    str after, *names = NULL;
    c->rc = query_page(c, &limit, &after, &c->err);
    if (c->rc == KF_OK)
        c->rc = all_names(c, &names, &count, &c->err);
    if (c->rc != KF_OK) {
        answer_problem(c, &c->err);
        return;
    }
    while (i < count && after.p && str_cmp(names[i], after) <= 0)
        i++;
    buf_c(&c->out, "{\"items\":[");
    for (; i < count && shown < limit; i++, shown++) {
        bool first = true;
        buf_c(&c->out, shown ? ",{" : "{");
        json_put_str(&c->out, &first, "name", names[i]);
        json_put_bool(&c->out, &first, "open", find_open(c->api, names[i]) != NULL);
        buf_c(&c->out, "}");
    }
    answer_next(&c->out, i < count, i ? names[i - 1] : (str){"", 0});
    call_answer_out(c);
}

void space_put(struct api_call *c)
{
    bool there = space_find(c->api, c->match.space, false, &c->space, NULL) == KF_OK;
    if (!there && space_find(c->api, c->match.space, true, &c->space, &c->err) != KF_OK) {
        answer_problem(c, &c->err);
        return;
    }
    bool first = true;
    buf_c(&c->out, "{");
    json_put_str(&c->out, &first, "name", str_of(c->space->name));
    buf_c(&c->out, "}");
    c->status = there ? 200 : 201;
    call_answer_out(c);
}

/* The files of a closed space: the database and what SQLite left, the lock and the side folder. */
static kf_rc remove_files(struct api *api, str name, struct kf_err *err)
{
    static const char *const tails[] = {"", "-wal", "-shm", ".lock"};
    struct buf path = BUF_INIT;
    kf_rc rc = KF_OK;
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

static void unlink_space(struct api *api, struct space *s)
{
    struct space **at = &api->spaces;
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
}

/* Whether another call works on the store: removing it would pull the floor from under that call.
 */
static bool space_in_use(const struct api_call *c)
{
    return c->api->calls > 1;
}

void space_delete(struct api_call *c)
{
    struct api *api = c->api;
    if (!str_eq(query_get(c, "confirm"), c->match.space)) {
        err_set(&c->err, PROBLEM_BAD_FILTER,
                "removing a space removes everything in it; repeat its name as ?confirm=%.*s",
                STR_ARGS(c->match.space));
    } else if (space_find(api, c->match.space, false, &c->space, &c->err) != KF_OK) {
    } else if (!api->o.data_dir || c->space->config) {
        err_set(&c->err, PROBLEM_FORBIDDEN,
                "this space is named in the configuration; take it out there first");
    } else if (space_in_use(c)) {
        err_set(&c->err, PROBLEM_BUSY, "other requests are under way; try again");
    } else {
        unlink_space(api, c->space);
        api->o.spaces.close(api->o.spaces.ctx, &c->space->store);
        space_free(c->space);
        c->space = NULL;
        if (remove_files(api, c->match.space, &c->err) == KF_OK) {
            answer_empty(c, 204);
            return;
        }
    }
    answer_problem(c, &c->err);
}

/* Memory files of an app's assistants on the command line.
 *
 *     import PLACE…    files that are named like one of the three, and folders in which such files
 *                      are. All are looked through before the first is sent: where one cannot be
 *                      mapped, nothing is written, and no store is made. --wait is for each of
 *                      them: where a remote does not confirm, those behind it are not sent
 *     export FILE      such a file to stdout, or to a new file */
#include "cli/cli.h"

#include "base/folder.h"
#include "move/memory_file.h"

#include <sys/stat.h>

#define FILES_MAX 256
/* Far over any body that a server takes. */
#define FILE_MAX ((size_t)1 << 30)

struct importing {
    struct cli *cli;
    const char *paths[FILES_MAX]; /* in the arena */
    size_t count;
    struct buf items; /* with --json: "answer,answer" */
};

static kf_rc add_file(struct importing *im, const char *path, struct kf_err *err)
{
    if (im->count == FILES_MAX)
        return cli_usage(err, "more than %d files", FILES_MAX);
    if (!path)
        return err_nomem(err);
    im->paths[im->count++] = path;
    return KF_OK;
}

/* Those of exactly these names: who keeps a copy beside a file has not said that it is meant. */
static kf_rc add_folder(struct importing *im, const char *path, struct kf_err *err)
{
    struct folder folder = FOLDER_CLOSED;
    struct stat st;
    size_t before = im->count;
    kf_rc rc = folder_open(im->cli->env, path, &folder, err);
    for (int file = MEMORY_PERSONA; rc == KF_OK && file <= MEMORY_AUTONOMOUS; file++) {
        const char *name = memory_file_name((enum memory_file)file);
        rc = folder_stat(&folder, name, &st, err);
        if (rc == KF_OK)
            rc = add_file(im, arena_printf(&im->cli->arena, "%s/%s", path, name), err);
        else if (rc == KF_ABSENT)
            rc = KF_OK;
    }
    folder_close(&folder);
    if (rc == KF_OK && im->count == before)
        return cli_usage(err, "the folder %s has no %s, %s or %s", path,
                         memory_file_name(MEMORY_PERSONA), memory_file_name(MEMORY_PARTNER),
                         memory_file_name(MEMORY_AUTONOMOUS));
    return rc;
}

static kf_rc add_place(struct importing *im, const char *path, struct kf_err *err)
{
    enum memory_file file;
    struct stat st;
    kf_rc rc = path_stat(im->cli->env, path, &st, err);
    if (rc == KF_ABSENT)
        return cli_usage(err, "there is no file %s", path);
    if (rc != KF_OK)
        return rc;
    if (S_ISDIR(st.st_mode))
        return add_folder(im, path, err);
    if (!memory_file_known(str_of(path), &file))
        return cli_usage(err,
                         "%s cannot be imported: files are told by their names, %s, %s and %s, or "
                         "what begins like one of them and ends in .json",
                         path, memory_file_name(MEMORY_PERSONA), memory_file_name(MEMORY_PARTNER),
                         memory_file_name(MEMORY_AUTONOMOUS));
    return add_file(im, path, err);
}

/* --------------------------------------------------------------------------------- looking through
 */

static kf_rc take_stream(void *ctx, const struct memory_stream *stream, struct kf_err *err)
{
    (void)ctx;
    (void)stream;
    (void)err;
    return KF_OK;
}
static kf_rc take_entry(void *ctx, const struct memory_entry *entry, struct kf_err *err)
{
    (void)ctx;
    (void)entry;
    (void)err;
    return KF_OK;
}

/* As far as the file decides it, and not a limit of whoever has the store. */
static kf_rc check_file(struct importing *im, const char *path, struct memory_counts *ret,
                        struct kf_err *err)
{
    const struct memory_sink sink = {take_stream, NULL, take_entry, NULL};
    enum memory_file file;
    struct buf json = BUF_INIT;
    if (!memory_file_known(str_of(path), &file))
        return err_set(err, PROBLEM_INTERNAL, "%s was taken for a memory file", path);
    kf_rc rc = file_load_linked(im->cli->env, path, FILE_MAX, &json, err);
    if (rc == KF_ABSENT)
        rc = cli_usage(err, "there is no file %s", path);
    if (rc == KF_OK)
        rc = memory_file_read(file, buf_view(&json), SIZE_MAX, &sink, ret, err);
    buf_release(&json);
    return rc;
}

static void say_checked(struct importing *im, const char *path, const struct memory_counts *counts)
{
    if (!im->cli->json) {
        print_talk("%s: %.*s, %.*s; nothing was written", path,
                   STR_ARGS(cli_count(im->cli, counts->streams, "stream", "streams")),
                   STR_ARGS(cli_count(im->cli, counts->entries, "entry", "entries")));
        return;
    }
    buf_c(&im->items, im->items.len ? ",{\"file\":" : "{\"file\":");
    buf_json_string(&im->items, str_of(path));
    buf_printf(&im->items, ",\"streams\":%llu,\"entries\":%llu,\"exchanges\":%llu}",
               (unsigned long long)counts->streams, (unsigned long long)counts->entries,
               (unsigned long long)counts->exchanges);
}

static kf_rc check_files(struct importing *im, bool tell, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    for (size_t i = 0; rc == KF_OK && i < im->count; i++) {
        struct memory_counts counts = {0};
        rc = check_file(im, im->paths[i], &counts, err);
        if (rc == KF_OK && tell)
            say_checked(im, im->paths[i], &counts);
        else if (rc == KF_INVALID || rc == KF_LIMIT)
            err_prefix(err, "%s", im->paths[i]);
    }
    return rc;
}

/* --------------------------------------------------------------------------------------- import */

static void say_imported(struct importing *im, const char *path, const struct cli_answer *a,
                         const struct json_node *root)
{
    if (im->cli->json) {
        buf_c(&im->items, im->items.len ? "," : "");
        buf_str(&im->items, str_trim(a->body));
        return;
    }
    print_talk("%s: %.*s, %llu of them new or changed; %.*s", path,
               STR_ARGS(cli_count(im->cli, node_u64(root, "streams"), "stream", "streams")),
               (unsigned long long)node_u64(root, "changed"),
               STR_ARGS(cli_count(im->cli, node_u64(root, "added"), "new entry", "new entries")));
}

/* As long as a large file may take. */
#define FILE_MS (24u * 3600 * 1000)

static kf_rc import_file(struct importing *im, struct place *place, const char *path,
                         struct kf_err *err)
{
    struct cli_answer a;
    struct json_node *root = NULL;
    struct buf target = BUF_INIT;
    enum memory_file file;
    uint32_t wait_ms = 0;
    buf_c(&target, "/import");
    if (memory_file_known(str_of(path), &file))
        cli_query(im->cli, &target, "file", memory_file_name(file));
    kf_rc rc = cli_write_query(im->cli, &target, &wait_ms, err);
    struct cli_request r = {.method = API_POST,
                            .target = target.p,
                            .headers = {{STR("Content-Type"), STR("application/json")}},
                            .header_count = 1,
                            .body_file = path,
                            .timeout_ms = FILE_MS > wait_ms ? FILE_MS : wait_ms,
                            .progress = "import"};
    if (rc == KF_OK)
        rc = place_request(place, &r, &a, err);
    if (rc == KF_OK)
        rc = answer_parse(im->cli, &a, &root, err);
    if (rc == KF_OK)
        say_imported(im, path, &a, root);
    else if (rc == KF_INVALID || rc == KF_LIMIT || rc == KF_UNAVAILABLE)
        err_prefix(err, "%s", path);
    buf_release(&target);
    return rc;
}

static kf_rc import_files(struct importing *im, struct kf_err *err)
{
    struct place *place = NULL;
    kf_rc rc = place_open(im->cli, &place, err);
    for (size_t i = 0; rc == KF_OK && i < im->count; i++)
        rc = import_file(im, place, im->paths[i], err);
    place_close(place);
    return rc;
}

kf_rc cmd_import(struct cli *cli, struct kf_err *err)
{
    struct importing im = {.cli = cli};
    kf_rc rc = KF_OK;
    for (size_t i = 0; rc == KF_OK && i < cli->arg_count; i++)
        rc = add_place(&im, cli->args[i], err);
    bool only_check = cli->opt[OPT_CHECK] != NULL;
    if (rc == KF_OK)
        rc = check_files(&im, only_check, err);
    if (rc == KF_OK && !only_check)
        rc = import_files(&im, err);
    if (rc == KF_OK)
        rc = buf_ok(&im.items, err);
    if (rc == KF_OK && cli->json)
        print_fmt("{\"items\":[%s]}\n", im.items.p ? im.items.p : "");
    buf_release(&im.items);
    return rc;
}

kf_rc cmd_export(struct cli *cli, struct kf_err *err)
{
    struct cli_answer a;
    struct place *place = NULL;
    struct buf target = BUF_INIT;
    const char *to = cli->opt[OPT_TO];
    struct cli_request r = {
        .method = API_GET, .sink_file = to, .timeout_ms = FILE_MS, .progress = "export"};
    buf_c(&target, "/export");
    cli_query(cli, &target, "file", cli->args[0]);
    kf_rc rc = buf_ok(&target, err);
    r.target = target.p;
    if (rc == KF_OK)
        rc = place_open(cli, &place, err);
    if (rc == KF_OK)
        rc = place_request(place, &r, &a, err);
    if (rc == KF_OK && !to)
        print_out(a.body);
    else if (rc == KF_OK && cli->json)
        print_written(to);
    else if (rc == KF_OK)
        print_talk("%s: written and synced", to);
    buf_release(&target);
    place_close(place);
    return rc;
}

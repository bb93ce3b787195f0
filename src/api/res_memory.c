/* Memory files of an app's assistants, into streams and out of them (move/memory_store.h). */
#include "api/api_internal.h"

#include "move/memory_store.h"

static kf_rc query_memory_file(const struct api_call *c, enum memory_file *ret, struct kf_err *err)
{
    if (memory_file_known(query_get(c, "file"), ret))
        return KF_OK;
    return err_set(err, PROBLEM_BAD_FILTER,
                   "file must be %s, %s or %s, or begin like one of them and end in .json",
                   memory_file_name(MEMORY_PERSONA), memory_file_name(MEMORY_PARTNER),
                   memory_file_name(MEMORY_AUTONOMOUS));
}

static void work_import(struct api_call *c)
{
    enum memory_file file;
    struct memory_import made = {0};
    struct streams *streams = store_streams(c->store);
    str json = buf_view(&c->body);
    bool first = true;
    c->rc = query_memory_file(c, &file, &c->err);
    if (c->rc == KF_OK)
        c->rc = memory_import(streams, file, json, &made, &c->err);
    if (c->rc != KF_OK)
        return;
    buf_c(&c->out, "{");
    json_put_str(&c->out, &first, "file", str_of(memory_file_name(file)));
    json_put_u64(&c->out, &first, "streams", made.file.streams);
    json_put_u64(&c->out, &first, "entries", made.file.entries);
    json_put_u64(&c->out, &first, "exchanges", made.file.exchanges);
    json_put_u64(&c->out, &first, "added", made.added);
    json_put_u64(&c->out, &first, "changed", made.changed);
    buf_c(&c->out, "}");
}

static void imported(struct api_call *c)
{
    write_worked(c, write_answer_out);
}

void memory_post(struct api_call *c)
{
    kf_level level = KF_LEVEL_DEFAULT;
    c->rc = write_level(c, &level, &c->err);
    if (c->rc != KF_OK)
        answer_problem(c, &c->err);
    else
        call_work(c, work_import, imported);
}

static bool is_wanted(void *ctx)
{
    return call_goes_on(ctx, 0, 0);
}

static void work_export(struct api_call *c)
{
    enum memory_file file;
    c->rc = query_memory_file(c, &file, &c->err);
    if (c->rc == KF_OK)
        c->rc = memory_export(c->store, store_streams(c->store), file, is_wanted, c, &c->out, NULL,
                              &c->err);
}

void memory_get(struct api_call *c)
{
    call_work(c, work_export, call_answer_out);
}

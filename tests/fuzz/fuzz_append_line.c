/* What is piped into `keepfast append`: lines, as ndjson or as text. The first byte says with which
 * options, and whether the rest is one TEXT. Whatever becomes an entry is JSON that is refused, if
 * at all, for what its members say; text that is no JSON is kept letter by letter. */
#include "cli/cli.h"

#include "api/entries.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool has(const struct json_node *object, const char *name, str text, struct arena *arena)
{
    const struct json_node *m = json_member(object, name);
    return m && m->type == JSON_STRING && str_eq(json_text(m->raw, arena), text);
}

static void fuzz_line(const struct cli *cli, str line, bool of_lines)
{
    struct arena arena = ARENA_INIT;
    struct buf out = BUF_INIT;
    struct json_node *root = NULL, *given = NULL;
    struct entries_asked asked = {0};
    struct kf_err err = KF_ERR_INIT;
    struct append_found found;
    size_t index, count;
    kf_rc rc = append_line(cli, line, of_lines, &out, &found, &err);
    if (rc != KF_OK) {
        assert(rc == KF_MISUSE || rc == KF_INVALID);
        assert(str_utf8_valid(line) != line.len);
        buf_release(&out);
        return;
    }
    bool is_json = json_parse(line, NULL, &arena, &given, NULL) == KF_OK;
    assert(!found.has_id || (is_json && of_lines));
    assert(found.as_text == (!is_json && str_starts(str_trim(line), STR("{"))));
    rc = json_parse(buf_view(&out), NULL, &arena, &root, &err);
    if (rc == KF_OK) {
        const struct json_node *body = json_member(root, "body");
        assert(root->type == JSON_OBJECT && body);
        if (!is_json)
            assert(has(body, "text", line, &arena));
        rc = entries_parse(buf_view(&out), &arena, &asked, &index, &count, &err);
        assert(rc == KF_OK || rc == KF_INVALID || rc == KF_LIMIT);
        assert(rc != KF_OK || asked.count == 1);
    } else { /* a body of so many levels or tokens that there is no room around it */
        assert(is_json && rc == KF_LIMIT);
    }
    arena_release(&arena);
    buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cli cli = {0};
    if (size == 0)
        return 0;
    cli.opt[OPT_KIND] = data[0] & 1 ? "user" : NULL;
    if (data[0] & 2) {
        fuzz_line(&cli, str_make(data + 1, size - 1), false);
        return 0;
    }
    for (str rest = str_make(data + 1, size - 1); rest.len;) {
        str line = {rest.p, str_index(rest, '\n')};
        rest = str_from(rest, line.len + 1);
        fuzz_line(&cli, line, true);
    }
    return 0;
}

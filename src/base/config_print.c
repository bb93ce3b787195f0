/* What is in force and where each value came from: as lines for people, or as JSON. An address in
 * the file holds no secret (see config_read.c), so it is shown as it is. */
#include "base/config_internal.h"

static const char *const source_names[] = {"default", "file", "environment", "flag"};

static void schedule_part(struct buf *out, size_t start, const char *name, uint64_t v, bool time)
{
    if (v == 0)
        return;
    buf_printf(out, "%s%s: ", out->len > start ? ", " : "", name);
    if (time)
        duration_format(v, out);
    else
        buf_u64(out, v);
}

void config_schedule_format(const struct config_schedule *s, struct buf *out)
{
    size_t start = out->len;
    if (s->manual) {
        buf_c(out, "manual: true");
        return;
    }
    schedule_part(out, start, "every", s->every_ms, true);
    schedule_part(out, start, "after", s->after, false);
    schedule_part(out, start, "on_change", s->on_change_ms, true);
    if (out->len == start && !out->failed)
        schedule_part(out, start, "on_change", CONFIG_ON_CHANGE_MS, true);
}

/* The keys of access.def that are set: names of variables and files, never what they hold. */
static void print_access(const struct config_access *a, bool json, struct buf *out)
{
#define T(member, key, help)                                 \
    if (a->member.len) {                                     \
        buf_c(out, json ? ", \"" key "\": " : "  " key " "); \
        if (json)                                            \
            buf_json_string(out, a->member);                 \
        else                                                 \
            buf_str(out, a->member);                         \
    }
#define F(member, key, help) T(member, key, help)
#define S(member, key, help) T(member, key, help)
#define B(member, key, help) \
    if (a->member)           \
        buf_c(out, json ? ", \"" key "\": true" : "  " key);
#include "base/access.def"
#undef T
#undef F
#undef S
#undef B
}

static void print_remote(const struct config_remote *r, bool json, struct buf *out)
{
    struct buf when = BUF_INIT;
    config_schedule_format(&r->schedule, &when);
    if (json) {
        buf_c(out, "{\"name\": ");
        buf_json_string(out, r->name);
        buf_c(out, ", \"url\": ");
        buf_json_string(out, r->url);
        buf_c(out, ", \"kind\": ");
        buf_json_string(out, r->kind);
        buf_c(out, ", \"schedule\": ");
        buf_json_string(out, buf_view(&when));
        print_access(&r->access, true, out);
        buf_c(out, "}");
    } else {
        buf_printf(out, "  remote %.*s  %.*s  (%.*s)", STR_ARGS(r->name), STR_ARGS(r->url),
                   STR_ARGS(buf_view(&when)));
        print_access(&r->access, false, out);
        buf_byte(out, '\n');
    }
    out->failed = out->failed || when.failed;
    buf_release(&when);
}

static void print_doc(const struct config_doc *d, bool json, struct buf *out)
{
    if (!json) {
        buf_printf(out, "  docs %.*s%s%.*s  keep %u versions", STR_ARGS(d->match),
                   d->klass.len ? "  " : "", STR_ARGS(d->klass), d->keep.versions);
        if (d->keep.age_ms) {
            buf_c(out, ", ");
            duration_format(d->keep.age_ms, out);
        }
        buf_c(out, d->def.p ? ", with a default\n" : "\n");
        return;
    }
    buf_c(out, "{\"match\": ");
    buf_json_string(out, d->match);
    buf_c(out, ", \"class\": ");
    buf_json_string(out, d->klass);
    buf_printf(out, ", \"keep\": {\"versions\": %u, \"age\": \"", d->keep.versions);
    duration_format(d->keep.age_ms, out);
    buf_c(out, "\"}, \"default\": ");
    buf_str(out, d->def.p ? d->def : STR("null"));
    buf_c(out, ", \"schema\": ");
    if (d->schema_path.p)
        buf_json_string(out, d->schema_path);
    else
        buf_c(out, "null");
    buf_c(out, "}");
}

static void print_keep(const struct config_stream *s, bool json, struct buf *out)
{
    buf_c(out, json ? ", \"keep\": {\"last\": " : "  keep ");
    if (json || s->keep_last)
        buf_u64(out, s->keep_last);
    buf_c(out, json ? ", \"age\": \"" : s->keep_last ? " entries" : "all");
    if (!json && s->keep_age_ms)
        buf_c(out, ", ");
    if (json || s->keep_age_ms)
        duration_format(s->keep_age_ms, out);
    buf_c(out, json ? "\"}" : "");
}

static void print_rings(const struct config_stream *s, bool json, struct buf *out)
{
    buf_c(out, json ? ", \"rings\": {" : "");
    for (size_t i = 0; i < s->ring_count; i++) {
        const struct config_ring *r = &s->rings[i];
        if (!json) {
            buf_printf(out, "  ring %.*s: %u of %.*s", STR_ARGS(r->name), r->last,
                       STR_ARGS(r->kind));
            continue;
        }
        buf_c(out, i ? ", " : "");
        buf_json_string(out, r->name);
        buf_c(out, ": {\"kind\": ");
        buf_json_string(out, r->kind);
        buf_printf(out, ", \"last\": %u}", r->last);
    }
    buf_c(out, json ? "}" : "");
}

static void print_stream(const struct config_stream *s, bool json, struct buf *out)
{
    if (json) {
        buf_c(out, "{\"match\": ");
        buf_json_string(out, s->match);
        buf_printf(out, ", \"window\": %u, \"kinds\": [", s->window);
    } else {
        buf_printf(out, "  streams %.*s  window %u", STR_ARGS(s->match), s->window);
    }
    for (size_t i = 0; i < s->kind_count; i++) {
        buf_c(out, i ? ", " : json ? "" : "  kinds ");
        if (json)
            buf_json_string(out, s->kinds[i]);
        else
            buf_str(out, s->kinds[i]);
    }
    buf_c(out, json ? "]" : "");
    print_keep(s, json, out);
    print_rings(s, json, out);
    buf_c(out, json ? ", \"conversation_gap\": \"" : "  gap ");
    duration_format(s->gap_ms, out);
    buf_c(out, json ? "\"}" : "\n");
}

static void print_space(const struct config_space *s, bool json, struct buf *out)
{
    if (json) {
        buf_c(out, "{\"name\": ");
        buf_json_string(out, s->name);
        buf_c(out, ", \"docs\": [");
    } else {
        buf_printf(out, "space %.*s\n", STR_ARGS(s->name));
    }
    for (size_t i = 0; i < s->doc_count; i++) {
        buf_c(out, json && i ? ", " : "");
        print_doc(&s->docs[i], json, out);
    }
    buf_c(out, json ? "], \"streams\": [" : "");
    for (size_t i = 0; i < s->stream_count; i++) {
        buf_c(out, json && i ? ", " : "");
        print_stream(&s->streams[i], json, out);
    }
    buf_c(out, json ? "], \"remotes\": [" : "");
    for (size_t i = 0; i < s->remote_count; i++) {
        buf_c(out, json && i ? ", " : "");
        print_remote(&s->remotes[i], json, out);
    }
    buf_c(out, json ? "], \"track\": [" : "");
    for (size_t i = 0; i < s->tracked_count; i++) {
        buf_c(out, json && i ? ", " : json ? "" : "  track ");
        if (json)
            buf_json_string(out, s->tracked[i]);
        else
            buf_str(out, s->tracked[i]);
        buf_c(out, json ? "" : "\n");
    }
    buf_c(out, json ? "]}" : "");
}

static void print_json(const struct config *c, struct buf *out)
{
    buf_c(out, "{\"file\": ");
    if (c->file.len)
        buf_json_string(out, c->file);
    else
        buf_c(out, "null");
    buf_c(out, ", \"settings\": [");
    for (int id = 0; id < SETTING_COUNT; id++) {
        buf_printf(out, "%s{\"path\": \"%s\", \"value\": ", id ? ", " : "", setting_table[id].path);
        config_value_format(c, (enum setting)id, true, out);
        buf_printf(out, ", \"source\": \"%s\"}", source_names[c->source[id]]);
    }
    buf_c(out, "], \"spaces\": [");
    for (size_t i = 0; i < c->space_count; i++) {
        buf_c(out, i ? ", " : "");
        print_space(&c->spaces[i], true, out);
    }
    buf_c(out, "]}\n");
}

void config_print(const struct config *config, bool json, struct buf *out)
{
    if (json) {
        print_json(config, out);
        return;
    }
    buf_printf(out, "file %s\n", config->file.len ? config->file.p : "none");
    for (int id = 0; id < SETTING_COUNT; id++) {
        buf_printf(out, "%-20s ", setting_table[id].path);
        config_value_format(config, (enum setting)id, false, out);
        buf_printf(out, "  (%s)\n", source_names[config->source[id]]);
    }
    for (size_t i = 0; i < config->space_count; i++)
        print_space(&config->spaces[i], false, out);
}

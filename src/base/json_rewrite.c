/* json_rewrite: an object written anew, with the bytes of what stays.
 *
 * The bytes of an object, and which of them a removal takes along:
 *
 *     {  lead  "name"  colon  value  tail  ,  lead  "name"  colon  value  closing  }
 *        └──────────── a member ──────────┘  └──────────── a member ────┘
 *
 * `colon` is the colon with the blanks around it. A member that stays is written as `lead "name"
 * colon value`, with its tail only when another follows. The closing blanks belong to the object,
 * so that a pretty text stays pretty when its last member goes. */
#include "base/json_internal.h"

static const char *behind(str s)
{
    return s.p + s.len;
}

static str between(const char *from, const char *to)
{
    return str_make(from, (size_t)(to - from));
}

void json_rewrite_begin(struct json_rewrite *w, const struct json_node *object, struct buf *out)
{
    *w = (struct json_rewrite){
        .out = out,
        .object = object,
        .from = object->raw.p + 1,
        .lead = STR(""),
        .colon = STR(":"),
        .tail = STR(""),
        .owed = STR(""),
        .closing = STR(""),
    };
    buf_byte(out, '{');
}

void json_rewrite_next(struct json_rewrite *w, const struct json_node *member)
{
    const char *end = behind(member->raw), *next = end;
    while (*next != ',' && *next != '}')
        next++;
    w->lead = between(w->from, member->name.p);
    w->colon = between(behind(member->name), member->raw.p);
    w->tail = between(end, next);
    w->from = next + 1;
    if (!member->next) {
        w->closing = w->tail;
        w->tail = STR("");
    }
}

void json_rewrite_name(struct json_rewrite *w, str name)
{
    if (w->any) {
        buf_str(w->out, w->owed);
        buf_byte(w->out, ',');
    }
    w->any = true;
    w->owed = w->tail;
    buf_str(w->out, w->lead);
    buf_str(w->out, name);
    buf_str(w->out, w->colon);
}

void json_rewrite_end(struct json_rewrite *w)
{
    bool was_empty = w->object->count == 0;
    if (was_empty && !w->any)
        w->closing = between(w->from, behind(w->object->raw) - 1);
    if (was_empty || w->any)
        buf_str(w->out, w->closing);
    buf_byte(w->out, '}');
}

str json_text_before(str text, const struct json_node *root)
{
    return between(text.p, root->raw.p);
}

str json_text_behind(str text, const struct json_node *root)
{
    return between(behind(root->raw), behind(text));
}

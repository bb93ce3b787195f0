/* memory_file: the three files by name, and their times. */
#include "move/memory_file_internal.h"

#include "base/when.h"

#include <stdio.h>

const struct memory_kind memory_kinds[] = {
    [MEMORY_PERSONA] = {"persona_memory.json", "persona/", MEMORY_EXCHANGES, false},
    [MEMORY_PARTNER] = {"partner_conversations.json", "partner/", MEMORY_MESSAGES, false},
    [MEMORY_AUTONOMOUS] = {"autonomous_conversations.json", "autonomous/", MEMORY_MESSAGES, true},
};

bool memory_file_known(str path, enum memory_file *ret)
{
    size_t slash;
    while ((slash = str_index(path, '/')) < path.len)
        path = str_from(path, slash + 1);
    for (size_t i = 0; i < sizeof memory_kinds / sizeof *memory_kinds; i++) {
        str name = str_of(memory_kinds[i].name);
        str stem = {name.p, name.len - (sizeof ".json" - 1)};
        if (str_starts(path, stem) && str_ends(path, STR(".json"))) {
            *ret = (enum memory_file)i;
            return true;
        }
    }
    return false;
}

const char *memory_file_name(enum memory_file file)
{
    return memory_kinds[file].name;
}

const char *memory_file_prefix(enum memory_file file)
{
    return memory_kinds[file].prefix;
}

enum { DAY = sizeof "2025-11-09" - 1, MINUTE = sizeof "2025-11-09T14:23" - 1 };

/* Whether a zone stands behind the time of day. */
static bool has_zone(str rest)
{
    return str_has(rest, "Z") || str_has(rest, "z") || str_has(rest, "+") || str_has(rest, "-");
}

bool memory_time(str text, int64_t *ret_ms)
{
    char whole[64];
    int64_t ms;
    if (text.len != DAY && (text.len < MINUTE || text.len > 40))
        return false;
    /* RFC 3339 of it: what is left out here is added. */
    str minutes = text.len == DAY ? STR("00:00") : str_make(text.p + DAY + 1, MINUTE - DAY - 1);
    str rest = str_from(text, MINUTE);
    bool blank = text.len == DAY || text.p[DAY] == ' ' || text.p[DAY] == 'T';
    int len = snprintf(whole, sizeof whole, "%.*sT%.*s%s%.*s%s", DAY, text.p, STR_ARGS(minutes),
                       str_starts(rest, STR(":")) ? "" : ":00", STR_ARGS(rest),
                       has_zone(rest) ? "" : "Z");
    if (!blank || !when_parse(str_make(whole, (size_t)len), &ms) || ms <= 0)
        return false;
    *ret_ms = ms;
    return true;
}

#include "cli/table.h"

const struct option_info option_table[OPT_COUNT] = {
#define O(id, name_, value_, help_) [OPT_##id] = {name_, value_, help_},
#include "cli/options.def"
#undef O
};

/* What options.def calls them, for commands.def. */
static const char *const option_keys[OPT_COUNT] = {
#define O(id, name_, value_, help_) [OPT_##id] = #id,
#include "cli/options.def"
#undef O
};

const struct command command_table[] = {
#define C(words_, function, args_, options_, summary_) \
    {words_, function, args_, options_, summary_},
#include "cli/commands.def"
#undef C
};
const size_t command_count = sizeof command_table / sizeof *command_table;

/* Whether the key of an option is among `words`, which are written in small letters with dashes. */
static bool option_listed(enum option o, const char *words)
{
    char key[32];
    size_t n = 0;
    for (const char *k = option_keys[o]; *k && n + 1 < sizeof key; k++)
        key[n++] = *k == '_' ? '-' : (char)(*k | 0x20);
    key[n] = 0;
    for (str rest = str_of(words); rest.len;) {
        str w = {rest.p, str_index(rest, ' ')};
        if (str_is(w, key))
            return true;
        rest = str_from(rest, w.len + 1);
    }
    return false;
}

bool option_is_common(enum option o)
{
    return o == OPT_AT || o == OPT_CONFIG || o == OPT_JSON || o == OPT_HELP ||
           o == OPT_OWN_TOKEN_FILE || o == OPT_OWN_CA_FILE;
}

bool option_fits(enum option o, const struct command *c)
{
    /* Where a command has an option of the same name (the token of a remote) it is that. */
    if ((o == OPT_OWN_TOKEN_FILE && option_listed(OPT_TOKEN_FILE, c->options)) ||
        (o == OPT_OWN_CA_FILE && option_listed(OPT_CA_FILE, c->options)))
        return false;
    return option_is_common(o) || option_listed(o, c->options);
}

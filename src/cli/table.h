/* table: commands.def and options.def as data, for the parser, the help, the manual page and the
 * shells. */
#ifndef KF_CLI_TABLE_H
#define KF_CLI_TABLE_H

#include "cli/cli.h"

struct option_info {
    const char *name, *value, *help; /* value: NULL = a flag */
};
extern const struct option_info option_table[OPT_COUNT];

struct command {
    const char *words; /* one or two */
    cli_command *run;
    const char *args, *options, *summary;
};
extern const struct command command_table[];
extern const size_t command_count;

/* Whether the command takes the option; four are taken by all. */
bool option_fits(enum option o, const struct command *c);
bool option_is_common(enum option o);

/* The tables in other forms, appended to `out`. */
void man_page(struct buf *out);
void completion_bash(struct buf *out);
void completion_zsh(struct buf *out);
void completion_fish(struct buf *out);

#endif

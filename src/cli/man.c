/* The manual page, in the man(7) macros. */
#include "cli/table.h"

static const struct {
    int number;
    const char *sentence;
} exit_table[] = {
#define E(number_, name, sentence_) {number_, sentence_},
#include "base/exits.def"
#undef E
};

/* Text for troff: a line never begins with a control character, and a dash is one that can be
 * searched for. */
static void man_text(struct buf *out, const char *text)
{
    if (*text == '.' || *text == '\'')
        buf_c(out, "\\&");
    for (; *text; text++) {
        if (*text == '\\') {
            buf_c(out, "\\e");
        } else if (*text == '-') {
            buf_c(out, "\\-");
        } else if (strncmp(text, "…", strlen("…")) == 0) {
            buf_c(out, "...");
            text += strlen("…") - 1;
        } else {
            buf_byte(out, *text);
        }
    }
}

static void man_option(struct buf *out, enum option o)
{
    buf_c(out, ".TP\n.B \"\\-\\-");
    man_text(out, option_table[o].name);
    if (option_table[o].value) {
        buf_c(out, " ");
        man_text(out, option_table[o].value);
    }
    buf_c(out, "\"\n");
    man_text(out, option_table[o].help);
    buf_c(out, "\n");
}

static void man_command(struct buf *out, const struct command *c)
{
    buf_c(out, ".SS \"");
    man_text(out, c->words);
    buf_c(out, *c->args ? " " : "");
    man_text(out, c->args);
    buf_c(out, "\"\n");
    man_text(out, c->summary);
    buf_c(out, ".\n");
    for (int o = 0; o < OPT_COUNT; o++)
        if (!option_is_common((enum option)o) && option_fits((enum option)o, c))
            man_option(out, (enum option)o);
}

static void man_places(struct buf *out)
{
    buf_c(out,
          ".SH ENVIRONMENT\n"
          ".TP\n.B KEEPFAST_AT\nthe place of commands that are given no \\-\\-at\n"
          ".TP\n.B KEEPFAST_CONFIG\nthe configuration of those that are given no \\-\\-config\n"
          ".P\nEvery setting that \\fBkeepfast config\\fR lists has a variable, too: "
          "\\fIpool.max\\fR is KEEPFAST_POOL_MAX.\n"
          ".SH FILES\n"
          ".TP\n.I keepfast.yaml\nthe configuration, beside the data or in the current folder\n"
          ".TP\n.I DIR/SPACE.db\na store: a file of SQLite, with \\-wal, \\-shm, \\-redo, .lock "
          "and .d/ beside it\n"
          ".SH EXAMPLES\n"
          "Keep a document, and see its versions:\n.P\n.RS\n.nf\n"
          "echo \\(aq{\"theme\": \"dark\"}\\(aq | keepfast put settings.json\n"
          "keepfast log settings.json\n.fi\n.RE\n.P\n"
          "Name a place that lasts, and wait until it has everything:\n.P\n.RS\n.nf\n"
          "keepfast remote add usb dir:/mnt/usb/app\n"
          "keepfast sync \\-\\-wait\n.fi\n.RE\n");
}

void man_page(struct buf *out)
{
    buf_printf(out, ".TH KEEPFAST 1 \"\" \"Keepfast %s\" \"\"\n", kf_version());
    buf_c(
        out,
        ".SH NAME\nkeepfast \\- keep the state of an application\n"
        ".SH SYNOPSIS\n.B keepfast\n.I COMMAND\n.RI [ ARGUMENT \"...] [\" OPTION ...]\n"
        ".SH DESCRIPTION\n"
        "Documents are on disk before the answer, with versions, and flow from there to remotes "
        "that last. Commands work on a store of their own or through the server that has it open; "
        "\\-\\-at says which. Data goes to standard output, talk to standard error.\n"
        ".SH OPTIONS\nEvery command takes these; they may stand before it.\n");
    for (int o = 0; o < OPT_COUNT; o++)
        if (option_is_common((enum option)o))
            man_option(out, (enum option)o);
    buf_c(out, ".SH COMMANDS\n");
    for (size_t i = 0; i < command_count; i++)
        man_command(out, &command_table[i]);
    buf_c(out, ".SH \"EXIT STATUS\"\n");
    for (size_t i = 0; i < sizeof exit_table / sizeof *exit_table; i++) {
        buf_printf(out, ".TP\n.B %d\n", exit_table[i].number);
        man_text(out, exit_table[i].sentence);
        buf_c(out, "\n");
    }
    buf_c(out, ".P\nA signal ends a command with 128 and its number.\n");
    man_places(out);
}

/* Completion for bash, zsh and fish, made from the tables. Documents, streams and remotes are
 * offered, too: the shell asks `keepfast ls`, `keepfast stream ls` and `keepfast remote ls`, whose
 * tables have a line of titles and two blanks behind the first column. Behind the table of remotes
 * stand sentences, which begin with the name and a colon. Names and sentences are anybody's text:
 * bash's compgen -W would do what they say, so it is given words of ours alone. */
#include "cli/table.h"

static str first_word(const struct command *c)
{
    str words = str_of(c->words);
    return (str){words.p, str_index(words, ' ')};
}

static str second_word(const struct command *c)
{
    return str_from(str_of(c->words), first_word(c).len + 1);
}

/* Whether no command before it has the same first word. */
static bool is_new_group(size_t i)
{
    return i == 0 || !str_eq(first_word(&command_table[i]), first_word(&command_table[i - 1]));
}

/* What a command's first argument names. */
static const char *kind_of(const struct command *c)
{
    bool none = !*c->args || strcmp(c->words, "remote add") == 0;
    if (str_starts(str_of(c->args), STR("KEY")) || strcmp(c->words, "stream ls") == 0)
        return "stream";
    if (strcmp(c->words, "export") == 0) /* FILE is one of some names there, and no file */
        none = true;
    if (none || str_starts(str_of(c->words), STR("space ")))
        return "";
    if (str_starts(str_of(c->words), STR("remote ")) ||
        str_starts(str_of(c->args), STR("[REMOTE")) || str_starts(str_of(c->args), STR("REMOTE")))
        return "remote";
    if (str_starts(str_of(c->args), STR("FILE")) || str_starts(str_of(c->args), STR("PLACE")))
        return "file";
    if (str_starts(str_of(c->args), STR("NAME")) || strcmp(c->words, "ls") == 0)
        return "document";
    return "";
}

/* What the value of an option names. */
static const char *value_kind(enum option o)
{
    switch (o) {
    case OPT_CONFIG:
    case OPT_OWN_TOKEN_FILE:
    case OPT_OWN_CA_FILE:
    case OPT_TOKEN_FILE:
    case OPT_SSH_KEY_FILE:
    case OPT_KNOWN_HOSTS_FILE:
    case OPT_CA_FILE:
    case OPT_TO:
    case OPT_SOCKET: return "file";
    case OPT_DATA: return "folder";
    case OPT_WAIT:
    case OPT_REMOTE:
    case OPT_PENDING: return "remote";
    default: return "";
    }
}

/* ----------------------------------------------------------------------------------------- bash */

/* " sync:--wait ": the names that are flags of these commands although they take a value
 * elsewhere. */
static void bash_flags(struct buf *out)
{
    for (int o = 0; o < OPT_COUNT; o++) {
        bool both = false;
        for (int p = 0; p < OPT_COUNT && !option_table[o].value; p++)
            both |= option_table[p].value &&
                    strcmp(option_table[o].name, option_table[p].name) == 0;
        for (size_t i = 0; i < command_count && both; i++)
            if (option_fits((enum option)o, &command_table[i]))
                buf_printf(out, "%s:--%s ", command_table[i].words, option_table[o].name);
    }
}

/* Whether an option before it has the same name, and a value too. */
static bool is_again(int o)
{
    for (int p = 0; p < o; p++)
        if (option_table[p].value && strcmp(option_table[p].name, option_table[o].name) == 0)
            return true;
    return false;
}

/* "--a|--b": the options whose value is of this kind; NULL = of any but a place. */
static void bash_valued(struct buf *out, const char *kind)
{
    size_t from = out->len;
    for (int o = 0; o < OPT_COUNT; o++)
        if (option_table[o].value && !is_again(o) &&
            (kind ? strcmp(value_kind((enum option)o), kind) == 0 : o != OPT_AT))
            buf_printf(out, "%s--%s", out->len > from ? "|" : "", option_table[o].name);
}

static void bash_value_kinds(struct buf *out)
{
    static const char *const kinds[] = {"file", "folder", "remote"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        buf_c(out, "            ");
        bash_valued(out, kinds[i]);
        buf_printf(out, ") _keepfast_offer %s; return ;;\n", kinds[i]);
    }
    buf_c(out, "            ");
    bash_valued(out, "");
    buf_c(out, ") return ;;\n");
}

/* What may stand where a command's first or second word is wanted. */
static void bash_groups(struct buf *out)
{
    buf_c(out, "        ' ') offered='");
    for (size_t i = 0; i < command_count; i++)
        if (is_new_group(i))
            buf_printf(out, "%s%.*s", i ? " " : "", STR_ARGS(first_word(&command_table[i])));
    buf_c(out, "' ;;\n");
    for (size_t i = 0; i < command_count; i++) {
        str group = first_word(&command_table[i]);
        if (!is_new_group(i) || second_word(&command_table[i]).len == 0)
            continue;
        buf_printf(out, "        '%.*s ') offered='", STR_ARGS(group));
        for (size_t j = i; j < command_count && str_eq(first_word(&command_table[j]), group); j++)
            buf_printf(out, "%s%.*s", j > i ? " " : "", STR_ARGS(second_word(&command_table[j])));
        buf_c(out, "' ;;\n");
    }
}

static void bash_command(struct buf *out, const struct command *c)
{
    buf_printf(out, "        '%s'%s) kind='%s' offered='", c->words,
               second_word(c).len ? "" : "\\ *", kind_of(c));
    const char *before = "";
    for (int o = 0; o < OPT_COUNT; o++)
        if (option_fits((enum option)o, c)) {
            buf_printf(out, "%s--%s", before, option_table[o].name);
            before = " ";
        }
    buf_c(out, "' ;;\n");
}

static const char bash_begin[] =
    "# bash completion of keepfast; made by `keepfast reference --form bash`\n"
    "_keepfast_documents() {\n"
    "    keepfast ls \"$@\" 2>/dev/null | sed '1d; s/  .*//'\n"
    "}\n"
    "\n"
    "_keepfast_streams() {\n"
    "    keepfast stream ls \"$@\" 2>/dev/null | sed '1d; s/  .*//'\n"
    "}\n"
    "\n"
    "_keepfast_remotes() {\n"
    "    keepfast remote ls \"$@\" 2>/dev/null | sed -n '1d; s/^\\([a-z0-9_-]*\\)  .*/\\1/p'\n"
    "}\n"
    "\n"
    "_keepfast_offer() {\n"
    "    local found=() one\n"
    "    case $1 in\n"
    "        file) compopt -o filenames; mapfile -t found < <(compgen -f -- \"$cur\") ;;\n"
    "        folder) compopt -o filenames; mapfile -t found < <(compgen -d -- \"$cur\") ;;\n"
    "        document) mapfile -t found < <(_keepfast_documents \"${at[@]}\" -- \"$cur\") ;;\n"
    "        stream) mapfile -t found < <(_keepfast_streams \"${at[@]}\" -- \"$cur\") ;;\n"
    "        remote) mapfile -t found < <(_keepfast_remotes \"${at[@]}\") ;;\n"
    "    esac\n"
    "    COMPREPLY=()\n"
    "    for one in \"${found[@]}\"; do\n"
    "        [[ $one == \"$cur\"* ]] || continue\n"
    "        [[ $1 == document || $1 == stream ]] && printf -v one %q \"$one\"\n"
    "        COMPREPLY+=(\"$one\")\n"
    "    done\n"
    "}\n"
    "\n"
    "_keepfast() {\n"
    "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}\n"
    "    local i offered='' kind='' at=() words=() flags=' ";

static const char bash_end[] =
    "    esac\n"
    "    if [[ $cur == -* || -z $kind ]]; then\n"
    "        mapfile -t COMPREPLY < <(compgen -W \"$offered\" -- \"$cur\")\n"
    "    elif [[ $kind == document && ${#words[@]} -gt 1 ]]; then\n"
    "        _keepfast_offer file\n"
    "    else\n"
    "        _keepfast_offer \"$kind\"\n"
    "    fi\n"
    "}\n"
    "complete -F _keepfast keepfast\n";

void completion_bash(struct buf *out)
{
    buf_c(out, bash_begin);
    bash_flags(out);
    buf_c(out, "'\n"
               "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
               "        case ${COMP_WORDS[i]} in\n"
               "            --at) at=(--at \"${COMP_WORDS[i + 1]}\"); ((i++)) ;;\n"
               "            ");
    bash_valued(out, NULL);
    buf_c(out, ") [[ $flags == *\" ${words[0]-}:${COMP_WORDS[i]} \"* ]] || ((i++)) ;;\n"
               "            -*) ;;\n"
               "            *) words+=(\"${COMP_WORDS[i]}\") ;;\n"
               "        esac\n"
               "    done\n"
               "    if [[ $flags != *\" ${words[0]-}:$prev \"* ]]; then\n"
               "        case $prev in\n");
    bash_value_kinds(out);
    buf_c(out, "        esac\n"
               "    fi\n"
               "    case \"${words[0]-} ${words[1]-}\" in\n");
    bash_groups(out);
    for (size_t i = 0; i < command_count; i++)
        bash_command(out, &command_table[i]);
    buf_c(out, bash_end);
}

/* ------------------------------------------------------------------------------------ zsh, fish */

/* Text in single quotes; `also` is escaped with a backslash. */
static void quoted(struct buf *out, const char *text, const char *also, const char *quote)
{
    for (; *text; text++) {
        if (*text == '\'')
            buf_c(out, quote);
        else if (strchr(also, *text))
            buf_printf(out, "\\%c", *text);
        else
            buf_byte(out, *text);
    }
}

static void zsh_quoted(struct buf *out, const char *text)
{
    quoted(out, text, ":[]\\", "'\\''");
}

static const char *zsh_action(const char *kind)
{
    return strcmp(kind, "file") == 0       ? "_files"
           : strcmp(kind, "folder") == 0   ? "_files -/"
           : strcmp(kind, "remote") == 0   ? "_keepfast_remotes"
           : strcmp(kind, "document") == 0 ? "_keepfast_documents"
           : strcmp(kind, "stream") == 0   ? "_keepfast_streams"
                                           : " ";
}

static void zsh_command(struct buf *out, const struct command *c)
{
    bool pair = second_word(c).len > 0;
    buf_printf(out, "        '%s'%s) _arguments", c->words, pair ? "" : "\\ *");
    for (int o = 0; o < OPT_COUNT; o++) {
        if (!option_fits((enum option)o, c))
            continue;
        buf_printf(out, " '--%s[", option_table[o].name);
        zsh_quoted(out, option_table[o].help);
        buf_c(out, "]");
        if (option_table[o].value)
            buf_printf(out, ":%s:%s", option_table[o].value,
                       zsh_action(value_kind((enum option)o)));
        buf_c(out, "'");
    }
    if (*kind_of(c))
        buf_printf(out, " '*:%s:%s'", kind_of(c), zsh_action(kind_of(c)));
    buf_c(out, " ;;\n");
}

static void zsh_words(struct buf *out, const char *array, str group)
{
    buf_printf(out, "    %s=(", array);
    for (size_t i = 0; i < command_count; i++) {
        const struct command *c = &command_table[i];
        if (group.len ? !str_eq(first_word(c), group) : !is_new_group(i))
            continue;
        str word = group.len ? second_word(c) : first_word(c);
        buf_printf(out, " '%.*s:", STR_ARGS(word));
        zsh_quoted(out, second_word(c).len && !group.len ? "..." : c->summary);
        buf_c(out, "'");
    }
    buf_c(out, ")\n");
}

void completion_zsh(struct buf *out)
{
    buf_c(out, "#compdef keepfast\n"
               "# made by `keepfast reference --form zsh`\n"
               "_keepfast_documents() {\n"
               "    local -a found=(${(f)\"$(keepfast ls -- \"$PREFIX\" 2>/dev/null | sed '1d; s/  "
               ".*//')\"})\n"
               "    compadd -a found\n"
               "}\n"
               "_keepfast_streams() {\n"
               "    local -a found=(${(f)\"$(keepfast stream ls -- \"$PREFIX\" 2>/dev/null | sed "
               "'1d; s/  .*//')\"})\n"
               "    compadd -a found\n"
               "}\n"
               "_keepfast_remotes() {\n"
               "    local -a found=(${(f)\"$(keepfast remote ls 2>/dev/null | sed -n "
               "'1d; s/^\\([a-z0-9_-]*\\)  .*/\\1/p')\"})\n"
               "    compadd -a found\n"
               "}\n"
               "_keepfast() {\n"
               "    local -a offered\n");
    zsh_words(out, "offered", (str){"", 0});
    buf_c(out, "    if ((CURRENT == 2)); then _describe command offered; return; fi\n");
    for (size_t i = 0; i < command_count; i++) {
        str group = first_word(&command_table[i]);
        if (!is_new_group(i) || second_word(&command_table[i]).len == 0)
            continue;
        buf_printf(out, "    if [[ $words[2] == %.*s && $CURRENT == 3 ]]; then\n    ",
                   STR_ARGS(group));
        zsh_words(out, "offered", group);
        buf_c(out, "        _describe command offered; return\n    fi\n");
    }
    buf_c(out, "    case \"$words[2] $words[3]\" in\n");
    for (size_t i = 0; i < command_count; i++)
        zsh_command(out, &command_table[i]);
    buf_c(out, "    esac\n}\n_keepfast \"$@\"\n");
}

static void fish_quoted(struct buf *out, const char *text)
{
    quoted(out, text, "\\", "\\'");
}

static const char *fish_values(const char *kind)
{
    return strcmp(kind, "file") == 0       ? " -F"
           : strcmp(kind, "folder") == 0   ? " -a '(__fish_complete_directories)'"
           : strcmp(kind, "remote") == 0   ? " -a '(__keepfast_remotes)'"
           : strcmp(kind, "document") == 0 ? " -a '(__keepfast_documents)'"
           : strcmp(kind, "stream") == 0   ? " -a '(__keepfast_streams)'"
                                           : "";
}

/* The condition that the command line is this command's. */
static void fish_seen(struct buf *out, const struct command *c)
{
    buf_printf(out, "complete -c keepfast -n '__keepfast_is %s'", c->words);
}

static void fish_command(struct buf *out, const struct command *c)
{
    if (second_word(c).len)
        buf_printf(out,
                   "complete -c keepfast -n '__keepfast_is %.*s; and test (count "
                   "(__keepfast_words)) -eq 1' -a %.*s -d '",
                   STR_ARGS(first_word(c)), STR_ARGS(second_word(c)));
    else
        buf_printf(out, "complete -c keepfast -n 'not __keepfast_words' -a %s -d '", c->words);
    fish_quoted(out, c->summary);
    buf_c(out, "'\n");
    for (int o = 0; o < OPT_COUNT; o++) {
        if (!option_fits((enum option)o, c))
            continue;
        fish_seen(out, c);
        buf_printf(out, " -l %s -d '", option_table[o].name);
        fish_quoted(out, option_table[o].help);
        buf_c(out, "'");
        if (option_table[o].value)
            buf_printf(out, " -r%s", fish_values(value_kind((enum option)o)));
        buf_c(out, "\n");
    }
    if (*kind_of(c)) {
        fish_seen(out, c);
        buf_printf(out, "%s\n", fish_values(kind_of(c)));
    }
}

void completion_fish(struct buf *out)
{
    buf_c(out, "# made by `keepfast reference --form fish`\n"
               "function __keepfast_words\n"
               "    set -l found (commandline -opc)[2..-1]\n"
               "    set -l words (string match -v -- '-*' $found)\n"
               "    test (count $words) -gt 0; and printf '%s\\n' $words\n"
               "end\n"
               "function __keepfast_is\n"
               "    set -l words (__keepfast_words)\n"
               "    test (count $words) -ge (count $argv); and test \"$words[1..$(count $argv)]\" "
               "= \"$argv\"\n"
               "end\n"
               "function __keepfast_documents\n"
               "    keepfast ls -- (commandline -ct) 2>/dev/null | string replace -r '  .*' '' | "
               "tail -n +2\n"
               "end\n"
               "function __keepfast_streams\n"
               "    keepfast stream ls -- (commandline -ct) 2>/dev/null | string replace -r "
               "'  .*' '' | tail -n +2\n"
               "end\n"
               "function __keepfast_remotes\n"
               "    keepfast remote ls 2>/dev/null | tail -n +2 | string replace -rf "
               "'^([a-z0-9_-]+)  .*' '$1'\n"
               "end\n"
               "complete -c keepfast -f\n");
    for (size_t i = 0; i < command_count; i++) {
        const struct command *c = &command_table[i];
        if (is_new_group(i) && second_word(c).len) {
            str group = first_word(c);
            buf_printf(out, "complete -c keepfast -n 'not __keepfast_words' -a %.*s\n",
                       STR_ARGS(group));
        }
        fish_command(out, c);
    }
}

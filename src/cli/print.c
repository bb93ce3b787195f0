/* What people see: tables, ages, progress. Data goes to stdout, talk to stderr. */
#include "cli/cli.h"

#include "base/when.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int lost; /* why stdout took no more, an errno value: said once, at the end */
static bool framed;
static struct buf frame;
static bool colours, warn_colours; /* of stdout, of stderr */

static void write_out(str bytes)
{
    if (bytes.len && !lost && fwrite(bytes.p, 1, bytes.len, stdout) != bytes.len)
        lost = errno ? errno : EIO;
}

void print_out(str bytes)
{
    if (framed)
        buf_str(&frame, bytes);
    else
        write_out(bytes);
}

/* -------------------------------------------------------------------------------------- colours */

/* no-color.org; a terminal that is dumb knows none. */
static bool wants_colours(void)
{
    const char *no = getenv("NO_COLOR"), *terminal = getenv("TERM");
    return !(no && *no) && terminal && *terminal && strcmp(terminal, "dumb") != 0;
}

void print_begin(const struct cli *cli)
{
    colours = !cli->json && isatty(STDOUT_FILENO) && wants_colours();
    warn_colours = !cli->json && isatty(STDERR_FILENO) && wants_colours();
}

/* The eight of every terminal: its owner has chosen them to be read on his ground. */
static const char *const tints[] = {
    [TINT_NONE] = "",         [TINT_STRONG] = "\x1b[1m", [TINT_DIM] = "\x1b[2m",
    [TINT_GOOD] = "\x1b[32m", [TINT_WARN] = "\x1b[33m",  [TINT_BAD] = "\x1b[1;31m"};
static const char tint_end[] = "\x1b[0m";

const char *tint_on(enum tint tint)
{
    return colours ? tints[tint] : "";
}

const char *tint_off(void)
{
    return colours ? tint_end : "";
}

/* Of a text that begins with one of our colours, the length of that; else 0. */
static size_t tint_len(str text)
{
    if (str_starts(text, str_of(tint_end)))
        return sizeof tint_end - 1;
    for (size_t i = TINT_NONE + 1; i < sizeof tints / sizeof *tints; i++)
        if (str_starts(text, str_of(tints[i])))
            return strlen(tints[i]);
    return 0;
}

/* Names, and what servers say, are anybody's text: what would move the cursor of a terminal, or end
 * a line of a table, is shown as an escape. Colours are no harm. */
static void put_shown(struct buf *b, str text, bool lines)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char ch = (unsigned char)text.p[i];
        size_t tint = ch == 0x1b && lines ? tint_len(str_from(text, i)) : 0;
        if (tint) {
            buf_add(b, text.p + i, tint);
            i += tint - 1;
        } else if (ch == '\n' && !lines) {
            buf_c(b, "\\n");
        } else if ((ch < 0x20 && ch != '\n') || ch == 0x7f) {
            buf_printf(b, "\\x%02x", ch);
        } else if (ch == 0xc2 && i + 1 < text.len && (unsigned char)text.p[i + 1] < 0xa0) {
            buf_printf(b, "\\x%02x", (unsigned char)text.p[++i]); /* those of 8 bits, in UTF-8 */
        } else {
            buf_byte(b, text.p[i]);
        }
    }
}

/* Whether a text is shown as it is, but perhaps for colours. */
static bool is_plain(str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char ch = (unsigned char)text.p[i];
        if ((ch < 0x20 && ch != '\n' && ch != 0x1b) || ch == 0x7f || ch == 0xc2)
            return false;
        if (ch == 0x1b && !tint_len(str_from(text, i)))
            return false;
    }
    return true;
}

/* Needs memory for what is long or strange alone: lists are printed when there is none, too. */
void print_fmt(const char *fmt, ...)
{
    char small[1024];
    struct buf text = BUF_INIT, shown = BUF_INIT;
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(small, sizeof small, fmt, args);
    va_end(args);
    if (len >= (int)sizeof small) {
        va_start(args, fmt);
        buf_vprintf(&text, fmt, args);
        va_end(args);
    }
    str words = len < (int)sizeof small ? (str){small, len > 0 ? (size_t)len : 0} : buf_view(&text);
    if (!is_plain(words)) {
        put_shown(&shown, words, true);
        words = buf_view(&shown);
    }
    if (len < 0 || text.failed || shown.failed)
        lost = lost ? lost : ENOMEM;
    else
        print_out(words);
    buf_release(&text);
    buf_release(&shown);
}

size_t print_width(void)
{
    struct winsize w;
    if (!isatty(STDOUT_FILENO))
        return 0;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col ? w.ws_col : 80;
}

static size_t print_height(void)
{
    struct winsize w;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_row ? w.ws_row : 24;
}

/* --------------------------------------------------------------------------------------- frames */

void print_frame_begin(void)
{
    buf_clear(&frame);
    framed = true;
}

void print_frame_drop(void)
{
    framed = false;
    buf_release(&frame);
}

/* The part of a line that a terminal of so many columns shows. Escapes take no room, and what they
 * began is ended. */
static void put_cut(struct buf *out, str line, size_t columns)
{
    size_t used = 0, i = 0;
    bool tinted = false;
    while (i < line.len) {
        unsigned char ch = (unsigned char)line.p[i];
        if (ch == 0x1b) {
            size_t end = i + str_index(str_from(line, i), 'm') + 1;
            str escape = {line.p + i, (end > line.len ? line.len : end) - i};
            buf_str(out, escape);
            tinted = !str_is(escape, tint_end);
            i = end;
            continue;
        }
        used += (ch & 0xc0) != 0x80;
        if (used > columns)
            break;
        buf_byte(out, (char)ch);
        i++;
    }
    if (tinted)
        buf_c(out, tint_end);
}

/* One write, from the top left corner on: nothing is blank in between. The last row stays free, or
 * its end would move all up. */
void print_frame_end(void)
{
    struct buf shown = BUF_INIT;
    size_t columns = print_width(), rows = print_height();
    framed = false;
    buf_c(&shown, "\x1b[H");
    str rest = buf_view(&frame);
    for (size_t row = 1; row < rows && rest.len; row++) {
        str line = {rest.p, str_index(rest, '\n')};
        rest = str_from(rest, line.len + 1);
        put_cut(&shown, line, columns);
        buf_c(&shown, "\x1b[K\n");
    }
    buf_c(&shown, "\x1b[J");
    if (!shown.failed && !frame.failed)
        write_out(buf_view(&shown));
    buf_release(&shown);
    buf_release(&frame);
}

void print_line(str line)
{
    print_out(line);
    print_out(STR("\n"));
}

void print_removed(const char *name)
{
    struct buf b = BUF_INIT;
    buf_c(&b, "{\"name\":");
    buf_json_string(&b, str_of(name));
    buf_c(&b, ",\"removed\":true}\n");
    print_out(buf_view(&b));
    buf_release(&b);
}

void print_written(const char *path)
{
    struct buf b = BUF_INIT;
    buf_c(&b, "{\"file\":");
    buf_json_string(&b, str_of(path));
    buf_c(&b, "}\n");
    print_out(buf_view(&b));
    buf_release(&b);
}

int print_flush(void)
{
    if (!lost && fflush(stdout) != 0)
        lost = errno ? errno : EIO;
    return lost;
}

void print_question(const char *question)
{
    fprintf(stderr, "%s. Go on? [y/N] ", question);
    fflush(stderr);
}

void print_talk(const char *fmt, ...)
{
    struct buf text = BUF_INIT, shown = BUF_INIT;
    va_list args;
    va_start(args, fmt);
    buf_vprintf(&text, fmt, args);
    va_end(args);
    put_shown(&shown, buf_view(&text), true);
    buf_byte(&shown, '\n');
    if (shown.len)
        fwrite(shown.p, 1, shown.len, stderr);
    buf_release(&text);
    buf_release(&shown);
}

void print_failure(const char *detail)
{
    if (!warn_colours) {
        print_talk("keepfast: %s", detail);
        return;
    }
    fprintf(stderr, "%skeepfast:%s ", tints[TINT_BAD], tint_end);
    print_talk("%s", detail);
}

/* ---------------------------------------------------------------------------------------- words */

static size_t width_of(str s);

/* From column `used` on; further lines begin at `indent`. */
static void wrap(size_t used, size_t indent, str text)
{
    enum { READABLE = 100 };
    struct buf shown = BUF_INIT;
    size_t width = print_width();
    bool first = true;
    put_shown(&shown, text, false);
    if (width > READABLE)
        width = READABLE;
    for (str rest = buf_view(&shown); rest.len; first = false) {
        str word = {rest.p, str_index(rest, ' ')};
        size_t wide = width_of(word), gap = first ? 0 : 1;
        rest = str_from(rest, word.len + 1);
        if (width && used > indent && used + gap + wide > width) {
            print_fmt("\n%*s", (int)indent, "");
            used = indent;
            gap = 0;
        }
        print_fmt("%*s", (int)gap, "");
        print_out(word);
        used += gap + wide;
    }
    print_out(STR("\n"));
    buf_release(&shown);
}

void print_wrapped(size_t indent, str text)
{
    print_fmt("%*s", (int)indent, "");
    wrap(indent, indent, text);
}

void print_about(enum tint tint, str name, str text)
{
    print_fmt("%s%.*s:%s ", tint_on(tint), STR_ARGS(name), tint_off());
    wrap(width_of(name) + 2, 2, text);
}

void print_brief(struct buf *out, str text, size_t columns)
{
    struct buf shown = BUF_INIT;
    put_shown(&shown, text, false);
    bool fits = !columns || width_of(buf_view(&shown)) <= columns;
    put_cut(out, buf_view(&shown), fits ? SIZE_MAX : columns - 1);
    buf_c(out, fits ? "" : "…");
    out->failed |= shown.failed;
    buf_release(&shown);
}

void print_about_line(struct cli *cli, size_t indent, enum tint tint, str name, str text)
{
    struct buf line = BUF_INIT;
    size_t width = print_width(), used;
    buf_printf(&line, "%*s%s", (int)indent, "", tint_on(tint));
    print_brief(&line, name, width / 2);
    buf_printf(&line, ":%s ", tint_off());
    used = width_of(name); /* a name of strange characters is shown wider: no harm */
    used = indent + 2 + (width && used > width / 2 ? width / 2 : used);
    print_brief(&line, text, !width ? 0 : width > used + 1 ? width - used : 1);
    print_line(buf_view(&line));
    cli->starved |= line.failed;
    buf_release(&line);
}

/* ------------------------------------------------------------------------------------- progress */

static int64_t drawn_at;

static void draw_bar(struct buf *b, uint64_t done, uint64_t total)
{
    const int width = 30;
    int full = (int)(done >= total ? width : (int)((double)done / (double)total * width));
    buf_c(b, " [");
    for (int i = 0; i < width; i++)
        buf_c(b, i < full ? "#" : ".");
    buf_printf(b, "] %3d %%", (int)(done >= total ? 100 : done * 100 / total));
}

/* At most ten times a second, where somebody looks. */
static bool is_time_to_draw(const struct cli *cli)
{
    int64_t now = env_mono_ms(cli->env);
    if (!cli->tty || cli->json || (drawn_at && now - drawn_at < 100))
        return false;
    drawn_at = now;
    return true;
}

static void draw(struct buf *b)
{
    buf_c(b, "\x1b[K");
    if (!b->failed)
        fwrite(b->p, 1, b->len, stderr);
    buf_release(b);
}

void print_progress(struct cli *cli, const char *word, uint64_t done, uint64_t total)
{
    struct buf b = BUF_INIT;
    if (!is_time_to_draw(cli))
        return;
    buf_printf(&b, "\r%s ", word);
    size_human(done, &b);
    if (total)
        draw_bar(&b, done, total);
    draw(&b);
}

void print_waiting(struct cli *cli, const char *word, int64_t since_ms)
{
    struct buf b = BUF_INIT;
    int64_t seconds = (env_mono_ms(cli->env) - since_ms) / 1000;
    if (seconds < 1 || !is_time_to_draw(cli))
        return;
    buf_printf(&b, "\r%s, %lld s", word, (long long)seconds);
    draw(&b);
}

void print_progress_end(struct cli *cli)
{
    if (cli->tty && drawn_at)
        fputs("\r\x1b[K", stderr);
    drawn_at = 0;
}

/* --------------------------------------------------------------------------------------- tables */

enum { TABLE_COLUMNS_MAX = 16 };

struct cell {
    str text;
    enum tint tint;
};
struct table {
    struct cli *cli;
    size_t columns;
    struct cell *cells;
    size_t count, cap;
};

struct table *table_new(struct cli *cli, const char *const *heads, size_t columns)
{
    assert(columns <= TABLE_COLUMNS_MAX);
    struct table *t = arena_alloc(&cli->arena, sizeof *t);
    cli->starved |= !t;
    if (!t)
        return NULL;
    t->cli = cli;
    t->columns = columns;
    for (size_t i = 0; i < columns; i++) {
        table_cell(t, str_of(heads[i]));
        table_tint(t, TINT_DIM);
    }
    return t;
}

void table_cell(struct table *t, str text)
{
    if (!t)
        return;
    if (t->count == t->cap) {
        size_t cap = t->cap ? t->cap * 2 : 64;
        struct cell *more = arena_alloc(&t->cli->arena, cap * sizeof *more);
        t->cli->starved |= !more;
        if (!more)
            return;
        if (t->count)
            memcpy(more, t->cells, t->count * sizeof *more);
        t->cells = more;
        t->cap = cap;
    }
    struct buf shown = BUF_INIT;
    put_shown(&shown, text, false);
    str cell = arena_str(&t->cli->arena, buf_view(&shown));
    t->cli->starved |= shown.failed || !cell.p;
    t->cells[t->count++] = (struct cell){cell, TINT_NONE};
    buf_release(&shown);
}

void table_tint(struct table *t, enum tint tint)
{
    if (t && t->count)
        t->cells[t->count - 1].tint = tint;
}

/* Characters, not bytes: names are UTF-8. */
static size_t width_of(str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++)
        n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
    return n;
}

static bool is_number(str s)
{
    return s.len && s.p[0] >= '0' && s.p[0] <= '9';
}

/* A column of numbers stands to the right. */
static bool numeric_column(const struct table *t, size_t column)
{
    for (size_t i = t->columns + column; i < t->count; i += t->columns)
        if (!is_number(t->cells[i].text))
            return false;
    return t->count > t->columns;
}

static void print_cell(struct cell c, size_t width, bool right, bool last)
{
    size_t pad = width - width_of(c.text);
    if (right)
        print_fmt("%*s", (int)pad, "");
    bool tinted = c.tint != TINT_NONE && c.text.len;
    print_out(str_of(tinted ? tint_on(c.tint) : ""));
    print_out(c.text);
    print_out(str_of(tinted ? tint_off() : ""));
    if (!right && !last)
        print_fmt("%*s", (int)pad, "");
    if (!last)
        print_out(STR("  "));
}

static size_t column_width(const struct table *t, size_t column)
{
    size_t width = 0;
    for (size_t i = column; i < t->count; i += t->columns)
        if (width_of(t->cells[i].text) > width)
            width = width_of(t->cells[i].text);
    return width;
}

void table_print(struct table *t)
{
    size_t width[TABLE_COLUMNS_MAX];
    bool right[TABLE_COLUMNS_MAX];
    if (!t)
        return;
    for (size_t c = 0; c < t->columns; c++) {
        width[c] = column_width(t, c);
        right[c] = numeric_column(t, c);
    }
    for (size_t row = 0; row + t->columns <= t->count; row += t->columns) {
        for (size_t c = 0; c < t->columns; c++)
            print_cell(t->cells[row + c], width[c], right[c], c + 1 == t->columns);
        print_out(STR("\n"));
    }
}

/* ----------------------------------------------------------------------------- values of answers
 */

kf_rc answer_parse(struct cli *cli, const struct cli_answer *a, struct json_node **ret,
                   struct kf_err *err)
{
    struct json_limits wide = {.depth_max = 64, .tokens_max = 10000000};
    kf_rc rc = json_parse(a->body, &wide, &cli->arena, ret, err);
    return rc == KF_INVALID ? err_set(err, PROBLEM_INTERNAL, "the answer is no JSON") : rc;
}

str node_text(struct cli *cli, const struct json_node *object, const char *member)
{
    const struct json_node *n = json_member(object, member);
    str none = {"", 0};
    if (!n || n->type != JSON_STRING)
        return none;
    str text = json_text(n->raw, &cli->arena);
    cli->starved |= !text.p;
    return text.p ? text : none;
}

uint64_t node_u64(const struct json_node *object, const char *member)
{
    uint64_t v = 0;
    const struct json_node *n = json_member(object, member);
    return n && json_u64(n, &v) ? v : 0;
}

bool node_true(const struct json_node *object, const char *member)
{
    const struct json_node *n = json_member(object, member);
    return n && n->type == JSON_TRUE;
}

str cli_size(struct cli *cli, uint64_t bytes)
{
    struct buf b = BUF_INIT;
    size_human(bytes, &b);
    str s = arena_str(&cli->arena, buf_view(&b));
    cli->starved |= b.failed || !s.p;
    buf_release(&b);
    return s.p ? s : STR("");
}

str cli_count(struct cli *cli, uint64_t n, const char *one, const char *many)
{
    char *text = arena_printf(&cli->arena, "%llu %s", (unsigned long long)n, n == 1 ? one : many);
    cli->starved |= !text;
    return str_of(text ? text : "");
}

str node_age(struct cli *cli, const struct json_node *object, const char *member)
{
    int64_t at, now = env_wall_ms(cli->env);
    str text = node_text(cli, object, member);
    struct buf b = BUF_INIT;
    if (!text.len || !when_parse(text, &at))
        return STR("never");
    if (at > now)
        buf_c(&b, "in ");
    age_human(at > now ? at - now : now - at, &b);
    if (at <= now)
        buf_c(&b, " ago");
    str s = arena_str(&cli->arena, buf_view(&b));
    cli->starved |= b.failed || !s.p;
    buf_release(&b);
    return s.p ? s : STR("");
}

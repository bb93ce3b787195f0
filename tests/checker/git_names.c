/* What remote/git_path.h answers, for a script: each line of stdin is a letter and bytes in hex,
 *
 *     p NAME   its plain path         n PATH   its name, or `-` when no name has it
 *     a NAME   its apart path         f PATH   its fold
 *
 * and is answered by one line of hex. */
#include "remote/git_path.h"

#include <stdio.h>
#include <stdlib.h>

static bool from_hex(const char *hex, struct buf *out)
{
    for (; hex[0] && hex[0] != '\n'; hex += 2) {
        const char pair[3] = {hex[0], hex[1], 0};
        char *end;
        unsigned long byte = strtoul(pair, &end, 16);
        if (end != pair + 2)
            return false;
        buf_byte(out, (char)byte);
    }
    return true;
}

static bool answer(char question, str of, struct buf *out)
{
    switch (question) {
    case 'p': git_path_plain(of, out); return true;
    case 'a': git_path_apart(of, out); return true;
    case 'f': git_path_fold(of, out); return true;
    default: return git_path_name(of, out, NULL) == KF_OK;
    }
}

int main(void)
{
    static char line[16384];
    struct buf of = BUF_INIT, out = BUF_INIT;
    while (fgets(line, sizeof(line), stdin)) {
        buf_clear(&of);
        buf_clear(&out);
        if (!line[0] || !line[1] || !from_hex(line + 2, &of))
            return 2;
        bool there = answer(line[0], buf_view(&of), &out);
        if (buf_ok(&of, NULL) != KF_OK || buf_ok(&out, NULL) != KF_OK)
            return 1;
        for (size_t i = 0; i < out.len; i++)
            printf("%02x", (unsigned char)out.p[i]);
        puts(there ? "" : "-");
    }
    buf_release(&of);
    buf_release(&out);
    return 0;
}

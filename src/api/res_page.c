/* The page at `/`, its files, and the guard for other people's pages. They lie in the program, are
 * open to all and hold nothing of anybody: what they show they ask for as any client does. */
#include "api/api_internal.h"
#include "api/page_files.h"

/* The page runs what comes from here alone, speaks to this server alone, is framed by nobody, and
 * makes no markup out of text. */
static const char policy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'";

static const struct page_file *find(str name)
{
    for (size_t i = 0; i < page_file_count; i++)
        if (str_is(name, page_files[i].name))
            return &page_files[i];
    return NULL;
}

static void answer_file(struct api_call *c, const struct page_file *f)
{
    answer_header(c, "ETag", str_of(f->etag));
    answer_header(c, "Cache-Control", STR("no-cache"));
    answer_header(c, "Content-Security-Policy", str_of(policy));
    answer_header(c, "X-Content-Type-Options", STR("nosniff"));
    answer_header(c, "Referrer-Policy", STR("no-referrer"));
    if (etag_listed(c->if_none_match, f->etag))
        answer_empty(c, 304);
    else
        answer_bytes(c, 200, f->type, str_make(f->bytes, f->len));
}

void page(struct api_call *c)
{
    answer_file(c, find(STR("index.html")));
}

void page_file(struct api_call *c)
{
    const struct page_file *f = find(c->match.file);
    if (f && !str_is(c->match.file, "index.html")) { /* it is `/`: what it names lies below that */
        answer_file(c, f);
        return;
    }
    err_set(&c->err, PROBLEM_NOT_FOUND, "the page has no such file");
    answer_problem(c, &c->err);
}

/* A page that shields itself from others (Cross-Origin-Embedder-Policy) may load it still. */
void page_guard(struct api_call *c)
{
    answer_header(c, "Cross-Origin-Resource-Policy", STR("cross-origin"));
    answer_file(c, find(STR("keepfast-guard.js")));
}

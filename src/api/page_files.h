/* The files of web/ as they are in the program: the page at `/` and the guard for other people's
 * pages. The table is made by tools/embed.py when one of them has changed. */
#ifndef KF_API_PAGE_FILES_H
#define KF_API_PAGE_FILES_H

#include <stddef.h>

struct page_file {
    const char *name; /* without its folder */
    const char *type; /* of its content */
    const char *etag; /* strong, in quotes: a hash of its bytes */
    const unsigned char *bytes;
    size_t len;
};
extern const struct page_file page_files[];
extern const size_t page_file_count;

#endif

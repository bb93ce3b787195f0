/* jansson and simdjson, as far as they are measured: behind a header of our own, because jansson
 * and we both have a JSON_TRUE, and simdjson is C++. */
#ifndef BENCH_JSON_OTHERS_H
#define BENCH_JSON_OTHERS_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* So many bytes behind the text may be read. */
#define OTHERS_PADDING 64

bool others_jansson(const char *p, size_t len);

void *others_new(void);
void others_free(void *parser);
/* Builds the DOM; whether the text was accepted. */
bool others_dom(void *parser, const char *p, size_t len);
/* Goes through all of the text on demand, reading each value; whether it was accepted. */
bool others_walk(void *parser, const char *p, size_t len);

#ifdef __cplusplus
}
#endif
#endif

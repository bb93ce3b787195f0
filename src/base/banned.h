/* banned: functions that do not compile in our sources.
 *
 * The build includes this file before each of our own sources. A banned function is declared again
 * as deprecated, and warnings are errors: calling it or taking its address fails with the sentence
 * given here, while members of a struct may have such a name and the headers of others stay as they
 * are.
 *
 * The one place that implements a replacement takes the ban off around its own lines:
 *     #pragma GCC diagnostic ignored "-Wdeprecated-declarations"
 * `make lint` knows these places. Tests are compiled with KF_BANNED_NOT_HEAP. */
#ifndef KF_BASE_BANNED_H
#define KF_BASE_BANNED_H

#include <stdarg.h>
#include <stddef.h>
#include <sys/time.h>
#include <sys/types.h>
#include <time.h>

/* Before stdio.h, stdlib.h and string.h: where calls are fortified these define some of the
 * functions, and an attribute must come before a definition. */
struct _IO_FILE;

#define KF_BANNED(instead) __attribute__((deprecated("banned: " instead)))

/* No bound on what they write. */
KF_BANNED("use buf_add") char *strcpy(char *, const char *);
KF_BANNED("use buf_add") char *stpcpy(char *, const char *);
KF_BANNED("use buf_add") char *strcat(char *, const char *);
KF_BANNED("use snprintf") int sprintf(char *, const char *, ...);
KF_BANNED("use vsnprintf") int vsprintf(char *, const char *, va_list);
char *gets(char *) KF_BANNED("use read");

/* Leave a string without its end, or end it short in silence. */
KF_BANNED("use buf_add") char *strncpy(char *, const char *, size_t);
KF_BANNED("use buf_add") char *stpncpy(char *, const char *, size_t);
KF_BANNED("use buf_add") char *strncat(char *, const char *, size_t);

/* State shared by the whole process. */
KF_BANNED("use str_index and str_from") char *strtok(char *, const char *);
KF_BANNED("use gmtime_r") struct tm *gmtime(const time_t *);
KF_BANNED("use localtime_r") struct tm *localtime(const time_t *);
KF_BANNED("use base/when.h") char *ctime(const time_t *);
KF_BANNED("use base/when.h") char *asctime(const struct tm *);
KF_BANNED("use err_errno") char *strerror(int);
KF_BANNED("use env->random") int rand(void);
KF_BANNED("use env->random") long random(void);

/* A number that does not fit is undefined or lost. */
KF_BANNED("use str_to_u64") int atoi(const char *);
KF_BANNED("use str_to_u64") long atol(const char *);
KF_BANNED("use str_to_u64") long long atoll(const char *);

/* A shell, or a name that somebody else can take first. */
KF_BANNED("spawn with an argument list") int system(const char *);
KF_BANNED("spawn with an argument list") struct _IO_FILE *popen(const char *, const char *);
char *mktemp(char *) KF_BANNED("use file_open");
char *tmpnam(char[20]) KF_BANNED("use file_open");
char *tempnam(const char *, const char *) KF_BANNED("use file_open");

#ifndef KF_BANNED_NOT_HEAP
/* The heap has one door, base/mem.h, so that a test can fail the N-th allocation. */
KF_BANNED("use mem_alloc") void *malloc(size_t);
KF_BANNED("use mem_calloc") void *calloc(size_t, size_t);
KF_BANNED("use mem_realloc") void *realloc(void *, size_t);
KF_BANNED("use mem_realloc") void *reallocarray(void *, size_t, size_t);
KF_BANNED("use mem_free") void free(void *);
KF_BANNED("use mem_strdup") char *strdup(const char *);
KF_BANNED("use mem_dup") char *strndup(const char *, size_t);
KF_BANNED("use buf_printf") int asprintf(char **, const char *, ...);
KF_BANNED("use buf_printf") int vasprintf(char **, const char *, va_list);
KF_BANNED("use buf_add") ssize_t getline(char **, size_t *, struct _IO_FILE *);

/* The time comes through struct env, so that a test can turn the clock. */
KF_BANNED("use env_wall_ms") time_t time(time_t *);
KF_BANNED("use env_wall_ms") int gettimeofday(struct timeval *, void *);
KF_BANNED("use env_mono_ns") int clock_gettime(clockid_t, struct timespec *);
KF_BANNED("use a timer of the loop") unsigned sleep(unsigned);
KF_BANNED("use a timer of the loop") int usleep(useconds_t);
#endif

#endif

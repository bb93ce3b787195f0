#include "sim_disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR 512

/* ---------------------------------------------------------------------------------- small help */

static void must(bool good, const char *what, const char *path)
{
    if (good)
        return;
    fprintf(stderr, "sim_disk: cannot %s %s: error %d\n", what, path, errno);
    abort();
}

static void *grown(void *list, size_t count, size_t size)
{
    /* To the next power of two, when it is one. */
    if (count & (count - 1))
        return list;
    list = realloc(list, (count ? count * 2 : 1) * size);
    must(list != NULL, "get memory for", "a list");
    return list;
}

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* ----------------------------------------------------------------------------------- the events */

bool sim_event_counts(enum io_op op)
{
    switch (op) {
    case IO_CREATE:
    case IO_WRITE:
    case IO_SYNC:
    case IO_DIRSYNC:
    case IO_RENAME:
    case IO_UNLINK:
    case IO_TRUNCATE:
    case IO_MKDIR: return true;
    default: return false;
    }
}

void sim_event_copy(struct sim_event *to, const struct io_event *from, size_t len, bool failed)
{
    *to = (struct sim_event){.op = from->op, .offset = from->offset, .len = len, .failed = failed};
    to->path = strdup(from->path);
    to->to = from->to ? strdup(from->to) : NULL;
    if (from->op == IO_WRITE) {
        to->data = malloc(len ? len : 1);
        must(to->data != NULL, "copy", from->path);
        memcpy(to->data, from->data, len);
    }
}

void sim_event_release(struct sim_event *e)
{
    free(e->path);
    free(e->to);
    free(e->data);
}

/* ------------------------------------------------------------------------------ files and names */

struct bytes {
    char *p;
    size_t len, cap;
};

static void bytes_resize(struct bytes *b, size_t len)
{
    if (len > b->cap) {
        b->cap = len * 2;
        b->p = realloc(b->p, b->cap);
        must(b->p != NULL, "get memory for", "a file");
    }
    if (len > b->len)
        memset(b->p + b->len, 0, len - b->len);
    b->len = len;
}

/* The first `len` bytes of a write, or a truncation. */
static void bytes_change(struct bytes *b, const struct sim_event *e, size_t len)
{
    if (e->op == IO_TRUNCATE) {
        bytes_resize(b, (size_t)e->offset);
        return;
    }
    if (len && (size_t)e->offset + len > b->len)
        bytes_resize(b, (size_t)e->offset + len);
    if (len)
        memcpy(b->p + e->offset, e->data, len);
}

struct change {
    const struct sim_event *event;
    bool lost; /* its sync failed: no other will write it */
};

struct inode {
    struct bytes synced;
    struct change *changes; /* since, in their order */
    size_t change_count;
};

#define NO_FILE   SIZE_MAX
#define IS_FOLDER (SIZE_MAX - 1)

struct name {
    char *path;
    size_t file; /* index; IS_FOLDER */
};

struct names {
    struct name *list;
    size_t count;
};

static size_t names_find(const struct names *n, const char *path)
{
    for (size_t i = 0; i < n->count; i++)
        if (strcmp(n->list[i].path, path) == 0)
            return n->list[i].file;
    return NO_FILE;
}

static void names_remove(struct names *n, const char *path)
{
    for (size_t i = 0; i < n->count; i++) {
        if (strcmp(n->list[i].path, path) != 0)
            continue;
        free(n->list[i].path);
        n->list[i] = n->list[--n->count];
        return;
    }
}

static void names_set(struct names *n, const char *path, size_t file)
{
    names_remove(n, path);
    n->list = grown(n->list, n->count, sizeof(*n->list));
    n->list[n->count++] = (struct name){strdup(path), file};
}

static void names_copy(struct names *to, const struct names *from)
{
    *to = (struct names){0};
    for (size_t i = 0; i < from->count; i++)
        names_set(to, from->list[i].path, from->list[i].file);
}

static void names_free(struct names *n)
{
    for (size_t i = 0; i < n->count; i++)
        free(n->list[i].path);
    free(n->list);
}

/* A name made (from == NULL), moved, or removed (to == NULL). */
struct move {
    char *from, *to;
    size_t file;
};

static void move_make(struct names *n, const struct move *m)
{
    if (m->from)
        names_remove(n, m->from);
    if (m->to)
        names_set(n, m->to, m->file);
}

struct sim_disk {
    char *root;
    struct inode *files;
    size_t file_count;
    struct names live, synced;
    struct move *moves; /* since the folder was synced */
    size_t move_count;
};

static size_t file_new(struct sim_disk *d)
{
    d->files = grown(d->files, d->file_count, sizeof(*d->files));
    d->files[d->file_count] = (struct inode){0};
    return d->file_count++;
}

static void move_add(struct sim_disk *d, const char *from, const char *to, size_t file)
{
    d->moves = grown(d->moves, d->move_count, sizeof(*d->moves));
    struct move *m = &d->moves[d->move_count++];
    *m = (struct move){from ? strdup(from) : NULL, to ? strdup(to) : NULL, file};
    move_make(&d->live, m);
}

static bool is_in(const char *path, const char *folder)
{
    size_t n = strlen(folder);
    return strncmp(path, folder, n) == 0 && path[n] == '/' && !strchr(path + n + 1, '/');
}

/* ------------------------------------------------------------------------------------ loading */

static void load_file(struct sim_disk *d, const char *path)
{
    size_t i = file_new(d);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    must(fd >= 0 && fstat(fd, &st) == 0, "load", path);
    struct bytes *b = &d->files[i].synced;
    bytes_resize(b, (size_t)st.st_size);
    must(b->len == 0 || pread(fd, b->p, b->len, 0) == (ssize_t)b->len, "read", path);
    close(fd);
    names_set(&d->live, path, i);
    names_set(&d->synced, path, i);
}

static bool is_shm(const char *path)
{
    size_t n = strlen(path);
    return n > 4 && strcmp(path + n - 4, "-shm") == 0;
}

static void load_folder(struct sim_disk *d, const char *folder)
{
    DIR *dir = opendir(folder);
    must(dir != NULL, "list", folder);
    for (struct dirent *e; (e = readdir(dir));) {
        char path[1024];
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || is_shm(e->d_name))
            continue;
        snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
        if (e->d_type == DT_DIR) {
            names_set(&d->live, path, IS_FOLDER);
            names_set(&d->synced, path, IS_FOLDER);
            load_folder(d, path);
        } else {
            load_file(d, path);
        }
    }
    closedir(dir);
}

struct sim_disk *sim_disk_new(const char *root)
{
    struct sim_disk *d = calloc(1, sizeof(*d));
    must(d != NULL, "make", "a disk");
    d->root = strdup(root);
    load_folder(d, root);
    return d;
}

void sim_disk_free(struct sim_disk *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->file_count; i++) {
        free(d->files[i].synced.p);
        free(d->files[i].changes);
    }
    for (size_t i = 0; i < d->move_count; i++) {
        free(d->moves[i].from);
        free(d->moves[i].to);
    }
    free(d->files);
    free(d->moves);
    names_free(&d->live);
    names_free(&d->synced);
    free(d->root);
    free(d);
}

/* ------------------------------------------------------------------------------------ changing */

static struct inode *file_of(struct sim_disk *d, const char *path)
{
    size_t i = names_find(&d->live, path);
    return i == NO_FILE || i == IS_FOLDER ? NULL : &d->files[i];
}

static bool same_place(const struct sim_event *a, const struct sim_event *b)
{
    if (a->op != IO_WRITE || b->op != IO_WRITE)
        return a->op == b->op;
    return a->offset < b->offset + (int64_t)b->len && b->offset < a->offset + (int64_t)a->len;
}

/* What was written later and is on disk cannot be overwritten by what was lost before it. */
static size_t forget_lost(struct inode *f, size_t count, const struct sim_event *synced)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (!same_place(f->changes[i].event, synced))
            f->changes[kept++] = f->changes[i];
    return kept;
}

static void sync_file(struct inode *f, bool failed)
{
    size_t kept = 0;
    for (size_t i = 0; i < f->change_count; i++) {
        struct change c = f->changes[i];
        if (failed || c.lost) {
            f->changes[kept++] = (struct change){c.event, true};
        } else {
            bytes_change(&f->synced, c.event, c.event->len);
            kept = forget_lost(f, kept, c.event);
        }
    }
    f->change_count = kept;
}

static void sync_folder(struct sim_disk *d, const char *folder, bool failed)
{
    size_t kept = 0;
    if (failed)
        return;
    for (size_t i = 0; i < d->move_count; i++) {
        struct move m = d->moves[i];
        if (!is_in(m.to ? m.to : m.from, folder)) {
            d->moves[kept++] = m;
            continue;
        }
        move_make(&d->synced, &m);
        free(m.from);
        free(m.to);
    }
    d->move_count = kept;
}

void sim_disk_apply(struct sim_disk *d, const struct sim_event *e)
{
    struct inode *f = file_of(d, e->path);
    switch ((int)e->op) {
    case IO_CREATE:
        if (names_find(&d->live, e->path) == NO_FILE)
            move_add(d, NULL, e->path, file_new(d));
        break;
    case IO_MKDIR:
        if (names_find(&d->live, e->path) == NO_FILE)
            move_add(d, NULL, e->path, IS_FOLDER);
        break;
    case IO_RENAME:
        if (f)
            move_add(d, e->path, e->to, (size_t)(f - d->files));
        break;
    case IO_UNLINK:
        if (f)
            move_add(d, e->path, NULL, NO_FILE);
        break;
    case IO_WRITE:
    case IO_TRUNCATE:
        if (!f)
            break;
        f->changes = grown(f->changes, f->change_count, sizeof(*f->changes));
        f->changes[f->change_count++] = (struct change){e, false};
        break;
    case IO_SYNC:
        if (f)
            sync_file(f, e->failed);
        break;
    case IO_DIRSYNC: sync_folder(d, e->path, e->failed); break;
    default: break;
    }
}

/* ------------------------------------------------------------------------------------ crashing */

/* How many bytes of a write reach the disk. Sectors are whole or not at all, counted in the
 * file. */
static size_t torn_len(const struct sim_event *e, uint64_t *rng)
{
    size_t end = (size_t)e->offset + (e->len ? next_random(rng) % (e->len + 1) : 0);
    end -= end % SECTOR;
    return end > (size_t)e->offset ? end - (size_t)e->offset : 0;
}

static void content(const struct inode *f, enum sim_outcome outcome, uint64_t *rng,
                    struct bytes *out)
{
    bytes_resize(out, f->synced.len);
    if (f->synced.len)
        memcpy(out->p, f->synced.p, f->synced.len);
    for (size_t i = 0; i < f->change_count && outcome != SIM_DROPPED; i++) {
        const struct sim_event *e = f->changes[i].event;
        bool last = i + 1 == f->change_count;
        uint64_t dice = outcome == SIM_RANDOM ? next_random(rng) % 4 : 0;
        if (dice == 3)
            continue;
        bool torn = e->op == IO_WRITE && (dice == 2 || (outcome == SIM_TORN && last));
        bytes_change(out, e, torn ? torn_len(e, rng) : e->len);
    }
}

static void write_out(const char *path, const struct bytes *b)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    must(fd >= 0 && (b->len == 0 || pwrite(fd, b->p, b->len, 0) == (ssize_t)b->len), "write", path);
    close(fd);
}

static void renamed_root(const struct sim_disk *d, const char *path, const char *to, char out[1024])
{
    snprintf(out, 1024, "%s%s", to, path + strlen(d->root));
}

/* A folder stands before what is in it. */
static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct name *)a)->path, ((const struct name *)b)->path);
}

void sim_disk_crash(const struct sim_disk *d, enum sim_outcome outcome, uint64_t seed,
                    const char *to)
{
    struct names names;
    uint64_t rng = seed;
    char path[1024];
    names_copy(&names, &d->synced);
    for (size_t i = 0; i < d->move_count; i++)
        if (outcome != SIM_DROPPED && (outcome != SIM_RANDOM || next_random(&rng) % 2))
            move_make(&names, &d->moves[i]);
    if (names.count)
        qsort(names.list, names.count, sizeof(*names.list), compare_names);
    for (size_t i = 0; i < names.count; i++) {
        renamed_root(d, names.list[i].path, to, path);
        /* One in a folder that is gone is gone with it. */
        if (names.list[i].file == IS_FOLDER)
            must(mkdir(path, 0700) == 0 || errno == EEXIST || errno == ENOENT, "make", path);
    }
    for (size_t i = 0; i < names.count; i++) {
        struct bytes b = {0};
        if (names.list[i].file == IS_FOLDER)
            continue;
        /* Its folder may be gone with its own name. */
        renamed_root(d, names.list[i].path, to, path);
        char *slash = strrchr(path, '/');
        *slash = '\0';
        bool there = access(path, F_OK) == 0;
        *slash = '/';
        content(&d->files[names.list[i].file], outcome, &rng, &b);
        if (there)
            write_out(path, &b);
        free(b.p);
    }
    names_free(&names);
}

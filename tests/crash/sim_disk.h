/* sim_disk: what a crash may leave of files that were written, and what it may not.
 *
 * A disk is fed with I/O events in their order and knows of each file what is synced and what is
 * only written, and of each name whether the folder was synced since it was made, moved or removed.
 * At any moment it can write out what a crash at this moment could leave:
 *
 *      synced data of a file          always there
 *      data written since             there, absent, or there up to a multiple of 512 bytes, each
 *                                     write by itself
 *      synced names                   as they are
 *      names changed since            changed or not, each change by itself; a rename is one change
 *      data whose sync failed         as data written since, for ever: no later sync of the file
 *                                     helps it
 *
 * This is harsher than journalling file systems are: a sync of a file says nothing about its name,
 * and changes of names keep no order among themselves until the folder is synced.
 *
 * Files of shared memory (-shm) have no events and are never left: SQLite builds them anew. */
#ifndef KF_TESTS_SIM_DISK_H
#define KF_TESTS_SIM_DISK_H

#include "base/env.h"

struct sim_disk;

/* A change of the disk, copied from an io_event; `data` is owned. */
struct sim_event {
    enum io_op op;
    char *path, *to;
    int64_t offset;
    char *data;
    size_t len;
    bool failed; /* IO_SYNC, IO_DIRSYNC: it was made to fail */
};

enum sim_outcome {
    SIM_KEPT,    /* everything that was written is there, synced or not */
    SIM_DROPPED, /* nothing but what was synced */
    SIM_RANDOM,  /* each unsynced piece there, absent or torn */
    SIM_TORN,    /* everything but the end of the last unsynced write of each file */
    SIM_OUTCOMES
};

/* `root`: the folder whose files it is about; those that are there now count as synced. */
struct sim_disk *sim_disk_new(const char *root);
void sim_disk_free(struct sim_disk *d);
/* The event must live as long as the disk. */
void sim_disk_apply(struct sim_disk *d, const struct sim_event *e);
/* Writes into the empty folder `to`. The same seed writes the same. */
void sim_disk_crash(const struct sim_disk *d, enum sim_outcome outcome, uint64_t seed,
                    const char *to);

/* Whether an event changes a disk at all. */
bool sim_event_counts(enum io_op op);
void sim_event_copy(struct sim_event *to, const struct io_event *from, size_t len, bool failed);
void sim_event_release(struct sim_event *e);

#endif

/* zipmaker: ZIP archives of plain bytes in which any statement can be a lie.
 *
 *     local header, bytes    of each entry
 *     central header         of each entry
 *     (ZIP64 end, locator)
 *     end, comment
 *
 * zipmaker_add says the truth; the test changes what it likes and then calls zipmaker_write. Bytes
 * are stored and not compressed. Strings are borrowed. */
#ifndef KF_TESTS_ZIPMAKER_H
#define KF_TESTS_ZIPMAKER_H

#include "base/buf.h"

#define ZIPMAKER_MAX 64

struct zip_entry {
    str name, bytes;
    str extra;        /* of the central header */
    str central_name; /* .p NULL = the same */
    uint32_t made_by, flags, method, crc, packed, unpacked, attributes;
    uint32_t central_crc, central_packed, central_unpacked;
    int64_t offset_off; /* added to where the central header says that it is */
    bool hidden;        /* has no central header */
};

struct zipmaker {
    struct zip_entry entries[ZIPMAKER_MAX];
    size_t count;
    str before, between, comment, after; /* `between`: in front of the central headers */
    int64_t count_off, size_off, offset_off;
    uint32_t disk;
    bool no_end, zip64;
    uint64_t zip64_count, zip64_size, zip64_offset; /* 0 = the truth */
    int64_t locator_off;
};

/* The entry, to be lied about. */
struct zip_entry *zipmaker_add(struct zipmaker *z, str name, str bytes);
/* Appended. */
void zipmaker_write(const struct zipmaker *z, struct buf *out);

#endif

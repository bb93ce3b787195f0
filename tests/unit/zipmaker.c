/* Field by field as the format's description has them (APPNOTE.TXT 6.3, sections 4.3.7 to
 * 4.3.16). */
#include "zipmaker.h"

#include <stdlib.h>
#include <string.h>

static uint32_t crc_of(str s)
{
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < s.len; i++) {
        crc ^= (unsigned char)s.p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc;
}

struct zip_entry *zipmaker_add(struct zipmaker *z, str name, str bytes)
{
    if (z->count == ZIPMAKER_MAX)
        abort();
    struct zip_entry *e = &z->entries[z->count++];
    uint32_t crc = crc_of(bytes), len = (uint32_t)bytes.len;
    *e = (struct zip_entry){.name = name,
                            .bytes = bytes,
                            .made_by = 3 << 8 | 20, /* Unix */
                            .crc = crc,
                            .packed = len,
                            .unpacked = len,
                            .attributes = 0100600u << 16,
                            .central_crc = crc,
                            .central_packed = len,
                            .central_unpacked = len};
    return e;
}

/* A number of so many bytes, the lowest first. */
static void put(struct buf *out, size_t bytes, uint64_t value)
{
    for (size_t i = 0; i < bytes; i++)
        buf_byte(out, (char)(value >> 8 * i & 0xff));
}

static void put_local(const struct zip_entry *e, struct buf *out)
{
    put(out, 4, 0x04034b50);
    put(out, 2, 20);
    put(out, 2, e->flags);
    put(out, 2, e->method);
    put(out, 4, 0x5a690000); /* a day in 2025 */
    put(out, 4, e->crc);
    put(out, 4, e->packed);
    put(out, 4, e->unpacked);
    put(out, 2, e->name.len);
    put(out, 2, 0);
    buf_str(out, e->name);
    buf_str(out, e->bytes);
}

static void put_central(const struct zip_entry *e, uint64_t offset, struct buf *out)
{
    str name = e->central_name.p ? e->central_name : e->name;
    put(out, 4, 0x02014b50);
    put(out, 2, e->made_by);
    put(out, 2, 20);
    put(out, 2, e->flags);
    put(out, 2, e->method);
    put(out, 4, 0x5a690000);
    put(out, 4, e->central_crc);
    put(out, 4, e->central_packed);
    put(out, 4, e->central_unpacked);
    put(out, 2, name.len);
    put(out, 2, e->extra.len);
    put(out, 2, 0);
    put(out, 2, 0);
    put(out, 2, 0);
    put(out, 4, e->attributes);
    put(out, 4, offset + (uint64_t)e->offset_off);
    buf_str(out, name);
    buf_str(out, e->extra);
}

static void put_zip64(const struct zipmaker *z, uint64_t count, uint64_t size, uint64_t offset,
                      struct buf *out)
{
    uint64_t at = out->len;
    put(out, 4, 0x06064b50);
    put(out, 8, 44);
    put(out, 2, 3 << 8 | 45);
    put(out, 2, 45);
    put(out, 4, 0);
    put(out, 4, 0);
    put(out, 8, z->zip64_count ? z->zip64_count : count);
    put(out, 8, z->zip64_count ? z->zip64_count : count);
    put(out, 8, z->zip64_size ? z->zip64_size : size);
    put(out, 8, z->zip64_offset ? z->zip64_offset : offset);
    put(out, 4, 0x07064b50);
    put(out, 4, 0);
    put(out, 8, at + (uint64_t)z->locator_off);
    put(out, 4, 1);
}

static void put_end(const struct zipmaker *z, uint64_t count, uint64_t size, uint64_t offset,
                    struct buf *out)
{
    put(out, 4, 0x06054b50);
    put(out, 2, z->disk);
    put(out, 2, z->disk);
    put(out, 2, count + (uint64_t)z->count_off);
    put(out, 2, count + (uint64_t)z->count_off);
    put(out, 4, z->zip64 ? 0xffffffff : size + (uint64_t)z->size_off);
    put(out, 4, z->zip64 ? 0xffffffff : offset + (uint64_t)z->offset_off);
    put(out, 2, z->comment.len);
    buf_str(out, z->comment);
}

void zipmaker_write(const struct zipmaker *z, struct buf *out)
{
    uint64_t at[ZIPMAKER_MAX], count = 0;
    buf_str(out, z->before);
    for (size_t i = 0; i < z->count; i++) {
        at[i] = out->len;
        put_local(&z->entries[i], out);
    }
    buf_str(out, z->between);
    uint64_t offset = out->len;
    for (size_t i = 0; i < z->count; i++) {
        if (z->entries[i].hidden)
            continue;
        put_central(&z->entries[i], at[i], out);
        count++;
    }
    uint64_t size = out->len - offset;
    if (z->zip64)
        put_zip64(z, count, size, offset, out);
    if (!z->no_end)
        put_end(z, count, size, offset, out);
    buf_str(out, z->after);
}

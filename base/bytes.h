/*
 * base/bytes.h - little-endian access and bounded cursors.
 *
 * Everything that leaves a process (a datagram, a log record) or enters one is
 * read and written through this file, never through a cast to a struct: the
 * bytes are little-endian, unaligned, and not trusted.
 *
 * A `writer` appends to a buffer of fixed size, a `reader` takes from one.
 * Either turns `bad` at the first access that does not fit and stays so: a
 * codec is written straight down, without a test per field, and asks once at
 * its end. A bad reader yields zeros, so that no loop bound read from it is
 * ever large.
 *
 * Ownership  the caller's; a cursor points into the buffer it was given.
 * Errors     `bad`. Never a trap on bytes from outside.
 * Threads    none of its own.
 */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/must.h"

static inline uint16_t
bytes_get_u16(const uint8_t *p)
{
	return (uint16_t)(p[0] | (uint16_t)p[1] << 8);
}

static inline uint32_t
bytes_get_u32(const uint8_t *p)
{
	return (uint32_t)bytes_get_u16(p) | (uint32_t)bytes_get_u16(p + 2) << 16;
}

static inline uint64_t
bytes_get_u64(const uint8_t *p)
{
	return (uint64_t)bytes_get_u32(p) | (uint64_t)bytes_get_u32(p + 4) << 32;
}

static inline void
bytes_put_u16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static inline void
bytes_put_u32(uint8_t *p, uint32_t v)
{
	bytes_put_u16(p, (uint16_t)v);
	bytes_put_u16(p + 2, (uint16_t)(v >> 16));
}

static inline void
bytes_put_u64(uint8_t *p, uint64_t v)
{
	bytes_put_u32(p, (uint32_t)v);
	bytes_put_u32(p + 4, (uint32_t)(v >> 32));
}

struct writer {
	uint8_t *data;
	size_t capacity;
	size_t bytes; /* written so far, <= capacity */
	bool bad;
};

struct reader {
	const uint8_t *data;
	size_t bytes; /* left, counted from `data` */
	bool bad;
};

static inline struct writer
writer_over(void *data, size_t capacity)
{
	return (struct writer){.data = (uint8_t *)data, .capacity = capacity};
}

static inline struct reader
reader_over(const void *data, size_t bytes)
{
	return (struct reader){.data = (const uint8_t *)data, .bytes = bytes};
}

/* The next `n` bytes to fill, or NULL (and bad) where they do not fit. */
static inline uint8_t *
writer_take(struct writer *w, size_t n)
{
	if (w->bad || n > w->capacity - w->bytes) {
		w->bad = true;
		return NULL;
	}
	uint8_t *p = w->data + w->bytes;
	w->bytes += n;
	must(w->bytes <= w->capacity);
	return p;
}

/* The next `n` bytes to read, or NULL (and bad) where there are fewer. */
static inline const uint8_t *
reader_take(struct reader *r, size_t n)
{
	if (r->bad || n > r->bytes) {
		r->bad = true;
		return NULL;
	}
	const uint8_t *p = r->data;
	r->data += n;
	r->bytes -= n;
	return p;
}

static inline void
writer_u8(struct writer *w, uint8_t v)
{
	uint8_t *p = writer_take(w, 1);
	if (p)
		*p = v;
}

static inline void
writer_u16(struct writer *w, uint16_t v)
{
	uint8_t *p = writer_take(w, 2);
	if (p)
		bytes_put_u16(p, v);
}

static inline void
writer_u32(struct writer *w, uint32_t v)
{
	uint8_t *p = writer_take(w, 4);
	if (p)
		bytes_put_u32(p, v);
}

static inline void
writer_u64(struct writer *w, uint64_t v)
{
	uint8_t *p = writer_take(w, 8);
	if (p)
		bytes_put_u64(p, v);
}

static inline void
writer_raw(struct writer *w, const void *data, size_t n)
{
	uint8_t *p = writer_take(w, n);
	if (p && n > 0)
		memcpy(p, data, n);
}

static inline uint8_t
reader_u8(struct reader *r)
{
	const uint8_t *p = reader_take(r, 1);
	return p ? *p : 0;
}

static inline uint16_t
reader_u16(struct reader *r)
{
	const uint8_t *p = reader_take(r, 2);
	return p ? bytes_get_u16(p) : 0;
}

static inline uint32_t
reader_u32(struct reader *r)
{
	const uint8_t *p = reader_take(r, 4);
	return p ? bytes_get_u32(p) : 0;
}

static inline uint64_t
reader_u64(struct reader *r)
{
	const uint8_t *p = reader_take(r, 8);
	return p ? bytes_get_u64(p) : 0;
}

static inline void
reader_raw(struct reader *r, void *out, size_t n)
{
	const uint8_t *p = reader_take(r, n);
	if (p && n > 0)
		memcpy(out, p, n);
	else
		memset(out, 0, n);
}

/* True when every byte was used and none was missing: a decoder's last line. */
static inline bool
reader_done(const struct reader *r)
{
	return !r->bad && r->bytes == 0;
}

#endif /* BASE_BYTES_H */

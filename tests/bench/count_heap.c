/* tests/bench/count_heap.c - loaded into a daemon with LD_PRELOAD: counts heap allocations and large copies, in this
 * program and in the libraries it uses. The sums are in the file $SHUTPORT_COUNTS/PID, as `struct counts`, and change
 * while the daemon runs (tests/bench/count_calls.py reads them before and after). Copies that the compiler wrote out
 * in place are not seen; those of a payload are never. Not for production: it counts from every thread. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define COPY_BYTES_MIN 512u /* below, it is a head or a frame header, not a payload */

struct counts {
    _Atomic uint64_t allocations, allocated_bytes, copies, copied_bytes;
};

static struct counts nowhere; /* until the file is there, or when there is none */
static struct counts *counts = &nowhere;
static void *(*real_memmove)(void *to, const void *from, size_t len);

/* The C library's own names for them, and those that _FORTIFY_SOURCE gives them.
 * NOLINTBEGIN(bugprone-reserved-identifier) */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__memcpy_chk(void *to, const void *from, size_t len, size_t cap);
void *__memmove_chk(void *to, const void *from, size_t len, size_t cap);

static void count_allocation(size_t bytes)
{
    atomic_fetch_add_explicit(&counts->allocations, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&counts->allocated_bytes, bytes, memory_order_relaxed);
}

void *malloc(size_t size)
{
    count_allocation(size);
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    count_allocation(count * size);
    return __libc_calloc(count, size);
}

void *realloc(void *block, size_t size)
{
    count_allocation(size);
    return __libc_realloc(block, size);
}

static void *copy(void *to, const void *from, size_t len)
{
    if (len >= COPY_BYTES_MIN) {
        atomic_fetch_add_explicit(&counts->copies, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&counts->copied_bytes, len, memory_order_relaxed);
    }
    if (real_memmove)
        return real_memmove(to, from, len);
    for (size_t i = 0; i < len; i++) /* before the constructor has run; never overlapping then */
        ((volatile char *)to)[i] = ((const char *)from)[i];
    return to;
}

void *memcpy(void *restrict to, const void *restrict from, size_t len)
{
    return copy(to, from, len);
}

void *memmove(void *to, const void *from, size_t len)
{
    return copy(to, from, len);
}

void *__memcpy_chk(void *to, const void *from, size_t len, size_t cap)
{
    if (len > cap)
        abort();
    return copy(to, from, len);
}

void *__memmove_chk(void *to, const void *from, size_t len, size_t cap)
{
    if (len > cap)
        abort();
    return copy(to, from, len);
}

/* NOLINTEND(bugprone-reserved-identifier) */

__attribute__((constructor)) static void begin(void)
{
    char path[4096];
    const char *folder = getenv("SHUTPORT_COUNTS");
    *(void **)&real_memmove = dlsym(RTLD_NEXT, "memmove");
    if (!folder)
        return;
    (void)snprintf(path, sizeof(path), "%s/%d", folder, (int)getpid());
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    if (ftruncate(fd, sizeof(struct counts)) == 0) {
        void *place = mmap(NULL, sizeof(struct counts), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (place != MAP_FAILED)
            counts = place;
    }
    (void)close(fd);
}

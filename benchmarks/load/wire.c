/* Blocking reads and writes of a known length, and the blocks that bulk consists of. */

#define _GNU_SOURCE
#include "wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MORE = 'm', LAST = 'l' };

double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

void fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, errno ? strerror(errno) : "the connection ended");
    exit(1);
}

int read_whole(int fd, void *into, size_t size) {
    char *at = into;
    while (size) {
        ssize_t done = read(fd, at, size);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) return -1;
        at += done;
        size -= done;
    }
    return 0;
}

int write_whole(int fd, const void *from, size_t size) {
    const char *at = from;
    while (size) {
        ssize_t done = write(fd, at, size);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return -1;
        at += done;
        size -= done;
    }
    return 0;
}

uint64_t send_blocks(int fd, double end) {
    char *block = malloc(BLOCK);
    uint64_t total = 0;
    memset(block, 'x', BLOCK);
    block[0] = MORE;
    while (block[0] == MORE) {
        if (now() >= end) block[0] = LAST;
        if (write_whole(fd, block, BLOCK)) break;
        total += BLOCK;
    }
    free(block);
    return total;
}

/* Takes whatever is there, and looks for the marks in it: reading block by block would
 * cut the stream in places where nothing happens to have been cut. */
uint64_t receive_blocks(int fd) {
    char *buffer = malloc(BLOCK);
    uint64_t total = 0, end = UINT64_MAX;
    while (total < end) {
        ssize_t size = read(fd, buffer, BLOCK);
        if (size < 0 && errno == EINTR) continue;
        if (size <= 0) break;
        uint64_t mark = (BLOCK - total % BLOCK) % BLOCK;
        if (mark < (uint64_t)size && buffer[mark] == LAST) end = total + mark + BLOCK;
        total += size;
    }
    free(buffer);
    return total;
}

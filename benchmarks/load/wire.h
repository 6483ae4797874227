/* What the load generator and its backend have in common: a greeting, blocks, a clock.
 *
 * Every connection begins with a greeting from the client, which says what the backend
 * is to do with what follows. The relay between them knows nothing of it.
 */

#ifndef WIRE_H
#define WIRE_H

#include <stddef.h>
#include <stdint.h>

/* Bulk is sent in blocks of this many bytes. The first byte of each says whether
 * another one follows, so that neither end needs an end-of-file to know that all has
 * arrived: not every relay passes that on. */
#define BLOCK (256 * 1024)

enum task {
    ECHO = 1, /* send back whatever comes */
    ONCE,     /* send back the rest of one request, and close */
    SINK,     /* read blocks until the last one, and say how many bytes that was */
    SOURCE,   /* send blocks for so many milliseconds */
};

/* The request and the answer of a connection that is used once. */
#define ONCE_SIZE 64

struct greeting {
    uint32_t task;
    uint32_t milliseconds; /* how long a source sends */
};

/* A relay that says nothing for so many seconds is taken to hang. */
#define STALLED_AFTER 5

/* Seconds of the monotonic clock. */
double now(void);

/* Print what was tried and what the system said of it, and exit. */
void fail(const char *what) __attribute__((noreturn));

/* The whole of it, on a blocking descriptor; -1 if the peer went away. */
int read_whole(int fd, void *into, size_t size);
int write_whole(int fd, const void *from, size_t size);

/* Write blocks until `end`, the last of them marked. Read them, up to the marked one.
 * Both return the number of bytes; a peer that goes away ends them early. */
uint64_t send_blocks(int fd, double end);
uint64_t receive_blocks(int fd);

/* Accept connections on a unix socket and do what their greetings say, for ever. */
void serve(const char *path) __attribute__((noreturn));

#endif

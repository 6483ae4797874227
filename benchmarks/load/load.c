/* The load generator: one process plays all clients and, as `backend`, another all
 * backends.
 *
 *     load backend PATH                  serve on a unix socket, for ever
 *     load trips PORT COUNT MS SIZE      round trips on COUNT connections at once
 *     load trickle PORT COUNT MS RATE    RATE round trips a second, in turns
 *     load connects PORT COUNT MS        new connections, COUNT of them at once
 *     load up PORT COUNT MS              COUNT streams from the client
 *     load down PORT COUNT MS            COUNT streams to the client
 *     load idle PORT COUNT               COUNT connections that say nothing
 *
 * PORT is one of 127.0.0.1. A client connects, prints `ready`, waits for a line on its
 * standard input, works, and prints one line of JSON: units (round trips, connections
 * or bytes), seconds, and the median and 99th percentile of the latencies, in
 * microseconds. The idle one works while it waits.
 */

#include "client.h"
#include "wire.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int is(const char *word, const char *other) { return !strcmp(word, other); }

static void work(const char *kind, int count, double seconds, int detail) {
    if (is(kind, "trips"))
        trips(count, detail, seconds);
    else if (is(kind, "trickle"))
        trickle(count, detail, seconds);
    else if (is(kind, "connects"))
        connects(count, seconds);
    else if (is(kind, "up"))
        upwards(count, seconds);
    else if (is(kind, "down"))
        downwards(count, seconds);
    else if (is(kind, "idle"))
        idle(count);
    else
        fprintf(stderr, "load: no such work: %s\n", kind);
}

int main(int count, char **words) {
    signal(SIGPIPE, SIG_IGN);
    if (count == 3 && is(words[1], "backend")) serve(words[2]);
    if (count < 4) {
        fputs("usage: load KIND PORT COUNT [MS [SIZE or RATE]]\n", stderr);
        return 2;
    }
    port = atoi(words[2]);
    work(words[1], atoi(words[3]), count > 4 ? atoi(words[4]) * 1e-3 : 0,
         count > 5 ? atoi(words[5]) : 0);
    return 0;
}

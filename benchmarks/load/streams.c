/* Bulk: a blocking thread for each stream. And connections that say nothing at all. */

#define _GNU_SOURCE
#include "client.h"
#include "wire.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_STREAMS = 64 };

struct stream {
    int fd;
    enum task task;
    double seconds;
    uint64_t bytes;
    pthread_t thread;
};

static void *run(void *argument) {
    struct stream *stream = argument;
    struct greeting greeting = {stream->task, stream->seconds * 1000};
    uint64_t arrived;
    double end = now() + stream->seconds;
    if (write_whole(stream->fd, &greeting, sizeof greeting)) fail("greeting");
    if (stream->task == SOURCE) {
        stream->bytes = receive_blocks(stream->fd);
    } else {
        stream->bytes = send_blocks(stream->fd, end);
        if (read_whole(stream->fd, &arrived, sizeof arrived)) fail("no total came");
        if (arrived != stream->bytes) fail("not all bytes arrived");
    }
    return NULL;
}

static void streams(enum task task, int count, double seconds) {
    struct stream all[MAX_STREAMS] = {0};
    double bytes = 0;
    if (count > MAX_STREAMS) count = MAX_STREAMS;
    for (int i = 0; i < count; i++)
        all[i] = (struct stream){.fd = dial(0), .task = task, .seconds = seconds};
    await_go();
    double start = now();
    for (int i = 0; i < count; i++)
        if (pthread_create(&all[i].thread, NULL, run, &all[i])) fail("pthread_create");
    for (int i = 0; i < count; i++) {
        pthread_join(all[i].thread, NULL);
        bytes += all[i].bytes;
    }
    report(bytes, now() - start);
}

void upwards(int count, double seconds) { streams(SINK, count, seconds); }

void downwards(int count, double seconds) { streams(SOURCE, count, seconds); }

void idle(int count) {
    for (int i = 0; i < count; i++) dial_through();
    await_go();
    report(count, 0);
}

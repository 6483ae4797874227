/* The load generator: one process that plays all clients, and, with `backend`, all
 * backends.
 *
 *     load backend PATH                     serve on a unix socket, for ever
 *     load trips PORT COUNT SIZE MS         round trips on COUNT connections at once
 *     load trickle PORT COUNT RATE MS       RATE round trips a second, in turns
 *     load connects PORT COUNT MS           new connections, COUNT of them at once
 *     load up PORT COUNT MS                 COUNT streams from the client
 *     load down PORT COUNT MS               COUNT streams to the client
 *     load idle PORT COUNT                  COUNT connections that say nothing
 *
 * PORT is one of 127.0.0.1. Each client connects, prints `ready`, waits for a line on
 * its standard input, does its work, and prints one line of JSON: units (round trips,
 * connections or bytes), seconds, and the latencies' percentiles in microseconds. The
 * idle one prints its line at once and then waits for the end of its input.
 */

#define _GNU_SOURCE
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_LATENCIES (1 << 22)
#define MAX_STREAMS 64
#define STALLED_AFTER 10000 /* milliseconds without an event: the relay hangs */

static int port, poller;
static float *latencies;
static size_t measured;

static void await_go(void) {
    char line[16];
    puts("ready");
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin)) exit(0);
}

static int compare(const void *left, const void *right) {
    float a = *(const float *)left, b = *(const float *)right;
    return (a > b) - (a < b);
}

static double percentile(int percent) {
    return measured ? latencies[measured * percent / 100] : 0;
}

static void report(double units, double seconds) {
    qsort(latencies, measured, sizeof *latencies, compare);
    printf("{\"units\": %.0f, \"seconds\": %.6f, \"p50\": %.2f, \"p99\": %.2f}\n", units,
           seconds, percentile(50), percentile(99));
    fflush(stdout);
}

static void note(double seconds) {
    if (measured < MAX_LATENCIES) latencies[measured++] = seconds * 1e6;
}

static void set_nonblocking(int fd) {
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

/* Connect, from one of sixteen addresses so that ports in TIME_WAIT don't run out. */
static int dial(int flags) {
    static unsigned turn;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0), on = 1;
    struct sockaddr_in from = {.sin_family = AF_INET}, to = from;
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + turn++ % 16);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons(port);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&from, sizeof from)) fail("bind");
    if (connect(fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS)
        fail("connect");
    return fd;
}

/* Connect and have one byte echoed, so that the relay is known to have dialled. */
static int dial_through(void) {
    struct greeting greeting = {.task = ECHO};
    struct timeval patience = {.tv_sec = STALLED_AFTER / 1000};
    char byte = 'b';
    int fd = dial(0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (write_whole(fd, &greeting, sizeof greeting) || write_whole(fd, &byte, 1) ||
        read_whole(fd, &byte, 1))
        fail("the first byte did not come back");
    return fd;
}

static int wait_for(struct epoll_event *events, int room) {
    int count = epoll_wait(poller, events, room, STALLED_AFTER);
    if (count > 0) return count;
    fputs("nothing came back for ten seconds\n", stderr);
    exit(1);
}

static void watch(int operation, int fd, uint32_t events, void *what) {
    struct epoll_event event = {.events = events, .data.ptr = what};
    if (epoll_ctl(poller, operation, fd, &event)) fail("epoll_ctl");
}

/* --- round trips --------------------------------------------------------------- */

struct caller {
    int fd;
    size_t to_send, to_receive;
    double since;
};

static char *message;
static size_t message_size;

static void push(struct caller *caller) {
    const char *rest = message + message_size - caller->to_send;
    size_t before = caller->to_send;
    ssize_t sent = write(caller->fd, rest, before);
    if (sent < 0 && errno != EAGAIN) fail("write");
    if (sent > 0) caller->to_send -= sent;
    if (caller->to_send && before == message_size)
        watch(EPOLL_CTL_MOD, caller->fd, EPOLLIN | EPOLLOUT, caller);
    else if (!caller->to_send && (sent < 0 || (size_t)sent < message_size))
        watch(EPOLL_CTL_MOD, caller->fd, EPOLLIN, caller);
}

static void call(struct caller *caller) {
    caller->to_send = caller->to_receive = message_size;
    caller->since = now();
    push(caller);
}

/* Whether the whole answer has come now. */
static int hear(struct caller *caller) {
    static char into[BLOCK];
    ssize_t size = read(caller->fd, into, sizeof into);
    if (size < 0 && errno == EAGAIN) return 0;
    if (size <= 0) fail("read");
    caller->to_receive -= size;
    if (caller->to_receive) return 0;
    note(now() - caller->since);
    return 1;
}

static void call_until(double end, int live) {
    struct epoll_event events[512];
    while (live) {
        int count = wait_for(events, 512);
        for (int i = 0; i < count; i++) {
            struct caller *caller = events[i].data.ptr;
            if ((events[i].events & EPOLLOUT) && caller->to_send) push(caller);
            if (!(events[i].events & ~EPOLLOUT) || !hear(caller)) continue;
            if (now() < end)
                call(caller);
            else
                live--;
        }
    }
}

static void trips(int count, size_t size, double seconds) {
    struct caller *callers = calloc(count, sizeof *callers);
    message_size = size;
    message = calloc(1, size);
    for (int i = 0; i < count; i++) {
        callers[i].fd = dial_through();
        set_nonblocking(callers[i].fd);
        watch(EPOLL_CTL_ADD, callers[i].fd, EPOLLIN, &callers[i]);
    }
    await_go();
    double start = now();
    for (int i = 0; i < count; i++) call(&callers[i]);
    call_until(start + seconds, count);
    report(measured, now() - start);
}

static void trickle(int count, int rate, double seconds) {
    int *fds = calloc(count, sizeof *fds), sent = 0;
    char text[64] = {0};
    for (int i = 0; i < count; i++) fds[i] = dial_through();
    await_go();
    double start = now();
    while (now() < start + seconds) {
        double due = start + (double)sent / rate, before = now();
        if (before < due) {
            usleep((due - before) * 1e6);
            continue;
        }
        int fd = fds[sent++ % count];
        if (write_whole(fd, text, 64) || read_whole(fd, text, 64)) fail("trickle");
        note(now() - before);
    }
    report(measured, now() - start);
}

/* --- new connections ----------------------------------------------------------- */

static void start_connecting(struct caller *caller) {
    caller->since = now();
    caller->fd = dial(SOCK_NONBLOCK);
    caller->to_send = sizeof(struct greeting) + ONCE_SIZE;
    caller->to_receive = ONCE_SIZE;
    watch(EPOLL_CTL_ADD, caller->fd, EPOLLOUT, caller);
}

static void ask_once(struct caller *caller) {
    char request[sizeof(struct greeting) + ONCE_SIZE] = {0};
    struct greeting greeting = {.task = ONCE};
    memcpy(request, &greeting, sizeof greeting);
    if (write(caller->fd, request, sizeof request) != sizeof request) fail("write");
    caller->to_send = 0;
    watch(EPOLL_CTL_MOD, caller->fd, EPOLLIN, caller);
}

static void connects(int count, double seconds) {
    struct caller *callers = calloc(count, sizeof *callers);
    struct epoll_event events[64];
    await_go();
    double start = now();
    for (int i = 0; i < count; i++) start_connecting(&callers[i]);
    for (int live = count; live;) {
        int ready = wait_for(events, 64);
        for (int i = 0; i < ready; i++) {
            struct caller *caller = events[i].data.ptr;
            if (caller->to_send) {
                ask_once(caller);
            } else if (hear(caller)) {
                close(caller->fd);
                if (now() < start + seconds)
                    start_connecting(caller);
                else
                    live--;
            }
        }
    }
    report(measured, now() - start);
}

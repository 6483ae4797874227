/* Small messages: round trips on many connections at once, and new connections. */

#define _GNU_SOURCE
#include "client.h"
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_EVENTS = 512 };

struct caller {
    int fd;
    int blocked; /* the message did not fit into the socket's buffer yet */
    size_t to_send, to_receive;
    double since;
};

static int poller;
static const char *message;
static size_t message_size;

static void watch(int operation, struct caller *caller, uint32_t mask) {
    struct epoll_event event = {.events = mask, .data.ptr = caller};
    if (epoll_ctl(poller, operation, caller->fd, &event)) fail("epoll_ctl");
}

static int wait_for(struct epoll_event *events) {
    int count = epoll_wait(poller, events, MAX_EVENTS, STALLED_AFTER * 1000);
    if (count > 0) return count;
    fputs("nothing came back for too long\n", stderr);
    exit(1);
}

static void push(struct caller *caller) {
    const char *rest = message + message_size - caller->to_send;
    ssize_t sent = write(caller->fd, rest, caller->to_send);
    if (sent < 0 && errno != EAGAIN) fail("write");
    if (sent > 0) caller->to_send -= sent;
    if (caller->blocked == (caller->to_send > 0)) return;
    caller->blocked = !caller->blocked;
    watch(EPOLL_CTL_MOD, caller, caller->blocked ? EPOLLIN | EPOLLOUT : EPOLLIN);
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
    struct epoll_event events[MAX_EVENTS];
    while (live) {
        int count = wait_for(events);
        for (int i = 0; i < count; i++) {
            struct caller *caller = events[i].data.ptr;
            if (caller->blocked && events[i].events & EPOLLOUT) push(caller);
            if (!(events[i].events & EPOLLIN) || !hear(caller)) continue;
            if (now() < end)
                call(caller);
            else
                live--;
        }
    }
}

void trips(int count, int size, double seconds) {
    struct caller *callers = calloc(count, sizeof *callers);
    message_size = size;
    message = calloc(1, size);
    poller = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < count; i++) {
        callers[i].fd = dial_through();
        fcntl(callers[i].fd, F_SETFL, O_RDWR | O_NONBLOCK);
        watch(EPOLL_CTL_ADD, &callers[i], EPOLLIN);
    }
    await_go();
    double start = now();
    for (int i = 0; i < count; i++) call(&callers[i]);
    call_until(start + seconds, count);
    report(noted(), now() - start);
}

/* One message at a time, each on the next connection. */
void trickle(int count, int rate, double seconds) {
    int *fds = calloc(count, sizeof *fds), sent = 0;
    char text[64] = {0};
    for (int i = 0; i < count; i++) fds[i] = dial_through();
    await_go();
    double start = now(), end = start + seconds;
    while (now() < end) {
        double due = start + (double)sent / rate, before = now();
        if (before < due) {
            usleep((due - before) * 1e6);
            continue;
        }
        int fd = fds[sent++ % count];
        if (write_whole(fd, text, sizeof text) || read_whole(fd, text, sizeof text))
            fail("no answer");
        note(now() - before);
    }
    report(noted(), now() - start);
}

static void start_connecting(struct caller *caller) {
    caller->since = now();
    caller->fd = dial(SOCK_NONBLOCK);
    caller->to_send = caller->to_receive = ONCE_SIZE;
    watch(EPOLL_CTL_ADD, caller, EPOLLOUT);
}

static void ask_once(struct caller *caller) {
    char request[sizeof(struct greeting) + ONCE_SIZE] = {0};
    struct greeting greeting = {.task = ONCE};
    memcpy(request, &greeting, sizeof greeting);
    if (write(caller->fd, request, sizeof request) != sizeof request) fail("write");
    caller->to_send = 0;
    watch(EPOLL_CTL_MOD, caller, EPOLLIN);
}

static void connect_until(double end, int live) {
    struct epoll_event events[MAX_EVENTS];
    while (live) {
        int count = wait_for(events);
        for (int i = 0; i < count; i++) {
            struct caller *caller = events[i].data.ptr;
            if (caller->to_send) {
                ask_once(caller);
            } else if (hear(caller)) {
                close(caller->fd);
                if (now() < end)
                    start_connecting(caller);
                else
                    live--;
            }
        }
    }
}

void connects(int count, double seconds) {
    struct caller *callers = calloc(count, sizeof *callers);
    poller = epoll_create1(EPOLL_CLOEXEC);
    await_go();
    double start = now();
    for (int i = 0; i < count; i++) start_connecting(&callers[i]);
    connect_until(start + seconds, count);
    report(noted(), now() - start);
}

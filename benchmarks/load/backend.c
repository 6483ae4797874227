/* The backend: one epoll for what is small, a blocking thread for each bulk stream.
 *
 * Bulk gets threads so that it does not delay the backend's own answers to small
 * messages: how much it delays them in the relay is what is to be measured.
 */

#define _GNU_SOURCE
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct visitor {
    int fd;
    size_t greeted; /* bytes of the greeting that have come */
    struct greeting greeting;
    size_t asked; /* bytes of a single request that have come */
    char *owed;   /* what was read and could not be sent back yet */
    size_t owed_size, owed_sent;
};

static int poller;
static char buffer[BLOCK];

static int listen_at(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    if (bind(fd, (struct sockaddr *)&address, sizeof address)) fail("bind");
    if (listen(fd, 4096)) fail("listen");
    return fd;
}

static void watch(int operation, int fd, uint32_t events, struct visitor *who) {
    struct epoll_event event = {.events = events, .data.ptr = who};
    if (epoll_ctl(poller, operation, fd, &event)) fail("epoll_ctl");
}

static void dismiss(struct visitor *visitor) {
    if (visitor->fd >= 0) close(visitor->fd);
    free(visitor->owed);
    free(visitor);
}

static void welcome(int listener) {
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct visitor *visitor = calloc(1, sizeof *visitor);
        visitor->fd = fd;
        watch(EPOLL_CTL_ADD, fd, EPOLLIN, visitor);
    }
}

static void *stream(void *argument) {
    struct visitor *visitor = argument;
    int fd = visitor->fd;
    char byte;
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    if (visitor->greeting.task == SINK) {
        uint64_t total = receive_blocks(fd);
        write_whole(fd, &total, sizeof total);
    } else {
        send_blocks(fd, now() + visitor->greeting.milliseconds * 1e-3);
    }
    shutdown(fd, SHUT_WR);
    while (read(fd, &byte, 1) > 0) continue;
    dismiss(visitor);
    return NULL;
}

static void stream_in_thread(struct visitor *visitor) {
    pthread_t thread;
    watch(EPOLL_CTL_DEL, visitor->fd, 0, NULL);
    if (pthread_create(&thread, NULL, stream, visitor)) fail("pthread_create");
    pthread_detach(thread);
}

/* Whether the greeting is complete; if not, reads more of it. */
static int is_greeted(struct visitor *visitor) {
    char *into = (char *)&visitor->greeting + visitor->greeted;
    size_t missing = sizeof visitor->greeting - visitor->greeted;
    if (!missing) return 1;
    ssize_t size = read(visitor->fd, into, missing);
    if (size < 0 && errno == EAGAIN) return 0;
    if (size <= 0) {
        dismiss(visitor);
        return 0;
    }
    visitor->greeted += size;
    if (visitor->greeted < sizeof visitor->greeting) return 0;
    if (visitor->greeting.task == SINK || visitor->greeting.task == SOURCE)
        stream_in_thread(visitor);
    return 0; /* the next event is about what follows */
}

static void pay(struct visitor *visitor) {
    char *rest = visitor->owed + visitor->owed_sent;
    ssize_t sent = write(visitor->fd, rest, visitor->owed_size - visitor->owed_sent);
    if (sent < 0 && errno != EAGAIN) {
        dismiss(visitor);
        return;
    }
    if (sent > 0) visitor->owed_sent += sent;
    if (visitor->owed_sent < visitor->owed_size) return;
    free(visitor->owed);
    visitor->owed = NULL;
    visitor->owed_size = visitor->owed_sent = 0;
    watch(EPOLL_CTL_MOD, visitor->fd, EPOLLIN, visitor);
}

static void owe(struct visitor *visitor, const char *what, size_t size) {
    visitor->owed = malloc(size);
    visitor->owed_size = size;
    memcpy(visitor->owed, what, size);
    watch(EPOLL_CTL_MOD, visitor->fd, EPOLLOUT, visitor);
}

static void answer(struct visitor *visitor) {
    ssize_t size = read(visitor->fd, buffer, sizeof buffer);
    if (size < 0 && errno == EAGAIN) return;
    ssize_t sent = size > 0 ? write(visitor->fd, buffer, size) : -1;
    if (size <= 0 || (sent < 0 && errno != EAGAIN)) {
        dismiss(visitor);
        return;
    }
    visitor->asked += size;
    if (sent < size)
        owe(visitor, buffer + (sent < 0 ? 0 : sent), size - (sent < 0 ? 0 : sent));
    else if (visitor->greeting.task == ONCE && visitor->asked >= ONCE_SIZE)
        dismiss(visitor);
}

void serve(const char *path) {
    int listener = listen_at(path);
    struct epoll_event events[512];
    poller = epoll_create1(EPOLL_CLOEXEC);
    watch(EPOLL_CTL_ADD, listener, EPOLLIN, NULL);
    for (;;) {
        int count = epoll_wait(poller, events, 512, -1);
        for (int i = 0; i < count; i++) {
            struct visitor *visitor = events[i].data.ptr;
            if (!visitor)
                welcome(listener);
            else if (visitor->owed)
                pay(visitor);
            else if (is_greeted(visitor))
                answer(visitor);
        }
    }
}

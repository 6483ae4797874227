/* Connecting, and measuring latencies. */

#define _GNU_SOURCE
#include "client.h"

#include "wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { MAX_LATENCIES = 1 << 22, SOURCES = 16 };

int port;
static float latencies[MAX_LATENCIES];
static size_t measured;

void await_go(void) {
    char line[16];
    puts("ready");
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin)) exit(0);
}

void note(double seconds) {
    if (measured < MAX_LATENCIES) latencies[measured++] = seconds * 1e6;
}

double noted(void) { return measured; }

static int compare(const void *left, const void *right) {
    float a = *(const float *)left, b = *(const float *)right;
    return (a > b) - (a < b);
}

static double percentile(int percent) {
    return measured ? latencies[measured * percent / 100] : 0;
}

void report(double units, double seconds) {
    qsort(latencies, measured, sizeof *latencies, compare);
    printf("{\"units\": %.0f, \"seconds\": %.6f, \"p50\": %.2f, \"p99\": %.2f}\n", units,
           seconds, percentile(50), percentile(99));
    fflush(stdout);
}

/* The source addresses take turns, so that ports in TIME_WAIT don't run out. */
int dial(int flags) {
    static unsigned turn;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0), on = 1;
    struct sockaddr_in from = {.sin_family = AF_INET}, to = from;
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + turn++ % SOURCES);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons(port);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&from, sizeof from)) fail("bind");
    if (connect(fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS)
        fail("connect");
    return fd;
}

int dial_through(void) {
    struct greeting greeting = {.task = ECHO};
    struct timeval patience = {.tv_sec = STALLED_AFTER};
    char byte = 'b';
    int fd = dial(0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (write_whole(fd, &greeting, sizeof greeting) || write_whole(fd, &byte, 1) ||
        read_whole(fd, &byte, 1))
        fail("the first byte did not come back");
    return fd;
}

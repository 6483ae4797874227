/* What every kind of client does: connect, await the word to go, and report. */

#ifndef CLIENT_H
#define CLIENT_H

/* The port of 127.0.0.1 that the relay listens on. */
extern int port;

/* Start to connect; `flags` as for socket(2). */
int dial(int flags);

/* Connect and have one byte echoed, so that the relay is known to have dialled. */
int dial_through(void);

/* Say that all is ready, and wait for a line on standard input. */
void await_go(void);

/* Remember how long one unit took. */
void note(double seconds);
double noted(void);

/* Print what was done, as one line of JSON. */
void report(double units, double seconds);

/* The work itself; each of them reports when it is done. */
void trips(int count, int size, double seconds);
void trickle(int count, int rate, double seconds);
void connects(int count, double seconds);
void upwards(int count, double seconds);
void downwards(int count, double seconds);
void idle(int count);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets of the bare limits and of clients that are no part of the question: no delay, cubic.  They end the program when they fail. */
#ifndef BENCH_LIB_SOCK_H
#define BENCH_LIB_SOCK_H

#include <netinet/in.h>

void sock_tune(int fd);
/* Of a loopback address; *addr gets its port. */
int  sock_listen(struct sockaddr_in *addr, int backlog);
int  sock_accept(int listener);
int  sock_dial(const struct sockaddr_in *addr);
/* 127.0.0.1, this port. */
struct sockaddr_in sock_loopback(uint16_t port);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells the local rpcbind where NFS and MOUNT are, for clients that ask it for the
 * port instead of being told (mount without port= and mountport=).  Blocking:
 * never on a reactor thread.
 */
#ifndef PROTO_RPCBIND_H
#define PROTO_RPCBIND_H

#include <stdint.h>
#include <sys/socket.h>

/* Failing is a warning in the log that says what to do: those who name the port are served anyway. */
void rpcbind_register(const struct sockaddr_storage *addr, uint16_t port);
/* What rpcbind_register did. */
void rpcbind_unregister(void);

#endif

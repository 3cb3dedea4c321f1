/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may write below a prefix of an object store: one server at a time, whatever
 * machine it is on.  Each start of a server takes the next epoch: it makes the object
 * <prefix>/owners/<epoch> with a PUT that fails where there is one already, so of several
 * that start together one wins.  Without being told to take over, it does so only where the newest
 * epoch is its own (an instance is a volume's directory, see below) or was released.
 *
 * A sequence of objects that are made once, not one that is replaced (If-Match): every store with conditions makes
 * atomically, while replacing is missing in some (GCS) and answers losers with anything (RGW: 412 or 500).
 *
 * What a stale server, one whose epoch is not the newest, could do:
 *   PUT      no harm: slice ids begin anew with each epoch (claim_slice_floor), so its objects
 *            have names of their own, and nobody's metadata names them
 *   DELETE   takes what the new owner may need: so claim_del asks first, each time, whether
 *            there is a next epoch, and refuses when it can't be told
 *   answer   clients that have not moved: claim_put asks once in 5 s at most, and the
 *            server ends when the answer is yes
 * A server that writes and deletes nothing asks nothing.
 *
 * What is there is found by listing, so epochs may be missing in the middle, and each start removes what nobody can
 * ask for again: an older epoch whose predecessor was released, for that one has ended and was the only one to look
 * for it.  A release goes with the epoch behind it.  What follows an unclean end stays: that server might live yet.
 * A slow rival's PUT may now make an epoch that was there and is gone, so whoever has made one lists once more, and
 * gives way to a newer one.
 */
#ifndef STORE_CLAIM_H
#define STORE_CLAIM_H

#include "store/objstore.h"

#define CLAIM_BYTES 512 /* of an owner's object, padded */

struct claim_owner {
	uint64_t epoch;
	uint64_t since_s;    /* CLOCK_REALTIME */
	char instance[64];   /* the same for all starts of one volume's directory, different for a copy of it */
	char run[36];        /* different for all starts */
	char host[65];
	char where[129];     /* for people: the directory */
};

#define CLAIM_PAGE   64  /* names a list */
#define CLAIM_EPOCHS 128 /* that one start can prune; the next goes on */

/* One start's attempt. */
struct claim {
	struct objstore *store;
	const char *prefix;
	struct claim_owner me; /* all but epoch, since and run.  Result: ours */
	bool take_over;
	struct claim_owner other; /* result, with -EBUSY: whose it is; epoch 0: unreadable */
	/* private */
	struct obj_req req;
	struct iovec iov;
	char text[CLAIM_BYTES + 1];
	struct obj_entry page[CLAIM_PAGE];
	uint64_t newest, newest_released; /* 0: none */
	int again;
	struct claim_epoch {
		uint64_t epoch;
		bool made, released;
	} seen[CLAIM_EPOCHS];
	int nseen;
	char doomed[2 * CLAIM_EPOCHS][OBJ_NAME];
	int stage;
	struct op step;
	struct op *wait;
};
/* op->res: 0; -EBUSY, another server's; or as the store has it (objstore.h): run it again. */
enum op_state claim_take(struct claim *c, struct op *op);
/* After the last PUT and DELETE of this server: the next may be any other.  Reuses a claim that was taken. */
enum op_state claim_release(struct claim *c, struct op *op);

/* Slice ids of this epoch are not below. */
uint64_t claim_slice_floor(uint64_t epoch);

/*
 * From now on claim_put and claim_del of the store ask whether `epoch` is still the newest.
 * `fenced` is called once, on any core, when it is not: PUT and DELETE answer -E_FENCED then.  `prefix` is lent.
 * Blocking; while no reactor runs.
 */
int  claim_guard(struct objstore *store, const char *prefix, uint64_t epoch, void (*fenced)(const struct claim_owner *by));
void claim_unguard(struct objstore *store);
/* The store's own put and del where it is not guarded. */
enum op_state claim_put(struct obj_req *r, struct op *op);
enum op_state claim_del(struct obj_req *r, struct op *op);

#endif

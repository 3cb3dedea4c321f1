/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The uploader of a core: turns dirty extents into slices in the object store.
 *
 * A file's turn comes when somebody waits for it (file_sync), when a whole block of it is
 * dirty, when it has been dirty for upload_delay, when the journal or memory is short (the
 * longest dirty first), or when all is to go (file_pending).
 *
 * Each of its turns goes on where the last one ended, until the file's end: a pass.  So what
 * is rewritten all the time at one place does not keep the rest from its turn, and when
 * a pass has ended all that was dirty at its beginning is in the object store.
 */
#ifndef META_FLUSH_H
#define META_FLUSH_H

#include "meta/file_core.h"

int  flush_init(uint64_t arena_bytes); /* per core */
void flush_fini(void);
/* [off, off + len) of the file has become dirty. */
void flush_note(struct file *f, uint64_t off, uint32_t len);
/* Looks in this lap whether something is to be uploaded. */
void flush_kick(void);
/* The same where there may be something: after flush_note. */
void flush_look(void);
/* The journal, the extents, the files or the buffers are short: do not wait for full blocks or age. */
void flush_pressure(void);
/* It has no dirty blocks any more. */
void ready_remove(struct file *f);

/* file.h has it as file_pending. */
void flush_pending(uint64_t since_ns, struct file_pending *p);
/* Who waits in file_sync is answered where that has come to an end: the inode may be gone. */
void waits_look(struct file *f);
/* Uploads fail, somebody waits for one, or memory or journal are short until more is uploaded. */
bool flush_is_behind(void);
/* No new work from now on; true when none is under way. */
bool flush_quit(void);

#endif

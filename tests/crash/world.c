/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/crash/world.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * Names that a careless server trips over: short, of the greatest length, beginning
 * with a dot, with spaces, with UTF-8, and pairs that differ in case only.
 */
void
slot_name(char name[256], uint32_t dir, uint32_t i)
{
	int n;

	switch (i % 8) {
	case 0:
		n = snprintf(name, 256, "long-%u-%u-", dir, i);
		memset(name + n, 'x', (size_t)(255 - n));
		name[255] = 0;
		break;
	case 1:
		snprintf(name, 256, "%c", (char)('a' + i / 8 % 26));
		if (i / 8 >= 26)
			snprintf(name, 256, "%u", i);
		break;
	case 2:
		snprintf(name, 256, "N%u", i - 2);
		break;
	case 3:
		snprintf(name, 256, "n%u", i - 3);
		break;
	case 4:
		snprintf(name, 256, ".dot %u", i);
		break;
	case 5:
		snprintf(name, 256, "gr\xc3\xb6\xc3\x9f""e-%u", i);
		break;
	default:
		snprintf(name, 256, "f%u.%u", dir, i);
		break;
	}
}

static void
dir_init(struct node *n, uint32_t nslots)
{
	n->nslots = nslots;
	n->links = 2;
	n->slot = calloc(nslots, sizeof(*n->slot));
	if (!n->slot)
		abort();
	for (uint32_t i = 0; i < nslots; i++) {
		n->slot[i].dir = n;
		slot_name(n->slot[i].name, n->id, i);
	}
}

struct node *
node_new(struct world *w, uint32_t type)
{
	struct node *n = calloc(1, sizeof(*n));

	if (!n)
		abort();
	n->id = ++w->last_id;
	n->type = type;
	n->index = UINT32_MAX;
	/* the first one made becomes the wide one */
	if (type == NFS_DIR)
		dir_init(n, w->ndirs == 1 ? SLOTS_WIDE : SLOTS);
	return n;
}

void
node_born(struct world *w, struct node *n, const struct nfs_fh *fh, uint64_t fileid)
{
	assert(w->nnodes < sizeof(w->node) / sizeof(w->node[0]));
	n->fh = *fh;
	n->fileid = fileid;
	n->index = w->nnodes;
	w->node[w->nnodes++] = n;
	w->ndirs += n->type == NFS_DIR;
	w->nfiles += n->type == NFS_REG;
}

void
node_pin(struct node *n)
{
	n->pins++;
}

void
node_unpin(struct world *w, struct node *n)
{
	assert(n->pins > 0);
	if (--n->pins == 0 && n->gone)
		node_drop(w, n);
}

static void
node_unlist(struct world *w, struct node *n)
{
	if (n->index == UINT32_MAX)
		return;
	w->node[n->index] = w->node[--w->nnodes];
	w->node[n->index]->index = n->index;
	n->index = UINT32_MAX;
	w->ndirs -= n->type == NFS_DIR;
	w->nfiles -= n->type == NFS_REG;
}

void
node_drop(struct world *w, struct node *n)
{
	node_unlist(w, n);
	content_free(&n->content);
	free(n->target);
	free(n->slot);
	free(n);
}

void
world_init(struct world *w, uint64_t seed, const struct nfs_fh *root)
{
	memset(w, 0, sizeof(*w));
	rng_seed(&w->rng, seed);
	w->root_fh = *root;
	w->root = node_new(w, NFS_DIR);
	node_born(w, w->root, root, 0);
	w->root->parent = w->root;
}

void
world_fini(struct world *w)
{
	while (w->nnodes)
		node_drop(w, w->node[w->nnodes - 1]);
	for (uint32_t i = 0; i < GONE_MAX; i++)
		if (w->gone[i].node)
			node_unpin(w, w->gone[i].node);
}

uint64_t
world_tick(struct world *w)
{
	return ++w->clock;
}

void
slot_hold(struct world *w, struct slot *s, struct node *n)
{
	(void)w;
	assert(!s->node);
	s->node = n;
	if (n->type == NFS_DIR) {
		n->parent = s->dir;
		s->dir->links++;
	} else {
		n->links++;
	}
}

/* It has no name any more. */
static void
node_goes(struct world *w, struct node *n)
{
	struct gone *g = &w->gone[w->ngone++ % GONE_MAX];
	struct node *before = g->node;

	n->dying = n->gone = true;
	node_unlist(w, n);
	*g = (struct gone){ .fh = n->fh, .id = n->id, .node = w->keeps && n->type != NFS_DIR ? n : NULL };
	if (g->node)
		node_pin(n);
	else if (!n->pins)
		node_drop(w, n);
	if (before)
		node_unpin(w, before);
}

void
slot_release(struct world *w, struct slot *s)
{
	struct node *n = s->node;
	bool last = n->type == NFS_DIR || --n->links == 0;

	if (n->type == NFS_DIR)
		s->dir->links--;
	s->node = NULL;
	if (last)
		node_goes(w, n);
}

void
slot_move(struct world *w, struct slot *from, struct slot *to)
{
	struct node *n = from->node;

	if (to->node)
		slot_release(w, to);
	from->node = NULL;
	to->node = n;
	if (n->type == NFS_DIR) {
		from->dir->links--;
		to->dir->links++;
		n->parent = to->dir;
	}
}

struct slot *
dir_find(struct node *dir, const char *name, size_t len)
{
	for (uint32_t i = 0; i < dir->nslots; i++)
		if (strlen(dir->slot[i].name) == len && memcmp(dir->slot[i].name, name, len) == 0)
			return &dir->slot[i];
	return NULL;
}

uint32_t
dir_entries(const struct node *dir)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < dir->nslots; i++)
		n += dir->slot[i].node != NULL;
	return n;
}

bool
dir_below(const struct node *dir, const struct node *node)
{
	while (dir != node && dir->parent != dir)
		dir = dir->parent;
	return dir == node;
}

uint32_t
dir_depth(const struct node *dir)
{
	uint32_t n = 0;

	for (; dir->parent != dir; dir = dir->parent)
		n++;
	return n;
}

struct node *
world_pick(struct world *w, uint32_t type)
{
	for (int i = 0; i < 32; i++) {
		struct node *n = w->node[rng_below(&w->rng, w->nnodes)];

		if (n->type == type && !n->dying)
			return n;
	}
	return NULL;
}

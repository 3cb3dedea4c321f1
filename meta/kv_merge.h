/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How RocksDB merges: values of 'C' keys are appended, those of 'U' and 'P'
 * are vectors of le64 that are added (two's complement).  Callbacks in the form
 * of rocksdb_mergeoperator_create, for kv.c; RocksDB's threads call them.
 */
#ifndef META_KV_MERGE_H
#define META_KV_MERGE_H

#include <stddef.h>

/* The merged value, malloc'ed, and *success; other keys, or a sum of odd length, do not merge: damage. */
char *kv_merge_full(void *state, const char *key, size_t klen, const char *base, size_t base_len,
                    const char *const *op, const size_t *len, int n, unsigned char *success,
                    size_t *out_len);
char *kv_merge_partial(void *state, const char *key, size_t klen, const char *const *op,
                       const size_t *len, int n, unsigned char *success, size_t *out_len);
void  kv_merge_free(void *state, const char *val, size_t len);

#endif

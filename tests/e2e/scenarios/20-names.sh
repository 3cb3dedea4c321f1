# SPDX-License-Identifier: Apache-2.0
# about: links, renames, silly renames, special files, times, truncates, mmap, df
# modes: quick full
guest names.py

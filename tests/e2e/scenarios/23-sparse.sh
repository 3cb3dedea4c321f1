# SPDX-License-Identifier: Apache-2.0
# about: a file of 5 GiB with holes, and one of 8 TiB
# modes: quick full
guest sparse.py

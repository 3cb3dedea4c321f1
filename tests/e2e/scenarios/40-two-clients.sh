# SPDX-License-Identifier: Apache-2.0
# about: two clients: close-to-open, races, shared pages
# modes: quick full s3
guest_start -n a cto.py A
guest_start -n b cto.py B
guest_wait

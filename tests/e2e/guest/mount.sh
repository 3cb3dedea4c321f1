#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every way to mount; the machine mounts nothing for it.
set -euo pipefail
. "$E2E/guest/lib.sh"
m=/mnt/m
mkdir -p $m /mnt/n
nfs() { mount -t nfs -o "$NFS_OPTS,retry=0${3:+,$3}" "$SERVER_ADDR:$1" "$2"; }

# plain
nfs /export $m
options=$(grep " $m nfs " /proc/mounts)
case $options in *rsize=1048576,wsize=1048576*) ;; *) echo "want 1 MiB, got $options" >&2; exit 1 ;; esac
mkdir -p $m/sub/dir "$m/with space"
echo hello >$m/sub/dir/file
df $m | tail -n1 | while read -r _ blocks used free _; do [ "$blocks" -gt 0 ] && [ "$used" -ge 0 ] && [ "$free" -gt 0 ]; done
umount $m

# subdirectories of the share, with and without a slash behind
for d in /export/sub /export/sub/ "/export/with space" /export/; do nfs "$d" $m; umount $m; done
nfs /export/sub/dir $m
[ "$(cat $m/file)" = hello ]
# nothing above a mounted subdirectory is reachable by name
[ "$(ls -a $m)" = "$(printf '.\n..\nfile')" ]
nfs /export /mnt/n
echo "by the other mount" >/mnt/n/sub/dir/file
[ "$(cat $m/file)" = "by the other mount" ]
umount $m /mnt/n

# what is not there, or no directory, is refused
for d in /export/none /nothing /export/sub/dir/file / /exportx /export/sub/../..; do must_fail nfs "$d" $m; done

# four connections, used in turn
nfs /export $m nconnect=4
for i in 1 2 3 4 5 6 7 8; do echo $i >$m/$i; done
cat $m/[1-8] >/dev/null
rm $m/[1-8]
connections=$(awk '/ mounted on \/mnt\/m /{ on = 1 } on && /xprt:/ && $8 > 0 { n++ } END { print n + 0 }' /proc/self/mountstats)
[ "$connections" = 4 ] || { echo "nconnect=4 uses $connections connections" >&2; exit 1; }
dd if=/dev/zero of=$m/big bs=1M count=40 conv=fsync status=none
drop_caches
cmp -n $((40 << 20)) $m/big /dev/zero
rm $m/big
umount $m

# small pages, synchronous, without readdirplus, without caches
for o in rsize=4096,wsize=4096 sync nordirplus noac,actimeo=0 lookupcache=none soft,timeo=50; do
	nfs /export $m $o
	mkdir $m/d
	tar -C $m/d -xf "$INPUT/project.tar"
	drop_caches
	tar -C $m/d -df "$INPUT/project.tar"
	rm -r $m/d
	umount $m
done

# a lazy client: mounts and goes many times
for i in 1 2 3 4 5; do nfs /export $m; nfs /export/sub /mnt/n nosharecache; umount $m /mnt/n; done
kernel_quiet

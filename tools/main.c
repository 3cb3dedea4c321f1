/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/cmd.h"

static const struct cmd {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *line, *usage;
} cmds[] = {
	{ "format", cmd_format, "make a volume in a directory",
	  "dittofs format DIR [--share NAME]... [--compress CODEC] [--encrypt CIPHER --encrypt-key FILE]\n"
	  "               [--objects s3://BUCKET/PREFIX [S3 OPTIONS]]\n"
	  "dittofs format --config FILE [--encrypt CIPHER]\n"
	  "\n"
	  "Makes a volume in DIR: metadata, journal, cache, a commented dittofs.yaml, and objects,\n"
	  "there too or in a bucket.  Refuses to overwrite one.\n"
	  "\n"
	  "  --share NAME    a share of the volume (default /export); may be given several times\n"
	  "  --compress CODEC  none, lz4, zstd or zstd:LEVEL (1 to 19): of file data in the object store;\n"
	  "                  `compression` in dittofs.yaml changes it for new data\n"
	  "  --objects URL   where file data goes: file://DIRECTORY or s3://BUCKET/PREFIX\n"
	  "  --endpoint URL  http://HOST:PORT or https://HOST; without it AWS in the region\n"
	  "  --region NAME   of the bucket (default us-east-1)\n"
	  "  --style STYLE   auto, path or virtual: how the bucket is named\n"
	  "  --credentials-file FILE, --profile NAME\n"
	  "                  instead of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ~/.aws/credentials\n"
	  "  --ca-file FILE  who signs the endpoint's certificate\n"
	  "  --encrypt CIPHER  aes256gcm, or chacha20 where the CPU has no AES: what goes to the object store is\n"
	  "                  encrypted before; file names, sizes and what lies on this machine's disks are not\n"
	  "  --encrypt-key FILE\n"
	  "                  an RSA private key (openssl genrsa -aes256 -out FILE 3072), of mode 0600.  Keep a\n"
	  "                  copy elsewhere: without it nobody can read the data\n"
	  "  --passphrase-file FILE\n"
	  "                  of that key, of mode 0600; without it DITTOFS_ENCRYPTION_PASSPHRASE\n"
	  "  --config FILE   makes the volume where FILE's paths say, with FILE's shares\n" },
	{ "serve", cmd_serve, "serve a volume over NFSv3, in the foreground",
	  "dittofs serve DIR [--listen ADDR:PORT] [--cores N] [--log-level LEVEL] [--metrics ADDR:PORT] [--take-over]\n"
	  "dittofs serve --config FILE ...\n"
	  "\n"
	  "Serves the volume until SIGTERM or SIGINT, then finishes what is under way and, with\n"
	  "shutdown.drain, uploads what is pending.  A second signal ends it at once: nothing\n"
	  "acknowledged is lost, the next start goes on from the journal.  SIGHUP has the config read\n"
	  "again: the log says what changed, and what waits for the next start.\n"
	  "\n"
	  "  --listen ADDR:PORT   instead of the config's; port 0 takes a free one\n"
	  "  --cores N            reactor threads; 0: as many as this process may use\n"
	  "  --log-level LEVEL    error, warn, info, debug\n"
	  "  --metrics ADDR:PORT  /metrics, /healthz and a page with plots, instead of metrics.listen; \"\": not\n"
	  "  --take-over          although another server owns the objects: it is gone for good, or\n"
	  "                       ends as soon as it notices; what it has not uploaded stays with it\n"
	  "  --config FILE        the config where it does not lie in DIR\n" },
	{ "stats", cmd_stats, "a line each second of what a running server does",
	  "dittofs stats DIR [-i SECONDS] [-n LINES] [--json]\n"
	  "dittofs stats --config FILE ...\n"
	  "\n"
	  "CPU (100% is one core), memory, buffers in use; READs and WRITEs a second; frames found in\n"
	  "the cache and not; GETs and PUTs a second sent to the object store.\n"
	  "\n"
	  "  -i, --interval SECONDS   between lines (1)\n"
	  "  -n, --count LINES        ends after so many\n"
	  "  --json                   a JSON object a line, with bytes and latency too\n" },
	{ "status", cmd_status, "what a running server is doing",
	  "dittofs status DIR [--latency] [--json]\n"
	  "dittofs status --config FILE [--latency] [--json]\n"
	  "\n"
	  "Asks the server of the volume in DIR through its control socket: shares, clients,\n"
	  "pending uploads, caches, memory by pool, calls and their latency.\n"
	  "\n"
	  "  --latency   instead: where the time of calls goes, by procedure and stage\n" },
	{ "bench", cmd_bench, "how fast is this directory, or this NFS server",
	  "dittofs bench PATH|nfs://HOST[:PORT]/SHARE [options]\n"
	  "\n"
	  "Writes and reads a big file and many small ones with each thread, and asks for their\n"
	  "attributes; prints how fast that was, and removes what it made, interrupted or not.\n"
	  "On a PATH it uses system calls; an nfs:// address is any NFSv3 server, by libnfs, no\n"
	  "mount needed (where MOUNT has a port of its own: ?mountport=PORT behind the share).\n"
	  "\n"
	  "  -p, --threads N          threads, each with files of its own (1)\n"
	  "  --big-file-size SIZE     0 leaves it out (1GiB)\n"
	  "  --block-size SIZE        of one read or write of the big file (1MiB)\n"
	  "  --small-file-size SIZE   (128KiB)\n"
	  "  --small-file-count N     of each thread; 0 leaves them out (100)\n"
	  "  --depth N                nfs:// only: blocks of a big file under way at once (8)\n"
	  "  --fsync                  small files too, before they are closed\n"
	  "  --drop-caches            as root on a PATH: drop all of this machine's caches before reading,\n"
	  "                           not only those of the files\n"
	  "  --server VOLUME          a dittofs is behind it, of this volume here: its operations with ms each,\n"
	  "                           CPU and memory\n"
	  "  --json                   the figures as JSON\n" },
	{ "flush", cmd_flush, "wait until all that was written is in the object store",
	  "dittofs flush DIR [--json]\n"
	  "dittofs flush --config FILE [--json]\n"
	  "\n"
	  "Uploads all that was not in the object store when it was called, at once, and waits for\n"
	  "it; what is written meanwhile may come later.  While the object store is away it waits\n"
	  "on.  Ctrl-C ends the waiting, not the uploads.  Exit status 1 where some files cannot be\n"
	  "uploaded (the server's log says why).\n" },
	{ "backup", cmd_backup, "a copy of the metadata, for the day when its disk is lost",
	  "dittofs backup DIR [--json]\n"
	  "dittofs backup DIR TO [--json]\n"
	  "dittofs backup --config FILE [TO] [--json]\n"
	  "\n"
	  "The running server copies its metadata of one instant into the object store, beside the\n"
	  "data: what is there of the backup before is not uploaded again.  By itself it does so every\n"
	  "backup.every (dittofs.yaml; 1h for a bucket).  `dittofs restore` makes a volume of it.\n"
	  "A backup stays for backup.keep (24h), and all that it needs in the object store with it.\n"
	  "\n"
	  "File data is in a backup as far as it is in the object store: `dittofs flush DIR` before\n"
	  "uploads all.\n"
	  "\n"
	  "With TO, the copy is a directory of that name instead, on the same disk in moments and with\n"
	  "hardly any room.  To go back to it: no server runs, TO takes the place of the metadata\n"
	  "directory (paths.meta), and the journal directory is emptied.  What was deleted, overwritten\n"
	  "or merged since then is gone from the object store once garbage.keep (15s) is over; reading\n"
	  "it is an I/O error.\n" },
	{ "restore", cmd_restore, "make a volume of a backup in the object store",
	  "dittofs restore DIR --objects s3://BUCKET/PREFIX [S3 OPTIONS] [--encrypt-key FILE] [--at TIME]\n"
	  "dittofs restore DIR|--config FILE [--at TIME]\n"
	  "dittofs restore ... --list [--json]\n"
	  "\n"
	  "For the day when the machine or its disk is lost, and the bucket is there: fetches the\n"
	  "metadata of the newest backup, checks every digest, and makes the volume in DIR, which is\n"
	  "empty or not there; then `dittofs serve DIR --take-over`.  Where DIR has its dittofs.yaml\n"
	  "(and no metadata any more), that says where the objects are.  Interrupted, it is run again\n"
	  "and goes on.  Nothing in the object store is changed.\n"
	  "\n"
	  "What was written after the backup is not in it; `dittofs gc` finds the objects of that.\n"
	  "\n"
	  "  --objects URL   as `format` had it: s3://BUCKET/PREFIX, or file://DIRECTORY\n"
	  "  --at TIME       the newest backup not after it: \"2026-11-27 00:15:00\" (UTC)\n"
	  "  --list          only says which there are\n"
	  "  --share NAME    where several volumes share the place: the first share of the one that is meant\n"
	  "  --encrypt-key FILE, --passphrase-file FILE\n"
	  "                  of an encrypted volume: its RSA key, as in `dittofs format --help`\n"
	  "  --endpoint, --region, --style, --credentials-file, --profile, --ca-file\n"
	  "                  for s3://, as in `dittofs format --help`\n" },
	{ "info", cmd_info, "what a file consists of",
	  "dittofs info DIR PATH [--json]\n"
	  "dittofs info --config FILE PATH [--json]\n"
	  "\n"
	  "PATH is the server's: /export/a/b.  Prints what the metadata says of it: of a file also the\n"
	  "objects that its bytes are in, as far as it is uploaded; of a directory how many entries it has.\n" },
	{ "fsck", cmd_fsck, "is all that files consist of in the object store",
	  "dittofs fsck DIR [--json]\n"
	  "dittofs fsck --config FILE [--json]\n"
	  "\n"
	  "The running server looks for the object of every block of every file, beside clients.\n"
	  "Prints the files that lack some, and which bytes; exit status 1 when there are any.\n"
	  "Costs a HEAD request an object and reads none: damage within one shows when it is read.\n" },
	{ "gc", cmd_gc, "find objects that nothing needs, and delete them",
	  "dittofs gc DIR [--delete] [--age DURATION] [--json]\n"
	  "dittofs gc --config FILE ...\n"
	  "\n"
	  "Asks the running server to list its objects and to look each one up in the metadata.\n"
	  "Leaked are those without a record, of an earlier start of the server: an upload that a\n"
	  "crash cut short leaves them.  Removed files need no gc: they are deleted in the background.\n"
	  "\n"
	  "  --delete         deletes what is leaked; without it, it is only counted\n"
	  "  --age DURATION   leaves what is younger, by the store's clock (1h)\n"
	  "  --json           the counts as JSON\n" },
	{ "warmup", cmd_warmup, "bring files into the caches before they are asked for",
	  "dittofs warmup DIR [PATH...] [-p READS] [--json]\n"
	  "dittofs warmup --config FILE [PATH...] ...\n"
	  "\n"
	  "The running server reads the files below each PATH (/export/some/folder; without one: all\n"
	  "shares), as a client would: their data is in memory and on the cache disks then, as far as\n"
	  "these hold it, and names and attributes are known.  Ctrl-C ends it.\n"
	  "\n"
	  "  -p, --reads N    so many reads of 1 MiB at a time (16); at most an eighth of memory.buffer_size\n"
	  "  --json           the counts as JSON\n" },
	{ "compact", cmd_compact, "write anew what lies in many small pieces",
	  "dittofs compact DIR [--json]\n"
	  "dittofs compact --config FILE [--json]\n"
	  "\n"
	  "The running server merges the small pieces of all files, which it otherwise does for those\n"
	  "that are written or read; no faster than compaction.rate, and not what is not uploaded\n"
	  "yet (`dittofs flush DIR` before).  What is replaced is deleted in the background.\n"
	  "Ctrl-C ends the waiting, not the merging.\n" },
	{ "trash", cmd_trash, "what was removed: list it, restore it, or remove it for good",
	  "dittofs trash list DIR [PATH] [--json]\n"
	  "dittofs trash restore DIR PATH [--force] [--json]\n"
	  "dittofs trash empty DIR [SHARE] [--older-than DURATION] [--json]\n"
	  "dittofs trash VERB --config FILE ...\n"
	  "\n"
	  "With a retention (dittofs.yaml, shares: trash:) what clients remove stays below .trash of the\n"
	  "share's root for so long.  PATH is where it was, /export/a/b, and means all below it too; or\n"
	  "where it is, /export/.trash/HOUR/NAME.\n"
	  "\n"
	  "restore brings back the newest version of each, to where it was, with the directories above\n"
	  "it that were removed; what has the name now stays.  Exit status 1 where some could not be\n"
	  "restored.  A client restores by mv out of .trash.  empty removes for good, at once.\n"
	  "\n"
	  "  --force               in the place of files that have the name now; those go to the trash\n"
	  "  --older-than DURATION leaves what was removed within that time: 12h, 7d\n" },
	{ "objbench", cmd_objbench, "does this object store do what it must, and how fast",
	  "dittofs objbench file:///DIR|s3://BUCKET[/PREFIX]|VOLUME [options]\n"
	  "\n"
	  "Tries each operation that dittofs needs of an object store, then measures uploads,\n"
	  "downloads and small requests; through the server's own client, below a prefix of its own,\n"
	  "which it removes, interrupted or not.  VOLUME is a volume's directory: its store and its\n"
	  "settings.  Exit status 1 when a test failed.\n"
	  "\n"
	  "  -p, --threads N            requests under way at once (4)\n"
	  "  --object-size SIZE         of a large object (4MiB)\n"
	  "  --total-size SIZE          of all large objects; 0 leaves them out (1GiB)\n"
	  "  --small-object-size SIZE   (128KiB)\n"
	  "  --small-objects N          0 leaves them out (100)\n"
	  "  --skip-functional-tests    measure only\n"
	  "  --json                     as JSON\n"
	  "  --endpoint, --region, --style, --credentials-file, --profile, --ca-file\n"
	  "                             for s3://, as in `dittofs format --help`\n" },
	{ "key", cmd_key, "the keys of an encrypted volume",
	  "dittofs key list DIR [--json]\n"
	  "dittofs key rotate DIR [--cipher aes256gcm|chacha20]\n"
	  "dittofs key rewrap DIR --new-key FILE [--new-passphrase-file FILE]\n"
	  "dittofs key ... --config FILE\n"
	  "\n"
	  "list prints the epochs.  The others want that no server runs:\n"
	  "rotate begins the next epoch: what is uploaded from then on is encrypted with a new key, and\n"
	  "what there is stays readable with the old ones.\n"
	  "rewrap wraps all keys for another RSA key and touches no data; then set encryption.key_file\n"
	  "to it.  Who has the old RSA key and copies of the old keys/ objects can still open them: rotate, too.\n"
	  "\n"
	  "  --cipher CIPHER             of the next epoch; without it as before\n"
	  "  --new-key FILE              PEM, of mode 0600\n"
	  "  --new-passphrase-file FILE  of the new key; without it DITTOFS_ENCRYPTION_NEW_PASSPHRASE\n"
	  "  --json                      the list as JSON\n" },
	{ "config", cmd_config, "check or show the configuration",
	  "dittofs config check DIR|FILE\n"
	  "dittofs config show DIR|FILE [--json]\n"
	  "\n"
	  "check says what is wrong, line by line, and where a server runs what it has otherwise: what\n"
	  "SIGHUP makes it take, and what is from the next start on.  show prints every setting, defaults\n"
	  "included.\n" },
	{ "version", cmd_version, "version, formats and libraries",
	  "dittofs version [--json]\n" },
};

static void
overview(FILE *f)
{
	fprintf(f, "dittofs " VERSION ": NFSv3 over an object store\n\nusage: dittofs COMMAND ...\n\n");
	for (size_t i = 0; i < ARRAY_LEN(cmds); i++)
		fprintf(f, "  %-9s %s\n", cmds[i].name, cmds[i].line);
	fprintf(f, "\ndittofs COMMAND --help tells more.\n");
}

int
cmd_usage(const char *name, bool asked)
{
	for (size_t i = 0; i < ARRAY_LEN(cmds); i++)
		if (!strcmp(cmds[i].name, name))
			fprintf(asked ? stdout : stderr, "usage: %s", cmds[i].usage);
	return asked ? 0 : 2;
}

int
cmd_fail(const char *name, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "dittofs %s: ", name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return 1;
}

int
cmd_config_of(const char *name, const char *file, const char *dir, struct config *c)
{
	char path[4096], why[4096];

	if (!file) {
		snprintf(path, sizeof(path), "%s/" CONFIG_FILE, dir);
		file = path;
	}
	if (config_load(c, file, why, sizeof(why)) < 0)
		return cmd_fail(name, "%s", why);
	return 0;
}

bool
cmd_take(int argc, char **argv, int words, struct cmd_args *a)
{
	return cmd_take_some(argc, argv, words, words, a);
}

bool
cmd_take_some(int argc, char **argv, int least, int most, struct cmd_args *a)
{
	static const struct option opts[] = {
		{ "json", no_argument, NULL, 'j' }, { "config", required_argument, NULL, 'c' }, { "help", no_argument, NULL, 'h' }, { 0 },
	};
	static struct config c;
	const char *file = NULL;
	int o;

	*a = (struct cmd_args){ .config = &c };
	while ((o = getopt_long(argc, argv, "h", opts, NULL)) != -1) {
		if (o == 'j') {
			a->json = true;
		} else if (o == 'c') {
			file = optarg;
		} else {
			a->status = cmd_usage(argv[0], o == 'h');
			return false;
		}
	}
	a->nwords = argc - optind - (file ? 0 : 1);
	if (a->nwords < least || a->nwords > most) {
		a->status = cmd_usage(argv[0], false);
		return false;
	}
	a->words = argv + argc - a->nwords;
	a->status = cmd_config_of(argv[0], file, argv[optind], &c);
	return a->status == 0;
}

int
main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	if (argc < 2) {
		overview(stderr);
		return 2;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		if (argc > 2)
			return cmd_usage(argv[2], true);
		overview(stdout);
		return 0;
	}
	if (!strcmp(argv[1], "--version"))
		return cmd_version(1, argv + 1);
	for (size_t i = 0; i < ARRAY_LEN(cmds); i++)
		if (!strcmp(argv[1], cmds[i].name))
			return cmds[i].run(argc - 1, argv + 1);
	fprintf(stderr, "dittofs: there is no command '%s'; `dittofs --help` lists them\n", argv[1]);
	return 2;
}

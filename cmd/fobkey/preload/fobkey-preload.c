/*
 * Lets programs that use libfido2 talk to a key of fobkey over a Unix socket, without a
 * device: LD_PRELOAD this library, and say in FOBKEY_SOCKET where the sockets are, with
 * colons between them. It is for tests and containers; programs that run with more rights
 * than their caller ignore it, as ld.so(8) says.
 *
 * It takes the place of two functions of libfido2. fido_dev_info_manifest(3) lists the
 * sockets instead of the machine's devices, and fido_dev_open(3) gives a device with the
 * path of a socket its own reading and writing, by fido_dev_set_io_functions(3).
 * Reports on the socket are 64 bytes each, one after another (or one a packet). Without
 * FOBKEY_SOCKET both functions do what they always did.
 *
 * It builds without libfido2's headers: what it needs of them is declared here, as it is
 * since libfido2 1.8.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define REPORT 64
#define WRITE_TIMEOUT 2000 /* milliseconds */

/* Values of fido/err.h. */
#define FIDO_OK 0
#define FIDO_ERR_INTERNAL (-9)
#define FIDO_ERR_INVALID_ARGUMENT (-7)

typedef struct fido_dev fido_dev_t;
typedef struct fido_dev_info fido_dev_info_t;
typedef struct fido_dev_transport fido_dev_transport_t;

typedef struct fido_dev_io {
	void *(*open)(const char *);
	void (*close)(void *);
	int (*read)(void *, unsigned char *, size_t, int);
	int (*write)(void *, const unsigned char *, size_t);
} fido_dev_io_t;

typedef int manifest_fn(fido_dev_info_t *, size_t, size_t *);
typedef int open_fn(fido_dev_t *, const char *);
typedef int set_io_fn(fido_dev_t *, const fido_dev_io_t *);
typedef int info_set_fn(fido_dev_info_t *, size_t, const char *, const char *, const char *,
    const fido_dev_io_t *, const fido_dev_transport_t *);

/* The functions of libfido2; a null pointer says that the program does not use it. */
static struct {
	manifest_fn *manifest;
	open_fn *open;
	set_io_fn *set_io;
	info_set_fn *info_set;
} real;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* resolve copies an address, because ISO C has no cast from an object to a function. */
static void
resolve(const char *name, void *function)
{
	void *found = dlsym(RTLD_NEXT, name);

	memcpy(function, &found, sizeof(found));
}

static void
resolve_all(void)
{
	resolve("fido_dev_info_manifest", &real.manifest);
	resolve("fido_dev_open", &real.open);
	resolve("fido_dev_set_io_functions", &real.set_io);
	resolve("fido_dev_info_set", &real.info_set);
}

/* next copies the next path of the list and moves on; false says that there is none. */
static bool
next(const char **list, char path[PATH_MAX])
{
	while (**list != '\0') {
		size_t n = strcspn(*list, ":");
		const char *start = *list;

		*list += n + ((*list)[n] == ':');
		if (n > 0 && n < PATH_MAX) {
			memcpy(path, start, n);
			path[n] = '\0';
			return true;
		}
	}
	return false;
}

static bool
is_ours(const char *path)
{
	const char *list = getenv("FOBKEY_SOCKET");
	char known[PATH_MAX];

	if (list == NULL || path == NULL)
		return false;
	while (next(&list, known))
		if (strcmp(known, path) == 0)
			return true;
	return false;
}

/* An open key: a socket, and what has arrived of the next report. */
struct key {
	int fd;
	size_t have;
	unsigned char report[REPORT];
};

static int
dial(const char *path, int type)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(address.sun_path, path, strlen(path) + 1);
	if ((fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0)) == -1)
		return -1;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == -1 ||
	    fcntl(fd, F_SETFL, O_NONBLOCK) == -1) {
		int error = errno;

		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

static void *
key_open(const char *path)
{
	struct key *k;
	int fd = dial(path, SOCK_STREAM);

	if (fd == -1 && errno == EPROTOTYPE)
		fd = dial(path, SOCK_SEQPACKET);
	if (fd == -1)
		return NULL;
	if ((k = calloc(1, sizeof(*k))) == NULL) {
		close(fd);
		return NULL;
	}
	k->fd = fd;
	return k;
}

static void
key_close(void *handle)
{
	struct key *k = handle;

	if (k == NULL)
		return;
	close(k->fd);
	free(k);
}

static long long
now(void)
{
	struct timespec t;

	if (clock_gettime(CLOCK_MONOTONIC, &t) == -1)
		return 0;
	return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ready waits until the socket is; end is a time of now(), or below 0 for never. */
static bool
ready(int fd, short events, long long end)
{
	for (;;) {
		struct pollfd p = { .fd = fd, .events = events };
		int ms = -1, n;

		if (end >= 0) {
			long long left = end - now();

			ms = left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
		}
		if ((n = poll(&p, 1, ms)) > 0)
			return true;
		if (n == 0 || errno != EINTR)
			return false;
	}
}

/*
 * key_read gives one report or fails. What came of a report before a time-out is kept for
 * the next call: libfido2 goes on reading after it has cancelled.
 */
static int
key_read(void *handle, unsigned char *data, size_t size, int ms)
{
	struct key *k = handle;
	long long end = ms < 0 ? -1 : now() + ms;

	if (size != REPORT)
		return -1;
	while (k->have < REPORT) {
		ssize_t n;

		if (!ready(k->fd, POLLIN, end))
			return -1;
		n = recv(k->fd, k->report + k->have, REPORT - k->have, 0);
		if (n > 0)
			k->have += (size_t)n;
		else if (n == 0 || (errno != EAGAIN && errno != EINTR))
			return -1;
	}
	memcpy(data, k->report, REPORT);
	k->have = 0;
	return REPORT;
}

/* key_write sends a report. libfido2 puts the report's number, 0, in front of it. */
static int
key_write(void *handle, const unsigned char *data, size_t size)
{
	struct key *k = handle;
	long long end = now() + WRITE_TIMEOUT;
	size_t sent = 0;

	if (size != REPORT + 1 || data[0] != 0)
		return -1;
	while (sent < REPORT) {
		ssize_t n;

		if (!ready(k->fd, POLLOUT, end))
			return -1;
		n = send(k->fd, data + 1 + sent, REPORT - sent, MSG_NOSIGNAL);
		if (n > 0)
			sent += (size_t)n;
		else if (n == 0 || (errno != EAGAIN && errno != EINTR))
			return -1;
	}
	return REPORT + 1;
}

static const fido_dev_io_t io = { key_open, key_close, key_read, key_write };

#define EXPORT __attribute__((visibility("default")))

EXPORT int fido_dev_info_manifest(fido_dev_info_t *, size_t, size_t *);
EXPORT int fido_dev_open(fido_dev_t *, const char *);

int
fido_dev_info_manifest(fido_dev_info_t *devices, size_t room, size_t *count)
{
	const char *list = getenv("FOBKEY_SOCKET");
	char path[PATH_MAX];
	int error;

	(void)pthread_once(&once, resolve_all);
	if (list == NULL)
		return real.manifest == NULL ? FIDO_ERR_INTERNAL : real.manifest(devices, room, count);
	if (count == NULL || (devices == NULL && room > 0))
		return FIDO_ERR_INVALID_ARGUMENT;
	*count = 0;
	if (real.info_set == NULL)
		return FIDO_ERR_INTERNAL;
	while (*count < room && next(&list, path)) {
		struct stat s;

		/* A key without power has no socket. */
		if (stat(path, &s) == -1 || !S_ISSOCK(s.st_mode))
			continue;
		error = real.info_set(devices, *count, path, "fobd", "fobd emulated key", &io, NULL);
		if (error != FIDO_OK)
			return error;
		(*count)++;
	}
	return FIDO_OK;
}

int
fido_dev_open(fido_dev_t *device, const char *path)
{
	int error;

	(void)pthread_once(&once, resolve_all);
	if (real.open == NULL || real.set_io == NULL)
		return FIDO_ERR_INTERNAL;
	if (is_ours(path) && (error = real.set_io(device, &io)) != FIDO_OK)
		return error;
	return real.open(device, path);
}

/* Measures how many times a second liboath looks through a window for a code that is not
 * in it: cc -O2 liboath.c -loath; ./a.out HASH WINDOW SECONDS */
#include <liboath/oath.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	const char *secret = "12345678901234567890";
	int flags, offset;
	long n = 0;
	double begin, limit;
	if (argc != 4)
		return 2;
	flags = !strcmp(argv[1], "SHA256") ? OATH_TOTP_HMAC_SHA256 : !strcmp(argv[1], "SHA512") ? OATH_TOTP_HMAC_SHA512 : 0;
	limit = atof(argv[3]);
	oath_init();
	for (begin = now(); now() - begin < limit; n += 100)
		for (int i = 0; i < 100; i++)
			if (oath_totp_validate4(secret, strlen(secret), 1111111109, 30, 0, atoi(argv[2]), &offset, NULL, flags, "000000") >= 0)
				return 1;
	printf("%.1f\n", (now() - begin) * 1e9 / n);
	return 0;
}

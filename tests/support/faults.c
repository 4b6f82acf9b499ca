/* Lets a process fail at its n-th change to the files below a folder.
 *
 * Loaded with LD_PRELOAD; faults_arm(folder, n, error) is called by the test. Calls that change
 * something below the folder are counted from 1: opening to write, writing, flushing, changing
 * mode, renaming, making, removing. At the n-th, the process is killed (error = 0; a write is made
 * by half first), or the call fails with errno = error, and so do all later ones.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char below[PATH_MAX];
static long failing_at, made;
static int with;

void faults_arm(const char *folder, long at, int error)
{
    strncpy(below, folder, sizeof below - 1);
    failing_at = at;
    with = error;
    made = 0;
}

long faults_made(void) { return made; }

static int is_below(const char *path)
{
    char whole[PATH_MAX * 2];
    if (!below[0] || !path)
        return 0;
    if (path[0] == '/') {
        snprintf(whole, sizeof whole, "%s", path);
    } else {
        char here[PATH_MAX];
        if (!getcwd(here, sizeof here))
            return 0;
        snprintf(whole, sizeof whole, "%s/%s", here, path);
    }
    return strncmp(whole, below, strlen(below)) == 0;
}

static int is_open_below(int file)
{
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0)
        return 0;
    path[size] = 0;
    return is_below(path);
}

/* Counts a call; returns whether it has to fail. Does not return where the process is to die. */
static int fails(void)
{
    made++;
    if (!failing_at || made < failing_at)
        return 0;
    if (!with) {
        kill(getpid(), SIGKILL);
        pause();
    }
    errno = with;
    return 1;
}

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) \
        real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define OPEN(name, parameters, arguments) \
    int name parameters \
    { \
        REAL(name); \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = va_arg(rest, mode_t); \
        va_end(rest); \
        if ((flags & (O_WRONLY | O_RDWR | O_CREAT)) && is_below(path) && fails()) \
            return -1; \
        return real arguments; \
    }
OPEN(open, (const char *path, int flags, ...), (path, flags, mode))
OPEN(open64, (const char *path, int flags, ...), (path, flags, mode))
OPEN(openat, (int folder, const char *path, int flags, ...), (folder, path, flags, mode))
OPEN(openat64, (int folder, const char *path, int flags, ...), (folder, path, flags, mode))

ssize_t write(int file, const void *content, size_t size)
{
    REAL(write);
    if (below[0] && is_open_below(file)) {
        if (failing_at && made + 1 == failing_at && !with)
            real(file, content, size / 2);
        if (fails())
            return -1;
    }
    return real(file, content, size);
}

int fsync(int file)
{
    REAL(fsync);
    return is_open_below(file) && fails() ? -1 : real(file);
}

int rename(const char *from, const char *to)
{
    REAL(rename);
    return is_below(to) && fails() ? -1 : real(from, to);
}

int chmod(const char *path, mode_t mode)
{
    REAL(chmod);
    return is_below(path) && fails() ? -1 : real(path, mode);
}

int mkdir(const char *path, mode_t mode)
{
    REAL(mkdir);
    return is_below(path) && fails() ? -1 : real(path, mode);
}

int unlink(const char *path)
{
    REAL(unlink);
    return is_below(path) && fails() ? -1 : real(path);
}

int unlinkat(int folder, const char *path, int flags)
{
    REAL(unlinkat);
    return (is_open_below(folder) || is_below(path)) && fails() ? -1 : real(folder, path, flags);
}

int rmdir(const char *path)
{
    REAL(rmdir);
    return is_below(path) && fails() ? -1 : real(path);
}

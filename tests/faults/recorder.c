/* Every change that a process makes to the files of one folder, as it leaves the process: preloaded, it stands between the program
 * (Python, SQLite and all else alike) and the C library, writes each operation to a log, and can make the n-th one fail or be the
 * process's last. Linux only. The log holds records of `struct record`, each followed by the bytes of its path and of its data.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

struct record {
    uint64_t kind, inode, offset, path_length, data_length;
};

static const char *root;
static size_t root_length;
static int log_descriptor = -1;
static long countdown = 0; /* operations left until the armed one; 0: none is armed */
static int armed_error = 0; /* errno of the armed operation; 0: the process is killed instead */
static long count = 0;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) abort();
    return found;
}


static int watched(const char *path) {
    if (log_descriptor < 0 || strncmp(path, root, root_length)) return 0;
    if (path[root_length] != '/' && path[root_length] != 0) return 0;
    size_t length = strlen(path);
    return length < 4 || strcmp(path + length - 4, "-shm"); /* SQLite's index of its log: memory, not data */
}

/* The absolute path of a name below a directory descriptor; "" where it is too long. */
static void resolve(int folder, const char *path, char *out) {
    char base[PATH_MAX];
    out[0] = 0;
    if (path[0] == '/') {
        snprintf(out, PATH_MAX, "%s", path);
        return;
    }
    if (folder == AT_FDCWD) {
        if (!getcwd(base, sizeof base)) return;
    } else {
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        ssize_t length = readlink(link, base, sizeof base - 1);
        if (length < 0) return;
        base[length] = 0;
    }
    if (snprintf(out, PATH_MAX, "%s/%s", base, path) >= PATH_MAX) out[0] = 0;
}

static int watched_descriptor(int descriptor, char *path) {
    char link[64];
    if (log_descriptor < 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return watched(path);
}

static uint64_t inode_of(int descriptor) {
    struct stat status;
    return fstat(descriptor, &status) ? 0 : status.st_ino;
}

static void put(char kind, uint64_t inode, uint64_t offset, const char *path, const void *data, size_t size) {
    struct record record = {kind, inode, offset, strlen(path), size};
    size_t total = sizeof record + record.path_length + size;
    char *buffer = malloc(total);
    memcpy(buffer, &record, sizeof record);
    memcpy(buffer + sizeof record, path, record.path_length);
    if (size) memcpy(buffer + sizeof record + record.path_length, data, size);
    for (size_t done = 0; done < total;) {
        ssize_t written = REAL(write)(log_descriptor, buffer + done, total - done);
        if (written < 0) abort();
        done += written;
    }
    free(buffer);
}

/* Called before each operation, with the mutex held: -1 with errno where it is to fail. */
static int armed(void) {
    count++;
    if (countdown && !--countdown) {
        if (!armed_error) raise(SIGKILL);
        errno = armed_error;
        return -1;
    }
    return 0;
}

#define GUARDED(expression)                       \
    ({                                            \
        pthread_mutex_lock(&mutex);               \
        __typeof__(expression) result_ = -1;      \
        if (!armed()) result_ = (expression);     \
        pthread_mutex_unlock(&mutex);             \
        result_;                                  \
    })

/* For the program under test: record what is done below `folder` (absolute, no links) into a log, from now on. */
int recorder_start(const char *folder, const char *path) {
    root = strdup(folder);
    root_length = strlen(root);
    log_descriptor = REAL(open)(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    return log_descriptor < 0 ? -1 : 0;
}

void recorder_mark(const char *text) {
    if (log_descriptor < 0) return;
    pthread_mutex_lock(&mutex);
    put('a', 0, 0, "", text, strlen(text));
    pthread_mutex_unlock(&mutex);
}

void recorder_arm(long operations, int error) {
    countdown = operations;
    armed_error = error;
}

long recorder_count(void) { return count; }

static int opened(int folder, const char *path, int flags, mode_t mode) {
    char full[PATH_MAX];
    resolve(folder, path, full);
    if (!(flags & (O_CREAT | O_TRUNC)) || !watched(full)) return REAL(openat)(folder, path, flags, mode);
    pthread_mutex_lock(&mutex);
    int fresh = access(full, F_OK) != 0;
    int descriptor = -1;
    if (!(fresh || flags & O_TRUNC) || !armed()) descriptor = REAL(openat)(folder, path, flags, mode);
    if (descriptor >= 0 && fresh) put('c', inode_of(descriptor), 0, full, NULL, 0);
    if (descriptor >= 0 && !fresh && flags & O_TRUNC) put('t', inode_of(descriptor), 0, full, NULL, 0);
    pthread_mutex_unlock(&mutex);
    return descriptor;
}

#define OPEN(name)                                        \
    int name(const char *path, int flags, ...) {          \
        va_list arguments;                                \
        va_start(arguments, flags);                       \
        mode_t mode = va_arg(arguments, mode_t);          \
        va_end(arguments);                                \
        return opened(AT_FDCWD, path, flags, mode);       \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                              \
    int name(int folder, const char *path, int flags, ...) {      \
        va_list arguments;                                        \
        va_start(arguments, flags);                               \
        mode_t mode = va_arg(arguments, mode_t);                  \
        va_end(arguments);                                        \
        return opened(folder, path, flags, mode);                 \
    }
OPENAT(openat)
OPENAT(openat64)

static ssize_t written(int descriptor, const void *data, size_t size, off_t offset) {
    char path[PATH_MAX];
    if (!watched_descriptor(descriptor, path)) return -2;
    ssize_t done = GUARDED(REAL(pwrite)(descriptor, data, size, offset));
    if (done > 0) put('w', inode_of(descriptor), offset, path, data, done);
    return done;
}

ssize_t write(int descriptor, const void *data, size_t size) {
    char path[PATH_MAX];
    if (!watched_descriptor(descriptor, path)) return REAL(write)(descriptor, data, size);
    struct stat status;
    fstat(descriptor, &status);
    off_t offset = fcntl(descriptor, F_GETFL) & O_APPEND ? status.st_size : lseek(descriptor, 0, SEEK_CUR);
    ssize_t done = GUARDED(REAL(write)(descriptor, data, size));
    if (done > 0) put('w', status.st_ino, offset, path, data, done);
    return done;
}

ssize_t pwrite(int descriptor, const void *data, size_t size, off_t offset) {
    ssize_t done = written(descriptor, data, size, offset);
    return done == -2 ? REAL(pwrite)(descriptor, data, size, offset) : done;
}

ssize_t pwrite64(int descriptor, const void *data, size_t size, off64_t offset) {
    return pwrite(descriptor, data, size, offset);
}

static int truncated(int descriptor, off_t size) {
    char path[PATH_MAX];
    if (!watched_descriptor(descriptor, path)) return REAL(ftruncate)(descriptor, size);
    int failed = GUARDED(REAL(ftruncate)(descriptor, size));
    if (!failed) put('t', inode_of(descriptor), size, path, NULL, 0);
    return failed;
}

int ftruncate(int descriptor, off_t size) { return truncated(descriptor, size); }
int ftruncate64(int descriptor, off64_t size) { return truncated(descriptor, size); }

static int synced(int descriptor) {
    char path[PATH_MAX];
    if (!watched_descriptor(descriptor, path)) return REAL(fsync)(descriptor);
    int failed = GUARDED(REAL(fsync)(descriptor));
    if (!failed) put('s', inode_of(descriptor), 0, path, NULL, 0);
    return failed;
}

int fsync(int descriptor) { return synced(descriptor); }
int fdatasync(int descriptor) { return synced(descriptor); }

int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    char source[PATH_MAX], target[PATH_MAX];
    resolve(from_folder, from, source);
    resolve(to_folder, to, target);
    if (!watched(source) && !watched(target)) return REAL(renameat)(from_folder, from, to_folder, to);
    int failed = GUARDED(REAL(renameat)(from_folder, from, to_folder, to));
    if (!failed) put('r', 0, 0, source, target, strlen(target));
    return failed;
}

int rename(const char *from, const char *to) { return renameat(AT_FDCWD, from, AT_FDCWD, to); }

int unlinkat(int folder, const char *path, int flags) {
    char full[PATH_MAX];
    resolve(folder, path, full);
    if (!watched(full)) return REAL(unlinkat)(folder, path, flags);
    int failed = GUARDED(REAL(unlinkat)(folder, path, flags));
    if (!failed) put('u', 0, 0, full, NULL, 0);
    return failed;
}

int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int mkdirat(int folder, const char *path, mode_t mode) {
    char full[PATH_MAX];
    resolve(folder, path, full);
    if (!watched(full)) return REAL(mkdirat)(folder, path, mode);
    int failed = GUARDED(REAL(mkdirat)(folder, path, mode));
    struct stat status;
    if (!failed && !stat(full, &status)) put('m', status.st_ino, 0, full, NULL, 0);
    return failed;
}

int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

/* Copies inside the kernel: refused, so that callers write what they copy. */
ssize_t sendfile(int out, int in, off_t *offset, size_t size) {
    char path[PATH_MAX];
    if (watched_descriptor(out, path)) {
        errno = EINVAL;
        return -1;
    }
    return ((ssize_t(*)(int, int, off_t *, size_t))real("sendfile"))(out, in, offset, size);
}

ssize_t copy_file_range(int in, off64_t *in_offset, int out, off64_t *out_offset, size_t size, unsigned flags) {
    char path[PATH_MAX];
    if (watched_descriptor(out, path)) {
        errno = EXDEV;
        return -1;
    }
    return ((ssize_t(*)(int, off64_t *, int, off64_t *, size_t, unsigned))real("copy_file_range"))(in, in_offset, out, out_offset,
                                                                                              size, flags);
}

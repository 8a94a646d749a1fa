// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
//
// LD_PRELOAD shim: records every write, truncation, sync and removal of files below $PROOF_POWER_DIR in
// $PROOF_POWER_LOG, so that a test can say what a power cut at the moment of a kill would have left.
// One record: op, path length (4), offset (8), data length (8), path, data. Appended by one writev, before a write
// happens and after a sync has.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static int log_fd = -1;
static const char *folder;
static size_t folder_length;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("PROOF_POWER_LOG");
    folder = getenv("PROOF_POWER_DIR");
    if (!path || !folder) return;
    folder_length = strlen(folder);
    log_fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void record_path(char op, const char *path, uint64_t offset, const void *data, uint64_t size) {
    if (log_fd < 0 || strncmp(path, folder, folder_length) != 0) return;
    char head[21];
    uint32_t length = (uint32_t)strlen(path);
    head[0] = op;
    memcpy(head + 1, &length, 4);
    memcpy(head + 5, &offset, 8);
    memcpy(head + 13, &size, 8);
    struct iovec parts[3] = {{head, sizeof head}, {(void *)path, length}, {(void *)data, data ? size : 0}};
    if (!data) memset(head + 13, 0, 8);
    if (syscall(SYS_writev, log_fd, parts, 3) < 0) abort();
}

static void record(char op, int fd, uint64_t offset, const void *data, uint64_t size) {
    if (log_fd < 0 || fd == log_fd) return;
    char link[32], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return;
    path[length] = 0;
    record_path(op, path, offset, data, size);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) {
    record('W', fd, (uint64_t)offset, data, size);
    return syscall(SYS_pwrite64, fd, data, size, offset);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) { return pwrite64(fd, data, size, offset); }
ssize_t write(int fd, const void *data, size_t size) {
    if (log_fd >= 0 && fd > 2) {
        off_t at = lseek(fd, 0, SEEK_CUR);
        if (at >= 0) record('W', fd, (uint64_t)at, data, size);
    }
    return syscall(SYS_write, fd, data, size);
}
int ftruncate64(int fd, off64_t size) {
    record('T', fd, (uint64_t)size, NULL, 0);
    return (int)syscall(SYS_ftruncate, fd, size);
}
int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }
int fsync(int fd) {
    int code = (int)syscall(SYS_fsync, fd);
    if (code == 0) record('S', fd, 0, NULL, 0);
    return code;
}
int fdatasync(int fd) {
    int code = (int)syscall(SYS_fdatasync, fd);
    if (code == 0) record('S', fd, 0, NULL, 0);
    return code;
}
int unlink(const char *path) {
    record_path('U', path, 0, NULL, 0);
    return (int)syscall(SYS_unlink, path);
}

// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "proof/power_vfs.hpp"

#include <cstring>

#include <sqlite3.h>

namespace proof {
namespace {

struct PowerFile {
    sqlite3_file base;
    const char* path;  // SQLite keeps the name as long as the file is open.
    sqlite3_file* real() { return reinterpret_cast<sqlite3_file*>(this + 1); }
};

PowerFile* of(sqlite3_file* file) { return reinterpret_cast<PowerFile*>(file); }
sqlite3_file* real(sqlite3_file* file) { return of(file)->real(); }
std::string name(sqlite3_file* file) { return of(file)->path ? of(file)->path : ""; }

int close_file(sqlite3_file* file) { return real(file)->pMethods->xClose(real(file)); }
int read_file(sqlite3_file* file, void* to, int size, sqlite3_int64 at) {
    return real(file)->pMethods->xRead(real(file), to, size, at);
}
int write_file(sqlite3_file* file, const void* from, int size, sqlite3_int64 at) {
    PowerDisk::instance().write(name(file), static_cast<std::uint64_t>(at),
                                {static_cast<const char*>(from), static_cast<std::size_t>(size)});
    return real(file)->pMethods->xWrite(real(file), from, size, at);
}
int truncate_file(sqlite3_file* file, sqlite3_int64 size) {
    PowerDisk::instance().truncate(name(file), static_cast<std::uint64_t>(size));
    return real(file)->pMethods->xTruncate(real(file), size);
}
int sync_file(sqlite3_file* file, int) {
    // The real disk need not be troubled: the image is what counts.
    PowerDisk::instance().sync(name(file));
    return SQLITE_OK;
}
int file_size(sqlite3_file* file, sqlite3_int64* size) { return real(file)->pMethods->xFileSize(real(file), size); }
int lock(sqlite3_file* file, int level) { return real(file)->pMethods->xLock(real(file), level); }
int unlock(sqlite3_file* file, int level) { return real(file)->pMethods->xUnlock(real(file), level); }
int check_lock(sqlite3_file* file, int* out) { return real(file)->pMethods->xCheckReservedLock(real(file), out); }
int control(sqlite3_file* file, int op, void* arg) { return real(file)->pMethods->xFileControl(real(file), op, arg); }
int sector(sqlite3_file*) { return 512; }
int characteristics(sqlite3_file*) { return 0; }  // Neither atomic writes nor safe appends.
int shm_map(sqlite3_file* file, int page, int size, int extend, void volatile** out) {
    return real(file)->pMethods->xShmMap(real(file), page, size, extend, out);
}
int shm_lock(sqlite3_file* file, int offset, int n, int flags) {
    return real(file)->pMethods->xShmLock(real(file), offset, n, flags);
}
void shm_barrier(sqlite3_file* file) { real(file)->pMethods->xShmBarrier(real(file)); }
int shm_unmap(sqlite3_file* file, int remove) { return real(file)->pMethods->xShmUnmap(real(file), remove); }

const sqlite3_io_methods methods = {
    2,    close_file, read_file, write_file,      truncate_file, sync_file, file_size, lock,        unlock,   check_lock,
    control, sector,  characteristics, shm_map, shm_lock,      shm_barrier, shm_unmap, nullptr, nullptr};

sqlite3_vfs* below = nullptr;

int open_file(sqlite3_vfs*, const char* path, sqlite3_file* file, int flags, int* out) {
    of(file)->path = path;
    of(file)->base.pMethods = nullptr;
    const int code = below->xOpen(below, path, real(file), flags, out);
    if (code == SQLITE_OK) of(file)->base.pMethods = &methods;
    return code;
}
int delete_file(sqlite3_vfs*, const char* path, int sync_folder) {
    PowerDisk::instance().remove(path);
    if (sync_folder) PowerDisk::instance().sync_folder(std::string(path).substr(0, std::string_view(path).rfind('/')));
    return below->xDelete(below, path, sync_folder);
}

}  // namespace

PowerDisk& PowerDisk::instance() {
    static PowerDisk disk;
    return disk;
}

void PowerDisk::start(DiskImage::Files durable, long cut_at, std::uint64_t seed) {
    const std::lock_guard lock(mutex_);
    image_ = DiskImage(std::move(durable));
    left_ = cut_at;
    random_.seed(seed);
    after_.reset();
    cut_ = false;
}

void PowerDisk::count_down() {
    if (after_ || --left_ > 0) return;
    after_ = image_.cut(random_);
    cut_ = true;
}

DiskImage::Files PowerDisk::stop() {
    const std::lock_guard lock(mutex_);
    if (!after_) after_ = image_.cut(random_);
    cut_ = true;
    return *after_;
}

void PowerDisk::write(const std::string& path, std::uint64_t offset, std::string_view data) {
    const std::lock_guard lock(mutex_);
    image_.write(path, offset, data);
    count_down();
}
void PowerDisk::truncate(const std::string& path, std::uint64_t size) {
    const std::lock_guard lock(mutex_);
    image_.truncate(path, size);
    count_down();
}
void PowerDisk::sync(const std::string& path) {
    const std::lock_guard lock(mutex_);
    count_down();  // The power may fail before the sync has done anything.
    image_.sync(path);
}
void PowerDisk::remove(const std::string& path) {
    const std::lock_guard lock(mutex_);
    image_.remove(path);
    count_down();
}

void PowerDisk::sync_folder(const std::string& path) {
    const std::lock_guard lock(mutex_);
    image_.sync_folder(path);
}

void register_power_vfs() {
    static sqlite3_vfs vfs = [] {
        below = sqlite3_vfs_find(nullptr);
        sqlite3_vfs made = *below;
        made.zName = "power";
        made.szOsFile = static_cast<int>(sizeof(PowerFile)) + below->szOsFile;
        made.xOpen = open_file;
        made.xDelete = delete_file;
        made.pNext = nullptr;
        return made;
    }();
    sqlite3_vfs_register(&vfs, 0);
}

}  // namespace proof

// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <atomic>
#include <mutex>
#include <optional>

#include "proof/power_image.hpp"

namespace proof {

/// The disk below the SQLite VFS named "power": everything goes through to the real files, and is recorded, until
/// the power is cut at a chosen operation.
class PowerDisk {
public:
    static PowerDisk& instance();
    /// A new disk with these durable files, whose power fails at its n-th write, truncation or sync.
    void start(DiskImage::Files durable, long cut_at, std::uint64_t seed);
    /// Cuts the power now unless that has happened; the files that are left.
    DiskImage::Files stop();
    bool is_cut() const { return cut_; }

    void write(const std::string& path, std::uint64_t offset, std::string_view data);
    void truncate(const std::string& path, std::uint64_t size);
    void sync(const std::string& path);
    void remove(const std::string& path);
    void sync_folder(const std::string& path);

private:
    void count_down();  // With mutex_ held, before the operation counts.
    std::mutex mutex_;
    DiskImage image_;                          // Guarded by mutex_.
    long left_ = 0;                            // Guarded by mutex_.
    std::mt19937_64 random_;                   // Guarded by mutex_.
    std::optional<DiskImage::Files> after_;    // Guarded by mutex_.
    std::atomic<bool> cut_{true};
};

/// Registers the VFS "power" once.
void register_power_vfs();

}  // namespace proof

// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace proof {

/// A disk with a volatile cache: what was synced is durable, what was written since may or may not survive a
/// power cut, wholly or in part, in any order.
class DiskImage {
public:
    using Files = std::map<std::string, std::string>;

    explicit DiskImage(Files durable = {}) : durable_(std::move(durable)) {}
    void write(const std::string& path, std::uint64_t offset, std::string_view data);
    void truncate(const std::string& path, std::uint64_t size);
    void sync(const std::string& path);
    void remove(const std::string& path);
    /// What an fsync of a folder makes durable: the removals in it.
    void sync_folder(const std::string& path);

    /// The files after a cut now: of each file's unsynced operations a random choice survives (none, a
    /// prefix, any subset, any subset in another order), writes torn at 512-byte sectors.
    Files cut(std::mt19937_64& random);
    /// How many unsynced operations there were at the newest cut, and how many of them did not survive it.
    long unsynced() const { return unsynced_; }
    long dropped() const { return dropped_; }

private:
    struct Operation {
        enum class Kind { write, truncate, remove } kind;
        std::uint64_t offset = 0;
        std::string data;
    };
    static void apply(std::string& file, const Operation& operation);
    Files durable_;
    std::map<std::string, std::vector<Operation>> pending_;
    long unsynced_ = 0, dropped_ = 0;
};

}  // namespace proof

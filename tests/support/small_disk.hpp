// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstdint>
#include <string>

namespace jobruntime::tests {

/// A folder with little space: a tmpfs where this process may mount one, else a shim inside this program,
/// which counts the files of that folder and answers ENOSPC like a full disk. One at a time.
///
/// The shim stands in for write, pwrite, writev, truncation, allocation and statvfs of the whole program,
/// SQLite's calls too; other processes are not held back by it. small_disk.cpp must be among the program's
/// own sources.
class SmallDisk {
public:
    enum class How { any, shim };

    /// Makes the folder, and prints which of the two it is.
    SmallDisk(std::string path, std::uint64_t bytes, How how = How::any);
    SmallDisk(const SmallDisk&) = delete;
    ~SmallDisk();

    bool mounted() const { return mounted_; }
    const char* name() const { return mounted_ ? "a small tmpfs" : "a shim that answers ENOSPC"; }
    /// Writes this file in the folder until nothing more fits.
    void fill(const std::string& file) const;
    std::string operator/(const std::string& file) const { return path_ + "/" + file; }

private:
    std::string path_;
    bool mounted_ = false;
};

}  // namespace jobruntime::tests

// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <string>

#include <jobruntime/result.hpp>
#include <jobruntime/subprocess.hpp>

namespace jobruntime::host {

/// The browser profile of this process. `%i` in PLAYWRIGHT_USER_DATA_DIR is its slot: the smallest number,
/// from 0, that no other process on the machine holds. So several workers have a profile each, and one that
/// starts again finds its log-ins. Held as long as it lives; a process that dies gives it up.
class ProfileSlot {
public:
    /// INVALID_CONFIGURATION when the folder cannot be made or a thousand slots are taken. Without `%i` it
    /// does nothing.
    static Result<ProfileSlot> take(const std::string& pattern);
    const std::string& path() const { return path_; }

private:
    ProfileSlot(std::string path, Fd lock) : path_(std::move(path)), lock_(std::move(lock)) {}
    std::string path_;
    Fd lock_;
};

}  // namespace jobruntime::host

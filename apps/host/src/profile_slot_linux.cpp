// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "profile_slot.hpp"

#include <cerrno>
#include <cstring>
#include <filesystem>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

namespace jobruntime::host {
namespace {

constexpr int slots = 1000;

std::string numbered(std::string pattern, int slot) {
    for (auto at = pattern.find("%i"); at != std::string::npos; at = pattern.find("%i", at))
        pattern.replace(at, 2, std::to_string(slot));
    return pattern;
}

Error unusable(const std::string& path, const std::string& why) {
    return {Errc::invalid_argument, "INVALID_CONFIGURATION",
            "PLAYWRIGHT_USER_DATA_DIR: cannot use " + path + ": " + why};
}

}  // namespace

Result<ProfileSlot> ProfileSlot::take(const std::string& pattern) {
    if (pattern.find("%i") == std::string::npos) return ProfileSlot(pattern, Fd());
    for (int slot = 0; slot < slots; ++slot) {
        auto path = numbered(pattern, slot);
        std::error_code code;
        if (std::filesystem::create_directories(path, code)) ::chmod(path.c_str(), 0700);
        if (code) return unusable(path, code.message());
        Fd lock(::open((path + "/.jobrt-slot").c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
        if (lock.get() < 0) return unusable(path, std::strerror(errno));
        if (::flock(lock.get(), LOCK_EX | LOCK_NB) == 0) return ProfileSlot(std::move(path), std::move(lock));
        if (errno != EWOULDBLOCK) return unusable(path, std::strerror(errno));
    }
    return unusable(pattern, "all " + std::to_string(slots) + " slots are taken");
}

}  // namespace jobruntime::host

// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <jobruntime/result.hpp>

/// The file under the tokens: private, replaced as a whole, changed by one process at a time.
namespace jobruntime::host::token_file {

/// Tells whether a file was changed or replaced since.
struct Stamp {
    std::uint64_t device = 0, inode = 0, size = 0;
    std::int64_t modified = 0, changed = 0;  ///< Nanoseconds.
    bool operator==(const Stamp&) const = default;
};
std::optional<Stamp> stamp_of(const std::string& path);

struct Contents {
    std::string text;
    Stamp stamp;
};
/// Errc::not_found; TOKEN_FILE_REFUSED for one that others may read or write, or that is no plain file.
Result<Contents> read(const std::string& path);

/// Mode 0600, whole or not at all, on disk once returned. When root writes it, it belongs to whom it belonged before, or
/// else to the owner of its folder, so that a service may read what its administrator makes.
Result<void> replace(const std::string& path, const std::string& text);

/// One writer at a time, among all processes.
class Lock {
public:
    static Result<Lock> take(const std::string& path);
    Lock(Lock&& other) noexcept : folder_(other.folder_) { other.folder_ = -1; }
    Lock& operator=(Lock&&) = delete;
    ~Lock();

private:
    explicit Lock(int folder) : folder_(folder) {}
    int folder_;
};

/// Twice as many hexadecimal digits, from the system's randomness.
Result<std::string> random_digits(std::size_t bytes);

}  // namespace jobruntime::host::token_file

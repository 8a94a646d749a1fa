// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include <jobruntime/net.hpp>
#include <jobruntime/subprocess.hpp>

#include "core/write_back_linux.hpp"

namespace jobruntime::net {

/// What identifies the file whose first bytes we have.
struct PartInfo {
    std::string source;  ///< URL without query: signatures change from one try to the next.
    std::string
        validator;  ///< A strong ETag, or a Last-Modified date that is old enough; empty = cannot be resumed.
    std::uint64_t total = 0;  ///< Of the whole file; 0 = unknown.
    bool operator==(const PartInfo&) const = default;
};

/// `<target>.part` and `<target>.part.info`. The info is written before the first byte, so bytes
/// without it, or with one that cannot be read, are thrown away.
class PartFile {
public:
    /// Opens or makes the part. `keep` = use what an earlier try has left of `source`.
    static Result<PartFile> open(const std::filesystem::path& target, const std::string& source, bool keep);

    std::uint64_t size() const noexcept { return size_; }
    const PartInfo& info() const noexcept { return info_; }

    /// Forgets all bytes and notes whose bytes come now.
    Result<void> begin(PartInfo info);
    Result<void> append(std::string_view bytes);
    /// Whether these bytes are those at `at`, which are all there.
    Result<bool> holds(std::uint64_t at, std::string_view bytes) const;
    /// fsync, rename to the target, fsync of the folder; the info goes.
    Result<void> publish();

private:
    std::filesystem::path target_;
    Fd fd_;
    PartInfo info_;
    std::uint64_t size_ = 0;
    core::WriteBack write_back_;
};

}  // namespace jobruntime::net

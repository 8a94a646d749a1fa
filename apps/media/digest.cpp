// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "digest.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include "av.hpp"

namespace jobruntime::helper {

Result<Digest> sync_and_digest(const std::string& path) {
    const auto failed = [&path] {
        return Error{Errc::unavailable, "MEDIA_IO", "cannot read back " + path + ": " + std::strerror(errno)};
    };
    Sha sha(av_sha_alloc());
    if (!sha || av_sha_init(sha.get(), 256) < 0)
        return Error{Errc::full, "MEDIA_MEMORY", "no memory for a checksum"};
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return failed();
    Digest digest;
    std::vector<std::uint8_t> block(std::size_t{256} << 10);
    bool good = ::fsync(fd) == 0;
    while (good) {
        const auto got = ::read(fd, block.data(), block.size());
        if (got < 0 && errno == EINTR) continue;
        good = got >= 0;
        if (got <= 0) break;
        av_sha_update(sha.get(), block.data(), static_cast<std::size_t>(got));
        digest.bytes += got;
    }
    if (!good) {
        Error error = failed();
        ::close(fd);
        return error;
    }
    ::close(fd);
    std::array<std::uint8_t, 32> raw{};
    av_sha_final(sha.get(), raw.data());
    for (const auto byte : raw) {
        constexpr const char* digits = "0123456789abcdef";
        digest.sha256 += digits[byte >> 4];
        digest.sha256 += digits[byte & 15];
    }
    return digest;
}

}  // namespace jobruntime::helper

// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "digest.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <vector>

#include <fcntl.h>
#include <openssl/evp.h>
#include <unistd.h>

namespace jobruntime::helper {
namespace {

struct Closer {
    void operator()(EVP_MD_CTX* context) const noexcept { EVP_MD_CTX_free(context); }
};

}  // namespace

void load_digest() {
    const std::unique_ptr<EVP_MD_CTX, Closer> sha(EVP_MD_CTX_new());
    if (sha) (void)EVP_DigestInit_ex(sha.get(), EVP_sha256(), nullptr);
}

Result<Digest> sync_and_digest(const std::string& path, const std::atomic<bool>& abandoned) {
    const auto failed = [&path] {
        return Error{Errc::unavailable, "MEDIA_IO", "cannot read back " + path + ": " + std::strerror(errno)};
    };
    // OpenSSL's, which libav brings along: it knows the processor's own instructions and takes a tenth of libav's time.
    const std::unique_ptr<EVP_MD_CTX, Closer> sha(EVP_MD_CTX_new());
    if (!sha || EVP_DigestInit_ex(sha.get(), EVP_sha256(), nullptr) != 1)
        return Error{Errc::full, "MEDIA_MEMORY", "no memory for a checksum"};
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return failed();
    Digest digest;
    std::vector<std::uint8_t> block(std::size_t{256} << 10);
    // On its way to the disk while it is read for its checksum; where that is not known, fsync does it all.
    (void)::sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
    bool good = true;
    while (good && !abandoned) {
        const auto got = ::read(fd, block.data(), block.size());
        if (got < 0 && errno == EINTR) continue;
        good = got >= 0;
        if (got <= 0) break;
        good = EVP_DigestUpdate(sha.get(), block.data(), static_cast<std::size_t>(got)) == 1;
        digest.bytes += got;
    }
    if (abandoned) {
        ::close(fd);
        return Error{Errc::canceled, "nobody needs the checksum of " + path + " any more"};
    }
    good = good && ::fsync(fd) == 0;
    if (!good) {
        Error error = failed();
        ::close(fd);
        return error;
    }
    ::close(fd);
    std::array<std::uint8_t, 32> raw{};
    EVP_DigestFinal_ex(sha.get(), raw.data(), nullptr);
    for (const auto byte : raw) {
        constexpr const char* digits = "0123456789abcdef";
        digest.sha256 += digits[byte >> 4];
        digest.sha256 += digits[byte & 15];
    }
    return digest;
}

}  // namespace jobruntime::helper

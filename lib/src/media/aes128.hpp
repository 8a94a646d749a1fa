// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <jobruntime/result.hpp>

struct evp_cipher_ctx_st;

namespace jobruntime::media {

/// Undoes AES-128 in CBC mode with PKCS#7 padding (RFC 8216, 4.3.2.4) of bytes as they come.
/// OpenSSL's libcrypto does it: it is kept well, uses the processor's AES instructions, and is in
/// every process with libcurl already.
class AesCbc {
public:
    using Block = std::array<std::uint8_t, 16>;
    AesCbc(const Block& key, const Block& iv);
    ~AesCbc();
    AesCbc(const AesCbc&) = delete;
    AesCbc& operator=(const AesCbc&) = delete;

    /// Appends what can be read by now to `out`; the last block comes with end().
    Result<void> add(std::string_view bytes, std::string& out);
    /// NETWORK (unavailable) when the bytes do not end as encrypted ones do: cut off, or another key's.
    Result<void> end(std::string& out);

private:
    struct Free {
        void operator()(evp_cipher_ctx_st* context) const noexcept;
    };
    std::unique_ptr<evp_cipher_ctx_st, Free> context_;
    bool good_ = false;
};

}  // namespace jobruntime::media

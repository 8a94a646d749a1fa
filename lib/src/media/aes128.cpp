// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "media/aes128.hpp"

#include <openssl/err.h>
#include <openssl/evp.h>

#include <algorithm>

namespace jobruntime::media {
namespace {

Error refused() {
    ERR_clear_error();  // The queue belongs to the thread, which does other things with OpenSSL too.
    return Error{Errc::unavailable, "NETWORK",
                 "an encrypted segment cannot be decrypted: it was cut off, or the key is another one's"};
}

unsigned char* bytes_of(std::string& text, std::size_t offset) {
    return reinterpret_cast<unsigned char*>(text.data() + offset);
}

}  // namespace

void AesCbc::Free::operator()(evp_cipher_ctx_st* context) const noexcept { EVP_CIPHER_CTX_free(context); }

AesCbc::AesCbc(const Block& key, const Block& iv) : context_(EVP_CIPHER_CTX_new()) {
    good_ = context_ &&
            EVP_DecryptInit_ex(context_.get(), EVP_aes_128_cbc(), nullptr, key.data(), iv.data()) == 1;
}

AesCbc::~AesCbc() = default;

Result<void> AesCbc::add(std::string_view bytes, std::string& out) {
    constexpr std::size_t most = std::size_t{1} << 20;  // OpenSSL counts in int.
    while (!bytes.empty()) {
        const auto part = bytes.substr(0, most);
        bytes.remove_prefix(part.size());
        const auto before = out.size();
        out.resize(before + part.size() + 16);
        int made = 0;
        const auto* from = reinterpret_cast<const unsigned char*>(part.data());
        if (!good_ || EVP_DecryptUpdate(context_.get(), bytes_of(out, before), &made, from,
                                        static_cast<int>(part.size())) != 1)
            return refused();
        out.resize(before + static_cast<std::size_t>(made));
    }
    return {};
}

Result<void> AesCbc::end(std::string& out) {
    const auto before = out.size();
    out.resize(before + 16);
    int made = 0;
    if (!good_ || EVP_DecryptFinal_ex(context_.get(), bytes_of(out, before), &made) != 1) {
        out.resize(before);
        return refused();
    }
    out.resize(before + static_cast<std::size_t>(made));
    return {};
}

}  // namespace jobruntime::media

// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include <jobruntime/net.hpp>
#include <jobruntime/result.hpp>

#include "media/aes128.hpp"
#include "media/host_gate.hpp"
#include "media/retries.hpp"
#include "media/track_file.hpp"

namespace jobruntime::media {

/// What the requests of one stream have in common. Thread-safe.
class StreamSource {
public:
    struct Options {
        net::Headers headers;  ///< For the stream's own origin; credentials go nowhere else.
        std::string origin;
        std::chrono::milliseconds stall_timeout{120'000};
        RetryPolicy retries;
        net::CookieJar* cookies = nullptr;  ///< For all its hosts; outlives the stream's download.
    };
    StreamSource(const net::Fetcher& fetcher, HostGate& gate, Options options)
        : fetcher_(fetcher), gate_(gate), options_(std::move(options)) {}

    const Options& options() const noexcept { return options_; }
    net::Headers headers_for(const net::Url& url) const;

    /// A small text or key, with retries. The answer's status is a success.
    Result<net::Response> get(const std::string& url, std::size_t max_bytes,
                              const std::stop_token& stop) const {
        return get(url, max_bytes, false, stop);
    }
    /// The 16 bytes behind a key's URL, fetched once.
    Result<AesCbc::Block> key(const std::string& url, const std::stop_token& stop);

    /// What the server of the last request that was given up asked for (Retry-After).
    std::optional<std::chrono::seconds> asked_to_wait() const;

    /// The bytes of a piece, decrypted, as they come. `restart` is called before bytes that were handed
    /// on come again. `urgent` as in HostGate. Errors as net::Fetcher, and NOT_MEDIA for a web page. A server that
    /// does not know Range is read from the file's first byte for each part of it, and UNSUPPORTED_SOURCE once all
    /// parts of the stream together have cost 128 MiB of bytes in front of them.
    struct Sink {
        std::function<Result<void>(std::string_view bytes)> take;
        std::function<Result<void>()> restart;
        std::function<bool()> urgent;
    };
    Result<void> fetch(const Piece& piece, const Sink& sink, const std::stop_token& stop);

private:
    Result<void> fetch_once(const Piece& piece, const std::optional<AesCbc::Block>& cipher_key, const Sink& sink,
                            const std::stop_token& stop, std::optional<std::chrono::seconds>& asked);

    struct Key {
        std::mutex mutex;  // Held while it is fetched, and guards what became of that.
        std::optional<AesCbc::Block> bytes;
        std::optional<Error> refused;  // After all of its tries: nobody asks again.
    };
    const net::Fetcher& fetcher_;
    HostGate& gate_;
    const Options options_;
    Result<net::Response> get(const std::string& url, std::size_t max_bytes, bool urgent,
                              const std::stop_token& stop) const;
    Result<AesCbc::Block> ask_for_key(const std::string& url, const std::stop_token& stop) const;
    void give_up(std::optional<std::chrono::seconds> asked) const;

    std::atomic<std::uint64_t> skipped_ = 0;  // Bytes in front of parts that a server did not want to begin at.
    mutable std::mutex mutex_;
    std::map<std::string, std::shared_ptr<Key>> keys_;            // Guarded by mutex_.
    mutable std::optional<std::chrono::seconds> asked_to_wait_;  // Guarded by mutex_.
};

}  // namespace jobruntime::media

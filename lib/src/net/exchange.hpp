// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <curl/curl.h>

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string_view>
#include <vector>

#include <jobruntime/net.hpp>

namespace jobruntime::net {

/// Status line and headers of an answer; names in lower case.
struct Head {
    int status = 0;
    Headers headers;

    std::optional<std::string_view> header(std::string_view name) const;
    /// The Location of a redirect, or nothing when it is none.
    std::optional<std::string_view> location() const;
};

/// What one request asks for, and what is told while the answer comes in. Each callback may
/// end the exchange by answering an error, which is then the exchange's.
struct Exchange {
    Url url;
    Headers headers;
    bool head = false;
    std::optional<std::string_view> body = std::nullopt;  ///< Set: POST. Not with redirects. Outlives it.
    bool decode = true;                                   ///< Offer content encodings, and undo them.
    int max_redirects = 5;
    CookieJar* cookies = nullptr;
    /// With the URL that answers. Never for a redirect that is followed.
    std::function<std::optional<Error>(const Head&, const Url&)> on_head;
    std::function<std::optional<Error>(std::string_view bytes)> on_body;
    std::function<std::optional<Error>()> on_tick;  ///< At least ten times a second.
};

struct Answer {
    Head head;
    Url url;  ///< After redirects.
};

/// Whether headers can be sent as they are. A line break in one would forge another.
Result<void> check_headers(const Headers& headers);

/// Carries out exchanges, one after another, over connections it keeps for the next one. One thread.
class Session {
public:
    explicit Session(const FetcherOptions& options);
    ~Session();
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    /// Follows redirects by itself, each through the URL grammar; credentials stay with the origin they
    /// were meant for. Errors as Fetcher says.
    Result<Answer> run(Exchange exchange, std::stop_token stop);

private:
    struct Running;
    Result<Head> run_one(const Exchange& exchange, const std::stop_token& stop);
    Result<Head> conclude(Running& running, CURLcode code) const;

    const FetcherOptions& options_;
    CURLM* multi_;
};

/// Sessions that rest between two requests, with their open connections. Thread-safe.
class SessionPool {
public:
    explicit SessionPool(const FetcherOptions& options) : options_(options) {}

    /// A session for one caller, given back at its end.
    class Lease {
    public:
        explicit Lease(SessionPool& pool) : pool_(pool), session_(pool.take()) {}
        ~Lease() { pool_.give(std::move(session_)); }
        Lease(const Lease&) = delete;
        Lease& operator=(const Lease&) = delete;
        Session& operator*() const noexcept { return *session_; }
        Session* operator->() const noexcept { return session_.get(); }

    private:
        SessionPool& pool_;
        std::unique_ptr<Session> session_;
    };

private:
    std::unique_ptr<Session> take();
    void give(std::unique_ptr<Session> session);

    const FetcherOptions options_;  // Its sessions refer to it: it does not move as a Fetcher may.
    std::mutex mutex_;
    std::vector<std::unique_ptr<Session>> idle_;  // Guarded by mutex_; the last is the warmest.
};

}  // namespace jobruntime::net

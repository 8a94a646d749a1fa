// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <charconv>
#include <ctime>
#include <mutex>

#include <jobruntime/net.hpp>

#include "net/exchange.hpp"

namespace jobruntime::net {

std::optional<std::string_view> Response::header(std::string_view name) const {
    for (const auto& [key, value] : headers)
        if (key == name) return value;
    return std::nullopt;
}

std::optional<Error> status_error(int status, bool asks_to_wait) {
    if (status >= 200 && status < 300) return std::nullopt;
    const std::string said = "the server answered with status " + std::to_string(status);
    switch (status) {
        case 404:
        case 410:
            return Error{Errc::not_found, "VIDEO_UNAVAILABLE", said + ": it is not, or no longer, there"};
        case 401:
        case 403:
        case 407:
            return Error{
                Errc::unsupported, "AUTH_REQUIRED",
                said + ": it wants a log-in, or the link has expired; log in with jobrt auth bootstrap"};
        case 451:
            return Error{Errc::unsupported, "GEO_BLOCKED",
                         said + ": it is not offered here for legal reasons"};
        case 429:
            return Error{Errc::unavailable, "RATE_LIMITED",
                         said + ": too many requests; wait before the next"};
        case 408:
        case 425: return Error{Errc::unavailable, "NETWORK", said + "; try again later"};
        default: break;
    }
    if (status == 503 && asks_to_wait)
        return Error{Errc::unavailable, "RATE_LIMITED", said + " and asks to wait before the next request"};
    if (status >= 500) return Error{Errc::unavailable, "NETWORK", said + "; try again later"};
    return Error{Errc::unsupported, "UNSUPPORTED_SOURCE", said + ", which is no answer to a download"};
}

std::optional<std::chrono::seconds> retry_after(const Headers& headers) {
    constexpr long long day = 86'400;
    for (const auto& [name, value] : headers) {
        if (name != "retry-after") continue;
        long long seconds = 0;
        const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), seconds);
        if (error == std::errc::result_out_of_range) seconds = day;
        if (end != value.data() + value.size() || error == std::errc::invalid_argument) {
            const std::time_t when = curl_getdate(value.c_str(), nullptr);
            if (when < 0) return std::nullopt;
            seconds = static_cast<long long>(when) - static_cast<long long>(std::time(nullptr));
        }
        return std::chrono::seconds(std::clamp(seconds, 0LL, day));
    }
    return std::nullopt;
}

Fetcher::Fetcher(FetcherOptions options) : options_(std::move(options)) {
    static std::once_flag once;  // curl counts its initialisations: a program's own one is not disturbed.
    std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
    sessions_ = std::make_shared<SessionPool>(options_);
}

Result<Response> Fetcher::get(const FetchRequest& request, std::stop_token stop) const {
    return fetch(request, std::nullopt, {}, std::move(stop));
}

Result<Response> Fetcher::stream(const FetchRequest& request, const StreamSink& sink,
                                 std::stop_token stop) const {
    return fetch(request, std::nullopt, sink, std::move(stop));
}

Result<Response> Fetcher::post(const FetchRequest& request, std::string_view body,
                               std::stop_token stop) const {
    return fetch(request, body, {}, std::move(stop));
}

namespace {

using std::chrono::steady_clock;

/// One answer on its way in: its size and its time are watched, and its bytes kept or handed on.
class Intake {
public:
    Intake(const FetchRequest& request, const std::string& host, const StreamSink& sink)
        : request_(request), host_(host), sink_(sink) {}

    std::optional<Error> take_head(const Head& head, const Url& url) {
        last_byte_ = steady_clock::now();
        if (!sink_.on_head) return std::nullopt;
        auto wrong = sink_.on_head(
            Response{.status = head.status, .headers = head.headers, .body = {}, .final_url = url.str()});
        rest();
        return wrong;
    }

    std::optional<Error> take_body(std::string_view bytes) {
        if (bytes.size() > request_.max_bytes - taken_)
            return Error{Errc::full, "TOO_LARGE",
                         "the answer of " + host_ + " is larger than " + std::to_string(request_.max_bytes) +
                             " bytes"};
        taken_ += bytes.size();
        last_byte_ = steady_clock::now();
        if (!sink_.on_body) {
            body.append(bytes);
            return std::nullopt;
        }
        auto wrong = sink_.on_body(bytes);
        rest();
        return wrong;
    }

    std::optional<Error> tick() const {
        const auto now = steady_clock::now();
        if (now >= deadline_)
            return Error{
                Errc::timed_out, "NETWORK",
                host_ + " did not answer within " + std::to_string(request_.timeout.count()) + " ms"};
        if (request_.stall_timeout.count() > 0 && now - last_byte_ >= request_.stall_timeout)
            return Error{Errc::timed_out, "DOWNLOAD_STALLED",
                         "no byte came from " + host_ + " for " +
                             std::to_string(request_.stall_timeout.count()) + " ms"};
        return std::nullopt;
    }

    std::string body;

private:
    /// What the callee needed is not the server's doing.
    void rest() {
        const auto now = steady_clock::now();
        deadline_ += now - last_byte_;
        last_byte_ = now;
    }

    const FetchRequest& request_;
    const std::string host_;
    const StreamSink& sink_;
    std::size_t taken_ = 0;
    steady_clock::time_point last_byte_ = steady_clock::now();
    steady_clock::time_point deadline_ = last_byte_ + request_.timeout;
};

}  // namespace

Result<Response> Fetcher::fetch(const FetchRequest& request, std::optional<std::string_view> body_sent,
                                const StreamSink& sink, std::stop_token stop) const {
    auto url = parse_url(request.url, max_fetch_url);
    if (!url) return std::move(url).error();
    Intake intake(request, url->host, sink);
    // A kept connection may turn out to be dead, and curl then asks twice: not for what must be sent once.
    std::optional<SessionPool::Lease> kept;
    std::optional<Session> own;
    if (body_sent)
        own.emplace(options_);
    else
        kept.emplace(*sessions_);
    auto answer =
        (own ? *own : **kept)
            .run(Exchange{.url = std::move(*url),
                          .headers = request.headers,
                          .head = request.head,
                          .body = body_sent,
                          .decode = true,
                          .max_redirects = body_sent ? 0 : request.max_redirects,
                          .cookies = request.cookies,
                          .on_head = [&](const Head& head, const Url& from) { return intake.take_head(head, from); },
                          .on_body = [&](std::string_view bytes) { return intake.take_body(bytes); },
                          .on_tick = [&] { return intake.tick(); }},
                 stop);
    if (!answer) return std::move(answer).error();
    return Response{.status = answer->head.status,
                    .headers = std::move(answer->head.headers),
                    .body = std::move(intake.body),
                    .final_url = answer->url.str()};
}

}  // namespace jobruntime::net

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
}

Result<Response> Fetcher::get(const FetchRequest& request, std::stop_token stop) const {
    return fetch(request, std::nullopt, std::move(stop));
}

Result<Response> Fetcher::post(const FetchRequest& request, std::string_view body, std::stop_token stop) const {
    return fetch(request, body, std::move(stop));
}

Result<Response> Fetcher::fetch(const FetchRequest& request, std::optional<std::string_view> body_sent,
                                std::stop_token stop) const {
    using std::chrono::steady_clock;
    auto url = parse_url(request.url, max_fetch_url);
    if (!url) return std::move(url).error();
    const Error too_large{
        Errc::full, "TOO_LARGE",
        "the answer of " + url->host + " is larger than " + std::to_string(request.max_bytes) + " bytes"};
    const Error late{Errc::timed_out, "NETWORK",
                     url->host + " did not answer within " + std::to_string(request.timeout.count()) + " ms"};
    const auto deadline = steady_clock::now() + request.timeout;
    std::string body;
    Session session(options_);
    auto answer = session.run(Exchange{.url = std::move(*url),
                                       .headers = request.headers,
                                       .head = request.head,
                                       .body = body_sent,
                                       .decode = true,
                                       .max_redirects = body_sent ? 0 : request.max_redirects,
                                       .on_head = {},
                                       .on_body = [&](std::string_view bytes) -> std::optional<Error> {
                                           if (bytes.size() > request.max_bytes - body.size())
                                               return too_large;
                                           body.append(bytes);
                                           return std::nullopt;
                                       },
                                       .on_tick = [&]() -> std::optional<Error> {
                                           if (steady_clock::now() >= deadline) return late;
                                           return std::nullopt;
                                       }},
                              stop);
    if (!answer) return std::move(answer).error();
    return Response{.status = answer->head.status,
                    .headers = std::move(answer->head.headers),
                    .body = std::move(body),
                    .final_url = answer->url.str()};
}

}  // namespace jobruntime::net

// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <array>
#include <charconv>

#include <jobruntime/net.hpp>

#include "net/exchange.hpp"
#include "net/part_file.hpp"

namespace jobruntime::net {
namespace {

using std::chrono::steady_clock;

std::optional<std::uint64_t> number(std::string_view text) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

/// "bytes 5-9/10": first 5, total 10; a total of "*" is 0.
struct ContentRange {
    std::uint64_t first = 0;
    std::uint64_t total = 0;
};
std::optional<ContentRange> content_range(std::string_view text) {
    if (!text.starts_with("bytes ")) return std::nullopt;
    text.remove_prefix(6);
    const auto dash = text.find('-');
    const auto slash = text.find('/');
    if (dash == std::string_view::npos || slash == std::string_view::npos || slash < dash)
        return std::nullopt;
    const auto first = number(text.substr(0, dash));
    const auto last = number(text.substr(dash + 1, slash - dash - 1));
    const auto total = text.substr(slash + 1) == "*" ? std::uint64_t{0} : number(text.substr(slash + 1));
    if (!first || !last || !total || *last < *first) return std::nullopt;
    return ContentRange{*first, *total};
}

/// What If-Range may name (RFC 9110, 13.1.5): a strong ETag, else a date at least a minute before the
/// answer's.
std::string validator_of(const Head& head) {
    const auto etag = head.header("etag");
    if (etag && etag->size() >= 2 && etag->starts_with('"') && etag->ends_with('"'))
        return std::string(*etag);
    const auto modified = head.header("last-modified");
    const auto date = head.header("date");
    if (etag || !modified || !date) return {};
    const auto then = curl_getdate(std::string(*modified).c_str(), nullptr);
    const auto now = curl_getdate(std::string(*date).c_str(), nullptr);
    return then > 0 && now - then >= 60 ? std::string(*modified) : std::string();
}

/// Why a content type is no media file, or null.
const char* no_media(std::string_view given) {
    std::string type(given.substr(0, given.find(';')));
    for (char& c : type)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    while (type.ends_with(' ')) type.pop_back();
    if (type == "text/html" || type == "application/xhtml+xml") return "a web page";
    if (type.ends_with("mpegurl")) return "an HLS playlist";
    if (type == "application/dash+xml") return "a DASH manifest";
    if (type == "application/json" || type.ends_with("+json")) return "JSON";
    if (type == "text/xml" || type == "application/xml" || type == "text/css" || type == "text/javascript" ||
        type == "application/javascript")
        return "text";
    return nullptr;
}

Error unsupported(std::string what) {
    return Error{Errc::unsupported, "UNSUPPORTED_SOURCE", std::move(what)};
}

/// One download, over as many requests as it takes.
class Download {
public:
    Download(SessionPool& sessions, const DownloadRequest& request,
             const std::function<void(std::uint64_t, std::uint64_t)>& on_progress, TransferFacts& facts,
             PartFile part)
        : sessions_(sessions),
          request_(request),
          on_progress_(on_progress),
          facts_(facts),
          part_(std::move(part)),
          resumed_from_(part_.size()) {}

    Result<Downloaded> run(const Url& url, const std::stop_token& stop) {
        const SessionPool::Lease lease(sessions_);
        Session& session = *lease;
        int resumes = 0;
        while (!complete()) {
            const auto before = part_.size();
            auto answer = attempt(session, url, stop);
            if (answer && checked_ == known_) {
                final_url_ = answer->url.str();
                break;
            }
            if (answer) {  // A whole file that is shorter than what we have of it.
                answer = start_again("the server sent less than it had before");
            } else if (answer.error().name == "NETWORK" && checked_ < known_) {
                answer = Error{Errc::unavailable, "NETWORK",
                               "the server sends the file from its first byte again, and the connection broke before the " +
                                   std::to_string(known_) + " bytes that are here; they are kept for the next try"};
            }
            // A connection that broke after it had brought something is taken up at once. Anything else is
            // for the caller's back-off: asking again at once would not help.
            const bool broken =
                answer.error().name == "NETWORK" && part_.size() > before && !part_.info().validator.empty();
            const bool stale = std::exchange(range_refused_, false);
            if (!stale && (!broken || ++resumes > request_.max_resumes)) return std::move(answer).error();
        }
        if (total_ != 0 && part_.size() != total_)
            return Error{Errc::unavailable, "NETWORK",
                         "the file ended after " + std::to_string(part_.size()) + " of " +
                             std::to_string(total_) + " bytes"};
        if (part_.size() == 0) return unsupported("the server sent an empty file");
        JR_TRY(part_.publish());
        if (on_progress_) on_progress_(part_.size(), part_.size());
        return Downloaded{.bytes = part_.size(),
                          .resumed_from = resumed_from_,
                          .content_type = content_type_,
                          .final_url = final_url_.empty() ? url.str() : final_url_};
    }

private:
    bool complete() {
        if (part_.size() == 0 || part_.size() != part_.info().total) return false;
        total_ = part_.info().total;
        return true;
    }

    Result<Answer> attempt(Session& session, const Url& url, const std::stop_token& stop) {
        asked_from_ = part_.size();
        known_ = checked_ = 0;
        Headers headers = request_.headers;
        headers.emplace_back("Accept-Encoding", "identity");
        if (asked_from_ > 0) {
            headers.emplace_back("Range", "bytes=" + std::to_string(asked_from_) + "-");
            headers.emplace_back("If-Range", part_.info().validator);
        }
        last_byte_ = steady_clock::now();
        return session.run(Exchange{.url = url,
                                    .headers = std::move(headers),
                                    .head = false,
                                    .decode = false,
                                    .max_redirects = request_.max_redirects,
                                    .cookies = request_.cookies,
                                    .on_head = [&](const Head& head, const Url&) { return take_head(head, url); },
                                    .on_body = [&](std::string_view bytes) { return take_body(bytes); },
                                    .on_tick = [&] { return tick(); }},
                           stop);
    }

    std::optional<Error> take_head(const Head& head, const Url& url) {
        facts_.status = head.status;
        facts_.content_type = head.header("content-type").value_or("");
        facts_.retry_after = retry_after(head.headers);
        last_byte_ = steady_clock::now();
        if (head.status == 416 && asked_from_ > 0)
            return start_again("the server does not have the range asked for");
        if (auto error = status_error(head.status, facts_.retry_after.has_value())) return error;
        content_type_ = std::string(head.header("content-type").value_or(""));
        if (const char* what = request_.media ? no_media(content_type_) : nullptr)
            return unsupported("the link leads to " + std::string(what) + " (" + content_type_.substr(0, 80) +
                               "), not to a media file");
        const auto encoding = head.header("content-encoding");
        if (encoding && !encoding->empty() && *encoding != "identity")
            return unsupported("the server sends the file encoded, though it was asked not to");

        const auto length = number(head.header("content-length").value_or(""));
        if (head.status == 206) {
            const auto range = content_range(head.header("content-range").value_or(""));
            if (asked_from_ == 0)
                return unsupported("the server sent a part of the file, though all of it was asked for");
            const auto known = part_.info().total;
            if (!range || range->first != asked_from_ ||
                (known != 0 && range->total != 0 && range->total != known))
                return start_again("the server sent another part than the one asked for");
            total_ = range->total != 0 ? range->total : length ? asked_from_ + *length : known;
            return check_size(total_);
        }
        if (head.status != 200)
            return unsupported("the server answered with status " + std::to_string(head.status));
        // All of it from the start: the file has changed, or the server does not know Range.
        total_ = length.value_or(0);
        resumed_from_ = 0;
        if (auto error = check_size(total_)) return error;
        auto validator = validator_of(head);
        if (asked_from_ > 0 && !validator.empty() && validator == part_.info().validator && total_ == part_.info().total) {
            // What we have is kept and compared, or a connection that breaks often would never get further.
            known_ = asked_from_;
            return std::nullopt;
        }
        auto begun = part_.begin(
            {.source = url.origin() + url.path, .validator = std::move(validator), .total = total_});
        if (!begun) return std::move(begun).error();
        return std::nullopt;
    }

    /// Throws the bytes away; run() asks again, from the first one.
    Error start_again(const char* why) {
        known_ = checked_ = 0;
        auto begun = part_.begin({});
        if (!begun) return std::move(begun).error();
        resumed_from_ = 0;
        range_refused_ = true;
        return Error{Errc::unavailable, "NETWORK", why};
    }

    std::optional<Error> take_body(std::string_view bytes) {
        last_byte_ = steady_clock::now();
        if (checked_ < known_) {
            const auto again = bytes.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(known_ - checked_, bytes.size())));
            auto same = part_.holds(checked_, again);
            if (!same) return std::move(same).error();
            if (!*same) return start_again("the server sent another file under the same name");
            checked_ += again.size();
            bytes.remove_prefix(again.size());
        }
        if (bytes.empty()) return std::nullopt;
        if (auto error = check_size(part_.size() + bytes.size())) return error;
        if (auto written = part_.append(bytes); !written) return std::move(written).error();
        return std::nullopt;
    }

    std::optional<Error> check_size(std::uint64_t bytes) const {
        if (bytes <= request_.max_bytes) return std::nullopt;
        return Error{Errc::full, "TOO_LARGE",
                     "the file is larger than the limit of " + std::to_string(request_.max_bytes) + " bytes"};
    }

    std::optional<Error> tick() {
        const auto now = steady_clock::now();
        if (now - last_byte_ >= request_.stall_timeout)
            return Error{Errc::timed_out, "DOWNLOAD_STALLED",
                         "no byte came for " + std::to_string(request_.stall_timeout.count()) + " ms; " +
                             std::to_string(part_.size()) + " bytes are kept for the next try"};
        if (on_progress_ && part_.size() != reported_ &&
            now - last_report_ >= std::chrono::milliseconds(100)) {
            on_progress_(part_.size(), total_);
            reported_ = part_.size();
            last_report_ = now;
        }
        return std::nullopt;
    }

    SessionPool& sessions_;
    const DownloadRequest& request_;
    const std::function<void(std::uint64_t, std::uint64_t)>& on_progress_;
    TransferFacts& facts_;
    PartFile part_;
    std::uint64_t resumed_from_;
    std::uint64_t asked_from_ = 0;
    std::uint64_t known_ = 0, checked_ = 0;  // Of what is here, what comes again, and how much of that has come.
    std::uint64_t total_ = 0;  // 0 = unknown.
    bool range_refused_ = false;
    std::string content_type_;
    std::string final_url_;
    steady_clock::time_point last_byte_{};
    steady_clock::time_point last_report_{};
    std::uint64_t reported_ = 0;
};

}  // namespace

Result<Downloaded> Fetcher::download(const DownloadRequest& request,
                                     const std::function<void(std::uint64_t, std::uint64_t)>& on_progress,
                                     std::stop_token stop, TransferFacts* facts) const {
    TransferFacts unasked;
    auto url = parse_url(request.url, max_fetch_url);
    if (!url) return std::move(url).error();
    JR_TRY(check_headers(request.headers));
    if (stop.stop_requested()) return Error{Errc::canceled, "a stop was requested"};
    auto part = PartFile::open(request.target, url->origin() + url->path, request.resume);
    if (!part) return std::move(part).error();
    return Download(*sessions_, request, on_progress, facts ? *facts : unasked, std::move(*part))
        .run(*url, stop);
}

}  // namespace jobruntime::net

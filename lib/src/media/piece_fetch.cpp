// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "media/piece_fetch.hpp"

#include <algorithm>
#include <charconv>

#include <strings.h>

#include "media/piece_shape.hpp"

namespace jobruntime::media {
namespace {

constexpr std::size_t most_in_a_piece = std::size_t{8} << 30;
/// Of bytes in front of what is wanted: a stream in one long file would be downloaded once for each of its segments.
constexpr std::uint64_t most_skipped = std::uint64_t{128} << 20;
constexpr std::chrono::hours no_limit{24};  // The stall timer watches, and the download's own limit.
/// For a whole text or key. Beyond the stall time-out, so that silence is a stall and only what trickles is too slow.
constexpr std::chrono::milliseconds shortest_limit{1'000};

Error no_media(const std::string& host, std::string_view what) {
    return Error{
        Errc::corrupt, "NOT_MEDIA",
        host + " sent " + std::string(what) + " in place of a part of the stream; the link may have expired"};
}

/// First byte of an answer to a range request: "bytes 5-9/10" → 5.
std::optional<std::uint64_t> first_of(std::string_view content_range) {
    if (!content_range.starts_with("bytes ")) return std::nullopt;
    content_range.remove_prefix(6);
    std::uint64_t first = 0;
    const auto [end, wrong] =
        std::from_chars(content_range.data(), content_range.data() + content_range.size(), first);
    if (wrong != std::errc{} || end == content_range.data() + content_range.size() || *end != '-')
        return std::nullopt;
    return first;
}

/// One answer: the wanted part of it, decrypted.
class Answer {
public:
    Answer(const Piece& piece, const std::string& host, const StreamSource::Sink& sink,
           std::optional<AesCbc::Block> key, std::atomic<std::uint64_t>& skipped)
        : piece_(piece), host_(host), sink_(sink), skipped_(skipped), left_(piece.range ? piece.range->length : 0) {
        if (key) cipher_.emplace(*key, piece.key->iv);
    }

    std::optional<Error> take_head(const net::Response& head) {
        asked_to_wait = net::retry_after(head.headers);
        if (auto error = net::status_error(head.status, asked_to_wait.has_value())) return error;
        const auto type = head.header("content-type").value_or("");
        if (type.starts_with("text/html") || type.starts_with("application/json"))
            return no_media(host_, "a web page");
        // HTTP itself notices the end of a body that is too early only where it was told the length, and only where
        // that is right: a box that is longer than its file would swallow the beginning of the next.
        told_length_ = head.header("content-length").has_value();
        if (!piece_.range) shape_.emplace();
        if (!piece_.range && head.status == 206)
            return Error{Errc::unavailable, "NETWORK", host_ + " sent a part of a file that was asked for as a whole"};
        if (!piece_.range) return std::nullopt;
        if (head.status != 206) {
            skip_ = piece_.range->offset;  // It does not know Range and sends all of it.
        } else if (first_of(head.header("content-range").value_or("")) != piece_.range->offset) {
            return Error{Errc::unavailable, "NETWORK",
                         host_ + " sent another part of the file than the one asked for"};
        }
        return std::nullopt;
    }

    std::optional<Error> take_body(std::string_view bytes) {
        if (skip_ > 0) {
            const auto less = std::min<std::uint64_t>(skip_, bytes.size());
            skip_ -= less;
            bytes.remove_prefix(static_cast<std::size_t>(less));
            if ((skipped_ += less) > most_skipped)
                return Error{Errc::unsupported, "UNSUPPORTED_SOURCE",
                             host_ + " sends whole files where parts are asked for, so that this stream would have to be "
                                     "downloaded many times over"};
        }
        if (piece_.range) {
            bytes = bytes.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size())));
            left_ -= bytes.size();
        }
        if (bytes.empty() && !complete_range()) return std::nullopt;
        if (auto wrong = hand_on(bytes)) return wrong;
        // What comes behind the range is not wanted; ending the transfer is not an error.
        if (complete_range()) return Error{Errc::canceled, "RANGE_COMPLETE", "the range is complete"};
        return std::nullopt;
    }

    bool complete_range() const { return piece_.range && left_ == 0; }

    Result<void> conclude() {
        if (piece_.range && left_ > 0)
            return Error{Errc::unavailable, "NETWORK", host_ + " sent less of the file than was asked for"};
        if (!any_) return Error{Errc::unavailable, "NETWORK", host_ + " sent an empty part of the stream"};
        if (cipher_) {
            plain_.clear();
            JR_TRY(cipher_->end(plain_));
            if (shape_) shape_->add(plain_);
            if (!plain_.empty()) JR_TRY(sink_.take(plain_));
        }
        if (shape_ && shape_->cut_off() && !(told_length_ && shape_->is_ts()))
            return Error{Errc::unavailable, "NETWORK", host_ + " sent a part of the stream that is cut off"};
        return {};
    }

    std::optional<std::chrono::seconds> asked_to_wait;

private:
    std::optional<Error> hand_on(std::string_view bytes) {
        if (bytes.empty()) return std::nullopt;
        // No container of a stream begins so; pages do that come as octets.
        if (!any_ && !cipher_ && (bytes.front() == '<' || bytes.front() == '{'))
            return no_media(host_, "text");
        any_ = true;
        if (cipher_) {
            plain_.clear();
            if (auto done = cipher_->add(bytes, plain_); !done) return std::move(done).error();
            bytes = plain_;
        }
        if (shape_) shape_->add(bytes);
        auto taken = bytes.empty() ? Result<void>() : sink_.take(bytes);
        if (!taken) return std::move(taken).error();
        return std::nullopt;
    }

    const Piece& piece_;
    const std::string host_;
    const StreamSource::Sink& sink_;
    std::optional<AesCbc> cipher_;
    std::string plain_;
    std::optional<PieceShape> shape_;  // Of a whole file.
    bool told_length_ = false;
    std::atomic<std::uint64_t>& skipped_;  // By all parts of the stream.
    std::uint64_t skip_ = 0;
    std::uint64_t left_;
    bool any_ = false;
};

}  // namespace

net::Headers StreamSource::headers_for(const net::Url& url) const {
    net::Headers headers = options_.headers;
    if (url.origin() != options_.origin)
        std::erase_if(headers, [](const auto& header) {
            return ::strcasecmp(header.first.c_str(), "cookie") == 0 ||
                   ::strcasecmp(header.first.c_str(), "authorization") == 0;
        });
    return headers;
}

Result<net::Response> StreamSource::get(const std::string& url, std::size_t max_bytes, bool urgent,
                                        const std::stop_token& stop) const {
    const auto parsed = net::parse_url(url, net::max_fetch_url);
    if (!parsed) return parsed.error();
    Retries retries(options_.retries, std::hash<std::string>{}(url));
    while (true) {
        auto answer = [&] {
            const auto pass = gate_.enter(parsed->host, [urgent] { return urgent; }, stop);
            return fetcher_.get({.url = url,
                                 .headers = headers_for(*parsed),
                                 .max_bytes = max_bytes,
                                 .timeout = std::max(shortest_limit, 2 * options_.stall_timeout),
                                 .stall_timeout = options_.stall_timeout,
                                 .cookies = options_.cookies},
                                stop);
        }();
        std::optional<std::chrono::seconds> asked;
        std::optional<Error> error;
        if (answer) {
            asked = net::retry_after(answer->headers);
            error = net::status_error(answer->status, asked.has_value());
            if (!error) return answer;
        } else {
            error = std::move(answer).error();
        }
        if (retries.again(*error, asked, stop)) continue;
        give_up(asked);
        return stop.stop_requested() ? Error{Errc::canceled, "the download was stopped"} : *error;
    }
}

void StreamSource::give_up(std::optional<std::chrono::seconds> asked) const {
    const std::lock_guard lock(mutex_);
    if (asked) asked_to_wait_ = asked;
}

std::optional<std::chrono::seconds> StreamSource::asked_to_wait() const {
    const std::lock_guard lock(mutex_);
    return asked_to_wait_;
}

Result<AesCbc::Block> StreamSource::key(const std::string& url, const std::stop_token& stop) {
    std::shared_ptr<Key> key;
    {
        const std::lock_guard lock(mutex_);
        auto& known = keys_[url];
        if (!known) known = std::make_shared<Key>();
        key = known;
    }
    const std::lock_guard lock(key->mutex);
    if (key->bytes) return *key->bytes;
    if (key->refused) return *key->refused;
    auto block = ask_for_key(url, stop);
    if (block) key->bytes = *block;
    else if (!stop.stop_requested()) key->refused = block.error();
    return block;
}

Result<AesCbc::Block> StreamSource::ask_for_key(const std::string& url, const std::stop_token& stop) const {
    // The foremost segment may wait for it, and all others for that one: it must not wait for them.
    auto answer = get(url, 64 * 1024, true, stop);
    if (!answer) return std::move(answer).error();
    AesCbc::Block block{};
    if (answer->body.size() != block.size())
        return no_media(std::string(net::parse_url(url, net::max_fetch_url)->host),
                        std::to_string(answer->body.size()) + " bytes in place of a key of 16");
    std::copy(answer->body.begin(), answer->body.end(), block.begin());
    return block;
}

Result<void> StreamSource::fetch(const Piece& piece, const Sink& sink, const std::stop_token& stop) {
    std::optional<AesCbc::Block> cipher_key;
    if (piece.key) {  // It has tries of its own, which are not multiplied by those of the piece.
        auto got = key(piece.key->url, stop);
        if (!got) return std::move(got).error();
        cipher_key = *got;
    }
    Retries retries(options_.retries, piece.id());
    while (true) {
        std::optional<std::chrono::seconds> asked;
        auto done = fetch_once(piece, cipher_key, sink, stop, asked);
        if (done) return done;
        if (!retries.again(done.error(), asked, stop)) {
            give_up(asked);
            return stop.stop_requested() ? Error{Errc::canceled, "the download was stopped"} : done.error();
        }
        JR_TRY(sink.restart());
    }
}

Result<void> StreamSource::fetch_once(const Piece& piece, const std::optional<AesCbc::Block>& cipher_key, const Sink& sink,
                                      const std::stop_token& stop, std::optional<std::chrono::seconds>& asked) {
    const auto url = net::parse_url(piece.url, net::max_fetch_url);
    if (!url) return url.error();
    const auto pass = gate_.enter(url->host, sink.urgent, stop);
    if (stop.stop_requested()) return Error{Errc::canceled, "the download was stopped"};
    auto headers = headers_for(*url);
    headers.emplace_back("Accept-Encoding", "identity");
    if (piece.range)
        headers.emplace_back("Range", "bytes=" + std::to_string(piece.range->offset) + "-" +
                                          std::to_string(piece.range->offset + piece.range->length - 1));
    Answer answer(piece, url->host, sink, cipher_key, skipped_);
    auto got = fetcher_.stream({.url = piece.url,
                                .headers = std::move(headers),
                                .max_bytes = most_in_a_piece,
                                .timeout = no_limit,
                                .stall_timeout = options_.stall_timeout,
                                .cookies = options_.cookies},
                               {.on_head = [&](const net::Response& head) { return answer.take_head(head); },
                                .on_body = [&](std::string_view bytes) { return answer.take_body(bytes); }},
                               stop);
    asked = answer.asked_to_wait;
    if (!got && !(answer.complete_range() && got.error().name == "RANGE_COMPLETE"))
        return std::move(got).error();
    return answer.conclude();
}

}  // namespace jobruntime::media

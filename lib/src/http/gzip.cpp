// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "http/gzip.hpp"

#include <algorithm>
#include <optional>
#include <string>

#include <zlib.h>

namespace jobruntime::http {
namespace {

/// Below it the headers weigh more than what is won.
constexpr std::size_t least = 1024;
constexpr std::size_t most = 64u << 20;

std::string_view trimmed(std::string_view text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
    return text;
}

bool is_token(std::string_view text, std::string_view lower) {
    return std::ranges::equal(text, lower, {}, [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
}

/// "q=0", "q=0.000": not this one.
bool is_refused(std::string_view parameters) {
    const auto q = trimmed(parameters);
    if (q.size() < 3 || !is_token(q.substr(0, 2), "q=")) return false;
    return q.substr(2).find_first_not_of("0.") == std::string_view::npos;
}

bool is_text(const Response& response) {
    for (const auto& [name, value] : response.headers)
        if (name == "content-type") return value.starts_with("application/json") || value.starts_with("text/");
    return false;
}

/// Empty when zlib cannot, or when nothing is won.
std::string gzip(const std::string& text) {
    z_stream stream{};
    // 16 more than the window: with gzip's head. The quickest level: lists of jobs shrink to a tenth by it already.
    if (deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) return {};
    std::string packed(text.size(), '\0');
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
    stream.avail_in = static_cast<uInt>(text.size());
    stream.next_out = reinterpret_cast<Bytef*>(packed.data());
    stream.avail_out = static_cast<uInt>(packed.size());
    const bool whole = deflate(&stream, Z_FINISH) == Z_STREAM_END;
    packed.resize(whole ? stream.total_out : 0);
    deflateEnd(&stream);
    return packed;
}

/// Nothing when it is not whole, or would become larger than `most`.
std::optional<std::string> gunzip(const std::string& packed) {
    z_stream stream{};
    if (inflateInit2(&stream, 15 + 16) != Z_OK) return std::nullopt;
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
    stream.avail_in = static_cast<uInt>(packed.size());
    std::string text;
    int said = Z_OK;
    while (said == Z_OK && text.size() < most) {
        const auto size = text.size();
        text.resize(std::min(most, std::max<std::size_t>(size * 2, packed.size() * 4)));
        stream.next_out = reinterpret_cast<Bytef*>(text.data() + size);
        stream.avail_out = static_cast<uInt>(text.size() - size);
        said = inflate(&stream, Z_NO_FLUSH);
    }
    text.resize(stream.total_out);
    inflateEnd(&stream);
    if (said != Z_STREAM_END) return std::nullopt;
    return text;
}

/// What was packed beforehand, for who does not take it.
void unpack(Response& response, std::string& body) {
    if (!body.empty()) {  // A 304 has none.
        auto plain = gunzip(body);
        if (!plain) return;
        body = *std::move(plain);
    }
    std::erase_if(response.headers, [](const auto& header) { return header.first == "content-encoding"; });
}

}  // namespace

bool takes_gzip(std::string_view accept_encoding) {
    bool any = false;
    for (auto rest = accept_encoding; !rest.empty();) {
        const auto end = std::min(rest.find(','), rest.size());
        const auto item = rest.substr(0, end);
        rest.remove_prefix(std::min(end + 1, rest.size()));
        const auto semicolon = std::min(item.find(';'), item.size());
        const auto name = trimmed(item.substr(0, semicolon));
        const bool refused = semicolon < item.size() && is_refused(item.substr(semicolon + 1));
        if (is_token(name, "gzip")) return !refused;
        if (name == "*") any = !refused;
    }
    return any;
}

void compress(const Request& request, Response& response) {
    auto* text = std::get_if<std::string>(&response.body);
    const auto has = [&](std::string_view name, std::string_view value) {
        return std::ranges::any_of(response.headers, [&](const auto& header) { return header.first == name && header.second == value; });
    };
    if (text && has("content-encoding", "gzip")) {
        if (!has("vary", "accept-encoding")) response.headers.emplace_back("vary", "accept-encoding");
        if (!takes_gzip(request.header("accept-encoding"))) unpack(response, *text);
        return;
    }
    // What has not changed carries what the whole would have (RFC 9110, 15.4.5), whose size is not known here: short texts
    // lose nothing by it. A list's type went with its body; a file's is still there, and files are never packed.
    const bool typed = std::ranges::any_of(response.headers, [](const auto& header) { return header.first == "content-type"; });
    if (response.status == 304 && (!typed || is_text(response)) && !has("vary", "accept-encoding"))
        response.headers.emplace_back("vary", "accept-encoding");
    const std::string* plain = text;
    if (const auto* shared = std::get_if<std::shared_ptr<const std::string>>(&response.body)) plain = shared->get();
    if (!plain || plain->size() < least || plain->size() > most || !is_text(response)) return;
    const auto encoded = std::ranges::any_of(response.headers, [](const auto& header) { return header.first == "content-encoding"; });
    if (encoded) return;
    response.headers.emplace_back("vary", "accept-encoding");
    if (!takes_gzip(request.header("accept-encoding"))) return;
    auto packed = gzip(*plain);
    if (packed.empty()) return;
    response.body = std::move(packed);
    response.headers.emplace_back("content-encoding", "gzip");
}

}  // namespace jobruntime::http

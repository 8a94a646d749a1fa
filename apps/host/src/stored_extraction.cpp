// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "stored_extraction.hpp"

#include <string>
#include <string_view>
#include <utility>

#include <strings.h>

#include <jobruntime/net.hpp>

namespace jobruntime::host {
namespace {

/// Beside what to_json writes.
constexpr std::string_view secrets_mark = "hadSecrets";

/// True when the media were asked for with one.
bool drop_secrets(MediaInfo& info) {
    const net::CookieJar jar(info.cookies);
    const auto drop = [&jar](const std::string& address, auto& headers) {
        const auto dropped = std::erase_if(headers, [](const auto& header) {
            for (const auto* secret : {"cookie", "authorization", "proxy-authorization"})
                if (strcasecmp(header.first.c_str(), secret) == 0) return true;
            return false;
        });
        const auto url = net::parse_url(address, net::max_fetch_url);
        return dropped > 0 || (url && !jar.header_for(*url).empty());
    };
    bool needed = false;
    for (auto& source : info.sources) {
        needed = drop(source.url, source.http_headers) || needed;
        if (source.sound) needed = drop(source.sound->url, source.sound->http_headers) || needed;
    }
    return needed;
}

}  // namespace

boost::json::object without_secrets(MediaInfo info) {
    const bool needed = drop_secrets(info);
    auto kept = to_json(info);
    if (needed) kept[secrets_mark] = true;
    return kept;
}

Result<StoredExtraction> stored_extraction(const boost::json::value& stored) {
    if (!stored.is_object()) return Error{Errc::internal, "INVALID_MEDIA_INFO", "the stored extraction is no object"};
    auto info = media_info_from(stored.get_object());
    if (!info) return std::move(info).error();
    return StoredExtraction{*std::move(info), stored.get_object().contains(secrets_mark)};
}

}  // namespace jobruntime::host

// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "extract/page_words.hpp"

#include <charconv>
#include <initializer_list>

#include "extract/media_url.hpp"

namespace jobruntime::extract {

double parse_duration(std::string_view text) {
    const bool iso = text.starts_with("PT") || text.starts_with("P0DT");
    if (iso) text.remove_prefix(text.find('T') + 1);
    double total = 0;
    while (!text.empty()) {
        double value = 0;
        const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
        if (failed != std::errc{} || value < 0) return 0;
        text.remove_prefix(static_cast<std::size_t>(end - text.data()));
        if (!iso) return text.empty() && value < 1e7 ? value : 0;
        if (text.empty()) return 0;
        const double unit = text[0] == 'H' ? 3600 : text[0] == 'M' ? 60 : text[0] == 'S' ? 1 : 0;
        if (unit == 0) return 0;
        total += value * unit;
        text.remove_prefix(1);
    }
    return total < 1e7 ? total : 0;
}

void describe_page(const Probe& page, MediaInfo& info) {
    const auto first = [&](std::initializer_list<std::string_view> names) {
        for (const auto name : names) {
            if (const auto value = page.meta(name); !value.empty()) return std::string(value);
        }
        return std::string();
    };
    info.webpage_url = page.url;
    if (const auto title = first({"og:title", "twitter:title"}); !title.empty()) info.title = title;
    if (info.title.empty()) info.title = page.title;
    if (info.author.empty())
        info.author = first({"author", "article:author", "twitter:creator", "og:site_name"});
    if (info.published.empty()) {
        info.published = first({"article:published_time", "og:video:release_date", "video:release_date",
                                "uploaddate", "datepublished"});
    }
    if (const auto image = first({"og:image:secure_url", "og:image", "og:image:url", "twitter:image"});
        is_http_url(image)) {
        info.thumbnail = image;
    }
    if (!info.duration) {
        const double seconds = parse_duration(first({"og:video:duration", "video:duration", "duration"}));
        if (seconds > 0) info.duration = seconds;
    }
}

}  // namespace jobruntime::extract

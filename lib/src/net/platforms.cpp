// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <array>
#include <charconv>

#include <jobruntime/net.hpp>

#include "net/text.hpp"

namespace jobruntime::net {
namespace {

bool is_word(char c) { return is_digit(c) || is_letter(c) || c == '_'; }

/// Post ids are numbers of 64 bits, so at most 20 digits.
bool is_id(std::string_view text) {
    return !text.empty() && text.size() <= 20 && text.front() != '0' &&
           std::all_of(text.begin(), text.end(), is_digit);
}

std::vector<std::string_view> segments_of(const Url& url) {
    std::vector<std::string_view> segments;
    std::string_view path = url.path;
    while (!path.empty()) {
        path.remove_prefix(1);
        const auto end = std::min(path.find('/'), path.size());
        segments.push_back(path.substr(0, end));
        path.remove_prefix(end);
    }
    if (!segments.empty() && segments.back().empty())
        segments.pop_back();  // A slash at the end says nothing.
    return segments;
}

Error no_post(const Url& url, const char* example) {
    return Error{Errc::invalid_argument, "INVALID_URL",
                 "this URL on " + url.host + " is not a post; give one like " + example};
}

Post short_link(const char* platform, const Url& url) {
    Url link = url;
    link.scheme = "https";
    link.port = 443;
    link.query.reset();
    link.fragment.reset();
    const std::string text = link.str();
    return Post{.platform = platform,
                .post_id = "",
                .canonical = text,
                .unique_key = text,
                .handle_slug = slug(url.host),
                .short_link = true};
}

Post known_post(const char* platform, std::string_view id, std::string canonical, std::string_view handle) {
    return Post{.platform = platform,
                .post_id = std::string(id),
                .canonical = std::move(canonical),
                .unique_key = std::string(platform) + ":" + std::string(id),
                .handle_slug = slug(handle, platform),
                .short_link = false};
}

/// /<handle>/status/<id>, /i/status/<id> and /i/web/status/<id>, each with /photo/1 or /video/1 behind it, which
/// are the post itself; /video/2 is its second video, which is saved beside the first.
Result<Post> x_post(const Url& url) {
    const Error error = no_post(url, "https://x.com/name/status/123");
    auto parts = segments_of(url);
    if (!url.default_port()) return error;
    if (url.host == "t.co") {
        if (parts.size() != 1 || !std::all_of(parts[0].begin(), parts[0].end(), is_word)) return error;
        return short_link("x", url);
    }
    if (parts.size() >= 3 && parts[0] == "i" && parts[1] == "web") parts.erase(parts.begin() + 1);
    const bool with_item =
        parts.size() == 5 && (parts[3] == "photo" || parts[3] == "video") && is_id(parts[4]);
    if (parts.size() != 3 && !with_item) return error;
    const auto handle = parts[0];
    if (handle.empty() || handle.size() > 15 || !std::all_of(handle.begin(), handle.end(), is_word) ||
        (parts[1] != "status" && parts[1] != "statuses") || !is_id(parts[2]))
        return error;
    const std::string name = lowered(handle);
    auto post = known_post("x", parts[2], "https://x.com/" + name + "/status/" + std::string(parts[2]),
                           name == "i" ? "" : name);
    const int nth = with_item && parts[3] == "video" ? video_number(parts[4]).value_or(1) : 1;
    const auto address = post.canonical + "/video/" + std::to_string(nth);
    return nth_video_of(std::move(post), nth, address);
}

bool is_tiktok_handle(std::string_view text) {
    if (!text.starts_with('@')) return false;
    text.remove_prefix(1);
    return !text.empty() && text.size() <= 64 &&
           std::all_of(text.begin(), text.end(), [](char c) { return is_word(c) || c == '.' || c == '-'; });
}

/// /@<handle>/video/<id>; without a handle /embed/<id>, /embed/v2/<id>, /player/v1/<id> and
/// m.tiktok.com/v/<id>.html.
Result<Post> tiktok_post(const Url& url) {
    const Error error = no_post(url, "https://www.tiktok.com/@name/video/123");
    const auto parts = segments_of(url);
    if (!url.default_port() || parts.empty()) return error;
    if (url.host == "vm.tiktok.com" || url.host == "vt.tiktok.com") {
        if (parts.size() != 1 || !std::all_of(parts[0].begin(), parts[0].end(), is_word)) return error;
        return short_link("tiktok", url);
    }
    if (parts.size() == 2 && parts[0] == "t" && std::all_of(parts[1].begin(), parts[1].end(), is_word))
        return short_link("tiktok", url);
    const auto post = [](std::string_view id, const std::string& handle) {
        // The site finds the post by its id; "_" stands for an account that is not known, also when it is read again.
        return known_post(
            "tiktok", id,
            "https://www.tiktok.com/@" + (handle.empty() ? "_" : handle) + "/video/" + std::string(id),
            handle == "_" ? "" : handle);
    };
    if (parts.size() == 3 && is_tiktok_handle(parts[0]) && parts[1] == "video" && is_id(parts[2]))
        return post(parts[2], lowered(parts[0].substr(1)));
    if (parts[0] == "embed" && parts.size() == 2 && is_id(parts[1])) return post(parts[1], "");
    if (parts.size() == 3 && is_id(parts[2]) &&
        ((parts[0] == "embed" && parts[1] == "v2") || (parts[0] == "player" && parts[1] == "v1")))
        return post(parts[2], "");
    if (parts.size() == 2 && parts[0] == "v" && parts[1].ends_with(".html")) {
        const auto id = parts[1].substr(0, parts[1].size() - 5);
        if (is_id(id)) return post(id, "");
    }
    return error;
}

/// Parameters that say where a visitor came from and never what is shown.
bool is_tracking(std::string_view parameter) {
    static constexpr std::array names = {
        "fbclid", "gclid",   "dclid",   "gbraid",     "wbraid",      "msclkid", "yclid",  "twclid",
        "ttclid", "igshid",  "igsh",    "mc_cid",     "mc_eid",      "_ga",     "_gl",    "_hsenc",
        "_hsmi",  "mkt_tok", "vero_id", "oly_enc_id", "oly_anon_id", "ref_src", "ref_url"};
    const std::string name = lowered(parameter.substr(0, parameter.find('=')));
    return name.starts_with("utm_") || std::find(names.begin(), names.end(), name) != names.end();
}

Result<Post> web_page(const Url& url) {
    Url page = url;
    page.fragment.reset();
    page.query.reset();
    std::string_view rest = url.query ? std::string_view(*url.query) : std::string_view();
    while (!rest.empty()) {
        const auto end = std::min(rest.find('&'), rest.size());
        const auto parameter = rest.substr(0, end);
        if (!parameter.empty() && !is_tracking(parameter))
            page.query = (page.query ? *page.query + "&" : "") + std::string(parameter);
        rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    const std::string text = page.str();
    return Post{.platform = "web",
                .post_id = "",
                .canonical = text,
                .unique_key = text,
                .handle_slug = slug(url.host),
                .short_link = false};
}

}  // namespace

std::optional<int> video_number(std::string_view text) {
    int nth = 0;
    const auto* end = text.data() + text.size();
    const auto [last, wrong] = std::from_chars(text.data(), end, nth);
    if (wrong != std::errc{} || last != end || text.front() == '0' || nth < 1 || nth > 999) return std::nullopt;
    return nth;
}

Post nth_video_of(Post post, int nth, std::string address) {
    if (nth <= 1) return post;
    post.nth = nth;
    // Without an id the address is all that tells posts apart.
    post.unique_key = post.post_id.empty() ? address : post.unique_key + "#" + std::to_string(nth);
    post.canonical = std::move(address);
    return post;
}

const std::vector<Platform>& default_platforms() {
    static const std::vector<Platform> platforms = {
        {"x", {"x.com", "twitter.com", "t.co"}, x_post},
        {"tiktok", {"tiktok.com"}, tiktok_post},
        {"web", {}, web_page},
    };
    return platforms;
}

Result<Post> identify(const Url& url, std::span<const Platform> platforms) {
    for (const auto& platform : platforms) {
        const bool ours = platform.hosts.empty() || std::any_of(platform.hosts.begin(), platform.hosts.end(),
                                                                [&](const std::string& domain) {
                                                                    return host_matches(url.host, domain);
                                                                });
        if (ours) return platform.canonical(url);
    }
    return Error{Errc::unsupported, "UNSUPPORTED_SOURCE", "no platform is set up for " + url.host};
}

}  // namespace jobruntime::net

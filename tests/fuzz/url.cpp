// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <memory>

#include <curl/curl.h>

#include "fuzz.hpp"

namespace jobruntime::fuzz {
namespace {

bool is_lower_ldh(std::string_view text) {
    return std::ranges::all_of(text, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
    });
}

std::string curl_part(CURLU* handle, CURLUPart part, unsigned flags = 0) {
    char* text = nullptr;
    if (curl_url_get(handle, part, &text, flags) != CURLUE_OK) return "(none)";
    std::string copy = text;
    curl_free(text);
    return copy;
}

/// The one who will dial must read in it what we read in it.
void expect_same_for_curl(const net::Url& url) {
    const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> handle(curl_url(), curl_url_cleanup);
    const auto text = url.str();
    expect(curl_url_set(handle.get(), CURLUPART_URL, text.c_str(), CURLU_PATH_AS_IS) == CURLUE_OK,
           "curl refuses what the grammar takes: " + text);
    expect(curl_part(handle.get(), CURLUPART_HOST) == url.host, "curl reads another host in " + text);
    expect(curl_part(handle.get(), CURLUPART_PORT, CURLU_DEFAULT_PORT) == std::to_string(url.port),
           "curl reads another port in " + text);
    expect(curl_part(handle.get(), CURLUPART_PATH) == url.path, "curl reads another path in " + text);
    expect(curl_part(handle.get(), CURLUPART_USER) == "(none)", "curl reads a user in " + text);
}

void expect_good(const net::Url& url, std::size_t max_bytes) {
    const auto text = url.str();
    expect(text.size() <= max_bytes, "a URL is longer than it may be: " + text);
    expect(url.scheme == "http" || url.scheme == "https", "a scheme that is not allowed: " + text);
    expect(url.port != 0 && url.path.starts_with('/'), "no port or no path: " + text);
    expect(!url.host.empty() && url.host.size() <= 253 && is_lower_ldh(url.host), "a host of other characters: " + text);
    expect((url.path + "/").find("/../") == std::string::npos && (url.path + "/").find("/./") == std::string::npos,
           "a dot segment: " + text);
    const auto again = net::parse_url(text, max_bytes);
    expect(again.has_value() && *again == url, "the canonical text means something else: " + text);
    const auto itself = net::resolve(url, text, max_bytes);
    expect(itself.has_value() && *itself == url, "an absolute reference depends on its page: " + text);
    expect_same_for_curl(url);
    const auto post = net::identify(url);
    if (post) expect_sound(*post, net::default_platforms());
}

}  // namespace

void expect_sound(const net::Post& post, std::span<const net::Platform> platforms) {
    expect(!post.unique_key.empty() && !post.platform.empty(), "a post without a name: " + post.canonical);
    const auto& slug = post.handle_slug;
    expect(!slug.empty() && slug.size() <= 64 && slug.front() != '-' && std::ranges::all_of(slug, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
    }), "a folder's name of other characters: " + slug);
    expect_canonical(post.canonical);
    const auto again = net::identify(*net::parse_url(post.canonical, net::max_fetch_url), platforms);
    expect(again.has_value(), "a post's canonical address is no post: " + post.canonical);
    expect(*again == post, "a post's canonical address is another post: " + post.canonical + " is " + again->canonical + ", " +
                               again->unique_key + ", " + again->handle_slug + " and not " + post.unique_key + ", " + slug);
}

/// A URL, and on the following lines references on its page. A short limit, so that it is met.
void url(std::string_view input) {
    for (const std::size_t max_bytes : {std::size_t{64}, net::max_user_url}) {
        auto rest = input;
        const auto first = take_line(rest);
        const auto base = net::parse_url(first, max_bytes);
        if (base) expect_good(*base, max_bytes);
        const auto page = base ? *base : *net::parse_url("https://site.example:8443/folder/page?query");
        for (int lines = 0; !rest.empty() && lines < 12; ++lines) {
            const auto line = take_line(rest);
            if (const auto target = net::resolve(page, line, max_bytes)) expect_good(*target, max_bytes);
            if (net::Network::parse(line)) {
                const auto list = net::Network::parse_list(line);
                expect(list.has_value() && list->size() == 1, "a network is no list of one");
            }
            (void)net::vet(line).has_value();
            const auto name = net::slug(line);
            expect(net::slug(name) == name, "the name of a name is another: " + name);
        }
    }
}

}  // namespace jobruntime::fuzz

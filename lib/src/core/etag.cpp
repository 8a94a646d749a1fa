// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "core/etag.hpp"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <variant>

#include "core/api_impl.hpp"

namespace jobruntime::core {
namespace {

/// Lists, of events and queues too, and single jobs are asked for again and again, and seldom change in between.
bool is_worth_it(const Request& request, const Response& response) {
    if (response.status != 200 || (request.method != "GET" && request.method != "HEAD")) return false;
    const auto path = std::string_view(request.target).substr(0, request.target.find('?'));
    return path == "/api/jobs" || path.starts_with("/api/jobs/") || path == "/api/telemetry" || path == "/api/queues";
}

}  // namespace

bool names_tag(std::string_view list, std::string_view tag) {
    if (list == "*") return true;
    for (auto at = list.find(tag); at != std::string_view::npos; at = list.find(tag, at + 1)) {
        const auto end = at + tag.size();
        if (end == list.size() || list[end] == ',' || list[end] == ' ') return true;
    }
    return false;
}

std::string tag_of(std::string_view text) {
    // Eight bytes at a step into two lanes, for a page of jobs is large; then the finish of MurmurHash3.
    std::uint64_t left = 0x9e3779b97f4a7c15u ^ text.size();
    std::uint64_t right = 0xc2b2ae3d27d4eb4fu;
    for (std::size_t at = 0; at < text.size(); at += 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, text.data() + at, std::min<std::size_t>(8, text.size() - at));
        left = std::rotl(left ^ (word * 0x87c37b91114253d5u), 31) * 5 + 0x52dce729u;
        right = (right ^ std::rotl(word, 33)) * 0x4cf5ad432745937fu;
        right ^= right >> 29;
    }
    const auto finish = [](std::uint64_t value) {
        value = (value ^ (value >> 33)) * 0xff51afd7ed558ccdu;
        value = (value ^ (value >> 33)) * 0xc4ceb9fe1a85ec53u;
        return value ^ (value >> 33);
    };
    char tag[40];
    std::snprintf(tag, sizeof tag, "\"%016llx%016llx\"", static_cast<unsigned long long>(finish(left)),
                  static_cast<unsigned long long>(finish(right ^ left)));
    return tag;
}

bool is_known(const Request& request, const Response& response) {
    const auto* text = std::get_if<std::string>(&response.body);
    const auto known = request.header("if-none-match");
    return text && response.status == 200 && !known.empty() && names_tag(known, tag_of(*text));
}

void set_tag(Response& response) {
    const auto* text = std::get_if<std::string>(&response.body);
    if (!text) return;
    set_header(response, "etag", "W/" + tag_of(*text));
    set_header(response, "cache-control", "private, no-cache");
}

void add_tag(const Request& request, Response& response) {
    if (!is_worth_it(request, response)) return;
    // What people did and said is kept by whoever asks, and not on the disk of a browser beyond the log-out.
    if (request.target.starts_with("/api/telemetry")) set_header(response, "cache-control", "no-store");
    set_tag(response);
    const auto tag = std::ranges::find_if(response.headers, [](const auto& header) { return header.first == "etag"; });
    const auto known = request.header("if-none-match");
    if (known.empty() || tag == response.headers.end() || !names_tag(known, std::string_view(tag->second).substr(2))) return;
    response.status = 304;
    response.body = std::string();
    std::erase_if(response.headers, [](const auto& header) { return header.first == "content-type"; });
}

}  // namespace jobruntime::core

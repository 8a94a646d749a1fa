// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <array>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include "core/api_impl.hpp"
#include "core/etag.hpp"

namespace jobruntime {
namespace {

using Seconds = std::chrono::sys_seconds;

constexpr std::array<std::string_view, 7> days{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
constexpr std::array<std::string_view, 12> months{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                  "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

/// "Sun, 06 Nov 1994 08:49:37 GMT".
std::string http_date(Seconds time) {
    const auto day = std::chrono::floor<std::chrono::days>(time);
    const std::chrono::year_month_day date{day};
    const std::chrono::hh_mm_ss clock{time - day};
    char text[64];
    std::snprintf(text, sizeof text, "%s, %02u %s %04d %02d:%02d:%02d GMT",
                  days[std::chrono::weekday{day}.c_encoding()].data(), static_cast<unsigned>(date.day()),
                  months[static_cast<unsigned>(date.month()) - 1].data(), static_cast<int>(date.year()),
                  static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
                  static_cast<int>(clock.seconds().count()));
    return text;
}

struct Range {
    enum class Kind { none, one, beyond } kind = Kind::none;
    std::uint64_t first = 0, length = 0;
};

/// "bytes=0-99", "bytes=100-", "bytes=-100". What is not well formed, or is several ranges, is ignored, as
/// RFC 9110 allows.
Range parse_range(std::string_view text, std::uint64_t size) {
    constexpr std::uint64_t most = 999'999'999'999'999'999u;
    if (!text.starts_with("bytes=")) return {};
    text.remove_prefix(6);
    const auto dash = text.find('-');
    if (dash == std::string_view::npos) return {};
    const auto first = core::parse_number(text.substr(0, dash), most);
    const auto last = core::parse_number(text.substr(dash + 1), most);
    if ((!first && dash > 0) || (!last && dash + 1 < text.size()) || (!first && !last)) return {};
    if (!first) {
        if (*last == 0 || size == 0) return {Range::Kind::beyond};
        const auto length = std::min(*last, size);
        return {Range::Kind::one, size - length, length};
    }
    if (last && *last < *first) return {};
    if (*first >= size) return {Range::Kind::beyond};
    const auto end = last ? std::min(*last, size - 1) : size - 1;
    return {Range::Kind::one, *first, end - *first + 1};
}

/// A range is only for the file it was asked of: If-Range names its tag or its date.
bool range_still_holds(const Request& request, std::string_view tag, std::string_view date) {
    const auto condition = request.header("if-range");
    return condition.empty() || condition == tag || condition == date;
}

bool not_modified(const Request& request, std::string_view tag, std::string_view date) {
    if (const auto tags = request.header("if-none-match"); !tags.empty()) return core::names_tag(tags, tag);
    return request.header("if-modified-since") == date;
}

}  // namespace

Response file_response(const Request& request, const std::string& path, std::string_view content_type) {
    std::error_code failed;
    const auto status = std::filesystem::status(path, failed);
    if (failed || !std::filesystem::is_regular_file(status)) return Response::error(404, "NOT_FOUND", "There is no such file");
    const std::uint64_t size = std::filesystem::file_size(path, failed);
    if (failed) return Response::error(404, "NOT_FOUND", "There is no such file");
    const auto written = std::filesystem::last_write_time(path, failed);
    if (failed) return Response::error(404, "NOT_FOUND", "There is no such file");
    const auto time = std::chrono::file_clock::to_sys(written);

    char tag[64];
    std::snprintf(tag, sizeof tag, "\"%llx-%llx\"", static_cast<unsigned long long>(size),
                  static_cast<unsigned long long>(time.time_since_epoch().count()));
    const auto date = http_date(std::chrono::floor<std::chrono::seconds>(time));
    Response response;
    response.headers = {{"content-type", std::string(content_type)}, {"etag", tag}, {"last-modified", date},
                        {"accept-ranges", "bytes"}, {"cache-control", "private, no-cache"}};
    if (not_modified(request, tag, date)) {
        response.status = 304;
        return response;
    }
    // A range is of GET only (RFC 9110, 14.2).
    Range range = request.method == "HEAD" ? Range{} : parse_range(request.header("range"), size);
    if (!range_still_holds(request, tag, date)) range = {};
    if (range.kind == Range::Kind::beyond) {
        auto refused = Response::error(416, "RANGE_NOT_SATISFIABLE", "The file ends before that range begins");
        core::set_header(refused, "content-range", "bytes */" + std::to_string(size));
        return refused;
    }
    if (range.kind == Range::Kind::one) {
        response.status = 206;
        response.headers.emplace_back("content-range", "bytes " + std::to_string(range.first) + "-" +
                                                           std::to_string(range.first + range.length - 1) + "/" +
                                                           std::to_string(size));
        response.body = FileSlice{path, range.first, range.length};
    } else {
        response.body = FileSlice{path, 0, size};
    }
    return response;
}

}  // namespace jobruntime

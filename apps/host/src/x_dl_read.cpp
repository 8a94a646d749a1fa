// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// The old application's documents as values.
#include <algorithm>
#include <charconv>
#include <iterator>

#include <boost/json/parse.hpp>

#include "x_dl_import.hpp"

namespace jobruntime::host {
namespace {

namespace json = boost::json;

constexpr std::size_t largest_export = 512u << 20;

Error unreadable(std::string message) {
    return {Errc::invalid_argument, "IMPORT_UNREADABLE", std::move(message)};
}

std::string text_of(const json::object& object, std::string_view name) {
    const auto* value = object.if_contains(name);
    return value && value->is_string() ? std::string(value->get_string()) : std::string();
}

std::optional<std::int64_t> whole(const json::value& value) {
    if (value.is_int64()) return value.get_int64();
    if (value.is_object()) {
        const auto* wrapped = value.get_object().if_contains("$numberLong");
        if (!wrapped || !wrapped->is_string()) return std::nullopt;
        std::int64_t number = 0;
        const std::string_view text = wrapped->get_string();
        const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
        if (read.ec == std::errc{} && read.ptr == text.data() + text.size()) return number;
    }
    return std::nullopt;
}

/// Before the year 1 or after 9999 it is no time that anybody meant.
std::optional<Time> in_reason(std::int64_t ms) {
    constexpr std::int64_t latest = 253'402'300'799'999;
    if (ms < 0 || ms > latest) return std::nullopt;
    return Time{Duration{ms}};
}

/// {"$date": ISO text | ms | {"$numberLong": ms}}, or the ISO text alone.
std::optional<Time> time_of(const json::object& object, std::string_view name) {
    const auto* value = object.if_contains(name);
    if (!value) return std::nullopt;
    if (value->is_object()) {
        const auto* date = value->get_object().if_contains("$date");
        if (!date) return std::nullopt;
        value = date;
    }
    if (value->is_string()) {
        auto time = parse_iso(std::string_view(value->get_string()));
        return time ? std::optional(*time) : std::nullopt;
    }
    const auto ms = whole(*value);
    return ms ? in_reason(*ms) : std::nullopt;
}

/// The seconds that an ObjectId begins with, in hexadecimal digits.
std::optional<Time> time_of_id(const json::object& document) {
    const auto* id = document.if_contains("_id");
    const auto text = id && id->is_object() ? text_of(id->get_object(), "$oid") : std::string();
    if (text.size() != 24) return std::nullopt;
    std::uint32_t seconds = 0;
    const auto read = std::from_chars(text.data(), text.data() + 8, seconds, 16);
    constexpr std::uint32_t first_of_2009 = 1'230'768'000;  // MongoDB is not older: such an id was made by hand.
    if (read.ec != std::errc{} || read.ptr != text.data() + 8 || seconds < first_of_2009) return std::nullopt;
    return Time{Duration{std::int64_t{seconds} * 1000}};
}

std::string id_of(const json::object& document) {
    const auto* id = document.if_contains("_id");
    if (!id) return {};
    if (id->is_string()) return std::string(id->get_string());
    if (id->is_object()) return text_of(id->get_object(), "$oid");
    const auto number = whole(*id);
    return number ? std::to_string(*number) : std::string();
}

Result<json::value> parse(std::string_view text, const std::string& where) {
    boost::system::error_code code;
    json::parse_options options;
    options.max_depth = 32;
    auto value = json::parse(text, code, {}, options);
    if (code) return unreadable(where + " is not valid JSON: " + code.message());
    return value;
}

}  // namespace

Result<OldJob> read_old_job(const json::object& document) {
    OldJob job;
    job.id = id_of(document);
    if (job.id.empty()) return unreadable("a document without _id");
    job.id_time = time_of_id(document);
    job.tweet_url = text_of(document, "tweetUrl");
    job.canonical_url = text_of(document, "canonicalUrl");
    job.status = text_of(document, "status");
    job.account_handle = text_of(document, "accountHandle");
    job.account_slug = text_of(document, "accountSlug");
    job.created_at = time_of(document, "createdAt");
    job.completed_at = time_of(document, "completedAt");
    const auto* completed = document.if_contains("completedAt");
    job.completed_at_unreadable = completed && !completed->is_null() && !job.completed_at;
    job.output_path = text_of(document, "outputPath");
    job.thumbnail_path = text_of(document, "thumbnailPath");
    job.error = text_of(document, "error");
    job.error_code = text_of(document, "errorCode");
    job.trace_id = text_of(document, "traceId");
    if (job.tweet_url.empty() && job.canonical_url.empty())
        return unreadable("document " + job.id + " has neither tweetUrl nor canonicalUrl");
    if (job.status.empty()) return unreadable("document " + job.id + " has no status");
    return job;
}

Result<std::vector<json::object>> read_export(std::istream& file) {
    std::string text{std::istreambuf_iterator<char>(file), {}};
    if (file.bad()) return unreadable("the file cannot be read to its end");
    if (text.size() > largest_export)
        return unreadable("the file is larger than 512 MiB; export it in parts");
    std::string_view rest = text;
    if (rest.starts_with("\xEF\xBB\xBF")) rest.remove_prefix(3);
    std::vector<json::object> documents;
    const auto first = rest.find_first_not_of(" \t\r\n");
    if (first == std::string_view::npos) return documents;
    if (rest[first] == '[') {
        auto all = parse(rest, "the file");
        if (!all) return std::move(all).error();
        for (auto& one : all->get_array()) {
            if (!one.is_object()) return unreadable("the file's array holds something else than documents");
            documents.push_back(std::move(one.get_object()));
        }
        return documents;
    }
    int number = 0;
    while (!rest.empty()) {
        const auto line = rest.substr(0, rest.find('\n'));
        rest.remove_prefix(std::min(rest.size(), line.size() + 1));
        ++number;
        if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
        auto one = parse(line, "line " + std::to_string(number));
        if (!one) return std::move(one).error();
        if (!one->is_object())
            return unreadable("line " + std::to_string(number) +
                              " is no JSON object; export with mongoexport, one document a line");
        documents.push_back(std::move(one->get_object()));
    }
    return documents;
}

}  // namespace jobruntime::host

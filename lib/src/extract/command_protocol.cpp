// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "extract/command_protocol.hpp"

#include <algorithm>

#include <boost/json/serialize.hpp>

#include "core/json.hpp"
#include "extract/child_run.hpp"
#include "extract/info_dict.hpp"
#include "extract/json_access.hpp"

namespace jobruntime::extract {

namespace json = boost::json;

namespace {

constexpr int max_logged_messages = 200;

/// A name for programs: UPPER_SNAKE, at most 64 bytes.
bool is_code(std::string_view text) {
    return !text.empty() && text.size() <= 64 && text.front() >= 'A' && text.front() <= 'Z' &&
           std::all_of(text.begin(), text.end(), [](char c) {
               return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
           });
}

/// {"type":"result","file":…} says the same as a format with the protocol "file".
Result<MediaInfo> result_of(const json::object& message, int nth) {
    const auto* file = message.if_contains("file");
    if (file == nullptr) return info_from_dict(message, nth);
    if (!file->is_string())
        return Error{Errc::unsupported, "EXTRACTOR_PROTOCOL", "file of the result is not a string"};
    json::object with_format = message;
    const auto name = text_of(*file);
    const auto dot = name.rfind('.');
    json::object format{{"url", name}, {"protocol", "file"}};
    if (dot != std::string_view::npos && name.size() - dot <= 6) format["ext"] = name.substr(dot + 1);
    with_format["formats"] = json::array{std::move(format)};
    return info_from_dict(with_format, nth);
}

}  // namespace

std::string command_request(const ExtractRequest& request) {
    json::object line{{"v", 1},
                      {"jobId", request.job_id},
                      {"url", request.url},
                      {"postId", request.post_id},
                      {"timeoutMs", request.timeout.count()},
                      {"tmpDir", request.tmp_dir}};
    if (!request.cookies_file.empty()) line["cookiesFile"] = request.cookies_file;
    if (request.nth > 0) line["nth"] = request.nth;
    return json::serialize(line) + "\n";
}

Result<void> CommandAnswer::refuse(std::string message) {
    return Error{Errc::unsupported, "EXTRACTOR_PROTOCOL",
                 "line " + std::to_string(lines_) + " of the program's output " + std::move(message)};
}

void CommandAnswer::progress(const json::object& message) const {
    if (!request_.progress) return;
    const auto* percent = message.if_contains("percent");
    std::optional<double> known;
    if (percent != nullptr && percent->is_number()) known = std::clamp(number_at(message, "percent"), 0.0, 100.0);
    request_.progress(known, clean_line(text_at(message, "message"), 200));
}

Result<void> CommandAnswer::take(std::string_view line) {
    ++lines_;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) return {};
    auto message = core::parse_json_object(line);
    if (!message) {
        garbage_ = true;
        return refuse("is not a JSON object (" + message.error().message + "): " + clean_line(line, 80) +
                      "; write what is for people to stderr");
    }
    const auto* type = message->if_contains("type");
    const auto word = type == nullptr ? std::string_view("result") : text_of(*type);
    if (word == "progress") {
        progress(*message);
        return {};
    }
    if (word == "log") {
        if (log_ && ++logged_ <= max_logged_messages) log_(clean_line(text_at(*message, "message")));
        return {};
    }
    if (word != "result" && word != "error") {
        garbage_ = true;
        return refuse("has the type \"" + clean_line(word, 40) + "\"; it must be progress, log, result or error");
    }
    if (++answers_ > 1) return refuse("is a second answer; exactly one result or error is allowed");
    if (word == "result") {
        answer_ = result_of(*message, request_.nth);
        if (*answer_ && (**answer_).sources.empty())
            answer_ = Result<MediaInfo>(Error{Errc::unsupported, "EXTRACTOR_PROTOCOL",
                                              "the result has no formats, no url and no file; a post without a video is "
                                              "{\"type\":\"error\",\"code\":\"NO_MEDIA\"}"});
        return {};
    }
    const auto code = text_at(*message, "code");
    if (!is_code(code)) {
        garbage_ = true;
        return refuse("is an error without a code like NO_MEDIA");
    }
    auto text = clean_line(text_at(*message, "message"), 1000);
    answer_ = Result<MediaInfo>(Error{errc_of(code), std::string(code), text.empty() ? "the extractor gives no reason" : text});
    return {};
}

}  // namespace jobruntime::extract

// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/json.hpp>

#include "core/json.hpp"
#include "core/read_file_linux.hpp"
#include "extract/info_dict.hpp"
#include "extract/json_access.hpp"
#include "extract/media_url.hpp"
#include "extract/recording.hpp"

// The folder of a recording: docs/extractors.md describes it.
namespace jobruntime::extract {

namespace fs = std::filesystem;
namespace json = boost::json;

namespace {

constexpr const char* case_file = "case.json";
constexpr const char* answer_file = "answer.json";

Error not_written(const std::string& path, int code) {
    return {Errc::unavailable, "RECORDING_NOT_WRITTEN", "cannot write " + path + ": " + std::strerror(code)};
}

Error unreadable(const std::string& path, const std::string& why) {
    return {Errc::invalid_argument, "RECORDING_UNREADABLE", path + " " + why + "; see docs/extractors.md"};
}

Result<void> write_file(const std::string& path, std::string_view text) {
    const Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!file) return not_written(path, errno);
    while (!text.empty()) {
        const auto wrote = ::write(file.get(), text.data(), text.size());
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote < 0) return not_written(path, errno);
        text.remove_prefix(static_cast<std::size_t>(wrote));
    }
    return {};
}

/// Longer values first: one may be part of another.
std::string without_secrets(std::string text, const std::map<std::string, std::string>& stand_ins) {
    std::vector<std::pair<std::string, std::string>> sorted(stand_ins.begin(), stand_ins.end());
    std::stable_sort(sorted.begin(), sorted.end(),
                     [](const auto& a, const auto& b) { return a.first.size() > b.first.size(); });
    for (const auto& [secret, stand_in] : sorted)
        for (auto at = text.find(secret); at != std::string::npos;
             at = text.find(secret, at + stand_in.size()))
            text.replace(at, secret.size(), stand_in);
    return text;
}

/// By what people open it with.
std::string ending_for(const net::Response& response) {
    const auto type = lower(response.header("content-type").value_or(""));
    for (const auto& [word, ending] : {std::pair{"html", ".html"},
                                       {"json", ".json"},
                                       {"mpegurl", ".m3u8"},
                                       {"dash+xml", ".mpd"},
                                       {"javascript", ".js"},
                                       {"css", ".css"},
                                       {"mp4", ".mp4"},
                                       {"webm", ".webm"},
                                       {"text", ".txt"}})
        if (type.find(word) != std::string::npos) return ending;
    return ".bin";
}

json::array texts(const std::vector<std::string>& list) { return json::array(list.begin(), list.end()); }

json::object error_object(const Error& error) { return {{"code", error.name}, {"message", error.message}}; }

std::optional<Error> error_at(const json::object& object) {
    const auto* error = object_at(object, "error");
    if (error == nullptr) return std::nullopt;
    std::string code(text_at(*error, "code"));
    if (code.empty()) code = "RECORDING_INCOMPLETE";  // Every error has a name, also in a case that is written by hand.
    return Error{errc_of(code), code, std::string(text_at(*error, "message"))};
}

std::vector<std::string> texts_at(const json::object& object, std::string_view name) {
    std::vector<std::string> found;
    if (const auto* list = array_at(object, name))
        for (const auto& one : *list) found.emplace_back(text_of(one));
    return found;
}

/// A file of the folder itself, whatever a case that came from a stranger says.
bool is_plain_name(std::string_view name) {
    return !name.empty() && name.find('/') == std::string_view::npos && name[0] != '.';
}

/// One element a line, so that people can read it and diff can compare it.
std::string lines_of(const json::object& object) {
    std::string text = "{";
    for (const auto& [key, value] : object) {
        text += (text.size() > 1 ? ",\n" : "\n") + json::serialize(json::value(key)) + ":";
        if (!value.is_array() || value.get_array().empty()) {
            text += json::serialize(value);
            continue;
        }
        std::string_view before = "[\n  ";
        for (const auto& one : value.get_array()) {
            text += std::string(before) + json::serialize(one);
            before = ",\n  ";
        }
        text += "]";
    }
    return text + "\n}\n";
}

Result<RecordedExchange> exchange_from(const json::object& one, const Recording::Impl::ReadBody& body_of) {
    RecordedExchange exchange{std::string(text_at(one, "by")), std::string(text_at(one, "method")), std::string(text_at(one, "url")), error_at(one), {}};
    exchange.response.status = whole_at(one, "status");
    const auto reached = text_at(one, "finalUrl");
    exchange.response.final_url = reached.empty() ? exchange.url : std::string(reached);
    if (const auto* headers = array_at(one, "headers"))
        for (const auto& header : *headers)
            if (header.is_array() && header.get_array().size() == 2)
                exchange.response.headers.emplace_back(text_of(header.get_array()[0]), text_of(header.get_array()[1]));
    if (const auto name = text_at(one, "body"); !name.empty()) {
        if (!is_plain_name(name))
            return Error{Errc::invalid_argument, "names the body " + std::string(name) + ", which is no file of its folder"};
        auto body = body_of(std::string(name));
        if (!body) return std::move(body).error();
        exchange.response.body = *std::move(body);
    }
    return exchange;
}

RecordedRun run_from(const json::object& one) {
    RecordedRun run;
    run.by = text_at(one, "by");
    run.lines = texts_at(one, "stdout");
    run.complaints = texts_at(one, "stderr");
    run.files = texts_at(one, "files");
    run.denial = text_at(one, "denied");
    run.status = {whole_at(one, "exit"), whole_at(one, "signal")};
    run.error = error_at(one);
    return run;
}

/// A stranger's folder may have a pipe or a link under that name, which would be read for ever, or from elsewhere.
Result<std::string> read_plain_file(const std::string& path) {
    std::error_code wrong;
    const auto there = fs::symlink_status(path, wrong);
    if (fs::exists(there) && !fs::is_regular_file(there)) return Error{Errc::not_found, "cannot be read (it is no plain file)"};
    auto text = core::read_file(path);
    if (!text) return Error{text.error().code, "cannot be read (" + text.error().message + ")"};
    return text;
}

}  // namespace

std::map<std::string, std::string> Recording::Impl::stand_ins() const {
    std::map<std::string, std::string> made;
    int number = 0;
    for (const auto& secret : secrets_) {
        // One of digits may stand in JSON without quotes.
        const bool digits = secret.find_first_not_of("0123456789") == std::string::npos;
        ++number;
        made[secret] = digits ? std::to_string(900'000'000 + number) : "redacted-" + std::to_string(number);
    }
    return made;
}

Result<void> Recording::check_folder(const std::string& folder) {
    std::error_code wrong;
    if (!fs::exists(folder, wrong) || (fs::is_directory(folder, wrong) && fs::is_empty(folder, wrong))) return {};
    return Error{Errc::conflict, "RECORDING_NOT_WRITTEN", folder + " is there and not empty; name a new folder"};
}

Result<void> Recording::Impl::save(const std::string& folder, RecordedCase asked) const {
    JR_TRY(check_folder(folder));
    std::error_code wrong;
    fs::create_directories(folder, wrong);
    if (wrong) return not_written(folder, wrong.value());
    ::chmod(folder.c_str(), 0700);
    const auto stand_in = stand_ins();
    const auto clean = [&](std::string text) { return without_secrets(std::move(text), stand_in); };

    json::array exchanges;
    int number = 0;
    for (const auto& exchange : exchanges_) {
        json::object one{{"by", exchange.by}, {"method", exchange.method}, {"url", exchange.url}};
        if (exchange.error) {
            one["error"] = error_object(*exchange.error);
            exchanges.push_back(std::move(one));
            continue;
        }
        one["status"] = exchange.response.status;
        if (exchange.response.final_url != exchange.url) one["finalUrl"] = exchange.response.final_url;
        json::array headers;
        for (const auto& [name, value] : exchange.response.headers)
            headers.push_back(json::array{name, value});
        one["headers"] = std::move(headers);
        if (!exchange.response.body.empty()) {
            const auto digits = std::to_string(++number);
            const auto name = std::string(3 - std::min<std::size_t>(digits.size(), 3), '0') + digits +
                              ending_for(exchange.response);
            JR_TRY(write_file(folder + "/" + name, clean(exchange.response.body)));
            one["body"] = name;
        }
        exchanges.push_back(std::move(one));
    }
    json::array runs;
    for (const auto& run : runs_) {
        json::object one{{"by", run.by},
                         {"stdout", texts(run.lines)},
                         {"stderr", texts(run.complaints)},
                         {"files", texts(run.files)},
                         {"exit", run.status.code},
                         {"signal", run.status.signal}};
        if (!run.denial.empty()) one["denied"] = run.denial;
        if (run.error) one["error"] = error_object(*run.error);
        runs.push_back(std::move(one));
    }
    json::object hosts;
    for (const auto& [host, allowed] : hosts_) hosts[host] = allowed;
    const json::object whole{{"v", 2},
                             {"url", asked.url},
                             {"platform", asked.platform},
                             {"postId", asked.post_id},
                             {"nth", asked.nth},
                             {"extractor", asked.extractor},
                             {"hosts", std::move(hosts)},
                             {"exchanges", std::move(exchanges)},
                             {"runs", std::move(runs)}};
    JR_TRY(write_file(folder + "/" + answer_file, clean(json::serialize(asked.answer)) + "\n"));
    // Last: a folder without it is no recording.
    return write_file(folder + "/" + case_file, clean(lines_of(whole)));
}

Result<void> Recording::Impl::read_case(std::string_view text, const ReadBody& body_of) {
    replays_ = true;
    const auto wrong = [](std::string why) { return Error{Errc::invalid_argument, std::move(why)}; };
    auto whole = core::parse_json_object(text);
    if (!whole) return wrong("is not JSON: " + whole.error().message);
    const auto version = number_at(*whole, "v");
    if (version != 1 && version != 2) return wrong("is of another version: \"v\" must be 1 or 2");
    // In the first version 1 was also what nobody had asked for.
    const int nth = std::max(0, whole_at(*whole, "nth"));
    asked_ = {
        std::string(text_at(*whole, "url")),       std::string(text_at(*whole, "platform")),
        std::string(text_at(*whole, "postId")),    version == 1 && nth == 1 ? 0 : nth,
        std::string(text_at(*whole, "extractor")), {}};
    if (const auto* hosts = object_at(*whole, "hosts"))
        for (const auto& host : *hosts) hosts_[std::string(host.key())] = host.value().is_bool() && host.value().get_bool();
    if (const auto* list = array_at(*whole, "exchanges"))
        for (const auto& entry : *list) {
            const auto* one = entry.if_object();
            if (one == nullptr) return wrong("has an exchange that is no object");
            auto exchange = exchange_from(*one, body_of);
            if (!exchange) return std::move(exchange).error();
            exchanges_.push_back(*std::move(exchange));
        }
    if (const auto* list = array_at(*whole, "runs"))
        for (const auto& entry : *list) {
            const auto* one = entry.if_object();
            if (one == nullptr) return wrong("has a run that is no object");
            runs_.push_back(run_from(*one));
        }
    return {};
}

Result<void> Recording::Impl::load(const std::string& folder) {
    const auto path = folder + "/" + case_file;
    const auto text = read_plain_file(path);
    if (!text) return unreadable(path, text.error().message);
    const auto read = read_case(*text, [&folder](const std::string& name) -> Result<std::string> {
        auto body = read_plain_file(folder + "/" + name);
        if (!body) body = Error{Errc::not_found, "names the body " + name + ", which cannot be read"};
        return body;
    });
    if (!read) return unreadable(path, read.error().message);
    if (const auto answer = read_plain_file(folder + "/" + answer_file))
        if (auto object = core::parse_json_object(*answer)) asked_.answer = *std::move(object);
    return {};
}

}  // namespace jobruntime::extract

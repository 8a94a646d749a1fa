// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "protocol.hpp"

#include <cerrno>
#include <cmath>

#include <unistd.h>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

namespace jobruntime::helper {
namespace {

constexpr std::size_t max_line = std::size_t{8} << 20;  // A hundred thousand pieces, and more.

Error bad_request(std::string text) {
    return Error{Errc::invalid_argument, "BAD_REQUEST",
                 std::move(text) + "; this is a bug of the caller, please report it"};
}

Result<void> take_path(const boost::json::value& value, std::string_view key, std::string& into) {
    if (!value.is_string()) return bad_request(std::string(key) + " is not a string");
    into = std::string_view(value.get_string());
    if (into.empty() || into.front() != '/' || into.find('\0') != std::string::npos)
        return bad_request(std::string(key) + " is not an absolute path");
    return {};
}

Result<void> take_number(const boost::json::value& value, std::string_view key, std::int64_t& into) {
    if (!value.is_int64() || value.get_int64() <= 0)
        return bad_request(std::string(key) + " is not a positive number");
    into = value.get_int64();
    return {};
}

Result<void> take_seconds(const boost::json::value& value, std::string_view key, double& into) {
    const double number = value.is_number() ? value.to_number<double>() : std::nan("");
    if (!std::isfinite(number)) return bad_request(std::string(key) + " is not a number");
    into = number;
    return {};
}

/// Ascending offsets, the first of them 0.
Result<void> take_runs(const boost::json::value& value, std::string_view key,
                       std::vector<std::int64_t>& into) {
    if (!value.is_array() || value.get_array().empty())
        return bad_request(std::string(key) + " is not a list");
    for (const auto& one : value.get_array()) {
        const bool good =
            one.is_int64() && (into.empty() ? one.get_int64() == 0 : one.get_int64() > into.back());
        if (!good) return bad_request(std::string(key) + " does not ascend from 0");
        into.push_back(one.get_int64());
    }
    return {};
}

/// [end, seconds, pause, exact] each; the ends never turn back.
Result<void> take_pieces(const boost::json::value& value, std::string_view key, std::vector<Piece>& into) {
    if (!value.is_array()) return bad_request(std::string(key) + " is not a list");
    for (const auto& one : value.get_array()) {
        const auto* parts = one.if_array();
        if (!parts || parts->size() != 4 || !(*parts)[0].is_int64() || !(*parts)[3].is_bool())
            return bad_request(std::string(key) + " has an entry that is no piece");
        Piece piece{.end = (*parts)[0].get_int64(), .exact = (*parts)[3].get_bool()};
        if (piece.end < (into.empty() ? 0 : into.back().end)) return bad_request(std::string(key) + " turns back");
        JR_TRY(take_seconds((*parts)[1], key, piece.seconds));
        JR_TRY(take_seconds((*parts)[2], key, piece.pause));
        into.push_back(piece);
    }
    return {};
}

Result<void> take_member(Request& request, std::string_view key, const boost::json::value& value) {
    if (key == "v") {
        if (value != boost::json::value(1)) return bad_request("protocol version is not 1");
        return {};
    }
    if (key == "op") {
        if (!value.is_string()) return bad_request("op is not a string");
        request.op = std::string_view(value.get_string());
        return {};
    }
    if (key == "input") return take_path(value, key, request.input);
    if (key == "output") return take_path(value, key, request.output);
    if (key == "thumbnail") return take_path(value, key, request.thumbnail);
    if (key == "cpuSeconds") return take_number(value, key, request.cpu_seconds);
    if (key == "memoryBytes") return take_number(value, key, request.memory_bytes);
    if (key == "fileBytes") return take_number(value, key, request.file_bytes);
    if (key == "thumbnailWidth") {
        std::int64_t width = 0;
        JR_TRY(take_number(value, key, width));
        if (width > 4096) return bad_request("thumbnailWidth is above 4096");
        request.thumbnail_width = static_cast<int>(width);
        return {};
    }
    if (key == "expectedSeconds") return take_seconds(value, key, request.expected_seconds);
    if (key == "maxSeconds") return take_seconds(value, key, request.max_seconds);
    if (key == "tolerance") return take_seconds(value, key, request.tolerance);
    if (key == "runs") return take_runs(value, key, request.runs);
    if (key == "pieces") return take_pieces(value, key, request.pieces);
    if (key == "audioPieces") return take_pieces(value, key, request.audio_pieces);
    if (key == "audio") return take_path(value, key, request.audio);
    if (key == "audioSeconds") return take_seconds(value, key, request.audio_seconds);
    if (key == "audioRuns") return take_runs(value, key, request.audio_runs);
    if (key == "audioApart") {
        if (!value.is_bool()) return bad_request("audioApart is not true or false");
        request.audio_apart = value.get_bool();
        return {};
    }
    return bad_request("unknown member " + std::string(key));
}

}  // namespace

Result<Request> parse_request(std::string_view line) {
    boost::system::error_code wrong;
    const auto value = boost::json::parse(line, wrong);
    if (wrong || !value.is_object()) return bad_request("the request line is not a JSON object");
    Request request;
    for (const auto& [key, member] : value.get_object()) JR_TRY(take_member(request, key, member));
    if (request.op.empty()) return bad_request("op is missing");
    if (request.input.empty()) return bad_request("input is missing");
    const bool stream = !request.runs.empty();
    if (request.audio.empty() != request.audio_runs.empty() || (!request.audio.empty() && !stream))
        return bad_request("audio, audioRuns and runs belong together");
    if (stream && request.op != "finish") return bad_request("only finish knows runs");
    return request;
}

Result<std::string> read_line() {
    std::string line;
    char byte = 0;
    while (line.size() < max_line) {
        const auto got =
            ::read(STDIN_FILENO, &byte, 1);  // One byte at a time: what follows is not ours to take.
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return bad_request("stdin ended before a request line did");
        if (byte == '\n') return line;
        line += byte;
    }
    return bad_request("the request line is longer than 8 MiB");
}

void send(const boost::json::object& answer) {
    const std::string line = boost::json::serialize(answer) + "\n";
    for (std::size_t done = 0; done < line.size();) {
        const auto wrote = ::write(STDOUT_FILENO, line.data() + done, line.size() - done);
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote <= 0) ::_exit(1);  // The one who asked is gone; nobody is left to finish for.
        done += static_cast<std::size_t>(wrote);
    }
}

void send_error(const Error& error) {
    send({{"type", "error"},
          {"code", error.name.empty() ? "INTERNAL" : error.name},
          {"kind", to_string(error.code)},
          {"message", error.message}});
}

void Progress::at(std::int64_t done, std::int64_t total) {
    const auto now = std::chrono::steady_clock::now();
    if (total <= 0 || now < next_) return;
    const int percent =
        static_cast<int>(std::min<std::int64_t>(100, std::max<std::int64_t>(0, done) * 100 / total));
    if (percent == last_) return;
    last_ = percent;
    next_ = now + std::chrono::milliseconds(250);
    send({{"type", "progress"}, {"stage", stage_}, {"percent", percent}});
}

}  // namespace jobruntime::helper

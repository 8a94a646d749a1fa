// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "media/ffmpeg.hpp"

#include <algorithm>
#include <charconv>
#include <csignal>
#include <optional>

#include <sys/stat.h>
#include <unistd.h>

#include <jobruntime/subprocess.hpp>

namespace jobruntime::media {
namespace {

constexpr const char* search_path = "/usr/local/bin:/usr/bin:/bin";

bool is_program(const std::string& path) {
    struct stat facts {};
    return ::stat(path.c_str(), &facts) == 0 && S_ISREG(facts.st_mode) && ::access(path.c_str(), X_OK) == 0;
}

Error not_found(const std::string& program, std::string_view why) {
    return Error{Errc::not_found, "FFMPEG_NOT_FOUND",
                 "FFMPEG_PATH names " + program + ", which " + std::string(why)};
}

Error out_of_time(const std::string& limit) {
    return Error{Errc::timed_out, "MEDIA_TIMEOUT", "ffmpeg was still busy with the file after " + limit};
}

/// Seconds of "out_time_us=1500000"; nothing for every other line. It says N/A before the first packet.
std::optional<double> seconds_done(std::string_view line) {
    constexpr std::string_view key = "out_time_us=";
    if (!line.starts_with(key)) return std::nullopt;
    line.remove_prefix(key.size());
    long long micros = 0;
    const auto [end, wrong] = std::from_chars(line.data(), line.data() + line.size(), micros);
    if (wrong != std::errc{} || micros < 0) return std::nullopt;
    return static_cast<double>(micros) / 1e6;
}

SpawnOptions spawn_options(const HelperOptions& options, const FfmpegRequest& request) {
    SpawnOptions spawn;
    spawn.argv = {options.ffmpeg, "-nostdin", "-v",         "error", "-protocol_whitelist",
                  "file",         "-progress", "pipe:1",     "-i",    request.input,
                  "-map",         "0",        "-c",         "copy"};
    const std::vector<std::string> into = request.mp4
                                              ? std::vector<std::string>{"-movflags", "+faststart", "-f", "mp4"}
                                              : std::vector<std::string>{"-f", "matroska"};
    spawn.argv.insert(spawn.argv.end(), into.begin(), into.end());
    spawn.argv.push_back(request.output);
    spawn.env = {std::string("PATH=") + search_path};
    spawn.out = Stdio::pipe;
    spawn.limits = {.address_space_bytes = options.memory_bytes,
                    .cpu_seconds = static_cast<std::uint64_t>(options.cpu_time.count()),
                    .file_size_bytes = options.max_file_bytes,
                    .open_files = 64};
    return spawn;
}

}  // namespace

Result<std::string> find_ffmpeg(const std::string& program) {
    if (program.find('/') != std::string::npos) {
        if (is_program(program)) return program;
        return not_found(program, "is no program that this user may run");
    }
    for (std::string_view rest = search_path; !rest.empty();) {
        const auto end = std::min(rest.find(':'), rest.size());
        const auto path = std::string(rest.substr(0, end)) + "/" + program;
        if (is_program(path)) return path;
        rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    return not_found(program, std::string("is in none of ") + search_path);
}

Result<void> run_ffmpeg(const HelperOptions& options, const FfmpegRequest& request, const OnProgress& progress,
                        const std::stop_token& stop) {
    const auto deadline = std::chrono::steady_clock::now() + options.timeout;
    auto child = Subprocess::spawn(spawn_options(options, request));
    if (!child) {
        const auto& why = child.error();
        if (why.code == Errc::not_found || why.code == Errc::unsupported)
            return not_found(options.ffmpeg, "cannot be started");
        return why;
    }
    const auto limit = std::to_string(options.timeout.count() / 1000) + " s";
    LineReader lines(child->out().get());
    for (;;) {
        auto line = lines.next(deadline, stop);
        if (!line && line.error().code == Errc::timed_out) return out_of_time(limit);
        if (!line && line.error().code == Errc::full)
            return Error{Errc::corrupt, "FFMPEG_FAILED", "ffmpeg prints more than reports of its progress"};
        if (!line) return std::move(line).error();
        if (!*line) break;
        const auto done = seconds_done(**line);
        if (done && progress && request.seconds > 0)
            progress({.stage = "remux", .percent = std::min(100.0, 100 * *done / request.seconds)});
    }
    auto status = child->wait(deadline, stop);
    if (!status && status.error().code == Errc::timed_out) return out_of_time(limit);
    if (!status) return std::move(status).error();
    if (status->signal == SIGXCPU) return out_of_time(std::to_string(options.cpu_time.count()) + " s of CPU time");
    if (status->success()) return {};
    return Error{Errc::corrupt, "FFMPEG_FAILED", "ffmpeg could not rewrite the file: " + to_string(*status)};
}

}  // namespace jobruntime::media

// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <csignal>

#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <jobruntime/media.hpp>
#include <jobruntime/subprocess.hpp>

#include "media/assembly.hpp"
#include "media/helper_answer.hpp"

namespace jobruntime::media {
namespace {

using boost::json::object;

Error crashed(const std::string& how) {
    return Error{Errc::corrupt, "MEDIA_HELPER_CRASHED",
                 "the media helper died over this file (" + how +
                     "); do not retry it, update libav and report the file"};
}

Error took_longer_than(std::string limit) {
    return Error{Errc::timed_out, "MEDIA_TIMEOUT",
                 "the media helper was still busy with the file after " + std::move(limit)};
}

Error no_helper(const HelperOptions& options, const Error& why) {
    if (why.code != Errc::not_found && why.code != Errc::unsupported) return why;
    return Error{Errc::not_found, "MEDIA_HELPER_NOT_FOUND",
                 "cannot start " + options.program + ": " + why.message +
                     "; install jobrt-media beside jobrt, or name its path"};
}

/// The limits that the helper puts on itself before it opens the file.
object request_with_limits(const HelperOptions& options, std::string_view op, const std::string& input) {
    return {{"v", 1},
            {"op", op},
            {"input", input},
            {"cpuSeconds", options.cpu_time.count()},
            {"memoryBytes", options.memory_bytes},
            {"fileBytes", options.max_file_bytes}};
}

/// What a request line can hold; a stream of more pieces is judged as a whole only.
constexpr std::size_t most_pieces = 100'000;

void report(const object& line, const OnProgress& progress) {
    if (!progress) return;
    const auto* stage = line.if_contains("stage");
    const auto* percent = line.if_contains("percent");
    if (!stage || !stage->is_string() || !percent || !percent->is_int64()) return;
    const bool remux = stage->get_string() == "remux";
    const auto value = std::clamp<std::int64_t>(percent->get_int64(), 0, 100);
    progress({.stage = remux ? "remux" : "verify", .percent = static_cast<double>(value)});
}

Result<Subprocess> start(const HelperOptions& options) {
    SpawnOptions spawn;
    spawn.argv = {options.program};
    spawn.in = Stdio::pipe;
    spawn.out = Stdio::pipe;
    return Subprocess::spawn(spawn);
}

/// One run of the helper: a request in, an answer out, the process gone.
class Call {
public:
    Call(const HelperOptions& options, const OnProgress& progress, std::stop_token stop)
        : options_(options),
          progress_(progress),
          stop_(std::move(stop)),
          deadline_(std::chrono::steady_clock::now() + options.timeout) {}

    Result<object> run(const object& request, std::optional<Subprocess> ahead = {}) {
        // One that waits is taken, unless something has ended it meanwhile.
        const bool waits = ahead && !ahead->wait(std::chrono::steady_clock::now());
        auto child = waits ? Result<Subprocess>(*std::move(ahead)) : start(options_);
        if (!child) return no_helper(options_, child.error());
        const auto sent =
            write_all(child->in().get(), boost::json::serialize(request) + "\n", deadline_, stop_);
        child->in().reset();
        if (!sent && sent.error().name != "PIPE_CLOSED") return told(sent.error());
        auto answer = read_answer(child->out().get());
        if (!answer) return answer.error();
        auto status = child->wait(deadline_, stop_);
        if (!status) return told(status.error());
        return judge(std::move(*answer), *status);
    }

private:
    /// The result or error line; nothing when the helper ended without one.
    Result<std::optional<object>> read_answer(int fd) {
        LineReader lines(fd);
        std::optional<object> answer;
        for (;;) {
            auto line = lines.next(deadline_, stop_);
            if (!line) return told(line.error());
            if (!*line) return answer;
            boost::system::error_code wrong;
            auto value = boost::json::parse(**line, wrong);
            if (wrong || !value.is_object()) return helper_nonsense("a line that is not a JSON object");
            const auto* type = value.get_object().if_contains("type");
            if (!type || !type->is_string()) return helper_nonsense("a line without a type");
            if (type->get_string() == "progress") {
                report(value.get_object(), progress_);
                continue;
            }
            if (answer) return helper_nonsense("twice");
            answer = std::move(value.get_object());
        }
    }

    Result<object> judge(std::optional<object> answer, const ExitStatus& status) const {
        if (status.signal == SIGXCPU)
            return took_longer_than(std::to_string(options_.cpu_time.count()) + " s of CPU time");
        if (!answer || status.signal != 0) return crashed(to_string(status));
        const std::string_view type = answer->at("type").get_string();
        if (type == "error") return error_of(*answer);
        if (type != "result" || !status.success()) return helper_nonsense("a result and then failed");
        return std::move(*answer);
    }

    Error told(const Error& error) const {
        if (error.code == Errc::timed_out)
            return took_longer_than(std::to_string(options_.timeout.count() / 1000) + " s");
        if (error.code == Errc::full) return helper_nonsense("with more lines than it may");
        return error;
    }

    const HelperOptions& options_;
    const OnProgress& progress_;
    std::stop_token stop_;
    Deadline deadline_;
};

}  // namespace

Result<MediaFacts> HelperClient::probe(const std::string& path, std::stop_token stop) const {
    const OnProgress quiet;
    auto answer = Call(options_, quiet, std::move(stop)).run(request_with_limits(options_, "probe", path));
    return answer ? facts_of(*answer) : Result<MediaFacts>(answer.error());
}

Result<MediaFacts> HelperClient::verify(const std::string& path, double expected_seconds,
                                        const OnProgress& progress, std::stop_token stop) const {
    object request = request_with_limits(options_, "verify", path);
    if (expected_seconds > 0) request["expectedSeconds"] = expected_seconds;
    auto answer = Call(options_, progress, std::move(stop)).run(request);
    return answer ? facts_of(*answer) : Result<MediaFacts>(answer.error());
}

Result<Finished> HelperClient::finish(const FinishRequest& wanted, const OnProgress& progress,
                                      std::stop_token stop, HelperAhead ahead) const {
    object request = request_with_limits(options_, "finish", wanted.input);
    request["output"] = wanted.output;
    request["thumbnailWidth"] = wanted.thumbnail_width;
    if (!wanted.thumbnail.empty()) request["thumbnail"] = wanted.thumbnail;
    if (wanted.expected_seconds > 0) request["expectedSeconds"] = wanted.expected_seconds;
    if (wanted.max_seconds > 0) request["maxSeconds"] = wanted.max_seconds;
    if (!wanted.runs.empty()) {
        request["tolerance"] = wanted.tolerance;
        request["runs"] = boost::json::array(wanted.runs.begin(), wanted.runs.end());
        if (wanted.pieces.size() <= most_pieces) request["pieces"] = list_of(wanted.pieces);
    }
    if (!wanted.audio.empty()) {
        request["audio"] = wanted.audio;
        request["audioSeconds"] = wanted.audio_seconds;
        request["audioRuns"] = boost::json::array(wanted.audio_runs.begin(), wanted.audio_runs.end());
        request["audioApart"] = wanted.audio_apart;
        if (wanted.audio_pieces.size() <= most_pieces) request["audioPieces"] = list_of(wanted.audio_pieces);
    }
    auto answer = Call(options_, progress, std::move(stop)).run(request, std::move(ahead.child_));
    return answer ? finished_of(*answer) : Result<Finished>(answer.error());
}

HelperAhead HelperClient::start_ahead() const {
    HelperAhead ahead;
    if (auto child = start(options_)) ahead.child_ = *std::move(child);
    return ahead;
}

}  // namespace jobruntime::media

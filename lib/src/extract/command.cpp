// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <mutex>
#include <utility>

#include <jobruntime/extract.hpp>

#include "extract/child_run.hpp"
#include "extract/command_protocol.hpp"
#include "extract/info_dict.hpp"
#include "extract/recording.hpp"

namespace jobruntime::extract {

CommandExtractor::CommandExtractor(CommandOptions options) : options_(std::move(options)) {}
CommandExtractor::~CommandExtractor() = default;

Result<MediaInfo> CommandExtractor::extract(const ExtractRequest& request, std::stop_token stop) {
    CommandFacts facts;
    return extract(request, std::move(stop), facts);
}

Result<MediaInfo> CommandExtractor::extract(const ExtractRequest& request, std::stop_token stop,
                                            CommandFacts& facts) const {
    const auto deadline = std::chrono::steady_clock::now() + request.timeout;
    std::mutex log_mutex;  // stderr is read on a thread of its own.
    const auto log = [&](std::string_view line) {
        const std::lock_guard lock(log_mutex);
        if (request.log) request.log(options_.name + ": " + std::string(line));
    };
    CommandAnswer answer(request, log);
    ChildRun run;
    run.name = options_.name;
    run.argv = options_.argv;
    run.environment = options_.environment;
    run.environment.push_back("TMPDIR=" + request.tmp_dir);
    if (!request.traceparent.empty()) run.environment.push_back("TRACEPARENT=" + request.traceparent);
    run.directory = request.tmp_dir;
    run.input = command_request(request);
    run.limits = options_.limits;
    run.grace = options_.grace;
    run.linger = options_.linger;
    run.on_line = [&](std::string_view line) { return answer.take(line); };
    run.on_stderr = log;
    run.answered = [&] { return answer.answered(); };
    ChildEnd end;
    auto ran = run_child(options_.recording, run, deadline, stop, end);
    facts = {answer.lines(), answer.answers(), answer.garbage(), end.flooded, end.killed, end.status};
    if (!ran) return std::move(ran).error();

    auto said = answer.answer();
    if (!said)
        return Error{Errc::unavailable, "EXTRACTOR_CRASHED", options_.name + " " + ending_of(end) + " and gave no answer"};
    if (!*said) return std::move(*said).error();
    if (end.lingered)
        log("was still running after its answer and was ended");
    else if (end.status && !end.status->success())
        return Error{Errc::unavailable, "EXTRACTOR_CRASHED",
                     options_.name + " " + ending_of(end) + " after its result, which is not trusted then"};
    HostVetter vetter(options_.allow_nets, options_.recording);
    JR_TRY(vet_info(**said, request, vetter, deadline, stop));
    return *std::move(*said);
}

}  // namespace jobruntime::extract

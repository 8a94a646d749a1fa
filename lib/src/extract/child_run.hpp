// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include <jobruntime/subprocess.hpp>

// One run of an external extractor: its input, its lines, its end. Knows nothing of what they mean.
namespace jobruntime::extract {

struct ChildRun {
    std::string name;  ///< For messages.
    std::vector<std::string> argv;
    std::vector<std::string> environment;
    std::string directory;
    std::string input;  ///< Written to stdin, which is then closed.
    LineLimits limits;
    std::chrono::milliseconds grace{1000};   ///< From SIGTERM to SIGKILL.
    std::chrono::milliseconds linger{5000};  ///< From its answer, or the end of its stdout, to SIGTERM.
    /// A line of stdout; an error ends the run and is its result.
    std::function<Result<void>(std::string_view line)> on_line;
    /// A line of stderr, cut and cleaned; on a thread of its own.
    std::function<void(std::string_view line)> on_stderr;
    /// True once nothing more is expected: then the child has only `linger` left to close its stdout and end.
    std::function<bool()> answered;
};

struct ChildEnd {
    std::optional<ExitStatus> status;
    bool flooded = false;
    bool killed = false;    ///< SIGKILL was needed.
    bool lingered = false;  ///< It was still there after its answer and was ended.
};

/// For messages, behind the child's name: "ended with exit status 3", "was killed by signal 9 (Killed)".
std::string ending_of(const ChildEnd& end);

/// Runs it to its end; no process of its group is left. `end` is filled in also when the answer is an error:
/// EXTRACTOR_NOT_FOUND, EXTRACTOR_PROTOCOL (too much output), EXTRACTION_TIMEOUT, Errc::canceled, or on_line's.
Result<void> run_child(const ChildRun& run, Deadline deadline, const std::stop_token& stop, ChildEnd& end);

/// `text` as one line for a log: at most `max_bytes`, valid UTF-8, no control characters.
std::string clean_line(std::string_view text, std::size_t max_bytes = 2000);

}  // namespace jobruntime::extract

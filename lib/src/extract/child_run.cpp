// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "extract/child_run.hpp"

#include <csignal>
#include <future>
#include <thread>

#include "core/utf8.hpp"

namespace jobruntime::extract {

namespace {

constexpr int max_logged_lines = 200;

/// Reads stderr until its end, so that the child never blocks on it, and hands on the first lines.
void drain_stderr(int fd, const ChildRun& run, const std::stop_token& stop) {
    int lines = 0;
    while (true) {
        LineReader reader(fd, {.max_line = std::size_t{64} << 10, .max_total = 0});
        while (true) {
            auto line = reader.next(forever, stop);
            if (!line && line.error().code == Errc::full) break;  // One endless line: go on behind it.
            if (!line || !*line) return;
            if (++lines > max_logged_lines || !run.on_stderr || (*line)->empty()) continue;
            run.on_stderr(lines == max_logged_lines ? "further lines are left out" : clean_line(**line));
        }
    }
}

Result<void> read_lines(Subprocess& child, const ChildRun& run, Deadline deadline,
                        const std::stop_token& stop, ChildEnd& end) {
    LineReader reader(child.out().get(), run.limits);
    std::optional<Deadline> leave_by;
    while (true) {
        if (!leave_by && run.answered && run.answered())
            leave_by = std::min(deadline, std::chrono::steady_clock::now() + run.linger);
        auto line = reader.next(leave_by.value_or(deadline), stop);
        if (!line) {
            if (line.error().code == Errc::full) {
                end.flooded = true;
                return Error{Errc::unsupported, "EXTRACTOR_PROTOCOL",
                             run.name + " writes too much: a line may have " +
                                 std::to_string(run.limits.max_line) + " bytes, all together " +
                                 std::to_string(run.limits.max_total)};
            }
            if (leave_by && line.error().code == Errc::timed_out) {
                end.lingered = true;
                return {};
            }
            if (line.error().code == Errc::timed_out)
                return Error{Errc::timed_out, "EXTRACTION_TIMEOUT",
                             run.name + " gave no answer in time and was ended"};
            return std::move(line).error();
        }
        if (!*line) return {};
        JR_TRY(run.on_line(**line));
    }
}

}  // namespace

std::string ending_of(const ChildEnd& end) {
    if (!end.status) return "ended with an unknown status";
    return (end.status->signal == 0 ? "ended with " : "was ") + to_string(*end.status);
}

std::string clean_line(std::string_view text, std::size_t max_bytes) {
    std::string line;
    while (!text.empty()) {
        const auto size = core::utf8_character(text);
        if (line.size() + std::max<std::size_t>(size, 1) > max_bytes) break;
        const auto lead = static_cast<unsigned char>(text.front());
        // U+0080 to U+009F are control characters, too, and some terminals obey them.
        const bool c1 = lead == 0xc2 && size == 2 && static_cast<unsigned char>(text[1]) < 0xa0;
        if (size == 0)
            line += '?';
        else if (lead < 0x20 || lead == 0x7f || c1)
            line += ' ';
        else
            line += text.substr(0, size);
        text.remove_prefix(std::max<std::size_t>(size, 1));
    }
    while (!line.empty() && line.back() == ' ') line.pop_back();
    return line;
}

Result<void> run_child(const ChildRun& run, Deadline deadline, const std::stop_token& stop, ChildEnd& end) {
    SpawnOptions options;
    options.argv = run.argv;
    options.env = run.environment;
    options.cwd = run.directory;
    options.in = options.out = options.err = Stdio::pipe;
    auto child = Subprocess::spawn(options);
    if (!child) {
        const auto& error = child.error();
        if (error.code == Errc::unavailable) return error;
        return Error{Errc::unsupported, "EXTRACTOR_NOT_FOUND",
                     "cannot start " + run.name + ": " + error.message + "; check its command in the configuration"};
    }
    std::promise<void> drained;
    std::jthread stderr_reader([&, fd = child->err().get()](const std::stop_token& ended) {
        drain_stderr(fd, run, ended);
        drained.set_value();
    });
    // A program need not read its request; that it does not is no error.
    auto written = write_all(child->in().get(), run.input, deadline, stop);
    child->in().reset();
    Result<void> read = !written && written.error().name != "PIPE_CLOSED" ? written
                                                                         : read_lines(*child, run, deadline, stop, end);
    // It closed its stdout, so it is about to end; what does not is ended.
    auto ended = read && !end.lingered ? child->wait(std::min(deadline, std::chrono::steady_clock::now() + run.linger), stop)
                                       : Result<ExitStatus>(Error{Errc::timed_out, ""});
    if (!ended) {
        if (read && ended.error().code == Errc::canceled) read = ended.error();
        end.lingered = end.lingered || static_cast<bool>(read);
        ended = child->terminate(run.grace);
        end.killed = !ended || ended->signal == SIGKILL;
    }
    if (ended) end.status = *ended;
    // Its last words; a process that left the group may hold the pipe for ever.
    (void)drained.get_future().wait_for(std::chrono::milliseconds(500));
    return read;
}

}  // namespace jobruntime::extract

// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <iostream>

#include <unistd.h>

#include "save.hpp"
#include "signals.hpp"

namespace jobruntime::jobrt {
namespace {

std::string text_of(const boost::json::object& object, std::string_view name) {
    const auto* value = object.if_contains(name);
    return value && value->is_string() ? std::string(value->get_string()) : std::string();
}

std::string bar(double percent) {
    const int full = static_cast<int>(percent / 5);
    std::string text = " [";
    for (int i = 0; i < 20; ++i) text += i < full ? '#' : '.';
    return text + "] " + std::to_string(static_cast<int>(percent)) + " %";
}

int tell_end(const Invocation& in, const boost::json::object& job, const Saving& saving) {
    const bool completed = text_of(job, "status") == "completed";
    const auto path = (std::filesystem::path(saving.download_dir) / text_of(job, "outputPath")).string();
    if (in.has("json")) {
        print_json({{"ok", completed},
                    {"alreadySaved", saving.already},
                    {"path", completed ? boost::json::value(path) : boost::json::value(nullptr)},
                    {"job", job}});
    } else if (completed) {
        if (saving.already) std::cerr << "already saved\n";
        std::cout << path << std::endl;
    } else if (const auto code = text_of(job, "errorCode"); code.empty()) {
        std::cerr << text_of(job, "status") << "\n";
    } else {
        std::cerr << code << ": " << text_of(job, "error") << "\n";
    }
    return completed ? host::exit_ok : host::exit_failed;
}

[[noreturn]] void leave_at_once() {
    std::cerr << "interrupted" << std::endl;
    std::_Exit(host::exit_second_signal);
}

/// The outcome was told; another signal does not wait for the browser to close.
void stop_worker(host::SignalWaiter& signals, host::Part& worker, bool interrupted) {
    const auto stop = [&] {
        if (interrupted) worker.stop_now();
        worker.stop();
    };
    signals.run(stop, [] { leave_at_once(); });
}

}  // namespace

ProgressView::ProgressView(bool quiet) : quiet_(quiet), terminal_(isatty(STDERR_FILENO) == 1) {}

void ProgressView::show(const boost::json::object& job) {
    if (quiet_) return;
    std::string line = text_of(job, "status");
    const bool running = line == "running";
    if (const auto waiting = text_of(job, "waitingFor"); !waiting.empty()) line += ": " + waiting;
    const auto* progress = job.if_contains("progress");
    if (running && progress && progress->is_object()) {
        if (const auto stage = text_of(progress->get_object(), "stage"); !stage.empty()) line = stage;
        const auto* percent = progress->get_object().if_contains("percent");
        if (terminal_ && percent && percent->is_number()) line += bar(percent->to_number<double>());
    }
    if (terminal_) {
        std::cerr << "\r\033[K" << line << std::flush;
    } else if (line != last_) {
        std::cerr << line << "\n";
    }
    last_ = line;
}

void ProgressView::end() const {
    if (!quiet_ && terminal_) std::cerr << "\r\033[K" << std::flush;
}

int see_through(const Invocation& in, const std::function<Result<Saving>()>& begin) {
    ProgressView view(in.has("json"));
    std::stop_source stop;
    std::atomic<bool> begun = false;
    Result<Saving> saving = Error{Errc::internal, "the job was not put in"};
    Result<boost::json::object> ended = Error{Errc::internal, "the wait did not begin"};
    host::SignalWaiter signals(true);
    const auto how = signals.run(
        [&] {
            saving = begin();
            begun = true;
            if (saving) ended = saving->follow(view, stop.get_token());
        },
        [&] {
            if (!begun) leave_at_once();  // A name server or a lock may keep it, and those know no stop.
            stop.request_stop();
        });
    view.end();
    if (!saving) return fail(in, saving.error());
    const bool interrupted = how == host::Ended::second_signal && !ended;
    int code = host::exit_second_signal;
    if (interrupted)
        std::cerr << "interrupted; the job " << saving->id << " stays in the queue" << std::endl;
    else
        code = ended ? tell_end(in, *ended, *saving) : fail(in, ended.error());
    if (auto* worker = saving->worker()) stop_worker(signals, *worker, interrupted);
    return code;
}

}  // namespace jobruntime::jobrt

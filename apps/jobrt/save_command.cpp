// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "commands.hpp"

#include <filesystem>
#include <iostream>
#include <thread>

#include <unistd.h>

#include <jobruntime/job_queue.hpp>
#include <jobruntime/net.hpp>

#include "media_api.hpp"
#include "media_kind.hpp"
#include "parts.hpp"
#include "platforms.hpp"
#include "process.hpp"
#include "signals.hpp"

namespace jobruntime::jobrt {
namespace {

/// Shows a job's way to its end: one line that moves on a terminal, else a line whenever the stage changes.
class ProgressView {
public:
    explicit ProgressView(bool quiet) : quiet_(quiet), terminal_(isatty(STDERR_FILENO) == 1) {}
    void show(const Job& job) {
        if (quiet_) return;
        std::string line(to_string(job.state));
        if (job.state == JobState::running && !job.progress.stage.empty()) line = job.progress.stage;
        if (terminal_) {
            if (job.progress.percent && job.state == JobState::running) line += bar(*job.progress.percent);
            std::cerr << "\r\033[K" << line << std::flush;
        } else if (line != last_) {
            std::cerr << line << "\n";
        }
        last_ = line;
    }
    void end() const {
        if (!quiet_ && terminal_) std::cerr << "\r\033[K" << std::flush;
    }

private:
    static std::string bar(double percent) {
        const int full = static_cast<int>(percent / 5);
        std::string text = " [";
        for (int i = 0; i < 20; ++i) text += i < full ? '#' : '.';
        return text + "] " + std::to_string(static_cast<int>(percent)) + " %";
    }
    bool quiet_;
    bool terminal_;
    std::string last_;
};

std::string result_text(const Job& job, std::string_view name) {
    if (!job.result.is_object()) return {};
    const auto* value = job.result.get_object().if_contains(name);
    return value && value->is_string() ? std::string(value->get_string()) : std::string();
}

int tell_end(const Invocation& in, const Job& job, bool already) {
    const auto path = (std::filesystem::path(in.config.download_dir) / result_text(job, "outputPath")).string();
    if (in.has("json")) {
        print_json({{"ok", job.state == JobState::completed}, {"alreadySaved", already},
                    {"path", job.state == JobState::completed ? boost::json::value(path) : boost::json::value(nullptr)},
                    {"job", job_object(job, "")}});
    } else if (job.state == JobState::completed) {
        if (already) std::cerr << "already saved\n";
        std::cout << path << std::endl;
    } else if (job.errors.empty()) {
        std::cerr << to_string(job.state) << "\n";
    } else {
        std::cerr << job.errors.back().code << ": " << job.errors.back().message << "\n";
    }
    return job.state == JobState::completed ? host::exit_ok : host::exit_failed;
}

/// Waits for the job's end and shows its progress; SIGINT leaves the job to whoever works.
Result<Job> follow(JobQueue& queue, JobId id, ProgressView& view, std::stop_token stop) {
    for (;;) {
        auto ended = queue.wait(id, Duration{200}, stop);
        if (ended || ended.error().code != Errc::timed_out) return ended;
        auto job = queue.get(id, 0);
        if (job && *job) view.show(**job);
    }
}

bool live_worker(Store& store, Duration lease) {
    auto sessions = store.sessions();
    if (!sessions) return false;
    const auto now = system_clock().wall();
    for (const auto& session : *sessions)
        if (session.facts.works && !session.facts.stopped && !session.declared_dead && !session.seen_dead &&
            (session.seen_alive || now - session.beat_at < lease))
            return true;
    return false;
}

/// Puts the job in, or finds the one that the post has already; `already` = it was completed before.
Result<Enqueued> submit(host::MediaApi& media, JobQueue& queue, std::string_view url, bool& already) {
    EnqueueOptions options;
    options.priority = -1;  // A person waits for it.
    options.queue = std::string(host::media_queue);
    options.max_attempts = host::media_attempts;
    auto spec = media.job_for(url, std::move(options));
    if (!spec) return std::move(spec).error();
    auto entered = queue.enqueue(spec->kind, spec->payload, spec->options);
    if (!entered || entered->state != JobState::completed) return entered;
    auto job = queue.get(entered->id, part_result);
    if (job && *job && media.has_file(**job)) {
        already = true;
        return entered;
    }
    auto again = queue.retry(entered->id, true);  // Its file is gone.
    if (!again) return std::move(again).error();
    return entered;
}

int save(const Invocation& in) {
    auto store = any_store(in);
    if (!store) return host::exit_unusable;
    JobQueue queue(*store);
    const host::PlatformFlags flags(*store, in.config);
    net::FetcherOptions fetching;
    std::string nets;
    for (const auto& net : in.config.allow_nets) nets += net + " ";
    auto allowed = net::Network::parse_list(nets);
    if (!allowed) return fail(in, allowed.error());
    fetching.allow_nets = *std::move(allowed);
    host::MediaApi media(queue, flags, std::move(fetching), in.config.download_dir);
    bool already = false;
    auto entered = submit(media, queue, in.text("URL"), already);
    if (!entered) return fail(in, entered.error());

    auto sink = fan_out({});
    host::Process process{in, *store, system_clock(), *sink, "", [](int) {}};
    std::unique_ptr<host::Part> worker;
    if (!already && !live_worker(*store, in.config.lease)) {
        worker = host::make_worker_part(process);
        if (auto started = worker->start(); !started) return fail(in, started.error());
    }
    ProgressView view(in.has("json"));
    std::stop_source stop;
    Result<Job> ended = Error{Errc::internal, "the wait did not begin"};
    host::SignalWaiter signals;
    const auto how = signals.run([&] { ended = follow(queue, entered->id, view, stop.get_token()); },
                                 [&] { stop.request_stop(); });
    view.end();
    if (worker) worker->stop();
    if (how == host::Ended::second_signal) {
        std::cerr << "interrupted; the job " << entered->id.str() << " stays in the queue\n";
        return host::exit_second_signal;
    }
    if (!ended) return fail(in, ended.error());
    return tell_end(in, *ended, already);
}

}  // namespace

std::vector<Command> save_commands() {
    return {{"save", "Saves the video of a post and prints the file's path.",
             {{"URL", "The post's address."}, {"--json", "Print the outcome as JSON."}},
             {"jobrt save https://x.com/somebody/status/1234567890", "jobrt save https://example.org/talk.html --json"},
             save}};
}

}  // namespace jobruntime::jobrt

// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "commands.hpp"

#include <cstdlib>
#include <filesystem>
#include <iostream>

#include <unistd.h>

#include <boost/json/parse.hpp>

#include <jobruntime/job_queue.hpp>

#include "demo_site.hpp"
#include "media_api.hpp"
#include "media_kind.hpp"
#include "parts.hpp"
#include "platforms.hpp"
#include "process.hpp"
#include "signals.hpp"

namespace jobruntime::jobrt {
namespace {

namespace fs = std::filesystem;

/// The demo keeps to a folder of its own, so that no job of anybody else runs under its looser rules.
host::Config demo_config(const host::Config& given) {
    host::Config config = given;
    const auto folder = fs::current_path() / "jobrt-demo";
    config.role = host::ProcessRole::combined;
    config.store = "sqlite:" + (folder / "jobrt.db").string();
    config.download_dir = (folder / "downloads").string();
    config.profile_dir = (folder / "profile").string();
    // The page says in plain HTML where its video is, and reading it would do; the demo is to show the browser, too.
    config.structure = boost::json::parse(R"({"platforms":{"web":{"extractors":["browser"]}}})").get_object();
    return config;
}

/// For the demo's own page only: loopback is let through, and as root the browser goes without its sandbox.
host::Config page_config(host::Config config) {
    config.allow_nets = {"127.0.0.0/8"};
    if (geteuid() == 0) config.browser_no_sandbox = true;
    return config;
}

void print_events(Store& store, JobId id, EventId& after) {
    EventFilter filter;
    filter.job = id;
    auto page = store.events(after, filter, 500);
    if (!page) return;
    for (const auto& event : page->events) {
        if (event.name == "worker.job.progress" || event.name == "worker.job.log") continue;
        const auto* extractor = event.fields.if_contains("extractor");
        std::cerr << "  " << to_iso(event.at) << "  " << event.name
                  << (extractor && extractor->is_string() ? ", by " + std::string(extractor->get_string()) : "") << "\n";
    }
    after = page->next;
}

/// Puts the page in.
Result<JobId> submit_page(host::Process& process, const std::string& url) {
    JobQueue queue(process.store);
    const host::PlatformFlags flags(process.store, process.in.config);
    const host::MediaApi media(queue, flags, {}, process.in.config.download_dir);
    EnqueueOptions options;
    options.queue = std::string(host::media_queue);
    options.max_attempts = host::media_attempts;
    auto spec = media.job_for(url, std::move(options));
    if (!spec) return std::move(spec).error();
    auto entered = queue.enqueue(spec->kind, spec->payload, spec->options);
    if (!entered) return std::move(entered).error();
    return entered->id;
}

/// Sees the job through the whole pipeline and tells each step.
Result<Job> follow(host::Process& process, JobId id, const std::stop_token& stop) {
    JobQueue queue(process.store);
    EventId after = 0;
    for (;;) {
        auto ended = queue.wait(id, Duration{200}, stop);
        print_events(process.store, id, after);
        if (ended || ended.error().code != Errc::timed_out) return ended;
    }
}

int tell_end(const Invocation& in, const host::Config& config, const Job& job) {
    const auto* path = job.result.is_object() ? job.result.get_object().if_contains("outputPath") : nullptr;
    if (job.state != JobState::completed || !path || !path->is_string()) {
        if (!job.errors.empty()) return fail(in, {Errc::internal, job.errors.back().code, job.errors.back().message});
        return fail(in, {Errc::internal, "DEMO_FAILED", "the demo's job ended " + std::string(to_string(job.state))});
    }
    const auto file = config.download_dir + "/" + std::string(path->get_string());
    std::cerr << "\nSaved: " << file << "\n";
    if (in.has("json")) print_json({{"ok", true}, {"path", file}, {"job", job_object(job, "")}});
    return host::exit_ok;
}

[[noreturn]] void leave_at_once() { std::_Exit(host::exit_second_signal); }

/// The page through the whole pipeline: by a worker with the looser rules that claims this one job and no other, not
/// even one that an earlier demo has left.
Result<Job> save_page(host::Process& process, host::SignalWaiter& signals, const std::string& url) {
    auto id = submit_page(process, url);
    if (!id) return std::move(id).error();
    const auto worker = host::make_job_worker(process, *id, std::string(host::media_queue));
    JR_TRY(worker->start());
    std::stop_source stop;
    Result<Job> ended = Error{Errc::internal, "DEMO_FAILED", "the demo was interrupted"};
    const auto how = signals.run([&] { ended = follow(process, *id, stop.get_token()); }, [&] { stop.request_stop(); });
    const auto end = [&] {
        if (how == host::Ended::second_signal) worker->stop_now();
        worker->stop();
    };
    signals.run(end, leave_at_once);
    return ended;
}

/// From here on the usual rules hold: the sandbox, and no private addresses. Until a signal.
int stay_up(host::Process& process, host::SignalWaiter& signals) {
    const auto& in = process.in;
    const auto api = host::make_api_part(process);
    if (auto started = api->start(); !started) {
        fail(in, started.error());
        return started.error().name == "PORT_IN_USE" ? host::exit_unusable : host::exit_failed;
    }
    const auto worker = host::make_worker_part(process);
    if (auto started = worker->start(); !started) return fail(in, started.error());
    for (const auto& address : api->urls()) std::cerr << "API:   " << address << "/api/jobs\n";
    std::cerr << "Try:   curl -s " << api->urls().front() << "/api/jobs\nCtrl-C ends it.\n";
    signals.wait();
    signals.run([&] { worker->stop(); }, [&] { worker->stop_now(); });
    api->stop();
    return host::exit_ok;
}

int demo(const Invocation& given) {
    const auto config = demo_config(given.config);
    const auto loose = page_config(config);
    const Invocation in{given.settings, config, given.log, given.setup, given.arguments};
    const Invocation page_in{given.settings, loose, given.log, given.setup, given.arguments};
    std::error_code code;
    const auto folder = fs::current_path() / "jobrt-demo";
    fs::create_directories(folder, code);
    if (code) return fail(in, {Errc::unavailable, "DEMO_FAILED", "cannot make " + folder.string() + ": " + code.message()});

    host::SignalWaiter signals(true);
    std::cerr << "Making a clip and a page with it …\n";
    Result<void> made;
    signals.run([&] { made = make_clip((folder / "clip.mp4").string(), 6); }, leave_at_once);
    if (!made) return fail(in, made.error());
    DemoSite site((folder / "clip.mp4").string());
    auto url = site.start();
    if (!url) return fail(in, url.error());

    auto store = any_store(in);
    if (!store) return host::exit_unusable;
    auto& clock = system_clock();
    const auto stored = store_sink(*store, clock);
    host::Process process{in, *store, clock, *stored, to_iso(clock.wall()), [&](int) { signals.wake(); }};
    host::Process page_process{page_in, *store, clock, *stored, process.started_at, [&](int) { signals.wake(); }};
    if (loose.browser_no_sandbox && !config.browser_no_sandbox)
        std::cerr << "Running as root: for the demo's own page, and only for it, the browser runs without its sandbox.\n";
    std::cerr << "Saving " << *url << " with a real browser:\n";
    const auto ended = save_page(page_process, signals, *url);
    const int result = ended ? tell_end(in, config, *ended) : fail(in, ended.error());
    if (result != host::exit_ok || in.has("exit")) return result;
    return stay_up(process, signals);
}

}  // namespace

std::vector<Command> demo_commands() {
    return {{"demo", "Makes a clip, serves a page with it, saves it with the real browser, and stays up.",
             {{"--exit", "End after the clip was saved."}, {"--json", "Print the outcome as JSON."}},
             {"jobrt demo", "jobrt demo --exit"}, demo, true}};
}

}  // namespace jobruntime::jobrt

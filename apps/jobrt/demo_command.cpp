// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "commands.hpp"

#include <filesystem>
#include <iostream>
#include <thread>

#include <unistd.h>

#include <jobruntime/http.hpp>
#include <jobruntime/job_queue.hpp>
#include <jobruntime/memory.hpp>
#include <jobruntime/subprocess.hpp>

#include "media_api.hpp"
#include "media_kind.hpp"
#include "parts.hpp"
#include "platforms.hpp"
#include "process.hpp"
#include "signals.hpp"

namespace jobruntime::jobrt {
namespace {

namespace fs = std::filesystem;

/// A six-second test picture with a tone.
Result<void> make_clip(const std::string& path) {
    SpawnOptions options;
    options.argv = {"ffmpeg", "-nostdin", "-v", "error", "-y",
                    "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25",
                    "-f", "lavfi", "-i", "sine=frequency=440",
                    "-t", "6", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac", path};
    options.env = {"PATH=/usr/local/bin:/usr/bin:/bin"};
    options.err = Stdio::inherit;
    auto ffmpeg = Subprocess::spawn(options);
    if (!ffmpeg)
        return Error{Errc::not_found, "FFMPEG_NOT_FOUND",
                     "the demo makes its clip with ffmpeg: " + ffmpeg.error().message + "; apt install ffmpeg"};
    auto ended = ffmpeg->wait(std::chrono::steady_clock::now() + std::chrono::seconds(60));
    if (!ended) return std::move(ended).error();
    if (!ended->success()) return Error{Errc::internal, "FFMPEG_FAILED", "ffmpeg could not make the clip: " + to_string(*ended)};
    return {};
}

/// A page with the clip on a loopback port of its own.
class DemoSite {
public:
    explicit DemoSite(std::string clip) : store_(memory::open()), queue_(*store_), router_(queue_), clip_(std::move(clip)) {
        router_.add({"GET", "/", jobruntime::Role::anyone, "The page.", {}, [](const Request&, const RouteMatch&) {
                         Response page;
                         page.headers.emplace_back("content-type", "text/html; charset=utf-8");
                         page.body = std::string(
                             "<!doctype html><html lang=en><head><meta charset=utf-8><title>jobrt demo clip</title>"
                             "<meta property=og:site_name content=demo></head>"
                             "<body><h1>jobrt demo clip</h1><video src=/clip.mp4 controls></video></body></html>");
                         return page;
                     }});
        router_.add({"GET", "/clip.mp4", jobruntime::Role::anyone, "The clip.", {},
                     [this](const Request& request, const RouteMatch&) {
                         return file_response(request, clip_, "video/mp4");
                     }});
        http::Options options;
        options.addresses = {"127.0.0.1"};
        options.port = 0;
        server_ = std::make_unique<http::Server>(router_, *store_, options);
    }
    Result<std::string> start() {
        JR_TRY(server_->start());
        return server_->urls().front() + "/";
    }

private:
    std::unique_ptr<Store> store_;
    JobQueue queue_;
    ApiRouter router_;
    std::string clip_;
    std::unique_ptr<http::Server> server_;
};

/// The demo keeps to a folder of its own, so that no job of anybody else runs under its looser rules.
host::Config demo_config(const host::Config& given) {
    host::Config config = given;
    const auto folder = fs::current_path() / "jobrt-demo";
    config.role = host::ProcessRole::combined;
    config.store = "sqlite:" + (folder / "jobrt.db").string();
    config.download_dir = (folder / "downloads").string();
    config.profile_dir = (folder / "profile").string();
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
    for (const auto& event : page->events)
        if (event.name != "worker.job.progress" && event.name != "worker.job.log")
            std::cerr << "  " << to_iso(event.at) << "  " << event.name << "\n";
    after = page->next;
}

/// Saves the page through the whole pipeline and tells each step.
Result<Job> save_page(host::Process& process, const std::string& url, std::stop_token stop) {
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
    EventId after = 0;
    for (;;) {
        auto ended = queue.wait(entered->id, Duration{200}, stop);
        print_events(process.store, entered->id, after);
        if (ended || ended.error().code != Errc::timed_out) return ended;
    }
}

int tell_end(const Invocation& in, const host::Config& config, const Job& job) {
    const auto* path = job.result.is_object() ? job.result.get_object().if_contains("outputPath") : nullptr;
    if (job.state != JobState::completed || !path || !path->is_string()) {
        if (!job.errors.empty()) return fail(in, {Errc::internal, job.errors.back().code, job.errors.back().message});
        return fail(in, {Errc::internal, "DEMO_FAILED", "the demo's job ended " + std::string(to_string(job.state))});
    }
    std::cerr << "\nSaved: " << config.download_dir << "/" << std::string_view(path->get_string()) << "\n";
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

    std::cerr << "Making a clip and a page with it …\n";
    if (auto made = make_clip((folder / "clip.mp4").string()); !made) return fail(in, made.error());
    DemoSite site((folder / "clip.mp4").string());
    auto url = site.start();
    if (!url) return fail(in, url.error());

    auto store = any_store(in);
    if (!store) return host::exit_unusable;
    auto& clock = system_clock();
    const auto stored = store_sink(*store, clock);
    host::SignalWaiter signals;
    host::Process process{in, *store, clock, *stored, to_iso(clock.wall()), [&](int) { signals.wake(); }};
    host::Process page_process{page_in, *store, clock, *stored, process.started_at, [&](int) { signals.wake(); }};
    auto api = host::make_api_part(process);
    if (auto started = api->start(); !started) {
        fail(in, started.error());
        return started.error().name == "PORT_IN_USE" ? host::exit_unusable : host::exit_failed;
    }
    auto worker = host::make_worker_part(page_process);
    if (auto started = worker->start(); !started) return fail(in, started.error());
    if (loose.browser_no_sandbox && !config.browser_no_sandbox)
        std::cerr << "Running as root: for the demo's own page, and only for it, the browser runs without its sandbox.\n";
    std::cerr << "Saving " << *url << " with a real browser:\n";

    std::stop_source stop;
    Result<Job> ended = Error{Errc::internal, "DEMO_FAILED", "the demo was interrupted"};
    const auto how = signals.run([&] { ended = save_page(page_process, *url, stop.get_token()); },
                                 [&] { stop.request_stop(); });
    worker->stop();
    int result = ended ? tell_end(in, config, *ended) : fail(in, ended.error());
    if (how != host::Ended::second_signal && result == host::exit_ok && !in.has("exit")) {
        // From here on the usual rules hold: the sandbox, and no private addresses.
        worker = host::make_worker_part(process);
        if (auto started = worker->start(); !started) return fail(in, started.error());
        for (const auto& address : api->urls()) std::cerr << "API:   " << address << "/api/jobs\n";
        std::cerr << "Try:   curl -s " << api->urls().front() << "/api/jobs\nCtrl-C ends it.\n";
        signals.wait();
        signals.run([&] { worker->stop(); }, [&] { worker->stop_now(); });
    }
    api->stop();
    return result;
}

}  // namespace

std::vector<Command> demo_commands() {
    return {{"demo", "Makes a clip, serves a page with it, saves it with the real browser, and stays up.",
             {{"--exit", "End after the clip was saved."}},
             {"jobrt demo", "jobrt demo --exit"}, demo}};
}

}  // namespace jobruntime::jobrt

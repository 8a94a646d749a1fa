// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "commands.hpp"

#include <jobruntime/job_queue.hpp>
#include <jobruntime/net.hpp>

#include "media_api.hpp"
#include "media_kind.hpp"
#include "platform_config.hpp"
#include "parts.hpp"
#include "platforms.hpp"
#include "process.hpp"
#include "save.hpp"

namespace jobruntime::jobrt {
namespace {

/// Waits for the job's end and shows its progress.
Result<boost::json::object> follow(JobQueue& queue, JobId id, ProgressView& view, const std::stop_token& stop) {
    for (;;) {
        auto ended = queue.wait(id, Duration{200}, stop);
        if (ended) return job_object(*ended, "");
        if (ended.error().code != Errc::timed_out) return std::move(ended).error();
        auto job = queue.get(id, 0);
        if (job && *job) view.show(job_object(**job, ""));
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
    if (!entered || entered->how != InsertAnswer::How::existing) return entered;
    auto job = queue.get(entered->id, part_result);
    if (!job) return std::move(job).error();
    const bool completed = *job && (*job)->state == JobState::completed;
    if (completed && media.clear_if_gone(**job)) {
        auto again = queue.retry(entered->id, true);
        if (!again) return std::move(again).error();
        return entered;
    }
    already = completed;
    if (*job) queue.tell_duplicate(**job, (*job)->trace_id);
    return entered;
}

int save(const Invocation& in) {
    if (in.has("api")) return save_through_api(in);
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
    auto sites = host::MediaConfig::from(in.config);
    if (!sites) return fail(in, sites.error());
    host::MediaApi media(queue, flags, std::move(fetching), in.config.download_dir, sites->rules());
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
    const Saving saving{entered->id.str(), already, in.config.download_dir,
                        [&](ProgressView& view, std::stop_token stop) { return follow(queue, entered->id, view, stop); }};
    return see_through(in, saving, [&] {
        if (worker) worker->stop();
    });
}

}  // namespace

std::vector<Command> save_commands() {
    return {{"save", "Saves the video of a post and prints the file's path.",
             {{"URL", "The post's address."},
              {"--api URL", "Leave it to this API and its worker, instead of the store."}, {"--json", "Print the outcome as JSON."}},
             {"jobrt save https://x.com/somebody/status/1234567890", "jobrt save https://example.org/talk.html --json",
              "jobrt save https://example.org/talk.html --api http://127.0.0.1:4000"},
             save}};
}

}  // namespace jobruntime::jobrt

// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "commands.hpp"

#include <algorithm>

#include <jobruntime/job_queue.hpp>
#include <jobruntime/net.hpp>

#include "extractors.hpp"
#include "media_api.hpp"
#include "media_kind.hpp"
#include "platform_config.hpp"
#include "parts.hpp"
#include "platforms.hpp"
#include "process.hpp"
#include "save.hpp"

namespace jobruntime::jobrt {
namespace {

/// So often a save that waits for somebody else's worker looks whether there still is one.
constexpr std::chrono::seconds look_again{2};

/// Whether a process lives that takes such a job. Empty lists mean everything, as in JobQueue::waiting_for.
Result<bool> live_worker(Store& store, Duration lease, std::string_view kind, std::string_view queue) {
    auto sessions = store.sessions();
    if (!sessions) return std::move(sessions).error();
    const auto now = system_clock().wall();
    const auto lists = [](const std::vector<std::string>& names, std::string_view name) {
        return names.empty() || std::find(names.begin(), names.end(), name) != names.end();
    };
    for (const auto& session : *sessions)
        if (session.facts.works && seems_alive(session, now, lease) && lists(session.facts.kinds, kind) &&
            lists(session.facts.queues, queue))
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

/// A save on the store itself.
class LocalSave {
public:
    LocalSave(const Invocation& in, Store& store)
        : in_(in), store_(store), queue_(store), flags_(store, in.config), sink_(store_sink(store, system_clock())),
          process_{in, store, system_clock(), *sink_, "", [](int) {}} {}

    Result<Saving> begin() {
        // One that nobody but this process would do must not be left behind because this process cannot.
        if (const auto live = live_worker(store_, in_.config.lease, host::media_kind, host::media_queue); live && !*live)
            JR_TRY(host::check_job_worker(process_));
        auto nets = host::allowed_networks(in_.config);
        if (!nets) return std::move(nets).error();
        net::FetcherOptions fetching;
        fetching.allow_nets = *std::move(nets);
        auto sites = host::MediaConfig::from(in_.config);
        if (!sites) return std::move(sites).error();
        host::MediaApi media(queue_, flags_, std::move(fetching), in_.config.download_dir, sites->rules());
        Saving saving;
        auto entered = submit(media, queue_, in_.text("URL"), saving.already);
        if (!entered) return std::move(entered).error();
        auto job = queue_.get(entered->id, 0);
        if (!job) return std::move(job).error();
        saving.id = entered->id.str();
        saving.download_dir = in_.config.download_dir;
        saving.follow = [this, id = entered->id](ProgressView& view, std::stop_token stop) {
            return follow(id, view, stop);
        };
        saving.worker = [this] { return worker_.get(); };
        if (saving.already || !*job) return saving;
        const auto live = live_worker(store_, in_.config.lease, (*job)->kind, (*job)->queue);
        if (!live || !*live) JR_TRY(work(**job));
        return saving;
    }

private:
    /// A worker of this process's own, for this job.
    Result<void> work(const Job& job) {
        auto worker = host::make_job_worker(process_, job.id, job.queue);
        JR_TRY(worker->start());
        worker_ = std::move(worker);
        return {};
    }

    /// Waits for the job's end and shows its progress. The worker that was there when it was put in may be stopped or
    /// killed: when none has been there for a lease, this process does the job after all.
    Result<boost::json::object> follow(JobId id, ProgressView& view, const std::stop_token& stop) {
        auto look = process_.clock.steady() + look_again;
        constexpr auto served = SteadyTime::max();
        auto patient = served;  // When no worker is there: for so long one may come.
        std::string waiting;
        for (;;) {
            auto ended = queue_.wait(id, Duration{200}, stop);
            if (ended) return job_object(*ended, "");
            if (ended.error().code != Errc::timed_out) return std::move(ended).error();
            auto job = queue_.get(id, 0);
            if (!job || !*job) continue;
            const auto now = process_.clock.steady();
            if (!worker_ && now >= look) {
                look = now + look_again;
                const auto live = live_worker(store_, in_.config.lease, (*job)->kind, (*job)->queue);
                if (!live || *live) patient = served;
                else if (patient == served) patient = now + in_.config.lease;
                waiting = queue_.waiting_for(**job, in_.config.lease).value_or("");
                if (now >= patient) {
                    waiting.clear();
                    JR_TRY(work(**job));
                }
            }
            const bool waits = (*job)->state == JobState::queued || (*job)->state == JobState::scheduled;
            view.show(job_object(**job, waits ? waiting : ""));
        }
    }

    const Invocation& in_;
    Store& store_;
    JobQueue queue_;
    host::PlatformFlags flags_;
    std::unique_ptr<TelemetrySink> sink_;
    host::Process process_;
    std::unique_ptr<host::Part> worker_;
};

int save(const Invocation& in) {
    if (in.has("api")) return save_through_api(in);
    auto store = any_store(in);
    if (!store) return host::exit_unusable;
    LocalSave saving(in, *store);
    return see_through(in, [&] { return saving.begin(); });
}

}  // namespace

std::vector<Command> save_commands() {
    return {{"save", "Saves the video of a post and prints the file's path.",
             {{"URL", "The post's address."},
              {"--api URL", "Leave it to this API and its worker, instead of the store."}, {"--json", "Print the outcome as JSON."}},
             {"jobrt save https://x.com/somebody/status/1234567890", "jobrt save https://example.org/talk.html --json",
              "jobrt save https://example.org/talk.html --api http://127.0.0.1:4000"},
             save, true}};
}

}  // namespace jobruntime::jobrt

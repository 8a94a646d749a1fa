// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <optional>
#include <thread>
#include <vector>

#include <netinet/in.h>
#include <stdlib.h>

#include <jobruntime/job_queue.hpp>
#include <jobruntime/net.hpp>

#include "demo_site.hpp"
#include "doctor.hpp"
#include "extractors.hpp"
#include "process.hpp"
#include "session_watch.hpp"

namespace jobruntime::jobrt {
namespace {

using std::chrono::steady_clock;
using namespace std::chrono_literals;

/// Events are to be seen at the API so soon.
constexpr std::chrono::seconds soon{5};
/// A submitted job is to be over by then.
constexpr std::chrono::seconds expected{60};

std::string text_of(const boost::json::object& object, std::string_view name) {
    const auto* value = object.if_contains(name);
    return value && value->is_string() ? std::string(value->get_string()) : std::string();
}

const boost::json::array& list_of(const boost::json::object& object, std::string_view name) {
    static const boost::json::array none;
    const auto* value = object.if_contains(name);
    return value && value->is_array() ? value->get_array() : none;
}

/// The page that is saved for lines 5 and 6, where this machine can serve one to the worker.
struct Probe {
    std::string folder;  // With the clip; goes with it.
    std::unique_ptr<DemoSite> site;
    std::string url;
    std::string why_not;  ///< Why there is none.

    Probe() = default;
    Probe(Probe&&) = default;
    ~Probe() {
        std::error_code ignored;
        if (!folder.empty()) std::filesystem::remove_all(folder, ignored);
    }
};

class Checklist {
public:
    Checklist(const Invocation& in, Report& report)
        : in_(in), report_(report), api_(api_address(in.config)) {}

    void run() {
        auto token = api_token(in_);
        if (!token) return report_.bad("the checklist cannot ask the API: " + token.error().message);
        token_ = *std::move(token);
        // One way to say what is not known: the API is asked for everything.
        const auto health = call_api(api_, "/api/health");
        const bool jobrt = health && health->status == 200 && health->body.contains("service");
        status_ = get_api(api_, "/api/status", token_);
        listed_ = get_api(api_, "/api/workers", token_);
        if (listed_) keep_the_living(list_of(*listed_, "workers"));
        shared_store();
        if (jobrt)
            report_.good("2. the API listens on port " + std::to_string(in_.config.port));
        else
            report_.bad("2. the API does not answer at " + api_ + ": " +
                        (health ? "what answers is not jobrt, or its store is down" : health.error().message));
        programs();
        heartbeat();
        job_and_events();
    }

private:
    /// One that was killed stays in the list until somebody has taken its jobs over.
    void keep_the_living(const boost::json::array& all) {
        for (const auto& worker : all) {
            const auto* live = worker.is_object() ? worker.get_object().if_contains("live") : nullptr;
            if (live && live->is_bool() && live->get_bool()) workers_.push_back(worker);
        }
    }
    /// Why none is known: an API that keeps the list to itself says nothing about workers.
    std::string why_no_worker() const {
        return status_ && listed_ ? "no worker is running" : "the API does not answer as it should";
    }
    static const boost::json::object& details_of(const boost::json::value& worker) {
        static const boost::json::object none;
        const auto* object = worker.if_object();
        const auto* details = object ? object->if_contains("details") : nullptr;
        return details && details->is_object() ? details->get_object() : none;
    }

    void shared_store() {
        if (!status_) return report_.bad("1. whether API and worker share a store is not known: " + status_.error().message);
        const auto theirs = text_of(*status_, "store");
        if (theirs != host::store_name(in_.config))
            return report_.bad("1. the API's store is " + theirs + ", this configuration's is " +
                               host::store_name(in_.config) + "; give both the same JOBRT_STORE or MONGODB_URI");
        if (!listed_) return report_.bad("1. whether a worker shares the store is not known: " + listed_.error().message);
        if (workers_.empty())
            return report_.bad("1. no worker shares the store " + theirs +
                               "; start one with ROLE=worker and the same JOBRT_STORE or MONGODB_URI");
        for (const auto& worker : workers_)
            if (const auto store = text_of(details_of(worker), "store"); !store.empty() && store != theirs)
                report_.warn("1. a worker calls the store " + store + ", the API " + theirs);
        report_.good("1. API and worker share the store " + theirs);
    }

    void programs() {
        if (workers_.empty()) return report_.bad("3. which programs a worker finds is not known: " + why_no_worker());
        std::string missing;
        for (const auto& worker : workers_)
            for (const auto& line : list_of(details_of(worker), "missing"))
                if (line.is_string())
                    missing += " pid " + std::to_string(pid_of(worker)) + ": " + std::string(line.get_string()) + ";";
        if (missing.empty()) return report_.good("3. every worker finds its browser and media helper");
        missing.pop_back();
        report_.bad("3. a worker misses programs:" + missing);
    }

    static std::int64_t pid_of(const boost::json::value& worker) {
        const auto* pid = worker.is_object() ? worker.get_object().if_contains("pid") : nullptr;
        return pid && pid->is_int64() ? pid->get_int64() : 0;
    }

    void heartbeat() {
        const auto health = call_api(api_, "/api/worker/health");
        if (!health) return report_.bad("4. the worker's heartbeat is not known: " + health.error().message);
        const auto* ok = health->body.if_contains("ok");
        if (ok && ok->is_bool() && ok->get_bool()) return report_.good("4. worker heartbeat is ok");
        report_.bad("4. worker heartbeat is not ok: " + text_of(health->body, "error"));
    }

    /// Lines 5 and 6.
    void job_and_events() {
        if (!status_ || workers_.empty()) {
            report_.bad("5. no job was submitted: " + why_no_worker());
            return report_.bad("6. no events were looked for: " + why_no_worker());
        }
        const auto probe = make_probe();
        boost::json::object wanted{{"priority", -1}};
        if (probe.url.empty()) {
            wanted["kind"] = "demo.echo";
            wanted["payload"] = {{"checklist", true}};
        } else {
            wanted["url"] = probe.url;
        }
        begin_ = steady_clock::now();
        const auto answer = call_api(api_, "/api/jobs", &wanted, token_);
        const auto* job = answer && answer->status == 201 ? answer->body.if_contains("job") : nullptr;
        if (!job || !job->is_object()) {
            report_.bad("5. no job could be submitted: " + (answer ? refused(*answer) : answer.error()).message);
            return report_.bad("6. no events were looked for: no job could be submitted");
        }
        const bool page = !probe.url.empty();
        const auto id = text_of(job->get_object(), "id");
        watch(id, page);
        tell_job(probe);
        tell_events(page);
        if (page) tidy_up(id);
    }

    /// Asks until the job is over and its events have been seen, or time is up.
    void watch(const std::string& id, bool page) {
        const std::vector<std::string> needed =
            page ? std::vector<std::string>{"worker.job.claimed", "worker.job.extraction.started", "worker.job.download.completed"}
                 : std::vector<std::string>{"worker.job.claimed", "worker.job.completed"};
        std::optional<steady_clock::time_point> over;
        for (;; std::this_thread::sleep_for(100ms)) {
            const auto now = steady_clock::now();
            if (const auto seen = get_api(api_, "/api/telemetry?limit=500&jobId=" + id, token_)) look(*seen, needed);
            const auto asked = get_api(api_, "/api/jobs/" + id, token_);
            const auto* job = asked ? asked->if_contains("job") : nullptr;
            if (job && job->is_object()) job_ = job->get_object();
            const auto status = text_of(job_, "status");
            if (!over && (status == "completed" || status == "failed" || status == "canceled")) over = now;
            if (over && (in_order_ == needed.size() || status != "completed" || now - *over > soon)) return;
            if (now - begin_ > expected) return;
        }
    }

    void look(const boost::json::object& seen, const std::vector<std::string>& needed) {
        std::size_t found = 0;
        for (const auto& event : list_of(seen, "events"))
            if (found < needed.size() && event.is_object() && text_of(event.get_object(), "event") == needed[found]) ++found;
        const auto now = steady_clock::now();
        if (found > 0 && !first_) first_ = now - begin_;
        if (found == needed.size() && !last_) last_ = now - begin_;
        in_order_ = found;
        missing_event_ = found < needed.size() ? needed[found] : "";
    }

    void tell_job(const Probe& probe) {
        const auto status = text_of(job_, "status");
        const bool page = !probe.url.empty();
        const std::string what = page ? "a submitted page with a clip" : "a submitted demo.echo job";
        if (status != "completed") {
            const auto code = text_of(job_, "errorCode");
            return report_.bad("5. " + what + " is " + status +
                               (code.empty() ? " after " + seconds(steady_clock::now() - begin_) : ": " + code + ": " + text_of(job_, "error")));
        }
        report_.good("5. " + what + " reaches completed" + (page ? ", with its file" : ""));
        if (!page) report_.warn("5. the media part was not tried: " + probe.why_not);
        if (page && text_of(job_, "thumbnailPath").empty())
            report_.warn("5. the clip has no thumbnail: the media helper has no decoder for H.264");
    }

    void tell_events(bool page) {
        const std::string names = page ? "claimed, extraction started, download completed" : "claimed, completed";
        if (!missing_event_.empty() || !first_ || !last_)
            return report_.bad("6. the API does not show the worker's events in order (" + names + "): " +
                               (missing_event_.empty() ? "worker.job.claimed" : missing_event_) + " did not appear");
        if (*first_ > soon)
            return report_.bad("6. the worker's first event showed at the API after " + seconds(*first_) + "; 5 s is the limit");
        report_.good("6. worker events appear at the API, in order: " + names);
        if (*last_ > soon)
            report_.warn("6. the last of them came " + seconds(*last_) + " after the submission; more than 5 s means a slow "
                         "machine, or a browser that is slow to start");
    }

    static std::string seconds(steady_clock::duration time) {
        return std::to_string(std::chrono::duration_cast<std::chrono::seconds>(time).count()) + " s";
    }

    Probe make_probe() const {
        Probe probe;
        const bool elsewhere = std::any_of(workers_.begin(), workers_.end(), [](const boost::json::value& worker) {
            return worker.is_object() && text_of(worker.get_object(), "host") != host::own_host_name();
        });
        const auto nets = host::allowed_networks(in_.config);
        sockaddr_in loopback{};
        loopback.sin_family = AF_INET;
        loopback.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        const bool allowed = nets && std::any_of(nets->begin(), nets->end(), [&](const net::Network& network) {
            return network.contains(reinterpret_cast<const sockaddr&>(loopback));
        });
        if (!allowed)
            probe.why_not = "JOBRT_ALLOW_NETS does not let the worker reach a page on loopback; save a page of your own instead";
        else if (elsewhere)
            probe.why_not = "a worker is on another host, where a page of this machine's loopback is not";
        if (!probe.why_not.empty()) return probe;
        auto folder = (std::filesystem::temp_directory_path() / "jobrt-doctor.XXXXXX").string();
        if (!::mkdtemp(folder.data())) {
            probe.why_not = "cannot make a temporary folder for a clip";
            return probe;
        }
        probe.folder = folder;
        if (auto made = make_clip(folder + "/clip.mp4", 1); !made) {
            probe.why_not = made.error().message;
            return probe;
        }
        probe.site = std::make_unique<DemoSite>(folder + "/clip.mp4");
        if (auto url = probe.site->start())
            probe.url = *url;
        else
            probe.why_not = url.error().message;
        return probe;
    }

    /// The clip was for looking only, and saved videos are kept for ever: job and files go, where the store can be
    /// reached from here.
    void tidy_up(const std::string& id) {
        const auto job = JobId::parse(id);
        if (!job || text_of(*status_, "store") != host::store_name(in_.config)) return;
        auto store = host::open_store(in_.config, {"", "cli"}, in_.log);
        if (!store) return;
        JobQueue queue(**store);
        if (auto removed = queue.remove(*job); !removed || removed->how != ChangeAnswer::How::done) {
            (void)queue.cancel(*job).has_value();
            return report_.warn("the job of the checklist stays in the store: jobrt jobs delete " + id);
        }
        const auto path = text_of(job_, "outputPath");
        const auto folder = text_of(*status_, "downloadDir");
        if (auto gone = path.empty() ? Result<int>(0) : net::remove_saved_files(folder, *job, path); !gone)
            report_.warn("the clip of the checklist stays in the download folder: " + gone.error().message);
    }

    const Invocation& in_;
    Report& report_;
    const std::string api_;
    std::string token_;
    Result<boost::json::object> status_ = Error{};
    Result<boost::json::object> listed_ = Error{};
    boost::json::array workers_;
    boost::json::object job_;
    steady_clock::time_point begin_;
    std::optional<steady_clock::duration> first_, last_;
    std::size_t in_order_ = 0;
    std::string missing_event_;
};

}  // namespace

std::string api_address(const host::Config& config) {
    std::string address;
    for (const auto& bound : config.bind_addresses)
        if (address.empty() && !bound.starts_with("unix:")) address = bound;
    if (address.empty() || address == "0.0.0.0") address = "127.0.0.1";
    if (address == "::") address = "::1";
    if (address.find(':') != std::string::npos) address = "[" + address + "]";
    return "http://" + address + ":" + std::to_string(config.port);
}

void run_checklist(const Invocation& in, Report& report) { Checklist(in, report).run(); }

}  // namespace jobruntime::jobrt

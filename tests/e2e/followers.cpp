// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "e2e/followers.hpp"

#include <algorithm>
#include <cstdlib>
#include <unordered_map>

#include <doctest/doctest.h>
#include <jobruntime/clock.hpp>

namespace jobruntime::e2e {
namespace {

std::int64_t now_ms() { return system_clock().wall().time_since_epoch().count(); }

bool ends_job(std::string_view name) {
    return name == "worker.job.completed" || name == "worker.job.failed" || name == "worker.job.canceled";
}

}  // namespace

int scaled(int full, int least) {
    const char* given = std::getenv("JOBRT_TEST_SCALE");
    return std::max(least, full * (given && *given ? std::atoi(given) : 100) / 100);
}

Follower::Follower(int port, bool resumes) : resumes_(resumes), port_(port) {
    connect(port);
    reader_ = std::jthread([this](const std::stop_token& stop) {
        while (!stop.stop_requested()) {
            {
                const std::lock_guard lock(mutex_);
                take();
                if (stream_->over()) {
                    take();
                    begin();
                }
            }
            std::this_thread::sleep_for(20ms);
        }
    });
}

void Follower::connect(int port) {
    const std::lock_guard lock(mutex_);
    port_ = port;
    take();
    begin();
}

void Follower::begin() {
    const auto last = seen_.empty() ? "0" : std::to_string(seen_.back().id);
    stream_.reset();
    rest_.clear();
    since_ = now_ms();
    ++connections_;
    stream_ = resumes_ || seen_.empty()
                  ? std::make_unique<Stream>(port_, "/api/telemetry/stream", HeaderList{{"Last-Event-ID", last}})
                  : std::make_unique<Stream>(port_, "/api/telemetry/stream?limit=1");
}

void Follower::take() {
    if (!stream_) return;
    rest_ += stream_->take();
    std::size_t parsed = 0;
    for (std::size_t end = 0; (end = rest_.find("\n\n", parsed)) != std::string::npos; parsed = end + 2) {
        const auto frame = rest_.substr(parsed, end - parsed);
        const auto data = frame.find("data: {");
        if (frame.find("event: telemetry") == std::string::npos || data == std::string::npos) continue;
        boost::system::error_code code;
        const auto value = boost::json::parse(frame.substr(data + 6, frame.find('\n', data) - data - 6), code);
        if (code || !value.is_object()) continue;
        Seen one{value.at("id").to_number<std::int64_t>(), 0};
        if (const auto at = parse_iso(e2e::text(value.get_object(), "ts"))) {
            const auto happened = at->time_since_epoch().count();
            if (happened > since_) one.late_ms = now_ms() - happened;
        }
        seen_.push_back(one);
    }
    rest_.erase(0, parsed);
}

std::vector<Follower::Seen> Follower::seen() {
    const std::lock_guard lock(mutex_);
    take();
    return seen_;
}

std::vector<std::int64_t> Follower::ids() {
    std::vector<std::int64_t> ids;
    for (const auto& one : seen()) ids.push_back(one.id);
    return ids;
}

Load::Load(std::chrono::milliseconds pause)
    : thread_([this, pause](const std::stop_token& stop) {
          for (int n = 0; !stop.stop_requested(); ++n) {
              const auto answer =
                  http(port_, "POST", "/api/jobs",
                       n % 3 == 2 ? R"({"kind":"demo.sleep","payload":{"ms":100}})" : R"({"kind":"demo.echo"})");
              if (answer.status == 201) {
                  const auto json = answer.json();
                  const std::lock_guard lock(mutex_);
                  ids_.push_back(text(json.at("job").get_object(), "id"));
                  ++accepted_;
              }
              std::this_thread::sleep_for(pause);
          }
      }) {}

std::vector<std::string> Load::ids() const {
    const std::lock_guard lock(mutex_);
    return ids_;
}

void Apis::start(std::size_t i) {
    variables["ROLE"] = "api";
    each.resize(std::max(each.size(), i + 1));
    each[i] = std::make_unique<Service>(folder, variables, 20s, argv);
    REQUIRE_FALSE(each[i]->ready().empty());
}

std::vector<LogEvent> whole_log(int port) {
    std::vector<LogEvent> log;
    for (std::string after = "0";;) {
        const auto page = http(port, "GET", "/api/telemetry?limit=2000&after=" + after).json();
        const auto* events = page.if_contains("events");
        if (!events || !events->is_array() || events->get_array().empty()) return log;
        for (const auto& event : events->get_array()) {
            const auto& object = event.get_object();
            log.push_back({object.at("id").to_number<std::int64_t>(), text(object, "event"), text(object, "jobId"),
                           text(object, "status")});
        }
        after = std::to_string(page.at("next").to_number<std::int64_t>());
    }
}

std::vector<std::int64_t> ids_of(const std::vector<LogEvent>& log) {
    std::vector<std::int64_t> ids;
    for (const auto& event : log) ids.push_back(event.id);
    return ids;
}

std::string Judgement::counts() const {
    return std::to_string(completed) + " completed, " + std::to_string(failed) + " failed, " + std::to_string(lost) +
           " lost, " + std::to_string(reruns) + " run after their end, " + std::to_string(twice) + " ended twice, " +
           std::to_string(unordered) + " events out of order";
}

Judgement judge(const std::vector<LogEvent>& log, const std::vector<std::string>& accepted) {
    Judgement judgement;
    std::unordered_map<std::string, std::string> ended;  // By which event.
    for (std::size_t i = 0; i < log.size(); ++i) {
        const auto& event = log[i];
        judgement.unordered += i > 0 && event.id <= log[i - 1].id;
        judgement.gaps += i > 0 && event.id != log[i - 1].id + 1;
        if (event.job.empty()) continue;
        const bool over = ended.contains(event.job);
        judgement.reruns += over && event.name == "worker.job.claimed";
        if (!ends_job(event.name)) continue;
        judgement.twice += over;
        ended[event.job] = event.name;
    }
    for (const auto& [job, how] : ended) (how == "worker.job.completed" ? judgement.completed : judgement.failed) += 1;
    for (const auto& id : accepted) judgement.lost += !ended.contains(id);
    return judgement;
}

int unnoticed_breaks(const std::vector<LogEvent>& log, const std::vector<std::string>& accepted) {
    const auto end = std::find_if(log.begin(), log.end(), [](const auto& event) {
        return event.name == "worker.job.completed";
    });
    if (end == log.end()) return 5;
    const auto newest = log.back().id;
    auto again = log, rerun = log, lost = log, turned = log, gap = log;
    again.push_back({newest + 1, end->name, end->job, end->status});
    rerun.push_back({newest + 1, "worker.job.claimed", end->job, "running"});
    std::erase_if(lost, [&](const auto& event) { return event.job == accepted.front() && ends_job(event.name); });
    std::swap(turned[0], turned[1]);
    gap.erase(gap.begin() + 1);
    return (judge(again, accepted).twice == 0) + (judge(rerun, accepted).reruns == 0) +
           (judge(lost, accepted).lost == 0) + (judge(turned, accepted).unordered == 0) +
           (judge(gap, accepted).gaps == judge(log, accepted).gaps);
}

}  // namespace jobruntime::e2e

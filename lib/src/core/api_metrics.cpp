// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <cstdio>
#include <utility>

#include "core/api_impl.hpp"

namespace jobruntime {
namespace {

/// Text in the exposition format 0.0.4 of Prometheus.
class Exposition {
public:
    void family(std::string_view name, std::string_view type, std::string_view help) {
        name_ = name;
        text_ += "# HELP " + name_ + " " + std::string(help) + "\n# TYPE " + name_ + " " + std::string(type) + "\n";
    }
    void sample(double value, std::initializer_list<std::pair<std::string_view, std::string_view>> labels = {}) {
        text_ += name_;
        char before = '{';
        for (const auto& [label, content] : labels) {
            text_ += std::exchange(before, ',');
            text_ += label;
            text_ += "=\"";
            for (const char c : content) {
                if (c == '\\' || c == '"') text_ += '\\';
                if (c == '\n') text_ += "\\n";
                else text_ += c;
            }
            text_ += '"';
        }
        if (before == ',') text_ += '}';
        char number[40];
        std::snprintf(number, sizeof number, " %.15g\n", value);
        text_ += number;
    }
    std::string take() { return std::move(text_); }

private:
    std::string name_;
    std::string text_;
};

double seconds(Duration duration) { return static_cast<double>(duration.count()) / 1000.0; }

void add_jobs(Exposition& out, const std::vector<CountRow>& rows, Time now) {
    out.family("jobrt_jobs", "gauge", "Jobs in the store, by queue and state.");
    std::map<std::string, Time> oldest;
    for (const auto& row : rows) {
        out.sample(static_cast<double>(row.count), {{"queue", row.key}, {"state", row.state ? to_string(*row.state) : ""}});
        if (!row.oldest || *row.oldest > now) continue;
        const auto [known, is_new] = oldest.emplace(row.key, *row.oldest);
        if (!is_new) known->second = std::min(known->second, *row.oldest);
    }
    out.family("jobrt_oldest_due_seconds", "gauge", "How long the job that has been due the longest waits, by queue.");
    for (const auto& [queue, since] : oldest) out.sample(seconds(now - since), {{"queue", queue}});
}

void add_workers(Exposition& out, const std::vector<AgedSession>& sessions, Duration lease) {
    std::int64_t live = 0;
    std::int64_t running = 0;
    std::optional<Duration> newest;
    for (const auto& [info, age] : sessions) {
        if (!info.facts.works || info.facts.stopped || info.declared_dead || info.seen_dead) continue;
        newest = newest ? std::min(*newest, age) : age;
        if (age > lease) continue;
        ++live;
        running += info.facts.running;
    }
    out.family("jobrt_workers", "gauge", "Workers that live.");
    out.sample(static_cast<double>(live));
    out.family("jobrt_worker_running_jobs", "gauge", "Jobs that the living workers say they run.");
    out.sample(static_cast<double>(running));
    out.family("jobrt_worker_heartbeat_age_seconds", "gauge", "Age of the newest beat of a worker; absent without any.");
    if (newest) out.sample(seconds(*newest));
}

}  // namespace

Response ApiRouter::Impl::metrics() {
    // A scrape must not wait as long as the store may make others wait.
    const auto sessions = probe.sessions();
    if (!sessions) return self.error_response(sessions.error());
    const auto rows = queue.count({}, CountBy::queue_and_state);
    if (!rows) return self.error_response(rows.error());
    Exposition out;
    out.family("jobrt_build_info", "gauge", "Always 1; which program answers.");
    out.sample(1, {{"version", options.version}, {"role", options.role}});
    out.family("jobrt_start_time_seconds", "gauge", "When this process began to serve, since 1970.");
    out.sample(seconds(started_at.time_since_epoch()));
    add_jobs(out, *rows, clock.wall());
    add_workers(out, *sessions, options.lease);
    out.family("jobrt_http_responses_total", "counter", "Answers of this process, by class of status.");
    for (std::size_t i = 1; i < answered.size(); ++i)
        out.sample(static_cast<double>(answered[i].load()), {{"class", std::to_string(i) + "xx"}});
    out.family("jobrt_http_unauthorized_total", "counter", "Requests without a good token, or whose token may less.");
    out.sample(static_cast<double>(unauthorized.load()));
    Response response;
    core::set_header(response, "content-type", "text/plain; version=0.0.4; charset=utf-8");
    response.body = out.take();
    return response;
}

void ApiRouter::Impl::count(const Response& response) const {
    const auto status_class = static_cast<std::size_t>(std::clamp(response.status / 100, 1, 5));
    answered[status_class].fetch_add(1, std::memory_order_relaxed);
    if (response.status == 401 || (response.status == 403 && core::has_header(response, "www-authenticate")))
        unauthorized.fetch_add(1, std::memory_order_relaxed);
}

void ApiRouter::Impl::add_metrics_route() {
    on("GET", "/metrics", [this](const Request&, const RouteMatch&) { return metrics(); });
}

}  // namespace jobruntime

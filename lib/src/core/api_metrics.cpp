// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <cstdio>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "core/api_impl.hpp"

namespace jobruntime {
namespace {

/// More queues than this are "other": whoever may create jobs makes queues.
constexpr std::size_t most_queues = 100;

std::string decimal(double value) {
    char number[40];
    std::snprintf(number, sizeof number, "%.15g", value);
    return number;
}

/// Text in the exposition format 0.0.4 of Prometheus.
class Exposition {
public:
    void family(std::string_view name, std::string_view type, std::string_view help) {
        name_ = name;
        text_ += "# HELP " + name_ + " " + std::string(help) + "\n# TYPE " + name_ + " " + std::string(type) + "\n";
    }
    using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;
    void sample(double value, Labels labels = {}, std::string_view suffix = {}) {
        text_ += name_;
        text_ += suffix;
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
        text_ += ' ' + decimal(value) + '\n';
    }
    std::string take() { return std::move(text_); }

private:
    std::string name_;
    std::string text_;
};

double seconds(Duration duration) { return static_cast<double>(duration.count()) / 1000.0; }

/// The queues that have a name of their own; the others are one. By name, so that they are the same at each scrape as long
/// as the queues are.
std::set<std::string_view> named_queues(const std::vector<CountRow>& rows) {
    std::set<std::string_view> names;
    for (const auto& row : rows) names.insert(row.key);
    while (names.size() > most_queues) names.erase(std::prev(names.end()));
    return names;
}

void add_jobs(Exposition& out, const std::vector<CountRow>& rows, Time now) {
    out.family("jobrt_jobs", "gauge", "Jobs in the store, by queue and state.");
    const auto named = named_queues(rows);
    std::map<std::pair<std::string_view, std::string_view>, std::uint64_t> jobs;
    std::map<std::string_view, Time> oldest;
    for (const auto& row : rows) {
        const std::string_view queue = named.contains(row.key) ? std::string_view(row.key) : core::JobCounters::other;
        jobs[{queue, row.state ? to_string(*row.state) : ""}] += row.count;
        if (!row.oldest || *row.oldest > now) continue;
        const auto [known, is_new] = oldest.emplace(queue, *row.oldest);
        if (!is_new) known->second = std::min(known->second, *row.oldest);
    }
    for (const auto& [labels, count] : jobs)
        out.sample(static_cast<double>(count), {{"queue", labels.first}, {"state", labels.second}});
    out.family("jobrt_oldest_due_seconds", "gauge", "How long the job that has been due the longest waits, by queue.");
    for (const auto& [queue, since] : oldest) out.sample(seconds(now - since), {{"queue", queue}});
}

void add_histogram(Exposition& out, const core::JobCounters& counters, core::Histogram core::JobCounters::Series::*which) {
    for (const auto& [pair, series] : counters.pairs()) {
        const auto& [queue, kind] = pair;
        const auto& histogram = series.*which;
        constexpr auto& bounds = core::Histogram::bounds;
        for (std::size_t i = 0; i < bounds.size(); ++i)
            out.sample(static_cast<double>(histogram.up_to(i)), {{"queue", queue}, {"kind", kind}, {"le", decimal(bounds[i])}}, "_bucket");
        const auto count = static_cast<double>(histogram.up_to(bounds.size()));
        out.sample(count, {{"queue", queue}, {"kind", kind}, {"le", "+Inf"}}, "_bucket");
        out.sample(histogram.sum(), {{"queue", queue}, {"kind", kind}}, "_sum");
        out.sample(count, {{"queue", queue}, {"kind", kind}}, "_count");
    }
}

/// Of all processes on the store, as this one has seen their events.
void add_counters(Exposition& out, const core::JobCounters& counters) {
    out.family("jobrt_jobs_enqueued_total", "counter", "Jobs that came, of all processes on the store.");
    for (const auto& [pair, series] : counters.pairs())
        out.sample(static_cast<double>(series.enqueued), {{"queue", pair.first}, {"kind", pair.second}});
    out.family("jobrt_job_outcomes_total", "counter", "How jobs and their attempts ended, of all processes on the store.");
    for (const auto& [pair, series] : counters.pairs())
        for (std::size_t i = 0; i < series.ended.size(); ++i)
            out.sample(static_cast<double>(series.ended[i]),
                       {{"queue", pair.first}, {"kind", pair.second}, {"outcome", core::JobCounters::outcomes[i]}});
    out.family("jobrt_job_wait_seconds", "histogram", "From when a job was due until it was claimed, of all processes on the store.");
    add_histogram(out, counters, &core::JobCounters::Series::wait);
    out.family("jobrt_job_run_seconds", "histogram", "From a claim until the attempt was over, of all processes on the store.");
    add_histogram(out, counters, &core::JobCounters::Series::run);
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
    if (auto looked = keeper.look(); !looked) return self.error_response(looked.error());
    Exposition out;
    out.family("jobrt_build_info", "gauge", "Always 1; which program answers.");
    out.sample(1, {{"version", options.version}, {"role", options.role}});
    out.family("jobrt_start_time_seconds", "gauge", "When this process began to serve, since 1970.");
    out.sample(seconds(started_at.time_since_epoch()));
    add_jobs(out, *rows, clock.wall());
    add_counters(out, keeper.counters());
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

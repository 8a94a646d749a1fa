// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "demo_kinds.hpp"

#include <algorithm>
#include <condition_variable>
#include <mutex>

namespace jobruntime::host {
namespace {

long number(const boost::json::object& payload, std::string_view name, long fallback) {
    const auto* value = payload.if_contains(name);
    return value && value->is_int64() ? static_cast<long>(std::clamp<std::int64_t>(value->get_int64(), 0, 86'400'000))
                                      : fallback;
}

/// False when the stop came first.
bool sleep_for(Duration time, const std::stop_token& stop) {
    std::mutex mutex;
    std::condition_variable_any changed;
    std::unique_lock lock(mutex);
    return !changed.wait_for(lock, stop, time, [&] { return stop.stop_requested(); });
}

Outcome sleep(JobContext& job) {
    const auto& payload = job.job().payload;
    const long steps = std::clamp(number(payload, "steps", 1), 1L, 50L);
    const Duration each{number(payload, "ms", 1000) / steps};
    for (long i = 1; i <= steps; ++i) {
        auto slept = job.step("sleep-" + std::to_string(i), [&]() -> Result<boost::json::value> {
            if (!sleep_for(each, job.stop())) return Error{Errc::canceled, "the sleep was interrupted"};
            return boost::json::value(true);
        });
        if (!slept) return slept.error().code == Errc::canceled ? canceled() : retry("DEMO_STEP", slept.error().message);
        job.progress(100.0 * static_cast<double>(i) / static_cast<double>(steps), "sleep");
    }
    if (job.job().attempt <= number(payload, "failTimes", 0))
        return retry("DEMO_FAILED", "this attempt was asked to fail", Duration{100});
    return completed(boost::json::object{{"sleptMs", each.count() * steps}});
}

}  // namespace

void register_demo_kinds(Worker& worker) {
    worker.on("demo.echo", [](JobContext& job) { return completed(job.job().payload); });
    worker.on("demo.sleep", sleep, {.max_prefetch = 0});
}

}  // namespace jobruntime::host

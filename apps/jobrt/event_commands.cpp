// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "commands.hpp"

#include <condition_variable>
#include <iostream>
#include <mutex>
#include <thread>

#include <boost/json/serialize.hpp>

#include "signals.hpp"

namespace jobruntime::jobrt {
namespace {

void print_event(const Event& event, bool as_json) {
    if (as_json) return print_json(to_json(event));
    std::cout << to_iso(event.at) << " " << to_string(event.level) << " " << event.name;
    if (event.job) std::cout << " job=" << event.job.str();
    if (!event.trace_id.empty()) std::cout << " trace=" << event.trace_id;
    for (const auto& field : event.fields)
        std::cout << " " << std::string_view(field.key()) << "=" << boost::json::serialize(field.value());
    std::cout << std::endl;
}

/// Prints new events until a signal comes.
int follow(const Invocation& in, Store& store, EventId after, const EventFilter& filter) {
    std::mutex mutex;
    std::condition_variable_any changed;
    bool hinted = false;
    auto subscription = store.on_change([&](unsigned hints) {
        if ((hints & hint_events) == 0) return;
        const std::lock_guard lock(mutex);
        hinted = true;
        changed.notify_all();
    });
    std::jthread printer([&](std::stop_token stop) {
        while (!stop.stop_requested()) {
            auto page = store.events(after, filter, 500);
            if (page) {
                if (page->truncated) in.log.warn("events were missed: older ones are no longer kept");
                for (const auto& event : page->events) print_event(event, in.has("json"));
                after = page->next;
                if (page->events.size() == 500) continue;
            }
            std::unique_lock lock(mutex);
            changed.wait_for(lock, stop, std::chrono::seconds(1), [&] { return hinted; });
            hinted = false;
        }
    });
    host::SignalWaiter signals(true);
    signals.wait();
    return host::exit_ok;
}

int events(const Invocation& in) {
    const auto limit = in.number("limit", 0, 2000);
    if (!limit) return host::exit_usage;
    EventFilter filter;
    filter.trace_id = in.text("trace");
    if (in.has("job")) {
        auto id = job_id(in, in.text("job"));
        if (!id) return host::exit_failed;
        filter.job = *id;
    }
    if (in.has("level")) {
        filter.level = parse_level(in.text("level"));
        if (!filter.level) {
            fail(in, {Errc::invalid_argument, "INVALID_ARGUMENT", "--level is info, warn or error"});
            return host::exit_usage;
        }
    }
    auto store = existing_store(in);
    if (!store) return host::exit_failed;
    auto page = store->events(std::nullopt, filter, static_cast<int>(*limit));
    if (!page) return fail(in, page.error());
    for (const auto& event : page->events) print_event(event, in.has("json"));
    return in.has("follow") ? follow(in, *store, page->next, filter) : host::exit_ok;
}

}  // namespace

std::vector<Command> event_commands() {
    return {{"events", "Shows what happened, oldest first.",
             {{"--follow", "Stay and show what happens from now on."}, {"--job ID", "Only about this job."},
              {"--trace TRACE", "Only of this trace."}, {"--level LEVEL", "Only info, warn or error."},
              {"--limit N", "At most so many of the past.", "50"}, {"--json", "Print JSON, one event a line."}},
             {"jobrt events --follow", "jobrt events --job 0190f3c2-7b1a-7c3e-9d55-0a1b2c3d4e5f"}, events, true}};
}

}  // namespace jobruntime::jobrt

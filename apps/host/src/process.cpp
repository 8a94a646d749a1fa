// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "process.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <thread>
#include <utility>

#include <unistd.h>

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <jobruntime/worker.hpp>

#include "descriptors.hpp"
#include "last_resort.hpp"
#include "notify.hpp"
#include "reload.hpp"
#include "signals.hpp"
#include "stores.hpp"

namespace jobruntime::host {
namespace {

void print_ready(const Process& process, const std::vector<std::unique_ptr<Part>>& parts) {
    const auto& config = process.in.config;
    boost::json::array urls;
    for (const auto& part : parts)
        for (const auto& url : part->urls()) urls.push_back(boost::json::string(url));
    const boost::json::object line{{"ready", true},
                                   {"role", to_string(config.role)},
                                   {"pid", static_cast<std::int64_t>(getpid())},
                                   {"http", urls},
                                   {"store", store_name(config)},
                                   {"downloads", config.download_dir},
                                   {"version", JOBRUNTIME_VERSION}};
    std::cout << boost::json::serialize(line) << std::endl;
}

std::string ready_state(const Process& process, const std::vector<std::unique_ptr<Part>>& parts) {
    std::string state = "READY=1\nSTATUS=" + std::string(to_string(process.in.config.role)) + " on " +
                        store_name(process.in.config);
    for (const auto& part : parts)
        for (const auto& url : part->urls()) state += " " + url;
    return state + "\n";
}

/// Until a signal, or until the process asked for its end; the supervisor's watchdog is patted meanwhile.
void wait_for_the_end(SignalWaiter& signals, const Notifier& notifier, const std::vector<std::unique_ptr<Part>>& parts) {
    std::vector<std::function<std::uint64_t()>> pulses;
    for (const auto& part : parts) pulses.push_back([part = part.get()] { return part->pulse(); });
    Watchdog watchdog(notifier, std::move(pulses));
    signals.wait(watchdog.every(), [&] { watchdog.tick(); });
}

int exit_code_of(const Error& error) {
    if (error.name == "PORT_IN_USE" || error.name == "STORE_UNAVAILABLE") return exit_unusable;
    return error.code == Errc::invalid_argument ? exit_usage : exit_failed;
}

void warn_of_settings(const Invocation& in) {
    for (const auto& line : in.settings.warnings()) in.log.warn(line);
    if (!in.config.sink_warning.empty()) in.log.warn(in.config.sink_warning);
    if (in.config.allow_nets.empty()) return;
    std::string nets;
    for (const auto& net : in.config.allow_nets) nets += (nets.empty() ? "" : ", ") + net;
    in.log.warn("JOBRT_ALLOW_NETS lets every submitted page reach these private networks: " + nets);
}

/// SIGHUP: all of a new configuration, or nothing of one that is wrong anywhere.
class Reloads {
public:
    Reloads(const Invocation& in, const std::vector<std::unique_ptr<Part>>& parts) : in_(in), parts_(parts) {}

    void reload() {
        const auto refuse = [&](const Error& why) {
            in_.log.error("the configuration is not reloaded: " + why.message + "; the old one stays");
        };
        auto fresh = in_.reload();
        if (!fresh) return refuse(fresh.error());
        const auto& before = last_ ? last_->settings.env_file() : in_.settings.env_file();
        if (!before.empty() && fresh->settings.env_file() != before)
            return refuse(Error{Errc::invalid_argument, before + " is not there any more; put it back, or restart without it"});
        std::vector<std::function<void()>> steps;
        for (const auto& part : parts_) {
            auto step = part->prepare(fresh->config);
            if (!step) return refuse(step.error());
            steps.push_back(*std::move(step));
        }
        for (const auto& step : steps) step();
        in_.log.set_level(fresh->config.log_level);
        for (const auto& line : new_warnings(in_.settings, fresh->settings)) in_.log.warn(line);
        if (const auto names = joined(wait_for_restart(in_.settings, *fresh)); !names.empty())
            in_.log.warn("changed, and in force only after a restart: " + names);
        const auto names = joined(last_ ? changed_at_once(last_->settings, last_->config, *fresh)
                                        : changed_at_once(in_.settings, in_.config, *fresh));
        in_.log.info("the configuration was reloaded" + (names.empty() ? "" : "; in force from now on: " + names));
        last_ = *std::move(fresh);
    }

private:
    const Invocation& in_;
    const std::vector<std::unique_ptr<Part>>& parts_;
    std::optional<Loaded> last_;  // What is in force; unset = what it began with.
};

/// A warning now is better than refused connections in the middle of the night.
void make_room_for_connections(const Invocation& in) {
    constexpr unsigned long others = 256;  // The store's, the downloads' and the browser's.
    const auto needed = static_cast<unsigned long>(in.config.max_connections + in.config.max_streams) + others;
    const auto allowed = raise_descriptor_limit();
    if (allowed < needed)
        in.log.warn("this process may open " + std::to_string(allowed) +
                    " files, and JOBRT_MAX_CONNECTIONS and JOBRT_MAX_STREAMS together want " + std::to_string(needed) +
                    "; raise its limit (LimitNOFILE, ulimit -n) or lower them");
}

void stop_side_by_side(const std::vector<std::unique_ptr<Part>>& parts) {
    std::vector<std::jthread> threads;
    for (const auto& part : parts) threads.emplace_back([&part] { part->stop(); });
}

/// How long an end in good order may take: the grace time for what runs, ten seconds more for handlers that ignore their stop
/// (WorkerOptions::stuck), and some moments for the store and the programs that were started.
LastResort::Plan end_plan(const Invocation& in, Store& store, const std::vector<std::unique_ptr<Part>>& parts, bool works) {
    using namespace std::chrono_literals;
    LastResort::Plan plan{.grace = in.config.grace, .moments = 2s, .stuck = 0s, .busy = {}, .ask = {}, .last_words = {}};
    if (works) {
        plan.moments = 8s;  // Three of them the browser's, to write its cookies.
        plan.stuck = WorkerOptions{}.stuck;
        plan.ask = [&store] { (void)store.sessions().has_value(); };
    }
    plan.busy = [&parts] { return std::ranges::any_of(parts, [](const auto& part) { return part->busy(); }); };
    plan.last_words = [&in, works] {
        in.log.error("the time to stop is over, and the store " + store_name(in.config) +
                     ", a disk or a program that was started does not answer; this process ends without them" +
                     (works ? "; jobs whose ends the store has not taken run again" : ""));
    };
    return plan;
}

}  // namespace

std::string store_name(const Config& config) { return public_address(config.store); }

std::string_view sink_name(const Config& config) { return config.memory_telemetry ? "memory" : "store"; }

Result<std::unique_ptr<Store>> open_store(const Config& config, Origin origin, const Log& log) {
    OpenOptions options;
    options.variable = config.store_variable;
    options.origin = std::move(origin);
    options.log = [&log](std::string_view line) { log.warn(line); };
    return open_address(config.store, std::move(options));
}

int serve(const Invocation& in, const Parts& parts) {
    const auto& config = in.config;
    const bool wants_api = config.role != ProcessRole::worker;
    const bool wants_worker = config.role != ProcessRole::api;
    if ((wants_api && !parts.api) || (wants_worker && !parts.worker)) {
        in.log.error("this program cannot serve as ROLE=" + std::string(to_string(config.role)) + "; use jobrt");
        return exit_usage;
    }
    warn_of_settings(in);
    LastResort last_resort;  // Before all that may hang when it is destroyed.
    auto store = open_store(config, {"", std::string(to_string(config.role))}, in.log);
    if (!store) {
        in.log.error("cannot use the store " + store_name(config) + ": " + store.error().message);
        const auto& name = store.error().name;
        return name == "STORE_UNSUPPORTED" || name == "STORE_URI_INVALID" ? exit_usage : exit_unusable;
    }
    if (auto answered = try_store(**store); !answered) {
        const auto where = "the store " + store_name(config) + " (" + config.store_variable + ")";
        if (answered.error().code != Errc::unavailable) {
            in.log.error("cannot use " + where + ": " + answered.error().message);
            return exit_unusable;
        }
        in.log.warn(where + " does not answer: " + answered.error().message + "; it is tried again until it does");
    }
    auto& clock = system_clock();
    // Also with TELEMETRY_SINK=memory: what nobody has logged yet is never progress or a job's log line, which the
    // worker keeps from the store by itself.
    const auto stored = store_sink(**store, clock);
    std::vector<TelemetrySink*> sinks = in.setup.sinks;
    sinks.push_back(&in.log.sink());
    sinks.push_back(stored.get());
    const auto sink = fan_out(sinks);

    std::vector<std::unique_ptr<Part>> running;
    Reloads reloads(in, running);
    SignalWaiter signals([&] { reloads.reload(); });
    std::atomic<int> code{exit_ok};
    Process process{in, **store, clock, *sink, to_iso(clock.wall()), [&](int why) {
                        code = why;
                        signals.wake();
                    }};
    if (wants_api) make_room_for_connections(in);
    // The API first: a port that is taken ends the process, and no job may have been begun by then.
    if (wants_api) running.push_back(parts.api(process));
    if (wants_worker) running.push_back(parts.worker(process));
    // They share one grace time.
    auto stop_all = [&] { stop_side_by_side(running); };
    for (auto& part : running) {
        if (auto started = part->start(); !started) {
            complain(in.log, started.error());
            last_resort.begin(end_plan(in, **store, running, wants_worker), exit_code_of(started.error()));
            stop_all();
            last_resort.nothing_runs();
            return exit_code_of(started.error());
        }
    }
    const auto notifier = Notifier::from_environment();
    print_ready(process, running);
    if (notifier.wanted() && !notifier.send(ready_state(process, running)))
        in.log.warn("the supervisor that NOTIFY_SOCKET names does not listen; it is not told that this process is ready");

    wait_for_the_end(signals, notifier, running);
    last_resort.begin(end_plan(in, **store, running, wants_worker), code == exit_ok ? exit_unusable : code.load());
    notifier.send("STOPPING=1\nSTATUS=stopping; running jobs have " + std::to_string(config.grace.count()) + " ms\n");
    in.log.info("stopping; a second signal ends it at once");
    const auto ended = signals.run(stop_all, [&] {
        last_resort.hurry(exit_second_signal);
        for (auto& part : running) part->stop_now();
    });
    last_resort.nothing_runs();
    if (ended == Ended::second_signal) code = exit_second_signal;
    sink->flush();
    if (code == exit_lost_threads) {
        // Threads that ignore their stop may still run handlers: nothing may be torn down under them.
        std::cout.flush();
        std::_Exit(code);
    }
    return code;
}

}  // namespace jobruntime::host

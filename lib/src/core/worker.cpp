// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <jobruntime/worker.hpp>

#include <algorithm>
#include <set>

#include "core/words.hpp"
#include "core/worker_impl.hpp"

namespace jobruntime {
namespace {

int default_concurrency() { return static_cast<int>(2 * std::max(1u, std::thread::hardware_concurrency())); }

}  // namespace

// ---- what programs see --------------------------------------------------------------------------

Worker::Worker(Store& store, WorkerOptions options) : impl_(std::make_unique<WorkerImpl>(store, std::move(options))) {}
Worker::~Worker() { impl_->stop(false); }
void Worker::on(std::string_view kind, Handler handler, KindOptions options) {
    impl_->on(kind, std::move(handler), std::move(options));
}
Result<void> Worker::start() { return impl_->start(); }
void Worker::stop() { impl_->stop(false); }
void Worker::stop_now() { impl_->stop(true); }
void Worker::begin_drain() { impl_->begin_drain(); }
Result<bool> Worker::run_one() { return impl_->run_one(); }
Worker::Stats Worker::stats() const { return impl_->stats(); }
SessionId Worker::session() const { return impl_->heartbeat().session(); }
Heartbeat& Worker::heartbeat() { return impl_->heartbeat(); }

const Job& JobContext::job() const { return attempt_.job; }
std::stop_token JobContext::stop() const {
    attempt_.check_deadline();
    return attempt_.token();
}
StopReason JobContext::stop_reason() const {
    attempt_.check_deadline();
    return attempt_.reason();
}
std::optional<SteadyTime> JobContext::deadline() const { return attempt_.deadline(); }
void JobContext::progress(std::optional<double> percent, std::string_view stage, std::string_view message) {
    attempt_.progress(percent, stage, message);
}
void JobContext::log(std::string_view line, Level level) { attempt_.log(line, level); }
void JobContext::event(std::string_view name, boost::json::object fields, Level level) {
    attempt_.event(name, std::move(fields), level);
}
Result<boost::json::value> JobContext::step(std::string_view name,
                                            const std::function<Result<boost::json::value>()>& body) {
    return attempt_.step(name, body);
}
Result<void> JobContext::forget(std::string_view name) { return attempt_.forget(name); }

// ---- beginning and end --------------------------------------------------------------------------

WorkerImpl::WorkerImpl(Store& store, WorkerOptions options)
    : store_(store),
      options_(std::move(options)),
      clock_(options_.clock ? *options_.clock : system_clock()),
      random_(options_.seed) {
    port_->store = &store_;
    for (const auto& queue : options_.queues) {
        Queue own;
        own.options = queue;
        if (own.options.concurrency == 0) own.options.concurrency = default_concurrency();
        queues_.push_back(std::move(own));
    }
    HeartbeatOptions beats = options_.heartbeat;
    beats.clock = &clock_;
    beats.facts.works = !options_.only;
    if (!beats.seed && options_.seed) beats.seed = random_.random();
    Heartbeat::Callbacks callbacks;
    callbacks.on_cancel = [this](const auto& requests) { on_cancel(requests); };
    callbacks.on_lost = [this](SessionId session) { on_lost(session); };
    callbacks.on_error = [this](const Error& error) { say("a beat failed, trying again: " + error.message); };
    callbacks.on_recovered = [this](const SessionInfo& dead, std::size_t jobs) {
        if (jobs == 0) return;
        say("took " + core::counted(jobs, "job") + " from session " + dead.id.str() + " of " + dead.facts.host +
            ", which is gone");
    };
    heartbeat_ = std::make_unique<Heartbeat>(store_, std::move(beats), std::move(callbacks));
    core::Scribe::Options writing;
    writing.give_up_after = options_.heartbeat.lease * 2;
    writing.ours = [this](SessionId session) { return heartbeat_->session() == session; };
    writing.on_ended = [this](std::span<core::Ended> ended) { on_ended(ended); };
    writing.on_noted = [this](const std::vector<Event>& events) {
        if (!options_.sink) return;
        for (const auto& event : events) options_.sink->emit(event, true);
    };
    writing.store_progress = options_.store_progress;
    writing.chores = [this](SteadyTime now) { return chores(now); };
    writing.log = [this](const std::string& line) { say(line); };
    scribe_ = std::make_unique<core::Scribe>(store_, clock_, std::move(writing));
}

WorkerImpl::~WorkerImpl() { stop(false); }

void WorkerImpl::on(std::string_view kind, Handler handler, KindOptions options) {
    auto entry = std::make_shared<core::KindEntry>();
    entry->name = kind;
    entry->handler = std::move(handler);
    entry->options = std::move(options);
    const std::lock_guard lock(mutex_);
    if (started_) return;
    kinds_[entry->name] = std::move(entry);
}

Result<void> WorkerImpl::check_before_start() {
    const auto invalid = [](std::string message) { return Error{Errc::invalid_argument, "INVALID_ARGUMENT", std::move(message)}; };
    if (kinds_.empty()) return invalid("the worker has no handler; call on() before start()");
    for (const auto& [name, kind] : kinds_) {
        if (!is_name(name)) return invalid("\"" + name + "\" is no name for a kind: use 1 to 64 of a-z, 0-9, dot, underscore, hyphen");
        if (!kind->handler) return invalid("the handler of " + name + " is empty");
    }
    if (queues_.empty()) return invalid("the worker serves no queue; name at least one");
    std::set<std::string> names;
    for (const auto& queue : queues_) {
        const auto& [name, concurrency] = queue.options;
        if (!is_name(name)) return invalid("\"" + name + "\" is no name for a queue: use 1 to 64 of a-z, 0-9, dot, underscore, hyphen");
        if (!names.insert(name).second) return invalid("queue " + name + " is named twice");
        if (concurrency < 1 || concurrency > 4096)
            return invalid("the concurrency of queue " + name + " is " + std::to_string(concurrency) + "; it must be 1 to 4096");
    }
    for (const auto& [name, kind] : kinds_) kind_names_.push_back(name);
    std::sort(kind_names_.begin(), kind_names_.end());
    return {};
}

void WorkerImpl::publish_facts(int running) {
    heartbeat_->update([&](SessionFacts& facts) {
        facts.kinds = kind_names_;
        facts.running = running;
        if (!facts.queues.empty()) return;
        boost::json::object places;
        for (const auto& queue : queues_) {
            facts.queues.push_back(queue.options.name);
            places[queue.options.name] = queue.options.concurrency;
        }
        facts.details["concurrency"] = std::move(places);
    });
}

Result<void> WorkerImpl::start() {
    {
        const std::lock_guard lock(mutex_);
        if (started_ || cranked_ || draining_)
            return Error{Errc::invalid_argument, "the worker was started before, or is stopped; make a new one"};
        JR_TRY(check_before_start());
        started_ = true;
        most_threads_ = 1;  // One more than can run jobs, so that the next claim overlaps with them.
        for (const auto& queue : queues_) most_threads_ += static_cast<std::size_t>(queue.options.concurrency);
        publish_facts(0);
    }
    auto beating = heartbeat_->start();
    if (!beating && beating.error().code == Errc::invalid_argument) {
        const std::lock_guard lock(mutex_);
        draining_ = true;
        return beating;
    }
    hints_ = store_.on_change([this](unsigned hints) { on_hint(hints); });
    scribe_->start();
    timer_ = std::jthread([this](std::stop_token stop) { timer_thread(stop); });
    std::string names;
    for (const auto& queue : queues_) names += (names.empty() ? "" : ", ") + queue.options.name;
    auto fields = options_.started;
    const auto level = fields.contains("missing") ? Level::warn : Level::info;
    fields["workerId"] = heartbeat_->session().str();
    fields["queues"] = names;
    fields["kinds"] = kind_names_.size();
    tell("worker.started", std::move(fields), level);
    return {};
}

void WorkerImpl::begin_drain() {
    const std::lock_guard lock(mutex_);
    if (std::exchange(draining_, true)) return;
    release_ready();
}

void WorkerImpl::fire_all(StopReason why) {
    std::vector<std::shared_ptr<Attempt>> running;
    {
        const std::lock_guard lock(mutex_);
        for (const auto& slot : slots_)
            if (slot->attempt) running.push_back(slot->attempt);
    }
    for (const auto& attempt : running) attempt->fire(why);
    timer_wakeup_.ring();
}

/// Tells the operator what stop() waits for, and for how long at most.
void WorkerImpl::say_waiting(std::string_view what, Duration limit) const {
    constexpr std::size_t most_named = 20;
    std::string names;
    std::size_t running = 0;
    std::size_t ends = 0;
    {
        const std::lock_guard lock(mutex_);
        for (const auto& slot : slots_) {
            if (!slot->attempt || ++running > most_named) continue;
            names += (names.empty() ? "" : ", ") + slot->attempt->kind->name + " " + slot->attempt->job.id.str();
        }
        ends = unsettled_ - std::min(unsettled_, running);
    }
    if (running > most_named) names += " and " + std::to_string(running - most_named) + " more";
    const auto at_most = ", at most " + std::to_string(limit.count()) + " ms";
    if (running > 0) say(std::string(what) + core::counted(running, "running job") + at_most + ": " + names);
    else if (ends > 0) say("waiting for the store to take the ends of " + core::counted(ends, "job") + at_most);
}

/// Until nothing that was claimed is left, or `end`, or stop_now().
void WorkerImpl::wait_until_settled(SteadyTime end) {
    const bool at_once = at_once_;
    while (true) {
        {
            const std::lock_guard lock(mutex_);
            if (unsettled_ == 0 && !claiming_) return;
        }
        if (at_once_ != at_once || clock_.steady() >= end) return;
        clock_.wait_until(end, settled_wakeup_, {});
    }
}

void WorkerImpl::stop(bool at_once) {
    if (at_once) at_once_ = true;
    begin_drain();
    settled_wakeup_.ring();
    const std::lock_guard stopping(stop_mutex_);
    if (std::exchange(stopped_, true)) return;
    if (started_ && timer_.joinable()) {
        if (!at_once_) {
            say_waiting("stopping: waiting for ", options_.grace);
            wait_until_settled(clock_.steady() + options_.grace);
        }
        // The timer gives up who ignores the stop; after that only the store can keep us waiting, for a lease at most.
        const Duration last = options_.stuck + options_.heartbeat.lease;
        say_waiting("stopping: asked to stop and still waiting for ", last);
        fire_all(StopReason::drain);
        wait_until_settled(clock_.steady() + last);
        hints_ = Subscription();
        std::vector<std::shared_ptr<Slot>> slots;
        {
            const std::lock_guard lock(mutex_);
            quit_ = true;
            slots = slots_;
        }
        work_.notify_all();
        timer_.request_stop();
        timer_.join();
        for (const auto& slot : slots)
            if (slot->thread.joinable()) slot->thread.join();
        tell("worker.stopped", {{"workerId", heartbeat_->session().str()}, {"lostThreads", stats().lost_threads}});
        scribe_->stop();
    } else {
        scribe_->work(true);
    }
    // Nobody claims any more, and the scribe's thread is gone: what was lost sight of goes back before the session ends.
    if (lost_sight_) find_lost(clock_.steady());
    publish_facts(static_cast<int>(unsettled_));
    heartbeat_->stop();
    const std::unique_lock closing(port_->mutex);
    port_->store = nullptr;
}

Worker::Stats WorkerImpl::stats() const {
    const std::lock_guard lock(mutex_);
    auto stats = stats_;
    for (const auto& queue : queues_) stats.running += queue.running;
    stats.lost_threads = lost_threads_;
    return stats;
}

void WorkerImpl::say(std::string_view line) const noexcept {
    if (!options_.log) return;
    try {
        options_.log(redact(line));
    } catch (...) {
        return;  // The one who would hear of it is the one that threw.
    }
}

void WorkerImpl::tell(std::string_view name, boost::json::object fields, Level level, JobId job) {
    Event event;
    event.job = job;
    event.at = clock_.wall();
    event.name = name;
    event.level = level;
    event.fields = std::move(fields);
    if (options_.sink) options_.sink->emit(event, false);
    else scribe_->add(std::move(event));
}

}  // namespace jobruntime

// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "http/waiters.hpp"

#include <algorithm>

namespace jobruntime::http {
namespace {

constexpr int most_at_once = 500;
/// Between two looks, whatever hints come: what happens meanwhile is read at once.
constexpr std::chrono::milliseconds rest{10};
/// After a store that did not answer.
constexpr std::chrono::seconds store_rest{1};

std::string_view field(const Event& event, std::string_view name) {
    const auto* value = event.fields.if_contains(name);
    return value && value->is_string() ? std::string_view(value->get_string()) : std::string_view();
}

/// Whether the event says that its job has ended or is gone.
bool tells_end(const Event& event) {
    const auto state = parse_job_state(field(event, "status"));
    return event.name == "jobs.deleted" || (state && is_final(*state));
}

bool waits(const Event& event) {
    const auto state = parse_job_state(field(event, "status"));
    return event.name != "jobs.deleted" && (state == JobState::queued || state == JobState::scheduled);
}

}  // namespace

Waiters::Waiters(Store& store, const Options& options, std::function<void(std::vector<Call>)> call)
    : store_(store), options_(options), call_(std::move(call)) {}

void Waiters::start() {
    subscription_ = store_.on_change([this](unsigned hints) {
        if ((hints & hint_events) == 0 || !any_ || hinted_.exchange(true)) return;
        { const std::lock_guard lock(mutex_); }  // Else it might be about to wait.
        changed_.notify_one();
    });
    thread_ = std::thread([this] { run(); });
}

void Waiters::stop() {
    subscription_ = Subscription();
    {
        const std::lock_guard lock(mutex_);
        stop_ = true;
    }
    changed_.notify_one();
    if (thread_.joinable()) thread_.join();
}

std::uint64_t Waiters::add(std::uint64_t key, Later later) {
    std::uint64_t turn = 0;
    {
        const std::lock_guard lock(mutex_);
        Waiter& waiter = waiters_[key];
        waiter.later = std::move(later);
        waiter.until = RealClock::now() + waiter.later.patience;
        waiter.turn = turn = next_turn_++;
        if (waiter.later.job) by_job_[waiter.later.job].insert(key);
        else by_queue_[waiter.later.queue].emplace(waiter.turn, key);
        set_timer(key, waiter);
        fresh_.push_back(key);
        any_ = true;
    }
    changed_.notify_one();
    return turn;
}

void Waiters::go_on(std::uint64_t key, Later later) {
    {
        const std::lock_guard lock(mutex_);
        const auto found = waiters_.find(key);
        if (found == waiters_.end() || !found->second.called) return;
        Waiter& waiter = found->second;
        waiter.later.again = later.again;
        waiter.called = false;
        set_timer(key, waiter);
        if (std::exchange(waiter.missed, false)) call(key, waiter);
    }
    changed_.notify_one();
}

void Waiters::remove(std::uint64_t key, bool served) {
    {
        const std::lock_guard lock(mutex_);
        const auto found = waiters_.find(key);
        if (found == waiters_.end()) return;
        Waiter waiter = std::move(found->second);
        forget(key, waiter);
        waiters_.erase(found);
        const bool unused = waiter.called && !served;
        if (!waiter.later.job && !waiter.kind.empty() && (unused || waiter.missed)) call_one(waiter.later.queue, waiter.kind);
        any_ = !waiters_.empty();
    }
    changed_.notify_one();
}

void Waiters::forget(std::uint64_t key, const Waiter& waiter) {
    if (waiter.due) timers_.erase({*waiter.due, key});
    std::erase(fresh_, key);
    std::erase_if(calls_, [&](const Call& call) { return call.key == key; });
    if (waiter.later.job) {
        const auto all = by_job_.find(waiter.later.job);
        all->second.erase(key);
        if (all->second.empty()) by_job_.erase(all);
    } else {
        const auto all = by_queue_.find(waiter.later.queue);
        all->second.erase(waiter.turn);
        if (all->second.empty()) by_queue_.erase(all);
    }
}

void Waiters::set_timer(std::uint64_t key, Waiter& waiter) {
    drop_timer(key, waiter);
    waiter.due = waiter.later.again ? std::min(waiter.until, RealClock::now() + *waiter.later.again) : waiter.until;
    timers_.emplace(*waiter.due, key);
}

void Waiters::drop_timer(std::uint64_t key, Waiter& waiter) {
    if (!waiter.due) return;
    timers_.erase({*waiter.due, key});
    waiter.due.reset();
}

void Waiters::run() {
    block_signals();
    std::unique_lock lock(mutex_);
    while (!stop_) {
        const auto now = RealClock::now();
        call_due(now);
        if (!calls_.empty()) {
            auto calls = std::exchange(calls_, {});
            lock.unlock();
            call_(std::move(calls));
            lock.lock();
            continue;
        }
        if (waiters_.empty()) {
            tail_.reset();
            changed_.wait(lock, [this] { return stop_ || !waiters_.empty(); });
            continue;
        }
        const bool wants = !tail_ || hinted_ || now >= look_at_;
        if (wants && now >= rest_until_) {
            look(lock);
            continue;
        }
        auto until = wants ? rest_until_ : std::max(look_at_, rest_until_);
        if (!timers_.empty()) until = std::min(until, timers_.begin()->first);
        changed_.wait_until(lock, until);
    }
}

/// Reads what is new, or only where the log stands when nobody has heard anything yet.
void Waiters::look(std::unique_lock<std::mutex>& lock) {
    const auto after = tail_;
    hinted_ = false;
    lock.unlock();
    const auto page = store_.events(after, {}, after ? most_at_once : 1);
    lock.lock();
    const auto now = RealClock::now();
    look_at_ = now + options_.stream_poll;
    rest_until_ = now + (page ? std::chrono::milliseconds(rest) : std::chrono::milliseconds(store_rest));
    if (!page) return;
    tail_ = page->next;
    if (!after) return;
    if (page->truncated) call_all();
    for (const auto& event : page->events) hear(event);
    if (static_cast<int>(page->events.size()) >= most_at_once) rest_until_ = look_at_ = now;
}

void Waiters::hear(const Event& event) {
    if (!event.job) return;
    if (const auto all = by_job_.find(event.job); all != by_job_.end())
        for (const auto key : all->second)
            if (Waiter& waiter = waiters_.at(key); !waiter.later.ended || tells_end(event)) call(key, waiter);
    if (waits(event)) call_one(field(event, "queue"), std::string(field(event, "kind")));
}

void Waiters::call(std::uint64_t key, Waiter& waiter) {
    if (waiter.called) {
        waiter.missed = true;
        return;
    }
    waiter.called = true;
    drop_timer(key, waiter);
    calls_.push_back({key, waiter.turn, RealClock::now() >= waiter.until});
}

/// One of those that want such a job, the one that waits the longest; when all have been called, one of them once more.
void Waiters::call_one(std::string_view queue, const std::string& kind) {
    const auto all = by_queue_.find(queue);
    if (all == by_queue_.end()) return;
    Waiter* busy = nullptr;
    for (const auto& [turn, key] : all->second) {
        Waiter& waiter = waiters_.at(key);
        if (std::ranges::find(waiter.later.kinds, kind) == waiter.later.kinds.end()) continue;
        if (!waiter.called) {
            waiter.kind = kind;
            return call(key, waiter);
        }
        if (!busy && !waiter.missed) busy = &waiter;
    }
    if (!busy) return;
    busy->kind = kind;
    busy->missed = true;
}

/// Nobody knows what was told in between.
void Waiters::call_all() {
    for (auto& [key, waiter] : waiters_) call(key, waiter);
}

void Waiters::call_due(RealTime now) {
    if (tail_)
        for (const auto key : std::exchange(fresh_, {})) call(key, waiters_.at(key));
    while (!timers_.empty() && timers_.begin()->first <= now) {
        const auto key = timers_.begin()->second;
        call(key, waiters_.at(key));
    }
}

}  // namespace jobruntime::http

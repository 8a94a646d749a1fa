// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "core/store_probe.hpp"

#include <algorithm>
#include <exception>
#include <system_error>
#include <utility>

namespace jobruntime::core {
namespace {

/// Real time on purpose: what is waited for is a real thread that is stuck in a real database.
constexpr std::chrono::milliseconds patience{1'500};
/// A verb that already takes so long is not waited for by newcomers.
constexpr std::chrono::milliseconds hung{1'000};
constexpr std::chrono::milliseconds fresh{50};
/// Beats are looked at also when nobody asks, so that an age is right to within this.
constexpr std::chrono::seconds look_round{5};

Error no_answer() { return {Errc::unavailable, "STORE_UNAVAILABLE", "the store does not answer in time; try again"}; }

Result<std::vector<SessionInfo>> ask_store(Store& store) {
    try {
        return store.sessions();
    } catch (const std::exception&) {
        return Error{Errc::internal, "the store failed while it was asked for its sessions"};
    }
}

}  // namespace

StoreProbe::~StoreProbe() {
    {
        std::lock_guard lock(mutex_);
        stop_ = true;
    }
    changed_.notify_all();
    if (thread_.joinable()) thread_.join();
}

Result<std::vector<StoreProbe::Session>> StoreProbe::sessions() {
    std::unique_lock lock(mutex_);
    JR_TRY(ask(lock));
    std::vector<Session> sessions;
    sessions.reserve(newest_->size());
    const SteadyTime now = clock_.steady();
    for (const SessionInfo& info : *newest_) {
        const auto age = std::chrono::duration_cast<Duration>(now - beats_[info.id].seen_at);
        sessions.push_back({info, std::max(age, Duration{0})});
    }
    return sessions;
}

Result<void> StoreProbe::answers() {
    std::unique_lock lock(mutex_);
    const auto age = std::chrono::steady_clock::now() - answered_at_;
    if (answered_ > 0 && newest_ && age < fresh) return {};
    return ask(lock);
}

bool StoreProbe::is_fresh() {
    std::lock_guard lock(mutex_);
    return answered_ > 0 && newest_ && std::chrono::steady_clock::now() - answered_at_ < fresh;
}

void StoreProbe::look() {
    std::lock_guard lock(mutex_);
    if (asked_at_) return;
    try {
        begin_asking();
    } catch (const std::system_error&) {
        // No thread can be had: whoever waits for an answer says so.
    }
}

bool StoreProbe::is_hung() {
    std::lock_guard lock(mutex_);
    return hangs() || gave_up_;
}

bool StoreProbe::hangs() const { return asked_at_ && std::chrono::steady_clock::now() - *asked_at_ > hung; }

void StoreProbe::begin_asking() {
    ++wanted_;
    if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
    changed_.notify_all();
}

Result<void> StoreProbe::ask(std::unique_lock<std::mutex>& lock) {
    if (!heard(lock)) return no_answer();
    if (!newest_) return newest_.error();
    return {};
}

bool StoreProbe::heard(std::unique_lock<std::mutex>& lock) {
    if (hangs()) return false;
    begin_asking();
    const std::uint64_t mine = wanted_;
    return changed_.wait_for(lock, patience, [&] { return answered_ >= mine; });
}

void StoreProbe::run() {
    std::unique_lock lock(mutex_);
    while (!stop_) {
        changed_.wait_for(lock, look_round, [this] { return stop_ || wanted_ > answered_; });
        if (stop_) return;
        const std::uint64_t up_to = wanted_;
        asked_at_ = std::chrono::steady_clock::now();
        lock.unlock();
        auto answer = ask_store(store_);
        lock.lock();
        answered_at_ = std::chrono::steady_clock::now();
        gave_up_ = !answer && answered_at_ - *asked_at_ > hung;
        note(std::move(answer));
        asked_at_.reset();
        answered_ = up_to;
        changed_.notify_all();
    }
}

void StoreProbe::note(Result<std::vector<SessionInfo>> answer) {
    newest_ = std::move(answer);
    if (!newest_) return;
    const SteadyTime now = clock_.steady();
    const Time wall = clock_.wall();
    std::map<SessionId, Beat> beats;
    for (const SessionInfo& info : *newest_) {
        const auto known = beats_.find(info.id);
        Beat beat{info.beat, now};
        if (known == beats_.end())
            beat.seen_at = now - age_of(info, wall);  // Nothing was seen to change yet.
        else if (known->second.counter == info.beat)
            beat.seen_at = known->second.seen_at;
        beats.emplace(info.id, beat);
    }
    beats_ = std::move(beats);
}

}  // namespace jobruntime::core

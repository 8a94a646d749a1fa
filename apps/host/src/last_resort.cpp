// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "last_resort.hpp"

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace jobruntime::host {
namespace {

/// How often it asks whether a handler runs.
constexpr std::chrono::milliseconds looks_every{100};
constexpr std::chrono::seconds for_last_words{1};

}  // namespace

LastResort::~LastResort() {
    if (!thread_.joinable()) return;
    thread_.request_stop();
    thread_.join();
}

void LastResort::begin(Plan plan, int code) {
    const std::lock_guard lock(mutex_);
    plan_ = std::move(plan);
    code_ = code;
    grace_ends_ = Clock::now() + plan_.grace;
    if (!thread_.joinable()) thread_ = std::jthread([this](const std::stop_token& stop) { watch(stop); });
}

void LastResort::hurry(int code) {
    const std::lock_guard lock(mutex_);
    code_ = code;
    grace_ends_ = std::min(grace_ends_, Clock::now());
    changed_.notify_all();
}

void LastResort::nothing_runs() {
    std::jthread asker;
    {
        const std::lock_guard lock(mutex_);
        plan_.busy = nullptr;
        plan_.ask = nullptr;
        asker = std::move(asker_);
    }
}

void LastResort::watch(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    while (Clock::now() < grace_ends_) {
        const auto until = grace_ends_;
        changed_.wait_until(lock, stop, until, [&] { return grace_ends_ != until; });
        if (stop.stop_requested()) return;
    }
    if (plan_.ask) {
        answered_ = false;
        asker_ = std::jthread([this, ask = plan_.ask] {
            ask();
            const std::lock_guard answering(mutex_);
            answered_ = true;
        });
    }
    auto idle_since = grace_ends_;
    while (true) {
        const auto now = Clock::now();
        if (answered_ && plan_.busy && plan_.busy()) idle_since = now;
        if (now - idle_since >= plan_.moments || now - grace_ends_ >= plan_.stuck + plan_.moments) break;
        changed_.wait_for(lock, stop, looks_every, [] { return false; });
        if (stop.stop_requested()) return;
    }
    const int code = code_;
    const auto last_words = std::exchange(plan_.last_words, nullptr);
    lock.unlock();
    // Nor may whoever reads the log hold it up.
    std::thread([code] {
        std::this_thread::sleep_for(for_last_words);
        std::_Exit(code);
    }).detach();
    if (last_words) last_words();
    std::_Exit(code);
}

}  // namespace jobruntime::host

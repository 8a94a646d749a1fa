// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <jobruntime/testing/recording_sink.hpp>

#include <algorithm>

namespace jobruntime::testing {
namespace {

const Event* first(const std::vector<Event>& events, std::string_view name, JobId job) {
    const auto found = std::find_if(events.begin(), events.end(), [&](const Event& event) {
        return event.name == name && (!job || event.job == job);
    });
    return found == events.end() ? nullptr : &*found;
}

}  // namespace

void RecordingSink::emit(const Event& event, bool) noexcept {
    {
        const std::lock_guard lock(mutex_);
        events_.push_back(event);
    }
    arrived_.notify_all();
}

std::vector<Event> RecordingSink::events() const {
    const std::lock_guard lock(mutex_);
    return events_;
}

std::size_t RecordingSink::count(std::string_view name) const {
    const std::lock_guard lock(mutex_);
    return static_cast<std::size_t>(
        std::count_if(events_.begin(), events_.end(), [&](const Event& event) { return event.name == name; }));
}

std::optional<Event> RecordingSink::find(std::string_view name, JobId job) const {
    const std::lock_guard lock(mutex_);
    const Event* event = first(events_, name, job);
    return event ? std::optional(*event) : std::nullopt;
}

std::optional<Event> RecordingSink::wait_for(std::string_view name, Duration timeout, JobId job) const {
    std::unique_lock lock(mutex_);
    const Event* event = nullptr;
    arrived_.wait_for(lock, timeout, [&] { return (event = first(events_, name, job)) != nullptr; });
    return event ? std::optional(*event) : std::nullopt;
}

void RecordingSink::clear() {
    const std::lock_guard lock(mutex_);
    events_.clear();
}

}  // namespace jobruntime::testing

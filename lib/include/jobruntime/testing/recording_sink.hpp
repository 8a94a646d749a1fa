// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>
#include <string_view>
#include <vector>

#include <jobruntime/export.hpp>
#include <jobruntime/telemetry_sink.hpp>

namespace jobruntime::testing {

/// Keeps every event it is given, logged or not. Thread-safe.
class JOBRUNTIME_API RecordingSink final : public TelemetrySink {
public:
    void emit(const Event& event, bool logged) noexcept override;

    std::vector<Event> events() const;
    std::size_t count(std::string_view name) const;
    /// The first with this name, of this job when one is given.
    std::optional<Event> find(std::string_view name, JobId job = {}) const;
    /// Blocks until there is one, at most for `timeout` of real time; nothing when none came.
    std::optional<Event> wait_for(std::string_view name, Duration timeout, JobId job = {}) const;
    void clear();

private:
    mutable std::mutex mutex_;
    mutable std::condition_variable arrived_;
    std::vector<Event> events_;  // Guarded by mutex_.
};

}  // namespace jobruntime::testing

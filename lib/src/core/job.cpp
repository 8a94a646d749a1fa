// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <jobruntime/job.hpp>

#include <algorithm>
#include <array>

namespace jobruntime {
namespace {

constexpr std::array<std::string_view, job_state_count> state_names{"scheduled", "queued", "running",
                                                                    "completed", "failed", "canceled"};

}  // namespace

std::string_view to_string(JobState state) noexcept {
    const auto index = static_cast<std::size_t>(state);
    return index < state_names.size() ? state_names[index] : "unknown";
}

std::optional<JobState> parse_job_state(std::string_view text) noexcept {
    for (std::size_t i = 0; i < state_names.size(); ++i)
        if (state_names[i] == text) return static_cast<JobState>(i);
    return std::nullopt;
}

bool is_name(std::string_view text) noexcept {
    return !text.empty() && text.size() <= limits::name && std::all_of(text.begin(), text.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
    });
}

}  // namespace jobruntime

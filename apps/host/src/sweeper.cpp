// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "sweeper.hpp"

#include <string>

namespace jobruntime::host {

media::Verdict judge_attempt(Store& store, JobId id, Fence fence, bool work_folder) {
    auto job = store.get(id, part_result);
    // Deleted, another store's, or the store is away: never ours to remove.
    if (!job || !*job) return media::Verdict::unknown;
    const auto& found = **job;
    if (!is_final(found.state)) {
        // A running attempt writes here, and the next one resumes what an earlier one has left.
        return work_folder || found.fence == fence ? media::Verdict::keep : media::Verdict::dead;
    }
    if (work_folder) return media::Verdict::dead;
    if (found.state != JobState::completed || !found.result.is_object()) return media::Verdict::dead;
    const auto* path = found.result.get_object().if_contains("outputPath");
    if (!path || !path->is_string()) return media::Verdict::dead;
    const auto mark = id.str() + "-" + std::to_string(static_cast<std::uint64_t>(fence));
    return std::string_view(path->get_string()).find(mark) != std::string_view::npos ? media::Verdict::keep
                                                                                   : media::Verdict::dead;
}

}  // namespace jobruntime::host

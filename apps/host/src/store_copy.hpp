// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <jobruntime/clock.hpp>
#include <jobruntime/result.hpp>
#include <jobruntime/store.hpp>

namespace jobruntime::host {

struct CopyOptions {
    Duration lease{30'000};      ///< A process of the source whose beat is younger is taken to live.
    Duration heartbeat{10'000};  ///< And one whose beat changes while we look for a little longer than this.
    int page = 100;              ///< Jobs and events at once.
    std::function<void(std::string_view line)> say;  ///< What a person may want to see on the way.
};

/// What became of everything in the source. `…_known` was in the target already.
struct CopyReport {
    std::uint64_t jobs = 0;  ///< In the source.
    std::uint64_t jobs_copied = 0, jobs_known = 0;
    std::uint64_t jobs_gone = 0;  ///< Copied by an earlier run, and deleted or pruned in the target since.
    std::uint64_t interrupted =
        0;  ///< Of those copied: were running in the source and wait again in the target.
    std::uint64_t events = 0;  ///< In the source.
    std::uint64_t events_copied = 0, events_known = 0;
    std::uint64_t events_gone = 0;  ///< Copied, and no longer kept by the target, which prunes its log.
    std::uint64_t records = 0;      ///< In the source.
    std::uint64_t records_copied = 0, records_known = 0;
    std::vector<std::string> records_kept;  ///< Keys where the target has its own value, which stays.
};

/// Copies jobs, events and records of one store into another. The source must be at rest. Where it was
/// interrupted a later call goes on: how far it came is written into the target, under "copy/" and the
/// source's identity, which is made at the first call ("store/identity"). Jobs are never copied twice, also
/// not when the target has deleted them meanwhile, and one that the target knows is left as it is there.
/// Running jobs wait again in the target, by the rule of a drain. Sessions are not copied. Afterwards every
/// job, every event and every record of the source is looked for in the target.
///
/// Errc::conflict: a process lives on the source (STORE_IN_USE); other jobs of the target hold keys of the
/// source's jobs (STORE_COPY_CONFLICT; nothing was copied then); both are the same store. Errc::corrupt: a job of
/// the source is damaged (STORE_COPY_DAMAGED, which names it); something is missing after it
/// (STORE_COPY_INCOMPLETE). Else the error of the store that failed, with its name in front.
Result<CopyReport> copy_store(Store& from, Store& to, Clock& clock, const CopyOptions& options = {});

}  // namespace jobruntime::host

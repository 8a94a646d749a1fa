// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <string>
#include <vector>

#include <jobruntime/store.hpp>

namespace proof {

/// What was said while processes were killed, frozen or cut off.
struct Evidence {
    std::vector<std::string> enqueuers;  ///< Journals with A lines.
    std::vector<std::string> workers;    ///< Journals with S, E and C lines.
    std::vector<std::string> tails;      ///< Journals with V lines.
    bool all_ended = true;               ///< Every job must be in a final state.
};

struct Findings {
    std::vector<std::string> complaints;  ///< At most 20 of each kind are kept.
    long complained = 0;
    long acknowledged = 0, completed = 0, failed = 0, runs = 0, events = 0, recovered = 0;
    bool sound() const { return complained == 0; }
    bool complains_of(std::string_view word) const;
    std::string counts() const;
    void complain(std::string text);
};

/// Reads client acknowledgements, the handlers' journals and the database, and says what cannot be:
/// "lost"        an acknowledged job is not there, or not ended;
/// "rerun"       a handler began after the job's completion was acknowledged;
/// "stale"       an attempt was accepted that no longer held the job, or a job ended twice;
/// "event"       the log contradicts the jobs, or a reader saw a gap, a repeat or another order;
/// "unique"      two jobs held one key at a time;
/// "integrity"   SQLite finds the file unsound.
/// The address is a file, sqlite:FILE or mongodb://…; no other process may have a file open.
Findings check(const std::string& address, const Evidence& evidence);

}  // namespace proof

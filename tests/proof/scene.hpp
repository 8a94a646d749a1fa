// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <string>
#include <vector>

#include "proof/actors.hpp"
#include "proof/checker.hpp"

namespace proof {

/// Who plays, and how.
struct Cast {
    std::string address;        ///< The store as the actors reach it.
    std::string direct;         ///< The store as it is looked at in the end; empty = the same.
    int enqueuers = 2, workers = 2;
    std::vector<std::string> enqueuer_words, worker_words, tail_words;
    std::string enqueuer_failpoints, worker_failpoints;
};

/// Enqueuers, workers and a reader of the log, each a process on one store, with a journal each.
class Scene {
public:
    explicit Scene(const Cast& cast);
    void start();
    /// SIGKILL to any one of them, which begins again.
    void kill_one(std::uint64_t random);
    /// Whether all enqueuers have made as many as they were told to.
    bool enqueuers_ended();
    /// No more jobs; waits until all that is there has ended and the reader has seen it; then reads the evidence.
    Findings finish(std::chrono::seconds limit = std::chrono::seconds(300));
    /// Lines of this word in the journals of the enqueuers and workers so far.
    std::size_t lines(char word) const;

private:
    bool work_off(std::chrono::seconds limit);
    void bring_log_home();

    Cast cast_;
    Folder folder_;
    Evidence evidence_;
    std::vector<ActorProcess> actors_;  // Enqueuers, workers, and the reader last.
};

/// A control breaks a promise, but whether the broken code is met by a race is chance: it has five tries.
template <class Run>
bool noticed(Run&& run) {
    for (int i = 0; i < 5; ++i) {
        if (run()) return true;
    }
    return false;
}

}  // namespace proof

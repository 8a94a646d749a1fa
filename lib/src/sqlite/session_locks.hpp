// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <map>
#include <mutex>
#include <string>

#include <jobruntime/id.hpp>
#include <jobruntime/store.hpp>

#include "sqlite/files_linux.hpp"

namespace jobruntime::sqlite {

/// A lock file for each session of this process, held as long as it lives: the host's other processes
/// see its death at once, without a beat to wait for.
class SessionLocks {
public:
    explicit SessionLocks(std::string folder) : folder_(std::move(folder)), host_(host_name()), boot_(boot_id()) {}

    /// Before the session's row is first written, so that a row without a lock means a dead process.
    /// False where that cannot be done; then the beat alone is the proof of life.
    bool hold(SessionId session);
    void let_go(SessionId session);
    /// Fills in seen_dead and seen_alive. `locked`: its process said that it holds the lock file.
    void look(SessionInfo& info, bool locked) const;
    /// Its row is gone: so is its file, if nobody holds it.
    void forget(SessionId session) const;
    /// Around a fork: nobody changes the list while the child gets its copy of it.
    void before_fork() { mutex_.lock(); }
    void after_fork() { mutex_.unlock(); }
    /// Instead of after_fork, in the child.
    void close_in_child();

private:
    std::string path(SessionId session) const { return folder_ + "/" + session.str() + ".lock"; }

    std::string folder_;
    std::string host_;
    std::string boot_;
    mutable std::mutex mutex_;
    std::map<SessionId, LockFile> held_;  // Guarded by mutex_.
};

}  // namespace jobruntime::sqlite

// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <string>

#include <jobruntime/result.hpp>

#include "sqlite/files_linux.hpp"

namespace jobruntime::sqlite {

/// Hands the write turn of one database from process to process. SQLite's own lock goes to whoever
/// asks at the right moment, so a busy process starves the others. Here one waits at `next` only
/// for `now`, so nobody is passed twice: lock next, lock now, unlock next; write; unlock now.
class Turnstile {
public:
    static Result<Turnstile> open(const std::string& folder);
    /// False: no turn until the deadline; somebody holds it and does not go on.
    bool enter(SteadyTime deadline);
    void leave();
    void close_in_child();

private:
    Turnstile(LockFile next, LockFile now) : next_(std::move(next)), now_(std::move(now)) {}
    LockFile next_;
    LockFile now_;
};

}  // namespace jobruntime::sqlite

// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <sys/types.h>

#include <optional>
#include <span>

#include <jobruntime/subprocess.hpp>

namespace jobruntime::core {

enum class ChildStage : int { setup, directory, exec };

/// What a child that could not run its program tells its parent.
struct ChildFailure {
    ChildStage stage = ChildStage::setup;
    int error = 0;
};

/// Everything that the child needs, prepared before the fork: after it, only async-signal-safe
/// calls are allowed, because another thread may have held any lock, malloc's included.
struct ChildPlan {
    const char* program;
    char* const* argv;
    char* const* env;
    const char* cwd;                 ///< May be null.
    std::span<const FdMapping> map;  ///< Standard streams included.
    std::span<int> moved;            ///< Room for one number a mapping.
    ResourceLimits limits;
    bool die_with_parent;
    pid_t parent;
    int report;  ///< Write end of a close-on-exec pipe: silence means that exec has succeeded.
};

/// Forks; the child carries out the plan. Answers the child's pid, or -1 and the errno.
pid_t fork_child(const ChildPlan& plan, int& error);

/// What the child reported, or nothing when it runs its program.
std::optional<ChildFailure> read_report(int fd);

}  // namespace jobruntime::core

// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <functional>

namespace jobruntime::sqlite {

/// Notices fork(). Before it, `before` runs in the thread that forks, so that nobody else is in the middle of what the
/// child will touch; after it, `in_parent` or `in_child` (which may only close descriptors) undoes that at once. From
/// then on forked() is true in the child for guards made in the parent.
class ForkGuard {
public:
    struct Hooks {
        std::function<void()> before;
        std::function<void()> in_parent;
        std::function<void()> in_child;
    };
    explicit ForkGuard(Hooks hooks);
    ForkGuard(const ForkGuard&) = delete;
    ~ForkGuard();
    bool forked() const noexcept;

private:
    Hooks hooks_;
    unsigned generation_;
    friend struct ForkList;
};

}  // namespace jobruntime::sqlite

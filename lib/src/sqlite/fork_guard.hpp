// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <functional>

namespace jobruntime::sqlite {

/// Notices fork(). In the child, `in_child` runs at once (it may only close descriptors), and from
/// then on forked() is true for guards made in the parent.
class ForkGuard {
public:
    explicit ForkGuard(std::function<void()> in_child);
    ForkGuard(const ForkGuard&) = delete;
    ~ForkGuard();
    bool forked() const noexcept;

private:
    std::function<void()> in_child_;
    unsigned generation_;
    friend struct ForkList;
};

}  // namespace jobruntime::sqlite

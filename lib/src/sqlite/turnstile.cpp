// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "sqlite/turnstile.hpp"

namespace jobruntime::sqlite {

Result<Turnstile> Turnstile::open(const std::string& folder) {
    auto next = LockFile::open(folder + "/next");
    if (!next) return std::move(next).error();
    auto now = LockFile::open(folder + "/now");
    if (!now) return std::move(now).error();
    return Turnstile(std::move(*next), std::move(*now));
}

bool Turnstile::enter(SteadyTime deadline) {
    if (!next_.wait_exclusive(deadline)) return false;
    const bool mine = now_.wait_exclusive(deadline);
    next_.unlock();
    return mine;
}

void Turnstile::leave() { now_.unlock(); }

void Turnstile::close_in_child() {
    next_.close_in_child();
    now_.close_in_child();
}

}  // namespace jobruntime::sqlite

// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "sqlite/session_locks.hpp"

#include <sys/stat.h>
#include <unistd.h>

namespace jobruntime::sqlite {
namespace {

bool still_named(const LockFile& file, const std::string& path) {
    struct stat opened {}, named {};
    return ::fstat(file.fd(), &opened) == 0 && ::stat(path.c_str(), &named) == 0 && opened.st_ino == named.st_ino &&
           opened.st_dev == named.st_dev;
}

}  // namespace

bool SessionLocks::hold(SessionId session) {
    const std::scoped_lock lock(mutex_);
    if (held_.contains(session)) return true;
    const auto name = path(session);
    // Between opening and locking, a sweeper may have removed the name; then another file must be made.
    for (int tries = 0; tries < 10; ++tries) {
        auto file = LockFile::open(name);
        if (!file || !file->try_exclusive()) return false;
        if (!still_named(*file, name)) continue;
        held_.emplace(session, std::move(*file));
        return true;
    }
    return false;
}

void SessionLocks::let_go(SessionId session) {
    const std::scoped_lock lock(mutex_);
    if (held_.erase(session) > 0) ::unlink(path(session).c_str());
}

void SessionLocks::look(SessionInfo& info, bool locked) const {
    {
        const std::scoped_lock lock(mutex_);
        if (held_.contains(info.id)) {
            info.seen_alive = true;
            return;
        }
    }
    const auto seen = look_at_lock(path(info.id));
    if (seen == LockSeen::held) {
        info.seen_alive = true;
        return;
    }
    // A session of another host, or one whose lock file could not be made, is left to the lease.
    const bool our_boot = !boot_.empty() && info.facts.boot_id == boot_;
    info.seen_dead = info.facts.host == host_ && (seen == LockSeen::free || (locked && our_boot));
}

void SessionLocks::forget(SessionId session) const {
    const auto name = path(session);
    auto file = look_at_lock(name) == LockSeen::free ? LockFile::open(name) : Result<LockFile>(Error{});
    if (file && file->try_exclusive()) ::unlink(name.c_str());
}

void SessionLocks::close_in_child() {
    for (auto& [session, file] : held_) file.close_in_child();  // Nothing is freed: not every allocator can in such a child.
    mutex_.unlock();
}

}  // namespace jobruntime::sqlite

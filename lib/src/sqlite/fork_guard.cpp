// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "sqlite/fork_guard.hpp"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <vector>

#include <pthread.h>

namespace jobruntime::sqlite {
namespace {

std::atomic<unsigned> forks{0};  // Raised in every child, so that guards of the parent are known as such.
std::mutex list_mutex;
std::vector<ForkGuard*>& guards() {  // Guarded by list_mutex.
    static std::vector<ForkGuard*> all;
    return all;
}

}  // namespace

struct ForkList {
    static void before() {
        list_mutex.lock();
        for (auto* guard : guards()) guard->hooks_.before();
    }
    static void in_parent() {
        for (auto* guard : guards()) guard->hooks_.in_parent();
        list_mutex.unlock();
    }
    static void in_child() {
        forks.fetch_add(1);
        for (auto* guard : guards()) guard->hooks_.in_child();
        guards().clear();
        list_mutex.unlock();
    }
};

ForkGuard::ForkGuard(Hooks hooks) : hooks_(std::move(hooks)), generation_(forks.load()) {
    static std::once_flag once;
    std::call_once(once, [] { pthread_atfork(&ForkList::before, &ForkList::in_parent, &ForkList::in_child); });
    const std::scoped_lock lock(list_mutex);
    guards().push_back(this);
}

ForkGuard::~ForkGuard() {
    const std::scoped_lock lock(list_mutex);
    std::erase(guards(), this);
}

bool ForkGuard::forked() const noexcept { return generation_ != forks.load(std::memory_order_relaxed); }

}  // namespace jobruntime::sqlite

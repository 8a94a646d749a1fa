// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "core/failpoint.hpp"

#ifdef JOBRUNTIME_FAILPOINTS

#include <atomic>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include <unistd.h>

namespace jobruntime::core {
namespace {

std::mutex mutex;
std::map<std::string, FailpointAction, std::less<>>& actions() {  // Guarded by mutex.
    static std::map<std::string, FailpointAction, std::less<>> all;
    return all;
}
std::atomic<bool> armed{false};  // Spares the lock while there is none.

FailpointAction parse_action(std::string_view text) {
    const auto colon = text.find(':');
    const auto word = text.substr(0, colon);
    int number = 0;
    if (colon != text.npos) {
        const auto digits = text.substr(colon + 1);
        const auto end = digits.data() + digits.size();
        if (const auto read = std::from_chars(digits.data(), end, number); read.ec != std::errc{} || read.ptr != end)
            return {};
    }
    if (word == "abort") return []() -> bool { std::abort(); };
    if (word == "exit") return [number]() -> bool { ::_exit(number); };
    if (word == "error") return [] { return true; };
    if (word == "kill") {
        return [] {
            ::kill(::getpid(), SIGKILL);
            return false;
        };
    }
    if (word == "sleep") {
        return [number] {
            std::this_thread::sleep_for(std::chrono::milliseconds(number));
            return false;
        };
    }
    return {};
}

FailpointAction parse_counted(std::string_view text) {
    const auto sign = text.find_first_of("*%");
    if (sign == text.npos) return parse_action(text);
    int times = 0;
    if (const auto read = std::from_chars(text.data(), text.data() + sign, times);
        read.ec != std::errc{} || read.ptr != text.data() + sign || times < 1)
        return {};
    auto action = parse_action(text.substr(sign + 1));
    if (!action) return {};
    auto come_by = std::make_shared<std::atomic<int>>(0);
    const bool again = text[sign] == '%';
    return [come_by, action, times, again] {
        const int now = come_by->fetch_add(1) + 1;
        return (again ? now % times == 0 : now == times) && action();
    };
}

}  // namespace

void set_failpoint(const std::string& name, FailpointAction action) {
    const std::scoped_lock lock(mutex);
    if (action)
        actions()[name] = std::move(action);
    else
        actions().erase(name);
    armed = !actions().empty();
}

void clear_failpoints() {
    const std::scoped_lock lock(mutex);
    actions().clear();
    armed = false;
}

bool arm_failpoints(std::string_view spec) {
    std::vector<std::pair<std::string, FailpointAction>> parsed;
    while (!spec.empty()) {
        const auto end = std::min(spec.find(';'), spec.size());
        const auto item = spec.substr(0, end);
        spec.remove_prefix(std::min(end + 1, spec.size()));
        const auto equals = item.find('=');
        if (equals == item.npos) return false;
        auto action = parse_counted(item.substr(equals + 1));
        if (!action) return false;
        parsed.emplace_back(item.substr(0, equals), std::move(action));
    }
    for (auto& [name, action] : parsed) set_failpoint(name, std::move(action));
    return true;
}

bool failpoint_reached(const char* name) {
    if (!armed.load(std::memory_order_relaxed)) return false;
    FailpointAction action;
    {
        const std::scoped_lock lock(mutex);
        const auto found = actions().find(std::string_view(name));
        if (found == actions().end()) return false;
        action = found->second;
    }
    return action();
}

}  // namespace jobruntime::core

#endif

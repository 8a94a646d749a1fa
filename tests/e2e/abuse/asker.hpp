// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <atomic>
#include <chrono>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <jobruntime/subprocess.hpp>

namespace jobruntime::abuse {

/// Asks one thing after the other, each on a connection of its own.
class Asker {
public:
    explicit Asker(int port) : port_(port) {}
    /// The status; 0 when no whole answer came within ten seconds.
    int ask(std::string_view text, std::string* answer = nullptr) const;
    int get(std::string_view path, std::string* answer = nullptr) const;

private:
    int port_;
};

/// Asks for health all the time, and keeps how long each answer took.
class HealthWatch {
public:
    explicit HealthWatch(int port);
    ~HealthWatch();
    struct Times {
        std::size_t asked = 0, failed = 0;
        double p50 = 0, p99 = 0, most = 0;  ///< Milliseconds.
    };
    /// Since the last call.
    Times take();

private:
    void run(int port);
    std::atomic<bool> stop_{false};
    std::mutex mutex_;
    std::vector<double> times_;   // Guarded by mutex_.
    std::size_t failed_ = 0;      // Guarded by mutex_.
    std::thread thread_;
};

}  // namespace jobruntime::abuse

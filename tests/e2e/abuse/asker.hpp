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

/// Where the API is, and who asks.
struct Api {
    int port = 0;
    std::string token;  ///< Empty where none is asked for.
    /// The lines of a head whose first begins so ("GET /path"), but not the empty one that ends it.
    std::string head(const std::string& what) const;
};

/// Asks one thing after the other, each on a connection of its own.
class Asker {
public:
    explicit Asker(Api api) : api_(std::move(api)) {}
    /// The status; 0 when no whole answer came within ten seconds. `retry_after`: the seconds that it says, or 0.
    int ask(std::string_view text, std::string* answer = nullptr, int* retry_after = nullptr) const;
    int get(const std::string& path, std::string* answer = nullptr) const;

private:
    Api api_;
};

/// Asks for health all the time, and keeps how long each answer took.
class HealthWatch {
public:
    explicit HealthWatch(Api api);
    ~HealthWatch();
    void stop();
    struct Times {
        std::size_t asked = 0, failed = 0;
        double p50 = 0, p99 = 0, most = 0;  ///< Milliseconds.
    };
    /// Since the last call.
    Times take();

private:
    void run(const Api& api);
    std::atomic<bool> stop_{false};
    std::mutex mutex_;
    std::vector<double> times_;   // Guarded by mutex_.
    std::size_t failed_ = 0;      // Guarded by mutex_.
    std::thread thread_;
};

}  // namespace jobruntime::abuse

// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "e2e/support.hpp"

// Those who give jobs and those who watch, while programs and databases come and go; and what the log says in the
// end.
namespace jobruntime::e2e {

/// JOBRT_TEST_SCALE percent of the full count, at least `least`.
int scaled(int full, int least);

/// Follows the telemetry over any number of connections: when one ends it makes the next by itself.
class Follower {
public:
    struct Seen {
        std::int64_t id = 0;
        std::int64_t late_ms = 0;  ///< From the event's time to its arrival; 0 when it was there before the connection.
    };
    /// `resumes`: names the last event when it connects again, as a browser does.
    explicit Follower(int port, bool resumes = true);
    /// Leaves its connection, if it has one, for a new one to this port.
    void connect(int port);
    /// The next connection, once this one has ended, goes to this port.
    void to(int port) { port_ = port; }
    std::vector<Seen> seen();
    std::vector<std::int64_t> ids();
    /// Attempts, also those that nobody answered.
    long connections() const { return connections_; }

private:
    void begin();
    void take();

    const bool resumes_;
    std::atomic<int> port_;
    std::atomic<long> connections_{0};
    std::mutex mutex_;
    std::unique_ptr<Stream> stream_;  // All guarded by mutex_.
    std::string rest_;
    std::int64_t since_ = 0;
    std::vector<Seen> seen_;
    std::jthread reader_;
};

/// Gives jobs to the API that lives, all the while; not faster than anything can follow. Every third takes
/// a moment, so that it can be met while it runs.
class Load {
public:
    explicit Load(std::chrono::milliseconds pause);
    void to(int port) { port_ = port; }
    long accepted() const { return accepted_; }
    /// Of the jobs for which 201 was answered.
    std::vector<std::string> ids() const;

private:
    std::atomic<int> port_{0};
    std::atomic<long> accepted_{0};
    mutable std::mutex mutex_;
    std::vector<std::string> ids_;  // Guarded by mutex_.
    std::jthread thread_;
};

/// Several APIs on one store, each of which can be started again.
struct Apis {
    const Folder& folder;
    Variables variables;
    std::vector<std::string> argv{tests::program("jobrt")};
    std::vector<std::unique_ptr<Service>> each{};
    void start(std::size_t i);
    int port(std::size_t i) const { return each[i]->port(); }
};

/// One event of the log, as an API tells it.
struct LogEvent {
    std::int64_t id = 0;
    std::string name, job, status;
};
/// All that an API has to tell, oldest first.
std::vector<LogEvent> whole_log(int port);
std::vector<std::int64_t> ids_of(const std::vector<LogEvent>& log);

/// What the log says of the jobs that were accepted.
struct Judgement {
    long completed = 0, failed = 0;
    long lost = 0;       ///< Accepted, and not ended by the log.
    long reruns = 0;     ///< Claimed after the end.
    long twice = 0;      ///< Ended after the end.
    long unordered = 0;  ///< Ids that do not ascend.
    long gaps = 0;       ///< Ids that do not count on by one; only MongoDB's must.
    bool sound() const { return lost + reruns + twice + unordered == 0; }
    std::string counts() const;
};
Judgement judge(const std::vector<LogEvent>& log, const std::vector<std::string>& accepted);
/// Breaks the log in each of the ways that judge() is to notice; how many of them it does not.
int unnoticed_breaks(const std::vector<LogEvent>& log, const std::vector<std::string>& accepted);

}  // namespace jobruntime::e2e

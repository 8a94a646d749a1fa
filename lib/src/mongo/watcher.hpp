// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "mongo/journal.hpp"

namespace jobruntime::mongo {

/// A thread that looks for what other processes have done, from start() on. The log's tail and the counter of
/// records are the truth; a change stream, where there is one, only says when to look.
class Watcher {
public:
    Watcher(Server& server, Journal& journal, const Options& options, std::function<void(unsigned)> tell);
    ~Watcher();
    void start();

private:
    void run(std::stop_token stop);
    void look();
    void poll_until(std::stop_token stop, std::chrono::steady_clock::time_point end);

    Server& server_;
    Journal& journal_;
    const Duration slowest_;
    const bool streams_;
    const std::function<void(unsigned)> tell_;
    bool begun_ = false;  // The watcher thread's own, as all to pause_.
    std::int64_t batch_ = 0;
    std::int64_t records_ = 0;
    Duration pause_{5};
    std::mutex mutex_;
    std::condition_variable_any wake_;
    std::jthread thread_;  // Guarded by mutex_ until the end. Last: joined before the rest goes.
};

}  // namespace jobruntime::mongo

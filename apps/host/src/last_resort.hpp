// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

namespace jobruntime::host {

/// Ends the process when its end in good order hangs: a thread that waits for a store or a disk cannot be told to stop.
/// Until it is begun it does nothing; once it is destroyed it does nothing any more. Thread-safe.
class LastResort {
public:
    struct Plan {
        std::chrono::milliseconds grace{};    ///< For what runs.
        std::chrono::milliseconds moments{};  ///< For all else, once the grace time is over and no handler runs.
        std::chrono::milliseconds stuck{};    ///< For handlers that ignore their stop, after the grace time.
        std::function<bool()> busy;           ///< Whether a handler runs. Must not wait.
        /// Asks the store something, when the grace time is over. While that has no answer handlers count for nothing: one
        /// that waits for the same store cannot hear its stop, and what it does would not be written.
        std::function<void()> ask;
        std::function<void()> last_words;     ///< Called before the process ends.
    };
    ~LastResort();

    /// From now on the plan holds, and the process ends with `code`.
    void begin(Plan plan, int code);
    /// No more grace.
    void hurry(int code);
    /// What `busy` and `ask` need is about to go: neither is called any more. Waits for the store's answer.
    void nothing_runs();

private:
    using Clock = std::chrono::steady_clock;
    void watch(const std::stop_token& stop);

    std::mutex mutex_;
    std::condition_variable_any changed_;
    Plan plan_;                    // Guarded by mutex_, as is what follows up to thread_.
    int code_ = 0;
    Clock::time_point grace_ends_{};
    bool answered_ = true;
    std::jthread asker_;
    std::jthread thread_;          // Last: it is joined before what it uses goes away.
};

}  // namespace jobruntime::host

// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <jobruntime/clock.hpp>
#include <jobruntime/store.hpp>

#include "sqlite/files_linux.hpp"
#include "sqlite/sql.hpp"

namespace jobruntime::sqlite {

/// Tells the other stores on the same file that something happened, and listens for them: one datagram
/// socket a store in a common folder. A ring is only a hint; the truth is PRAGMA data_version, looked
/// at slowly by the same thread, so a lost ring costs `poll` and never more.
class Doorbell {
public:
    /// `heard` is called by the bell's thread, with hints of others. `listening` says whether it is worth polling.
    Doorbell(std::string folder, std::unique_ptr<Connection> reader, Duration poll, std::function<void(unsigned)> heard,
             std::function<bool()> listening);
    ~Doorbell();
    void ring(unsigned hints) noexcept;
    /// Somebody began to listen.
    void wake() noexcept;
    void close_in_child() {
        folder_.reset();
        socket_.reset();
        wakeup_.reset();
    }

private:
    void run();
    void answer_door();
    void refresh_peers();          // With mutex_ held.
    void send(unsigned hints);     // With mutex_ held.
    bool version_changed();
    int timeout(SteadyTime now, SteadyTime next_poll);

    std::string folder_path_;
    std::unique_ptr<Connection> reader_;
    Duration poll_;
    std::function<void(unsigned)> heard_;
    std::function<bool()> listening_;
    std::string name_;
    Fd folder_;
    Fd socket_;
    Fd wakeup_;
    std::int64_t version_ = -1;

    std::mutex mutex_;
    std::vector<std::string> peers_;   // Guarded by mutex_.
    std::int64_t peers_changed_ = -1;  // Guarded by mutex_. The folder's time when it was read.
    bool peers_sure_ = false;          // Guarded by mutex_. That time was long enough ago to show the next change.
    SteadyTime last_ring_{};           // Guarded by mutex_.
    unsigned pending_ = 0;             // Guarded by mutex_.
    std::atomic<bool> stop_{false};
    std::thread thread_;
};

}  // namespace jobruntime::sqlite

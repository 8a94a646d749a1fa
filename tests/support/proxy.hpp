// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <list>
#include <mutex>
#include <random>
#include <thread>

namespace jobruntime::tests {

/// What a network does to one answer of the server: after a part of it, or none,
enum class Fault {
    none,
    drop,        ///< both ends are reset;
    delay,       ///< the rest comes late;
    half_close,  ///< the client is told that no more comes, while it could go on sending.
};

/// A TCP proxy on loopback between clients and one port, whose faults a seed chooses. Clients of other
/// processes may come, too.
class Proxy {
public:
    struct Faults {
        int every = 0;  ///< One piece of an answer in so many meets a fault; 0 = none.
        std::uint64_t seed = 1;
        std::chrono::milliseconds longest_delay{1'000};
    };
    struct Counts {
        long drops = 0, delays = 0, half_closes = 0;
        long all() const { return drops + delays + half_closes; }
    };

    /// Listens on a free port; `target` need not listen yet, or always.
    explicit Proxy(int target);
    ~Proxy();
    Proxy(const Proxy&) = delete;
    Proxy& operator=(const Proxy&) = delete;

    int port() const { return port_; }
    /// From now on.
    void set(const Faults& faults);
    /// From now on nothing passes, neither way, and nobody is told: how a server looks whose machine has stopped.
    /// When it thaws, what waited goes on its way.
    void freeze(bool frozen) { frozen_ = frozen; }
    Counts counts() const;

private:
    struct Connection {
        std::jthread thread;
        std::atomic<bool> over{false};
    };

    void accept_all(const std::stop_token& stop);
    void carry(int client, const std::stop_token& stop);
    bool stays_frozen() const;
    Fault choose(std::chrono::milliseconds& delay, std::size_t size, std::size_t& part);

    const int target_;
    int listener_ = -1;
    int port_ = 0;
    mutable std::mutex mutex_;
    Faults faults_;  // These three guarded by mutex_.
    std::mt19937_64 random_{1};
    Counts counts_;
    std::atomic<bool> frozen_{false};
    std::list<Connection> connections_;  // The accepting thread's own.
    std::jthread acceptor_;
};

}  // namespace jobruntime::tests

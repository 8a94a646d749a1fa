// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "e2e/abuse/asker.hpp"
#include "e2e/support.hpp"

// What the API is put through, and what is said of it.
namespace jobruntime::abuse {

struct Size {
    bool full = true;
    int subscribers = 10'000, deaf = 500, per_second = 100, seconds = 10;
    int drips = 500, idle = 2'000, connects = 1'000, connect_seconds = 10;
    // How much the most that the server holds may grow, in MB: about twice what was measured on a busy machine, which is 7 to 12
    // (of which most is for subscribers that are behind), up to 9.1 and up to 2.8; at small size up to 2.8, 1.3 and 1.3.
    double deaf_mb = 24, past_mb = 18, crowd_mb = 6;
};
inline constexpr Size small{false, 500, 50, 100, 3, 60, 1'200, 200, 3, 6, 3, 3};

/// Rows of what was measured, and whatever is not as it has to be.
class Report {
public:
    /// At small size the bar of health is loose, and rates have none: it is run beside other tests, whose share of the processor
    /// says more than ours.
    Report(int pid, bool full);
    void row(const std::string& what, const HealthWatch::Times& health);
    void check(bool good, const std::string& what);
    /// What took `took` and was meant to take `meant` is at full size late by a fifth at most.
    void check_rate(std::chrono::duration<double> took, double meant, const std::string& what);
    /// What the server holds now, and the most that it has ever held.
    double held_mb() const;
    double peak_mb() const;
    /// The most may have grown by so much since it was `before`; says by how much it has.
    void check_growth(double before, double most_mb, const std::string& what);
    int failed() const { return failed_; }

private:
    int pid_;
    bool full_;
    long threads_;
    int failed_ = 0;
};

/// Enqueues jobs that nobody will run, each an event or more, at that rate or later; the number that was accepted.
int post_jobs(const Api& api, int per_second, int seconds);

/// Event streams to very many, some of whom never read.
void storm(const Size& size, const Api& api, HealthWatch& health, Report& report);

/// Slow senders, idle connections and a flood of new ones, all at once. `held`: the server has room for all of them, so that the
/// idle ones, each of which has asked something before, stay; else the longest idle go for those that come.
void crowded(const Size& size, const Api& api, bool held, HealthWatch& health, Report& report);

/// All streams of one token end when it is revoked.
void revoked(const Size& size, const Api& api, const std::function<void()>& revoke, HealthWatch& health, Report& report);

/// The end, with as many streams open: each that reads is told, and the others hold up nothing.
void parting(const Size& size, const Api& api, e2e::Service& service, Report& report);

}  // namespace jobruntime::abuse

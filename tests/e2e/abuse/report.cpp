// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "e2e/abuse/trials.hpp"

namespace jobruntime::abuse {
namespace {

constexpr double most_p99_ms = 100;
constexpr double most_p99_small_ms = 500;

/// Of the process, in kB or as a number, by its name in /proc.
long status_of(int pid, const std::string& name) {
    std::ifstream lines("/proc/" + std::to_string(pid) + "/status");
    std::string line;
    while (std::getline(lines, line))
        if (line.starts_with(name + ":")) return std::atol(line.c_str() + name.size() + 1);
    return 0;
}

}  // namespace

Report::Report(int pid, bool full) : pid_(pid), full_(full), threads_(status_of(pid, "Threads")) {
    std::printf("%-58s %8s %8s %8s %8s %9s %9s %8s\n", "", "health n", "p50 ms", "p99 ms", "max ms", "RSS MB", "peak MB", "threads");
}

void Report::row(const std::string& what, const HealthWatch::Times& health) {
    const long threads = status_of(pid_, "Threads");
    std::printf("%-58s %8zu %8.1f %8.1f %8.1f %9.1f %9.1f %8ld\n", what.c_str(), health.asked, health.p50, health.p99, health.most,
                held_mb(), peak_mb(), threads);
    std::fflush(stdout);
    check(health.failed == 0, what + ": every question for health is answered 200, " + std::to_string(health.failed) + " were not");
    const double most_ms = full_ ? most_p99_ms : most_p99_small_ms;
    check(health.p99 < most_ms, what + ": health is answered within " + std::to_string(static_cast<int>(most_ms)) + " ms at p99");
    check(threads == threads_, what + ": the number of threads stays " + std::to_string(threads_));
}

void Report::check(bool good, const std::string& what) {
    if (good) return;
    std::printf("FAILED: %s\n", what.c_str());
    ++failed_;
}

void Report::check_rate(std::chrono::duration<double> took, double meant, const std::string& what) {
    std::printf("  %s: %.1f s, meant to be %.1f\n", what.c_str(), took.count(), meant);
    check(!full_ || took.count() <= 1.2 * meant, what + ": takes a fifth longer than meant at most");
}

double Report::held_mb() const { return static_cast<double>(status_of(pid_, "VmRSS")) / 1024; }

double Report::peak_mb() const { return static_cast<double>(status_of(pid_, "VmHWM")) / 1024; }

void Report::check_growth(double before, double most_mb, const std::string& what) {
    const double grown = peak_mb() - before;
    std::printf("  the most grew by %.1f MB, of %.1f that it may\n", grown, most_mb);
    check(grown < most_mb, what);
}

}  // namespace jobruntime::abuse

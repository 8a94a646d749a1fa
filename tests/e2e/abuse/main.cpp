// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
//
// Puts an API through what hostile or merely numerous clients do, and prints what became of it. Exit status 1 when an event
// was missed, memory or threads grew, somebody was not answered or not dropped in time, and at full size when health took 100 ms.
#define DOCTEST_CONFIG_IMPLEMENT  // What the end-to-end tests share checks with it.
#include <doctest/doctest.h>

#include <sys/resource.h>

#include <atomic>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <thread>

#include "e2e/abuse/asker.hpp"
#include "e2e/abuse/crowd.hpp"
#include "e2e/support.hpp"

namespace jobruntime::abuse {
namespace {

using namespace std::chrono_literals;

struct Size {
    int subscribers = 10'000, deaf = 500, per_second = 100, seconds = 10;
    int drips = 500, idle = 2'000, connects = 1'000, connect_seconds = 10;
};
constexpr Size small{500, 50, 100, 3, 60, 1'200, 200, 3};
/// At full size: the small one is run beside other tests, whose share of the processor says more than ours.
constexpr double most_p99_ms = 100;

/// Of the process, in kB or as a number, by its name in /proc.
long status_of(int pid, const std::string& name) {
    std::ifstream lines("/proc/" + std::to_string(pid) + "/status");
    std::string line;
    while (std::getline(lines, line))
        if (line.starts_with(name + ":")) return std::atol(line.c_str() + name.size() + 1);
    return 0;
}

class Report {
public:
    Report(int pid, bool times_count) : pid_(pid), times_count_(times_count), threads_(status_of(pid, "Threads")) {
        std::printf("%-58s %8s %8s %8s %8s %9s %9s %8s\n", "", "health n", "p50 ms", "p99 ms", "max ms", "RSS MB", "peak MB", "threads");
    }
    void row(const std::string& what, const HealthWatch::Times& health) {
        const long threads = status_of(pid_, "Threads");
        std::printf("%-58s %8zu %8.1f %8.1f %8.1f %9.1f %9.1f %8ld\n", what.c_str(), health.asked, health.p50, health.p99,
                    health.most, static_cast<double>(status_of(pid_, "VmRSS")) / 1024, peak_mb(), threads);
        std::fflush(stdout);
        check(health.failed == 0, what + ": every question for health is answered 200, " + std::to_string(health.failed) + " were not");
        check(!times_count_ || health.p99 < most_p99_ms, what + ": health is answered within 100 ms at p99");
        check(threads == threads_, what + ": the number of threads stays " + std::to_string(threads_));
    }
    void check(bool good, const std::string& what) {
        if (good) return;
        std::printf("FAILED: %s\n", what.c_str());
        ++failed_;
    }
    /// The most that it has ever held.
    double peak_mb() const { return static_cast<double>(status_of(pid_, "VmHWM")) / 1024; }
    int failed() const { return failed_; }

private:
    int pid_;
    bool times_count_;
    long threads_;
    int failed_ = 0;
};

std::string stream_request(const std::string& query = "") {
    return "GET /api/telemetry/stream" + query + " HTTP/1.1\r\nHost: localhost\r\n\r\n";
}

/// Enqueues jobs that nobody will run, each an event or more, at that rate; the number that was accepted.
int post_jobs(int port, int per_second, int seconds) {
    const Asker asker(port);
    const std::string body = R"({"kind":"abuse.none"})";
    const std::string text = "POST /api/jobs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
                             "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
    int done = 0;
    const auto begun = Clock::now();
    for (int i = 0; i < per_second * seconds; ++i) {
        std::this_thread::sleep_until(begun + i * 1'000'000us / per_second);
        if (asker.ask(text) == 201) ++done;
    }
    return done;
}

/// Number and sum of the ids of all events, by the API's own list.
std::pair<std::uint64_t, std::uint64_t> all_events(int port) {
    FrameCounter counter;
    const Asker asker(port);
    std::uint64_t after = 0, count = 0, sum = 0;
    while (true) {
        std::string answer;
        if (asker.get("/api/telemetry?limit=2000&after=" + std::to_string(after), &answer) != 200) return {0, 0};
        const auto page = boost::json::parse(answer).as_object();
        const auto& events = page.at("events").as_array();
        for (const auto& event : events) {
            ++count;
            sum += event.at("id").to_number<std::uint64_t>();
        }
        if (events.empty()) return {count, sum};
        after = page.at("next").to_number<std::uint64_t>();
    }
}

void storm(const Size& size, int port, HealthWatch& health, Report& report) {
    Crowd crowd(port);
    for (int i = 0; i < size.subscribers; ++i) {
        report.check(crowd.open(stream_request(), true, true), "every subscriber gets a connection");
        if (i % 20 == 0) crowd.turn(0ms);
    }
    const auto everybody = [&](auto is) {
        return std::all_of(crowd.members.begin(), crowd.members.end(), [&](const auto& member) { return !member->reads || is(*member); });
    };
    const auto until = [&](std::chrono::seconds limit, auto is) {
        const auto end = Clock::now() + limit;
        while (!everybody(is) && Clock::now() < end) crowd.turn(20ms);
        return everybody(is);
    };
    report.check(until(60s, [](const Member& member) { return member.frames.began; }), "every subscriber's stream begins");
    report.row(std::to_string(size.subscribers) + " subscribers, waiting", health.take());
    double before = report.peak_mb();
    // Each asks for another place, so that none shares its page.
    const auto open_deaf = [&] {
        for (int i = 0; i < size.deaf; ++i)
            report.check(crowd.open(stream_request("?after=" + std::to_string(i)), false, false, 2'048), "whoever never reads is let in");
    };
    open_deaf();

    std::atomic<bool> posting{true};
    int posted = 0;
    std::thread poster([&] {
        posted = post_jobs(port, size.per_second, size.seconds);
        posting = false;
    });
    const auto begun = Clock::now();
    while (posting) crowd.turn(20ms);
    poster.join();
    report.check(posted == size.per_second * size.seconds, "every job is accepted");
    const auto [count, sum] = all_events(port);
    const bool all = until(60s, [count = count](const Member& member) { return member.frames.count >= count || member.ended; });
    const std::chrono::duration<double> took = Clock::now() - begun;
    std::size_t exact = 0;
    for (const auto& member : crowd.members) {
        const auto& frames = member->frames;
        if (member->reads && !member->ended && frames.ordered && frames.count == count && frames.sum == sum) ++exact;
    }
    report.row("  " + std::to_string(count) + " events in " + std::to_string(size.seconds) + " s, " + std::to_string(size.deaf) +
                   " more never read",
               health.take());
    std::printf("  %zu of %d subscribers got all %llu events in order, after %.1f s: %.0f deliveries/s\n", exact, size.subscribers,
                static_cast<unsigned long long>(count), took.count(),
                static_cast<double>(exact) * static_cast<double>(count) / took.count());
    report.check(all && count >= static_cast<std::uint64_t>(posted) && exact == static_cast<std::size_t>(size.subscribers),
                 "every subscriber gets every event, once and in order");
    report.check(report.peak_mb() - before < 16, "readers that never read cost no memory");
    // Now there is a past, of which each of these wants all.
    before = report.peak_mb();
    open_deaf();
    const auto end = Clock::now() + 3s;
    while (Clock::now() < end) crowd.turn(20ms);
    report.row("  " + std::to_string(size.deaf) + " more that never read, each the past from elsewhere", health.take());
    report.check(report.peak_mb() - before < 24, "readers that never read cost a small page each");
    report.check(report.peak_mb() < 60, "the server stays below 60 MB");
}

/// Slow senders, idle connections and a flood of new ones, all at once.
void crowded(const Size& size, int port, HealthWatch& health, Report& report) {
    Crowd crowd(port);
    const std::string head = "POST /api/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    std::vector<Member*> drips;
    for (int i = 0; i < size.drips; ++i)
        drips.push_back(crowd.open(i % 2 ? head : head + "Content-Length: 1000\r\n\r\n", false, true));
    const auto begun = Clock::now();
    std::vector<Member*> idle;
    for (int i = 0; i < size.idle; ++i)
        if (auto* member = crowd.open("", false, true)) idle.push_back(member);
    report.check(idle.size() == static_cast<std::size_t>(size.idle), "every idle connection is taken");
    std::atomic<int> answered{0}, asked{0};
    std::atomic<bool> flooding{true};
    std::vector<std::thread> floods;
    for (int n = 0; n < 4; ++n)
        floods.emplace_back([&] {
            const Asker asker(port);
            for (int i = 0; i < size.connects * size.connect_seconds / 4; ++i) {
                std::this_thread::sleep_until(begun + i * 4'000'000us / size.connects);
                ++asked;
                if (asker.get("/api/worker/health") == 200) ++answered;
            }
        });
    std::thread waiter([&] {
        for (auto& flood : floods) flood.join();
        flooding = false;
    });
    const auto all_ended = [](const std::vector<Member*>& members) {
        return std::all_of(members.begin(), members.end(), [](auto* member) { return member->ended; });
    };
    const auto longest = [](const std::vector<Member*>& members) {
        std::chrono::duration<double> most{0};
        for (const auto* member : members)
            if (member->ended) most = std::max(most, std::chrono::duration<double>(member->ended_at - member->begun_at));
        return most;
    };
    auto next = begun;
    while ((flooding || !all_ended(drips) || !all_ended(idle)) && Clock::now() < begun + 60s) {
        crowd.turn(20ms);
        if (Clock::now() < next) continue;
        next += 1s;
        for (auto* drip : drips)
            if (!drip->ended) Crowd::say(*drip, "x");
    }
    waiter.join();
    report.row(std::to_string(size.drips) + " slow senders, " + std::to_string(size.idle) + " idle, " +
                   std::to_string(size.connects) + " connects/s",
               health.take());
    std::size_t told = 0;
    for (auto* drip : drips) told += drip->answer.starts_with("HTTP/1.1 408");
    std::printf("  %zu of %d slow senders were told that their time was up, the last after %.1f s; %d of %d connects answered; the last "
                "idle connection was dropped after %.1f s\n",
                told, size.drips, longest(drips).count(), answered.load(), asked.load(), longest(idle).count());
    report.check(told == drips.size() && all_ended(drips), "every slow sender is told 408 and dropped");
    report.check(longest(drips) < 30s, "slow senders are dropped in time");
    report.check(all_ended(idle) && longest(idle) < 30s, "idle connections are dropped in time");
    report.check(answered == asked, "every new connection is answered");
}

int run(const std::string& program, const Size& size, bool full) {
    const e2e::Folder folder;
    auto variables = e2e::environment(folder);
    variables["ROLE"] = "api";
    variables["JOBRT_MAX_STREAMS"] = std::to_string(size.subscribers + 2 * size.deaf);
    e2e::Service service(folder, variables, 30s, {program});
    if (service.ready().empty()) {
        std::cerr << "abuse: " << program << " does not start: " << service.program().err();
        return 2;
    }
    const int port = service.port();
    int failed = 0;
    {
        HealthWatch health(port);
        // Every thread that the first requests start is there then.
        post_jobs(port, 10, 1);
        std::this_thread::sleep_for(500ms);
        health.take();
        Report report(service.program().pid(), full);
        std::this_thread::sleep_for(1s);
        report.row("alone", health.take());
        storm(size, port, health, report);
        std::this_thread::sleep_for(500ms);
        health.take();
        crowded(size, port, health, report);
        failed = report.failed();
    }
    const auto begun = Clock::now();
    const auto ended = service.program().stop(30s);
    const std::chrono::duration<double> took = Clock::now() - begun;
    std::printf("stopped after %.2f s\n", took.count());
    if (!ended || ended->code != 0) {
        std::printf("FAILED: it ends with exit status 0 when it is asked to\n");
        ++failed;
    }
    std::printf("%s\n", failed == 0 ? "all bars are kept" : "some bars are missed");
    return failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace jobruntime::abuse

int main(int argc, char** argv) {
    using namespace jobruntime::abuse;
    doctest::Context context;
    context.setAsDefaultForAssertsOutOfTestCases();
    std::string program = JOBRT_PROGRAM;
    Size size;
    bool full = true;
    for (int i = 1; i < argc; ++i) {
        const std::string_view word(argv[i]);
        if (word == "--small") {
            size = small;
            full = false;
        } else if (word == "--program" && i + 1 < argc) {
            program = std::filesystem::absolute(argv[++i]).string();  // It runs in another folder.
        } else {
            std::cerr << "usage: abuse [--small] [--program JOBRT]\n";
            return 2;
        }
    }
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    const auto needed = static_cast<rlim_t>(size.subscribers + 2 * size.deaf + size.drips + size.idle + 200);
    if (limit.rlim_cur < needed) {
        std::cout << "skipped: this needs " << needed << " open files, and the system allows " << limit.rlim_cur << "\n";
        return 77;
    }
    return run(program, size, full);
}

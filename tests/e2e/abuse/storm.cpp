// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// Many event streams: what they are told, what those cost who never read, and how they end.
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <functional>
#include <thread>
#include <utility>

#include "e2e/abuse/crowd.hpp"
#include "e2e/abuse/trials.hpp"

namespace jobruntime::abuse {
namespace {

using namespace std::chrono_literals;

/// Number and sum of the ids of all events, by the API's own list.
std::pair<std::uint64_t, std::uint64_t> all_events(const Api& api) {
    FrameCounter counter;
    const Asker asker(api);
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

/// Subscribers that read, and as many as wanted that never do.
class Audience {
public:
    Audience(const Size& size, const Api& api, Report& report) : size_(size), api_(api), report_(report), crowd_(api.port) {
        // Not more at once than requests may wait for a thread, however busy the machine is.
        for (int i = 1; i <= size.subscribers; ++i) {
            report.check(crowd_.open(request(""), true, true), "every subscriber gets a connection");
            if (i % most_asked == 0 || i == size.subscribers) report.check(all_begin(), "every subscriber's stream begins");
        }
    }
    /// Each asks for another place, so that none shares its page. Not more at once than may wait for a thread, either: else some were
    /// refused, and so was who came right behind them.
    void open_deaf() {
        std::vector<const Member*> deaf;
        for (int i = 0; i < size_.deaf; ++i) {
            const auto* member = crowd_.open(request("?after=" + std::to_string(i)), false, false, 2'048);
            report_.check(member, "whoever never reads is let in");
            if (member) deaf.push_back(member);
            if ((i + 1) % most_asked != 0 && i + 1 < size_.deaf) continue;
            crowd_.turn_until(60s, [&] { return std::ranges::all_of(deaf, [](const auto* one) { return Crowd::status(*one) != 0; }); });
            const auto begun = std::ranges::count_if(deaf, [](const auto* one) { return Crowd::status(*one) == 200; });
            report_.check(begun == i + 1, "the stream of whoever never reads begins; " + std::to_string(i + 1 - begun) + " do not");
        }
    }
    void turn(std::chrono::milliseconds limit) { crowd_.turn(limit); }
    /// How many of those that read are so.
    std::size_t count(const std::function<bool(const Member&)>& is) const {
        std::size_t count = 0;
        for (const auto& member : crowd_.members) count += member->reads && is(*member);
        return count;
    }
    /// Reads until all who do are so; false at the limit.
    bool until(std::chrono::seconds limit, const std::function<bool(const Member&)>& is) {
        return crowd_.turn_until(limit, [&] {
            return std::all_of(crowd_.members.begin(), crowd_.members.end(), [&](const auto& member) { return !member->reads || is(*member); });
        });
    }

    /// Nothing is posted any more. Those that never read keep nothing growing while they are there, which is for ten seconds from when
    /// they are held up, so also for as long from when they came.
    void check_flat(Clock::time_point came, bool all_there) {
        const double held = report_.held_mb();
        turn_for(3s);
        const double grown = report_.held_mb() - held;
        const std::chrono::duration<double> since = Clock::now() - came;
        std::printf("  in the last of %.1f s that they have been there, 3 s, memory rose by %.1f MB\n", since.count(), grown);
        report_.check(grown <= 1, "memory is flat while readers that never read are there");
        report_.check(!all_there || since < 10s, "memory is measured while readers that never read are still there");
    }
    void turn_for(std::chrono::milliseconds time) {
        const auto end = Clock::now() + time;
        while (Clock::now() < end) turn(20ms);
    }

private:
    bool all_begin() {
        return until(60s, [](const Member& member) { return member.frames.began; });
    }
    std::string request(const std::string& query) const { return api_.head("GET /api/telemetry/stream" + query) + "\r\n"; }
    const Size& size_;
    const Api& api_;
    Report& report_;
    Crowd crowd_;
};

}  // namespace

int post_jobs(const Api& api, int per_second, int seconds) {
    constexpr int most_tries = 3;
    const Asker asker(api);
    const std::string body = R"({"kind":"abuse.none"})";
    const std::string head = api.head("POST /api/jobs") + "Connection: close\r\nContent-Type: application/json\r\nContent-Length: " +
                             std::to_string(body.size()) + "\r\nIdempotency-Key: ";
    int done = 0, again = 0;
    const auto begun = Clock::now();
    const auto run = std::to_string(begun.time_since_epoch().count()) + "-";
    for (int i = 0; i < per_second * seconds; ++i) {
        std::this_thread::sleep_until(begun + i * 1'000'000us / per_second);
        const std::string text = head + run + std::to_string(i) + "\r\n\r\n" + body;
        for (int tries = 1; tries <= most_tries; ++tries) {
            std::string answer;
            int retry_after = 0;
            const int status = asker.ask(text, &answer, &retry_after);
            done += status == 201;
            if (status == 201) break;
            std::printf("  job %d was answered %d: %s\n", i, status, answer.c_str());
            // As any good client does. It has a key, so that it is one job.
            if (status != 503 || retry_after <= 0 || tries == most_tries) break;
            ++again;
            std::this_thread::sleep_for(std::chrono::seconds(retry_after));
        }
    }
    if (again > 0) std::printf("  %d times a job was sent again, because the server was too busy\n", again);
    return done;
}

void storm(const Size& size, const Api& api, HealthWatch& health, Report& report) {
    Audience audience(size, api, report);
    report.row(std::to_string(size.subscribers) + " subscribers, waiting", health.take());
    double before = report.peak_mb();
    audience.open_deaf();
    std::atomic<bool> posting{true};
    int posted = 0;
    std::chrono::duration<double> posting_took{0};
    const auto begun = Clock::now();
    std::thread poster([&] {
        posted = post_jobs(api, size.per_second, size.seconds);
        posting_took = Clock::now() - begun;
        posting = false;
    });
    while (posting) audience.turn(20ms);
    poster.join();
    report.check(posted == size.per_second * size.seconds, "every job is accepted");
    report.check_rate(posting_took, size.seconds, "posting all jobs");
    // Those of the API's own record come a moment after their answers.
    auto events = all_events(api);
    while (true) {
        audience.turn_for(200ms);
        if (const auto now = all_events(api); now == std::exchange(events, now)) break;
    }
    const auto [count, sum] = events;
    const bool all = audience.until(60s, [count = count](const Member& member) { return member.frames.count >= count || member.ended; });
    const std::chrono::duration<double> took = Clock::now() - begun;
    const auto exact = audience.count([count = count, sum = sum](const Member& member) {
        return !member.ended && member.frames.ordered && member.frames.count == count && member.frames.sum == sum;
    });
    report.row("  " + std::to_string(count) + " events in " + std::to_string(size.seconds) + " s, " + std::to_string(size.deaf) +
                   " more never read",
               health.take());
    std::printf("  %zu of %d subscribers got all %llu events in order, after %.1f s: %.0f deliveries/s\n", exact, size.subscribers,
                static_cast<unsigned long long>(count), took.count(),
                static_cast<double>(exact) * static_cast<double>(count) / took.count());
    report.check(all && count >= static_cast<std::uint64_t>(posted) && exact == static_cast<std::size_t>(size.subscribers),
                 "every subscriber gets every event, once and in order");
    report.check_rate(took, size.seconds, "until the last subscriber had all events");
    report.check_growth(before, size.deaf_mb, "readers that never read cost no memory");
    // At full size, or where others take the processor, some may have been held up for so long that they are dropped.
    audience.check_flat(begun, !size.full && took < 6s);
    // Now there is a past, of which each of these wants all.
    before = report.peak_mb();
    const auto came = Clock::now();
    audience.open_deaf();
    audience.turn_for(3s);
    report.row("  " + std::to_string(size.deaf) + " more that never read, each the past from elsewhere", health.take());
    report.check_growth(before, size.past_mb, "readers that never read cost a small page each");
    audience.check_flat(came, true);
    report.check(report.peak_mb() < 60, "the server stays below 60 MB");
}

void revoked(const Size& size, const Api& api, const std::function<void()>& revoke, HealthWatch& health, Report& report) {
    Audience audience(size, api, report);
    health.take();
    report.check(audience.until(40s, [](const Member& member) { return member.frames.beats > 0; }), "every subscriber gets a heartbeat");
    report.row(std::to_string(size.subscribers) + " subscribers, each with a heartbeat of its own", health.take());
    const auto begun = Clock::now();
    revoke();
    report.check(audience.until(40s, [](const Member& member) { return member.ended; }), "every stream of a revoked token ends");
    const std::chrono::duration<double> took = Clock::now() - begun;
    const auto told = audience.count([](const Member& member) { return member.frames.last_word == "revoked"; });
    report.row("  their token is revoked", health.take());
    std::printf("  %zu of %d subscribers were told that their token is revoked, the last after %.1f s\n", told, size.subscribers, took.count());
    report.check(told == static_cast<std::size_t>(size.subscribers), "every subscriber is told that its token is revoked");
    report.check(took < 25s, "streams of a revoked token end with their next heartbeat");
}

void parting(const Size& size, const Api& api, e2e::Service& service, Report& report) {
    Audience audience(size, api, report);
    audience.open_deaf();
    // They get what they take of the past.
    audience.turn_for(1s);
    const auto begun = Clock::now();
    service.program().signal(SIGTERM);
    const bool over = audience.until(30s, [](const Member& member) { return member.ended; });
    const std::chrono::duration<double> last = Clock::now() - begun;
    const auto ended = service.program().wait(30s);
    const std::chrono::duration<double> took = Clock::now() - begun;
    const auto told = audience.count([](const Member& member) { return member.frames.last_word == "shutdown"; });
    std::printf("SIGTERM with these streams open: %zu of %d subscribers were told, all within %.2f s; it ended after %.2f s, with %d that "
                "never read\n",
                told, size.subscribers, last.count(), took.count(), size.deaf);
    report.check(over && told == static_cast<std::size_t>(size.subscribers), "every subscriber is told that the server stops");
    report.check(ended && ended->code == 0, "it ends with exit status 0 when it is asked to");
    report.check(took < 10s, "readers that never read do not hold up its end");
}

}  // namespace jobruntime::abuse

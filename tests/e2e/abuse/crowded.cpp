// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <thread>

#include "e2e/abuse/crowd.hpp"
#include "e2e/abuse/trials.hpp"

namespace jobruntime::abuse {
namespace {

using namespace std::chrono_literals;

constexpr int flooders = 4;

class Press {
public:
    Press(const Size& size, const Api& api, bool held, Report& report)
        : size_(size), api_(api), held_(held), report_(report), crowd_(api.port) {}

    void open() {
        const std::string head = api_.head("POST /api/jobs") + "Content-Type: application/json\r\n";
        for (int i = 0; i < size_.drips; ++i)
            drips_.push_back(crowd_.open(i % 2 ? head : head + "Content-Length: 1000\r\n\r\n", false, true));
        const auto question = held_ ? api_.head("GET /api/health") + "\r\n" : "";
        for (int i = 0; i < size_.idle; ++i) {
            if (auto* member = crowd_.open(question, false, true)) idle_.push_back(member);
            if (held_ && i % most_asked == 0) all_answered();
        }
        report_.check(idle_.size() == static_cast<std::size_t>(size_.idle), "every idle connection is taken");
        if (held_) report_.check(all_answered(), "every connection is answered before it is idle");
    }

    /// New connections all the while, and a byte a second of each slow sender, until all of it is over.
    void run() {
        begun_ = Clock::now();
        std::vector<std::thread> floods;
        for (int n = 0; n < flooders; ++n) floods.emplace_back([this] { flood(); });
        std::thread waiter([&] {
            for (auto& flood : floods) flood.join();
            flood_took_ = Clock::now() - begun_;
            flooding_ = false;
        });
        auto next = begun_;
        while ((flooding_ || !all_ended(drips_) || (!held_ && !all_ended(idle_))) && Clock::now() < begun_ + 60s) {
            crowd_.turn(20ms);
            if (Clock::now() < next) continue;
            next += 1s;
            for (auto* drip : drips_)
                if (!drip->ended) Crowd::say(*drip, "x");
        }
        waiter.join();
    }

    void judge() {
        const auto told = std::count_if(drips_.begin(), drips_.end(), [](auto* drip) { return drip->answer.starts_with("HTTP/1.1 408"); });
        std::printf("  %td of %d slow senders were told that their time was up, the last after %.1f s; %d of %d connects answered\n", told,
                    size_.drips, longest(drips_).count(), answered_.load(), asked_.load());
        report_.check(told == size_.drips && all_ended(drips_), "every slow sender is told 408 and dropped");
        report_.check(longest(drips_) < 30s, "slow senders are dropped in time");
        report_.check(answered_ == asked_, "every new connection is answered");
        report_.check_rate(flood_took_, size_.connect_seconds, "all new connections, one after the other at their rate");
        if (held_) return judge_held();
        std::printf("  the last idle connection was dropped after %.1f s\n", longest(idle_).count());
        report_.check(all_ended(idle_) && longest(idle_) < 30s, "idle connections are dropped in time");
    }

private:
    void flood() {
        const Asker good(api_), wrong({api_.port, "jrt_00000000_wrong"});
        for (int i = 0; i < size_.connects * size_.connect_seconds / flooders; ++i) {
            std::this_thread::sleep_until(begun_ + i * flooders * 1'000'000us / size_.connects);
            ++asked_;
            // Who asks is looked at only where tokens are in force, and every other one is nobody.
            if (api_.token.empty()) answered_ += good.get("/api/worker/health") == 200;
            else if (i % 2 == 0) answered_ += good.get("/api/session") == 200;
            else answered_ += wrong.get("/api/session") == 401;
        }
    }

    /// All are there still, and answer; then their time passes.
    void judge_held() {
        const auto there = std::count_if(idle_.begin(), idle_.end(), [](auto* member) { return !member->ended; });
        bool answered = true;
        for (std::size_t i = 0; i < idle_.size(); ++i) {
            auto& member = *idle_[i];
            member.answer.clear();
            member.begun_at = Clock::now();
            answered = answered && !member.ended && Crowd::say(member, api_.head("GET /api/health") + "\r\n");
            if (i % most_asked == 0) all_answered(i + 1);
        }
        answered = answered && all_answered();
        std::printf("  %td of %d idle connections were held meanwhile, and answered then\n", there, size_.idle);
        report_.check(there == size_.idle && answered, "every idle connection is held, and answered when it asks again");
        if (!size_.full) return;
        crowd_.turn_until(90s, [&] { return all_ended(idle_); });
        std::printf("  the last idle connection was dropped %.1f s after its last answer\n", longest(idle_).count());
        report_.check(all_ended(idle_) && longest(idle_) < 75s, "idle connections are dropped in time");
    }

    /// All of the first `count`.
    bool all_answered(std::size_t count) {
        return crowd_.turn_until(20s, [&] {
            return std::all_of(idle_.begin(), idle_.begin() + static_cast<std::ptrdiff_t>(count),
                               [](auto* member) { return member->ended || member->answer.starts_with("HTTP/1.1 200"); });
        });
    }
    bool all_answered() { return all_answered(idle_.size()) && std::none_of(idle_.begin(), idle_.end(), [](auto* member) { return member->ended; }); }
    static bool all_ended(const std::vector<Member*>& members) {
        return std::all_of(members.begin(), members.end(), [](auto* member) { return member->ended; });
    }
    static std::chrono::duration<double> longest(const std::vector<Member*>& members) {
        std::chrono::duration<double> most{0};
        for (const auto* member : members)
            if (member->ended) most = std::max(most, std::chrono::duration<double>(member->ended_at - member->begun_at));
        return most;
    }

    const Size& size_;
    const Api& api_;
    const bool held_;
    Report& report_;
    Crowd crowd_;
    std::vector<Member*> drips_, idle_;
    Clock::time_point begun_{};
    std::chrono::duration<double> flood_took_{0};
    std::atomic<int> answered_{0}, asked_{0};
    std::atomic<bool> flooding_{true};
};

}  // namespace

void crowded(const Size& size, const Api& api, bool held, HealthWatch& health, Report& report) {
    const double before = report.peak_mb();
    Press press(size, api, held, report);
    press.open();
    press.run();
    report.row(std::to_string(size.drips) + " slow senders, " + std::to_string(size.idle) + (held ? " idle held, " : " idle, ") +
                   std::to_string(size.connects) + " connects/s",
               health.take());
    report.check_growth(before, size.crowd_mb, "connections cost little");
    press.judge();
}

}  // namespace jobruntime::abuse

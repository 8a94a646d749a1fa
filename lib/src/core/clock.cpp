// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <jobruntime/clock.hpp>

#include <algorithm>
#include <cstdio>
#include <utility>

namespace jobruntime {
namespace {

/// Reads exactly `count` digits at the front of `text` and takes them off.
bool take_digits(std::string_view& text, std::size_t count, int& value) {
    if (text.size() < count) return false;
    value = 0;
    for (std::size_t i = 0; i < count; ++i) {
        if (text[i] < '0' || text[i] > '9') return false;
        value = value * 10 + (text[i] - '0');
    }
    text.remove_prefix(count);
    return true;
}

bool take(std::string_view& text, char wanted) {
    if (text.empty() || text.front() != wanted) return false;
    text.remove_prefix(1);
    return true;
}

bool take_fraction(std::string_view& text, int& milliseconds) {
    milliseconds = 0;
    if (!take(text, '.')) return true;
    int digits = 0;
    while (!text.empty() && text.front() >= '0' && text.front() <= '9') {
        if (++digits > 9) return false;
        if (digits <= 3) milliseconds = milliseconds * 10 + (text.front() - '0');
        text.remove_prefix(1);
    }
    for (int missing = digits; missing < 3; ++missing) milliseconds *= 10;
    return digits > 0;
}

bool take_offset(std::string_view& text, std::chrono::minutes& offset) {
    offset = std::chrono::minutes{0};
    if (take(text, 'Z')) return true;
    const bool west = !text.empty() && text.front() == '-';
    int hours = 0;
    int minutes = 0;
    if (!take(text, west ? '-' : '+') || !take_digits(text, 2, hours) || !take(text, ':') ||
        !take_digits(text, 2, minutes) || hours > 23 || minutes > 59)
        return false;
    offset = std::chrono::minutes{hours * 60 + minutes} * (west ? -1 : 1);
    return true;
}

Error not_a_time(std::string_view text) {
    return {Errc::invalid_argument, "not a time: \"" + std::string(text.substr(0, 40)) +
                                        "\"; write it like 2026-03-01T12:00:00.000Z"};
}

}  // namespace

std::string to_iso(Time time) {
    using namespace std::chrono;
    constexpr Time first = sys_days{year{0} / January / 1};
    constexpr Time last = sys_days{year{10000} / January / 1} - milliseconds{1};
    time = std::clamp(time, first, last);
    const auto day = floor<days>(time);
    const year_month_day date{day};
    const hh_mm_ss clock{time - day};
    // By hand: a page of jobs has hundreds of times.
    std::string text = "0000-00-00T00:00:00.000Z";
    const auto put = [&text](std::size_t end, std::int64_t number) {
        for (; number > 0; number /= 10) text[end--] = static_cast<char>('0' + number % 10);
    };
    put(3, static_cast<int>(date.year()));
    put(6, static_cast<unsigned>(date.month()));
    put(9, static_cast<unsigned>(date.day()));
    put(12, clock.hours().count());
    put(15, clock.minutes().count());
    put(18, clock.seconds().count());
    put(22, clock.subseconds().count());
    return text;
}

Result<Time> parse_iso(std::string_view text) {
    using namespace std::chrono;
    std::string_view rest = text;
    int y = 0, mo = 0, d = 0, h = 0, mi = 0, s = 0, ms = 0;
    minutes offset{0};
    if (!take_digits(rest, 4, y) || !take(rest, '-') || !take_digits(rest, 2, mo) || !take(rest, '-') ||
        !take_digits(rest, 2, d) || !take(rest, 'T') || !take_digits(rest, 2, h) || !take(rest, ':') ||
        !take_digits(rest, 2, mi) || !take(rest, ':') || !take_digits(rest, 2, s) || !take_fraction(rest, ms) ||
        !take_offset(rest, offset) || !rest.empty())
        return not_a_time(text);
    const year_month_day date{year{y}, month{static_cast<unsigned>(mo)}, day{static_cast<unsigned>(d)}};
    if (!date.ok() || h > 23 || mi > 59 || s > 59) return not_a_time(text);
    return Time{sys_days{date}} + hours{h} + minutes{mi} + seconds{s} + milliseconds{ms} - offset;
}

void Wakeup::ring() {
    {
        const std::lock_guard lock(mutex_);
        rung_ = true;
    }
    changed_.notify_all();
}

void Wakeup::poke() {
    {
        const std::lock_guard lock(mutex_);
        ++pokes_;
    }
    changed_.notify_all();
}

class SystemClock final : public Clock {
public:
    Time wall() const override {
        return std::chrono::floor<Duration>(std::chrono::system_clock::now());
    }

    SteadyTime steady() const override { return std::chrono::steady_clock::now(); }

    Woken wait_until(SteadyTime deadline, Wakeup& wakeup, std::stop_token stop) override {
        const std::stop_callback wake(stop, [&wakeup] { wakeup.poke(); });
        std::unique_lock lock(wakeup.mutex_);
        while (true) {
            if (stop.stop_requested()) return Woken::stopped;
            if (std::exchange(wakeup.rung_, false)) return Woken::rung;
            const auto now = std::chrono::steady_clock::now();
            if (now >= deadline) return Woken::deadline;
            // In slices: a deadline near the end of time would overflow inside the standard library.
            wakeup.changed_.wait_until(lock, std::min(deadline, now + std::chrono::hours(1)));
        }
    }
};

Clock& system_clock() {
    static SystemClock* const clock = new SystemClock;  // Never destroyed: threads may use it until the end.
    return *clock;
}

}  // namespace jobruntime

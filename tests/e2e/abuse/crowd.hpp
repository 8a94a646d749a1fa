// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <jobruntime/subprocess.hpp>

namespace jobruntime::abuse {

using Clock = std::chrono::steady_clock;

/// Reads a stream of server-sent events as it comes, in pieces of any size, and keeps only what is needed to tell whether
/// all events came once and in order.
class FrameCounter {
public:
    void read(std::string_view bytes);
    std::uint64_t count = 0;     ///< Telemetry events.
    std::uint64_t sum = 0;       ///< Of their ids.
    std::uint64_t last = 0;
    bool ordered = true;
    std::uint64_t beats = 0;     ///< Heartbeats.
    bool began = false;          ///< The answer was 200.
    std::string last_word;       ///< Name of the last frame that was no telemetry and no heartbeat.

private:
    void line(std::string_view text);
    std::string rest_;
    std::uint64_t id_ = 0;
};

/// One connection of the crowd.
struct Member {
    Fd socket;
    FrameCounter frames;
    std::string answer;          ///< The beginning of what came, of those that do not count frames.
    bool counts = false;
    bool reads = true;           ///< False: never.
    bool ended = false;
    Clock::time_point begun_at{}, ended_at{};
};

/// Requests at once that the server may wait with for a thread, whatever else this machine does, without refusing any.
inline constexpr int most_asked = 100;

/// Many connections to one port, served by whichever thread calls turn().
class Crowd {
public:
    explicit Crowd(int port);
    /// Opens a connection and says `text`; null when the system or the server refuses. `buffer`: of the kernel, for what comes.
    Member* open(std::string_view text, bool counts, bool reads, int buffer = 0);
    /// Reads what has come, for at most so long.
    void turn(std::chrono::milliseconds limit);
    /// Turns until it is so; false at the limit.
    bool turn_until(std::chrono::seconds limit, const std::function<bool()>& is);
    static bool say(Member& member, std::string_view text);
    /// The status of what it is answered, without reading any of that; 0 while nothing has come.
    static int status(const Member& member);
    std::vector<std::unique_ptr<Member>> members;

private:
    int port_;
    Fd epoll_;
    std::vector<char> buffer_;
};

}  // namespace jobruntime::abuse

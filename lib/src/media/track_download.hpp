// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include <jobruntime/result.hpp>

#include "media/piece_fetch.hpp"
#include "media/track_file.hpp"

namespace jobruntime::media {

/// Fetches a track's pieces ahead of each other, several at once, and puts them into its file in their order.
///
/// The first piece that is not whole yet, the head, goes straight to the file, however large it is. The
/// pieces behind it wait in memory; what does not fit there is not read from its connection until there is
/// room, so memory is bounded and the server is held back.
///
/// A piece that cannot be had ends it. Those before it that are on their way still get into the file, where the next
/// attempt goes on behind them.
class TrackDownload {
public:
    struct Options {
        int parallel = 16;
        std::size_t window_bytes = std::size_t{32} << 20;  ///< Waiting in memory.
        std::uint64_t max_bytes = 0;                       ///< Of all tracks together.
        std::chrono::milliseconds patience{5'000};         ///< For those before a piece that failed.
        std::function<void()> on_end = {};      ///< Called when it is done or has failed, on any thread.
        std::function<void()> on_failing = {};  ///< Called once it is failing, on any thread.
    };
    /// `total` counts the bytes of all tracks of a download.
    TrackDownload(StreamSource& source, TrackFile file, std::atomic<std::uint64_t>& total, Options options);
    ~TrackDownload();
    TrackDownload(const TrackDownload&) = delete;
    TrackDownload& operator=(const TrackDownload&) = delete;

    /// Further pieces. Not after close().
    void add(std::vector<Piece> pieces);
    /// There are no more.
    void close();
    /// Ends the threads; what was fetched stays in the file. Then file() may be used.
    void stop();

    struct State {
        bool done = false;  ///< Closed, and every piece is in the file.
        double seconds = 0, all_seconds = 0;
        bool failing = false;          ///< A piece has failed, and nothing behind it is wanted any more.
        std::optional<Error> failure;  ///< Of the first piece that failed, once nothing is waited for any more.
    };
    State state() const;
    TrackFile& file() noexcept { return file_; }
    std::size_t waiting_bytes_peak() const;

private:
    struct Slot {
        Piece piece;
        std::string waiting;  // Bytes that came before the piece was the head.
        bool whole = false;
    };
    void work(const std::stop_token& stop);
    std::optional<std::size_t> next_slot(const std::stop_token& stop);
    Result<void> fetch(std::size_t index, const std::stop_token& stop);
    Result<void> take(std::size_t index, std::string_view bytes, const std::stop_token& stop);
    Result<void> restart(std::size_t index);
    Result<void> write(std::string_view bytes);
    Result<void> finish(std::size_t index);
    std::string take_waiting(Slot& slot);
    void fail(std::size_t index, Error error);
    void ring() const;

    StreamSource& source_;
    TrackFile file_;  // Written by the thread whose piece is the head, and by nobody else.
    std::atomic<std::uint64_t>& total_;
    const Options options_;

    mutable std::mutex mutex_;
    std::condition_variable_any changed_;
    std::deque<Slot> slots_;  // All of these are guarded by mutex_. Slots never move.
    std::size_t head_ = 0, next_ = 0;
    std::size_t waiting_bytes_ = 0, waiting_peak_ = 0;
    double seconds_ = 0, all_seconds_ = 0;
    bool closed_ = false;
    std::optional<Error> failure_;
    std::size_t failed_at_ = static_cast<std::size_t>(-1);  // The slot of that; none.
    std::chrono::steady_clock::time_point failed_when_{};   // The first time.

    std::vector<std::jthread> threads_;  // Last: they end before what they use.
};

}  // namespace jobruntime::media

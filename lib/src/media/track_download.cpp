// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "media/track_download.hpp"

#include <algorithm>
#include <exception>
#include <utility>

namespace jobruntime::media {

TrackDownload::TrackDownload(StreamSource& source, TrackFile file, std::atomic<std::uint64_t>& total,
                             Options options)
    : source_(source), file_(std::move(file)), total_(total), options_(options) {
    seconds_ = all_seconds_ = file_.seconds();
    total_ += file_.size();
    for (int i = 0; i < options_.parallel; ++i)
        threads_.emplace_back([this](const std::stop_token& stop) { work(stop); });
}

TrackDownload::~TrackDownload() { stop(); }

void TrackDownload::add(std::vector<Piece> pieces) {
    const std::lock_guard lock(mutex_);
    for (auto& piece : pieces) {
        all_seconds_ += piece.seconds;
        slots_.push_back({.piece = std::move(piece), .waiting = {}, .whole = false});
    }
    changed_.notify_all();
}

void TrackDownload::close() {
    {
        const std::lock_guard lock(mutex_);
        closed_ = true;
        changed_.notify_all();
        if (head_ != slots_.size()) return;
    }
    ring();
}

void TrackDownload::ring() const {
    if (options_.on_end) options_.on_end();
}

void TrackDownload::stop() {
    for (auto& thread : threads_) thread.request_stop();
    threads_.clear();
}

TrackDownload::State TrackDownload::state() const {
    const std::lock_guard lock(mutex_);
    const bool failed = failure_ && (head_ >= failed_at_ ||
                                     std::chrono::steady_clock::now() - failed_when_ >= options_.patience);
    return {.done = closed_ && head_ == slots_.size(),
            .seconds = seconds_,
            .all_seconds = all_seconds_,
            .failing = failure_.has_value(),
            .failure = failed ? failure_ : std::nullopt};
}

std::size_t TrackDownload::waiting_bytes_peak() const {
    const std::lock_guard lock(mutex_);
    return waiting_peak_;
}

void TrackDownload::work(const std::stop_token& stop) {
    std::optional<std::size_t> index;
    try {
        while ((index = next_slot(stop)))
            if (auto done = fetch(*index, stop); !done) return fail(*index, std::move(done).error());
    } catch (const std::exception& thrown) {
        fail(index.value_or(0), Error{Errc::internal, std::string("a download was ended by an exception: ") + thrown.what()});
    }
}

std::optional<std::size_t> TrackDownload::next_slot(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    const auto ahead = static_cast<std::size_t>(options_.parallel) * 4;
    const auto ready = [&] {
        return failure_ || (closed_ && next_ == slots_.size()) ||
               (next_ < slots_.size() && next_ < head_ + ahead && waiting_bytes_ < options_.window_bytes);
    };
    if (!changed_.wait(lock, stop, ready) || stop.stop_requested() || failure_ || next_ == slots_.size())
        return std::nullopt;
    return next_++;
}

Result<void> TrackDownload::fetch(std::size_t index, const std::stop_token& stop) {
    const Piece* piece = nullptr;
    {
        const std::lock_guard lock(mutex_);
        piece = &slots_[index].piece;
    }
    const StreamSource::Sink sink{.take = [&](std::string_view bytes) { return take(index, bytes, stop); },
                                  .restart = [&] { return restart(index); },
                                  .urgent =
                                      [&] {
                                          const std::lock_guard lock(mutex_);
                                          return index == head_;
                                      }};
    auto fetched = source_.fetch(*piece, sink, stop);
    const bool missing = !fetched && piece->may_be_missing && fetched.error().code == Errc::not_found;
    return fetched || missing ? finish(index) : fetched;
}

std::string TrackDownload::take_waiting(Slot& slot) {
    waiting_bytes_ -= slot.waiting.size();
    return std::exchange(slot.waiting, {});
}

Result<void> TrackDownload::take(std::size_t index, std::string_view bytes, const std::stop_token& stop) {
    std::string earlier;
    {
        std::unique_lock lock(mutex_);
        const auto room = [&] {
            return index > failed_at_ || index == head_ || waiting_bytes_ + bytes.size() <= options_.window_bytes;
        };
        if (!changed_.wait(lock, stop, room) || index > failed_at_)
            return Error{Errc::canceled, "the download was stopped"};
        Slot& slot = slots_[index];
        if (index != head_) {
            slot.waiting.append(bytes);
            waiting_bytes_ += bytes.size();
            waiting_peak_ = std::max(waiting_peak_, waiting_bytes_);
            return {};
        }
        earlier = take_waiting(slot);
    }
    JR_TRY(write(earlier));
    return write(bytes);
}

Result<void> TrackDownload::restart(std::size_t index) {
    {
        const std::lock_guard lock(mutex_);
        (void)take_waiting(slots_[index]);
        changed_.notify_all();
        if (index != head_) return {};
    }
    const auto before = file_.size();
    JR_TRY(file_.drop_unfinished());
    total_ -= before - file_.size();
    return {};
}

Result<void> TrackDownload::write(std::string_view bytes) {
    if (bytes.empty()) return {};
    if (total_ + bytes.size() > options_.max_bytes)
        return Error{
            Errc::full, "TOO_LARGE",
            "the stream is larger than the limit of " + std::to_string(options_.max_bytes) + " bytes"};
    JR_TRY(file_.append(bytes));
    total_ += bytes.size();
    return {};
}

/// Moves the head on as far as pieces are whole. Only the head's own thread gets past the first check.
Result<void> TrackDownload::finish(std::size_t index) {
    std::unique_lock lock(mutex_);
    slots_[index].whole = true;
    if (index != head_) return {};
    while (head_ < slots_.size() && slots_[head_].whole) {
        Slot& slot = slots_[head_];
        const std::string waiting = take_waiting(slot);
        lock.unlock();
        JR_TRY(write(waiting));
        JR_TRY(file_.finish_piece(slot.piece));
        lock.lock();
        seconds_ += slot.piece.seconds;
        ++head_;
        changed_.notify_all();
    }
    const bool over = (closed_ && head_ == slots_.size()) || head_ == failed_at_;
    lock.unlock();
    if (over) ring();
    return {};
}

void TrackDownload::fail(std::size_t index, Error error) {
    bool is_due = false;
    {
        const std::lock_guard lock(mutex_);
        // Those behind the first one that failed were stopped for its sake.
        if (index >= failed_at_) return;
        if (!failure_) failed_when_ = std::chrono::steady_clock::now();
        failure_ = std::move(error);
        failed_at_ = index;
        changed_.notify_all();
        is_due = index <= head_;
    }
    if (options_.on_failing) options_.on_failing();
    if (is_due) ring();
}

}  // namespace jobruntime::media

// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <jobruntime/telemetry_sink.hpp>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <span>
#include <thread>

#include <jobruntime/clock.hpp>
#include <jobruntime/store.hpp>

namespace jobruntime {
namespace {

class FanOut final : public TelemetrySink {
public:
    explicit FanOut(std::vector<TelemetrySink*> sinks) : sinks_(std::move(sinks)) {}

    void emit(const Event& event, bool logged) noexcept override {
        for (auto* sink : sinks_) sink->emit(event, logged);
    }

    void flush() noexcept override {
        for (auto* sink : sinks_) sink->flush();
    }

    bool has_room() noexcept override {
        return std::ranges::all_of(sinks_, [](TelemetrySink* sink) { return sink->has_room(); });
    }

private:
    const std::vector<TelemetrySink*> sinks_;
};

constexpr std::size_t most_waiting = 1000;
/// Events of changes. What lies between the two is for changes that were under way when there was still room.
constexpr std::size_t most_changes = 700;
constexpr std::size_t most_at_once = 200;
constexpr Duration retry_pause{1'000};
/// After a write what comes is gathered for so long: one write, and one wake-up, for many. Real time on purpose: the
/// disk and the processor are what is spared.
constexpr std::chrono::milliseconds gathered{20};

constexpr std::string_view lost_name = "telemetry.dropped";

/// Nothing else tells who did what is no change of a job, so it goes last.
bool is_change(const Event& event) { return event.name == "api.change.done"; }

class StoreSink final : public TelemetrySink {
public:
    StoreSink(Store& store, Clock& clock)
        : store_(store), clock_(clock), writer_([this](std::stop_token stop) { run(stop); }) {}

    ~StoreSink() override {
        writer_.request_stop();
        writer_.join();
    }

    void emit(const Event& event, bool logged) noexcept override {
        if (logged) return;
        try {
            const std::lock_guard lock(mutex_);
            waiting_.push_back(event);
            if (is_change(event)) ++changes_;
            if (waiting_.size() > most_waiting) drop_one();
            if (gathering_) return;
        } catch (const std::bad_alloc&) {
            return;  // A sink loses its own copies, not the job.
        }
        work_.ring();
    }

    void flush() noexcept override {
        std::unique_lock lock(mutex_);
        const auto wanted = ++flush_asked_;
        lock.unlock();
        hurry_.notify_one();
        work_.ring();
        lock.lock();
        flushed_.wait(lock, [&] { return flush_answered_ >= wanted; });
    }

    bool has_room() noexcept override {
        const std::lock_guard lock(mutex_);
        return changes_ < most_changes;
    }

private:
    void run(std::stop_token stop) {
        auto deadline = SteadyTime::max();
        while (clock_.wait_until(deadline, work_, stop) != Woken::stopped) {
            const bool taken = drain();
            deadline = taken ? SteadyTime::max() : clock_.steady() + retry_pause;
            if (taken) gather();
        }
        (void)drain();
    }

    void gather() {
        std::unique_lock lock(mutex_);
        gathering_ = true;
        hurry_.wait_for(lock, gathered, [&] { return flush_asked_ > flush_answered_; });
        gathering_ = false;
        if (!waiting_.empty()) work_.ring();
    }

    /// The oldest that is no change; the oldest of all only when there is none. Under the lock.
    void drop_one() {
        auto victim = std::ranges::find_if_not(waiting_, is_change);
        if (victim == waiting_.end()) victim = waiting_.begin();
        if (is_change(*victim)) --changes_;
        waiting_.erase(victim);
        ++dropped_;
    }

    /// Writes all that waits; false when the store did not take it.
    bool drain() {
        std::unique_lock lock(mutex_);
        const auto asked = flush_asked_;
        bool taken = true;
        while (taken && (!waiting_.empty() || dropped_ > 0)) {
            lock.unlock();
            taken = write_some();
            lock.lock();
        }
        flush_answered_ = asked;
        lock.unlock();
        flushed_.notify_all();
        return taken;
    }

    bool write_some() {
        std::vector<Note> notes;
        std::uint64_t dropped = 0;
        {
            const std::lock_guard lock(mutex_);
            dropped = std::exchange(dropped_, 0);
            while (!waiting_.empty() && notes.size() < most_at_once) {
                Note note;
                note.events.push_back(std::move(waiting_.front()));
                waiting_.pop_front();
                notes.push_back(std::move(note));
            }
        }
        if (dropped > 0) {
            Note note;
            Event lost;
            lost.at = clock_.wall();
            lost.name = lost_name;
            lost.level = Level::warn;
            lost.fields["count"] = dropped;
            note.events.push_back(std::move(lost));
            notes.insert(notes.begin(), std::move(note));
        }
        std::span<Note> left(notes);
        auto answer = store_.note(left, clock_.wall());
        if (!answer && !is_away(answer.error())) {
            // Repeating a batch that the store will never take would stop everything behind it: each goes alone, once.
            for (; !left.empty(); left = left.subspan(1)) {
                answer = store_.note(left.first(1), clock_.wall());
                if (!answer && is_away(answer.error())) break;
                const auto& event = left.front().events.front();
                const std::lock_guard lock(mutex_);
                if (is_change(event)) --changes_;
                if (!answer) dropped_ += event.name == lost_name ? dropped : 1;
            }
            if (left.empty()) return false;  // A pause, so that a store which takes nothing is not asked without end.
        }
        if (answer) {
            const std::lock_guard lock(mutex_);
            for (const auto& note : left)
                if (is_change(note.events.front())) --changes_;
            return true;
        }
        give_back(left);
        return false;
    }

    static bool is_away(const Error& error) { return error.code == Errc::unavailable || error.code == Errc::full; }

    void give_back(std::span<Note> notes) {
        const std::lock_guard lock(mutex_);
        for (auto note = notes.rbegin(); note != notes.rend(); ++note) {
            auto& event = note->events.front();
            const auto* count = event.name == lost_name ? event.fields.if_contains("count") : nullptr;
            if (count && count->is_uint64()) dropped_ += count->get_uint64();
            else waiting_.push_front(std::move(event));
        }
        while (waiting_.size() > most_waiting) drop_one();
    }

    Store& store_;
    Clock& clock_;
    Wakeup work_;
    std::mutex mutex_;
    std::condition_variable flushed_, hurry_;
    bool gathering_ = false;            // Guarded by mutex_. Nobody is waited for: what comes is looked at afterwards.
    std::deque<Event> waiting_;         // Guarded by mutex_, as are the counters.
    std::size_t changes_ = 0;           // Events of changes that wait, or are just being written.
    std::uint64_t dropped_ = 0;
    std::uint64_t flush_asked_ = 0;
    std::uint64_t flush_answered_ = 0;
    std::jthread writer_;               // Last, so that it starts when all else is there.
};

}  // namespace

std::unique_ptr<TelemetrySink> fan_out(std::vector<TelemetrySink*> sinks) {
    return std::make_unique<FanOut>(std::move(sinks));
}

std::unique_ptr<TelemetrySink> store_sink(Store& store, Clock& clock) {
    return std::make_unique<StoreSink>(store, clock);
}

}  // namespace jobruntime

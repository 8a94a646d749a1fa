// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <jobruntime/telemetry_sink.hpp>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
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

private:
    const std::vector<TelemetrySink*> sinks_;
};

constexpr std::size_t most_waiting = 1000;
constexpr std::size_t most_at_once = 200;
constexpr Duration retry_pause{1'000};
/// After a write what comes is gathered for so long: one write, and one wake-up, for many. Real time on purpose: the
/// disk and the processor are what is spared.
constexpr std::chrono::milliseconds gathered{20};

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
            if (waiting_.size() >= most_waiting) {
                waiting_.pop_front();
                ++dropped_;
            }
            waiting_.push_back(event);
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
            lost.name = "telemetry.dropped";
            lost.level = Level::warn;
            lost.fields["count"] = dropped;
            note.events.push_back(std::move(lost));
            notes.insert(notes.begin(), std::move(note));
        }
        const auto answer = store_.note(notes, clock_.wall());
        if (answer) return true;
        // Repeating a batch that the store will never take would stop everything behind it.
        const bool again = answer.error().code == Errc::unavailable || answer.error().code == Errc::full;
        give_back(std::move(notes), dropped, again);
        return false;
    }

    void give_back(std::vector<Note> notes, std::uint64_t dropped, bool again) {
        const std::lock_guard lock(mutex_);
        dropped_ += dropped;
        const std::size_t first = dropped > 0 ? 1 : 0;
        for (std::size_t i = notes.size(); i > first; --i) {
            if (again && waiting_.size() < most_waiting)
                waiting_.push_front(std::move(notes[i - 1].events.front()));
            else
                ++dropped_;
        }
    }

    Store& store_;
    Clock& clock_;
    Wakeup work_;
    std::mutex mutex_;
    std::condition_variable flushed_, hurry_;
    bool gathering_ = false;            // Guarded by mutex_. Nobody is waited for: what comes is looked at afterwards.
    std::deque<Event> waiting_;         // Guarded by mutex_, as are the counters.
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

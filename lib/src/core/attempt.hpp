// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <stop_token>
#include <string>
#include <vector>

#include <jobruntime/worker.hpp>

namespace jobruntime {

namespace core {

/// A kind and how to run it. Shared, because a handler that ignores its stop may outlive the worker.
struct KindEntry {
    std::string name;
    Handler handler;
    KindOptions options;
    /// How long a run takes, as a moving mean in nanoseconds; below zero = never run. Guarded by the worker.
    double mean_ns = -1;
};

/// The way from an attempt to what the worker was given. It is closed when the worker goes away, so that a
/// handler that comes back late finds nothing to touch.
struct Port {
    std::shared_mutex mutex;   ///< Held shared while the store is used.
    Store* store = nullptr;    ///< nullptr once closed. Guarded by mutex.
    bool patient = true;       ///< Waits between tries; false when one thread turns the crank and time stands still.
};

/// Gets to know that an attempt has something to write.
class NoteTaker {
public:
    virtual void dirty(const std::shared_ptr<Attempt>& attempt) = 0;

protected:
    ~NoteTaker() = default;
};

}  // namespace core

/// One claim of one job, from the claim until its end is decided. Owned by those who still need it: the
/// worker's lists, the thread that runs it, the writer of its notes. Thread-safe.
struct Attempt : std::enable_shared_from_this<Attempt> {
    Attempt(Job claimed, SessionId by, std::shared_ptr<core::KindEntry> entry, std::shared_ptr<core::Port> port,
            core::NoteTaker& notes, Clock& clock);

    const Job job;
    const SessionId session;
    const std::shared_ptr<core::KindEntry> kind;
    std::size_t queue = 0;             ///< Which of the worker's queues it came from.
    SteadyTime claimed_at{};

    /// Begins the time of the attempt. Before the handler is called.
    void begin();
    SteadyTime started_at() const { return started_at_; }
    std::optional<SteadyTime> deadline() const { return deadline_; }

    /// Asks the handler to stop; the first reason stays. Runs the handler's stop callbacks in this thread.
    void fire(StopReason why);
    std::stop_token token() const { return stop_.get_token(); }
    StopReason reason() const;
    /// When the stop was asked for; unset = not yet.
    std::optional<SteadyTime> fired_at() const;
    /// Whoever runs it in a thread that no timer watches looks at the deadline here.
    void check_deadline();

    /// Ends it for the handler: nothing that it still does counts from here on. False: it was ended before.
    bool close();
    /// The fence no longer holds the job.
    void lose();

    void progress(std::optional<double> percent, std::string_view stage, std::string_view message);
    void log(std::string_view line, Level level);
    void event(std::string_view name, boost::json::object fields, Level level);
    Result<boost::json::value> step(std::string_view name, const std::function<Result<boost::json::value>()>& body);
    Result<void> forget(std::string_view name);

    /// What is to be written, taken out; nothing when there is nothing. `events` are already in the note.
    std::optional<Note> take_note();
    /// When the next note may be written: at most four a second.
    SteadyTime note_due() const;

private:
    Result<boost::json::value> known_step(std::string_view name, bool& known);
    Result<void> write_step(Note note, std::string_view what);
    Result<NoteAnswer> send(const Note& note);
    void add_event(std::string_view name, boost::json::object fields, Level level);  // With mutex_ held.
    Error lost_error() const;

    core::NoteTaker& notes_;           // Not touched once closed_.
    Clock& clock_;                     // As notes_.
    const std::shared_ptr<core::Port> port_;
    std::stop_source stop_;
    SteadyTime started_at_{};
    std::optional<SteadyTime> deadline_;

    mutable std::mutex mutex_;
    bool closed_ = false;              // Guarded by mutex_, as is all below.
    bool lost_ = false;
    StopReason reason_ = StopReason::none;
    std::optional<SteadyTime> fired_at_;
    std::vector<StepResult> steps_;
    std::optional<Progress> progress_;
    std::vector<Event> events_;
    bool dirty_ = false;               // The note taker knows.
    std::optional<SteadyTime> noted_at_;
    std::size_t log_lines_ = 0;
    std::size_t own_events_ = 0;
};

}  // namespace jobruntime

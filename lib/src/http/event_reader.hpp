// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <jobruntime/event.hpp>
#include <jobruntime/result.hpp>
#include <jobruntime/store.hpp>

namespace jobruntime::http {

/// Reads pages of events on a thread of its own, one after the other, so that a store which takes its time holds up
/// nobody but those who wait for events.
class EventReader {
public:
    struct Question {
        std::string key;               ///< The asker's own, to know the answer by.
        std::optional<EventId> after;
        EventFilter filter;
        int limit = 0;
        std::size_t most_bytes = 0;    ///< Of frames; the page is cut after the event that reaches it.
    };
    /// A page, its events as the frames of a stream in one text that all who want them share.
    struct Answer {
        std::string key;
        std::optional<EventId> after;  ///< As asked.
        Error error;                   ///< When it has a message, there is nothing else.
        EventPage page;
        bool full = false;             ///< There may be more after it.
        std::shared_ptr<const std::string> text;
        std::vector<std::size_t> ends; ///< Of each event's frame in `text`.
    };

    /// `answered` is called from the thread when take() has something; it must be quick.
    EventReader(Store& store, std::function<void()> answered) : store_(store), answered_(std::move(answered)) {}
    ~EventReader() { stop(); }

    void start();
    /// Waits for a verb in progress.
    void stop();
    /// `soon`: before all others that wait.
    void ask(Question question, bool soon);
    std::vector<Answer> take();

private:
    void run();
    Answer read(Question question);

    Store& store_;
    const std::function<void()> answered_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<Question> questions_;  // Guarded by mutex_.
    std::vector<Answer> answers_;     // Guarded by mutex_.
    bool stop_ = false;               // Guarded by mutex_.
    std::thread thread_;
};

}  // namespace jobruntime::http

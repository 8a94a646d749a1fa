// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <boost/json/object.hpp>

#include <jobruntime/result.hpp>
#include <jobruntime/subprocess.hpp>

// The Chrome DevTools Protocol over --remote-debugging-pipe: JSON messages that end in NUL.
// Pages are hostile and their words travel inside these messages, so everything is bounded
// and nothing that cannot be read is more than skipped and counted.
namespace jobruntime::extract::cdp {

/// Cuts a byte stream into NUL-terminated messages. A message beyond the limit is skipped up
/// to its end, so that one giant message costs neither memory nor the connection.
class FrameSplitter {
public:
    explicit FrameSplitter(std::size_t max_message) : max_message_(max_message) {}
    void feed(std::string_view bytes, const std::function<void(std::string_view)>& sink);
    std::size_t skipped() const noexcept { return skipped_; }

private:
    std::size_t max_message_;
    std::string partial_;
    bool skipping_ = false;
    std::size_t skipped_ = 0;
};

/// One message from the browser: the answer to a request (`id` above 0) or an event.
struct Message {
    std::int64_t id = 0;
    std::string session;
    std::string method;          ///< The event's name; empty for an answer.
    boost::json::object params;  ///< The event's parameters, or the answer's result.
    std::string error;           ///< The answer's error text; empty when it succeeded.
    std::size_t bytes = 0;       ///< Size on the wire, for the mailbox's budget.
};

/// Reads one message; nothing when it is not the protocol's.
std::optional<Message> parse_message(std::string_view text);

struct Limits {
    std::size_t max_message = std::size_t{16} << 20;     ///< Bytes; longer ones are skipped.
    std::size_t mailbox_events = 20'000;                 ///< Further events are dropped, answers never.
    std::size_t mailbox_bytes = std::size_t{64} << 20;   ///< Likewise.
    std::size_t outgoing_bytes = std::size_t{16} << 20;  ///< Not yet taken by the browser; beyond = broken.
};

/// Where one extraction finds its answers and events, in order. Filled by the connection's
/// thread, emptied by one thread of the extraction.
class Mailbox {
public:
    enum class Got { message, deadline, stopped, closed };

    explicit Mailbox(const Limits& limits) : limits_(limits) {}
    Got pop(Message& out, Deadline deadline, const std::stop_token& stop);
    void push(Message message);
    void close();
    std::size_t dropped() const;

private:
    const Limits limits_;
    mutable std::mutex mutex_;
    std::condition_variable_any changed_;
    std::deque<Message> messages_;  // Guarded by mutex_, as all below.
    std::size_t bytes_ = 0;
    std::size_t dropped_ = 0;
    bool closed_ = false;
};

/// One browser's pipe. A thread of its own reads and writes it, so no caller ever blocks on a
/// browser that does not read; thread-safe. After the browser closed its end every mailbox
/// answers `closed`.
class Connection {
public:
    /// Takes both pipe ends, and optionally the child's stderr, whose last 4 KiB are kept.
    static Result<std::unique_ptr<Connection>> open(Fd from_browser, Fd to_browser, Fd err,
                                                    const Limits& limits);
    ~Connection();

    std::shared_ptr<Mailbox> open_mailbox();
    void close_mailbox(const std::shared_ptr<Mailbox>& mailbox);
    /// Events of `session`, and of sessions attached below it, go to this mailbox.
    void route(const std::string& session, const std::shared_ptr<Mailbox>& mailbox);

    /// Sends a request; its answer, with the returned id, goes to `mailbox`, or nowhere.
    std::int64_t send(const std::shared_ptr<Mailbox>& mailbox, std::string_view session,
                      std::string_view method, boost::json::object params);
    /// A request to the browser itself and its answer. Errc::timed_out, canceled; unavailable when
    /// the browser is gone; invalid_argument when the browser refused.
    Result<boost::json::object> call(std::string_view method, boost::json::object params, Deadline deadline,
                                     const std::stop_token& stop = {});

    /// Called on the connection's thread for events of the browser itself; must not block.
    /// Set before anything is sent.
    void on_browser_event(std::function<void(const Message&)> handler);

    /// Called once, on the connection's thread, when the browser closed its end; must not block.
    void on_closed(std::function<void()> handler);

    bool alive() const;
    std::size_t skipped() const;       ///< Messages that were too large or not the protocol's.
    std::string error_output() const;  ///< The last lines the browser wrote to stderr.

private:
    Connection(Fd from_browser, Fd to_browser, Fd err, Fd wake, const Limits& limits);
    void run();
    bool read_pipe();
    bool read_errors();
    bool write_pipe();
    void dispatch(std::string_view text);
    void wake();
    void shut();

    Fd from_browser_;
    Fd to_browser_;
    Fd err_;
    Fd wake_;
    const Limits limits_;
    FrameSplitter splitter_;

    mutable std::mutex mutex_;
    std::string outgoing_;  // Guarded by mutex_, as all below.
    std::int64_t next_id_ = 1;
    std::map<std::int64_t, std::shared_ptr<Mailbox>> waiting_;
    std::map<std::string, std::shared_ptr<Mailbox>, std::less<>> routes_;
    std::function<void(const Message&)> browser_event_;
    std::function<void()> closed_;
    std::string err_tail_;
    std::size_t skipped_ = 0;
    bool alive_ = true;
    bool stopping_ = false;

    std::thread thread_;  // Last: it uses everything above.
};

}  // namespace jobruntime::extract::cdp

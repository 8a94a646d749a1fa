// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "extract/cdp.hpp"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <boost/json.hpp>

#include "extract/json_access.hpp"

namespace jobruntime::extract::cdp {

namespace json = boost::json;

namespace {

constexpr std::size_t err_tail_bytes = 4096;

bool set_nonblocking(int fd) {
    const int flags = ::fcntl(fd, F_GETFL);
    return flags >= 0 && ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0;
}

}  // namespace

Result<std::unique_ptr<Connection>> Connection::open(Fd from_browser, Fd to_browser, Fd err,
                                                     const Limits& limits) {
    Fd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!wake)
        return Error{Errc::unavailable,
                     std::string("no descriptor left for the browser's pipe: ") + std::strerror(errno)};
    if (!set_nonblocking(from_browser.get()) || !set_nonblocking(to_browser.get()) ||
        (err && !set_nonblocking(err.get()))) {
        return Error{Errc::internal,
                     std::string("cannot make the browser's pipe non-blocking: ") + std::strerror(errno)};
    }
    return std::unique_ptr<Connection>(new Connection(std::move(from_browser), std::move(to_browser),
                                                      std::move(err), std::move(wake), limits));
}

Connection::Connection(Fd from_browser, Fd to_browser, Fd err, Fd wake, const Limits& limits)
    : from_browser_(std::move(from_browser)),
      to_browser_(std::move(to_browser)),
      err_(std::move(err)),
      wake_(std::move(wake)),
      limits_(limits),
      splitter_(limits.max_message) {
    thread_ = std::thread([this] { run(); });
}

Connection::~Connection() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    wake();
    thread_.join();
}

std::shared_ptr<Mailbox> Connection::open_mailbox() {
    auto mailbox = std::make_shared<Mailbox>(limits_);
    if (!alive()) mailbox->close();
    return mailbox;
}

void Connection::close_mailbox(const std::shared_ptr<Mailbox>& mailbox) {
    mailbox->close();
    const std::lock_guard lock(mutex_);
    std::erase_if(waiting_, [&](const auto& entry) { return entry.second == mailbox; });
    std::erase_if(routes_, [&](const auto& entry) { return entry.second == mailbox; });
}

void Connection::route(const std::string& session, const std::shared_ptr<Mailbox>& mailbox) {
    const std::lock_guard lock(mutex_);
    routes_[session] = mailbox;
}

std::int64_t Connection::send(const std::shared_ptr<Mailbox>& mailbox, std::string_view session,
                              std::string_view method, json::object params) {
    json::object request;
    request["method"] = json::string_view(method.data(), method.size());
    if (!session.empty()) request["sessionId"] = json::string_view(session.data(), session.size());
    request["params"] = std::move(params);
    std::int64_t id = 0;
    bool dead = false;
    {
        const std::lock_guard lock(mutex_);
        id = next_id_++;
        request["id"] = id;
        if (!alive_) {
            dead = true;
        } else {
            outgoing_ += json::serialize(request);
            outgoing_ += '\0';
            if (mailbox) waiting_[id] = mailbox;
        }
    }
    if (dead) {
        if (mailbox) mailbox->close();
        return id;
    }
    wake();
    return id;
}

Result<json::object> Connection::call(std::string_view method, json::object params, Deadline deadline,
                                      const std::stop_token& stop) {
    const auto mailbox = open_mailbox();
    const auto id = send(mailbox, {}, method, std::move(params));
    Message answer;
    const auto got = mailbox->pop(answer, deadline, stop);
    close_mailbox(mailbox);
    const std::string what(method);
    switch (got) {
        case Mailbox::Got::deadline:
            return Error{Errc::timed_out, "the browser did not answer " + what + " in time"};
        case Mailbox::Got::stopped:
            return Error{Errc::canceled, "stopped while the browser worked on " + what};
        case Mailbox::Got::closed:
            return Error{Errc::unavailable, "the browser ended before it answered " + what};
        case Mailbox::Got::message: break;
    }
    if (answer.id != id)
        return Error{Errc::internal, "the browser's answer to " + what + " carries a strange id"};
    if (!answer.error.empty())
        return Error{Errc::invalid_argument, "the browser refused " + what + ": " + answer.error};
    return std::move(answer.params);
}

void Connection::on_browser_event(std::function<void(const Message&)> handler) {
    const std::lock_guard lock(mutex_);
    browser_event_ = std::move(handler);
}

void Connection::on_closed(std::function<void()> handler) {
    const std::lock_guard lock(mutex_);
    closed_ = std::move(handler);
}

bool Connection::alive() const {
    const std::lock_guard lock(mutex_);
    return alive_;
}

std::size_t Connection::skipped() const {
    const std::lock_guard lock(mutex_);
    return skipped_;
}

std::string Connection::error_output() const {
    const std::lock_guard lock(mutex_);
    return err_tail_;
}

void Connection::wake() {
    const std::uint64_t one = 1;
    // A full counter means that the thread is being woken already.
    [[maybe_unused]] const auto written = ::write(wake_.get(), &one, sizeof one);
}

void Connection::run() {
    // A browser that died makes write() raise SIGPIPE on the writing thread only; blocked here,
    // it stays pending for this thread and vanishes with it, and the host's handlers see nothing.
    sigset_t blocked;
    sigfillset(&blocked);
    pthread_sigmask(SIG_BLOCK, &blocked, nullptr);
    while (true) {
        bool has_output = false;
        {
            const std::lock_guard lock(mutex_);
            if (stopping_ || outgoing_.size() > limits_.outgoing_bytes) break;
            has_output = !outgoing_.empty();
        }
        pollfd fds[4] = {{from_browser_.get(), POLLIN, 0},
                         {wake_.get(), POLLIN, 0},
                         {has_output ? to_browser_.get() : -1, POLLOUT, 0},
                         {err_.get(), POLLIN, 0}};
        if (::poll(fds, 4, -1) < 0 && errno != EINTR) break;
        if (fds[1].revents != 0) {
            std::uint64_t count = 0;
            [[maybe_unused]] const auto got = ::read(wake_.get(), &count, sizeof count);
        }
        if (fds[3].revents != 0 && !read_errors()) err_.reset();
        if (fds[0].revents != 0 && !read_pipe()) break;
        if (fds[2].revents != 0 && !write_pipe()) break;
    }
    while (err_ && read_errors()) {
        pollfd more{err_.get(), POLLIN, 0};
        if (::poll(&more, 1, 50) <= 0) break;  // What it said last is the reason of its end.
    }
    shut();
}

bool Connection::read_pipe() {
    char buffer[64 * 1024];
    const auto got = ::read(from_browser_.get(), buffer, sizeof buffer);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    if (got == 0) return false;
    const auto before = splitter_.skipped();
    splitter_.feed({buffer, static_cast<std::size_t>(got)},
                   [this](std::string_view text) { dispatch(text); });
    if (splitter_.skipped() != before) {
        const std::lock_guard lock(mutex_);
        skipped_ += splitter_.skipped() - before;
    }
    return true;
}

bool Connection::read_errors() {
    char buffer[4096];
    const auto got = ::read(err_.get(), buffer, sizeof buffer);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    if (got == 0) return false;
    const std::lock_guard lock(mutex_);
    err_tail_.append(buffer, static_cast<std::size_t>(got));
    if (err_tail_.size() > err_tail_bytes) err_tail_.erase(0, err_tail_.size() - err_tail_bytes);
    return true;
}

bool Connection::write_pipe() {
    std::string chunk;
    {
        const std::lock_guard lock(mutex_);
        chunk.assign(outgoing_, 0, 64 * 1024);
    }
    const auto written = ::write(to_browser_.get(), chunk.data(), chunk.size());
    if (written < 0) return errno == EAGAIN || errno == EINTR;
    const std::lock_guard lock(mutex_);
    outgoing_.erase(0, static_cast<std::size_t>(written));
    return true;
}

void Connection::dispatch(std::string_view text) {
    auto message = parse_message(text);
    std::shared_ptr<Mailbox> mailbox;
    std::function<void(const Message&)> browser_event;
    {
        const std::lock_guard lock(mutex_);
        if (!message) {
            ++skipped_;
            return;
        }
        if (message->id != 0) {
            if (const auto found = waiting_.find(message->id); found != waiting_.end()) {
                mailbox = std::move(found->second);
                waiting_.erase(found);
            }
        } else if (message->session.empty()) {
            // The end of a page's own session is told one level up; its mailbox waits for it.
            if (message->method == "Target.detachedFromTarget") {
                const auto gone = routes_.find(text_at(message->params, "sessionId"));
                if (gone != routes_.end()) mailbox = gone->second;
            }
            if (!mailbox) browser_event = browser_event_;
        } else if (const auto found = routes_.find(message->session); found != routes_.end()) {
            mailbox = found->second;
            // A frame's own session must be known before its first event, which may be the next message.
            if (message->method == "Target.attachedToTarget") {
                if (const auto child = text_at(message->params, "sessionId");
                    !child.empty() && routes_.size() < 4096) {
                    routes_[std::string(child)] = mailbox;
                }
            } else if (message->method == "Target.detachedFromTarget") {
                const auto child = routes_.find(text_at(message->params, "sessionId"));
                if (child != routes_.end() && child->second == mailbox) routes_.erase(child);
            }
        }
    }
    if (mailbox) mailbox->push(std::move(*message));
    if (browser_event) browser_event(*message);
}

void Connection::shut() {
    std::map<std::int64_t, std::shared_ptr<Mailbox>> waiting;
    std::map<std::string, std::shared_ptr<Mailbox>, std::less<>> routes;
    {
        const std::lock_guard lock(mutex_);
        alive_ = false;
        outgoing_ = {};
        waiting.swap(waiting_);
        routes.swap(routes_);
    }
    for (auto& [id, mailbox] : waiting) mailbox->close();
    for (auto& [session, mailbox] : routes) mailbox->close();
    from_browser_.reset();
    to_browser_.reset();  // The browser leaves when its pipe closes.
    std::function<void()> closed;
    {
        const std::lock_guard lock(mutex_);
        closed = closed_;
    }
    if (closed) closed();
}

}  // namespace jobruntime::extract::cdp

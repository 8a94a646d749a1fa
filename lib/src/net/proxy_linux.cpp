// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "net/proxy_loop_linux.hpp"

// The proxy from outside, and the loop: who comes, what time it is, which names are known.
namespace jobruntime::net {
namespace {

using std::chrono::steady_clock;

constexpr std::uint64_t listener_key = 0;
constexpr std::uint64_t wake_key = 1;
constexpr int max_lookups = 16;
constexpr std::size_t max_queue = 512;
constexpr std::size_t max_known_names = 256;
constexpr std::size_t max_troubles = 256;
/// No server changes its address so often that a page would notice, and what is dialled was vetted.
constexpr std::chrono::seconds name_keeps{30};

std::string base64(std::string_view bytes) {
    constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string text;
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
        std::uint32_t three = 0;
        for (std::size_t j = 0; j < 3; ++j)
            three = three << 8 | (i + j < bytes.size() ? static_cast<unsigned char>(bytes[i + j]) : 0u);
        for (std::size_t j = 0; j < 4; ++j)
            text += i + j > bytes.size() ? '=' : digits[three >> (18 - 6 * j) & 63];
    }
    return text;
}

Error no_proxy(const std::string& what) {
    return {Errc::unavailable, "NETWORK",
            "the address guard cannot start (" + what + ": " + std::strerror(errno) + ")"};
}

/// Half of it is the password, half the path of check_url().
Result<std::string> make_secret() {
    std::array<unsigned char, 48> bytes{};
    if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
        return no_proxy("no randomness");
    std::string text;
    for (const auto byte : bytes) {
        text += "0123456789abcdef"[byte >> 4];
        text += "0123456789abcdef"[byte & 15];
    }
    return text;
}

}  // namespace

Result<std::unique_ptr<Proxy>> Proxy::start(ProxyOptions options) {
    auto secret = make_secret();
    if (!secret) return std::move(secret).error();
    Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (!listener || ::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        ::listen(listener.get(), 128) != 0 ||
        ::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0)
        return no_proxy("no port on 127.0.0.1");
    Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
    Fd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = wake_key;
    if (!epoll || !wake || ::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, wake.get(), &event) != 0)
        return no_proxy("no descriptor");
    try {
        auto loop = std::make_unique<Loop>(std::move(options), std::move(listener), std::move(epoll),
                                           std::move(wake), ntohs(address.sin_port), *std::move(secret));
        return std::unique_ptr<Proxy>(new Proxy(std::move(loop)));
    } catch (const std::system_error&) {
        return no_proxy("no thread");
    }
}

Proxy::Proxy(std::unique_ptr<Loop> loop) : loop_(std::move(loop)) {}
Proxy::~Proxy() = default;
int Proxy::port() const { return loop_->port; }
const std::string& Proxy::user() const { return loop_->user; }
const std::string& Proxy::password() const { return loop_->password; }
const std::string& Proxy::check_url() const { return loop_->check_url; }
std::string Proxy::address() const { return "http://127.0.0.1:" + std::to_string(port()); }
std::string Proxy::url() const {
    return "http://" + user() + ":" + password() + "@127.0.0.1:" + std::to_string(port());
}
std::optional<Error> Proxy::trouble(std::string_view url, steady_clock::time_point since) const {
    return loop_->trouble(url, since);
}
ProxyStats Proxy::stats() const { return loop_->stats(); }

void Proxy::Loop::Inbox::ring() const {
    const std::uint64_t one = 1;
    // A full counter means that the thread is being woken already.
    [[maybe_unused]] const auto written = ::write(wake.get(), &one, sizeof one);
}

Proxy::Loop::Loop(ProxyOptions options, Fd listener, Fd epoll, Fd wake, int port_, std::string secret)
    : port(port_),
      password(secret.substr(0, secret.size() / 2)),
      check_url("http://127.0.0.1:" + std::to_string(port_) + "/" + secret.substr(secret.size() / 2)),
      options_(std::move(options)),
      expected_("Basic " + base64(user + ":" + password)),
      listener_(std::move(listener)),
      epoll_(std::move(epoll)),
      inbox_(std::make_shared<Inbox>()) {
    inbox_->wake = std::move(wake);
    thread_ = std::thread([this] { run(); });
}

Proxy::Loop::~Loop() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    inbox_->ring();
    thread_.join();
}

void Proxy::Loop::run() {
    // Signals are the host program's; no thread of ours is to be the one that gets them.
    sigset_t blocked;
    sigfillset(&blocked);
    pthread_sigmask(SIG_BLOCK, &blocked, nullptr);
    std::array<epoll_event, 64> events{};
    while (true) {
        {
            const std::lock_guard lock(mutex_);
            if (stopping_) return;
        }
        watch_listener();
        const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), wait_time());
        if (count < 0 && errno != EINTR) return;
        for (int i = 0; i < count; ++i) {
            const auto& event = events[static_cast<std::size_t>(i)];
            if (event.data.u64 == listener_key)
                accept_some();
            else if (event.data.u64 == wake_key)
                take_names();
            else
                serve(event.data.u64, event.events);
        }
        expire();
        forget_dead();
    }
}

void Proxy::Loop::watch_listener() {
    const bool room = links_.size() < options_.max_connections && steady_clock::now() >= accept_after_;
    if (room == accepting_) return;
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = listener_key;
    ::epoll_ctl(epoll_.get(), room ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, listener_.get(), &event);
    accepting_ = room;
}

int Proxy::Loop::wait_time() const {
    auto first = !accepting_ && links_.size() < options_.max_connections ? accept_after_ : forever;
    for (const auto& [id, link] : links_) first = std::min(first, link.deadline);
    if (first == forever) return -1;
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(first - steady_clock::now()).count();
    return static_cast<int>(std::clamp<std::int64_t>(left + 1, 0, 60'000));
}

void Proxy::Loop::expire() {
    const auto now = steady_clock::now();
    for (auto& [id, link] : links_) {
        if (link.dead || link.deadline > now) continue;
        switch (link.state) {
            case Link::State::head:
            case Link::State::relay:
            case Link::State::farewell: link.dead = true; break;
            case Link::State::name:
                refuse(link, 504, "Gateway Timeout",
                       {Errc::timed_out, "NETWORK",
                        "the name " + link.request.to.host +
                            " could not be looked up in time; check the machine's DNS"});
                break;
            case Link::State::dial: dial_next(link); break;
        }
    }
}

void Proxy::Loop::forget_dead() {
    std::erase_if(links_, [](const auto& entry) { return entry.second.dead; });
}

void Proxy::Loop::accept_some() {
    while (links_.size() < options_.max_connections) {
        Fd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (!client) {
            if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
                accept_after_ = steady_clock::now() + std::chrono::milliseconds(100);
            return;
        }
        const int on = 1;
        ::setsockopt(client.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        const auto id = next_id_++;
        auto& link = links_[id];
        link.id = id;
        link.client = std::move(client);
        link.deadline = steady_clock::now() + options_.head_timeout;
        want(link);
    }
}

void Proxy::Loop::take_names() {
    std::uint64_t count = 0;
    [[maybe_unused]] const auto got = ::read(inbox_->wake.get(), &count, sizeof count);
    std::vector<std::pair<std::string, Addresses>> names;
    {
        const std::lock_guard lock(inbox_->mutex);
        names.swap(inbox_->names);
    }
    for (auto& [host, addresses] : names) {
        --lookups_;
        auto waiting = asked_.extract(host);
        if (!waiting.empty())
            for (const auto id : waiting.mapped())
                if (auto* link = waiting_link(id)) on_addresses(*link, addresses);
        if (known_names_.size() >= max_known_names) known_names_.clear();
        if (!addresses.empty())
            known_names_[host] = {std::move(addresses), steady_clock::now() + name_keeps};
    }
    start_lookups();
}

/// Nothing when the link is gone, or has been told meanwhile that its name took too long.
Proxy::Loop::Link* Proxy::Loop::waiting_link(std::uint64_t id) {
    const auto found = links_.find(id);
    const bool waits = found != links_.end() && !found->second.dead && found->second.state == Link::State::name;
    return waits ? &found->second : nullptr;
}

void Proxy::Loop::ask_name(Link& link) {
    const auto& host = link.request.to.host;
    if (const auto sure = known_addresses(host)) return on_addresses(link, *sure);
    if (const auto known = known_names_.find(host); known != known_names_.end()) {
        if (known->second.until > steady_clock::now()) return on_addresses(link, known->second.addresses);
        known_names_.erase(known);
    }
    link.state = Link::State::name;
    link.deadline = steady_clock::now() + options_.connect_timeout;
    if (queue_.size() >= max_queue) return answer(link, 503, "Service Unavailable");
    auto& waiting = asked_[host];
    waiting.push_back(link.id);
    if (waiting.size() == 1) queue_.push_back(host);
    start_lookups();
    want(link);
}

void Proxy::Loop::start_lookups() {
    while (lookups_ < max_lookups && !queue_.empty()) {
        auto host = std::move(queue_.front());
        queue_.pop_front();
        const auto& waiting = asked_[host];
        if (std::none_of(waiting.begin(), waiting.end(), [&](auto id) { return waiting_link(id) != nullptr; })) {
            asked_.erase(host);  // Its clients gave up while it stood in the queue.
            continue;
        }
        ++lookups_;
        options_.ask_name(host, [inbox = inbox_, host](Addresses addresses) {
            {
                const std::lock_guard lock(inbox->mutex);
                inbox->names.emplace_back(host, std::move(addresses));
            }
            inbox->ring();
        });
    }
}

void Proxy::Loop::note_trouble(const Authority& whom, Error why) {
    const std::lock_guard lock(mutex_);
    if (why.name == "SSRF_BLOCKED") {
        ++stats_.denied;
        stats_.last_denial = why.message;
    }
    if (!troubles_.insert_or_assign(whom.str(), Trouble{std::move(why), steady_clock::now()}).second) return;
    troubles_in_order_.push_back(whom.str());
    if (troubles_in_order_.size() <= max_troubles) return;
    troubles_.erase(troubles_in_order_.front());
    troubles_in_order_.pop_front();
}

void Proxy::Loop::note_reached(const Authority& whom) {
    const std::lock_guard lock(mutex_);
    if (troubles_.erase(whom.str()) != 0) std::erase(troubles_in_order_, whom.str());
}

std::optional<Error> Proxy::Loop::trouble(std::string_view url, Deadline since) const {
    const auto whom = authority_of(url);
    if (!whom) return std::nullopt;
    const std::lock_guard lock(mutex_);
    const auto found = troubles_.find(whom->str());
    if (found == troubles_.end() || found->second.at < since) return std::nullopt;
    return found->second.why;
}

ProxyStats Proxy::Loop::stats() const {
    const std::lock_guard lock(mutex_);
    return stats_;
}

}  // namespace jobruntime::net

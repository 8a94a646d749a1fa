// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include <jobruntime/subprocess.hpp>

#include "net/lookup.hpp"
#include "net/proxy.hpp"
#include "net/proxy_head.hpp"

namespace jobruntime::net {

/// The proxy's thread and what it works on: one epoll set, links, names being looked up. accept, timers and
/// names are in proxy_linux.cpp, what one link does in proxy_link_linux.cpp.
class Proxy::Loop {
public:
    Loop(ProxyOptions options, Fd listener, Fd epoll, Fd wake, int port, std::string secret);
    ~Loop();

    const int port;
    const std::string user = "jobruntime";
    const std::string password;
    const std::string check_url;

    std::optional<Error> trouble(std::string_view url, Deadline since) const;
    ProxyStats stats() const;

private:
    /// One client, and the server that it was connected with.
    struct Link {
        enum class State { head, name, dial, relay, farewell };
        std::uint64_t id = 0;
        State state = State::head;
        Deadline deadline{};
        Fd client, server;
        std::uint32_t client_wants = 0, server_wants = 0;  // As epoll knows it.
        std::string input;               // The request's head, as far as it has come.
        std::string answer_head;         // The same of a plain answer.
        std::string to_server, to_client;
        ProxyRequest request;
        std::uint64_t body_left = 0;     // Of a plain request.
        bool answer_begun = false;       // The answer's head has been handed on.
        bool client_ended = false, server_ended = false;
        bool told_server = false, told_client = false;  // That the other side has ended.
        bool said_goodbye = false;
        Addresses addresses;             // Vetted, not yet dialled.
        bool dead = false;
    };
    /// Answers of look-ups, which outlive the loop: shared for that reason.
    struct Inbox {
        std::mutex mutex;
        Fd wake;                                               // Set once, before any look-up.
        std::vector<std::pair<std::string, Addresses>> names;  // Guarded by mutex.
        void ring() const;
    };
    struct Trouble {
        Error why;
        Deadline at{};
    };
    struct Known {
        Addresses addresses;
        Deadline until{};
    };

    void run();
    int wait_time() const;
    void watch_listener();
    void expire();
    void accept_some();
    void serve(std::uint64_t key, std::uint32_t events);
    void forget_dead();

    void take_names();
    void ask_name(Link& link);
    Link* waiting_link(std::uint64_t id);
    void start_lookups();
    void on_addresses(Link& link, const Addresses& addresses);

    void read_head(Link& link);
    void on_head(Link& link, std::size_t size);
    bool authorized(std::string_view credential) const;
    void dial_next(Link& link);
    void on_dialled(Link& link);
    void on_connected(Link& link);
    void relay(Link& link);
    void read_client(Link& link);
    void read_server(Link& link);
    bool take_answer(Link& link, std::string_view bytes);
    void flush(Link& link, Fd& fd, std::string& bytes);
    void answer(Link& link, int status, std::string_view reason, std::string_view headers = {});
    void refuse(Link& link, int status, std::string_view reason, Error why);
    void farewell(Link& link);
    void want(Link& link);
    void set_interest(Link& link, bool client, std::uint32_t events);
    void touch(Link& link);

    void note_trouble(const Authority& whom, Error why);
    void note_reached(const Authority& whom);

    const ProxyOptions options_;
    const std::string expected_;  // The only value of Proxy-Authorization that counts.
    Fd listener_;
    Fd epoll_;
    const std::shared_ptr<Inbox> inbox_;
    bool accepting_ = false;
    Deadline accept_after_{};  // A pause, when no descriptor was left.
    std::uint64_t next_id_ = 1;
    std::map<std::uint64_t, Link> links_;
    std::map<std::string, Known> known_names_;
    std::map<std::string, std::vector<std::uint64_t>> asked_;  // Links that wait for a name.
    std::deque<std::string> queue_;                            // Names not yet being looked up.
    int lookups_ = 0;

    mutable std::mutex mutex_;
    ProxyStats stats_;                         // Guarded by mutex_, as all below.
    std::map<std::string, Trouble> troubles_;  // By host and port.
    std::deque<std::string> troubles_in_order_;
    bool stopping_ = false;

    std::thread thread_;  // Last: it uses everything above.
};

}  // namespace jobruntime::net

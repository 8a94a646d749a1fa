// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "net/exchange.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <exception>

#include "net/text.hpp"

namespace jobruntime::net {
namespace {

struct EasyCloser {
    void operator()(CURL* easy) const noexcept { curl_easy_cleanup(easy); }
};
struct HeadersCloser {
    void operator()(curl_slist* list) const noexcept { curl_slist_free_all(list); }
};

constexpr std::size_t max_header_bytes = 256 * 1024;
constexpr std::string_view blank = " \t\r\n";

bool is_credential(std::string_view name) {
    const std::string lower = lowered(name);
    return lower == "cookie" || lower == "authorization" || lower == "proxy-authorization";
}

bool has_header(const Headers& headers, std::string_view lower_name) {
    return std::any_of(headers.begin(), headers.end(),
                       [&](const auto& header) { return lowered(header.first) == lower_name; });
}

/// The request's own cookies, and those that its jar has for this very address.
std::string cookies_for(const Exchange& exchange) {
    std::string all = exchange.cookies ? exchange.cookies->header_for(exchange.url) : std::string();
    for (const auto& [name, value] : exchange.headers)
        if (lowered(name) == "cookie" && !value.empty()) all += (all.empty() ? "" : "; ") + value;
    return all;
}

Error network_error(CURLcode code, const char* details, const Url& url) {
    const Errc kind = code == CURLE_OPERATION_TIMEDOUT ? Errc::timed_out : Errc::unavailable;
    const char* what = *details ? details : curl_easy_strerror(code);
    return Error{kind, "NETWORK", "the transfer from " + url.host + " failed: " + what};
}

}  // namespace

std::optional<std::string_view> Head::header(std::string_view name) const {
    for (const auto& [key, value] : headers)
        if (key == name) return value;
    return std::nullopt;
}

std::optional<std::string_view> Head::location() const {
    const bool redirect = status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
    return redirect ? header("location") : std::nullopt;
}

Result<void> check_headers(const Headers& headers) {
    static constexpr std::string_view token_marks = "!#$%&'*+-.^_`|~";  // RFC 9110, 5.6.2.
    for (const auto& [name, value] : headers) {
        const bool good_name = !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
            return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                   token_marks.find(c) != std::string_view::npos;
        });
        const bool good_value = std::none_of(value.begin(), value.end(), [](char c) {
            return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f;
        });
        if (!good_name || !good_value)
            return Error{
                Errc::invalid_argument,
                "a request header has a forbidden character in its name or value (the name begins '" +
                    slug(name, "?") + "')"};
    }
    return {};
}

/// The state of one exchange, for curl's callbacks.
struct Session::Running {
    const Exchange& exchange;
    const FetcherOptions& options;
    bool follows;  // A redirect's body is of no use: another request comes.
    Head head;
    bool head_told = false;
    std::size_t header_bytes = 0;
    int denied = 0;
    int opened = 0;
    std::string denial;
    std::optional<Error> failure;
    char details[CURL_ERROR_SIZE] = "";

    bool tell_head() {
        if (head_told) return !failure;
        head_told = true;
        if (exchange.on_head && !(follows && head.location())) failure = exchange.on_head(head, exchange.url);
        return !failure;
    }

    /// No exception may pass through libcurl's C frames.
    template <class Body>
    static std::size_t guarded(void* running, Body work) noexcept {
        auto& self = *static_cast<Running*>(running);
        try {
            return work(self);
        } catch (const std::exception& thrown) {
            self.failure.emplace(Errc::internal,
                                 std::string("a transfer was ended by an exception: ") + thrown.what());
        } catch (...) {
            self.failure.emplace(Errc::internal, "a transfer was ended by an exception");
        }
        return 0;
    }

    static std::size_t header(char* data, std::size_t, std::size_t size, void* running) {
        return guarded(running, [&](Running& self) { return self.take_header({data, size}); });
    }
    static std::size_t body(char* data, std::size_t, std::size_t size, void* running) {
        return guarded(running, [&](Running& self) { return self.take_body({data, size}); });
    }

    std::size_t take_header(std::string_view line) {
        header_bytes += line.size();
        if (header_bytes > max_header_bytes) {
            failure = Error{Errc::full, "TOO_LARGE", "the server's headers are larger than 256 KiB"};
            return 0;
        }
        if (line.starts_with("HTTP/")) {  // Also after a 1xx answer: what counts is the last one.
            head = {};
            const auto space = line.find(' ');
            if (space != std::string_view::npos)
                std::from_chars(line.data() + space + 1, line.data() + line.size(), head.status);
            return line.size();
        }
        const auto colon = line.find(':');
        if (colon != std::string_view::npos) {
            head.headers.emplace_back(lowered(trimmed(line.substr(0, colon), blank)),
                                      trimmed(line.substr(colon + 1), blank));
            const auto& [name, value] = head.headers.back();
            if (exchange.cookies && name == "set-cookie") exchange.cookies->take(exchange.url, value);
        }
        return line.size();
    }

    std::size_t take_body(std::string_view bytes) {
        if (follows && head.location()) return 0;
        if (!tell_head()) return 0;
        if (exchange.on_body) failure = exchange.on_body(bytes);
        return failure ? 0 : bytes.size();
    }
    /// The guard: sees the address that will really be connected to, at every connection.
    static curl_socket_t open_socket(void* self_, curlsocktype, curl_sockaddr* address) {
        auto& self = *static_cast<Running*>(self_);
        if (auto allowed = vet(address->addr, self.options.allow_nets); !allowed) {
            ++self.denied;
            self.denial = allowed.error().message;
            return CURL_SOCKET_BAD;
        }
        ++self.opened;
        return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    }
};

Session::Session(const FetcherOptions& options) : options_(options), multi_(curl_multi_init()) {}
Session::~Session() { curl_multi_cleanup(multi_); }

std::unique_ptr<Session> SessionPool::take() {
    const std::lock_guard lock(mutex_);
    if (idle_.empty()) return std::make_unique<Session>(options_);
    auto session = std::move(idle_.back());
    idle_.pop_back();
    return session;
}

void SessionPool::give(std::unique_ptr<Session> session) {
    constexpr std::size_t most = 16;
    const std::lock_guard lock(mutex_);
    if (idle_.size() < most) idle_.push_back(std::move(session));
}

Result<Answer> Session::run(Exchange exchange, std::stop_token stop) {
    JR_TRY(check_headers(exchange.headers));
    if (!options_.user_agent.empty() && !has_header(exchange.headers, "user-agent"))
        exchange.headers.emplace_back("User-Agent", options_.user_agent);
    JR_TRY(check_headers(exchange.headers));
    for (int redirects = 0;; ++redirects) {
        auto head = run_one(exchange, stop);
        if (!head) return std::move(head).error();
        const auto location = head->location();
        if (!location || exchange.max_redirects == 0)
            return Answer{std::move(*head), std::move(exchange.url)};
        if (redirects == exchange.max_redirects)
            return Error{Errc::unsupported, "UNSUPPORTED_SOURCE",
                         exchange.url.host + " redirects more than " +
                             std::to_string(exchange.max_redirects) + " times"};
        auto next = resolve(exchange.url, *location);
        if (!next)
            return Error{
                next.error().code, next.error().name,
                exchange.url.host + " redirects to an address we do not follow: " + next.error().message};
        if (next->origin() != exchange.url.origin())
            std::erase_if(exchange.headers, [](const auto& header) { return is_credential(header.first); });
        exchange.url = std::move(*next);
    }
}

Result<Head> Session::run_one(const Exchange& exchange, const std::stop_token& stop) {
    const std::unique_ptr<CURL, EasyCloser> easy(curl_easy_init());
    if (!multi_ || !easy) return Error{Errc::unavailable, "NETWORK", "no memory for a transfer"};
    Running running{.exchange = exchange, .options = options_, .follows = exchange.max_redirects > 0};
    std::unique_ptr<curl_slist, HeadersCloser> list;
    const auto add_line = [&list](const std::string& line) {
        if (curl_slist* longer = curl_slist_append(list.get(), line.c_str())) {
            (void)list.release();
            list.reset(longer);
        }
    };
    for (const auto& [name, value] : exchange.headers)
        if (lowered(name) != "cookie")
            add_line(value.empty() ? name + ";" : name + ": " + value);  // curl's way to send an empty one.
    if (const auto cookies = cookies_for(exchange); !cookies.empty()) add_line("Cookie: " + cookies);
    if (exchange.body) {
        // Else curl calls it a form, and waits a second for leave to send a large one.
        if (!has_header(exchange.headers, "content-type")) add_line("Content-Type:");
        if (!has_header(exchange.headers, "expect")) add_line("Expect:");
    }
    Url sent = exchange.url;
    sent.fragment.reset();
    const std::string text = sent.str();
    const auto set = [&](CURLoption option, auto value) { curl_easy_setopt(easy.get(), option, value); };
    set(CURLOPT_URL, text.c_str());
    set(CURLOPT_PATH_AS_IS, 1L);
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    set(CURLOPT_FOLLOWLOCATION, 0L);
    set(CURLOPT_PROXY, "");
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_BUFFERSIZE, 128L * 1024);
    set(CURLOPT_QUICK_EXIT, 1L);  // A stop does not wait for a name server.
    set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options_.connect_timeout.count()));
    set(CURLOPT_HTTPHEADER, list.get());
    set(CURLOPT_ERRORBUFFER, running.details);
    if (exchange.head) set(CURLOPT_NOBODY, 1L);
    if (exchange.body) {
        set(CURLOPT_POST, 1L);
        set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(exchange.body->size()));
        set(CURLOPT_POSTFIELDS, exchange.body->data());
    }
    if (exchange.decode) set(CURLOPT_ACCEPT_ENCODING, "");
    set(CURLOPT_OPENSOCKETFUNCTION, &Running::open_socket);
    set(CURLOPT_OPENSOCKETDATA, static_cast<void*>(&running));
    set(CURLOPT_HEADERFUNCTION, &Running::header);
    set(CURLOPT_HEADERDATA, static_cast<void*>(&running));
    set(CURLOPT_WRITEFUNCTION, &Running::body);
    set(CURLOPT_WRITEDATA, static_cast<void*>(&running));
    curl_multi_add_handle(multi_, easy.get());

    const std::stop_callback wake(stop, [this] { curl_multi_wakeup(multi_); });
    std::optional<CURLcode> code;
    while (!code && !running.failure) {
        if (stop.stop_requested()) {
            running.failure = Error{Errc::canceled, "a stop was requested"};
            break;
        }
        int alive = 0;
        int left = 0;
        if (curl_multi_perform(multi_, &alive) != CURLM_OK)
            running.failure = Error{Errc::internal, "NETWORK", "libcurl cannot go on with a transfer"};
        while (const CURLMsg* message = curl_multi_info_read(multi_, &left))
            if (message->msg == CURLMSG_DONE) code = message->data.result;
        if (code || running.failure) break;
        if (exchange.on_tick) running.failure = exchange.on_tick();
        if (!running.failure) curl_multi_poll(multi_, nullptr, 0, 50, nullptr);
    }
    curl_multi_remove_handle(multi_, easy.get());
    return conclude(running, code.value_or(CURLE_OK));
}

Result<Head> Session::conclude(Running& running, CURLcode code) const {
    if (running.failure) return std::move(*running.failure);
    if (running.follows && running.head.location())
        return std::move(running.head);  // However its body ended.
    if (code == CURLE_OK) {
        if (!running.tell_head()) return std::move(*running.failure);  // An answer without a body.
        return std::move(running.head);
    }
    if (running.denied > 0 && running.opened == 0)
        return Error{Errc::invalid_argument, "SSRF_BLOCKED", running.denial};
    return network_error(code, running.details, running.exchange.url);
}

}  // namespace jobruntime::net

// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <sys/types.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <httplib.h>

#include <jobruntime/api_router.hpp>
#include <jobruntime/blocking_api.hpp>
#include <jobruntime/clock.hpp>

namespace jobruntime {

struct HttplibOptions {
    /// Its `waiting` counts threads of the server's, of which cpp-httplib has eight, or one less than the machine has
    /// processors when that is more, unless new_task_queue says otherwise.
    BlockingOptions api{};
    Duration body_timeout{10'000};     ///< For a whole body; then 408.
    std::vector<std::string> roots{};  ///< First segments of paths that are the API's; empty = those of the router's routes.
};

/// The API and its event stream inside a cpp-httplib server that a program has already (examples/07_httplib_server.cpp).
/// Written for version 0.11.4 as Debian 12 has it; nothing of this library links it. A program without such a server takes
/// http::Server.
///
///     HttplibHost host(server, router, *store);     // The router's routes are there, and the program's own.
///     std::thread listening([&] { server.listen("127.0.0.1", 8080); });
///     …
///     host.stop();                                   // Before the server: streams say goodbye, and answers go out.
///     server.stop();
///     listening.join();
///
/// It adds routes to the server, for every method that cpp-httplib has, and for paths that begin with one of `roots` (/api,
/// /metrics, …); the rest stays the program's. A route of its own below a root is to be added to the router. The server's
/// default headers, error handler and logger are for these answers, too: an error handler that sets a content replaces our
/// errors', and a logger misses the headers Range, Accept-Encoding, Content-Type and Content-Encoding. set_tcp_nodelay(true)
/// is advised.
///
/// What cpp-httplib 0.11.4 does to requests, and this class prevents: a Range that cuts JSON, packing by Accept-Encoding
/// (nothing is packed here), unpacking of bodies and of multipart, bodies and heads without a limit, a REMOTE_ADDR of the
/// client's, waiting for the body of a request without a length until the connection ends. Since its parser is lenient, each
/// answer ends its connection (set_keep_alive_max_count(1), for the program's own routes, too: leave it so), so that nothing
/// after a request is ever taken for the next one; two lengths, or a body after GET, HEAD and OPTIONS, are refused. While the router asks for no tokens, only loopback addresses are answered (403).
///
/// What remains, because it has happened before anybody is asked: percent escapes in header values are decoded (what then
/// ends a line or is a control character is refused with 400; `Idempotency-Key: a%20b` is `a b`); a `#` and what follows is
/// cut off the target; header lines without a colon or a value, or that end with a bare line feed, are passed over; a head
/// of any size is read before it is refused; "100 Continue" is sent whatever the head says. A request line that it does not
/// understand, TRACE and CONNECT get its own empty 400, one that is too long 414, a Range that it does not understand 416. A body
/// that no route takes, of whatever path, it reads into memory: set_payload_max_length() bounds that. No answer has a Date; the 304 of a list says that it is JSON.
///
/// And every connection holds one of the server's threads, also one that says nothing, until set_read_timeout or
/// set_keep_alive_timeout is over, five seconds each: who opens as many as there are threads stops the server for so long.
/// `waiting` keeps streams from doing that; nothing keeps hostile clients. A request that waits holds its place for all of its time,
/// also when its client has gone. There are no limits by client and no trusted
/// proxies. A store that hangs holds threads for its own time-out; a second after it has gone silent, new requests are
/// refused. For the open network put a proxy before it, or take http::Server.
class HttplibHost {
public:
    /// The server, the router and the store outlive it; it outlives listen().
    HttplibHost(::httplib::Server& server, ApiRouter& router, Store& store, HttplibOptions options = {})
        : router_(router), options_(std::move(options)), api_(router, store, options_.api) {
        const auto simple = [this](const ::httplib::Request& from, ::httplib::Response& to) { answer(from, to, nullptr); };
        const auto reading = [this](const ::httplib::Request& from, ::httplib::Response& to,
                                    const ::httplib::ContentReader& reader) { answer(from, to, &reader); };
        // Else an error handler's content would go out in place of what ends the connection.
        server.set_keep_alive_max_count(1);
        const auto pattern = pattern_of_roots();
        server.Get(pattern, simple).Options(pattern, simple);
        server.Post(pattern, reading).Put(pattern, reading).Patch(pattern, reading).Delete(pattern, reading);
    }
    HttplibHost(const HttplibHost&) = delete;
    HttplibHost& operator=(const HttplibHost&) = delete;

    /// As BlockingApi::stop(). What the server itself stops in the midst of an answer is cut off.
    void stop(Duration grace = Duration{5'000}) { api_.stop(grace); }

private:
    using RealClock = std::chrono::steady_clock;

    std::string pattern_of_roots() const {
        std::set<std::string> roots(options_.roots.begin(), options_.roots.end());
        if (roots.empty())
            for (const auto& route : router_.routes()) {
                const auto path = std::string_view(route.path).substr(1);
                roots.emplace(path.substr(0, path.find('/')));
            }
        std::string pattern;
        for (const auto& root : roots) {
            if (root.empty() || root.front() == ':') continue;
            pattern += pattern.empty() ? "/(?:" : "|";
            for (const char c : root) {
                if (std::string_view("^$\\.*+?()[]{}|").find(c) != std::string_view::npos) pattern += '\\';
                pattern += c;
            }
        }
        return pattern + ")(?:/[\\s\\S]*)?";
    }

    static Request taken(const ::httplib::Request& from) {
        Request request;
        request.method = from.method;
        request.target = from.target;
        request.remote = from.remote_addr;
        for (const auto& [name, value] : from.headers) {
            std::string lower = name;
            for (char& c : lower)
                if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
            // The server puts them there as if the client had sent them.
            if (lower == "remote_addr" || lower == "remote_port" || lower == "local_addr" || lower == "local_port") continue;
            request.headers.emplace_back(std::move(lower), value);
        }
        return request;
    }

    /// The server's own object, which it looks at again when it writes the answer: all by which it would change that, or
    /// the body, goes.
    static void disarm(const ::httplib::Request& from) {
        auto& request = const_cast<::httplib::Request&>(from);
        for (const char* name : {"Range", "Accept-Encoding", "Content-Type", "Content-Encoding", "Connection"})
            request.headers.erase(name);
        request.ranges.clear();
        request.headers.emplace("Connection", "close");
    }

    void answer(const ::httplib::Request& from, ::httplib::Response& to, const ::httplib::ContentReader* reader) try {
        auto request = taken(from);
        disarm(from);
        auto refused = refuse_head(request, from);
        const int status = refused ? refused->status : 0;
        const bool garbled = status == 400 || status == 417 || status == 431 || status == 501;
        if (BlockingApi::has_body(request) && reader && !garbled) {
            // Also that of a refused one, for a moment: who is still sending when the connection goes may lose its answer.
            auto failed = read(request, *reader, refused.has_value(), to);
            if (!refused) refused = std::move(failed);
        }
        auto answer = refused ? BlockingApi::Answer{*std::move(refused), nullptr, nullptr} : api_.handle(request);
        write(to, request, std::move(answer));
    } catch (...) {
        // The server would tell the client what was thrown.
        Request failed;
        failed.method = from.method;
        failed.target = from.target;
        write(to, failed, {api_.refuse(failed, 500, "INTERNAL", "The server failed to answer this; try again"), nullptr, nullptr});
    }

    std::optional<Response> refuse_head(const Request& request, const ::httplib::Request& from) const {
        const auto& local = from.local_addr;
        const bool loopback = local.empty() || local == "::1" || local.starts_with("127.") || local.starts_with("::ffff:127.");
        if (!loopback && !router_.is_guarded())
            return api_.refuse(request, 403, "FORBIDDEN", "Without tokens the API is served on loopback addresses only");
        if (auto refused = api_.refuse_head(request)) return refused;
        if (!BlockingApi::has_body(request)) return std::nullopt;
        if (request.method == "GET" || request.method == "HEAD" || request.method == "OPTIONS")
            return api_.refuse(request, 400, "BAD_REQUEST", "A " + request.method + " has no body here");
        if (request.method == "DELETE" && request.header("content-length").empty())
            return api_.refuse(request, 400, "BAD_REQUEST", "The body of a DELETE needs a Content-Length here");
        return std::nullopt;
    }

    /// Reads the body into the request, or (`refused`) away; why that failed.
    std::optional<Response> read(Request& request, const ::httplib::ContentReader& reader, bool refused,
                                 const ::httplib::Response& to) const {
        constexpr Duration linger{2'000};
        auto until = RealClock::now() + (refused ? linger : options_.body_timeout);
        bool late = false, large = false;
        const bool whole = reader([&](const char* data, std::size_t size) {
            if (!refused && !large) request.body.append(data, size);
            if (!large && request.body.size() > options_.api.max_body) {
                large = true;
                until = std::min(until, RealClock::now() + linger);
            }
            late = RealClock::now() >= until;
            return !late;
        });
        if (large || to.status == 413) return api_.refuse(request, 413, "PAYLOAD_TOO_LARGE", "The body is too large");
        if (late) return api_.refuse(request, 408, "REQUEST_TIMEOUT", "The request did not arrive in time");
        if (!whole) return api_.refuse(request, 400, "BAD_REQUEST", "The body is malformed, or did not come whole");
        return std::nullopt;
    }

    void write(::httplib::Response& to, const Request& request, BlockingApi::Answer answer) const {
        auto* slice = std::get_if<FileSlice>(&answer.response.body);
        const auto file = slice ? open(*slice) : nullptr;
        if (slice && !file) answer.response = api_.refuse(request, 404, "NOT_FOUND", "The file is not there any more");
        Response& response = answer.response;
        to.status = response.status;
        for (const auto& [name, value] : response.headers) to.headers.erase(name);  // Of the server's default ones.
        for (const auto& [name, value] : response.headers) to.set_header(name, value);  // Leaves out what has a line end in it.
        for (const char* name : {"Content-Length", "Transfer-Encoding", "Connection"}) to.headers.erase(name);
        const auto type = to.has_header("Content-Type") ? to.get_header_value("Content-Type") : "application/json";
        to.headers.erase("Content-Type");

        // All goes out by providers, because one that says no ends the connection once its bytes are out.
        std::size_t length = 0;
        ::httplib::ContentProvider provider = [](std::size_t, std::size_t, ::httplib::DataSink&) { return false; };
        if (answer.stream) {
            provider = [feed = answer.stream](std::size_t, std::size_t, ::httplib::DataSink& sink) { return send(*feed, sink); };
        } else if (auto* part = std::get_if<FileSlice>(&response.body)) {
            length = part->length;
            provider = [file, what = *part](std::size_t at, std::size_t, ::httplib::DataSink& sink) {
                return send(file.get(), what, at, sink);
            };
        } else if (!std::holds_alternative<EventStream>(response.body)) {
            auto* shared = std::get_if<std::shared_ptr<const std::string>>(&response.body);
            const auto text = shared ? *shared : std::make_shared<const std::string>(std::move(std::get<std::string>(response.body)));
            length = text ? text->size() : 0;
            provider = [text](std::size_t at, std::size_t size, ::httplib::DataSink& sink) {
                sink.write(text->data() + at, size);
                return false;
            };
        }
        const auto held = [provider, under_way = answer.under_way](std::size_t at, std::size_t size, ::httplib::DataSink& sink) {
            return provider(at, size, sink);
        };
        if (length > 0) return to.set_content_provider(length, type, held);
        to.set_content_provider(type, [held](std::size_t at, ::httplib::DataSink& sink) { return held(at, 0, sink); });
    }

    static bool send(EventFeed& feed, ::httplib::DataSink& sink) try {
        const auto text = feed.next();
        if (!text.empty() && !sink.write(text.data(), text.size())) return false;
        return !feed.ended() && sink.is_writable();
    } catch (...) {
        return false;  // The server would take the whole program down.
    }

    static std::shared_ptr<std::FILE> open(const FileSlice& slice) {
        if (auto* file = std::fopen(slice.path.c_str(), "rbe")) return {file, [](std::FILE* opened) { std::fclose(opened); }};
        return nullptr;
    }
    static bool send(std::FILE* file, const FileSlice& slice, std::size_t at, ::httplib::DataSink& sink) try {
        std::vector<char> bytes(std::min<std::uint64_t>(slice.length - at, 64 << 10));
        if (fseeko(file, static_cast<off_t>(slice.offset + at), SEEK_SET) != 0) return false;
        // A file that was cut short meanwhile: only a broken connection can say so.
        const auto size = std::fread(bytes.data(), 1, bytes.size(), file);
        return size > 0 && sink.write(bytes.data(), size) && at + size < slice.length;
    } catch (...) {
        return false;
    }

    ApiRouter& router_;
    const HttplibOptions options_;
    BlockingApi api_;
};

}  // namespace jobruntime

// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>

#include <boost/json/parse.hpp>

#include <jobruntime/api_router.hpp>
#include <jobruntime/memory.hpp>

#include "core/json.hpp"
#include "core/utf8.hpp"
#include "fuzz.hpp"

namespace jobruntime::fuzz {
namespace {

constexpr std::size_t most_requests = 6;

/// A path behind a folder's name, as a handler of files gets it.
Response take_rest(const Request&, const RouteMatch& match) {
    const auto& rest = match.path.at("rest");
    const auto parts = "/" + rest + "/";
    for (const std::string_view bad : {"/../", "/./", "//", "\\"})
        expect(parts.find(bad) == std::string::npos, "a path leads out of its folder: " + rest);
    expect(!rest.empty() && rest.find('\0') == std::string::npos, "a path that is none: " + rest);
    return Response::json(200, {{"ok", true}});
}

/// A server with tokens and jobs, without a socket.
class Machine {
public:
    Machine() : store_(memory::open({"fuzz", "api"})), queue_(*store_, {nullptr, nullptr, 1}), router_(queue_, options()) {
        router_.add({"GET", "/files/*rest", Role::read, "Files.", {}, take_rest});
        expect(call("POST", "/api/jobs", R"({"kind":"demo.echo","uniqueKey":"one"})").status == 201, "no job can be made");
        list_ = body(call("GET", "/api/jobs", ""));
    }

    /// One request: its method and target, headers, an empty line, a body.
    void ask(std::string_view text) {
        Request request = read(text);
        const auto early = router_.refuse_early(request);
        const auto response = router_.handle(request);
        expect_good(request, response);
        if (early) expect(early->status == response.status, "refused early with another status");
        if (request.method == "GET" && response.status != 201) {
            Request head = request;
            head.method = "HEAD";
            expect(router_.handle(head).status == response.status || request.header("sec-fetch-mode") == "navigate",
                   "HEAD has another status than GET: " + request.target);
        }
        expect_guarded(request, response);
    }

    /// The jobs are there for the one who may see them, whatever was asked.
    void end() {
        const auto list = body(call("GET", "/api/jobs", ""));
        expect(core::parse_json_object(list).has_value(), "the list of jobs is no JSON");
    }

private:
    ApiOptions options() {
        ApiOptions made;
        made.seed = 7;
        made.allowed_hosts = {"jobs.example", "other.example:8080"};
        made.allowed_origins = {"https://front.example"};
        made.log = [](std::string_view line) { expect(false, "an exception of a route: " + std::string(line)); };
        made.authenticate = [](std::string_view token) -> std::optional<Caller> {
            if (token == "R") return Caller{"r", "reader", Role::read};
            if (token == "O") return Caller{"o", "operator", Role::operate};
            if (token == "A") return Caller{"a", "admin", Role::admin};
            return std::nullopt;
        };
        return made;
    }

    static Request read(std::string_view text) {
        Request request;
        const auto line = take_line(text);
        const auto blank = line.find(' ');
        request.method = line.substr(0, blank);
        request.target = blank == std::string_view::npos ? std::string_view("/") : line.substr(blank + 1);
        while (!text.empty()) {
            const auto header = take_line(text);
            if (header.empty()) break;
            const auto colon = std::min(header.find(": "), header.size());
            std::string name(header.substr(0, colon));
            for (char& c : name)
                if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
            request.headers.emplace_back(std::move(name), header.substr(std::min(colon + 2, header.size())));
        }
        request.body = text;
        request.remote = "127.0.0.1";
        return request;
    }

    Response call(std::string method, std::string target, std::string body) {
        Request request;
        request.method = std::move(method);
        request.target = std::move(target);
        request.headers = {{"host", "localhost"}, {"authorization", "Bearer A"}, {"content-type", "application/json"}};
        request.body = std::move(body);
        return router_.handle(request);
    }

    static std::string body(const Response& response) {
        if (const auto* text = std::get_if<std::string>(&response.body)) return *text;
        const auto* shared = std::get_if<std::shared_ptr<const std::string>>(&response.body);
        return shared && *shared ? **shared : std::string();
    }

    static std::string_view header(const Response& response, std::string_view wanted) {
        for (const auto& [name, value] : response.headers)
            if (name == wanted) return value;
        return {};
    }

    static void expect_good(const Request& request, const Response& response) {
        expect(response.status >= 200 && response.status < 600 && response.status != 500,
               "a fault of the server: " + request.target);
        expect(!header(response, "x-trace-id").empty() && header(response, "x-content-type-options") == "nosniff",
               "an answer without what every one carries");
        for (const auto& [name, value] : response.headers)
            expect(value.find_first_of(std::string_view("\r\n\0", 3)) == std::string::npos,
                   "a header of more than one line: " + name);
        const auto text = body(response);
        if (text.empty() || !header(response, "content-type").starts_with("application/json")) return;
        boost::json::parse_options deep;
        deep.max_depth = 64;
        boost::system::error_code wrong;
        const auto json = boost::json::parse(text, wrong, {}, deep);
        expect(!wrong && json.is_object(), "an answer that is no JSON: " + text);
        const auto& object = json.get_object();
        if (response.status >= 400)
            expect(object.contains("code") && object.contains("error") && object.at("ok") == false, "an error without a code");
    }

    /// Nothing but what is for everybody is answered without a token, and a reader changes nothing.
    void expect_guarded(const Request& request, const Response& response) {
        const bool known = std::ranges::any_of(request.headers, [](const auto& header) {
            return header.first == "authorization" || header.first == "cookie";
        });
        const auto path = request.target.substr(0, request.target.find('?'));
        if (!known && response.status < 300 && request.method != "OPTIONS")
            expect(path == "/api/health" || path == "/api/worker/health" || path == "/login" || path == "/logout" ||
                       path.find('%') != std::string::npos,
                   "answered without a token: " + request.method + " " + request.target);
        if (!known) expect(body(call("GET", "/api/jobs", "")) == list_, "changed without a token: " + request.target);
        else list_ = body(call("GET", "/api/jobs", ""));
    }

    std::unique_ptr<Store> store_;
    JobQueue queue_;
    ApiRouter router_;
    std::string list_;
};

}  // namespace

/// Requests to one API, one after another, with a line "---" between.
void router(std::string_view input) {
    Machine machine;
    for (std::size_t i = 0; i < most_requests && !input.empty(); ++i) {
        const auto end = input.find("\n---\n");
        machine.ask(input.substr(0, end));
        input = end == std::string_view::npos ? std::string_view() : input.substr(end + 5);
    }
    machine.end();
}

}  // namespace jobruntime::fuzz

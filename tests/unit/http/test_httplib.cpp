// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// The API inside a cpp-httplib server: what it has to do alike with our own host, run against both, and what is its own.
#include "http_fixture.hpp"

#include <ifaddrs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <thread>
#include <utility>

#include <jobruntime/httplib.hpp>

using namespace http_test;

namespace {

enum class Kind { own, httplib };
constexpr std::array both{Kind::own, Kind::httplib};

struct Settings {
    ApiOptions api{};
    int waiting = 4;
    Duration body_timeout{10'000};
    std::function<void(ApiRouter&)> routes{};
    std::function<void(::httplib::Server&)> program{};
    const char* address = "127.0.0.1";
};

/// One API under either host.
struct Site {
    explicit Site(Kind kind, Settings settings = {}) : router(queue, settings.api) {
        if (settings.routes) settings.routes(router);
        if (kind == Kind::own) {
            own = std::make_unique<http::Server>(router, *store,
                                                 http::Options{.addresses = {settings.address}, .port = 0, .limits = {.streams = settings.waiting}});
            const auto started = own->start();
            REQUIRE_MESSAGE(started, started.error().message);
            const auto url = own->urls().front();
            port = std::stoi(url.substr(url.rfind(':') + 1));
            return;
        }
        server = std::make_unique<::httplib::Server>();
        server->set_tcp_nodelay(true);
        if (settings.program) settings.program(*server);
        host = std::make_unique<HttplibHost>(
            *server, router, *store, HttplibOptions{.api = {.waiting = settings.waiting}, .body_timeout = settings.body_timeout});
        port = server->bind_to_any_port(settings.address);
        REQUIRE(port > 0);
        listening = std::thread([this] { server->listen_after_bind(); });
        while (!server->is_running()) std::this_thread::sleep_for(1ms);
    }
    ~Site() { stop(); }

    void stop() {
        if (own) own->stop();
        if (host) host->stop();
        if (server) server->stop();
        if (listening.joinable()) listening.join();
    }
    std::string add() {
        const auto made = queue.enqueue("demo.echo", {});
        REQUIRE(made);
        return made->id.str();
    }

    std::unique_ptr<Store> store = memory::open({"test", "api"});
    JobQueue queue{*store};
    ApiRouter router;
    std::unique_ptr<http::Server> own;
    std::unique_ptr<::httplib::Server> server;
    std::unique_ptr<HttplibHost> host;
    std::thread listening;
    int port = 0;
};

struct Answer {
    int status = 0;
    std::map<std::string, std::string> headers;  ///< Names lower-case.
    std::string body;
    std::string all;

    std::string header(const std::string& name) const {
        const auto found = headers.find(name);
        return found == headers.end() ? "" : found->second;
    }
};

struct TempFile {
    explicit TempFile(const std::string& text)
        : path((std::filesystem::temp_directory_path() / ("test_httplib." + std::to_string(getpid()))).string()) {
        std::ofstream(path) << text;
    }
    ~TempFile() { std::filesystem::remove(path); }
    const std::string path;
};

/// All that comes until the connection ends.
Answer ask(int port, const std::string& text) {
    Client client(port);
    client.send(text);
    Answer answer;
    answer.all = client.read_all();
    const auto end = answer.all.find("\r\n\r\n");
    REQUIRE_MESSAGE(end != std::string::npos, "no answer to " << text.substr(0, 100));
    answer.status = std::stoi(answer.all.substr(9, 3));
    for (auto at = answer.all.find("\r\n") + 2; at < end;) {
        const auto line = answer.all.substr(at, answer.all.find("\r\n", at) - at);
        auto name = line.substr(0, line.find(':'));
        std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
        answer.headers[name] += line.substr(line.find(':') + 2);
        at += line.size() + 2;
    }
    answer.body = answer.all.substr(end + 4);
    return answer;
}

std::string request(const std::string& line, const std::string& more = "", const std::string& body = "") {
    const auto length = body.empty() ? "" : "Content-Length: " + std::to_string(body.size()) + "\r\n";
    return line + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + more + length + "\r\n" + body;
}

const std::string json = "Content-Type: application/json\r\n";
const std::string echo = R"({"kind":"demo.echo"})";

void add_file(ApiRouter& router, const std::string& path) {
    router.add({"GET", "/files/one", Role::anyone, "A file.", {},
                [path](const Request& asked, const RouteMatch&) { return file_response(asked, path, "text/plain"); }});
}

/// Events of the log as they come, and what else a stream says.
std::string read_to(Client& client, std::string_view end) {
    const auto text = client.read_to(end);
    REQUIRE_MESSAGE(text, "the stream ended before " << end);
    return *text;
}

}  // namespace

TEST_CASE("either host answers alike") {
    const TempFile file("0123456789");
    std::vector<Answer> before;
    for (const auto kind : both) {
        CAPTURE(static_cast<int>(kind));
        Site site(kind, {.routes = [&](ApiRouter& router) { add_file(router, file.path); }});
        const auto job = "/api/jobs/" + site.add();
        const auto tag = ask(site.port, request("GET " + job)).header("etag");
        struct Row {
            std::string text;
            int status;
            std::string body;                  ///< Part of it; "-" = there is none.
            std::string header{}, value{};     ///< That it has, and a part of its value; "-" = it has it not.
        };
        const std::vector<Row> rows{
            {request("GET /api/health"), 200, "\"ok\":true", "content-type", "application/json"},
            {request("POST /api/jobs", json, echo), 201, "demo.echo"},
            {request("POST /api/jobs", json + "Transfer-Encoding: chunked\r\n") + "8\r\n{\"kind\":\r\nc\r\n\"demo.echo\"}\r\n0\r\n\r\n", 201, "demo.echo"},
            {request("GET " + job), 200, "demo.echo", "etag", "\""},
            {request("GET /api/jobs?limit=1"), 200, "demo.echo"},
            {request("GET /api/jobs?limit=%31"), 200, "demo.echo"},
            {request("GET /api/nowhere"), 404, "NOT_FOUND", "x-trace-id", ""},
            {request("GET /api/jobs%2f" + job.substr(10)), 404, "NOT_FOUND"},
            {request("PUT /api/jobs", json, echo), 405, "METHOD_NOT_ALLOWED", "allow", "GET"},
            {request("PATCH /api/health"), 405, "METHOD_NOT_ALLOWED", "allow", "GET"},
            {request("DELETE /api/jobs"), 405, "METHOD_NOT_ALLOWED"},
            {request("HEAD /api/jobs"), 200, "-", "content-type", "application/json"},
            {request("HEAD /api/nowhere"), 404, "-"},
            {request("HEAD /api/telemetry/stream"), 200, "-", "content-type", "text/event-stream"},
            {request("OPTIONS /api/jobs"), 204, "-", "allow", "POST"},
            {request("GET " + job, "If-None-Match: " + tag + "\r\n"), 304, "-", "etag", tag},
            {request("GET /api/jobs", "Range: bytes=0-3\r\n"), 200, "}", "content-range", "-"},
            {request("GET /api/jobs", "Accept-Encoding: br\r\n"), 200, "}", "content-encoding", "-"},
            {request("GET /api/health", "Accept-Encoding: gzip\r\n"), 200, "\"ok\":true", "content-encoding", "-"},
            {request("GET /files/one"), 200, "0123456789", "content-length", "10"},
            {request("GET /files/one", "Range: bytes=2-4\r\n"), 206, "234", "content-range", "bytes 2-4/10"},
            {request("GET /files/one", "Range: bytes=2-4,6-7\r\n"), 200, "0123456789"},
            {request("GET /files/one", "Range: bytes=20-\r\n"), 416, ""},
            {request("HEAD /files/one"), 200, "-", "content-length", "10"},
            {request("POST " + job + "/retry"), 409, "\"ok\":false"},
            {request("POST " + job + "/cancel"), 200, "\"ok\":true"},  // Without a length there is no body to wait for.
            {request("DELETE " + job), 200, "\"ok\":true"},
            {request("GET " + job), 404, "NOT_FOUND"},
            // Refused.
            {"GET /api/jobs HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", 421, "MISDIRECTED_REQUEST"},
            {request("POST /api/jobs", json + "Origin: https://evil.example\r\n", echo), 403, "\"ok\":false"},
            {request("POST /api/jobs", "Content-Type: text/plain\r\n", echo), 415, "UNSUPPORTED_MEDIA_TYPE"},
            {request("POST /api/jobs", "Content-Type: multipart/form-data; boundary=x\r\n", "--x--\r\n"), 415, "UNSUPPORTED_MEDIA_TYPE"},
            {request("POST /api/jobs", json + "Content-Encoding: gzip\r\n", echo), 201, "demo.echo"},  // Nobody unpacks anything.
            {request("POST /api/jobs", json, std::string(1'100'000, ' ')), 413, "PAYLOAD_TOO_LARGE"},
            {request("POST /api/jobs", json + "Transfer-Encoding: chunked\r\n") + "110000\r\n" + std::string(0x110000, ' ') + "\r\n0\r\n\r\n", 413,
             "PAYLOAD_TOO_LARGE"},
            {request("POST /api/jobs", json + "Transfer-Encoding: chunked\r\n", echo), 400, "BAD_REQUEST"},
            {request("POST /api/jobs", json + "Content-Length: -5\r\n"), 400, "BAD_REQUEST"},
            {request("POST /api/jobs", json + "Content-Length: 20\r\n", echo), 400, "BAD_REQUEST"},
            {request("GET /api/jobs", "Host: localhost\r\n"), 400, "BAD_REQUEST"},
            {"GET /api/jobs HTTP/1.1\r\nConnection: close\r\n\r\n", 400, "BAD_REQUEST"},
            {request("GET /api/jobs", "X-A: " + std::string(7'000, 'x') + "\r\nX-B: " + std::string(7'000, 'x') + "\r\n"), 431, "HEADERS_TOO_LARGE"},
            {request("GET /api/jobs", "Expect: wonders\r\n"), 417, "EXPECTATION_FAILED"},
        };
        std::vector<Answer> now;
        for (const auto& row : rows) {
            CAPTURE(row.text.substr(0, 200));
            const auto answer = ask(site.port, row.text);
            CAPTURE(answer.all.substr(0, 2'000));
            CHECK(answer.status == row.status);
            CHECK(answer.header("connection") == "close");
            CHECK(answer.header("x-content-type-options") == "nosniff");
            if (row.body == "-") CHECK(answer.body.empty());
            else CHECK(answer.body.find(row.body) != std::string::npos);
            if (row.value == "-") CHECK_FALSE(answer.headers.contains(row.header));
            else if (!row.header.empty()) CHECK((answer.headers.contains(row.header) && answer.header(row.header).find(row.value) != std::string::npos));
            now.push_back(answer);
        }
        if (!before.empty())
            for (std::size_t i = 0; i < rows.size(); ++i) {
                CAPTURE(rows[i].text.substr(0, 200));
                // A list's own length differs with its ids only, so a HEAD's does not.
                CHECK(now[i].header("content-length").empty() == before[i].header("content-length").empty());
                CHECK(now[i].header("cache-control") == before[i].header("cache-control"));
            }
        before = std::move(now);
    }
}

TEST_CASE("either host asks for tokens and roles, before it reads a body") {
    for (const auto kind : both) {
        CAPTURE(static_cast<int>(kind));
        Settings settings;
        settings.api.authenticate = [](std::string_view token) -> std::optional<Caller> {
            if (token == "reads") return Caller{"r", "reader", Role::read};
            return token == "all" ? std::optional<Caller>(Caller{"a", "admin", Role::admin}) : std::nullopt;
        };
        Site site(kind, settings);
        CHECK(ask(site.port, request("GET /api/jobs")).status == 401);
        CHECK(ask(site.port, request("GET /api/jobs", "Authorization: Bearer reads\r\n")).status == 200);
        const auto big = std::string(900'000, ' ') + echo;
        CHECK(ask(site.port, request("POST /api/jobs", json, big)).status == 401);
        CHECK(ask(site.port, request("POST /api/jobs", json + "Authorization: Bearer reads\r\n", big)).status == 403);
        CHECK(ask(site.port, request("POST /api/jobs", json + "Authorization: Bearer all\r\n", big)).status == 201);
        CHECK(ask(site.port, request("GET /api/health")).status == 200);
    }
}

TEST_CASE("either host takes a peer's address from the socket, and no header ends its line") {
    for (const auto kind : both) {
        CAPTURE(static_cast<int>(kind));
        Site site(kind, {.routes = [](ApiRouter& router) {
                      router.add({"GET", "/who", Role::read, "Who.", {}, [](const Request& asked, const RouteMatch&) {
                                      auto response = Response::json(200, {{"remote", asked.remote}, {"said", asked.header("remote_addr")}});
                                      response.headers.emplace_back("x-evil", "a\r\nset-cookie: b");
                                      response.headers.emplace_back("Content-Length", "1");
                                      response.headers.emplace_back("Transfer-Encoding", "chunked");
                                      return response;
                                  }});
                  }});
        const auto answer = ask(site.port, request("GET /who", "REMOTE_ADDR: 6.6.6.6\r\nX-Forwarded-For: 6.6.6.6\r\n"));
        CHECK(answer.body.find(R"("remote":"127.0.0.1")") != std::string::npos);
        CHECK_FALSE(answer.headers.contains("set-cookie"));
        CHECK_FALSE(answer.headers.contains("transfer-encoding"));
        CHECK(answer.header("content-length") == std::to_string(answer.body.size()));
    }
}

TEST_CASE("either host streams, resumes, and says goodbye") {
    for (const auto kind : both) {
        CAPTURE(static_cast<int>(kind));
        Site site(kind);
        const auto subscribe = [&](Client& client, const std::string& more = "") {
            client.send("GET /api/telemetry/stream HTTP/1.1\r\nHost: localhost\r\n" + more + "\r\n");
            const auto head = read_to(client, "\r\n\r\n");
            CHECK(head.starts_with("HTTP/1.1 200"));
            CHECK(head.find("hunked") == std::string::npos);
        };
        const auto first = site.add();
        std::string last;
        {
            Client client(site.port);
            subscribe(client);
            CHECK(read_to(client, "\n\n").find(first) != std::string::npos);
            const auto second = site.add();
            const auto frame = read_to(client, "\n\n");
            CHECK(frame.find(second) != std::string::npos);
            last = frame.substr(4, frame.find('\n') - 4);
        }
        const auto third = site.add();
        Client client(site.port);
        subscribe(client, "Last-Event-ID: " + last + "\r\n");
        CHECK(read_to(client, "\n\n").find(third) != std::string::npos);
        auto waiting = std::async(std::launch::async, [&] { return ask(site.port, request("GET /api/jobs/" + third + "?wait=60s")); });
        std::this_thread::sleep_for(100ms);
        const auto begun = std::chrono::steady_clock::now();
        site.stop();
        CHECK(std::chrono::steady_clock::now() - begun < patience / 2);
        CHECK(client.read_all().find("event: shutdown\n") != std::string::npos);
        CHECK(waiting.get().status == 200);
    }
}

TEST_CASE("either host keeps its threads for requests when all places of streams are taken") {
    for (const auto kind : both) {
        CAPTURE(static_cast<int>(kind));
        Site site(kind, {.waiting = 4});
        std::vector<std::unique_ptr<Client>> streams;
        for (int i = 0; i < 4; ++i) {
            streams.push_back(std::make_unique<Client>(site.port));
            streams.back()->send("GET /api/telemetry/stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
            CHECK(read_to(*streams.back(), "\r\n\r\n").starts_with("HTTP/1.1 200"));
        }
        for (int i = 0; i < 20; ++i) {
            const auto refused = ask(site.port, request("GET /api/telemetry/stream"));
            CHECK(refused.status == 503);
            CHECK(refused.header("retry-after") == "5");
            CHECK(ask(site.port, request("GET /api/health")).status == 200);
        }
        // Who leaves makes room soon, though nothing is said to him.
        streams.pop_back();
        const auto until = std::chrono::steady_clock::now() + patience;
        while (true) {
            Client client(site.port);
            client.send("GET /api/telemetry/stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
            if (read_to(client, "\r\n\r\n").starts_with("HTTP/1.1 200")) break;
            REQUIRE(std::chrono::steady_clock::now() < until);
            std::this_thread::sleep_for(10ms);
        }
    }
}

TEST_CASE("either host tells a request that waits of the end of its job") {
    for (const auto kind : both) {
        CAPTURE(static_cast<int>(kind));
        Site site(kind);
        const auto id = site.add();
        auto waiting = std::async(std::launch::async, [&] { return ask(site.port, request("GET /api/jobs/" + id + "?wait=60s")); });
        std::this_thread::sleep_for(50ms);
        REQUIRE(site.queue.cancel(*JobId::parse(id)));
        CHECK(waiting.get().body.find("canceled") != std::string::npos);
    }
}

TEST_CASE("cpp-httplib: nothing that follows an answer is read, whatever came before it") {
    Site site(Kind::httplib);
    const auto job = "/api/jobs/" + site.add();
    const auto tag = ask(site.port, request("GET " + job)).header("etag");
    const std::string next = "GET /api/health HTTP/1.1\r\nHost: localhost\r\n\r\n";
    const std::string host = " HTTP/1.1\r\nHost: localhost\r\n";
    for (const auto& text : {
             "GET /api/health" + host + "\r\n",
             "GET /api/health" + host + "Content-Length: " + std::to_string(next.size()) + "\r\n\r\n",
             "HEAD /api/health" + host + "Content-Length: " + std::to_string(next.size()) + "\r\n\r\n",
             "HEAD /api/health" + host + "\r\n",
             "OPTIONS /api/jobs" + host + "\r\n",
             "GET " + job + host + "If-None-Match: " + tag + "\r\n\r\n",
             "POST " + job + "/cancel" + host + "Content-Length: 5\n\r\n",
             "POST /api/jobs" + host + "Content-Type: text/plain\r\nContent-Length: " + std::to_string(next.size()) + "\r\n\r\n",
             "POST /api/jobs" + host + json + "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloworld\r\n",
             "DELETE " + job + host + "Transfer-Encoding: chunked\r\n\r\n",
             "GET /api/telemetry/stream" + host + "Last-Event-ID: x\r\n\r\n",
         }) {
        CAPTURE(text);
        const auto all = ask(site.port, text + next).all;
        CAPTURE(all);
        CHECK(all.find("HTTP/1.1", 5) == std::string::npos);
    }
}

TEST_CASE("cpp-httplib: what it answers by itself, or a program's error handler fills, ends the connection, too") {
    Site site(Kind::httplib, {.program = [](::httplib::Server& server) {
                  server.set_error_handler([](const ::httplib::Request& asked, ::httplib::Response& response) {
                      if (asked.path.starts_with("/api/nowhere")) response.set_content("the program's", "text/plain");
                  });
              }});
    const std::string next = "GET /api/health HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for (const auto& [text, status] : std::initializer_list<std::pair<std::string, int>>{
             {"GET /api/jobs HTTP/1.1\r\nHost: localhost\r\nRange: nonsense\r\n\r\n", 416},
             {"nonsense\r\n\r\n", 400},
             {"TRACE /api/jobs HTTP/1.1\r\nHost: localhost\r\n\r\n", 400},
             {"GET /api/nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n", 404},
             {"HEAD /api/nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n", 404},
             {"DELETE /api/nowhere HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", 404},
         }) {
        CAPTURE(text);
        const auto answer = ask(site.port, text + next);
        CHECK(answer.status == status);
        CHECK(answer.all.find("HTTP/1.1", 5) == std::string::npos);
        if (text.starts_with("HEAD")) CHECK(answer.body.empty());
    }
    CHECK(ask(site.port, request("GET /api/nowhere")).body == "the program's");
}

TEST_CASE("cpp-httplib: what it decodes in a header's value is refused when it would end the line") {
    Site site(Kind::httplib);
    for (const char* value : {"a%0d%0aX-Evil: y", "a%0aX-Evil: y", "a%00", "a%7f", "a%u000a"}) {
        CAPTURE(value);
        const auto answer = ask(site.port, request("GET /api/jobs", std::string("X-Trace-Id: ") + value + "\r\n"));
        CHECK(answer.status == 400);
        CHECK_FALSE(answer.headers.contains("x-evil"));
    }
    // What remains: these are one key.
    const auto id_of = [&](const std::string& key) {
        const auto made = ask(site.port, request("POST /api/jobs", json + "Idempotency-Key: " + key + "\r\n", echo));
        CHECK(made.status == 201);
        const auto at = made.body.find("\"id\":");
        return at == std::string::npos ? made.body : made.body.substr(at, 43);
    };
    CHECK(id_of("a%20b") == id_of("a b"));
    CHECK(id_of("a b") != id_of("a c"));
}

TEST_CASE("cpp-httplib: a body that does not come is not waited for beyond its time") {
    Site site(Kind::httplib, {.body_timeout = Duration{200}});
    Client client(site.port);
    client.send(request("POST /api/jobs", json + "Content-Length: 1000\r\n"));
    for (int i = 0; i < 100 && client.send(" "); ++i) std::this_thread::sleep_for(10ms);
    CHECK(client.read_all().starts_with("HTTP/1.1 408"));
}

TEST_CASE("cpp-httplib: the program's own routes, errors and headers stay its own") {
    Site site(Kind::httplib, {.program = [](::httplib::Server& server) {
                  server.Get("/hello", [](const ::httplib::Request&, ::httplib::Response& response) { response.set_content("hello", "text/plain"); });
                  server.Post("/hello", [](const ::httplib::Request& asked, ::httplib::Response& response) {
                      response.set_content(asked.body, "text/plain");
                  });
                  server.set_default_headers({{"X-Content-Type-Options", "program"}, {"X-Program", "1"}});
              }});
    CHECK(ask(site.port, request("GET /hello")).body == "hello");
    CHECK(ask(site.port, request("GET /hello", "Range: bytes=0-1\r\n")).body == "he");
    CHECK(ask(site.port, request("POST /hello", "Content-Type: text/plain\r\n", "echo")).body == "echo");
    const auto unknown = ask(site.port, request("GET /apis"));
    CHECK(unknown.status == 404);
    CHECK(unknown.body.empty());
    const auto health = ask(site.port, request("GET /api/health"));
    CHECK(health.header("x-content-type-options") == "nosniff");
    CHECK(health.header("x-program") == "1");
}

TEST_CASE("cpp-httplib: without tokens it answers on loopback only") {
    ifaddrs* all = nullptr;
    REQUIRE(getifaddrs(&all) == 0);
    in_addr_t outside = 0;
    for (const auto* one = all; one; one = one->ifa_next) {
        if (!one->ifa_addr || one->ifa_addr->sa_family != AF_INET) continue;
        const auto address = reinterpret_cast<const sockaddr_in*>(one->ifa_addr)->sin_addr.s_addr;
        if ((ntohl(address) >> 24) != 127) outside = address;
    }
    freeifaddrs(all);
    if (outside == 0) {
        MESSAGE("skipped: this machine has no address but loopback ones");
        return;
    }
    for (const bool guarded : {false, true}) {
        Settings settings;
        settings.address = "0.0.0.0";
        if (guarded) settings.api.authenticate = [](std::string_view) { return std::optional<Caller>(Caller{"t", "test", Role::admin}); };
        Site site(Kind::httplib, settings);
        CHECK(ask(site.port, request("GET /api/jobs", "Authorization: Bearer x\r\n")).status == 200);
        const http::Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(static_cast<std::uint16_t>(site.port));
        address.sin_addr.s_addr = outside;
        REQUIRE(connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
        const auto text = request("GET /api/jobs", "Authorization: Bearer x\r\n");
        REQUIRE(::send(socket.get(), text.data(), text.size(), MSG_NOSIGNAL) > 0);
        char bytes[64] = {};
        REQUIRE(recv(socket.get(), bytes, sizeof bytes - 1, 0) > 12);
        CHECK(std::string(bytes, 12) == (guarded ? "HTTP/1.1 200" : "HTTP/1.1 403"));
    }
}

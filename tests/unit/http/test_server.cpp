// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "core/failpoint.hpp"
#include "http_fixture.hpp"

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <thread>

#include <unistd.h>

using namespace http_test;

namespace {

const std::string to_server = "Host: localhost\r\n";

std::string post(const std::string& target, const std::string& body) {
    return "POST " + target + " HTTP/1.1\r\n" + to_server + "Content-Type: application/json\r\nContent-Length: " +
           std::to_string(body.size()) + "\r\n\r\n" + body;
}

}  // namespace

TEST_CASE("requests follow each other on one connection, also when they come all at once") {
    Host host;
    Client client(host.start());
    for (int i = 0; i < 3; ++i) {
        const auto reply = client.get("/api/health");
        REQUIRE(reply);
        CHECK(reply->status == 200);
        CHECK(reply->headers.contains("x-trace-id"));
        CHECK(reply->headers.contains("date"));
        CHECK_FALSE(reply->headers.contains("connection"));
    }
    std::string many;
    for (int i = 0; i < 5; ++i) many += post("/api/jobs", R"({"kind":"demo.echo","payload":{"n":)" + std::to_string(i) + "}}");
    client.send(many + "GET /nowhere HTTP/1.1\r\n" + to_server + "Connection: close\r\n\r\n");
    for (int i = 0; i < 5; ++i) {
        const auto reply = client.read_reply();
        REQUIRE(reply);
        CHECK(reply->status == 201);
        CHECK(reply->body.find("{\"n\":" + std::to_string(i) + "}") != std::string::npos);
    }
    const auto last = client.read_reply();
    REQUIRE(last);
    CHECK(last->status == 404);
    CHECK(last->headers.at("connection") == "close");
    CHECK(client.is_closed());
}

TEST_CASE("HEAD has the head of GET and no body; HTTP/1.0 ends after one answer") {
    Host host;
    const int port = host.start();
    Client client(port);
    client.send("HEAD /api/jobs HTTP/1.1\r\n" + to_server + "\r\n");
    const auto reply = client.read_reply(true);
    REQUIRE(reply);
    CHECK(reply->status == 200);
    CHECK(std::stoi(reply->headers.at("content-length")) > 10);
    CHECK(client.get("/api/health")->status == 200);
    client.send("HEAD /api/telemetry/stream HTTP/1.1\r\n" + to_server + "\r\n");
    CHECK(client.read_reply(true)->headers.at("content-type").find("text/event-stream") == 0);
    CHECK(client.is_closed());
    Client old(port);
    CHECK(old.ask("GET /api/health HTTP/1.0\r\n" + to_server + "\r\n")->status == 200);
    CHECK(old.is_closed());
    Client older(port);
    CHECK(older.ask("OPTIONS * HTTP/1.0\r\n" + to_server + "Connection: keep-alive\r\n\r\n")->headers.at("connection") == "keep-alive");
    CHECK(older.ask("GET /api/health HTTP/1.0\r\n" + to_server + "\r\n")->status == 200);
}

TEST_CASE("a body may be chunked, and is waited for after 100 Continue") {
    Host host;
    Client client(host.start());
    CHECK(client.ask("POST /api/jobs HTTP/1.1\r\n" + to_server + "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
                     "8\r\n{\"kind\":\r\nc\r\n\"demo.echo\"}\r\n0\r\n\r\n")->status == 201);
    client.send("POST /api/jobs HTTP/1.1\r\n" + to_server + "Content-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 20\r\n\r\n");
    CHECK(client.read_to("\r\n\r\n") == "HTTP/1.1 100 Continue\r\n\r\n");
    CHECK(client.ask(R"({"kind":"demo.echo"})")->status == 201);
}

TEST_CASE("what is refused before routing is answered in JSON, and the connection ends") {
    http::Options options;
    options.max_body = 100'000;
    Host host(options);
    const int port = host.start();
    struct Row {
        std::string text;
        int status;
        const char* code;
    };
    const std::vector<Row> rows{
        {"GET / HTTP/1.1\r\n\r\n", 400, "BAD_REQUEST"},
        {"POST / HTTP/1.1\r\n" + to_server + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "BAD_REQUEST"},
        {"POST / HTTP/1.1\r\n" + to_server + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 400, "BAD_REQUEST"},
        {"POST / HTTP/1.1\r\n" + to_server + "Content-Length: -5\r\n\r\n", 400, "BAD_REQUEST"},
        {"GET /" + std::string(9'000, 'x') + " HTTP/1.1\r\n" + to_server + "\r\n", 414, "URI_TOO_LONG"},
        {"GET / HTTP/1.1\r\n" + to_server + "X: " + std::string(9'000, 'x') + "\r\n\r\n", 431, "HEADERS_TOO_LARGE"},
        {post("/api/jobs", std::string(3'000'000, ' ')), 413, "PAYLOAD_TOO_LARGE"},
        {"POST / HTTP/1.1\r\n" + to_server + "Transfer-Encoding: chunked\r\n\r\n100000\r\n" + std::string(0x100000, 'x'), 413, "PAYLOAD_TOO_LARGE"},
        {"GET / HTTP/3.0\r\n" + to_server + "\r\n", 505, "HTTP_VERSION_NOT_SUPPORTED"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.text.substr(0, 60));
        Client client(port);
        const auto reply = client.ask(row.text);
        REQUIRE(reply);
        CHECK(reply->status == row.status);
        CHECK(reply->body.find("\"code\":\"" + std::string(row.code) + "\"") != std::string::npos);
        CHECK(reply->headers.at("connection") == "close");
        CHECK(reply->headers.contains("x-trace-id"));
        CHECK(reply->headers.at("x-content-type-options") == "nosniff");
        CHECK(client.is_closed());
    }
    CHECK(Client(port).get("/api/health")->status == 200);
}

TEST_CASE("a peer's address is what the socket says, whatever its headers say, and a header cannot end its line") {
    Host host;
    host.router.add({"GET", "/who", Role::read, "Who.", {}, [](const Request& request, const RouteMatch&) {
                         auto response = Response::json(200, {{"remote", request.remote}});
                         response.headers.emplace_back("x-evil", "a\r\nset-cookie: b");
                         response.headers.emplace_back("x-worse\r\nset-cookie: c\r\nx-end", "d");
                         // Only the server says how long an answer is.
                         response.headers.emplace_back("Content-Length", "1");
                         response.headers.emplace_back("Transfer-Encoding", "chunked");
                         return response;
                     }});
    Client client(host.start());
    const auto reply = client.get("/who", "REMOTE_ADDR: 6.6.6.6\r\nX-Forwarded-For: 6.6.6.6\r\nX-Trace-Id: a%0d%0aset-cookie: b\r\n");
    REQUIRE(reply);
    CHECK(reply->body.find("127.0.0.1") != std::string::npos);
    CHECK_FALSE(reply->headers.contains("set-cookie"));
    CHECK(reply->headers.at("x-evil") == "aset-cookie: b");
    CHECK_FALSE(reply->headers.contains("Content-Length"));
    CHECK_FALSE(reply->headers.contains("Transfer-Encoding"));
    CHECK(reply->headers.at("x-trace-id") == "a%0d%0aset-cookie:b");
}

TEST_CASE("half-sent heads and bodies are told that their time is up; silent connections are closed") {
    http::Options options;
    options.head_timeout = 1s;
    options.idle_timeout = 1s;
    Host host(options);
    const int port = host.start();
    Client silent(port);
    CHECK(silent.is_closed());
    Client half(port);
    const auto late = half.ask("GET /api/health HTTP/1.1\r\nHo");
    REQUIRE(late);
    CHECK(late->status == 408);
    CHECK(half.is_closed());
    // A byte now and then does not buy more time.
    Client drip(port);
    const auto begun = std::chrono::steady_clock::now();
    while (drip.send("x") && std::chrono::steady_clock::now() - begun < 20s) std::this_thread::sleep_for(20ms);
    CHECK(std::chrono::steady_clock::now() - begun < 20s);
    Client body(port);
    CHECK(body.ask("POST /api/jobs HTTP/1.1\r\n" + to_server + "Content-Type: application/json\r\nContent-Length: 5\r\n\r\nab")->status == 408);
    Client idle(port);
    CHECK(idle.get("/api/health")->status == 200);
    CHECK(idle.is_closed());
}

TEST_CASE("files are sent whole and in ranges, large ones too, and a file that is gone is 404") {
    const auto folder = std::filesystem::temp_directory_path() / ("http-files-" + std::to_string(getpid()));
    std::filesystem::create_directories(folder);
    std::string content(5'000'000, '\0');
    for (std::size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>('a' + i % 23);
    std::ofstream(folder / "a.bin") << content;
    Host host;
    host.router.add({"GET", "/file", Role::read, "A file.", {}, [&](const Request& request, const RouteMatch&) {
                         return file_response(request, (folder / "a.bin").string(), "application/octet-stream");
                     }});
    host.router.add({"GET", "/gone", Role::read, "No file.", {}, [&](const Request&, const RouteMatch&) {
                         Response response;
                         response.body = FileSlice{(folder / "none").string(), 0, 5};
                         return response;
                     }});
    host.router.add({"GET", "/shared", Role::read, "Text.", {}, [&](const Request&, const RouteMatch&) {
                         Response response;
                         response.body = std::make_shared<const std::string>(content);
                         return response;
                     }});
    Client client(host.start());
    CHECK(client.get("/file")->body == content);
    CHECK(client.get("/shared")->body == content);
    const auto part = client.get("/file", "Range: bytes=1000000-3999999\r\n");
    REQUIRE(part);
    CHECK(part->status == 206);
    CHECK(part->headers.at("content-range") == "bytes 1000000-3999999/5000000");
    CHECK(part->body == content.substr(1'000'000, 3'000'000));
    CHECK(client.get("/file", "Range: bytes=5000000-\r\n")->status == 416);
    CHECK(client.get("/gone")->status == 404);
#ifdef JOBRUNTIME_FAILPOINTS
    for (const int error : {EMFILE, ENFILE}) {
        core::set_failpoint("http.open", [error] {
            errno = error;
            return true;
        });
        const auto busy = client.get("/file");
        core::clear_failpoints();
        REQUIRE(busy);
        CHECK(busy->status == 503);
        CHECK(busy->headers.count("retry-after") == 1);
        CHECK(client.get("/file")->status == 200);
    }
#endif
    std::filesystem::remove_all(folder);
    CHECK(client.get("/file")->status == 404);
}

#ifdef JOBRUNTIME_FAILPOINTS
TEST_CASE("a disk that hangs holds up those who want its files, and nobody else; it goes on where it was") {
    const auto file = std::filesystem::temp_directory_path() / ("http-cold-" + std::to_string(getpid()));
    std::string content(1'000'000, '\0');
    for (std::size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>('a' + i % 23);
    std::ofstream(file) << content;
    Host host;
    host.router.add({"GET", "/file", Role::read, "A file.", {}, [&](const Request& request, const RouteMatch&) {
                         return file_response(request, file.string(), "application/octet-stream");
                     }});
    const int port = host.start();
    std::promise<void> goes_on;
    const auto until = goes_on.get_future().share();
    std::atomic<int> hang = 0;
    core::set_failpoint("http.cold_file", [] { return true; });
    core::set_failpoint("http.read_file", [&] {
        ++hang;
        until.wait();
        return false;
    });
    // More than there are threads that read.
    std::vector<std::unique_ptr<Client>> readers;
    for (int i = 0; i < 8; ++i) {
        readers.push_back(std::make_unique<Client>(port));
        readers.back()->send("GET /file HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
    while (hang < 4) std::this_thread::yield();
    readers.pop_back();  // It does not wait for the end.
    Client other(port);
    for (int i = 0; i < 20; ++i) {
        CHECK(other.get("/api/health")->status == 200);
        CHECK(other.get("/api/jobs")->status == 200);
    }
    CHECK(hang == 4);
    goes_on.set_value();
    for (auto& reader : readers) {
        const auto reply = reader->read_reply();
        REQUIRE(reply);
        CHECK(reply->body == content);
        CHECK(reader->get("/api/health")->status == 200);
    }
    core::clear_failpoints();
    CHECK(other.get("/file")->body == content);
    std::filesystem::remove(file);
}
#endif

TEST_CASE("fifty clients are served beside hundreds of half-sent requests, which hold no thread") {
    http::Options options;
    options.threads = 2;
    Host host(options);
    const int port = host.start();
    std::vector<std::unique_ptr<Client>> stuck;
    for (int i = 0; i < 300; ++i) {
        stuck.push_back(std::make_unique<Client>(port));
        stuck.back()->send("GET /api/health HTTP/1.1\r\nX: ");
    }
    std::vector<std::thread> threads;
    std::atomic<int> good{0};
    for (int i = 0; i < 50; ++i)
        threads.emplace_back([&] {
            Client client(port);
            for (int n = 0; n < 20; ++n)
                if (client.get("/api/jobs")->status == 200) ++good;
        });
    for (auto& thread : threads) thread.join();
    CHECK(good == 1'000);
}

TEST_CASE("one port serves IPv4 and IPv6; a taken port and a foreign address are refused by name") {
    Host host;
    const int port = host.start();
    for (const auto& url : host.server.urls()) CHECK(url.ends_with(":" + std::to_string(port)));
    const bool has_v6 = host.server.urls().size() == 2;
    CHECK((has_v6 || host.lines().size() == 1));

    http::Options same;
    same.port = port;
    Host second(same);
    const auto taken = second.server.start();
    REQUIRE_FALSE(taken);
    CHECK(taken.error().code == Errc::conflict);
    CHECK(taken.error().name == "PORT_IN_USE");
    CHECK(taken.error().message.find(std::to_string(port)) != std::string::npos);
    for (const char* address : {"0.0.0.0", "::", "192.168.1.1", "example.org", "", "127.1", "::ffff:127.0.0.1"}) {
        CAPTURE(address);
        http::Options foreign;
        foreign.addresses = {address};
        Host refused(foreign);
        const auto answer = refused.server.start();
        REQUIRE_FALSE(answer);
        CHECK(answer.error().code == Errc::invalid_argument);
        CHECK(answer.error().name == "ADDRESS_REFUSED");
    }
    // The port is free again as soon as the server has stopped, though connections linger in the kernel.
    CHECK(Client(port).get("/api/health")->status == 200);
    host.server.stop();
    Host third(same);
    CHECK(third.start() == port);
}

TEST_CASE("with tokens every address may be served, and what is no address still not") {
    ApiOptions guarded;
    guarded.authenticate = [](std::string_view token) -> std::optional<Caller> {
        if (token == "good") return Caller{};
        return std::nullopt;
    };
    http::Options everywhere;
    everywhere.addresses = {"0.0.0.0"};
    Host host(everywhere, nullptr, guarded);
    const int port = host.start();
    CHECK(Client(port).get("/api/health")->status == 200);
    CHECK(Client(port).get("/api/jobs")->status == 401);
    CHECK(Client(port).get("/api/jobs", "Authorization: Bearer good\r\n")->status == 200);
    CHECK(Client(port).get("/api/telemetry/stream", "Cookie: jobrt_token=bad\r\n")->status == 401);
    for (const char* address : {"example.org", "", "127.1"}) {
        CAPTURE(address);
        http::Options nonsense;
        nonsense.addresses = {address};
        Host refused(nonsense, nullptr, guarded);
        CHECK(refused.server.start().error().name == "ADDRESS_REFUSED");
    }
}

TEST_CASE("health is answered while every thread waits for the store, and too many who wait are told so") {
    http::Options options;
    options.threads = 2;
    options.max_waiting = 3;
    options.answer_patience = 60s;  // Nobody is given up here.
    Host host(options);
    std::mutex mutex;
    std::condition_variable changed;
    bool open = false;
    std::atomic<int> inside{0};
    host.router.add({"GET", "/stuck", Role::read, "Waits.", {}, [&](const Request&, const RouteMatch&) {
                         std::unique_lock lock(mutex);
                         ++inside;
                         changed.wait(lock, [&] { return open; });
                         return Response::json(200, {{"ok", true}});
                     }});
    const int port = host.start();
    std::vector<std::unique_ptr<Client>> stuck;
    for (int i = 0; i < 2; ++i) {
        stuck.push_back(std::make_unique<Client>(port));
        stuck.back()->send("GET /stuck HTTP/1.1\r\n" + to_server + "\r\n");
    }
    while (inside < 2) std::this_thread::yield();
    CHECK(Client(port).get("/api/health")->status == 200);
    CHECK(Client(port).get("/api/worker/health")->status == 200);
    // Three wait; whoever comes after them is refused at once, and health still is not.
    std::vector<std::unique_ptr<Client>> more;
    for (int i = 0; i < 4; ++i) {
        more.push_back(std::make_unique<Client>(port));
        more.back()->send("GET /stuck HTTP/1.1\r\n" + to_server + "\r\n");
    }
    const auto refused = more.back()->read_reply();
    REQUIRE(refused);
    CHECK(refused->status == 503);
    CHECK(refused->headers.contains("retry-after"));
    CHECK(refused->body.find("OVERLOADED") != std::string::npos);
    CHECK(Client(port).get("/api/health")->status == 200);
    {
        std::lock_guard lock(mutex);
        open = true;
    }
    changed.notify_all();
    more.pop_back();
    for (auto* clients : {&stuck, &more})
        for (auto& client : *clients) CHECK(client->read_reply()->status == 200);
}

TEST_CASE("what a head alone forbids is refused before its body is read") {
    ApiOptions guarded;
    guarded.authenticate = [](std::string_view token) -> std::optional<Caller> {
        if (token == "good") return Caller{};
        if (token == "reader") return Caller{"r", "reader", Role::read};
        return std::nullopt;
    };
    Host host({}, nullptr, guarded);
    const int port = host.start();
    const std::string body = "Content-Type: application/json\r\nContent-Length: 1000000\r\n";
    struct Row {
        std::string line, headers;
        int status;
    };
    const std::vector<Row> rows{
        {"POST /api/jobs", "Host: evil.example\r\n" + body, 421},
        {"POST /api/jobs", to_server + body, 401},
        {"POST /api/jobs", to_server + body + "Authorization: Bearer bad\r\n", 401},
        {"POST /api/jobs", to_server + body + "Authorization: Bearer reader\r\n", 403},
        {"POST /api/jobs", to_server + body + "Authorization: Bearer good\r\nOrigin: http://evil.example\r\n", 403},
        {"POST /api/jobs", to_server + "Content-Type: text/plain\r\nContent-Length: 9\r\nAuthorization: Bearer good\r\n", 415},
        {"POST /nowhere", to_server + body + "Authorization: Bearer good\r\n", 404},
        {"PUT /api/jobs", to_server + body + "Authorization: Bearer good\r\n", 405},
        {"POST /api/jobs", to_server + "Transfer-Encoding: chunked\r\nContent-Type: application/json\r\n", 401},
        {"POST /api/jobs", to_server + body + "Expect: 100-continue\r\n", 401},
    };
    for (const auto& row : rows) {
        CAPTURE(row.line);
        CAPTURE(row.headers);
        Client client(port);
        const auto reply = client.ask(row.line + " HTTP/1.1\r\n" + row.headers + "\r\n");
        REQUIRE(reply);
        CHECK(reply->status == row.status);
        CHECK(reply->headers.contains("x-trace-id"));
        CHECK(client.is_closed());
    }
}

TEST_CASE("all bodies together may take only so much memory, and give it back") {
    http::Options options;
    options.max_body_memory = 300'000;
    Host host(options);
    const int port = host.start();
    const std::string half = "POST /api/jobs HTTP/1.1\r\n" + to_server + "Content-Type: application/json\r\nContent-Length: 200000\r\n\r\n" +
                             std::string(199'999, ' ');
    {
        Client first(port);
        first.send(half);
        Client second(port);
        second.send(half);
        // Either may be the one too many: the first's bytes may still be on their way.
        std::array<pollfd, 2> either{pollfd{first.fd(), POLLIN, 0}, pollfd{second.fd(), POLLIN, 0}};
        REQUIRE(poll(either.data(), either.size(), 30'000) >= 1);
        auto& refused = either[0].revents ? first : second;
        auto& kept = either[0].revents ? second : first;
        const auto reply = refused.read_reply();
        REQUIRE(reply);
        CHECK(reply->status == 503);
        CHECK(reply->body.find("OVERLOADED") != std::string::npos);
        // The other goes on, and is only no job.
        kept.send(" ");
        CHECK(kept.read_reply()->status == 400);
        // What it held is free again.
        Client third(port);
        third.send(half);
        third.send(" ");
        CHECK(third.read_reply()->status == 400);
    }
}

TEST_CASE("health is answered at once only while the store has just answered, and nothing else is") {
    Host host;
    const auto asks = [](const char* target) {
        Request request;
        request.target = target;
        request.headers = {{"host", "localhost"}};
        return request;
    };
    CHECK_FALSE(host.router.answer_at_once(asks("/api/health")));
    const auto begun = std::chrono::steady_clock::now();
    REQUIRE(host.router.handle(asks("/api/health")).status == 200);
    const auto answer = host.router.answer_at_once(asks("/api/health"));
    if (std::chrono::steady_clock::now() - begun < 40ms) {
        REQUIRE(answer);
        CHECK(answer->status == 200);
        CHECK_FALSE(host.router.answer_at_once(asks("/api/jobs")));
    }
    // Its time is over by itself.
    while (host.router.answer_at_once(asks("/api/health"))) std::this_thread::yield();
    const int port = host.start();
    Client client(port);
    for (int i = 0; i < 200; ++i) REQUIRE(client.get("/api/health")->status == 200);
    // Many at once on one connection are answered in order, each once.
    std::string many;
    for (int i = 0; i < 300; ++i) many += "GET /api/health HTTP/1.1\r\nHost: localhost\r\n\r\n";
    client.send(many);
    for (int i = 0; i < 300; ++i) REQUIRE(client.read_reply()->status == 200);
}

// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "http_fixture.hpp"

#include <atomic>
#include <condition_variable>
#include <fstream>
#include <set>
#include <thread>

#include "support/mostly.hpp"
#include "unit/api/api_fixture.hpp"

// A store that has stopped to answer, without refusing anybody: whoever has to wait for it is told so in time.

using namespace http_test;

namespace {

/// Freezes the verbs that a test names until it thaws them.
struct Frozen {
    Frozen() {
        store.before = [this](std::string_view verb) -> std::optional<Error> {
            std::unique_lock lock(mutex);
            ++asked;
            // A bound, so that a failed check ends the test.
            changed.wait_for(lock, patience, [&] { return !all && !verbs.contains(verb); });
            return std::nullopt;
        };
    }
    ~Frozen() { thaw(); }
    void freeze(std::set<std::string, std::less<>> these) {
        const std::lock_guard lock(mutex);
        verbs = std::move(these);
    }
    void freeze_all() {
        const std::lock_guard lock(mutex);
        all = true;
    }
    void thaw() {
        {
            const std::lock_guard lock(mutex);
            verbs.clear();
            all = false;
        }
        changed.notify_all();
    }
    int calls() {
        const std::lock_guard lock(mutex);
        return asked;
    }

    api_test::ShakyStore store{memory::open({"test", "api"})};
    std::mutex mutex;
    std::condition_variable changed;
    std::set<std::string, std::less<>> verbs;  // Guarded by mutex, as are the next two.
    bool all = false;
    int asked = 0;
};

constexpr auto answer_time = 600ms;

http::Options impatient() {
    http::Options options;
    options.answer_patience = answer_time;
    options.stream_poll = 60s;  // The hub asks the same store.
    return options;
}

boost::json::object json_of(const Reply& reply) { return boost::json::parse(reply.body).as_object(); }

std::string id_of(const Reply& reply) { return api_test::text(json_of(reply).at("job").at("id")); }

std::string request(const std::string& method, const std::string& target, const std::string& body = "",
                    const std::string& more = "") {
    return method + " " + target + " HTTP/1.1\r\nHost: localhost\r\n" + more +
           (body.empty() ? "" : "Content-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n") + "\r\n" +
           body;
}

void check_refused(const std::optional<Reply>& reply, bool unsure) {
    REQUIRE(reply);
    INFO(reply->body);
    CHECK(reply->status == 503);
    const auto body = json_of(*reply);
    CHECK(body.at("code") == "STORE_UNAVAILABLE");
    CHECK(reply->headers.contains("retry-after"));
    CHECK(api_test::text(body.at("error")).starts_with("The store does not answer"));
    CHECK(body.contains("outcome") == unsure);
    if (unsure) CHECK(body.at("outcome") == "unknown");
}

int threads_now() {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);)
        if (line.starts_with("Threads:")) return std::stoi(line.substr(8));
    return 0;
}

}  // namespace

TEST_CASE("whoever waits for a store that hangs is told so in time, whatever was asked, and a change that nobody knows its fate") {
    struct Row {
        std::string method, target, body;
        const char* verb;
    };
    const std::vector<Row> rows{
        {"GET", "/api/jobs", "", "list"},
        {"GET", "/api/jobs/counts", "", "count"},
        {"GET", "/api/jobs/ID", "", "get"},
        {"GET", "/api/telemetry", "", "events"},
        {"GET", "/api/stats", "", "events"},
        {"GET", "/api/queues", "", "count"},
        {"POST", "/api/jobs", R"({"kind":"demo.echo"})", "insert"},
        {"POST", "/api/jobs/ID/cancel", "{}", "change"},
        {"POST", "/api/jobs/ID/retry", "{}", "change"},
        {"DELETE", "/api/jobs/ID", "", "change"},
        {"POST", "/api/jobs/bulk", R"({"action":"cancel","ids":["ID"]})", "change"},
        {"POST", "/api/queues/default/pause", "{}", "put"},
        {"POST", "/api/worker/beat", R"({"kinds":["demo.echo"]})", "beat"},
    };
    for (auto row : rows) {
        CAPTURE(row.method + " " + row.target);
        Frozen frozen;
        Host host(impatient(), &frozen.store);
        Client client(host.start());
        const auto id = id_of(*client.ask(request("POST", "/api/jobs", R"({"kind":"demo.echo"})")));
        for (auto* text : {&row.target, &row.body})
            if (const auto at = text->find("ID"); at != std::string::npos) text->replace(at, 2, id);
        frozen.freeze({row.verb});
        const auto asks = request(row.method, row.target, row.body);
        const auto begun = std::chrono::steady_clock::now();
        check_refused(client.ask(asks), row.method != "GET");
        // Not earlier than it must, and the connection is good for more.
        CHECK(std::chrono::steady_clock::now() - begun >= answer_time);
        frozen.thaw();
        auto again = client.ask(asks);
        for (int tries = 0; again && again->status == 503 && tries < 20; ++tries) again = client.ask(asks);
        REQUIRE(again);
        CHECK(again->status != 503);
    }
}

TEST_CASE("what the store is asked while nobody looks is given up no sooner for it, as if the process had been frozen") {
    Frozen frozen;
    Hold hold;
    auto options = impatient();
    options.answer_patience = 2s;
    options.head_timeout = 4s;
    Host host(options, &frozen.store, hold.options());
    const int port = host.start();
    const std::string as = "Authorization: Bearer any\r\n";
    frozen.freeze({"insert"});
    const int before = frozen.calls();
    Client client(port);
    client.send(request("POST", "/api/jobs", R"({"kind":"demo.echo"})", as));
    while (frozen.calls() == before) std::this_thread::yield();
    Client holder(port);  // Has the thread that looks wait until finish().
    holder.send("POST /api/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
                "Authorization: Bearer hold\r\n\r\n");
    hold.inside.wait(false);
    std::this_thread::sleep_for(options.answer_patience + 500ms);
    hold.finish();
    CHECK(Client(port).get("/api/health")->status == 200);  // It has looked again.
    frozen.thaw();
    const auto reply = client.read_reply();
    REQUIRE(reply);
    CHECK(reply->status == 201);
}

TEST_CASE("who waits for a store that hangs is told so, however often nobody looks meanwhile") {
    Frozen frozen;
    auto options = impatient();
    options.head_timeout = 400ms;  // Nobody has looked for long after half of this.
    constexpr int rounds = 40;
    ApiOptions api;
    api.authenticate = [](std::string_view token) {
        if (token == "slow") std::this_thread::sleep_for(300ms);
        return Caller{"t", "test", Role::operate};
    };
    Host host(options, &frozen.store, api);
    const int port = host.start();
    frozen.freeze({"insert"});
    const int before = frozen.calls();
    Client client(port);
    client.send(request("POST", "/api/jobs", R"({"kind":"demo.echo"})", "Authorization: Bearer any\r\n"));
    while (frozen.calls() == before) std::this_thread::yield();
    std::atomic<int> held_up = 0;
    std::jthread others([&](std::stop_token stop) {
        for (; held_up < rounds && !stop.stop_requested(); ++held_up) {
            Client slow(port);  // Its body would come after its token was asked about, by the thread that looks.
            slow.send("POST /api/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
                      "Authorization: Bearer slow\r\nExpect: 100-continue\r\n\r\n");
            (void)slow.read_to("\r\n\r\n");
        }
    });
    check_refused(client.read_reply(), true);
    CHECK(held_up > 1);
    CHECK(held_up < rounds);
    frozen.thaw();
}

TEST_CASE("what the hanging change was is done when the store goes on, once, and a job's key makes its repeat harmless") {
    Frozen frozen;
    Host host(impatient(), &frozen.store);
    Client client(host.start());
    const auto body = R"({"kind":"demo.echo"})";
    const auto keyed = request("POST", "/api/jobs", body, "Idempotency-Key: k1\r\n");
    frozen.freeze({"insert"});
    const auto reply = client.ask(keyed);
    check_refused(reply, true);
    CHECK(reply->body.find("with the same Idempotency-Key") != std::string::npos);
    const auto keyless = client.ask(request("POST", "/api/jobs", body));
    check_refused(keyless, true);
    CHECK(keyless->body.find("look for it before") != std::string::npos);
    frozen.thaw();
    const auto jobs = [&]() -> std::size_t {
        const auto list = client.get("/api/jobs");
        return list->status == 200 ? json_of(*list).at("jobs").as_array().size() : 0;
    };
    while (jobs() < 2) std::this_thread::yield();
    CHECK(client.ask(keyed)->status == 201);
    CHECK(jobs() == 2);
}

TEST_CASE("a store that hangs altogether takes no more threads once that is known, and what needs no store is answered") {
    Frozen frozen;
    auto options = impatient();
    options.threads = 2;
    Host host(options, &frozen.store);
    const int port = host.start();
    Client client(port);
    REQUIRE(client.get("/api/jobs")->status == 200);
    const int before = threads_now();
    frozen.freeze_all();
    // More than there are threads: those behind are refused as well, and have surely not been begun.
    std::vector<std::unique_ptr<Client>> many;
    for (int i = 0; i < 5; ++i) {
        many.push_back(std::make_unique<Client>(port));
        many.back()->send(request("GET", "/api/jobs"));
    }
    for (auto& one : many) check_refused(one->read_reply(), false);
    // The router's own question hangs, too, which it knows after a second.
    while (!host.router.answer_at_once([] {
        Request asks;
        asks.target = "/api/jobs";
        asks.headers = {{"host", "localhost"}};
        return asks;
    }())) std::this_thread::sleep_for(10ms);
    const int calls = frozen.calls();
    for (const auto* target : {"/api/jobs", "/api/stats", "/metrics", "/api/workers"}) {
        CAPTURE(target);
        CHECK(tests::mostly_within(answer_time - 50ms, [&] {
            const auto begun = std::chrono::steady_clock::now();
            check_refused(client.get(target), false);
            return std::chrono::steady_clock::now() - begun;
        }));
    }
    for (const auto* target : {"/api/jobs", "/api/jobs/bulk", "/api/queues/default/pause"}) {
        CAPTURE(target);
        check_refused(client.ask(request("POST", target, "{}")), false);
    }
    CHECK(client.get("/api/health")->status == 503);
    CHECK(client.get("/openapi.json")->status == 200);
    CHECK(client.get("/nowhere")->status == 404);
    CHECK(frozen.calls() == calls);
    CHECK(threads_now() <= before + 6);  // One for each that was begun, and the router's own.
    frozen.thaw();
    while (client.get("/api/jobs")->status != 200) std::this_thread::sleep_for(10ms);
    CHECK(client.ask(request("POST", "/api/jobs", R"({"kind":"demo.echo"})"))->status == 201);
}

TEST_CASE("a request that is slow for a reason of its own, and needs no store, is waited for") {
    Frozen frozen;
    Host host(impatient(), &frozen.store);
    std::atomic<bool> go{false};
    Route slow{"GET", "/slow", Role::read, "Slow.", {}, [&](const Request&, const RouteMatch&) {
                   go.wait(false);
                   return Response::json(200, {{"slow", true}});
               }};
    slow.storeless = true;
    host.router.add(std::move(slow));
    const int port = host.start();
    Client client(port), other(port);
    client.send(request("GET", "/slow"));
    frozen.freeze({"list"});
    check_refused(other.get("/api/jobs"), false);  // Came later, and is refused before.
    go = true;
    go.notify_all();
    CHECK(client.read_reply()->body == R"({"slow":true})");
    frozen.thaw();
}

// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// The API for servers that give each request a thread, without a server.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include <doctest/doctest.h>

#include <jobruntime/blocking_api.hpp>
#include <jobruntime/job_queue.hpp>
#include <jobruntime/memory.hpp>

using namespace jobruntime;
using namespace std::chrono_literals;

namespace {

/// Nothing here waits for longer than this; a healthy run never gets near it.
constexpr auto patience = 60s;

struct Site {
    explicit Site(BlockingOptions options = {}, ApiOptions api_options = {})
        : router(queue, std::move(api_options)), api(router, *store, options) {}

    static Request get(const std::string& target) {
        Request request;
        request.target = target;
        request.headers = {{"host", "localhost"}};
        return request;
    }
    std::shared_ptr<EventFeed> stream(const std::string& last = "", const std::string& query = "") {
        auto request = get("/api/telemetry/stream" + query);
        if (!last.empty()) request.headers.emplace_back("last-event-id", last);
        auto answer = api.handle(request);
        REQUIRE(answer.response.status == 200);
        return answer.stream;
    }
    std::string add() {
        const auto made = queue.enqueue("demo.echo", {});
        REQUIRE(made);
        return made->id.str();
    }
    void write(int count, std::size_t padding = 0) {
        for (int n = 0; n < count; ++n) {
            Note note;
            Event event;
            event.name = "test.thing.happened";
            event.at = system_clock().wall();
            event.fields = {{"n", n}, {"padding", std::string(padding, 'x')}};
            note.events.push_back(std::move(event));
            REQUIRE(store->note({&note, 1}, system_clock().wall()));
        }
    }

    std::unique_ptr<Store> store = memory::open({"test", "api"});
    JobQueue queue{*store};
    ApiRouter router;
    BlockingApi api;
};

/// What comes until `end` is in it.
std::string read_to(EventFeed& feed, const std::string& end) {
    std::string text;
    const auto until = std::chrono::steady_clock::now() + patience;
    while (text.find(end) == std::string::npos && !feed.ended()) {
        REQUIRE_MESSAGE(std::chrono::steady_clock::now() < until, "not within a minute: " << end << " in " << text.substr(0, 1'000));
        text += feed.next();
    }
    return text;
}

int count(const std::string& text, const std::string& what) {
    int found = 0;
    for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++found;
    return found;
}

}  // namespace

TEST_CASE("a feed tells what was, what happens from its beginning on, and goes on after an id") {
    Site site;
    site.write(3);
    const auto feed = site.stream();
    site.write(1);  // After the answer, before anybody reads.
    CHECK(count(read_to(*feed, "\"n\":2"), "event: telemetry\n") == 3);
    const auto more = read_to(*feed, "\"n\":0");
    CHECK(count(more, "event: telemetry\n") == 1);
    const auto last = more.substr(4, more.find('\n') - 4);
    CHECK(feed->next().empty());  // After the poll's time.

    site.write(2);
    const auto resumed = site.stream(last);
    const auto text = read_to(*resumed, "\"n\":1");
    CHECK(count(text, "event: telemetry\n") == 2);
    const auto fresh = site.stream("1000000");
    CHECK(fresh->next().find("event: truncated") == 0);
}

TEST_CASE("a feed comes in pages, whatever waits for it") {
    Site site;
    const auto feed = site.stream();
    site.write(100, 4'000);
    std::size_t most = 0;
    int events = 0;
    const auto until = std::chrono::steady_clock::now() + patience;
    while (events < 100 && std::chrono::steady_clock::now() < until) {
        const auto text = feed->next();
        most = std::max(most, text.size());
        events += count(text, "event: telemetry\n");
    }
    CHECK(events == 100);
    CHECK(most < (70 << 10));
}

TEST_CASE("a feed has heartbeats with the place to resume from, and ends with the token") {
    std::atomic<bool> good{true};
    ApiOptions options;
    options.authenticate = [&](std::string_view) { return good ? std::optional<Caller>(Caller{"t", "test", Role::admin}) : std::nullopt; };
    Site site({.heartbeat = Duration{20}}, options);
    auto request = Site::get("/api/telemetry/stream");
    CHECK(site.api.handle([&] { good = false; return request; }()).response.status == 401);
    good = true;
    request.headers.emplace_back("authorization", "Bearer good");
    const auto feed = site.api.handle(request).stream;
    REQUIRE(feed);
    CHECK(read_to(*feed, "event: heartbeat\n").find("id: ") != std::string::npos);
    CHECK_FALSE(feed->ended());
    good = false;
    CHECK(read_to(*feed, "event: revoked\n").find("event: revoked") != std::string::npos);
    CHECK(feed->ended());
    CHECK(feed->next().empty());
}

TEST_CASE("streams have places, which come back, and say goodbye") {
    Site site({.waiting = 2});
    auto first = site.stream();
    const auto second = site.stream();
    CHECK_FALSE(site.api.handle(Site::get("/api/telemetry/stream")).stream);
    const auto refused = site.api.handle(Site::get("/api/telemetry/stream")).response;
    CHECK(refused.status == 503);
    CHECK(std::get<std::string>(refused.body).find("TOO_MANY_STREAMS") != std::string::npos);
    bool says_when = false;
    for (const auto& [name, value] : refused.headers) says_when = says_when || (name == "retry-after" && value == "5");
    CHECK(says_when);
    auto head = Site::get("/api/telemetry/stream");
    head.method = "HEAD";
    CHECK(site.api.handle(head).response.status == 200);  // Takes none.
    first.reset();
    first = site.stream();

    auto waiting = std::async(std::launch::async, [&] { return read_to(*second, "event: shutdown\n"); });
    std::this_thread::sleep_for(20ms);
    site.api.stop();
    CHECK(waiting.get().find("event: shutdown\n") != std::string::npos);
    CHECK(second->ended());
    CHECK(std::get<std::string>(site.api.handle(Site::get("/api/telemetry/stream")).response.body).find("STOPPING") != std::string::npos);
}

TEST_CASE("a request waits for its answer while there is a place, and no longer than until the end") {
    Site site({.waiting = 1});
    const auto id = site.add();
    const auto ask = [&](const std::string& wait) { return site.api.handle(Site::get("/api/jobs/" + id + "?wait=" + wait)).response; };
    CHECK(ask("30ms").status == 200);
    // Longer than the patience of this test: what is not told is not found out in the end, either.
    auto waiting = std::async(std::launch::async, [&] { return ask("60s"); });
    std::this_thread::sleep_for(50ms);
    {
        const auto begun = std::chrono::steady_clock::now();
        CHECK(ask("60s").status == 200);  // Without a place, by what is so now.
        CHECK(std::chrono::steady_clock::now() - begun < patience / 2);
    }
    CHECK(waiting.wait_for(0s) == std::future_status::timeout);
    REQUIRE(site.queue.cancel(*JobId::parse(id)));
    CHECK(std::get<std::string>(waiting.get().body).find("canceled") != std::string::npos);

    const auto other = site.add();
    auto last = std::async(std::launch::async, [&] { return site.api.handle(Site::get("/api/jobs/" + other + "?wait=60s")).response; });
    std::this_thread::sleep_for(50ms);
    site.api.stop();
    CHECK(last.get().status == 200);
}

TEST_CASE("a stop waits for what is being sent, for so long") {
    Site site;
    auto answer = std::make_unique<BlockingApi::Answer>(site.api.handle(Site::get("/api/health")));
    const auto begun = std::chrono::steady_clock::now();
    site.api.stop(Duration{30});
    CHECK(std::chrono::steady_clock::now() - begun >= 30ms);
    auto stopping = std::async(std::launch::async, [&] { site.api.stop(patience); });
    CHECK(stopping.wait_for(30ms) == std::future_status::timeout);
    answer.reset();
    stopping.get();
    CHECK(std::chrono::steady_clock::now() - begun < patience / 2);
    CHECK(site.api.handle(Site::get("/api/health")).response.status == 200);
}

TEST_CASE("a head that somebody else has parsed is refused for what can still be seen") {
    Site site({.max_head = 1'000, .max_body = 100});
    struct Row {
        std::string name;
        std::vector<std::pair<std::string, std::string>> headers;
        int status;
    };
    const std::pair<std::string, std::string> host{"host", "localhost"}, json{"content-type", "application/json"};
    const std::vector<Row> rows{
        {"in order", {host, json, {"content-length", "100"}}, 0},
        {"chunked", {host, json, {"transfer-encoding", "Chunked"}}, 0},
        {"no body needs no type", {host, {"content-length", "0"}}, 0},
        {"no Host", {json}, 400},
        {"a bad Host", {{"host", "a b"}}, 400},
        {"two Hosts", {host, host}, 400},
        {"two lengths", {host, json, {"content-length", "5"}, {"content-length", "5"}}, 400},
        {"both lengths", {host, json, {"content-length", "5"}, {"transfer-encoding", "chunked"}}, 400},
        {"no number", {host, json, {"content-length", "-5"}}, 400},
        {"no number either", {host, json, {"content-length", "+5"}}, 400},
        {"another coding", {host, json, {"transfer-encoding", "gzip, chunked"}}, 501},
        {"a line in a value", {host, {"x-trace-id", "a\r\nx: y"}}, 400},
        {"NUL", {host, {"x-a", std::string("a\0b", 3)}}, 400},
        {"a name with a blank", {host, {"content-length ", "5"}}, 400},
        {"a folded name", {host, {" x", "y"}}, 400},
        {"large", {host, {"x-a", std::string(1'000, 'x')}}, 431},
        {"another expectation", {host, {"expect", "wonders"}}, 417},
        {"a long body", {host, json, {"content-length", "101"}}, 413},
        {"a longer body", {host, json, {"content-length", "99999999999999999999999999"}}, 413},
        {"a body that is no JSON", {host, {"content-type", "text/plain"}, {"content-length", "5"}}, 415},
        {"a foreign Host", {{"host", "evil.example"}, json, {"content-length", "5"}}, 421},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        auto request = Site::get("/api/jobs");
        request.method = "POST";
        request.headers = row.headers;
        const auto refused = site.api.refuse_head(request);
        CHECK((refused ? refused->status : 0) == row.status);
    }
    auto many = Site::get("/");
    for (int i = 0; i < 100; ++i) many.headers.emplace_back("a", "");
    CHECK(site.api.refuse_head(many)->status == 431);
    auto target = Site::get("/a\nb");
    CHECK(site.api.refuse_head(target)->status == 400);
}

// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <fcntl.h>

#include <doctest/doctest.h>

#include "e2e/support.hpp"

// A store that does not answer, as operators see it; and what a stream says when nothing happens.
namespace jobruntime::e2e {
namespace {

using Clock = std::chrono::steady_clock;

/// Holds locks of SQLite's write-ahead log from outside, which is how a database looks whose holder hangs.
/// https://sqlite.org/walformat.html: byte 120 of the -shm file is the writer's, 123 to 127 are the readers'.
class HeldStore {
public:
    HeldStore(const std::string& database, bool readers_too)
        : fd_(::open((database + "-shm").c_str(), O_RDWR | O_CLOEXEC)) {
        struct flock lock {};
        lock.l_type = F_WRLCK;
        lock.l_whence = SEEK_SET;
        lock.l_start = 120;
        lock.l_len = readers_too ? 8 : 1;
        held_ = fd_ >= 0 && ::fcntl(fd_, F_SETLKW, &lock) == 0;
    }
    ~HeldStore() { ::close(fd_); }
    HeldStore(const HeldStore&) = delete;
    HeldStore& operator=(const HeldStore&) = delete;
    bool held() const { return held_; }

private:
    int fd_;
    bool held_ = false;
};

struct Timed {
    Answer answer;
    Millis took{};
};
Timed timed(int port, std::string_view method, std::string_view path, std::string_view body = {}) {
    const auto begin = Clock::now();
    auto answer = http(port, method, path, body);
    return {std::move(answer), std::chrono::duration_cast<Millis>(Clock::now() - begin)};
}

TEST_CASE(
    "a store that does not answer: health says 503 within two seconds, and all is well when it is back") {
    bool split = false;
    SUBCASE("combined") { split = false; }
    SUBCASE("split") { split = true; }
    CAPTURE(split);
    const Folder folder;
    Runtime runtime(folder, split);
    const auto before = runtime.submit({{"kind", "demo.echo"}});
    REQUIRE(text(runtime.wait(before, "completed", 10s), "status") == "completed");
    {
        const HeldStore held(folder / "jobs.db", true);
        REQUIRE(held.held());
        for (const auto* path : {"/api/health", "/api/worker/health"}) {
            CAPTURE(path);
            Timed down;
            // An answer of the last 50 ms still counts.
            CHECK(eventually(1s, [&] {
                down = timed(runtime.port(), "GET", path);
                return down.answer.status != 200;
            }));
            INFO(down.answer.body);
            CHECK(down.answer.status == 503);
            CHECK(down.answer.json().at("ok") == false);
            CHECK(text(down.answer.json(), "status") == "unavailable");
            CHECK(down.took < 2'100ms);
        }
        const auto refused = timed(runtime.port(), "POST", "/api/jobs", R"({"kind":"demo.echo"})");
        INFO(refused.answer.body);
        CHECK(refused.answer.status == 503);
        CHECK(text(refused.answer.json(), "code") == "STORE_UNAVAILABLE");
        CHECK(refused.took < 2'100ms);
    }
    CHECK(eventually(15s, [&] { return http(runtime.port(), "GET", "/api/health").status == 200; }));
    CHECK(eventually(
        15s, [&] { return http(runtime.port(), "GET", "/api/worker/health").json().at("ok") == true; }));
    const auto after = runtime.submit({{"kind", "demo.echo"}});
    CHECK(text(runtime.wait(after, "completed", 15s), "status") == "completed");
}

TEST_CASE(
    "a store that cannot be written: creation is refused quickly by name, nothing is half there, reads go "
    "on") {
    const Folder folder;
    Runtime runtime(folder, true);
    const auto before = runtime.submit({{"kind", "demo.echo"}});
    REQUIRE(text(runtime.wait(before, "completed", 10s), "status") == "completed");
    {
        const HeldStore held(folder / "jobs.db", false);
        REQUIRE(held.held());
        const auto refused = timed(runtime.port(), "POST", "/api/jobs", R"({"kind":"demo.echo"})");
        INFO(refused.answer.body);
        CHECK(refused.answer.status == 503);
        CHECK(text(refused.answer.json(), "code") == "STORE_UNAVAILABLE");
        CHECK(text(refused.answer.json(), "error").find("JOBRT_STORE") != std::string::npos);
        CHECK(refused.answer.headers.contains("retry-after"));
        CHECK(refused.took < 2'100ms);
        CHECK(http(runtime.port(), "GET", "/api/jobs/" + before).status == 200);
    }
    CHECK(eventually(15s, [&] {
        return http(runtime.port(), "POST", "/api/jobs", R"({"kind":"demo.echo"})").status == 201;
    }));
    CHECK(http(runtime.port(), "GET", "/api/jobs").json().at("jobs").get_array().size() == 2);
}

TEST_CASE("a stream on which nothing happens shows a heartbeat every fifteen seconds, with the current id") {
    const Folder folder;
    Runtime runtime(folder, true);
    REQUIRE(eventually(
        5s, [&] { return http(runtime.port(), "GET", "/api/worker/health").json().at("ok") == true; }));
    const Stream stream(runtime.port(), "/api/telemetry/stream");
    const auto begin = Clock::now();
    REQUIRE(eventually(20s, [&] { return stream.text().find("event: heartbeat") != std::string::npos; }));
    CHECK(Clock::now() - begin > 10s);
    const auto all = stream.text();
    const auto at = all.find("event: heartbeat");
    const auto block_begin = all.rfind("\n\n", at) + 2;
    REQUIRE(eventually(1s, [&] { return stream.text().find("\n\n", at) != std::string::npos; }));
    const auto block = stream.text().substr(block_begin, stream.text().find("\n\n", at) - block_begin);
    INFO(block);
    CHECK(block.find("data: {\"ts\":\"20") != std::string::npos);
    const auto newest = http(runtime.port(), "GET", "/api/telemetry?limit=1").json().at("events").get_array();
    REQUIRE(newest.size() == 1);
    CHECK(
        block.find("id: " + std::to_string(newest.front().get_object().at("id").to_number<std::int64_t>())) !=
        std::string::npos);
}

}  // namespace
}  // namespace jobruntime::e2e

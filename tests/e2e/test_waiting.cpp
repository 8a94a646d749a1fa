// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <future>

#include <doctest/doctest.h>

#include <jobruntime/clock.hpp>

#include "e2e/support.hpp"

// GET /api/jobs/:id?wait=… of an API whose jobs a worker in another process ends.
namespace jobruntime::e2e {
namespace {

/// In the background; the client of these tests gives up after ten seconds.
std::future<Answer> ask(int port, const std::string& id, const std::string& wait, const HeaderList& headers = {}) {
    return std::async(std::launch::async, [=] { return http(port, "GET", "/api/jobs/" + id + "?wait=" + wait, {}, headers); });
}

boost::json::object job_of(const Answer& answer) {
    const auto object = answer.json();
    const auto* job = object.if_contains("job");
    return job ? job->get_object() : boost::json::object();
}

TEST_CASE("who waits at an API hears of a job's end in a worker of its own, and of its progress by the tag") {
    const Folder folder;
    Runtime runtime(folder, true);
    const int port = runtime.port();
    const auto id = runtime.submit({{"kind", "demo.sleep"}, {"payload", {{"ms", 1500}, {"steps", 3}}}});
    runtime.wait(id, "running");
    auto ended = ask(port, id, "9s");
    const auto first = http(port, "GET", "/api/jobs/" + id);
    REQUIRE(first.status == 200);
    const auto changed = ask(port, id, "9s", {{"If-None-Match", first.headers.at("etag")}}).get();
    CHECK(changed.status == 200);
    CHECK(changed.body != first.body);
    auto answer = ended.get();
    const auto at = std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
    const auto job = job_of(answer);
    CHECK(answer.status == 200);
    REQUIRE(text(job, "status") == "completed");
    const auto finished = parse_iso(text(job, "finishedAt"));
    REQUIRE(finished);
    MESSAGE("heard of the end after " << (at - *finished).count() << " ms");
    CHECK(at - *finished < 5s);
    // As it is now, and nothing new about it.
    answer = http(port, "GET", "/api/jobs/" + id + "?wait=9s");
    CHECK(text(job_of(answer), "status") == "completed");
    CHECK(ask(port, id, "300ms", {{"If-None-Match", answer.headers.at("etag")}}).get().status == 304);
}

TEST_CASE("an API that is asked to stop tells those who wait, and ends") {
    const Folder folder;
    Runtime runtime(folder, true);
    const auto id = runtime.submit({{"kind", "demo.echo"}, {"delayMs", 3'600'000}});
    auto waits = ask(runtime.port(), id, "9s");
    // That it has come is seen nowhere but here.
    CHECK(waits.wait_for(500ms) == std::future_status::timeout);
    const auto begun = std::chrono::steady_clock::now();
    const auto ended = runtime.front().program().stop();
    CHECK(ended.has_value());
    const auto answer = waits.get();
    CHECK(answer.status == 200);
    CHECK(text(job_of(answer), "status") == "scheduled");
    CHECK(std::chrono::steady_clock::now() - begun < 8s);
}

}  // namespace
}  // namespace jobruntime::e2e

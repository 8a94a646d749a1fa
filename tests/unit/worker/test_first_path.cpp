// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include <jobruntime/job_queue.hpp>
#include <jobruntime/memory.hpp>
#include <jobruntime/worker.hpp>

using namespace jobruntime;
using namespace std::chrono_literals;

TEST_CASE("an enqueued job is run and completed, by hand and by a started worker") {
    auto store = memory::open();
    JobQueue queue(*store);
    Worker worker(*store);
    worker.on("echo", [](JobContext& job) { return completed(job.job().payload); });
    SUBCASE("by hand") {
        const auto job = queue.enqueue("echo", {{"text", "hello"}});
        REQUIRE(job);
        const auto ran = worker.run_one();
        REQUIRE_MESSAGE(ran, ran.error().message);
        CHECK(*ran);
        const auto done = queue.get(job->id);
        REQUIRE((done && *done));
        CHECK((*done)->state == JobState::completed);
        CHECK((*done)->result.at("text") == "hello");
        CHECK_FALSE(worker.run_one().value());
    }
    SUBCASE("by its threads") {
        REQUIRE(worker.start());
        const auto job = queue.enqueue("echo", {{"text", "hello"}});
        REQUIRE(job);
        const auto done = queue.wait(job->id, 10s);
        REQUIRE_MESSAGE(done, done.error().message);
        CHECK(done->state == JobState::completed);
        worker.stop();
        CHECK(worker.stats().completed == 1);
    }
}

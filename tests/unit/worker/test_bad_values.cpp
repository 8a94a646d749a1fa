// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// Values that JSON cannot hold, from those who enqueue and from handlers: each is refused by itself, and what is said
// for people is mended.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include <jobruntime/job_queue.hpp>
#include <jobruntime/memory.hpp>
#include <jobruntime/testing/harness.hpp>

using namespace jobruntime;
using testing::Harness;

namespace {

constexpr const char* coffee = "caf\xe9";
constexpr const char* mended = "caf\xef\xbf\xbd";

boost::json::value nested(int depth) {
    boost::json::value value = 1;
    for (int i = 0; i < depth; ++i) {
        boost::json::array outer;
        outer.push_back(std::move(value));
        value = std::move(outer);
    }
    return value;
}

std::vector<boost::json::value> bad_values() {
    return {boost::json::value(coffee), boost::json::value(std::nan("")),
            boost::json::value(std::numeric_limits<double>::infinity()), nested(33)};
}

}  // namespace

TEST_CASE("a payload that JSON cannot hold is refused by name, and its neighbours are enqueued") {
    auto store = memory::open();
    JobQueue queue(*store);
    for (const auto& value : bad_values()) {
        const std::vector<JobSpec> specs{{"k", {{"a", 1}}, {}}, {"k", {{"deep", value}}, {}}, {"k", {{"b", 2}}, {}}};
        const auto made = queue.enqueue_many(specs);
        REQUIRE(made);
        CHECK((*made)[0]);
        CHECK((*made)[2]);
        REQUIRE_FALSE((*made)[1]);
        CHECK((*made)[1].error().code == Errc::invalid_argument);
        CHECK((*made)[1].error().name == "INVALID_PAYLOAD");
        CHECK((*made)[1].error().message.find("deep") != std::string::npos);
    }
    const auto name = queue.enqueue("k", {{"\xff", 1}});
    CHECK(name.error().name == "INVALID_PAYLOAD");
    CHECK(queue.enqueue("k", {{"deep", nested(31)}}));
    CHECK_FALSE(queue.enqueue("k", {{"deep", nested(32)}}));
}

TEST_CASE("keys, tags and trace ids are UTF-8") {
    auto store = memory::open();
    JobQueue queue(*store);
    const EnqueueOptions rows[] = {{.unique = coffee}, {.idempotency_key = coffee}, {.idempotency_hash = coffee},
                                   {.trace_id = coffee}, {.tags = {"fine", coffee}}};
    for (const auto& options : rows) {
        const auto made = queue.enqueue("k", {}, options);
        REQUIRE_FALSE(made);
        CHECK(made.error().name == "INVALID_ARGUMENT");
    }
    CHECK(queue.enqueue("k", {}, {.unique = "café", .tags = {"日本"}}));
}

TEST_CASE("a result that JSON cannot hold fails the job with INVALID_RESULT") {
    for (const auto& value : bad_values()) {
        Harness jobs;
        jobs.on("k", [&](JobContext&) { return completed({{"out", value}}); });
        const auto id = jobs.enqueue("k");
        CHECK(jobs.run_one());
        const auto job = jobs.job(id);
        CHECK(job.state == JobState::failed);
        REQUIRE(job.errors.size() == 1);
        CHECK(job.errors[0].code == "INVALID_RESULT");
        CHECK(job.errors[0].message.find("out") != std::string::npos);
    }
}

TEST_CASE("a step whose value or name JSON cannot hold is an error of the step") {
    for (const auto& value : bad_values()) {
        Harness jobs;
        jobs.on("k", [&](JobContext& job) -> Outcome {
            const auto made = job.step("s", [&]() -> Result<boost::json::value> { return value; });
            CHECK_FALSE(made);
            CHECK(made.error().name == "INVALID_RESULT");
            CHECK(job.step(coffee, [] { return Result<boost::json::value>(1); }).error().name == "INVALID_ARGUMENT");
            CHECK(job.step("fine", [] { return Result<boost::json::value>(1); }));
            return completed();
        });
        const auto id = jobs.enqueue("k");
        CHECK(jobs.run_one());
        CHECK(jobs.job(id).steps.size() == 1);
    }
}

TEST_CASE("what a handler says for people is mended") {
    Harness jobs;
    jobs.on("k", [](JobContext& job) {
        job.progress(50, coffee, coffee);
        job.log(coffee);
        job.event("own.event", {{"text", coffee}, {coffee, 1}, {"number", std::nan("")}, {"deep", {{"x", coffee}}}, {"n", 7}});
        return failed("BAD", coffee);
    });
    const auto id = jobs.enqueue("k");
    CHECK(jobs.run_one());
    const auto job = jobs.job(id);
    CHECK(job.progress.stage == mended);
    CHECK(job.progress.message == mended);
    REQUIRE(job.errors.size() == 1);
    CHECK(job.errors[0].message == mended);
    CHECK(jobs.sink().find("worker.job.log")->fields.at("line") == mended);
    const auto own = jobs.sink().find("own.event")->fields;
    CHECK(own.at("text") == mended);
    CHECK(own.at(mended) == 1);
    CHECK(own.at("number").is_null());
    CHECK(own.at("deep").as_string().find("caf\xef\xbf\xbd") != std::string::npos);
    CHECK(own.at("n") == 7);
}

// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <mutex>

#include <jobruntime/heartbeat.hpp>
#include <jobruntime/telemetry_sink.hpp>
#include <jobruntime/worker.hpp>

#include "api_fixture.hpp"

using namespace api_test;

namespace {

class ListSink : public TelemetrySink {
public:
    void emit(const Event& event, bool) noexcept override {
        std::lock_guard lock(mutex_);
        names_.push_back(event.name);
    }
    bool has(std::string_view name) {
        std::lock_guard lock(mutex_);
        return std::find(names_.begin(), names_.end(), name) != names_.end();
    }

private:
    std::mutex mutex_;
    std::vector<std::string> names_;
};

}  // namespace

TEST_CASE("queue, worker, heartbeat, sink and router work together over fakes, with no thread, socket or time of their own") {
    StillClock clock;
    ListSink sink;
    const auto store = memory::open({"process-1", "combined"});
    JobQueue queue(*store, {&clock, &sink, 1});
    ApiOptions api_options;
    api_options.clock = &clock;
    api_options.seed = 3;
    ApiRouter router(queue, api_options);
    WorkerOptions worker_options;
    worker_options.clock = &clock;
    worker_options.sink = &sink;
    worker_options.seed = 2;
    worker_options.heartbeat.clock = &clock;
    Worker worker(*store, worker_options);
    int runs = 0;
    worker.on("demo.echo", [&](JobContext& job) -> Outcome {
        job.progress(50, "half");
        if (++runs == 1) return retry("FIRST", "not yet", Duration{10'000});
        return completed(job.job().payload);
    });
    const auto call = [&](std::string method, std::string target, std::string body = {}) {
        Request request{std::move(method), std::move(target), {{"host", "localhost"}, {"content-type", "application/json"}, {"x-trace-id", "t-1"}},
                        std::move(body), "127.0.0.1"};
        return boost::json::parse(std::get<std::string>(router.handle(request).body)).as_object();
    };
    CHECK(call("GET", "/api/worker/health").at("ok") == false);
    const auto created = call("POST", "/api/jobs", R"({"kind":"demo.echo","payload":{"text":"hello"}})");
    const auto path = "/api/jobs/" + std::string(created.at("job").at("id").as_string());
    CHECK(created.at("job").at("waitingFor").is_string());

    REQUIRE(worker.run_one().value());
    CHECK(call("GET", path).at("job").at("status") == "scheduled");
    CHECK(call("GET", path).at("job").at("errorCode") == "FIRST");
    CHECK(call("GET", "/api/worker/health").at("ok") == true);
    CHECK_FALSE(worker.run_one().value());
    clock.advance(Duration{10'000});
    REQUIRE(worker.run_one().value());
    const auto done = call("GET", path).at("job").as_object();
    CHECK(done.at("status") == "completed");
    CHECK(done.at("result").at("text") == "hello");
    CHECK(text(done.at("workerId")) == worker.session().str());

    REQUIRE(worker.heartbeat().run_once());
    CHECK(call("GET", "/api/workers").at("workers").as_array().size() == 1);
    std::string names;
    const auto told = call("GET", "/api/telemetry?traceId=t-1");
    for (const auto& event : told.at("events").as_array())
        if (event.at("event") != "worker.job.progress") names += std::string(event.at("event").as_string()) + " ";
    CHECK(names.find("jobs.create.queued worker.job.claimed worker.job.retry_scheduled ") == 0);
    CHECK(names.ends_with("worker.job.claimed worker.job.completed "));
    CHECK(sink.has("worker.job.completed"));
    worker.stop();
    CHECK(call("GET", "/api/worker/health").at("error") == "Worker stopped");
}

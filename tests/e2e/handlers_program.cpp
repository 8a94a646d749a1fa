// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <thread>

#include <jobruntime/host.hpp>

// A program of a user's own on COMPONENT host, with handlers that no user should write.
int main(int argc, char** argv) {
    using namespace jobruntime;
    using namespace std::chrono_literals;
    host::Setup setup;
    setup.handlers = [](Worker& worker) {
        worker.on("test.block",
                  [](JobContext&) -> Outcome {
                      for (;;) std::this_thread::sleep_for(1h);
                  },
                  {.deadline = 300ms, .backoff = {}, .max_prefetch = 0});
        worker.on("test.abort", [](JobContext&) -> Outcome { std::abort(); }, {.max_prefetch = 0});
        worker.on("test.throw",
                  [](JobContext&) -> Outcome { throw std::runtime_error("the handler's own words"); });
        worker.on("test.late", [](JobContext& job) -> Outcome {
            // Lingers after its stop until the test has seen enough.
            const std::filesystem::path until(job.job().payload.at("until").as_string().c_str());
            while (!job.stop().stop_requested() || !std::filesystem::exists(until))
                std::this_thread::sleep_for(10ms);
            return canceled();
        });
        worker.on("test.good", [](JobContext& job) -> Outcome {
            std::this_thread::sleep_for(100ms);
            return completed(job.job().payload);
        });
    };
    return host::main(argc, argv, std::move(setup));
}

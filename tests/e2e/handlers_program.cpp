// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>

#include <jobruntime/host.hpp>

namespace {

struct Named final : jobruntime::Extractor {
    explicit Named(std::string its_name) : name_(std::move(its_name)) {}
    std::string_view name() const override { return name_; }
    jobruntime::Result<jobruntime::MediaInfo> extract(const jobruntime::ExtractRequest&, std::stop_token) override {
        return jobruntime::Error{jobruntime::Errc::not_found, "VIDEO_UNAVAILABLE", name_ + " was asked"};
    }
    std::string name_;
};

}  // namespace

// A program of a user's own on COMPONENT host, with handlers that no user should write, and extractors of the names
// that TEST_EXTRACTORS lists.
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
    std::istringstream names(std::getenv("TEST_EXTRACTORS") ? std::getenv("TEST_EXTRACTORS") : "");
    for (std::string name; names >> name;) setup.extractors.push_back(std::make_shared<Named>(name));
    return host::main(argc, argv, std::move(setup));
}

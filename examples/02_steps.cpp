// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
//
// A long job in steps: what is done stays done, also when a later step fails or the process dies.
#include <iostream>

#include <boost/json/serialize.hpp>

#include <jobruntime/jobruntime.hpp>

using namespace jobruntime;
using namespace std::chrono_literals;

struct Report { static constexpr auto kind = "report.monthly"; int month = 0; };
BOOST_DESCRIBE_STRUCT(Report, (), (month))

int downloads = 0;

Outcome make_report(const Report& report, JobContext& job) {
    job.progress(0, "download");
    auto rows = job.step("download", [&]() -> Result<boost::json::value> {
        ++downloads;  // Slow and expensive: must not happen twice.
        return boost::json::value(report.month * 1000);
    });
    if (!rows) return retry("DOWNLOAD", rows.error().message);

    job.progress(60, "render", "the slow part is behind us");
    if (job.job().attempt == 1) return retry("RENDERER_BUSY", "no renderer is free", 10ms);

    job.log("rendered " + boost::json::serialize(*rows) + " rows");
    return completed({{"rows", *rows}});
}

int main() {
    auto store = memory::open();
    JobQueue queue(*store);
    Worker worker(*store);
    worker.on<Report>(make_report);
    if (!worker.start()) return 1;
    const auto job = queue.wait(queue.enqueue(Report{.month = 3}).value().id, 30s).value();
    std::cout << "attempts: " << job.attempt << ", downloads: " << downloads
              << ", result: " << boost::json::serialize(job.result) << '\n';
    return job.state == JobState::completed && job.attempt == 2 && downloads == 1 ? 0 : 1;
}

// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// fill_store FILE JOBS: a store with so many jobs as a service has them after a week, for tools/bench-dashboard. They come in by
// Store::restore, the public verb for copies: it writes all that a job's life leaves in the tables but for one thing, the
// job has one event instead of three to five, so that as many events are in the log as it keeps by default.
// Where it matters how jobs lie, they lie badly: the backlog, the rarest kind and the rarest tag are all the oldest.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <random>
#include <string>

#include <jobruntime/sqlite.hpp>

namespace {

using namespace jobruntime;
using namespace std::chrono_literals;

constexpr std::array kinds{"media.download", "mail.send",   "image.resize", "search.index", "report.build", "webhook.call",
                           "invoice.render", "import.rows", "cache.warm",   "audit.copy",   "video.probe",  "backup.verify"};
constexpr std::array queues{"default", "media", "mail", "bulk", "reports", "webhooks", "night", "slow"};
constexpr std::array codes{"NETWORK", "VIDEO_UNAVAILABLE", "AUTH_REQUIRED", "EXTRACTION_TIMEOUT", "BAD_INPUT", "CRASH_LIMIT"};

Time now() {
    return Time{std::chrono::duration_cast<Duration>(std::chrono::system_clock::now().time_since_epoch())};
}

/// Makes the jobs one after the other, always the same ones but for the present time.
class Maker {
public:
    Maker(long jobs) : jobs_(jobs), end_(now()) {}

    Job next() {
        const long n = made_++;
        Job job;
        // Within what is kept by default: a worker beside it prunes nothing.
        job.created_at = end_ - span + Duration{span.count() / jobs_ * n};
        job.id = id_at(job.created_at);
        job.kind = kinds.at(skewed(kinds.size() - 1));
        job.queue = queues.at(skewed(queues.size()));
        job.priority = static_cast<std::int16_t>(below(10) < 8 ? 0 : below(5) - 2);
        job.run_at = job.created_at;
        job.max_attempts = 3;
        job.payload["url"] = "https://example.org/account" + std::to_string(below(5000)) + "/status/" + std::to_string(10'000'000 + n);
        job.payload["format"] = below(2) ? "mp4" : "original";
        job.payload["note"] = "a line of text, as callers hand over, with number " + std::to_string(n);
        job.unique_key = "web:" + std::to_string(n);
        label(job, n);
        live(job, n);
        return job;
    }

private:
    static constexpr Duration span = 6 * 24h;

    long below(long limit) { return static_cast<long>(random_() % static_cast<unsigned long>(limit)); }
    /// The first are common and the last are rare.
    std::size_t skewed(std::size_t limit) {
        return static_cast<std::size_t>(std::min(below(static_cast<long>(limit)), below(static_cast<long>(limit))));
    }

    JobId id_at(Time at) {
        JobId id;
        auto ms = static_cast<std::uint64_t>(at.time_since_epoch().count());
        for (int i = 5; i >= 0; --i, ms >>= 8) id.bytes.at(static_cast<std::size_t>(i)) = static_cast<std::uint8_t>(ms);
        for (std::size_t i = 6; i < 16; ++i) id.bytes.at(i) = static_cast<std::uint8_t>(random_());
        id.bytes[6] = static_cast<std::uint8_t>(0x70 | (id.bytes[6] & 15));
        id.bytes[8] = static_cast<std::uint8_t>(0x80 | (id.bytes[8] & 63));
        return id;
    }

    void label(Job& job, long n) {
        if (below(10) < 4) job.tags.push_back("import");
        if (below(10) == 0) job.tags.push_back("nightly");
        if (below(2) == 0) job.tags.push_back("customer-" + std::to_string(below(20'000)));
        if (n < jobs_ / 100 && n % 500 == 0) job.tags.push_back("rare");
        if (n < jobs_ / 100 && n % 100 == 50) job.kind = kinds.back();
        if (below(2) == 0) job.trace_id = "request-" + std::to_string(n / 10);
        if (below(200) == 0) job.trace_id = "the-large-one";
    }

    /// What became of it.
    void live(Job& job, long n) {
        const long dice = below(1000);
        // What waits in a queue that nobody serves waits from the beginning.
        if (n < jobs_ / 5 && dice < 200) {
            job.state = JobState::queued;
            job.queue = "reports";
            return;
        }
        if (dice >= 200 && dice < 225) {
            job.state = JobState::scheduled;
            job.run_at = end_ + Duration{60'000 + below(20 * 24 * 3600) * 1000};
            return;
        }
        job.attempt = 1 + static_cast<int>(below(10) == 0);
        job.started_at = job.created_at + Duration{below(5000)};
        job.finished_at = *job.started_at + Duration{20 + below(60'000)};
        if (dice < 270) {
            job.state = JobState::failed;
            job.attempt = 3;
            job.errors.push_back({*job.finished_at, 3, codes.at(skewed(codes.size())), "the server said no, and will again"});
        } else if (dice < 290) {
            job.state = JobState::canceled;
        } else {
            job.state = JobState::completed;
            job.result = {{"bytes", below(90'000'000)}, {"sha256", std::string(64, 'a')}, {"output", "downloads/file.mp4"}};
        }
    }

    long jobs_;
    long made_ = 0;
    Time end_;
    std::mt19937_64 random_{7};
};

}  // namespace

int main(int argc, char** argv) {
    const long jobs = argc == 3 ? std::atol(argv[2]) : 0;
    if (jobs < 1) {
        std::cerr << "fill_store FILE JOBS\n";
        return 2;
    }
    // It is made once and thrown away: nobody waits for its disk.
    auto store = sqlite::open(argv[1], {.durability = sqlite::Durability::process_crash});
    if (!store) {
        std::cerr << store.error().message << '\n';
        return 1;
    }
    Maker maker(jobs);
    for (long done = 0; done < jobs;) {
        std::vector<Job> batch;
        for (; batch.size() < 1000 && done < jobs; ++done) batch.push_back(maker.next());
        const auto answers = (*store)->restore(batch, now());
        const auto refused = [](const InsertAnswer& answer) { return answer.refused.has_value(); };
        if (!answers || std::ranges::any_of(*answers, refused)) {
            std::cerr << "not stored: " << (answers ? "one was refused" : answers.error().message) << '\n';
            return 1;
        }
    }
}

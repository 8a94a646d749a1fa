// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
//
// A process for the proofs to kill and freeze:
//   proof_actor enqueue --db STORE --journal FILE [--pause-us N] [--unique N] [--seed N] [--limit N]
//   proof_actor work    --db STORE --journal FILE [--workers N] [--concurrency N] [--run-us N] [--lease-ms N] …
//   proof_actor tail    --db STORE --journal FILE [--poll-ms N]
// STORE is a file, sqlite:FILE or mongodb://…
#include "proof/actor.hpp"

#include <cstdio>
#include <cstdlib>
#include <random>
#include <thread>

#include <jobruntime/job_queue.hpp>

#include "core/failpoint.hpp"
#include "proof/address.hpp"
#include "proof/journal.hpp"

using namespace jobruntime;

namespace proof {

std::unique_ptr<Store> open_store(const Script& script) {
    AddressOptions options;
    options.sqlite.busy_timeout = Duration{script.number("busy-ms", 5'000)};
    options.sqlite.ballast_bytes = 0;
    if (script.text("durability") == "process_crash") options.sqlite.durability = sqlite::Durability::process_crash;
#ifdef PROOF_HAS_MONGO
    options.mongo.socket_timeout = Duration{script.number("socket-ms", 10'000)};
#endif
    for (int tries = 0; tries < 50; ++tries) {
        auto store = open_at(script.text("db"), options);
        if (store) return *std::move(store);
        if (store.error().code != Errc::unavailable) {
            std::fprintf(stderr, "proof_actor: %s\n", store.error().message.c_str());
            std::exit(3);
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    std::exit(4);
}

/// Journal: "A id key" once the store has acknowledged a job; key is "-" without a unique key.
int enqueue(const Script& script) {
    auto store = open_store(script);
    JobQueue queue(*store);
    Journal journal(script.text("journal"), false);
    std::mt19937_64 random(static_cast<std::uint64_t>(script.number("seed", 1)));
    const auto pause = std::chrono::microseconds(script.number("pause-us", 500));
    const long keys = script.number("unique", 0);
    const long limit = script.number("limit", 1L << 40);
    for (long made = 0; made < limit;) {
        std::vector<JobSpec> jobs(1 + random() % 4);
        for (auto& job : jobs) {
            job.kind = "proof.job";
            job.payload = {{"n", made++}};
            if (keys > 0 && random() % 4 == 0) job.options.unique = "u" + std::to_string(random() % static_cast<std::uint64_t>(keys));
        }
        auto answers = queue.enqueue_many(jobs);
        if (!answers) {  // Not acknowledged: nothing is claimed of it.
            std::this_thread::sleep_for(pause);
            continue;
        }
        for (std::size_t i = 0; i < jobs.size(); ++i) {
            const auto& answer = (*answers)[i];
            if (!answer || !answer->inserted()) continue;
            const auto& key = jobs[i].options.unique;
            journal.write('A', answer->id.str() + " " + (key.empty() ? "-" : key));
        }
        std::this_thread::sleep_for(pause);
    }
    return 0;
}

/// Journal: "V id" for each event, in the order they came; goes on where an earlier process was.
int tail(const Script& script) {
    auto store = open_store(script);
    const std::chrono::milliseconds pause(script.number("poll-ms", 2));
    EventId after = 0;
    for (const auto& line : read_journal(script.text("journal"))) after = std::stoull(line.rest.at(0));
    Journal journal(script.text("journal"), false);
    for (;;) {
        auto page = store->events(after, {}, 500);
        if (!page) {
            std::this_thread::sleep_for(pause);
            continue;
        }
        if (page->truncated) journal.write('T', std::to_string(after));
        for (const auto& event : page->events) journal.write('V', std::to_string(event.id));
        after = page->next;
        if (page->events.empty()) std::this_thread::sleep_for(pause);
    }
}

}  // namespace proof

int main(int argc, char** argv) {
    proof::Script script;
    for (int i = 2; i + 1 < argc; i += 2) script.words[std::string(argv[i]).substr(2)] = argv[i + 1];
    const std::string verb = argc > 1 ? argv[1] : "";
    if (const char* spec = std::getenv("JOBRT_FAILPOINTS"); spec && !core::arm_failpoints(spec)) return 2;
    if (verb == "enqueue") return proof::enqueue(script);
    if (verb == "work") return proof::work(script);
    if (verb == "tail") return proof::tail(script);
    std::fprintf(stderr, "proof_actor: enqueue, work or tail\n");
    return 2;
}

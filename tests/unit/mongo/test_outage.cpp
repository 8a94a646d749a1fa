// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// The server is killed and comes back while many use it: nothing is lost, nothing runs again after it was
// done.
#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "unit/mongo/support.hpp"

using namespace jobruntime;
using namespace jobruntime::tests;
using namespace std::chrono_literals;

namespace {

/// Repeats a verb as the runtime does, while the store does not answer.
template <class Verb>
auto insist(Verb&& verb) {
    const auto end = std::chrono::steady_clock::now() + 60s;
    while (true) {
        auto answer = verb();
        if (answer || answer.error().code != Errc::unavailable || std::chrono::steady_clock::now() > end)
            return answer;
        std::this_thread::sleep_for(20ms);
    }
}

struct Load {
    std::mutex mutex;
    std::set<JobId> accepted;        // Guarded by mutex.
    std::map<JobId, int> completed;  // Guarded by mutex. Settlements that were accepted.
    std::atomic<bool> stop{false};
    std::atomic<int> failures{0};
};

void produce(Store& store, Load& load) {
    while (!load.stop) {
        const auto now = system_clock().wall();
        std::vector<NewJob> jobs;
        for (int i = 0; i < 3; ++i) jobs.push_back(new_job(now));
        const auto answers = insist([&] { return store.insert(jobs, now); });
        if (!answers) {
            ++load.failures;
            return;
        }
        {
            const std::scoped_lock lock(load.mutex);
            for (const auto& answer : *answers) load.accepted.insert(answer.id);
        }
        std::this_thread::sleep_for(30ms);
    }
}

void consume(Store& store, SessionId session, Load& load, std::size_t wanted) {
    const auto end = std::chrono::steady_clock::now() + 120s;
    while (std::chrono::steady_clock::now() < end) {
        const auto now = system_clock().wall();
        const auto claimed = insist([&] { return claim(store, session, now, 4); });
        if (!claimed) {
            ++load.failures;
            return;
        }
        std::vector<Settlement> settlements;
        for (const auto& job : claimed->jobs) settlements.push_back(completed(job));
        if (settlements.empty()) {
            const std::scoped_lock lock(load.mutex);
            if (load.stop && load.completed.size() >= std::max(wanted, load.accepted.size())) return;
        } else {
            const auto answers = insist([&] { return store.settle(settlements, now); });
            if (!answers) {
                ++load.failures;
                return;
            }
            const std::scoped_lock lock(load.mutex);
            for (std::size_t i = 0; i < answers->size(); ++i)
                if ((*answers)[i].done) ++load.completed[settlements[i].job];
        }
        if (settlements.empty()) std::this_thread::sleep_for(20ms);
    }
}

}  // namespace

TEST_CASE(
    "the server is killed and restarted under load: work goes on, nothing is lost, events have no gap") {
    auto server = MongoServer::own();
    if (!server) {
        MESSAGE("skipped: a real server is given, which is not the test's to kill");
        return;
    }
    mongo::Options options;
    options.server_selection = 500ms;
    options.change_streams = false;
    std::mutex said_mutex;
    std::vector<std::string> said;  // Guarded by said_mutex.
    options.log = [&](std::string_view line) {
        const std::scoped_lock lock(said_mutex);
        said.emplace_back(line);
    };
    const auto uri = server->uri("app");
    auto first = open_store(uri, options), second = open_store(uri, options);
    const auto now = system_clock().wall();
    const auto session_a = begin(*first, now), session_b = begin(*second, now);
    Load load;
    {
        std::jthread producer([&] { produce(*first, load); });
        std::jthread worker_a([&] { consume(*first, session_a, load, 10); });
        std::jthread worker_b([&] { consume(*second, session_b, load, 10); });
        for (int round = 0; round < 3; ++round) {
            std::this_thread::sleep_for(1s);
            server->kill();
            std::this_thread::sleep_for(300ms);
            server->start();
        }
        std::this_thread::sleep_for(1s);
        load.stop = true;
        producer.join();
        // Claims whose answer was lost come back with their session's next beat.
        for (int i = 0; i < 20; ++i) {
            for (auto* store : {first.get(), second.get()})
                must(insist([&] {
                    return store->beat(store == first.get() ? session_a : session_b, {},
                                       system_clock().wall());
                }));
            const std::scoped_lock lock(load.mutex);
            if (load.completed.size() >= load.accepted.size()) break;
        }
    }
    CHECK(load.failures == 0);
    {
        const std::scoped_lock lock(said_mutex);
        CHECK(std::any_of(said.begin(), said.end(),
                          [](const std::string& line) { return line.find("does not answer") != line.npos; }));
        CHECK(std::any_of(said.begin(), said.end(),
                          [](const std::string& line) { return line.ends_with("answers again"); }));
    }
    CHECK(load.accepted.size() >= 10);
    MESSAGE(load.accepted.size() << " jobs, three kills");
    CHECK(load.completed.size() == load.accepted.size());
    for (const auto& [job, times] : load.completed) CHECK(times == 1);
    JobFilter done;
    done.states = {JobState::completed};
    CHECK(must(first->count(done, CountBy::nothing)).front().count == load.accepted.size());
    must(first->tend({}, 2000, system_clock().wall()));
    EventId last = 0;
    std::map<JobId, int> ends;
    while (true) {
        const auto page = must(second->events(last, {}, 500));
        for (const auto& event : page.events) {
            CHECK(event.id == last + 1);
            last = event.id;
            if (event.name == "worker.job.completed") ++ends[event.job];
        }
        if (page.events.size() < 500) break;
    }
    CHECK(ends.size() == load.accepted.size());
    for (const auto& [job, times] : ends) CHECK(times == 1);
}

// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <jobruntime/mongo.hpp>

#include "core/failpoint.hpp"
#include "core/ids.hpp"
#include "support/mongo_server.hpp"

namespace jobruntime::tests {

inline constexpr Time noon = std::chrono::sys_days{std::chrono::year{2026} / 3 / 1} + std::chrono::hours{12};

inline core::IdSource& ids() {
    static core::IdSource source;
    return source;
}

inline std::unique_ptr<Store> open_store(const std::string& uri, mongo::Options options = {}) {
    auto store = mongo::open(uri, std::move(options));
    REQUIRE_MESSAGE(store.has_value(), (store ? "" : store.error().message));
    return *std::move(store);
}

inline NewJob new_job(Time now, std::string kind = "test.a") {
    NewJob job;
    job.id = ids().job(now);
    job.kind = std::move(kind);
    job.run_at = now;
    return job;
}

template <class T>
T must(Result<T> result) {
    REQUIRE_MESSAGE(result.has_value(), (result ? "" : result.error().message));
    return *std::move(result);
}

inline JobId add(Store& store, Time now, std::string kind = "test.a") {
    const auto job = new_job(now, std::move(kind));
    const auto answers = must(store.insert({&job, 1}, now));
    REQUIRE(!answers.front().refused);
    return job.id;
}

inline SessionId begin(Store& store, Time now) {
    const auto session = ids().session(now);
    must(store.beat(session, {}, now));
    return session;
}

inline Result<Claimed> claim(Store& store, SessionId session, Time now, int limit = 10) {
    const Want want{"default", {"test.a"}, limit};
    return store.claim({&want, 1}, session, ClaimMode::ordinary, now);
}

inline Settlement completed(const Job& job) {
    Settlement settlement;
    settlement.job = job.id;
    settlement.fence = job.fence;
    return settlement;
}

inline std::vector<std::string> names_of(Store& store, JobId job) {
    EventFilter filter;
    filter.job = job;
    std::vector<std::string> names;
    for (const auto& event : must(store.events(EventId{0}, filter, 1000)).events) names.push_back(event.name);
    return names;
}

/// A place in the store that fails the next `times` times, for as long as this lives.
struct Failpoint {
    Failpoint(std::string place, int times) : name(std::move(place)) {
        auto left = std::make_shared<std::atomic<int>>(times);
        core::set_failpoint(name, [left] { return left->fetch_sub(1) > 0; });
    }
    /// Or does something else when it is come by; its answer says whether it fails then.
    Failpoint(std::string place, core::FailpointAction action) : name(std::move(place)) {
        core::set_failpoint(name, std::move(action));
    }
    ~Failpoint() { core::set_failpoint(name, {}); }
    const std::string name;
};

/// What a hand does to one document in the shell.
inline void edit(const std::string& database, const std::string& collection, JobId id,
                 const mongo::Doc& change) {
    mongo::Doc one, command;
    one.doc("q", mongo::Doc().text("_id", id.str())).doc("u", change);
    command.text("update", collection).list("updates", mongo::List().doc(one).made());
    MongoServer::shared().run(database, command);
}

/// Two processes on one database.
struct Two {
    explicit Two(Duration write_timeout = mongo::Options{}.write_timeout)
        : database(MongoServer::shared().fresh_database()) {
        mongo::Options options;
        options.change_streams = false;
        options.write_timeout = write_timeout;
        options.log = [this](std::string_view line) { said.emplace_back(line); };
        options.origin.process = "first";
        first = open_store(MongoServer::shared().uri(database), options);
        options.origin.process = "second";
        second = open_store(MongoServer::shared().uri(database), options);
    }
    std::string database;
    std::vector<std::string> said;
    std::unique_ptr<Store> first, second;
};

}  // namespace jobruntime::tests

// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include <jobruntime/clock.hpp>
#include <jobruntime/sqlite.hpp>
#ifdef E2E_HAS_MONGO
#include <jobruntime/mongo.hpp>
#endif

#include "e2e/stores.hpp"

// Programs that are not alike on one store: a new version beside an old one, and what doctor says of strangers.
namespace jobruntime::e2e {
namespace {

/// The store that the variables name, as another program would open it.
std::unique_ptr<Store> open_beside(const Variables& variables) {
#ifdef E2E_HAS_MONGO
    if (const auto uri = variables.find("MONGODB_URI"); uri != variables.end()) {
        auto store = mongo::open(uri->second);
        REQUIRE(store.has_value());
        return *std::move(store);
    }
#endif
    sqlite::Options options;
    options.ballast_bytes = 0;
    auto store = sqlite::open(variables.at("JOBRT_STORE").substr(7), options);
    REQUIRE(store.has_value());
    return *std::move(store);
}

TEST_CASE("a new version beside the old one: jobs of kinds that only the new one knows wait for it, by name") {
    for (const auto& kind : store_kinds()) {
        CAPTURE(kind.name);
        const Folder folder;
        auto variables = environment(folder, kind);
        variables["ROLE"] = "api";
        Service api(folder, variables, 20s, {tests::program("jobrt-api")});
        variables["ROLE"] = "worker";
        Service old(folder, variables, 20s, {tests::program("jobrt-worker")});
        const auto put = [&](const std::string& what) {
            const auto made = http(api.port(), "POST", "/api/jobs", R"({"kind":")" + what + R"(","payload":{"n":1}})");
            CHECK_MESSAGE(made.status == 201, made.body);
            const auto json = made.json();
            return json.contains("job") ? text(json.at("job").get_object(), "id") : std::string();
        };
        const auto job = [&](const std::string& id) {
            const auto json = http(api.port(), "GET", "/api/jobs/" + id).json();
            return json.contains("job") ? json.at("job").get_object() : boost::json::object{};
        };
        const auto newer = put("test.good");
        CHECK(eventually(30s, [&] { return text(job(newer), "waitingFor").find("test.good") != std::string::npos; }));
        // The old one passes it by, and does what it knows.
        const auto known = put("demo.echo");
        CHECK(eventually(20s, [&] { return text(job(known), "status") == "completed"; }));
        const auto waiting = job(newer);
        INFO(boost::json::serialize(waiting));
        CHECK(text(waiting, "status") == "queued");
        CHECK(waiting.at("attempt") == 0);
        CHECK(text(waiting, "waitingFor") == "no live worker has a handler for test.good");

        Service fresh(folder, variables, 20s, {tests::program("e2e_handlers_program")});
        REQUIRE_FALSE(fresh.ready().empty());
        CHECK(eventually(20s, [&] { return text(job(newer), "status") == "completed"; }));
        const auto done = job(newer);
        CHECK(done.at("attempt") == 1);
        CHECK(done.at("waitingFor").is_null());
        CHECK_FALSE(old.program().wait(0ms));
    }
}

/// A process of another machine, as its beats tell of it.
class Stranger {
public:
    Stranger(Store& store, Duration ahead, std::string version, std::string named_store)
        : store_(store), ahead_(ahead) {
        id_.bytes[0] = 7;
        facts_.host = "elsewhere.example";
        facts_.pid = 4711;
        facts_.role = "worker";
        facts_.version = std::move(version);
        facts_.works = true;
        facts_.details["store"] = std::move(named_store);
        beat();
        thread_ = std::jthread([this](const std::stop_token& stop) {
            for (; !stop.stop_requested(); std::this_thread::sleep_for(100ms)) beat();
        });
    }

private:
    void beat() { static_cast<void>(store_.beat(id_, facts_, system_clock().wall() + ahead_).has_value()); }
    Store& store_;
    const Duration ahead_;
    SessionId id_;
    SessionFacts facts_;
    std::jthread thread_;
};

TEST_CASE("doctor warns of a process elsewhere with another version, another store and a clock that is off") {
    for (const auto& kind : store_kinds()) {
        CAPTURE(kind.name);
        const Folder folder;
        auto variables = environment(folder, kind);
        variables["ROLE"] = "worker";
        Service worker(folder, variables, 20s, {tests::program("jobrt-worker")});
        REQUIRE_FALSE(worker.ready().empty());
        const auto own_store = text(worker.ready(), "store"), own_version = text(worker.ready(), "version");
        variables["ROLE"] = "";
        const auto store = open_beside(variables);
        const auto said_of = [&](Duration ahead, const std::string& version, const std::string& named_store) {
            Stranger stranger(*store, ahead, version, named_store);
            std::string said;
            CHECK(eventually(20s, [&] {
                said = jobrt({"doctor"}, variables, folder.path()).out;
                return said.find("live process: worker, pid 4711 on elsewhere.example") != std::string::npos;
            }));
            return said;
        };
        const auto strange = said_of(Duration{7'000}, "9.9.9", "mongodb://other.example/jobs");
        INFO(strange);
        CHECK(strange.find("version 9.9.9, store mongodb://other.example/jobs") != std::string::npos);
        CHECK(strange.find("warning: versions differ: 9.9.9 in worker (pid 4711 on elsewhere.example), " + own_version +
                           " in this program") != std::string::npos);
        CHECK(strange.find("warning: stores differ: ") != std::string::npos);
        CHECK(strange.find("mongodb://other.example/jobs in worker (pid 4711") != std::string::npos);
        // Who shares a SQLite file shares the machine, and its clock.
        const bool clocks = kind.name != "sqlite";
        CHECK((strange.find("warning: the clock of elsewhere.example is ") != std::string::npos) == clocks);
        CHECK((strange.find(" ms ahead of this machine's") != std::string::npos) == clocks);
        const auto slow = said_of(Duration{-7'000}, own_version, own_store);
        INFO(slow);
        CHECK((slow.find(" ms behind this machine's") != std::string::npos) == clocks);
        // Control: of one that is alike nothing is warned.
        const auto alike = said_of(Duration{0}, own_version, own_store);
        INFO(alike);
        CHECK(alike.find("differ") == std::string::npos);
        CHECK(alike.find("the clock of") == std::string::npos);
    }
}

}  // namespace
}  // namespace jobruntime::e2e

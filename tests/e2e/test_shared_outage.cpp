// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <iostream>
#include <random>

#include <doctest/doctest.h>

#include "e2e/followers.hpp"
#include "support/mongo_server.hpp"

// The database is away when the programs start, and goes and comes back under them: nobody starts them again.
namespace jobruntime::e2e {
namespace {

using Steady = std::chrono::steady_clock;
constexpr int nobodys_port = 1;

TEST_CASE("a database that is away at start and then comes and goes: work resumes, and streams miss and repeat nothing") {
    const auto server = tests::MongoServer::own();
    if (!server) {
        std::cout << "skipped: only a server of our own can be killed; set JOBRT_STANDIN\n";
        return;
    }
    server->kill();
    const Folder folder;
    auto variables = environment(folder);
    variables["JOBRT_STORE"] = "";
    variables["MONGODB_URI"] = server->uri("outages");
    // A beat that meets the outage must not cost a job its attempt each time.
    variables["JOBRT_HEARTBEAT_MS"] = "1000";
    variables["JOBRT_LEASE_MS"] = "5000";
    variables["ROLE"] = "worker";
    Service worker(folder, variables, 20s, {tests::program("jobrt-worker")});
    variables["ROLE"] = "api";
    Service api(folder, variables, 20s, {tests::program("jobrt-api")});
    REQUIRE_FALSE(worker.ready().empty());
    REQUIRE_FALSE(api.ready().empty());

    const auto asked = Steady::now();
    const auto refused = http(api.port(), "POST", "/api/jobs", R"({"kind":"demo.echo"})");
    CHECK(Steady::now() - asked < 3s);
    CHECK(refused.status == 503);
    CHECK(text(refused.json(), "code") == "STORE_UNAVAILABLE");
    CHECK_FALSE(refused.json().contains("outcome"));
    CHECK(http(api.port(), "GET", "/api/health").status == 503);
    // Who watches already, watches nothing; and goes on with it.
    Follower first(api.port()), second(api.port()), forgetful(api.port(), false);

    server->start();
    const auto back = Steady::now();
    CHECK(eventually(20s, [&] { return http(api.port(), "GET", "/api/health").status == 200; }));
    auto load = std::make_unique<Load>(100ms);
    load->to(api.port());
    const auto completed = [&](std::string_view id) {
        const auto answer = http(api.port(), "GET", "/api/jobs/" + std::string(id)).json();
        return answer.contains("job") && text(answer.at("job").get_object(), "status") == "completed";
    };
    const auto one_more = [&] {
        const auto before = load->accepted();
        return eventually(30s, [&] { return load->accepted() > before + 1; }) &&
               eventually(30s, [&] { return completed(load->ids()[static_cast<std::size_t>(before)]); });
    };
    CHECK(one_more());
    std::cout << "after a start without a database the first job was done "
              << std::chrono::duration_cast<Millis>(Steady::now() - back).count() << " ms after it came\n";

    const int times = scaled(6, 2);
    std::mt19937_64 random(7);
    std::int64_t longest = 0;
    for (int i = 0; i < times; ++i) {
        CAPTURE(i);
        server->kill();
        // A request that is on its way meanwhile may take longer; who comes after is answered at once.
        CHECK(eventually(20s, [&] { return http(api.port(), "GET", "/api/health").status == 503; }));
        const auto away = http(api.port(), "POST", "/api/jobs", R"({"kind":"demo.echo"})");
        CHECK(away.status == 503);
        CHECK(text(away.json(), "code") == "STORE_UNAVAILABLE");
        CHECK_FALSE(away.json().contains("outcome"));
        // The forgetful one is nowhere meanwhile, and will have missed something.
        if (i == 0) forgetful.connect(nobodys_port);
        std::this_thread::sleep_for(std::chrono::milliseconds(random() % 1500));
        server->start();
        const auto again = Steady::now();
        CHECK(one_more());
        if (i == 0) forgetful.connect(api.port());
        longest = std::max<std::int64_t>(longest, std::chrono::duration_cast<Millis>(Steady::now() - again).count());
    }
    const auto accepted = load->ids();
    load.reset();

    std::vector<LogEvent> log;
    Judgement judgement;
    const bool whole = eventually(60s, [&] {
        log = whole_log(api.port());
        judgement = judge(log, accepted);
        return judgement.lost == 0 && first.ids() == ids_of(log) && second.ids() == ids_of(log);
    });
    std::cout << "the stand-in for MongoDB killed and started " << times << " times under jobrt-api and jobrt-worker: "
              << accepted.size() << " jobs accepted, " << judgement.counts() << ", " << judgement.gaps
              << " gaps; two streams equal the log of " << log.size() << " events: " << (whole ? "yes" : "no")
              << "; the next job was done at most " << longest << " ms after the server was back\n";
    CHECK(whole);
    CHECK(judgement.sound());
    CHECK(judgement.failed == 0);
    CHECK(judgement.gaps == 0);
    CHECK_MESSAGE(forgetful.ids() != ids_of(log), "control: one that does not resume is found out");
    REQUIRE(accepted.size() > 1);
    CHECK_MESSAGE(unnoticed_breaks(log, accepted) == 0, "control: a log that is broken in any way is noticed");
    // Neither of the two was started anew, and both end as they should.
    CHECK_FALSE(worker.program().wait(0ms));
    CHECK_FALSE(api.program().wait(0ms));
    const auto worker_end = worker.program().stop(), api_end = api.program().stop();
    CHECK((worker_end && worker_end->success()));
    CHECK((api_end && api_end->success()));
}

}  // namespace
}  // namespace jobruntime::e2e

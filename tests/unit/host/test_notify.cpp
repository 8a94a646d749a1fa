// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <cstdint>
#include <cstdlib>
#include <string>

#include <unistd.h>

#include <doctest/doctest.h>

#include "host/src/notify.hpp"
#include "unit/host/supervisor.hpp"

using namespace jobruntime::host;
using jobruntime::test::Supervisor;
using namespace std::chrono_literals;

namespace {

/// One variable for the length of a scope.
class Variable {
public:
    Variable(const char* name, const std::string& value) : name_(name) { setenv(name, value.c_str(), 1); }
    ~Variable() { unsetenv(name_); }
    Variable(const Variable&) = delete;
    Variable& operator=(const Variable&) = delete;

private:
    const char* name_;
};

}  // namespace

TEST_CASE("a supervisor gets its lines as one datagram") {
    const Supervisor supervisor;
    const Notifier notifier(supervisor.name());
    CHECK(notifier.wanted());
    CHECK(notifier.send("READY=1\nSTATUS=fine\n"));
    CHECK(supervisor.next() == "READY=1\nSTATUS=fine\n");
}

TEST_CASE("nobody listens: nothing happens, whatever the address is") {
    CHECK_FALSE(Notifier("").wanted());
    for (const auto& address : {std::string(), std::string("@"), std::string("relative"), std::string("vsock:2:1"),
                                std::string("/no/such/socket"), "/" + std::string(200, 'x')}) {
        CAPTURE(address);
        CHECK_FALSE(Notifier(address).send("READY=1"));
    }
}

TEST_CASE("what the supervisor wants is read from the environment, and only what is meant for this process") {
    CHECK_FALSE(Notifier::from_environment().wanted());
    const Variable socket("NOTIFY_SOCKET", "@somewhere");
    CHECK(Notifier::from_environment().wanted());
    CHECK_FALSE(Notifier::from_environment().watchdog());
    const Variable patience("WATCHDOG_USEC", "120000000");
    CHECK(Notifier::from_environment().watchdog() == 120s);
    {
        const Variable mine("WATCHDOG_PID", std::to_string(getpid()));
        CHECK(Notifier::from_environment().watchdog() == 120s);
    }
    {
        const Variable other("WATCHDOG_PID", std::to_string(getppid()));
        CHECK_FALSE(Notifier::from_environment().watchdog());
    }
    for (const auto* nonsense : {"0", "-1", "1s", "", "99999999999999999999"}) {
        CAPTURE(nonsense);
        const Variable bad("WATCHDOG_USEC", nonsense);
        CHECK_FALSE(Notifier::from_environment().watchdog());
    }
}

TEST_CASE("the watchdog is patted only when every part has moved since the last time") {
    const Supervisor supervisor;
    const Notifier notifier(supervisor.name(), 1s);
    std::uint64_t worker = 1, api = 1;
    Watchdog watchdog(notifier, {[&] { return worker; }, [&] { return api; }});
    CHECK(watchdog.every() == 250ms);
    CHECK(watchdog.tick());
    CHECK(supervisor.next() == "WATCHDOG=1");
    CHECK_FALSE(watchdog.tick());
    ++worker;
    CHECK_FALSE(watchdog.tick());
    ++api;
    CHECK(watchdog.tick());
    CHECK(supervisor.next() == "WATCHDOG=1");
    CHECK(supervisor.next().empty());
    CHECK_FALSE(Watchdog(Notifier(supervisor.name()), {}).every());
}

// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
//
// The ways an attempt can end: try again (costs an attempt), not now (costs none), never again.
#include <iostream>

#include <jobruntime/jobruntime.hpp>

using namespace jobruntime;
using namespace std::chrono_literals;

struct Charge { static constexpr auto kind = "card.charge"; std::string card; std::int64_t cents = 0; };
BOOST_DESCRIBE_STRUCT(Charge, (), (card, cents))

int calls = 0;

Outcome charge(const Charge& order, JobContext&) {
    if (order.card.empty()) return failed("NO_CARD", "the order has no card");  // No attempt can help.
    switch (++calls) {
        case 1: return snooze(20ms, "the bank is closed for the night");        // Not our fault: no attempt spent.
        case 2: return retry("BANK_DOWN", "no answer");                         // By the back-off of the kind.
        default: return completed({{"charged", order.cents}});
    }
}

int main() {
    auto store = memory::open();
    JobQueue queue(*store);
    Worker worker(*store);
    worker.on<Charge>(charge, {.deadline = 30s, .backoff = {.base = 10ms, .cap = 1s}});
    if (!worker.start()) return 1;

    const auto good = queue.enqueue(Charge{"4242", 1999}, {.max_attempts = 3}).value();
    const auto bad = queue.enqueue(Charge{"", 5}).value();
    const auto charged = queue.wait(good.id, 30s).value();
    const auto refused = queue.wait(bad.id, 30s).value();
    std::cout << "charged after " << charged.attempt << " attempts; refused: " << refused.errors.back().message << '\n';
    return charged.state == JobState::completed && charged.attempt == 2 && refused.state == JobState::failed ? 0 : 1;
}

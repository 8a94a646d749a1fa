// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <jobruntime/store.hpp>

#include <algorithm>

namespace jobruntime {

Subscription& Subscription::operator=(Subscription&& other) noexcept {
    if (this == &other) return *this;
    if (end_) end_();
    end_ = std::exchange(other.end_, nullptr);
    return *this;
}

Subscription::~Subscription() {
    if (end_) end_();
}

Duration age_of(const SessionInfo& session, Time now) {
    return std::max(session.age.value_or(now - session.beat_at), Duration{0});
}

bool seems_alive(const SessionInfo& session, Time now, Duration lease) {
    if (session.facts.stopped || session.declared_dead || session.seen_dead) return false;
    return session.seen_alive || age_of(session, now) <= lease;
}

Result<Counts> Store::rough_count(const JobFilter& filter, CountBy by, std::string_view cursor) {
    if (!cursor.empty()) return Error{Errc::invalid_argument, "this store counts in one slice and has made no cursor; begin again without one"};
    auto rows = count(filter, by);
    if (!rows) return std::move(rows).error();
    return Counts{std::move(*rows), {}};
}

std::optional<std::uint64_t> Store::stamp() { return std::nullopt; }

Result<std::vector<InsertAnswer>> Store::restore(std::span<const Job>, Time) {
    return Error{Errc::unsupported, "RESTORE_UNSUPPORTED", "the store " + describe() + " cannot take jobs of another store"};
}

}  // namespace jobruntime

// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <jobruntime/store.hpp>

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

Result<Counts> Store::rough_count(const JobFilter& filter, CountBy by) {
    auto rows = count(filter, by);
    if (!rows) return std::move(rows).error();
    return Counts{std::move(*rows), true};
}

std::optional<std::uint64_t> Store::stamp() { return std::nullopt; }

Result<std::vector<InsertAnswer>> Store::restore(std::span<const Job>, Time) {
    return Error{Errc::unsupported, "RESTORE_UNSUPPORTED", "the store " + describe() + " cannot take jobs of another store"};
}

}  // namespace jobruntime

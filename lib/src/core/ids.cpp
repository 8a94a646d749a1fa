// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "core/ids.hpp"

#include <bit>
#include <random>

namespace jobruntime::core {
namespace {

constexpr std::uint64_t counter_limit = 1ull << 26;

/// SplitMix64, which xoshiro's authors advise for filling its state (prng.di.unimi.it).
std::uint64_t split_mix(std::uint64_t& x) {
    x += 0x9e3779b97f4a7c15ull;
    std::uint64_t z = x;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

}  // namespace

IdSource::IdSource(std::optional<std::uint64_t> seed) {
    if (seed) {
        for (auto& word : state_) word = split_mix(*seed);
        return;
    }
    std::random_device device;
    for (auto& word : state_) word = (static_cast<std::uint64_t>(device()) << 32) | device();
}

/// xoshiro256** 1.0 (prng.di.unimi.it).
std::uint64_t IdSource::next() {
    const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
    const std::uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = std::rotl(state_[3], 45);
    return result;
}

std::uint64_t IdSource::random() {
    const std::lock_guard lock(mutex_);
    return next();
}

std::array<std::uint8_t, 16> IdSource::uuid(Time now) {
    const auto since = now.time_since_epoch().count();
    const std::uint64_t given = since < 0 ? 0 : static_cast<std::uint64_t>(since) & 0xffff'ffff'ffffull;
    std::uint64_t high = 0;
    std::uint64_t low = 0;
    {
        const std::lock_guard lock(mutex_);
        if (given > millisecond_) {
            millisecond_ = given;
            counter_ = next() >> 39;  // 25 bits: the upper half is room for counting.
        } else if (++counter_ >= counter_limit) {
            ++millisecond_;
            counter_ = next() >> 39;
        }
        high = (millisecond_ << 16) | 0x7000 | (counter_ >> 14);
        low = (2ull << 62) | ((counter_ & 0x3fff) << 48) | (next() >> 16);
    }
    std::array<std::uint8_t, 16> bytes;
    for (int i = 0; i < 8; ++i) {
        bytes[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(high >> (56 - 8 * i));
        bytes[static_cast<std::size_t>(8 + i)] = static_cast<std::uint8_t>(low >> (56 - 8 * i));
    }
    return bytes;
}

std::string own_trace_id(JobId id) {
    static constexpr char digits[] = "0123456789abcdef";
    std::string text;
    text.reserve(2 * id.bytes.size());
    for (const auto byte : id.bytes) text.append(1, digits[byte >> 4]).append(1, digits[byte & 15]);
    return text;
}

}  // namespace jobruntime::core

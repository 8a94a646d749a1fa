// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <algorithm>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <jobruntime/api_router.hpp>
#include <jobruntime/clock.hpp>

namespace jobruntime::core {

/// Answers to be given again while nothing in the store has changed (Store::stamp), for a moment only: what a list says of
/// waiting jobs depends on the time and on living workers, too. So a crowd that asks the same costs little more than one.
/// Thread-safe.
class KeptAnswers {
public:
    std::optional<Response> find(std::string_view target, std::uint64_t stamp, SteadyTime now) const {
        const std::lock_guard lock(mutex_);
        for (const auto& one : kept_)
            if (one.stamp == stamp && now - one.made < moment && one.target == target) return one.response;
        return std::nullopt;
    }

    /// `stamp` and `made` from before the answer was made. The response's text becomes one that is shared.
    void keep(std::string_view target, std::uint64_t stamp, SteadyTime made, Response& response) {
        auto* text = std::get_if<std::string>(&response.body);
        if (!text || text->size() > most_bytes) return;
        response.body = std::make_shared<const std::string>(std::move(*text));
        const std::lock_guard lock(mutex_);
        auto place = std::ranges::find(kept_, target, &Kept::target);
        if (place == kept_.end() && kept_.size() < most) place = kept_.emplace(kept_.end());
        if (place == kept_.end()) place = kept_.begin() + static_cast<std::ptrdiff_t>(next_++ % most);
        *place = {std::string(target), stamp, made, response};
    }

private:
    struct Kept {
        std::string target;
        std::uint64_t stamp = 0;
        SteadyTime made{};
        Response response;
    };
    static constexpr Duration moment{250};
    static constexpr std::size_t most = 8;
    static constexpr std::size_t most_bytes = 256u << 10;
    mutable std::mutex mutex_;
    std::vector<Kept> kept_;  // Guarded by mutex_.
    std::size_t next_ = 0;    // Guarded by mutex_. The place that is given away next.
};

}  // namespace jobruntime::core

// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <jobruntime/api_router.hpp>
#include <jobruntime/result.hpp>

#include "tokens.hpp"

namespace jobruntime::host {

/// Says whose token it is, by the file as it is at that moment: made, replaced and revoked tokens count at once, and a
/// file that is missing or broken lets nobody in. Thread-safe.
///
/// A thread of its own looks at the file, so that a disk which hangs holds up whoever asks for a second, once: from then on
/// the tokens that were read last count, without a wait, until a look is quick again.
class TokenCheck {
public:
    /// `log` and `changed` are called from that thread; `changed` is told of each token that has come or gone since the file
    /// was read last, and must be quick.
    TokenCheck(std::string path, std::function<void(std::string_view line)> log,
               std::function<void(const Token& token, bool made)> changed = {});
    /// Waits for the look in progress for a second at most; one that hangs ends by itself and tells nobody.
    ~TokenCheck();
    /// Refuses a file that is missing, broken, or empty: nobody could ever come in.
    Result<void> start();
    std::optional<Caller> caller(std::string_view token);
    /// How many tokens the file has now. Errors as read_tokens(); Errc::unavailable when its disk does not answer.
    Result<std::size_t> count();

private:
    struct Impl;
    std::shared_ptr<Impl> impl_;  ///< Shared with the thread, which may hang for longer than we live.
};

}  // namespace jobruntime::host
